"""Which metric a board ranks by: one that a scorer measured, or one that judgements come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from assay.errors import ConfigError, Problem
from assay.report.board_entries import Measured, Part
from assay.report.board_judged import Rubrics
from assay.run.sums import JudgedSums

Chosen = tuple[Mapping[str, Any], JudgedSums | None]


def measured(parts: Sequence[Part], wanted: str | None, rubrics: Rubrics) -> Measured:
    """The metric of each task: by default the composite of the rubric that it is judged by, else its primary one.

    A judged metric may be named without its rubric where one rubric alone gives it; a scorer's of that name goes first.
    Raises ConfigError where there is none such, or where they cannot be averaged.
    """
    found: dict[str, Chosen] = {}
    for part in parts:
        chosen = _chosen(part, wanted, rubrics)
        first, _ = found.setdefault(part.task, chosen)
        if first["name"] != chosen[0]["name"]:
            message = f"{part.task} is scored by {first['name']} in one run and by {chosen[0]['name']} in another"
            raise ConfigError(Problem(message, "--metric", allowed="a metric that all runs have"))
    kinds = {(metric["kind"], metric["higher_is_better"]) for metric, _ in found.values()}
    if len(kinds) > 1:
        listed = ", ".join(f"{task}: {metric['name']}" for task, (metric, _) in found.items())
        message = f"metrics of different kinds cannot be averaged ({listed})"
        raise ConfigError(Problem(message, "--metric", allowed="one that all tasks have, or --task for one of them"))
    kind, higher = kinds.pop()
    names = {task: str(metric["name"]) for task, (metric, _) in found.items()}
    judged = {task: judged for task, (_, judged) in found.items() if judged is not None}
    return Measured(names, str(kind), bool(higher), judged)


def _chosen(part: Part, wanted: str | None, rubrics: Rubrics) -> Chosen:
    scorer = part.run.scorers.get(part.task)
    metrics = {m["name"]: m for m in scorer.metrics if m["kind"] != "label"} if scorer else {}
    if wanted is None:
        if judged := rubrics.usual(part.task):
            return judged
        if metrics:
            return next(iter(metrics.values())), None
        message = f"{part.task}: no metric"
    else:
        if wanted in metrics:
            return metrics[wanted], None
        if judged := rubrics.find(part.task, wanted):
            return judged
        message = f"{part.task} of {part.run.name} has no metric {wanted!r}"
    known = ", ".join((*metrics, *rubrics.names(part.task))) or "none: it was not scored"
    raise ConfigError(Problem(message, "--metric", allowed=known))
