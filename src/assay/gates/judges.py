"""Who may judge what a gate decides: people, and models whose agreement with people was measured and held enough.

`JudgePolicy` is what agreement must hold to (the key `judges` of a policy, or a file of its own), `Admission` what a
gate reads of a sealed decision by it. A number that a judge gave passes a gate only where every candidate was judged
and every model among the judges has an admission for this very rubric.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path as File
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from assay.errors import FailureClass
from assay.files import digest_of
from assay.gates.result import Check, Verdict
from assay.spec.schema import Strict

SCHEMA = "assay.judge_policy.v1"
COMPOSITE = "composite"
PASSED = "passed"
MEASURES = ("kappa", "alpha", "exact", "bias")

Coefficient = Annotated[float, Field(ge=-1, le=1, description="a number from -1 to 1")]
Rate = Annotated[float, Field(ge=0, le=1, description="a share from 0 to 1")]
Distance = Annotated[float, Field(gt=0, le=1e12, description="a number above 0, in the scale's units")]
Dimension = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,49}$", description="a dimension's name")]


class Threshold(Strict):
    """What is asked of one dimension: of kappa, alpha and exact agreement the least that the lower end of the interval
    may be; of the bias, how far either end may lie from 0.
    """

    kappa: Coefficient | None = None
    alpha: Coefficient | None = None
    exact: Rate | None = None
    bias: Distance | None = None

    @property
    def given(self) -> dict[str, float]:
        """The measures that are asked for."""
        return {name: value for name in MEASURES if (value := getattr(self, name)) is not None}


class JudgePolicy(Strict):
    """What a model must hold to before its scores may gate.

    `units`: answers that it and people have both judged, at least. `confidence` is two-sided; `resamples` and `seed`
    are the bootstrap's. `defaults` hold for every judged dimension, an entry in `dimensions` takes their place for one
    (`composite` is asked for by name only). `marked`: whether batches whose checks failed are told, or refused.
    """

    units: Annotated[int, Field(ge=2, le=10**9, description="a whole number from 2 on")] = 30
    confidence: Annotated[float, Field(ge=0.5, le=0.9999, description="a chance from 0.5 to 0.9999")] = 0.95
    resamples: Annotated[int, Field(ge=100, le=100_000, description="a whole number from 100 to 100000")] = 2000
    seed: Annotated[int, Field(ge=0, lt=2**63, description="a whole number from 0 on")] = 0
    marked: Literal["tell", "refuse"] = "tell"
    defaults: Threshold = Field(default_factory=Threshold)
    dimensions: dict[Dimension, Threshold] = Field(default_factory=dict)

    @property
    def asks(self) -> bool:
        """Whether there is any threshold."""
        return bool(self.defaults.given or any(one.given for one in self.dimensions.values()))

    def of(self, dimension: str) -> Threshold:
        """What is asked of a dimension."""
        if dimension in self.dimensions:
            return self.dimensions[dimension]
        return Threshold() if dimension == COMPOSITE else self.defaults

    @cached_property
    def content(self) -> dict[str, Any]:
        """All that it asks, its defaults included, as JSON."""
        value: dict[str, Any] = JudgePolicy.model_dump(self, mode="json", include=set(JudgePolicy.model_fields))
        return value

    @cached_property
    def digest(self) -> str:
        """SHA-256 of its content, which is the same in a policy and in a file of its own."""
        return digest_of(self.content)

    def to_json(self) -> dict[str, Any]:
        """As an admission keeps it."""
        return {"digest": self.digest, "content": self.content}


class JudgePolicyFile(JudgePolicy):
    """The same as a file of its own."""

    schema_: Literal["assay.judge_policy.v1"] = Field(alias="schema")
    name: str = "judges"
    description: str = ""

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if not self.asks:
            raise ValueError("it asks nothing: give kappa, alpha, exact or bias, under defaults or dimensions")
        return self


def load(path: File) -> JudgePolicy:
    """The judge policy in a file: one of its own, or the key `judges` of a gate's policy.

    Raises ConfigError with every problem of the file, by line.
    """
    from assay import document
    from assay.errors import ConfigError, Problem
    from assay.gates import policy
    from assay.spec.locations import Locations

    text = document.read(path)
    if not isinstance(text.value, dict) or text.value.get("schema") != policy.SCHEMA:
        return policy.validated(JudgePolicyFile, SCHEMA, text)
    judges = policy.read(text).judges
    if judges is None or not judges.asks:
        where = Locations(text.where, text.lines)
        problem: Problem = where.problem(("judges",), "no thresholds for judges", allowed="kappa, alpha, exact or bias")
        raise ConfigError(problem)
    return judges


@dataclass(frozen=True, slots=True)
class Admission:
    """A sealed decision on a model as a judge, as a gate reads it.

    `manifest` is the id of its seal and `sha256` the digest of that file. `rubric` is a digest, `covers` names the
    dimensions that were held against thresholds, `policy` is the digest of those. `why`: what is wrong with its files,
    empty where they are sound.
    """

    name: str
    manifest: str | None = None
    sha256: str | None = None
    judge: str = ""
    identity: str | None = None
    rubric: str = ""
    admitted: bool = False
    verdict: str = ""
    covers: tuple[str, ...] = ()
    policy: str = ""
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        """How a result names this input: by its digests."""
        value: dict[str, Any] = {"role": "admission", "run": self.name, "kind": "admission"}
        value |= {"state": "damaged" if self.why else "sealed", "manifest": self.manifest, "sha256": self.sha256}
        return {**value, "judge": self.judge, "identity": self.identity, "admitted": self.admitted}


@dataclass(frozen=True, slots=True)
class Seen:
    """Somebody who judged answers of a cell."""

    name: str
    kind: str
    identity: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What makes two judges the same: a person's name, what a model judged with."""
        return self.kind, self.name if self.identity is None else self.identity

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {"name": self.name, "kind": self.kind, "identity": self.identity}


