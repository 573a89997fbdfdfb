"""A comparison's numbers in one way for all that tells them: decision, front, page, card and table.

The bounds of a difference are those that its verdict rests on, each at its own level.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Task = Mapping[str, Any]


def direction(task: Task) -> int:
    """What a difference is times to be a loss: -1 where higher is better."""
    return -1 if task.get("direction") == "higher_is_better" else 1


def interval(task: Task) -> tuple[float | None, float | None]:
    """The bounds of a task's difference that its verdict rests on, each at its own level; None where there is none.

    Where a comparison names no such bounds, those of the difference by itself, uncorrected.
    """
    found = task.get("gain_bounds")
    if not found:
        return task.get("low"), task.get("high")
    low, high = found.get("low"), found.get("high")
    return (low, high) if direction(task) < 0 else (_negated(high), _negated(low))


def loss(task: Task) -> tuple[float, float | None, float | None]:
    """A task's loss (positive is worse) with the ends of its interval, None where there is none; in its units."""
    low, high = interval(task)
    if direction(task) > 0:
        return float(task["delta"]), low, high
    return 0.0 - float(task["delta"]), _negated(high), _negated(low)


def _negated(value: float | None) -> float | None:
    return None if value is None else 0.0 - value  # so that 0 stays 0, and not -0


def level(task: Task) -> float | None:
    """The level of the bound that keeps a loss below the margin."""
    found = (task.get("gain_bounds") or {}).get("low_level", task.get("alpha"))
    return None if found is None else float(found)


def allowed(task: Task) -> float | None:
    """The largest loss that lets a task be accepted; None where nothing is asked of it."""
    margin = task.get("margin") or {}
    value = margin.get("to_accept", margin.get("allowed"))
    return None if value is None else float(value)
