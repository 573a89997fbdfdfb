"""Words and numbers as a release's report and card say them. What is missing is said, and never a 0."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from assay.report.numbers import MISSING
from assay.report.verdict import change

_HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]"
)
"""Controls, marks of direction and what has no width: they would change how the text around them reads."""

Task = Mapping[str, Any]


def legible(text: str) -> str:
    """Named in place of obeyed: characters that hide or reorder what is around them."""
    return _HIDDEN.sub(lambda found: f"U+{ord(found[0]):04X}", text)


def size(value: float | None) -> str:
    """Bytes as megabytes or gigabytes (powers of ten)."""
    if value is None:
        return MISSING
    if value >= 1e9:
        return f"{value / 1e9:,.2f} GB"
    return f"{value / 1e6:,.1f} MB" if value >= 1e5 else f"{value:,.0f} bytes"


def ratio(value: float | None) -> str:
    """A share of the source, to three places."""
    return MISSING if value is None else f"{value:.3f}"


def is_rate(task: Task) -> bool:
    """Whether a task's metric is a rate, told in points."""
    return task.get("kind") == "pass"


def difference(task: Task, value: float | None) -> str:
    """A signed difference: points of a rate, else in the metric's own units."""
    return change(value, is_rate(task))


def amount(task: Task, value: float | None) -> str:
    """A margin, without a sign: points of a rate, else in the metric's own units."""
    if value is None:
        return MISSING
    return f"{100 * value:.4g} points" if is_rate(task) else f"{value:.4g}"


def score(task: Task, value: float | None) -> str:
    """A score: a rate as per cent."""
    if value is None:
        return MISSING
    return f"{100 * value:.2f}%" if is_rate(task) else f"{value:.4g}"


def bounds(task: Task, ends: tuple[float | None, float | None]) -> str:
    """The interval of a task's difference."""
    low, high = (difference(task, end) for end in ends)
    return f"{low} to {high}"


def level(value: Any) -> str:
    """A level of error."""
    return f"{value:.4g}" if isinstance(value, int | float) else MISSING


def plain(value: Any) -> str:
    """Any JSON value in a line: lists by their items, nothing as a dash."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return ", ".join(map(plain, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {plain(part)}" for key, part in value.items()) or "none"
    return str(value)