@dataclass(frozen=True, slots=True)
class Judged:
    """What a cell was judged by: the rubric by label and digest, how many candidates, how many nobody judged, who
    judged the others, and the batches whose checks failed.
    """

    label: str
    rubric: str
    candidates: int
    pending: int
    judges: tuple[Seen, ...] = ()
    marked: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As a result tells it."""
        value: dict[str, Any] = {"rubric": self.label, "digest": self.rubric, "candidates": self.candidates}
        value |= {"pending": self.pending, "judges": [one.to_json() for one in self.judges]}
        return {**value, "marked": list(self.marked)}


def checks(
    judged: Judged, metric: str, policy: JudgePolicy | None, admissions: Sequence[Admission], where: str
) -> Iterator[Check]:
    """Whether a judged metric of a cell may decide: all judged, each model among the judges admitted."""
    reason = (
        f"{judged.pending} of {judged.candidates} answers are not judged by {judged.label}: "
        "a score over a part of them is no score"
    )
    yield _check("judged", not judged.pending, where, judged.pending, 0, reason)
    for one in judged.judges:
        if one.kind != "person":
            why = _refusal(one, judged, metric, policy, admissions)
            reason = f"scores of the judge {one.name} ({str(one.identity)[:12]}) are refused: {why}"
            yield _check("admitted", why is None, where, one.identity, None, reason)
    if policy is not None and policy.marked == "refuse":
        reason = f"the policy refuses marked batches: {'; '.join(judged.marked)}"
        yield _check("marked", not judged.marked, where, len(judged.marked), 0, reason)


def _check(name: str, ok: bool, where: str, observed: Any, limit: Any, reason: str) -> Check:
    return Check(name, ok, where, observed, limit, reason, Verdict.FAIL, FailureClass.EVAL_JUDGE_FAILED)


def _refusal(
    judge: Seen, judged: Judged, metric: str, policy: JudgePolicy | None, admissions: Sequence[Admission]
) -> str | None:
    """Why no admission lets this model judge; None where one does."""
    if judge.kind != "model" or judge.identity is None:
        return f"a judge is a person, or a model with an identity, not {judge.kind!r}"
    own = [one for one in admissions if one.identity == judge.identity]
    if not own:
        broken = "; ".join(f"{one.name}: {one.why}" for one in admissions if one.why)
        return f"no admission of it was given{f' ({broken})' if broken else ''} (--admission DIR)"
    found = [_misfit(one, judged, metric, policy) for one in own]
    return None if None in found else "; ".join(str(why) for why in found)


def _misfit(one: Admission, judged: Judged, metric: str, policy: JudgePolicy | None) -> str | None:
    if one.why:
        return f"{one.name} does not hold: {one.why}"
    if one.rubric != judged.rubric:
        return f"{one.name} is for another rubric ({one.rubric[:12]}, these scores are by {judged.rubric[:12]})"
    if not one.admitted:
        return f"{one.name} did not admit it: {one.verdict}"
    if policy is not None and policy.asks and one.policy != policy.digest:
        return f"{one.name} was decided by other thresholds than the policy's 'judges'"
    part = metric.rpartition(".")[2]
    wanted = COMPOSITE if part == PASSED else part
    if wanted not in one.covers:
        return f"{one.name} says nothing of {wanted}: it covers {', '.join(one.covers) or 'nothing'}"
    return None


def same(baseline: Judged, candidate: Judged, where: str) -> Iterator[Check]:
    """Whether two cells were judged alike: by one rubric and by the same judges."""
    reason = f"judged by two rubrics: {baseline.rubric[:12]} and {candidate.rubric[:12]}"
    yield _alike("same_rubric", baseline.rubric == candidate.rubric, where, reason)
    left, right = ({one.key for one in side.judges} for side in (baseline, candidate))
    reason = f"the judges differ: {_names(baseline)} and {_names(candidate)}"
    yield _alike("same_judges", left == right, where, reason)


def _alike(name: str, ok: bool, where: str, reason: str) -> Check:
    return Check(name, ok, where, None, None, reason, Verdict.ANOMALOUS, FailureClass.EVAL_JUDGE_FAILED)


def _names(judged: Judged) -> str:
    return ", ".join(f"{one.name} ({(one.identity or one.kind)[:12]})" for one in judged.judges) or "nobody"


def told(judged: Judged, where: str) -> list[str]:
    """What is to be said of a judged cell though it decides nothing: the batches that are marked."""
    said = f"{where}: {len(judged.marked)} marked batches are in it: {'; '.join(judged.marked)}"
    return [said] if judged.marked else []


def covered(policy: JudgePolicy, dimensions: Sequence[str]) -> tuple[str, ...]:
    """The dimensions that a policy asks something of; the composite too where all of its judged ones are asked of."""
    found = [name for name in (*dimensions, COMPOSITE) if policy.of(name).given]
    if COMPOSITE not in found and dimensions and set(dimensions) <= set(found):
        found.append(COMPOSITE)
    return tuple(found)


def known(value: Mapping[str, Any]) -> Seen:
    """A judge as a result or a run names one."""
    return Seen(str(value["name"]), str(value["kind"]), value.get("identity"))
