"""Fenced blocks in a model's answer, by the rules of CommonMark 4.5 and with the mistakes that models make."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_FENCE = re.compile(r"([ \t]*)(`{3,}|~{3,})[ \t]*([^\r]*)")
_PYTHON = re.compile(r"[{.]*(?:python|py)[\d.]*(?:[\s:,{}].*)?", re.IGNORECASE)
_DEFINITION = re.compile(r"(?:async[ \t]+def|def|class)[ \t]+\w")

INSIDE = 4
"""Columns from which a fence is content: of the block it stands in, or of a docstring where code goes before it."""


@dataclass(frozen=True, slots=True)
class Fence:
    """One line that is a fence: its column, its marks (three or more of one kind) and what follows them."""

    column: int
    marks: str
    info: str

    @property
    def is_python(self) -> bool:
        """Whether it may open a block of Python: it says so, or says nothing."""
        return not self.info or _PYTHON.fullmatch(self.info) is not None

    def ends(self, opened: Fence) -> bool:
        """Whether it closes the block that `opened` began."""
        return not self.info and self.marks.startswith(opened.marks) and self.column < opened.column + INSIDE

    def begins_again(self, opened: Fence) -> bool:
        """Whether it begins a new block inside one whose end was forgotten, as a language after it shows."""
        same = self.marks[0] == opened.marks[0] and len(self.marks) >= len(opened.marks)
        return same and bool(self.info) and self.is_python and self.column < opened.column + INSIDE


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its lines are `lines[start:end]`, its fence the line before."""

    fence: Fence
    start: int
    end: int
    closed: bool

    def text(self, lines: Sequence[str]) -> str:
        """Its content, without the indentation that its fence has too."""
        return "\n".join(_outdented(line, self.fence.column) for line in lines[self.start : self.end])


def blocks(lines: Sequence[str]) -> list[Block]:
    """Every fenced block, in order; the last may be open to the end."""
    found: list[Block] = []
    opened, start, seen_code = None, 0, False
    for number, line in enumerate(lines):
        fence = fence_of(line)
        if opened is None:
            if fence is not None and not (seen_code and fence.column >= INSIDE):
                opened, start = fence, number + 1
            seen_code = seen_code or _DEFINITION.match(line) is not None
        elif fence is not None and fence.ends(opened):
            found.append(Block(opened, start, number, closed=True))
            opened = None
        elif fence is not None and fence.begins_again(opened):
            found.append(Block(opened, start, number, closed=False))
            opened, start = fence, number + 1
    if opened is not None:
        found.append(Block(opened, start, len(lines), closed=False))
    return found


def fence_of(line: str) -> Fence | None:
    """The fence that a line is, None where it is none."""
    if (match := _FENCE.match(line)) is None:
        return None
    space, marks, info = match.groups()
    if marks[0] == "`" and "`" in info:  # inline code, not a fence
        return None
    return Fence(len(space.expandtabs(4)), marks, info.strip())


def _outdented(line: str, columns: int) -> str:
    taken = 0
    while taken < columns and line[taken : taken + 1] == " ":
        taken += 1
    return line[taken:]
