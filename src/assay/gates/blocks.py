"""Deciding while a run goes on: in which order samples are asked, and after how many of them one looks.

The order is drawn by the seed, never that of the file: bounds that hold at every look hold for values in random order,
and a file that begins with what is easy would show two models alike until the hard part comes. It is the same for
every cell and every machine, and what is known of the answers has no part in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assay.gates.policy import Policy

LEAST = 20
"""The smallest block by default: 20 samples without any difference leave a loss of 23 points open."""

MOST_LOOKS = 40
"""How often one looks by default, at most: every look costs the time of summing up, and hardly any is decided later."""


def order(samples: Sequence[str], seed: int, task: str) -> list[int]:
    """The positions of a task's samples in the order in which they are asked: ranked by SHA-256 of (seed, task, id)."""
    prefix = hashlib.sha256(f"{seed}\0{task}\0looks\0".encode())
    ranks = [_rank(prefix.copy(), sample) for sample in samples]
    return sorted(range(len(samples)), key=ranks.__getitem__)


def _rank(prefix: hashlib._Hash, sample: str) -> bytes:
    prefix.update(sample.encode())
    return prefix.digest()


def block_of(sizes: Mapping[str, int], policy: Policy) -> int:
    """How many samples of the largest task lie between two looks: the policy's number, or a fortieth, at least 20."""
    given = policy.sequential.block if policy.sequential else None
    return given or max(LEAST, -(-max(sizes.values(), default=0) // MOST_LOOKS))


def planned(sizes: Mapping[str, int], block: int) -> int:
    """How many looks there are until the end of the plan."""
    return -(-max(sizes.values(), default=0) // block)


def cut(sizes: Mapping[str, int], block: int, number: int) -> dict[str, int]:
    """How many samples of each task have been asked at look `number`, from 1 on; none at 0. Smaller tasks go in
    proportion to the largest, so that all of them end together."""
    largest = max(1, *sizes.values()) if sizes else 1
    return {task: min(size, -(-size * number * block // largest)) for task, size in sizes.items()}
