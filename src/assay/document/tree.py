"""What a parsed document is: plain values, the line of each, and what is wrong with it.

Both readers (YAML, JSON) build `Node`s; `flatten` turns them into plain values, expands aliases and merge
keys, and refuses what would blow up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from assay.errors import ConfigError, Problem

Path = tuple[str | int, ...]
"""Where a value is in a document: `("tasks", 1, "few_shot")`."""

MAX_DEPTH = 32
MAX_VALUES = 20_000


class Word(str):
    """Text that YAML 1.1 reads as true or false (`yes`, `no`, `on`, `off`) and YAML 1.2 as text.

    It counts as text; whoever cannot tell which was meant refuses it.
    """

    __slots__ = ()


class Unread(str):
    """A scalar that could not be read; its problem is among the document's already."""

    __slots__ = ()


@dataclass(slots=True)
class Node:
    """One value as written: a scalar, a list of nodes, or a list of (key, value) pairs of nodes."""

    line: int
    value: Any
    kind: str = "scalar"
    merge: bool = False


@dataclass(slots=True)
class Document:
    """A parsed text: `value` in plain dicts, lists and scalars; `lines` from 1, of keys and list items."""

    where: str
    value: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def line(self, path: Path) -> int | None:
        """The line of the value at `path`, or of the nearest value around it."""
        return line_of(self.lines, path)

    def problem(self, path: Path, message: str, **more: Any) -> Problem:
        """A Problem that names this file, the value's line and its dotted key."""
        return Problem(message, where=self.where, line=self.line(path), key=dotted(path) or None, **more)


def line_of(lines: Mapping[Path, int], path: Path) -> int | None:
    """The line of `path` or of its nearest ancestor that has one."""
    for end in range(len(path), -1, -1):
        if (line := lines.get(path[:end])) is not None:
            return line
    return None


def dotted(path: Path) -> str:
    """`("tasks", 1, "few_shot")` as `tasks[1].few_shot`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The one of `names` that looks most like `name`, None where none is close."""
    import difflib

    names = sorted(names)
    folded = {other.casefold(): other for other in reversed(names)}
    found = difflib.get_close_matches(name[:200].casefold(), folded, n=1, cutoff=0.6)
    return folded[found[0]] if found else None


def flatten(root: Node, where: str) -> Document:
    """The document under `root`. Raises ConfigError where it is too deep or, aliases expanded, too large."""
    document = Document(where)
    document.value = _Flattener(document).value(root, ())
    return document


class _Flattener:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.count = 0
        self.depth = 0

    def value(self, node: Node, path: Path) -> Any:
        self.document.lines.setdefault(path, node.line)
        if node.kind == "scalar":
            self._count(node)
            return node.value
        with self._level(node):
            if node.kind == "list":
                return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
            return self._mapping(node, path)

    def _count(self, node: Node) -> None:
        self.count += 1
        if self.count > MAX_VALUES:
            limit = f"at most {MAX_VALUES:,} values, aliases expanded"
            raise ConfigError(Problem("too many values", self.document.where, node.line, allowed=limit))

    @contextmanager
    def _level(self, node: Node) -> Iterator[None]:
        self._count(node)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ConfigError(too_deep(self.document.where, node.line))
        yield
        self.depth -= 1

    def _mapping(self, node: Node, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in node.value:
            if not key.merge and self._usable(key, path, result):
                self.document.lines[(*path, key.value)] = key.line
                result[key.value] = self.value(value, (*path, key.value))
        for key, value in node.value:
            if key.merge:
                self._merge(value, path, result)
        return result

    def _usable(self, key: Node, path: Path, seen: Mapping[str, Any]) -> bool:
        if key.kind != "scalar" or not isinstance(key.value, str):
            shown = f"{key.value!r} is" if key.kind == "scalar" else f"a {key.kind} is"
            self._report(key, path, f"a key must be text, {shown} not; put it in quotes")
            return False
        if key.value in seen:
            first = self.document.lines[(*path, key.value)]
            self._report(key, (*path, key.value), f"this key is here twice (first on line {first})")
            return False
        return True

    def _merge(self, node: Node, path: Path, result: dict[str, Any]) -> None:
        """YAML's `<<`: keys of another mapping, where this one does not have them itself."""
        with self._level(node):
            for source in node.value if node.kind == "list" else [node]:
                if source.kind == "mapping":
                    self._merge_one(source, path, result)
                else:
                    self._report(source, path, "'<<' takes a mapping or a list of mappings")

    def _merge_one(self, source: Node, path: Path, result: dict[str, Any]) -> None:
        outer, inner = self.document, Document(self.document.where)
        self.document = inner
        merged = self._mapping(source, path)
        self.document = outer
        outer.problems += inner.problems
        outer.lines = inner.lines | outer.lines
        for name, value in merged.items():
            result.setdefault(name, value)

    def _report(self, node: Node, path: Path, message: str) -> None:
        key = dotted(path) or None
        self.document.problems.append(Problem(message, self.document.where, node.line, key))


def too_deep(where: str, line: int) -> Problem:
    """The problem of a document nested beyond `MAX_DEPTH`."""
    return Problem("nested too deeply", where, line, allowed=f"at most {MAX_DEPTH} levels")
