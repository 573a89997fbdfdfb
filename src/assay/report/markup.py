"""HTML that cannot be broken out of: every text is escaped where it becomes HTML, and nowhere else."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Any

import orjson

_VOID = frozenset({"meta", "link", "br", "input", "hr"})
_UNSAFE_IN_SCRIPT = {
    "<": "\\u003c",
    ">": "\\u003e",
    "&": "\\u0026",
    "\u2028": "\\u2028",
    "\u2029": "\\u2029",
}


class Markup(str):
    """Text that is HTML already. Only this module and the page's own files make it."""

    __slots__ = ()


Child = str | None | Iterable["Child"]


def tag(name: str, /, *children: Child, **attributes: Any) -> Markup:
    """One element. Plain strings are escaped, Markup is kept, None is skipped, iterables are flattened.

    Attribute names: a trailing `_` is dropped and others become `-`. None and False leave an attribute out,
    True writes it bare.
    """
    head = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Markup(f"<{name}{head}>")
    return Markup(f"<{name}{head}>{_inside(children)}</{name}>")


def join(*children: Child) -> Markup:
    """Several pieces after one another."""
    return Markup(_inside(children))


def _attribute(key: str, value: Any) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{html.escape(str(value))}"'


def _inside(children: Iterable[Child]) -> str:
    return "".join(_piece(child) for child in children)


def _piece(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child
    return html.escape(child) if isinstance(child, str) else _inside(child)


def embedded(value: Any) -> Markup:
    """A JSON value that may stand inside a script element: no character in it can end that element.

    Text that is not valid Unicode (a lone surrogate) is replaced rather than refused.
    """
    try:
        text = orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        text = orjson.dumps(_valid(value)).decode()
    for character, escape in _UNSAFE_IN_SCRIPT.items():
        text = text.replace(character, escape)
    return Markup(text)


def _valid(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_valid(key): _valid(item) for key, item in value.items()}
    return [_valid(item) for item in value] if isinstance(value, list | tuple) else value
