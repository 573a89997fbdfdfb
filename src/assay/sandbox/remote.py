"""The checker's end of the channel, and what stands in the checker for objects of the solution.

Everything that arrives is hostile. A plain value is rebuilt; an object that stays in the solution is a `Handle`, which
lets the tests use it but never lets it decide a test: it equals nothing, it is neither true nor false, and what would
merely answer yes (`in`, `startswith`, `isdigit`) is not passed on. Whatever is not the protocol ends the attempt by
`Lost`, which tests cannot catch by `except Exception` and which every later use of the channel raises again.
"""

from __future__ import annotations

import select
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

from assay.sandbox import frames, wire
from assay.sandbox.execution import Status
from assay.sandbox.solution import kinds, message
from assay.sandbox.standard import Node

MOST_NESTED = 50
"""How deep calls and calls back may be nested."""

_PREDICATES = frozenset(
    name for kind in (str, bytes, set) for name in dir(kind) if name.startswith(("is", "starts", "ends"))
) | {"is_integer"}


class Lost(BaseException):
    """The attempt is over: the solution is gone, or what it sent is not the protocol."""

    def __init__(self, status: Status, kind: str = "", message: str = "") -> None:
        super().__init__(message)
        self.status, self.kind, self.message = status, kind, message


class _Stuck(wire.Unsendable):
    """An object of the tests' that the solution cannot be given at all."""


class _Stop(Exception):
    """An iterator of the solution has ended."""


