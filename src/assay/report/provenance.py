"""Where the numbers come from: models, tasks, prompts, seeds and sampling, as the plan fixes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from assay.files import canonical, pretty
from assay.report.markup import Markup, join, tag
from assay.report.numbers import count, words
from assay.report.rows import cell_name
from assay.version import __version__

_ITEMS = ("models", "prompts", "tasks")
_APART = frozenset({"cells", "schema", "spec", *_ITEMS})
_COUNTED = frozenset({"samples", "excluded"})  # lists as long as the task: only how many
_LONG = 160  # characters; longer values fold away
_MANY = 8  # entries of a list that are named; of more, the first few and how many

Fact = tuple[str, Any]


def provenance(plan: Mapping[str, Any], results: Mapping[str, Any]) -> Markup:
    """The plan for a reader: its own facts, then one block a model, prompt and task, then how cells ask."""
    general = {
        "started": results.get("started"),
        "reported by": f"assay {__version__}",
        **{key: value for key, value in plan.items() if key not in _APART},
    }
    blocks = [_blocks(name, plan[name]) for name in _ITEMS if plan.get(name)]
    decoding = _decoding(plan.get("cells") or ())
    return tag("div", _facts(general), blocks, decoding, _spec(plan), class_="provenance")


def _spec(plan: Mapping[str, Any]) -> Markup | None:
    if not plan.get("spec"):
        return None
    whole = tag("details", tag("summary", "As it was asked for"), tag("pre", pretty(plan["spec"]).decode()))
    return join(tag("h3", "Spec"), whole)


def _decoding(cells: Iterable[Mapping[str, Any]]) -> Markup | None:
    """The different ways in which cells make their requests, each with how many cells share it."""
    ways: dict[bytes, list[Mapping[str, Any]]] = {}
    for cell in cells:
        way = {key: cell[key] for key in ("mode", "sampling") if key in cell}
        ways.setdefault(canonical(way), []).append(cell)
    blocks = [_way(alike) for alike in ways.values()]
    return join(tag("h3", "Requests"), blocks) if blocks else None


def _way(alike: list[Mapping[str, Any]]) -> Markup:
    first = alike[0]
    facts = {"cells": [cell_name(cell) for cell in alike], **(first.get("sampling") or {})}
    return _block(f"{first.get('mode', 'requests')}", facts)


def _blocks(name: str, items: Any) -> Markup:
    return join(tag("h3", name.capitalize()), [_block(title, item) for title, item in _named(items)])


def _named(items: Any) -> Iterator[tuple[str, Any]]:
    """The items of a list of objects or of a mapping, with what to call each."""
    if isinstance(items, Mapping):
        yield from ((str(name), item) for name, item in items.items())
        return
    for number, item in enumerate(items):
        names = (item.get(key) for key in ("name", "id", "task", "model")) if isinstance(item, Mapping) else ()
        yield next((str(name) for name in names if name), str(number + 1)), item


def _block(title: str, item: Any) -> Markup:
    facts = item if isinstance(item, Mapping) else {"": item}
    rest = {key: value for key, value in facts.items() if value != title}
    return tag("div", tag("h4", title), _facts(rest), class_="block")


def _facts(facts: Mapping[str, Any]) -> Markup:
    pairs = [(tag("dt", words(key).replace(".", " ")), tag("dd", _value(value))) for key, value in _flat(facts)]
    return tag("dl", pairs, class_="facts")


def _flat(facts: Mapping[str, Any], above: str = "") -> Iterator[Fact]:
    """Nested objects as dotted keys; lists of objects counted from 1; empty values left out."""
    for key, value in facts.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}.")
        elif key in _COUNTED and value:
            yield name, count(len(value))
        elif isinstance(value, list | tuple) and value and all(isinstance(item, Mapping) for item in value):
            yield from _flat_list(name, value)
        elif value is not None and value not in ([], (), ""):
            yield name, value


def _flat_list(name: str, items: Iterable[Mapping[str, Any]]) -> Iterator[Fact]:
    listed = list(items)
    for number, item in enumerate(listed[:_MANY], start=1):
        yield from _flat(item, f"{name}.{number}." if len(listed) > 1 else f"{name}.")
    if len(listed) > _MANY:
        yield name, f"{count(len(listed))} in all"


def _value(value: Any) -> Markup:
    if isinstance(value, bool):
        return join("yes" if value else "no")
    if isinstance(value, list | tuple):
        return _list(value)
    text = str(value)
    if len(text) > _LONG or "\n" in text:
        return tag("details", tag("summary", f"{count(len(text))} characters"), tag("pre", text))
    return tag("code", text) if _is_digest(text) else join(text)


def _is_digest(text: str) -> bool:
    return len(text) in (40, 64) and set(text) <= set("0123456789abcdef")


def _list(values: list[Any] | tuple[Any, ...]) -> Markup:
    named = ", ".join(str(value) for value in values[:_MANY])
    return join(named, f", … ({count(len(values))} in all)" if len(values) > _MANY else None)
