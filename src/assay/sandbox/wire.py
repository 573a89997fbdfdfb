"""Values between processes that do not trust each other: JSON of exact builtin types.

A value is read by its exact type (`type(x) is int`, never `isinstance`), so that a subclass with lying methods does
not pass for its base; what arrives is rebuilt as genuine objects of the reader's own types. JSON's own scalars and
arrays are themselves; everything else is an object with one key, its tag. JSON has no words for infinities and NaN:
Python's `Infinity`, `-Infinity` and `NaN` stand for them. No pickle, no marshal, nothing is imported or called by
name, and a value's own methods have no say.

Other objects are not copied but *referred to*: the writer's `export` turns one into a node, the reader's `resolve`
turns that node into whatever stands for it there. What can be neither copied nor referred to (nested deeper than
`MOST_DEPTH`, cyclic, longer than a frame) is `Unsendable`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

from assay.sandbox.protocol import MOST_FRAME
from assay.sandbox.standard import PACKERS, READERS, TYPES, Node, packed

MOST_DEPTH = 1000
"""How deep a value may be nested."""

MOST_ITEMS = 4_000_000
"""How many items a value may have, those of nested containers included."""

MOST_CONTAINERS = 400_000
"""How many containers a value may hold; one that holds itself many times over has no end."""

_STACK = 6 * MOST_DEPTH
_DIGITS = 4300
_WORD = 1 << 63

Export = Callable[[Any], Node]
Resolve = Callable[[str, Any], Any]


class WireError(Exception):
    """What arrived is not the protocol."""


class Unsendable(Exception):
    """A value that cannot cross; the message says why."""


class Opaque:
    """What stands for a value that could not cross. It equals nothing and cannot be used for anything."""

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def __eq__(self, other: object) -> bool:
        return False

    def __ne__(self, other: object) -> bool:
        raise self._unusable()

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise self._unusable()

    def __repr__(self) -> str:
        return f"<a value that could not be sent: {self.reason}>"

    def _unusable(self) -> TypeError:
        return TypeError(f"the value could not be sent: {self.reason}")


_ENDS = (StopIteration, StopAsyncIteration)


def exception(kinds: Any, message: Any) -> Exception:
    """The first of the named builtin exceptions that a message alone can make; RuntimeError where none can, and in
    place of those that only iterators may raise: elsewhere they would end a loop (`all(map(candidate, …))`) unseen.
    """
    for name in kinds if type(kinds) is list else ():
        kind = TYPES.get(name) if type(name) is str else None
        if kind in _ENDS:
            break
        if kind is not None and issubclass(kind, Exception):
            try:
                return kind(message)
            except TypeError:  # UnicodeDecodeError wants five arguments
                continue
    return RuntimeError(message)


def refuse(value: Any) -> NoReturn:
    """An `export` that refers to nothing. Raises Unsendable."""
    raise Unsendable(f"a value of type {type(value).__name__[:60]!r} cannot be sent")


def unknown(tag: str, body: Any) -> NoReturn:
    """A `resolve` that knows nothing. Raises WireError."""
    raise WireError(f"there is no tag {tag[:20]!r} here")


# Writing

_ATOMS = frozenset({str, float, bool, type(None)})
_PLAIN = _ATOMS | {int}


class _Packer:
    """Turns one value into a node."""

    __slots__ = ("containers", "export", "left")

    def __init__(self, export: Export) -> None:
        self.export = export
        self.left = MOST_ITEMS
        self.containers = MOST_CONTAINERS

    def pack(self, value: Any, depth: int) -> Node:
        kind = type(value)
        if kind in _ATOMS:
            return value
        if kind is int:
            return value if -_WORD <= value < _WORD else {"i": f"{value:x}"}
        if depth > MOST_DEPTH:
            raise Unsendable(f"nested deeper than {MOST_DEPTH} levels, or cyclic")
        if kind is list:
            return self.items(value, depth)
        packer = PACKERS.get(kind)
        if packer is not None:
            return packer(self, value, depth)
        node = packed(self, value, depth)
        return self.export(value) if node is None else node

    def items(self, values: Sequence[Any], depth: int) -> Node:
        """An array of the items; `values` itself where JSON can say all of them."""
        self.left -= len(values)
        self.containers -= 1
        if self.left < 0 or self.containers < 0:
            raise Unsendable(f"more than {MOST_ITEMS} items or {MOST_CONTAINERS} containers")
        kinds = set(map(type, values))
        if kinds <= _ATOMS:
            return values
        if kinds == {int} and min(values) >= -_WORD and max(values) < _WORD:
            return values
        depth += 1
        return [self.pack(value, depth) for value in values]


def encode(value: Any, export: Export = refuse) -> bytes:
    """A value as the text of a frame. Raises Unsendable, and what `export` raises."""
    try:
        body: bytes = _bounded(_write, value, export)
    except RecursionError:
        raise Unsendable("nested too deep") from None
    return body


def _write(value: Any, export: Export) -> bytes:
    return dumps(_Packer(export).pack(value, 0))


def dumps(node: Node) -> bytes:
    """A node as the text of a frame. Raises Unsendable where it is too long."""
    body = _encode(node).encode("utf-8", "surrogatepass")
    if len(body) > MOST_FRAME:
        raise Unsendable(f"longer than {MOST_FRAME} bytes")
    return body


_encode = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode


# Reading


class _Unpacker:
    """Turns one node into a value."""

    __slots__ = ("resolve",)

    def __init__(self, resolve: Resolve) -> None:
        self.resolve = resolve

    def unpack(self, node: Node) -> Any:
        kind = type(node)
        if kind is list:
            return self.items(node)
        if kind is not dict:
            return node
        if len(node) != 1:
            raise WireError("a tagged value has one tag")
        ((tag, body),) = node.items()
        reader = READERS.get(tag)
        return self.resolve(tag, body) if reader is None else reader(self, body)

    def items(self, nodes: Node) -> list[Any]:
        if type(nodes) is not list:
            raise WireError("a list is expected")
        kinds = set(map(type, nodes))
        if list in kinds or dict in kinds:
            return [self.unpack(node) for node in nodes]
        return nodes

    def pairs(self, nodes: Node) -> Iterable[tuple[Any, Any]]:
        keys, values = nodes
        return zip(self.items(keys), self.items(values), strict=True)


def decode(body: bytes, resolve: Resolve = unknown) -> Any:
    """The value that a frame holds, rebuilt. Raises WireError on whatever is not one."""
    digits = sys.get_int_max_str_digits()
    if digits != _DIGITS:
        sys.set_int_max_str_digits(_DIGITS)  # reading a decimal takes time quadratic in its length
    try:
        return _bounded(_read, body, resolve)
    except WireError:
        raise
    except Exception as error:  # every malformed thing, MemoryError and RecursionError included, is one error
        raise WireError(f"{type(error).__name__}: {str(error)[:200]}") from None
    finally:
        if digits != _DIGITS:
            sys.set_int_max_str_digits(digits)


def _read(body: bytes, resolve: Resolve) -> Any:
    return _Unpacker(resolve).unpack(loads(body))


def loads(body: bytes) -> Node:
    """The node that a frame holds. Raises WireError where it is too large, and what a JSON reader raises."""
    crowded = len(body) > _MOST_BRACKETS < _brackets(body)
    if crowded and _brackets(_STRING.sub(b"", body)) > _MOST_BRACKETS:
        raise WireError(f"more than {MOST_CONTAINERS} containers")
    return _decode(body.decode("utf-8", "surrogatepass"))


_decode = json.JSONDecoder().decode
_MOST_BRACKETS = 4 * MOST_CONTAINERS  # a tagged value takes two or three
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"')


def _brackets(body: bytes) -> int:
    return body.count(b"[") + body.count(b"{")


def _bounded(work: Callable[[Any, Any], Any], subject: Any, hook: Any) -> Any:
    """With a stack deep enough for `MOST_DEPTH` and no deeper, whatever the program has set."""
    limit = sys.getrecursionlimit()
    if limit <= _STACK:
        try:
            return work(subject, hook)
        except RecursionError:
            pass
    try:
        sys.setrecursionlimit(_STACK)
        return work(subject, hook)
    finally:
        sys.setrecursionlimit(limit)
