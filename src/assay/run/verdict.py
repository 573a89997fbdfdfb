"""What a scorer decides about one completion, as score lines keep it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, cast

from assay.errors import ScorerError
from assay.records import Completion, Sample
from assay.scoring.base import CodeScorer, Scorer


def verdict(
    scorer: Scorer, sample: Sample, completion: Mapping[str, Any], execution: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The part of a score line that the scorer decides: metrics, what was extracted and why; or its error.

    `execution` is what happened to the completion where the scorer executes code.
    """
    try:
        if _executes(type(scorer)):
            if execution is None:
                raise ScorerError("the completion was never executed")
            score = cast(CodeScorer, scorer).judge(sample, Completion.from_json(completion), execution)
        else:
            score = scorer.score(sample, Completion.from_json(completion))
    except ScorerError as error:
        return {"error": error.message}
    line: dict[str, Any] = {"metrics": dict(score.metrics), "why": score.why}
    if score.extracted is not None:
        line["extracted"] = score.extracted
    return line


@cache
def _executes(kind: type[Scorer]) -> bool:
    """Whether scorers of a type execute code; asked once, since asking a protocol is slow."""
    return all(hasattr(kind, name) for name in ("program", "judge"))
