"""The solution's process: it holds the solution and answers calls. Nothing here decides anything.

What it sends is untrusted, and a solution may well send frames of its own. Frames are JSON arrays:

    solution → checker, once            [0, status, kind, message]
    checker → solution                  [n, "call", target, arguments, keywords?]   [n, "get", target, name]
                                        [n, "set", target, name, value]             [n, "item", target, key]
                                        [n, "next" | "iter" | "len", target]        [n, "names", names]
    the answer, either way              [n, "value", value, changed?]   [n, "stop"]   [n, "error", kinds, message]
    solution → checker                  [n, "memory"]
    solution → checker, while it is     [n, "ask", "call" | "next" | "iter" | "len", target, arguments]
    asked itself

A target is the entry point's name or the number of an object. In a value, `{"h": [number, kind, name]}` is an object
that lives here and `{"c": [number, kind]}` one that lives in the checker; kind is `f` for what can be called, `i` for
an iterator, `m` for a match of a regular expression, `o` for the rest. `changed` lists the arguments that the call
changed in place: [position or keyword, value].
"""

from __future__ import annotations

import gc
import io
import os
import re
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from assay.sandbox import frames, wire
from assay.sandbox.standard import TYPE_NAMES, Node

MOST_MESSAGE = 500
"""Characters of an exception's message that are sent."""

_CONSTANT = frozenset({int, float, str, bool, type(None), bytes, complex, range})
MODULE = "solution"
# What a compiler has to say of a solution is nobody's news; set here, since it costs each child that sets it.
warnings.simplefilter("ignore", SyntaxWarning)
_NOTHING = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")  # made here: in a forked child it costs 0.4 ms


def serve(source: str, entry_point: str, channel: int) -> NoReturn:
    """Load the program and answer calls on the descriptor until its other end is closed; then end the process."""
    gc.enable()
    sys.stdin = _NOTHING
    streams = (sys.stdout, sys.stderr)
    code = 0
    try:
        server = Server(channel)
        namespace = server.load(source, entry_point)
        if namespace is not None:
            server.run(namespace[entry_point], namespace)
    except frames.Closed:
        pass
    except SystemExit as leaving:
        code = _exit_code(leaving)
    except BaseException:  # KeyboardInterrupt, or a solution that broke what it runs on
        code = 1
    for stream in streams:
        try:
            stream.flush()
        except BaseException:  # the solution may have closed it, or worse
            code = code or 1
    os._exit(code)


def _exit_code(leaving: SystemExit) -> int:
    code = leaving.code
    return 0 if code is None else code & 255 if type(code) is int else 1


def kinds(error: BaseException) -> list[str]:
    """The names of the builtin exceptions that an exception is, nearest first."""
    return [name for kind in type(error).__mro__ if (name := TYPE_NAMES.get(kind))]


def message(error: BaseException) -> str:
    """What an exception says, cut short; empty where it cannot say it."""
    try:
        said = error.args[0] if isinstance(error, KeyError) and len(error.args) == 1 else error  # its text is a repr
        return str.__getitem__(str(said), slice(0, MOST_MESSAGE))
    except Exception:
        return ""


def _kind(value: Any) -> str:
    if callable(value):
        return "f"
    if hasattr(type(value), "__next__"):
        return "i"
    return "m" if type(value) is re.Match else "o"


