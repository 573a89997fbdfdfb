"""How two prompts differ: part by part, by words or by lines.

A prompt's identity is its digest, that of what shapes a request (system, answer and body). Two prompts with one digest
ask the same, whatever they are called.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from typing import Any, Literal

from assay.prompts.prompt import Prompt

PARTS = ("system", "answer", "body")
Unit = Literal["words", "lines"]
MOST_WORDS = 4_000
"""Longer texts are compared by lines: comparing words takes time that grows with their square."""

_WORDS = re.compile(r"\s+|\w+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of text that both have (`same`), that only the first has (`old`), or only the second (`new`)."""

    kind: Literal["same", "old", "new"]
    text: str


@dataclass(frozen=True, slots=True)
class Difference:
    """Two prompts: whether they ask the same, and the pieces of each part that differs."""

    first: Prompt
    second: Prompt
    parts: dict[str, tuple[Piece, ...]]

    @property
    def same(self) -> bool:
        """Whether both shape requests alike."""
        return self.first.digest == self.second.digest

    @property
    def notes(self) -> list[str]:
        """What a reader should know of the names and versions."""
        one, two = self.first, self.second
        if not self.same and (one.id, one.version) == (two.id, two.version):
            return [f"two different texts are called {one.id}@{one.version}: raise the version of one of them"]
        if self.same and (one.id, one.version) != (two.id, two.version):
            return ["one text under two names: scores of either are scores of both"]
        return []

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        heads = [_head(prompt) for prompt in (self.first, self.second)]
        parts = {name: [asdict(piece) for piece in pieces] for name, pieces in self.parts.items()}
        return {"same": self.same, "first": heads[0], "second": heads[1], "parts": parts, "notes": self.notes}


def _head(prompt: Prompt) -> dict[str, Any]:
    return {
        "id": prompt.id,
        "version": prompt.version,
        "description": prompt.description,
        "digest": prompt.digest,
        "where": prompt.origin.where,
    }


def diff(first: Prompt, second: Prompt, unit: Unit = "words") -> Difference:
    """How `second` differs from `first`, in those parts that differ."""
    parts = {
        name: tuple(pieces(getattr(first, name), getattr(second, name), unit))
        for name in PARTS
        if getattr(first, name) != getattr(second, name)
    }
    return Difference(first, second, parts)


def pieces(old: str, new: str, unit: Unit = "words") -> Iterator[Piece]:
    """The runs of both texts, in order: `same` and `old` ones make up `old`, `same` and `new` ones `new`."""
    before, after = _WORDS.findall(old), _WORDS.findall(new)
    if unit == "lines" or max(len(before), len(after)) > MOST_WORDS:
        before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
    for kind, a, b, c, d in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind == "equal":
            yield Piece("same", "".join(before[a:b]))
            continue
        if b > a:
            yield Piece("old", "".join(before[a:b]))
        if d > c:
            yield Piece("new", "".join(after[c:d]))
