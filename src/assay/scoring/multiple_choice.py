"""`multiple_choice`: the right choice wins, by log-likelihood or by the letter that the model writes.

By log-likelihood (`by: logprob`, the default) nothing is generated: `accuracy` asks whether a right choice
has the highest summed log-probability, `accuracy_norm` the highest per character of the choice's text, as
lm-evaluation-harness's acc and acc_norm do, and `margin` is how far (in nats, summed) the best right choice
lies above the best wrong one. A tie is not a win, whichever choice comes first. By letter (`by: letter`):
`assay.scoring.letter`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from assay.errors import ScorerError
from assay.records import Completion, Sample, Score
from assay.scoring.answers import cut, unanswered
from assay.scoring.base import Metric, Scorer
from assay.scoring.letter import LETTERS, chosen
from assay.scoring.options import Options, shown


def _check(sample: Sample) -> None:
    """Raises ScorerError where the sample is no question with right and wrong choices."""
    count, gold = len(sample.choices), set(sample.gold)
    if not 2 <= count <= len(LETTERS):
        raise ScorerError(f"sample {sample.id!r} has {count} choices; 2 to {len(LETTERS)} can be scored")
    if not gold or not gold < set(range(count)):
        raise ScorerError(f"sample {sample.id!r}: {sorted(gold)} are not some of its {count} choices, the right ones")


def _names(indices: Sequence[int]) -> str:
    return " or ".join(LETTERS[index] for index in indices)


@dataclass(frozen=True, slots=True)
class ByLogprob:
    """Compares the choices' log-likelihoods."""

    revision: str
    name: ClassVar[str] = "multiple_choice"
    needs: ClassVar[Literal["choices"]] = "choices"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("accuracy", help="a right choice is the most likely one"),
        Metric("accuracy_norm", help="a right choice is the most likely one per character"),
        Metric(
            "margin",
            "measure",
            help="log-likelihood of the best right choice less that of the best wrong one",
        ),
    )

    def score(self, sample: Sample, completion: Completion) -> Score:
        """Raises ScorerError where the backend's answer lacks a choice or a finite log-likelihood."""
        _check(sample)
        sums = _logprobs(sample, completion)
        per_character = [value / len(choice) for value, choice in zip(sums, sample.choices, strict=True)]
        margin, best = _margin(sums, sample.gold)
        margin_norm, _ = _margin(per_character, sample.gold)
        metrics = {"accuracy": margin > 0, "accuracy_norm": margin_norm > 0, "margin": margin}
        return Score(metrics, _names(best), _why(margin, best, sample.gold))


def _logprobs(sample: Sample, completion: Completion) -> list[float]:
    if len(completion.choices) != len(sample.choices):
        raise ScorerError(
            f"sample {sample.id!r}: {len(completion.choices)} of {len(sample.choices)} choices were scored"
        )
    for index, choice in enumerate(completion.choices):
        if choice.tokens < 1 or not math.isfinite(choice.logprob) or not sample.choices[index]:
            raise ScorerError(f"sample {sample.id!r}: choice {LETTERS[index]} has no log-likelihood")
    return [choice.logprob for choice in completion.choices]


def _margin(values: list[float], gold: tuple[int, ...]) -> tuple[float, list[int]]:
    """How far the best right choice lies above the best wrong one, and which choices are best."""
    right = max(values[index] for index in gold)
    wrong = max(value for index, value in enumerate(values) if index not in gold)
    top = max(right, wrong)
    return right - wrong, [index for index, value in enumerate(values) if value == top]


def _why(margin: float, best: list[int], gold: tuple[int, ...]) -> str:
    if margin > 0:
        return f"{_names(best)} is right and the most likely, by {margin:.3g} nats"
    if margin == 0:
        return f"{_names(best)} are equally likely; a tie is not a win"
    return f"{_names(best)} is the most likely, not {_names(gold)}, by {-margin:.3g} nats"


@dataclass(frozen=True, slots=True)
class ByLetter:
    """Reads the letter that the model chose."""

    revision: str
    name: ClassVar[str] = "multiple_choice"
    needs: ClassVar[Literal["text"]] = "text"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("accuracy", help="the letter chosen is a right one"),
        Metric("extracted", help="the answer chooses one letter"),
    )

    def score(self, sample: Sample, completion: Completion) -> Score:
        """Right where the completion names one letter and it is a right one."""
        _check(sample)
        if why := unanswered(completion):
            return Score({"accuracy": False, "extracted": False}, None, why)
        index, words = chosen(completion.text, sample.choices)
        if index is None:
            why = f"no choice can be read from the answer: {words}{cut(completion)}"
            return Score({"accuracy": False, "extracted": False}, None, why)
        right = index in sample.gold
        why = f"{shown(words)} chooses {LETTERS[index]}, " + ("right" if right else f"not {_names(sample.gold)}")
        return Score({"accuracy": right, "extracted": True}, LETTERS[index], why)


def multiple_choice(options: Mapping[str, Any]) -> Scorer:
    """Options: `by`: logprob (needs a backend that gives the log-likelihood of choices) or letter."""
    given = Options("multiple_choice", options)
    by = given.one_of("by", "logprob", ("logprob", "letter"))
    revision = given.done("1")
    return ByLogprob(revision) if by == "logprob" else ByLetter(revision)