class Handle:
    """An object that lives in the solution."""

    __slots__ = ("_link", "_node")

    def __init__(self, link: Link, node: list[Any]) -> None:
        object.__setattr__(self, "_link", link)
        object.__setattr__(self, "_node", node)

    def __eq__(self, other: object) -> bool:
        return False

    def __ne__(self, other: object) -> bool:
        raise TypeError(f"{self!r} cannot be compared")

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        raise TypeError(f"{self!r} is neither true nor false")

    def __repr__(self) -> str:
        return f"<an object of the solution: {self._node[2]}>"

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError(f"{self!r} cannot be copied")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in _PREDICATES:
            raise AttributeError(f"{self!r} is not asked for {name!r}")
        return self._link.ask("get", self._node[0], name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("__"):
            raise AttributeError(f"{name!r} is not set on {self!r}")
        self._link.ask("set", self._node[0], name, value)

    def __iter__(self) -> Iterator[Any]:
        iterator = self._link.ask("iter", self._node[0])
        if not isinstance(iterator, Values):
            raise TypeError(f"{self!r} cannot be iterated")
        return iterator

    def __contains__(self, value: Any) -> bool:
        return any(item is value or item == value for item in self)

    def __len__(self) -> int:
        size = self._link.ask("len", self._node[0])
        if type(size) is not int:
            raise TypeError(f"{self!r} has no length")
        return size

    def __getitem__(self, key: Any) -> Any:
        return self._link.ask("item", self._node[0], key)


class Function(Handle):
    """A function or class of the solution."""

    __slots__ = ()

    def __call__(self, /, *arguments: Any, **keywords: Any) -> Any:
        """Call it where it lives."""
        return self._link.call(self._node[0], arguments, keywords)


class Values(Handle):
    """An iterator of the solution."""

    __slots__ = ()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            return self._link.ask("next", self._node[0])
        except _Stop:
            raise StopIteration from None


class Match(Handle):
    """A match of a regular expression, which is true as every match is: no more than `True` itself could claim."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return True


_HANDLES: dict[str, type[Handle]] = {"f": Function, "i": Values, "m": Match, "o": Handle}

_USES: dict[str, Callable[..., Any]] = {
    "call": lambda value, arguments: value(*arguments),
    "next": lambda value, arguments: next(value),
    "iter": lambda value, arguments: iter(value),
    "len": lambda value, arguments: len(value),
}


class Link:
    """One attempt's channel. `last` is what the solution last returned, `calls` how often it was called."""

    def __init__(self, channel: int) -> None:
        self.lost: Lost | None = None
        self.last: Any = None
        self.calls = 0
        self._channel = channel
        self._number = 0
        self._nested = 0
        self._handles: dict[int, Handle] = {}
        self._objects: list[Any] = []
        self._numbers: dict[int, int] = {}

    def hello(self) -> list[str]:
        """How the solution's loading went: [status, kind, message]. Raises Lost."""
        frame = self._receive()
        if len(frame) != 4 or frame[0] != 0 or set(map(type, frame[1:])) != {str}:
            raise self._lose(Status.VIOLATION, "WireError", "what came first was not a greeting")
        return frame[1:]

    def entry(self, name: str) -> Function:
        """What stands for the entry point."""
        return Function(self, [name, "f", name])

    def names(self, names: Sequence[str]) -> list[Any]:
        """What the solution has under these names. Raises Lost."""
        found = self.ask("names", list(names))
        if type(found) is not list or len(found) != len(names):
            raise self._lose(Status.VIOLATION, "WireError", "names were asked for")
        return found

    def call(self, target: str | int, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        """Call something of the solution's. Raises what it raises, and Lost."""
        self.calls += 1
        request: list[Any] = ["call", target, list(arguments)]
        if keywords:
            request.append(keywords)
        reply = self._request(request)
        self.last = value = reply[2]
        if len(reply) > 3:
            self._change(arguments, keywords, reply[3])
        return value

    def ask(self, *request: Any) -> Any:
        """Use an object of the solution's in another way. Raises what it raises, and Lost."""
        return self._request(list(request))[2]

    def finish(self) -> None:
        """Look once more at the channel. Raises Lost where it is not silent and open."""
        if self.lost is not None:
            raise self.lost
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        if poll.poll(0):
            self._receive()
            raise self._lose(Status.VIOLATION, "WireError", "an answer to no question")

    def _request(self, request: list[Any]) -> list[Any]:
        if self.lost is not None:
            raise self.lost
        self._number += 1
        number = self._number
        self._ask([number, *request])
        while True:
            frame = self._receive()
            if frame[1] == "ask":
                self._answer(frame)
            elif frame[0] == number:
                return self._reply(frame)
            else:
                raise self._lose(Status.VIOLATION, "WireError", "an answer to another question")

    def _reply(self, frame: list[Any]) -> list[Any]:
        match frame[1:]:
            case ["value", _] | ["value", _, list()]:
                return frame
            case ["stop"]:
                raise _Stop
            case ["memory"]:
                raise self._lose(Status.OUT_OF_MEMORY, "MemoryError", "")
            case ["error", list() as names, str() as said]:
                raise wire.exception(names, said)
        raise self._lose(Status.VIOLATION, "WireError", "an answer of no known kind")

    def _answer(self, frame: list[Any]) -> None:
        """Let the solution use an object of the tests' that it was given."""
        match frame[2:]:
            case [str() as use, int() as number, list() as arguments] if (
                use in _USES and 0 <= number < len(self._objects) and self._nested < MOST_NESTED
            ):
                pass
            case _:
                raise self._lose(Status.VIOLATION, "WireError", "a question of no known kind")
        self._nested += 1
        try:
            reply = [frame[0], "value", _USES[use](self._objects[number], arguments)]
        except StopIteration as error:
            reply = [frame[0], "stop"] if use == "next" else [frame[0], "error", kinds(error), message(error)]
        except Exception as error:
            reply = [frame[0], "error", kinds(error), message(error)]
        finally:
            self._nested -= 1
        try:
            self._send(reply)
        except (wire.Unsendable, TypeError) as error:
            self._send([frame[0], "error", ["TypeError"], message(error)])

    def _ask(self, request: list[Any]) -> None:
        try:
            self._send(request)
        except _Stuck as error:
            raise self._lose(Status.SANDBOX_ERROR, "TypeError", str(error)) from None
        except wire.Unsendable as error:
            raise ValueError(f"cannot be sent to the solution: {error}") from None

    def _send(self, frame: list[Any]) -> None:
        body = wire.encode(frame, self._export)
        try:
            frames.send(self._channel, body)
        except frames.Closed:
            raise self._lose(Status.EXITED) from None

    def _receive(self) -> list[Any]:
        try:
            frame = wire.decode(frames.receive(self._channel), self._resolve)
        except frames.Closed:
            raise self._lose(Status.EXITED) from None
        except wire.WireError as error:
            raise self._lose(Status.VIOLATION, "WireError", str(error)) from None
        if type(frame) is not list or len(frame) < 2 or type(frame[0]) is not int:
            raise self._lose(Status.VIOLATION, "WireError", "a frame of no known kind")
        return frame

    def _lose(self, status: Status, kind: str = "", message: str = "") -> Lost:
        self.lost = self.lost or Lost(status, kind, message)
        return self.lost

    def _export(self, value: Any) -> Node:
        if isinstance(value, Handle):
            return {"h": value._node}
        if type(value) is wire.Opaque:
            raise TypeError(f"{value!r} cannot be sent back")
        kind = "f" if callable(value) else "i" if hasattr(type(value), "__next__") else "o"
        if kind == "o" and (not hasattr(type(value), "__iter__") or hasattr(type(value), "__getitem__")):
            name = type(value).__name__
            raise _Stuck(f"a value of type {name!r} cannot be given to the solution: such tests must be shared")
        number = self._numbers.get(id(value))
        if number is None:
            number = self._numbers[id(value)] = len(self._objects)
            self._objects.append(value)
        return {"c": [number, kind]}

    def _resolve(self, tag: str, body: Any) -> Any:
        match tag, body:
            case "h", [int() as number, str() as kind, str() as name] if kind in _HANDLES:
                handle = self._handles.get(number)
                if handle is None or handle._node != body:
                    handle = self._handles[number] = _HANDLES[kind](self, [number, kind, name[:60]])
                return handle
            case "c", [int() as number, str()] if 0 <= number < len(self._objects):
                return self._objects[number]
            case "?", str() as reason:
                return wire.Opaque(reason[:200])
            case "a", None:
                return wire.Opaque("an array, and numpy is not loaded here")
        return wire.unknown(tag, body)

    def _change(self, arguments: tuple[Any, ...], keywords: dict[str, Any], changes: list[Any]) -> None:
        """Do to the tests' own objects what the call did to its copies."""
        for change in changes:
            match change:
                case [int() as place, value] if 0 <= place < len(arguments):
                    update(arguments[place], value)
                case [str() as name, value] if name in keywords:
                    update(keywords[name], value)
                case _:
                    raise self._lose(Status.VIOLATION, "WireError", "a change to no argument")


def update(old: Any, new: Any) -> None:
    """Make a container, in place, what another of the same type is; the containers within it stay the objects they
    were where they can be told apart. Does nothing to what cannot change.
    """
    kind = type(old)
    if kind is not type(new):
        return
    if kind is tuple:
        for before, after in zip(old, new, strict=False):
            update(before, after)
    elif isinstance(old, dict):
        values = _kept([old.get(key) for key in new], list(new.values()))
        keys = list(new)
        dict.clear(old)
        dict.update(old, zip(keys, values, strict=True))
    elif isinstance(old, set):
        old.clear()
        old.update(new)
    elif isinstance(old, deque):
        values = _kept(list(old), list(new))
        old.clear()
        old.extend(values)
    elif kind is list:
        old[:] = _kept(old, new)
    elif isinstance(old, bytearray | array):
        old[:] = new
    elif kind.__module__ == "numpy" and old.shape == new.shape and old.shape:
        old[...] = new


def _kept(old: list[Any], new: list[Any]) -> list[Any]:
    """The new items; containers among them as the very objects they were, found by place or, having moved, by value."""
    values, free = list(new), dict(enumerate(old))
    places = [place for place, value in enumerate(new) if type(value) in _CONTAINERS]
    for place in places:
        if place in free and free[place] == new[place]:
            values[place] = free.pop(place)
    moved = [place for place in places if values[place] is new[place]]
    for place in moved if len(moved) <= _MOST_SOUGHT else ():
        found = next((index for index, item in free.items() if item == new[place]), None)
        if found is not None:
            values[place] = free.pop(found)
    for place in moved:
        if values[place] is new[place] and type(free.get(place)) is type(new[place]):
            values[place] = free.pop(place)
            update(values[place], new[place])
    return values


_CONTAINERS = frozenset({list, dict, set, bytearray, tuple, deque})
_MOST_SOUGHT = 1000
