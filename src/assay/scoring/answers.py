"""What every scorer asks first: was there an answer at all, and what would have been right?"""

from __future__ import annotations

from assay.errors import ScorerError
from assay.records import Completion, Sample, Score
from assay.scoring.options import shown


def unanswered(completion: Completion) -> str | None:
    """Why there is nothing to judge: the model refused, or said nothing. None where there is an answer."""
    if completion.finish == "refusal":
        return "the model refused to answer"
    if not completion.text or completion.text.isspace():
        return "the completion is empty"
    return None


def cut(completion: Completion) -> str:
    """What to add to the reason for a wrong score where the token limit cut the answer."""
    return "; the completion was cut by its token limit" if completion.finish == "length" else ""


def references(sample: Sample) -> tuple[str, ...]:
    """The right answers as text: the target, or else the right choices.

    Raises ScorerError where the sample has neither: without a reference nothing is right or wrong.
    """
    if sample.target:
        return (sample.target,)
    if sample.gold and all(0 <= index < len(sample.choices) for index in sample.gold):
        return tuple(sample.choices[index] for index in sample.gold)
    raise ScorerError(f"sample {sample.id!r} has no target to compare with")


def verdict(right: bool, extracted: str, wanted: tuple[str, ...], tail: str = "") -> Score:
    """The score of an answer that was found and compared with the right ones; its only metric is `accuracy`."""
    if right:
        return Score({"accuracy": True}, extracted, f"{shown(extracted)} is right")
    return Score({"accuracy": False}, extracted, f"{shown(extracted)} is not {_either(wanted)}{tail}")


def _either(wanted: tuple[str, ...]) -> str:
    return " or ".join(shown(answer) for answer in wanted)
