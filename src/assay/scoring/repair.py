"""JSON read leniently, with every repair counted: what models write that is nearly JSON.

The repairs, in the order in which they are tried; the first two count once, the others once an occurrence:

- `fence`: a Markdown fence around it
- `prose`: words around it
- `quote`: curly quotes for straight ones, where there are no straight ones
- `comment`: `//` to the end of a line
- `comma`: a comma before a closing bracket
- `bracket`: a closing bracket that is missing at the end

The first reading that is JSON counts. Time is linear in the text for each of at most `MOST_SPANS` readings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

_FENCE = re.compile(r"^[ \t]*+```[ \t]*+[\w+-]*+[ \t]*+$", re.MULTILINE)
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"?+|//[^\n]*+|,(?=\s*+[\]}])|[\[\]{}]', re.DOTALL)
_CURLY = re.compile(r"[“”„‟]")
MOST_SPANS = 20
"""Places in a text where JSON may begin that are tried."""

_CLOSING = {"{": "}", "[": "]"}


@dataclass(frozen=True, slots=True)
class Read:
    """A value read from a text, and how often each repair was needed; none where the text itself is JSON."""

    value: Any
    text: str
    repairs: dict[str, int] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many repairs in all."""
        return sum(self.repairs.values())


def read(text: str) -> Read | None:
    """The JSON value in a text; None where no repair makes it JSON."""
    for body, around in _bodies(text):
        for mended, repairs in _mended(body):
            try:
                return Read(orjson.loads(mended), mended, {**around, **repairs})
            except ValueError:
                continue
    return None


def _bodies(text: str) -> Iterator[tuple[str, dict[str, int]]]:
    """What may be the JSON: the whole text, what its last fence holds, what stands from the first bracket on."""
    whole = text.strip()
    yield whole, {}
    if fences := list(_FENCE.finditer(whole)):
        # An odd last fence was never closed: what follows it is inside.
        closed = len(fences) % 2 == 0
        opening, stop = (fences[-2], fences[-1].start()) if closed else (fences[-1], len(whole))
        outside = whole[: opening.start()] + (whole[fences[-1].end() :] if closed else "")
        around = {"fence": 1, **({"prose": 1} if outside.strip() else {})}
        yield whole[opening.end() : stop].strip(), around
    for start, end in _spans(whole):
        outside = whole[:start] + whole[end:]
        around = {"fence": 1} if _FENCE.search(outside) else {}
        if _FENCE.sub("", outside).strip():
            around["prose"] = 1
        yield whole[start:end], around


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """From each outermost bracket to the one that closes it, or to the end where none does."""
    end = 0
    for _ in range(MOST_SPANS):
        first = re.compile(r"[\[{]").search(text, end)
        if first is None:
            return
        end = _end(text, first.start())
        yield first.start(), end


def _end(text: str, start: int) -> int:
    depth = 0
    for token in _TOKEN.finditer(text, start):
        if token[0] in "[{":
            depth += 1
        elif token[0] in "]}":
            depth -= 1
            if depth == 0:
                return token.end()
    return len(text)


def _mended(text: str) -> Iterator[tuple[str, dict[str, int]]]:
    """The text as it is, then with one kind of repair after another."""
    yield text, {}
    repairs: dict[str, int] = {}
    for name, repair in _REPAIRS:
        text, count = repair(text)
        if count:
            repairs = {**repairs, name: count}
            yield text, repairs


def _without(kind: Callable[[str], bool]) -> Callable[[str], tuple[str, int]]:
    """A repair that drops tokens of one kind, wherever they stand outside strings."""

    def repair(text: str) -> tuple[str, int]:
        count = 0

        def dropped(token: re.Match[str]) -> str:
            nonlocal count
            if not kind(token[0]):
                return token[0]
            count += 1
            return ""

        return _TOKEN.sub(dropped, text), count

    return repair


def _straight(text: str) -> tuple[str, int]:
    """Curly quotes as straight ones, where the text has no straight ones that they could stand inside."""
    return _CURLY.subn('"', text) if '"' not in text else (text, 0)


def _closed(text: str) -> tuple[str, int]:
    """With the closing brackets that are missing at the end; an unclosed string is left alone."""
    opened: list[str] = []
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if mark in "[{":
            opened.append(_CLOSING[mark])
        closes_wrongly = mark in "]}" and (not opened or opened.pop() != mark)
        if closes_wrongly or (mark[0] == '"' and (len(mark) < 2 or not mark.endswith('"'))):
            return text, 0
    return text.rstrip().rstrip(",") + "".join(reversed(opened)), len(opened)


_REPAIRS: tuple[tuple[str, Callable[[str], tuple[str, int]]], ...] = (
    ("quote", _straight),
    ("comment", _without(lambda mark: mark.startswith("//"))),
    ("comma", _without(lambda mark: mark == ",")),
    ("bracket", _closed),
)
