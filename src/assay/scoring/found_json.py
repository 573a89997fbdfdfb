"""The JSON value in a completion: the whole text, else its last fenced block, else its last balanced object
or array.

The first of the three that is JSON decides. Time is linear in the text. Not JSON: NaN, Infinity, single
quotes, trailing commas, nesting deeper than the parser's 1,024.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

_FENCE = re.compile(r"^[ \t]*+```[ \t]*+[\w+-]*+[ \t]*+$", re.MULTILINE)
_TOKEN = re.compile(r'[\[\]{}]|"')
_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_PAIR = {"}": "{", "]": "["}


def find(text: str) -> tuple[str, Any] | None:
    """The JSON text found and its value; None where there is none."""
    for candidate in (text, _fenced(text)):
        if candidate is not None and (found := _parsed(candidate)):
            return found
    for start, stop in reversed(_spans(text)):
        if found := _parsed(text[start:stop]):
            return found
    return None


def _parsed(text: str) -> tuple[str, Any] | None:
    try:
        return text.strip(), orjson.loads(text.strip())
    except ValueError:
        return None


def _fenced(text: str) -> str | None:
    """What stands in the last fenced block; None where there is none, or the last one is not closed."""
    fences = list(_FENCE.finditer(text))
    if len(fences) < 2 or len(fences) % 2:
        return None
    return text[fences[-2].end() : fences[-1].start()]


def _spans(text: str) -> list[tuple[int, int]]:
    """Where balanced braces and brackets stand that lie in no others. One left open hides what is inside it."""
    spans: list[tuple[int, int]] = []
    stack: list[str] = []
    open_at = position = 0
    while token := _TOKEN.search(text, position):
        position = token.end()
        mark = token[0]
        if mark in "[{":
            if not stack:
                open_at = token.start()
            stack.append(mark)
        elif mark == '"':
            string = _STRING.match(text, token.start()) if stack else None
            if stack and string is None:
                break  # a string left open hides the rest
            position = string.end() if string else position
        elif stack:
            if stack.pop() != _PAIR[mark]:
                stack.clear()
            elif not stack:
                spans.append((open_at, position))
    return spans
