"""How fast this machine runs Python, so that a time limit means the same work everywhere."""

from __future__ import annotations

import time
from dataclasses import dataclass

REFERENCE_S = 0.012
"""CPU seconds of `_work` on the reference machine (a 2-core cloud machine of 2026, Python 3.11)."""

SLOWEST, FASTEST = 20.0, 0.5
"""The scale stays within these: beyond them it is the measurement that is wrong."""

_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Calibration:
    """`seconds`: the least CPU time of a few rounds of fixed work; `scale`: what limits are multiplied by."""

    seconds: float
    scale: float


def calibrate() -> Calibration:
    """Measure this machine. The least of a few rounds: other work can only make one slower."""
    seconds = min(_round() for _ in range(_ROUNDS))
    return Calibration(seconds, min(max(seconds / REFERENCE_S, FASTEST), SLOWEST))


def _round() -> float:
    began = time.thread_time()
    _work()
    return time.thread_time() - began


def _work() -> int:
    """What solutions do: loops, small integers, lists, dictionaries, strings."""
    counts: dict[int, int] = {}
    words: list[str] = []
    for number in range(100_000):
        counts[number % 97] = counts.get(number % 97, 0) + number * number % 7
        if number % 10 == 0:
            words.append(str(number)[::-1])
    return sum(sorted(counts.values())) + len("".join(sorted(words)))
