"""A model judge's votes: the form they are asked for in, how one is read, and what several of them come to.

A vote that did not come, cannot be read, lacks a dimension or is off the scale is a failure of the judge. It has no
scores, least of all low ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from assay.judging.rubric import Dimension, Rubric
from assay.records import Outcome
from assay.scoring.found_json import find
from assay.scoring.repair import read

FAILURES = ("unanswered", "refused", "empty", "truncated", "unreadable", "missing", "off_scale")
"""Why a vote does not count: no answer came; the judge declined; it said nothing; the token limit cut it; it is not
JSON, even repaired; it lacks what was asked for; a value is none of its scale."""

WINNERS = ("1", "2", "tie")
LONGEST_RATIONALE = 1_000
"""Characters of a rationale, where decoding is confined: a small model's sentence may find no end."""

_NO_ANSWER = {
    Outcome.TIMEOUT: "unanswered",
    Outcome.INFRA_ERROR: "unanswered",
    Outcome.SKIPPED: "unanswered",
    Outcome.REFUSED: "refused",
    Outcome.EMPTY: "empty",
}


@dataclass(frozen=True, slots=True)
class Vote:
    """One vote: the scores by dimension (in a pairwise vote the winner) and why, or the kind of its failure."""

    scores: Mapping[str, float] = field(default_factory=dict)
    winner: str = ""
    rationale: str = ""
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """What the valid votes on one candidate come to: each dimension's median and how far the votes lie apart, and the
    rationale of the vote nearest to the medians.
    """

    scores: Mapping[str, float]
    spread: Mapping[str, float]
    votes: Sequence[Mapping[str, float]]
    rationale: str


def schema(rubric: Rubric, *, strict: bool = True) -> dict[str, Any]:
    """The JSON Schema of a vote by this rubric: the rationale, then a score for every judged dimension.

    `strict` is for decoding, and allows nothing besides; what was written is checked without.
    """
    dimensions = {dimension.name: _range(dimension) for dimension in rubric.judged}
    return _object({"rationale": _rationale(strict), "scores": _object(dimensions, strict)}, strict)


def pair_schema(*, strict: bool = True) -> dict[str, Any]:
    """The JSON Schema of a vote between two answers."""
    return _object({"rationale": _rationale(strict), "winner": {"type": "string", "enum": list(WINNERS)}}, strict)


def _object(properties: Mapping[str, Any], strict: bool) -> dict[str, Any]:
    # Decoders write keys in the order in which they are listed, and canonical JSON lists them by name: "rationale"
    # comes before "scores" and "winner", so that a judge gives reasons first.
    needed = [name for name in properties if strict or name != "rationale"]
    found = {"type": "object", "properties": dict(properties), "required": needed}
    return {**found, "additionalProperties": False} if strict else found


def _rationale(strict: bool) -> dict[str, Any]:
    return {"type": "string", **({"maxLength": LONGEST_RATIONALE} if strict else {})}


def _range(dimension: Dimension) -> dict[str, Any]:
    if dimension.integer:
        return {"type": "integer", "enum": list(range(int(dimension.low), int(dimension.high) + 1))}
    return {"type": "number", "minimum": dimension.low, "maximum": dimension.high}


def vote(record: Mapping[str, Any], rubric: Rubric) -> Vote:
    """The vote in a line of the judge run's journal."""
    value, failure = _answered(record)
    if failure is not None:
        return Vote(failure=failure)
    given = value.get("scores")
    if not isinstance(given, dict) or any(dimension.name not in given for dimension in rubric.judged):
        return Vote(failure="missing")
    if any(dimension.wrong(given[dimension.name]) for dimension in rubric.judged):
        return Vote(failure="off_scale")
    scores = {one.name: int(given[one.name]) if one.integer else given[one.name] for one in rubric.judged}
    return Vote(scores=scores, rationale=_said(value))


def pair_vote(record: Mapping[str, Any]) -> Vote:
    """The pairwise vote in a line of the judge run's journal: which place won."""
    value, failure = _answered(record)
    if failure is not None:
        return Vote(failure=failure)
    if "winner" not in value:
        return Vote(failure="missing")
    if value["winner"] not in WINNERS:
        return Vote(failure="off_scale")
    return Vote(winner=value["winner"], rationale=_said(value))


def _said(value: Mapping[str, Any]) -> str:
    rationale = value.get("rationale")
    return rationale.strip() if isinstance(rationale, str) else ""


def _answered(record: Mapping[str, Any]) -> tuple[dict[str, Any], str | None]:
    """The object that was answered, or nothing and the kind of failure."""
    outcome = Outcome(str(record["outcome"]))
    if failure := _NO_ANSWER.get(outcome):
        return {}, failure
    value = _json(str(record["completion"]["text"]), cut=outcome is Outcome.TRUNCATED)
    if isinstance(value, dict):
        return value, None
    return {}, "truncated" if outcome is Outcome.TRUNCATED else "unreadable"


def _json(text: str, *, cut: bool) -> Any:
    """The last JSON in a text as it stands, else what repairs make of it. Where the limit cut the text no bracket is
    added: the number before it may have been cut too.
    """
    if (exact := find(text)) is not None and isinstance(exact[1], dict):
        return exact[1]
    repaired = read(text)
    if repaired is None or (cut and "bracket" in repaired.repairs):
        return None
    return repaired.value


def tally(votes: Sequence[Vote], rubric: Rubric) -> Tally | None:
    """What votes come to: the median of each dimension, of an even number the lower of the middle two.

    None where not more than half of them are valid.
    """
    valid = [vote for vote in votes if vote.failure is None]
    if 2 * len(valid) <= len(votes):
        return None
    columns = {one.name: sorted(vote.scores[one.name] for vote in valid) for one in rubric.judged}
    scores = {name: values[(len(values) - 1) // 2] for name, values in columns.items()}
    spread = {name: values[-1] - values[0] for name, values in columns.items()}
    nearest = min(valid, key=lambda vote: _distance(vote, scores, rubric))
    return Tally(scores, spread, [dict(vote.scores) for vote in valid], nearest.rationale)


def _distance(vote: Vote, scores: Mapping[str, float], rubric: Rubric) -> float:
    """How far a vote lies from the medians, in shares of the scales; of equal ones the first counts."""
    return sum(abs(vote.scores[one.name] - scores[one.name]) / (one.high - one.low) for one in rubric.judged)


def winner(votes: Sequence[Vote]) -> tuple[str, str] | None:
    """Which place most valid votes give the win, and one of their rationales; a tie where no place leads.

    None where not more than half of the votes are valid.
    """
    valid = [vote for vote in votes if vote.failure is None]
    if 2 * len(valid) <= len(votes):
        return None
    counts = {place: sum(vote.winner == place for vote in valid) for place in WINNERS}
    most = max(counts.values())
    leading = [place for place in WINNERS if counts[place] == most]
    won = leading[0] if len(leading) == 1 else "tie"
    return won, next((vote.rationale for vote in valid if vote.winner == won), "")
