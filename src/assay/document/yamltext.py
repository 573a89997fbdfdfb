"""YAML as assay reads it: YAML 1.2's plain rules, no tags that make objects, one document.

PyYAML reads YAML 1.1, where `no` is false, `010` is eight and `1:30` is ninety. So only its event stream is
used, which is also not recursive; what a plain scalar means is decided here, and what the two versions of
YAML read as different numbers is refused.
"""

from __future__ import annotations

import re
from typing import Any

from assay.document.tree import MAX_DEPTH, MAX_VALUES, Node, Unread, Word, too_deep
from assay.errors import ConfigError, Problem

_PREFIX = "tag:yaml.org,2002:"
_CONSTANTS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_WORDS = frozenset(word for base in ("yes", "no", "on", "off") for word in (base, base.title(), base.upper()))
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)|0x[0-9a-fA-F]+")
_OCTAL = re.compile(r"[-+]?0o?[0-9]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_TYPES: dict[str, tuple[type, ...]] = {
    "null": (type(None),),
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
}


def parse(text: str, where: str, first_line: int = 1) -> tuple[Node, list[Problem]]:
    """The nodes of `text`, and what is wrong with its scalars. Raises ConfigError where it is not YAML."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    builder = _Builder(where, first_line)
    try:
        for event in yaml.parse(text, Loader=loader):
            builder.take(event)
    except yaml.YAMLError as error:
        raise ConfigError(_syntax(error, text, where, first_line)) from None
    return builder.root or Node(first_line, None), builder.problems


def _syntax(error: Any, text: str, where: str, first_line: int) -> Problem:
    """PyYAML's complaint with line and column; a reader's error has only a position."""
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        reason = error.problem or "cannot be read"
        return Problem(f"not YAML: {reason}, column {mark.column + 1}", where, mark.line + first_line)
    position = getattr(error, "position", 0)
    line = text.count("\n", 0, position) + first_line
    return Problem(f"not YAML: {getattr(error, 'reason', 'cannot be read')}", where, line)


class _Builder:
    """Puts events together as nodes, with a stack of its own."""

    def __init__(self, where: str, first_line: int) -> None:
        self.where = where
        self.first_line = first_line
        self.root: Node | None = None
        self.problems: list[Problem] = []
        self.open: list[Node] = []
        self.pending: list[Node | None] = []
        self.anchors: dict[str, Node] = {}
        self.count = 0
        self.documents = 0

    def take(self, event: Any) -> None:
        line = event.start_mark.line + self.first_line
        match type(event).__name__:
            case "DocumentStartEvent":
                self._document(line)
            case "ScalarEvent":
                self._add(self._scalar(event, line), event.anchor)
            case "AliasEvent":
                self._alias(event.anchor, line)
            case "SequenceStartEvent":
                self._start(Node(line, [], "list"), event, "seq")
            case "MappingStartEvent":
                self._start(Node(line, [], "mapping"), event, "map")
            case "SequenceEndEvent" | "MappingEndEvent":
                self.open.pop()
                self.pending.pop()

    def _document(self, line: int) -> None:
        self.documents += 1
        if self.documents > 1:
            self._refuse("a second document ('---') in one file", line, "one document")

    def _refuse(self, message: str, line: int, allowed: str | None = None) -> None:
        raise ConfigError(Problem(message, self.where, line, allowed=allowed))

    def _start(self, node: Node, event: Any, kind: str) -> None:
        if event.tag not in (None, "!", _PREFIX + kind):
            self._tag(event.tag, node.line)
        self._add(node, None)
        if len(self.open) >= MAX_DEPTH:
            raise ConfigError(too_deep(self.where, node.line))
        self.open.append(node)
        self.pending.append(None)
        if event.anchor:
            self.anchors[event.anchor] = node

    def _alias(self, anchor: str, line: int) -> None:
        target = self.anchors.get(anchor)
        if target is None:
            self._refuse(f"the alias *{anchor} has no anchor &{anchor} before it", line)
        elif any(target is node for node in self.open):
            self._refuse(f"the alias *{anchor} stands inside its own anchor", line)
        else:
            self._add(Node(line, target.value, target.kind), None)

    def _add(self, node: Node, anchor: str | None) -> None:
        self.count += 1
        if self.count > MAX_VALUES:
            self._refuse("too many values", node.line, f"at most {MAX_VALUES:,}")
        if anchor:
            self.anchors[anchor] = node
        if not self.open:
            self.root = node
        elif self.open[-1].kind == "list":
            self.open[-1].value.append(node)
        elif (key := self.pending[-1]) is None:
            self.pending[-1] = node
        else:
            self.open[-1].value.append((key, node))
            self.pending[-1] = None

    def _scalar(self, event: Any, line: int) -> Node:
        plain, text = event.style in (None, ""), event.value
        if event.tag in ("!", _PREFIX + "str") or (event.tag is None and not plain):
            return Node(line, text)
        value = self._plain(text, line)
        if event.tag is not None:
            kind = event.tag.removeprefix(_PREFIX)
            if kind not in _TYPES or type(value) not in _TYPES[kind]:
                self._tag(event.tag, line)
        return Node(line, value, merge=text == "<<")

    def _tag(self, tag: str, line: int) -> None:
        shown = tag.replace(_PREFIX, "!!")[:60]
        self._problem(f"the tag {shown} is not allowed here", line, "plain values without tags")

    def _problem(self, message: str, line: int, allowed: str | None = None) -> None:
        self.problems.append(Problem(message, self.where, line, allowed=allowed))

    def _plain(self, text: str, line: int) -> Any:
        """What an unquoted scalar means."""
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if text in _WORDS:
            return Word(text)
        if _INT.fullmatch(text):
            return self._int(text, line)
        if _OCTAL.fullmatch(text):
            return self._octal(text, line)
        if _FLOAT.fullmatch(text):
            return self._float(text, line)
        if _NOT_FINITE.fullmatch(text):
            return self._unread(text, "not a finite number", line, "a finite number, or text in quotes")
        return text

    def _unread(self, text: str, why: str, line: int, allowed: str) -> Unread:
        self._problem(f"{text[:25]} is {why}", line, allowed)
        return Unread(text)

    def _int(self, text: str, line: int) -> int | Unread:
        value = int(text, 0) if len(text) <= 25 else 2**64
        if -(2**63) <= value < 2**64:
            return value
        return self._unread(text, "too large a number", line, "whole numbers of at most 64 bits")

    def _octal(self, text: str, line: int) -> Unread:
        """`010` is eight to YAML 1.1 and ten to 1.2; `0o10` text and eight: nobody knows what was meant."""
        digits = text.lstrip("+-0o") or "0"
        allowed = f"{digits[:25]} for the number, '{text[:25]}' in quotes for text"
        return self._unread(text, "ambiguous: a leading zero makes it octal for some readers", line, allowed)

    def _float(self, text: str, line: int) -> float | Unread:
        value = float(text)
        if abs(value) == float("inf"):
            return self._unread(text, "too large a number", line, "numbers up to 1.7e308")
        return value
