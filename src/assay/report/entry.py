"""One finished attempt with its scores, as the report reads it, and how it went."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from assay.records import Outcome

Verdict = Literal["right", "wrong", "measured", "unscored"]
"""`right` and `wrong` come from a primary metric that passes or fails; a number or a label is `measured`."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the journal and what the scorers said of it.

    `attempt` is the line itself: `attempt` (id), `index`, `cell`, `sample`, `epoch`, `seed`, `outcome`,
    `completion`, `latency_s`, `tries`, `demos`, `error`. `scores` has one mapping a scorer: `scorer`,
    `revision`, `metrics`, `extracted`, `why`; or `error` in place of the metrics.
    """

    attempt: Mapping[str, Any]
    scores: Sequence[Mapping[str, Any]] = ()


Render = Callable[[Entry], Mapping[str, Any]]
"""Rebuilds what an attempt asked: `messages` (role, content) or `text`, with `choices`,
`gold` (indices of the right ones) and `target`.
Called only for the entries that are shown. Raises AssayError where the data is not at hand."""


def primary_names(results: Mapping[str, Any]) -> dict[int, str]:
    """The name of each cell's primary metric, by cell; cells that nothing scores are left out."""
    return {
        cell["cell"]: metric["name"] for cell in results["cells"] for metric in cell["metrics"] if metric.get("primary")
    }


def outcome_of(entry: Entry) -> str:
    """How an attempt ended in all: as the journal says, or `scorer_error` where its scorer failed."""
    if any(score.get("error") is not None for score in entry.scores):
        return Outcome.SCORER_ERROR.value
    return str(entry.attempt["outcome"])


def verdict(entry: Entry, primary: str | None) -> tuple[Verdict, Any]:
    """How an attempt did by its cell's primary metric, and that metric's value (None where unscored)."""
    for score in entry.scores:
        metrics = score.get("metrics")
        if metrics and primary in metrics:
            value = metrics[primary]
            if isinstance(value, bool):
                return ("right" if value else "wrong"), value
            return "measured", value
    return "unscored", None
