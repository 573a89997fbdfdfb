"""What the schema asks for at a path, in words: "a whole number ≥ 1".

Messages are made of this, not of pydantic's own, so that they read the same for every way of being wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from assay.document import Path

_PLAIN = {str: "text", bool: "true or false", int: "a whole number", float: "a number", Any: "any value"}
_SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
_UNBOUNDED = 10**9
"""Upper bounds from here on only keep numbers sane, and would be noise in a message."""


def keys_at(root: type[BaseModel], path: Path) -> tuple[str, ...]:
    """The keys that the mapping at `path` may have; none where it is not a mapping of known keys."""
    found = next((kind for kind, _ in _branches(root, path) if _is_model(kind)), None)
    return tuple(found.model_fields) if found else ()


def literals_at(root: type[BaseModel], path: Path) -> tuple[str, ...]:
    """The words of which the value at `path` must be one; none where it is not such a choice."""
    kinds = [kind for kind, _ in _branches(root, path) if get_origin(kind) is Literal]
    return tuple(str(option) for kind in kinds for option in get_args(kind))


def expected(root: type[BaseModel], path: Path) -> str | None:
    """What the value at `path` must be, in words; None where the schema has no such path."""
    return _either(_words(kind, info) for kind, info in _branches(root, path))


def _branches(root: type[BaseModel], path: Path) -> list[tuple[Any, list[Any]]]:
    """The (type, constraints) pairs that a value at `path` may have, None left out."""
    branches: list[tuple[Any, list[Any]]] = [(root, [])]
    for part in path:
        branches = [step for kind, _ in branches for step in _step(kind, part)]
    return branches


def _step(kind: Any, part: str | int) -> Iterator[tuple[Any, list[Any]]]:
    if _is_model(kind) and part in kind.model_fields:
        info: FieldInfo = kind.model_fields[part]
        yield from _unfold(info.annotation, [info, *info.metadata])
    elif get_origin(kind) is tuple and isinstance(part, int):
        yield from _unfold(get_args(kind)[0], [])
    elif get_origin(kind) is dict and isinstance(part, str):
        yield from _unfold(get_args(kind)[1], [])


def _unfold(kind: Any, constraints: list[Any]) -> Iterator[tuple[Any, list[Any]]]:
    """Take `Annotated` and unions apart."""
    if get_origin(kind) is Annotated:
        inner, *more = get_args(kind)
        yield from _unfold(inner, [*more, *(meta for info in more for meta in getattr(info, "metadata", []))])
    elif get_origin(kind) in (Union, UnionType):
        for member in get_args(kind):
            yield from _unfold(member, constraints if len(_members(kind)) == 1 else [])
    elif kind is not NoneType:
        yield kind, constraints


def _members(kind: Any) -> list[Any]:
    return [member for member in get_args(kind) if member is not NoneType]


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _words(kind: Any, constraints: Sequence[Any]) -> str:
    for info in constraints:
        if isinstance(info, FieldInfo) and info.description:
            return info.description
    if get_origin(kind) is Literal:
        return _either(str(option) for option in get_args(kind)) or ""
    if get_origin(kind) is tuple:
        return _list(kind, constraints)
    if get_origin(kind) is dict or _is_model(kind):
        return "a mapping"
    return _PLAIN.get(kind, str(kind)) + _bounds(constraints)


def _list(kind: Any, constraints: Sequence[Any]) -> str:
    item = _either(_words(inner, info) for inner, info in _unfold(get_args(kind)[0], []))
    least = next((info.min_length for info in constraints if hasattr(info, "min_length")), 0)
    return f"a list{' of at least one' if least else ''} (each {item})"


def _bounds(constraints: Sequence[Any]) -> str:
    found = [
        f"{sign} {value:,}"
        for name, sign in _SIGNS.items()
        for info in constraints
        if (value := getattr(info, name, None)) is not None and abs(value) < _UNBOUNDED
    ]
    return " " + " and ".join(found) if found else ""


def _either(parts: Iterable[str]) -> str | None:
    """`a`, `a or b`, `a, b or c`."""
    known = list(dict.fromkeys(parts))
    if len(known) < 2:
        return known[0] if known else None
    return f"{', '.join(known[:-1])} or {known[-1]}"
