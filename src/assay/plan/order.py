"""Which samples are shown, which are scored, and in which order: decided by the seed and nothing else."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


class SampleSource(Protocol):
    """The part of a data set that selection reads."""

    def keys(self) -> Iterable[tuple[str, bytes]]:
        """The id and content key of each sample, in the file's order."""

    def duplicates(self, demonstrations: Iterable[int], /) -> Mapping[int, str]:
        """The positions that must not be scored beside these demonstrations (they are in it too), and why."""


UNANSWERED = "no sample of it in the file"
"""Why a problem is not scored where completions were given for others only."""


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A sample that is not scored, and why: it is a demonstration, or says the same as one."""

    sample: str
    reason: str


@dataclass(frozen=True, slots=True)
class Selection:
    """Positions in the data set: `demos` are shown, `scored` are asked (`ids` names them), `excluded` are neither."""

    demos: tuple[int, ...]
    scored: Sequence[int]
    excluded: tuple[Exclusion, ...]
    shown: tuple[str, ...]
    ids: tuple[str, ...]


def order(ids: Sequence[str], seed: int, name: str) -> Sequence[int]:
    """All positions, ordered by `seed`; a seed of 0 keeps the order of the file.

    Each sample is ranked by SHA-256 of (seed, name, id), so the order is the same on every machine and Python, and
    adding samples to a file does not reshuffle those already in it.
    """
    if not seed:
        return range(len(ids))
    prefix = hashlib.sha256(f"{seed}\0{name}\0".encode())
    ranks = [_rank(prefix.copy(), sample) for sample in ids]
    return array("L", sorted(range(len(ids)), key=ranks.__getitem__))


def _rank(prefix: hashlib._Hash, sample: str) -> bytes:
    prefix.update(sample.encode())
    return prefix.digest()[:12]


def select(dataset: SampleSource, *, seed: int, name: str, few_shot: int, limit: int | None) -> Selection:
    """Draw the demonstrations first, then the scored samples.

    A sample with a demonstration's id or content is never scored, nor one that nearly repeats a demonstration;
    two demonstrations never say the same. The limit comes last, so exclusion does not shrink it.
    """
    ids = [sample for sample, _ in dataset.keys()]
    ordered = order(ids, seed, name)
    demos = _draw(ordered, [content for _, content in dataset.keys()], few_shot) if few_shot else ()
    reasons = dataset.duplicates(demos)
    scored = ordered if not reasons else array("L", (number for number in ordered if number not in reasons))
    scored = scored[:limit]
    return Selection(
        demos,
        scored,
        tuple(Exclusion(ids[position], reason) for position, reason in sorted(reasons.items())),
        tuple(ids[position] for position in demos),
        tuple(ids[position] for position in scored),
    )


def _draw(ordered: Sequence[int], contents: Sequence[bytes], few_shot: int) -> tuple[int, ...]:
    """The first `few_shot` positions whose contents differ."""
    demos: list[int] = []
    seen: set[bytes] = set()
    for position in ordered:
        if len(demos) == few_shot:
            break
        if contents[position] not in seen:
            seen.add(contents[position])
            demos.append(position)
    return tuple(demos)
