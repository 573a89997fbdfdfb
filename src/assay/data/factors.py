"""A scenario file: factors, how they combine, and what is made of each combination.

    id: greetings
    version: 1
    description: Who is greeted, and when.
    parameters: {n_tips: 3}
    factors:
      persona: {nurse: a nurse on nights, student: a student before an exam}
      time_slot: [morning, evening]
    combine: product            # or spread, zip, {sample: 10, seed: 7}
    limit: 3
    input: |
      {{ persona }}, in the {{ time_slot }}

Which combinations there are, and in which order, depends on the file alone: no clock, no random state, no machine.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import reduce
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from assay.document import Document, nearest, parse, read_text
from assay.errors import ConfigError, Problem

MOST = 100_000
"""Scenarios that one file may make."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,99}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_LABEL = re.compile(r"[^/\x00-\x1f\x7f]{1,60}")
_KEYS = (
    "id",
    "version",
    "description",
    "parameters",
    "factors",
    "combine",
    "limit",
    "input",
    "prompt",
    "category",
    "cluster",
    "answer",
    "max_tokens",
)
_NEEDED = ("id", "version", "description", "factors", "input")
_TAKEN = frozenset({"input", "choices", "letters", "mode", "target", "letter", "choice", "answer_format"})
"""What prompts know by another meaning."""

_ANSWER = ("schema", "longest")

Level = tuple[str, Any]
"""A factor's level: its label, which ids and breakdowns show, and its value, which the template sees."""


@dataclass(frozen=True, slots=True)
class Factors:
    """A scenario file, read. `levels` are each factor's; `lines` knows the line of every key."""

    id: str
    version: int
    description: str
    levels: Mapping[str, tuple[Level, ...]]
    input: str
    document: Document
    line: int = 1
    """The first line of the template `input`."""

    parameters: Mapping[str, Any] = field(default_factory=dict)
    how: Literal["product", "spread", "zip", "sample"] = "product"
    drawn: int = 0
    seed: int = 0
    limit: int | None = None
    prompt: str = "text"
    category: str | None = None
    cluster: str | None = None
    answer: Mapping[str, Any] | None = None
    max_tokens: int = 512

    def __len__(self) -> int:
        """How many scenarios there are."""
        sizes = [len(levels) for levels in self.levels.values()]
        if self.how == "zip":
            total = sizes[0]
        else:
            total = self.drawn if self.how == "sample" else reduce(lambda one, other: one * other, sizes)
        return total if self.limit is None else min(total, self.limit)

    def combinations(self) -> Iterator[dict[str, Level]]:
        """Every scenario's levels by factor, in order.

        Of a product the last factor changes fastest; of `spread` every factor changes at each step.
        """
        sizes = [len(levels) for levels in self.levels.values()]
        total = reduce(lambda one, other: one * other, sizes)
        numbers: Iterator[int] = iter(_draw(total, self.drawn, self.seed) if self.how == "sample" else range(total))
        if self.how == "zip":
            found = (dict(zip(self.levels, row, strict=True)) for row in zip(*self.levels.values(), strict=True))
        else:
            at = self._spread if self.how == "spread" else self._at
            found = (at(number, sizes) for number in numbers)
        yield from islice(found, len(self))

    def _at(self, number: int, sizes: list[int]) -> dict[str, Level]:
        chosen: list[int] = []
        for size in reversed(sizes):
            number, place = divmod(number, size)
            chosen.append(place)
        names = zip(self.levels, reversed(chosen), strict=True)
        return {name: self.levels[name][place] for name, place in names}

    def _spread(self, number: int, sizes: list[int]) -> dict[str, Level]:
        """The first factor changes fastest, and each one moves on by as much as all before it: so the first few have
        different levels of every factor, and all together are the product, each combination once.
        """
        chosen, moved = [], 0
        for size in sizes:
            number, place = divmod(number, size)
            moved += place
            chosen.append(moved % size)
        return {name: self.levels[name][place] for name, place in zip(self.levels, chosen, strict=True)}


