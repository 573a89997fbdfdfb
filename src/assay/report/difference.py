"""What changed between two completions, marked on either side."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from assay.report.markup import Markup, join, tag

MOST_WORDS = 600
"""Longer texts are compared line by line: comparing words takes time that grows with their square."""

_WORDS = re.compile(r"\s+|\w+|[^\w\s]")


def sides(left: str, right: str) -> tuple[Markup, Markup]:
    """Both texts, with `<del>` around what only the left one has and `<ins>` around what only the right one has."""
    before, after = _parts(left), _parts(right)
    if max(len(before), len(after)) > MOST_WORDS:
        before, after = left.splitlines(keepends=True), right.splitlines(keepends=True)
    blocks = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    return join(list(_marked(blocks, before, "del", 1))), join(list(_marked(blocks, after, "ins", 3)))


def _parts(text: str) -> list[str]:
    return _WORDS.findall(text)


Blocks = Sequence[tuple[str, int, int, int, int]]
"""What difflib found: (what happened, from and to on the left, from and to on the right)."""


def _marked(blocks: Blocks, parts: list[str], name: str, first: int) -> Iterator[Markup]:
    for block in blocks:
        start, end = int(block[first]), int(block[first + 1])
        text = "".join(parts[start:end])
        if text:
            yield join(text) if block[0] == "equal" else tag(name, text)
