"""JSON with the line of every value; what the `json` module does, which keeps no positions."""

from __future__ import annotations

import re
from bisect import bisect_right
from json import loads
from typing import Any

from assay.document.tree import MAX_DEPTH, MAX_VALUES, Node, too_deep
from assay.errors import ConfigError, Problem

_STRING = re.compile(r'"[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*"')
_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_CONSTANT = re.compile(r"true|false|null")
_CONSTANTS = {"true": True, "false": False, "null": None}


def parse(text: str, where: str, first_line: int = 1) -> tuple[Node, list[Problem]]:
    """The node tree of `text`. Raises ConfigError, with line and column, where it is not JSON."""
    reader = _Reader(text, where, first_line)
    root = reader.value(reader.skip(0), 0)
    if reader.skip(reader.end) != len(text):
        reader.fail("something follows the end of the document", reader.skip(reader.end))
    return root, []


class _Reader:
    """Reads one value after another; `end` is where the last one ended."""

    def __init__(self, text: str, where: str, first_line: int) -> None:
        self.text = text
        self.where = where
        self.first_line = first_line
        self.breaks = [found.start() for found in re.finditer("\n", text)]
        self.end = 0
        self.count = 0

    def skip(self, position: int) -> int:
        found = _SPACE.match(self.text, position)
        return found.end() if found else position

    def line(self, position: int) -> int:
        return bisect_right(self.breaks, position - 1) + self.first_line

    def fail(self, message: str, position: int) -> None:
        column = position - self.text.rfind("\n", 0, position)
        message = f"not JSON: {message}, column {column}"
        raise ConfigError(Problem(message, self.where, self.line(position)))

    def value(self, position: int, depth: int) -> Node:
        self.count += 1
        line = self.line(position)
        if self.count > MAX_VALUES:
            allowed = f"at most {MAX_VALUES:,}"
            raise ConfigError(Problem("too many values", self.where, line, allowed=allowed))
        if depth > MAX_DEPTH:
            raise ConfigError(too_deep(self.where, line))
        match self.text[position : position + 1]:
            case "{":
                return Node(line, self._items(position, depth, "}"), "mapping")
            case "[":
                return Node(line, self._items(position, depth, "]"), "list")
            case '"':
                return Node(line, self._string(position))
        return Node(line, self._scalar(position))

    def _items(self, position: int, depth: int, close: str) -> list[Any]:
        """The items of a list or an object, `position` being at its opening bracket."""
        items: list[Any] = []
        position = self.skip(position + 1)
        while self.text[position : position + 1] != close:
            if items:
                position = self._expect(",", position)
            items.append(self._item(position, depth, close))
            position = self.skip(self.end)
        self.end = position + 1
        return items

    def _item(self, position: int, depth: int, close: str) -> Any:
        if close == "]":
            return self.value(position, depth + 1)
        if self.text[position : position + 1] != '"':
            self.fail("expected a key in double quotes", position)
        key = Node(self.line(position), self._string(position))
        return key, self.value(self._expect(":", self.skip(self.end)), depth + 1)

    def _expect(self, sign: str, position: int) -> int:
        if self.text[position : position + 1] != sign:
            self.fail(f"expected {sign!r}", position)
        return self.skip(position + 1)

    def _string(self, position: int) -> str:
        found = _STRING.match(self.text, position)
        if not found:
            self.fail("this text in quotes does not end, or has a wrong escape", position)
            return ""
        self.end = found.end()
        value: str = loads(found.group())
        if any("\ud800" <= char <= "\udfff" for char in value):
            self.fail("half of a surrogate pair", position)
        return value

    def _scalar(self, position: int) -> Any:
        if found := _CONSTANT.match(self.text, position):
            self.end = found.end()
            return _CONSTANTS[found.group()]
        found = _NUMBER.match(self.text, position)
        if not found:
            self.fail("expected a value", position)
            return None
        self.end = found.end()
        whole = found.group(1) is None and found.group(2) is None
        return self._number(found.group(), whole, position)

    def _number(self, digits: str, whole: bool, position: int) -> int | float:
        value: int | float = int(digits) if whole and len(digits) <= 25 else float(digits)
        if (whole and not -(2**63) <= value < 2**64) or abs(value) == float("inf"):
            self.fail("too large a number", position)
        return value