def _draw(total: int, count: int, seed: int) -> Iterator[int]:
    """`count` different numbers below `total`, by `seed` alone: the first steps of Fisher and Yates's shuffle, each
    from SHA-256, so that they are the same on every machine and Python.
    """
    moved: dict[int, int] = {}
    for step in range(count):
        hashed = hashlib.sha256(f"assay.scenario\0{seed}\0{step}".encode()).digest()
        other = step + int.from_bytes(hashed[:16], "big") % (total - step)
        moved[step], moved[other] = moved.get(other, other), moved.get(step, step)
        yield moved[step]


def read(path: Path) -> Factors:
    """The scenario file at a path. Raises ConfigError with every problem, by line."""
    return parsed(read_text(path), str(path))


def parsed(text: str, where: str) -> Factors:
    """The scenario file that a text is. Raises ConfigError with every problem, by line."""
    document = parse(text, where)
    if not isinstance(document.value, dict):
        raise ConfigError([*document.problems, document.problem((), "a scenario file is a mapping")])
    problems = [*document.problems, *_problems(document)]
    if problems:
        raise ConfigError(problems)
    value = document.value
    how, drawn, seed = _combining(value.get("combine", "product"))
    found = Factors(
        **{key: value[key] for key in ("id", "version", "description", "input")},
        levels={name: tuple(_levels(levels)) for name, levels in value["factors"].items()},
        document=document,
        line=_first_line(document, text),
        parameters=value.get("parameters") or {},
        how=how,
        drawn=drawn,
        seed=seed,
        **{
            key: value[key]
            for key in ("limit", "prompt", "category", "cluster", "answer", "max_tokens")
            if key in value
        },
    )
    if problems := list(_misfits(found)):
        raise ConfigError(problems)
    return found


def _first_line(document: Document, text: str) -> int:
    """Where `input` begins: on the line of its key, or below it where a block (`|`, `>`) follows."""
    line = document.line(("input",)) or 1
    block = re.search(r":\s*[|>][-+0-9]*\s*(#.*)?$", text.split("\n")[line - 1])
    return line + 1 if block else line


def _combining(value: Any) -> tuple[Literal["product", "spread", "zip", "sample"], int, int]:
    if isinstance(value, dict):
        return "sample", value["sample"], value.get("seed", 0)
    return ("zip" if value == "zip" else "spread" if value == "spread" else "product"), 0, 0


def _levels(levels: Any) -> Iterator[Level]:
    """A mapping's keys are labels; in a list each value is its own."""
    if isinstance(levels, dict):
        yield from levels.items()
    else:
        yield from ((str(level), level) for level in levels)


def _problems(document: Document) -> Iterator[Problem]:
    value = document.value
    for key in value:
        if key not in _KEYS:
            allowed, close = ", ".join(_KEYS), nearest(key, _KEYS)
            yield document.problem((key,), "unknown key", allowed=allowed, nearest=close)
    for key in _NEEDED:
        if key not in value:
            yield document.problem((), f"{key!r} is missing")
    yield from _head(document)
    if "factors" in value:
        yield from _factor_problems(document)
    if "parameters" in value:
        yield from _parameter_problems(document)
    if "combine" in value:
        yield from _combine_problems(document)
    if "answer" in value:
        yield from _answer_problems(document)


def _head(document: Document) -> Iterator[Problem]:
    value = document.value
    if not (isinstance(value.get("id", "x"), str) and _NAME.fullmatch(value.get("id", "x"))):
        yield document.problem(("id",), "must be a name (letters, digits, '.', '_' and '-', the first a letter)")
    for key, low, high in (("version", 1, 10**9), ("limit", 1, MOST), ("max_tokens", 1, 10**6)):
        if key in value and not _whole(value[key], low, high):
            yield document.problem((key,), f"must be a whole number from {low} to {high:,}")
    for key in ("description", "input", "prompt", "category", "cluster"):
        if key in value and (not isinstance(value[key], str) or not value[key].strip()):
            yield document.problem((key,), "must be text")


def _whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _factor_problems(document: Document) -> Iterator[Problem]:
    factors = document.value["factors"]
    if not isinstance(factors, dict) or not factors:
        yield document.problem(("factors",), "must be a mapping of factors", allowed="name: [level, …]")
        return
    for name, levels in factors.items():
        path = ("factors", name)
        yield from _name_problems(document, path, name)
        if not isinstance(levels, list | dict) or not levels:
            allowed = "a list of texts and numbers, or a mapping of labels to values"
            yield document.problem(path, "must be a list or a mapping, and not empty", allowed=allowed)
            continue
        yield from _level_problems(document, path, levels)


