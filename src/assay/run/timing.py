"""Time as the journal tells it: how long a run was at work, and how fast, without the pauses between sessions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

MOST_POINTS = 200


@dataclass
class Clock:
    """Seconds at work: for each session the time from the first start to the last end, summed up."""

    spans: dict[int, tuple[float, float]] = field(default_factory=dict)

    def add(self, session: int, start: float, end: float) -> None:
        """Count one piece of work of a session."""
        low, high = self.spans.get(session, (start, end))
        self.spans[session] = (min(low, start), max(high, end))

    @property
    def seconds(self) -> float:
        """Time at work in seconds."""
        return sum(end - start for start, end in self.spans.values())


class Histogram:
    """Counts of durations in logarithmic buckets, ten to a decade."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}

    def add(self, seconds: float) -> None:
        """Count one duration; one below a microsecond counts as that."""
        number = math.ceil(10 * math.log10(max(seconds, 1e-6)))
        self._counts[number] = self._counts.get(number, 0) + 1

    def buckets(self) -> list[list[float]]:
        """[upper edge in seconds, count] from the shortest to the longest duration, gaps filled with zeros."""
        if not self._counts:
            return []
        numbers = range(min(self._counts), max(self._counts) + 1)
        return [[round(10 ** (number / 10), 9), self._counts.get(number, 0)] for number in numbers]


class Timeline:
    """How many attempts and tokens were finished by when: at most `MOST_POINTS` points, however long the run.

    Buckets start one tenth of a second wide and double whenever there are too many.
    """

    def __init__(self) -> None:
        self._width = 0.1
        self._buckets: dict[int, list[int]] = {}
        self._clock = Clock()

    def add(self, record: Mapping[str, Any]) -> None:
        """Count one journal line."""
        took = record.get("latency_s") or record.get("spent_s") or 0.0
        self._clock.add(record["session"], record["finished"] - took, record["finished"])
        tokens = (record.get("completion") or {}).get("tokens_out") or 0
        bucket = self._buckets.setdefault(int(record["finished"] / self._width), [0, 0])
        bucket[0] += 1
        bucket[1] += tokens
        if len(self._buckets) > MOST_POINTS:
            self._widen()

    def _widen(self) -> None:
        self._width *= 2
        merged: dict[int, list[int]] = {}
        for number, (attempts, tokens) in self._buckets.items():
            bucket = merged.setdefault(number // 2, [0, 0])
            bucket[0] += attempts
            bucket[1] += tokens
        self._buckets = merged

    @property
    def started(self) -> str | None:
        """When the first attempt began, as ISO 8601 in UTC; None before there is one."""
        if not self._clock.spans:
            return None
        first = min(start for start, _ in self._clock.spans.values())
        return datetime.fromtimestamp(first, UTC).isoformat(timespec="seconds")

    @property
    def seconds(self) -> float:
        """Time at work in seconds, pauses between sessions left out."""
        return round(self._clock.seconds, 3)

    def points(self) -> list[list[float]]:
        """[seconds since the start, attempts finished so far, tokens generated so far], in order of time."""
        points: list[list[float]] = []
        attempts = tokens = 0
        origin = min((start for start, _ in self._clock.spans.values()), default=0.0)
        for number in sorted(self._buckets):
            attempts += self._buckets[number][0]
            tokens += self._buckets[number][1]
            points.append([round(max(0.0, (number + 1) * self._width - origin), 3), attempts, tokens])
        return points
