"""Which samples are shown, which are scored, and in which order: decided by the seed and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


class SampleSource(Protocol):
    """The part of a data set that selection reads."""

    def keys(self) -> Iterable[tuple[str, bytes]]:
        """The id and content key of each sample, in the file's order."""

    def duplicates(self, demonstrations: Iterable[int], /) -> Mapping[int, str]:
        """The positions that must not be scored beside these demonstrations (they are in it too), and why."""


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A sample that is not scored, and why: it is a demonstration, or says the same as one."""

    sample: str
    reason: str


@dataclass(frozen=True, slots=True)
class Selection:
    """Positions in the data set: `demos` are shown, `scored` are asked, `excluded` are neither."""

    demos: tuple[int, ...]
    scored: tuple[int, ...]
    excluded: tuple[Exclusion, ...]


def order(ids: Sequence[str], seed: int, name: str) -> list[int]:
    """All positions, ordered by `seed`; a seed of 0 keeps the order of the file.

    Each sample is ranked by SHA-256 of (seed, name, id), so the order is the same on every machine and Python, and
    adding samples to a file does not reshuffle those already in it.
    """
    positions = list(range(len(ids)))
    if seed:
        prefix = hashlib.sha256(f"{seed}\0{name}\0".encode())
        ranks = [_rank(prefix.copy(), sample) for sample in ids]
        positions.sort(key=ranks.__getitem__)
    return positions


def _rank(prefix: hashlib._Hash, sample: str) -> bytes:
    prefix.update(sample.encode())
    return prefix.digest()[:12]


def select(dataset: SampleSource, *, seed: int, name: str, few_shot: int, limit: int | None) -> Selection:
    """Draw the demonstrations first, then the scored samples.

    A sample with a demonstration's id or content is never scored, nor one that nearly repeats a demonstration;
    two demonstrations never say the same. The limit comes last, so exclusion does not shrink it.
    """
    keys = list(dataset.keys()) if few_shot else [(sample, b"") for sample, _ in dataset.keys()]
    ordered = order([sample for sample, _ in keys], seed, name)
    demos = _draw(ordered, keys, few_shot)
    reasons = dataset.duplicates(demos)
    scored = [position for position in ordered if position not in reasons]
    excluded = [Exclusion(keys[position][0], reason) for position, reason in sorted(reasons.items())]
    return Selection(tuple(demos), tuple(scored[:limit]), tuple(excluded))


def _draw(ordered: list[int], keys: list[tuple[str, bytes]], few_shot: int) -> list[int]:
    """The first `few_shot` positions whose contents differ."""
    demos: list[int] = []
    seen: set[bytes] = set()
    for position in ordered:
        if len(demos) == few_shot:
            break
        if keys[position][1] not in seen:
            seen.add(keys[position][1])
            demos.append(position)
    return demos