class Server:
    """Answers calls on one channel."""

    def __init__(self, channel: int) -> None:
        self._channel = channel
        self._flush_out, self._flush_err = sys.stdout.flush, sys.stderr.flush
        self._objects: list[Any] = []
        self._numbers: dict[int, int] = {}
        self._asked = 0
        self._entry: Any = None
        self._namespace: dict[str, Any] = {}
        self._actions: dict[str, Callable[..., Any]] = {
            "get": lambda frame: getattr(self._target(frame), frame[3]),
            "set": lambda frame: setattr(self._target(frame), frame[3], frame[4]),
            "item": lambda frame: self._target(frame)[frame[3]],
            "next": lambda frame: next(self._target(frame)),
            "iter": lambda frame: iter(self._target(frame)),
            "len": lambda frame: len(self._target(frame)),
            "names": lambda frame: [self._named(name) for name in frame[2]],
        }

    def load(self, source: str, entry_point: str) -> dict[str, Any] | None:
        """Run the program's top level and say how that went; its names, or None where there is nothing to call."""
        code = self._compile(source)
        if code is None:
            return None
        module = types.ModuleType(MODULE)
        sys.modules[MODULE] = module
        try:
            exec(code, module.__dict__)
        except (SystemExit, KeyboardInterrupt):
            raise
        except MemoryError as error:
            error.__traceback__ = None
            self._send([0, "out_of_memory", "MemoryError", ""])
            return None
        except BaseException as error:
            self._send([0, "load_error", type(error).__name__, message(error)])
            return None
        if entry_point not in module.__dict__:
            self._send([0, "missing_entry_point", "NameError", f"the solution defines no {entry_point!r}"])
            return None
        self._send([0, "loaded", "", ""])
        return module.__dict__

    def _compile(self, source: str) -> types.CodeType | None:
        try:
            return compile(source, "<solution>", "exec", dont_inherit=True)
        except Exception as error:  # SyntaxError, or RecursionError, MemoryError and others from the parser
            self._send([0, "compile_error", type(error).__name__, message(error)])
            return None

    def run(self, entry: Any, namespace: dict[str, Any]) -> NoReturn:
        """Answer until the channel closes. Raises wire.Closed, and what ends a process."""
        self.offer(entry, namespace)
        while True:
            self.step()

    def offer(self, entry: Any, namespace: dict[str, Any]) -> None:
        """What can be called: the entry point, and the names beside it."""
        self._entry, self._namespace = entry, namespace

    def step(self) -> None:
        """Answer one frame."""
        self._answer(*self._receive())

    def _receive(self) -> tuple[list[Any], bytes]:
        raw = frames.receive(self._channel)
        return wire.decode(raw, self._resolve), raw

    def _send(self, frame: list[Any]) -> None:
        """Send a frame. What was printed goes first: after the last answer the process may be ended at any moment."""
        try:
            self._flush_out()
            self._flush_err()
        except (OSError, ValueError):  # no more than this may be printed, or the solution has closed it
            pass
        frames.send(self._channel, wire.encode(frame, self._export))

    def _answer(self, frame: list[Any], raw: bytes) -> None:
        number, action = frame[0], frame[1]
        try:
            reply = self._call(frame, raw) if action == "call" else [number, "value", self._actions[action](frame)]
            self._send_value(reply)
        except (SystemExit, KeyboardInterrupt, frames.Closed):
            raise
        except MemoryError as error:
            error.__traceback__ = None  # whose frames hold what filled the memory
            self._send([number, "memory"])
        except StopIteration as error:
            self._send([number, "stop"] if action == "next" else [number, "error", kinds(error), message(error)])
        except BaseException as error:  # a solution raises what it likes
            self._send([number, "error", kinds(error), message(error)])

    def _send_value(self, reply: list[Any]) -> None:
        try:
            self._send(reply)
        except wire.Unsendable as reason:
            reply[2] = wire.Opaque(str(reason))
            self._send(reply)

    def _call(self, frame: list[Any], raw: bytes) -> list[Any]:
        arguments = frame[3]
        keywords = frame[4] if len(frame) > 4 else {}
        value = self._target(frame)(*arguments, **keywords)
        reply = [frame[0], "value", value]
        if not (_CONSTANT.issuperset(map(type, arguments)) and _CONSTANT.issuperset(map(type, keywords.values()))):
            changed = self._changed(raw, arguments, keywords)
            if changed:
                reply.append(changed)
        return reply

    def _changed(self, raw: bytes, arguments: list[Any], keywords: dict[str, Any]) -> list[list[Any]]:
        """The arguments that no longer are what the frame says."""
        now = wire.encode(arguments, self._export)
        if keywords:
            now += b"," + wire.encode(keywords, self._export)
        if raw.endswith(b"," + now + b"]"):
            return []
        before = wire.loads(raw)
        pairs = [[place, value, node] for place, (value, node) in enumerate(zip(arguments, before[3], strict=True))]
        if keywords:
            names, nodes = before[4]["d"]
            pairs += [[name, keywords[name], node] for name, node in zip(names, nodes, strict=True)]
        return [[place, value] for place, value, node in pairs if wire.encode(value, self._export) != wire.dumps(node)]

    def _target(self, frame: list[Any]) -> Any:
        target = frame[2]
        return self._entry if type(target) is str else self._objects[target]

    def _named(self, name: str) -> list[Any] | None:
        """A name of the solution that its tests use: [`module`, its name], [`object`, it], or None."""
        if name not in self._namespace:
            return None
        value = self._namespace[name]
        return ["module", value.__name__] if isinstance(value, types.ModuleType) else ["object", value]

    def _export(self, value: Any) -> Node:
        if type(value) is wire.Opaque:
            return {"?": value.reason}
        if type(value) in _PROXIES.values():
            return {"c": [value.number, value.kind]}
        number = self._numbers.get(id(value))
        if number is None:
            number = self._numbers[id(value)] = len(self._objects)
            self._objects.append(value)
        return {"h": [number, _kind(value), type(value).__name__[:60]]}

    def _resolve(self, tag: str, body: Any) -> Any:
        if tag == "h":
            return self._objects[body[0]]
        if tag == "c":
            return _PROXIES[body[1]](self, *body)
        return wire.unknown(tag, body)

    def ask(self, action: str, number: int, arguments: list[Any]) -> Any:
        """Use an object that lives in the checker."""
        self._asked += 1
        asked = self._asked
        self._send([asked, "ask", action, number, arguments])
        while True:
            frame, raw = self._receive()
            if frame[1] == "value":
                return frame[2]
            if frame[1] == "stop":
                raise StopIteration
            if frame[1] == "error":
                raise wire.exception(frame[2], frame[3])
            self._answer(frame, raw)


class Proxy:
    """An object that lives in the checker."""

    def __init__(self, server: Server, number: int, kind: str) -> None:
        self._server, self.number, self.kind = server, number, kind

    def __iter__(self) -> Iterator[Any]:
        return self._server.ask("iter", self.number, [])  # type: ignore[no-any-return]

    def __len__(self) -> int:
        return self._server.ask("len", self.number, [])  # type: ignore[no-any-return]


class Function(Proxy):
    """Something of the tests' that can be called."""

    def __call__(self, *arguments: Any) -> Any:
        """Call it where it lives."""
        return self._server.ask("call", self.number, list(arguments))


class Values(Proxy):
    """An iterator of the tests'."""

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return self._server.ask("next", self.number, [])


_PROXIES: dict[str, type[Proxy]] = {"f": Function, "i": Values, "o": Proxy}