def _name_problems(document: Document, path: tuple[str | int, ...], name: str) -> Iterator[Problem]:
    if not _VARIABLE.fullmatch(name):
        yield document.problem(path, "must be a name that templates can use (letters, digits and '_')")
    if name in _TAKEN:
        yield document.problem(path, f"{name!r} means something else to prompts", allowed="another name")


def _level_problems(document: Document, path: tuple[str | int, ...], levels: Any) -> Iterator[Problem]:
    seen: set[str] = set()
    for place, level in levels.items() if isinstance(levels, dict) else enumerate(levels):
        at = (*path, place)
        if isinstance(levels, list) and (isinstance(level, bool) or not isinstance(level, str | int | float)):
            yield document.problem(
                at, "a level in a list is text or a number", allowed="label: value, for anything else"
            )
            continue
        label = str(place) if isinstance(levels, dict) else str(level)
        if not _LABEL.fullmatch(label):
            allowed = "1 to 60 characters without '/'; 'label: value' for a longer text"
            yield document.problem(at, "cannot be a label", allowed=allowed)
        if level is None or level == "":
            yield document.problem(at, "the level has no value")
        if label in seen:
            yield document.problem(at, f"the level {label!r} is here twice")
        seen.add(label)


def _parameter_problems(document: Document) -> Iterator[Problem]:
    parameters = document.value["parameters"]
    if not isinstance(parameters, dict):
        yield document.problem(("parameters",), "must be a mapping of names to values")
        return
    factors = document.value.get("factors")
    for name, value in parameters.items():
        path = ("parameters", name)
        yield from _name_problems(document, path, name)
        if not isinstance(value, str | int | float | bool):
            yield document.problem(path, "must be text, a number, true or false")
        if isinstance(factors, dict) and name in factors:
            yield document.problem(path, f"{name!r} is a factor, too")


def _combine_problems(document: Document) -> Iterator[Problem]:
    value, allowed = document.value["combine"], "product, spread, zip, or {sample: N, seed: S}"
    if isinstance(value, dict):
        for key in value:
            if key not in ("sample", "seed"):
                yield document.problem(("combine", key), "unknown key", allowed="sample, seed")
        if not _whole(value.get("sample"), 1, MOST):
            yield document.problem(("combine", "sample"), f"must be a whole number from 1 to {MOST:,}")
        if not _whole(value.get("seed", 0), 0, 2**63 - 1):
            yield document.problem(("combine", "seed"), "must be a whole number ≥ 0")
    elif value not in ("product", "spread", "zip"):
        yield document.problem(("combine",), "unknown way to combine factors", allowed=allowed)


def _answer_problems(document: Document) -> Iterator[Problem]:
    value = document.value["answer"]
    if not isinstance(value, dict) or not isinstance(value.get("schema"), dict):
        yield document.problem(("answer",), "must be a mapping with a JSON Schema", allowed="schema, longest")
        return
    for key in value:
        if key not in _ANSWER:
            yield document.problem(("answer", key), "unknown key", allowed=", ".join(_ANSWER))


def _misfits(found: Factors) -> Iterator[Problem]:
    """What only the factors together can be wrong about."""
    document, sizes = found.document, {name: len(levels) for name, levels in found.levels.items()}
    if found.how == "zip" and len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name} has {size}" for name, size in sizes.items())
        yield document.problem(("combine",), f"zip takes factors with as many levels each: {listed}")
        return
    total = reduce(lambda one, other: one * other, sizes.values())
    if found.how == "sample" and found.drawn > total:
        yield document.problem(("combine", "sample"), f"there are only {total:,} combinations to draw from")
    if len(found) > MOST:
        yield document.problem(("factors",), f"{len(found):,} scenarios", allowed=f"at most {MOST:,}: limit or sample")
    for key in ("category", "cluster"):
        name = getattr(found, key)
        if name is not None and name not in found.levels:
            allowed, close = ", ".join(found.levels), nearest(name, found.levels)
            yield document.problem((key,), f"{name!r} is no factor", allowed=allowed, nearest=close)
