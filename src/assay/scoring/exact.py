"""`exact_match`: the completion is the target, character for character."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from assay.records import Completion, Sample, Score
from assay.scoring.answers import cut, references, unanswered, verdict
from assay.scoring.base import Metric, Scorer
from assay.scoring.options import Options


@dataclass(frozen=True, slots=True)
class ExactMatch:
    """Compares whole texts. White space around them does not count unless `strip` is false."""

    revision: str
    strip: bool
    name: ClassVar[str] = "exact_match"
    needs: ClassVar[Literal["text"]] = "text"
    metrics: ClassVar[tuple[Metric, ...]] = (Metric("accuracy", help="the answer is the target"),)

    def score(self, sample: Sample, completion: Completion) -> Score:
        """Right where the whole completion equals the target (or a right choice's text)."""
        wanted = references(sample)
        if why := unanswered(completion):
            return Score({"accuracy": False}, None, why)
        text = completion.text
        if self.strip:
            text, wanted = text.strip(), tuple(answer.strip() for answer in wanted)
        return verdict(text in wanted, text, wanted, cut(completion))


def exact_match(options: Mapping[str, Any]) -> Scorer:
    """Options: `strip` (true): ignore white space around the answer and the target."""
    given = Options("exact_match", options)
    strip = given.flag("strip", True)
    return ExactMatch(given.done("1"), strip)
