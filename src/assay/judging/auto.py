"""Judging by a model is a run like any other: its samples are the candidates, its epochs the votes.

So what holds of every run holds of it: resuming, retries, outcomes, the response cache, the seal. Here its plan is
made, and what its votes come to is read from it; carrying it out is a floor above (`assay.judges`).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from assay.errors import ConfigError, Problem
from assay.files import canonical, digest_of
from assay.judging.candidates import Candidate, content_digest
from assay.judging.checks import Checks, Tolerance
from assay.judging.judgements import SCHEMA
from assay.judging.quoted import fence, inert
from assay.judging.rubric import Rubric
from assay.judging.votes import Tally, Vote, pair_schema, pair_vote, schema, tally, vote
from assay.models.base import Model
from assay.plan.build import EXECUTION, LOOK_AT, Draft, label, pinned
from assay.plan.plan import Cell, Mode, ModelPlan, Plan, TaskPlan
from assay.plan.scorers import plan_of
from assay.prompts.prompt import Prompt
from assay.prompts.render import check as check_prompt
from assay.records import Sample, Sampling
from assay.run import journal
from assay.run.folder import RunFolder, SampleFile
from assay.run.state import State
from assay.scoring.registry import make
from assay.spec.dump import to_json
from assay.spec.schema import Spec

TASK = "candidates"
SELF_PREFERENCE = "self_preference"
_SCORER = "structured"


@dataclass(frozen=True)
class Asked:
    """How a model is to judge. `reference`: it is shown the reference answers; `anchors`: the rubric's examples are
    among the candidates, and not in the prompt.
    """

    rubric: Rubric
    prompt: Prompt
    reference: bool = False
    anchors: bool = False
    pairwise: bool = False

    @property
    def shows(self) -> tuple[str, ...]:
        """The variables without which the prompt would not show what is to judge."""
        return ("first", "second") if self.pairwise else ("candidate",)

    def schema(self, *, strict: bool) -> dict[str, Any]:
        """The form of a vote."""
        return pair_schema(strict=strict) if self.pairwise else schema(self.rubric, strict=strict)

    def quoted(self, input: str, reference: str, **texts: str) -> dict[str, Any]:
        """A sample's question and fields: what is to judge, made inert, the rubric, and a fence that no text holds."""
        shown = {"input": input, "reference": reference if self.reference else "", **texts}
        shown = {name: inert(text) for name, text in shown.items()}
        fields = {
            **{name: text for name, text in shown.items() if name != "input"},
            **self._rubric,
            "fence": fence([self.rubric.digest], list(shown.values())),
        }
        return {"input": shown["input"], "fields": fields}

    @cached_property
    def _rubric(self) -> dict[str, Any]:
        """What a prompt may use of the rubric; every sample shares it."""
        without = self.anchors or self.pairwise
        dimensions = [
            {**one.to_json(), "low": one.low, "high": one.high, "scale": one.scale} for one in self.rubric.judged
        ]
        return {
            "label": self.rubric.label,
            "guide": self.rubric.guide,
            "dimensions": dimensions,
            "examples": [] if without else [one.to_json() for one in self.rubric.examples],
        }


@dataclass(frozen=True)
class JudgeDraft(Draft):
    """The draft of a judge run. Its samples were not read from a data set."""

    found: tuple[Sample, ...] = ()

    def samples(self) -> Iterator[tuple[str, Iterator[Sample], Iterator[Sample]]]:
        """The candidates."""
        yield TASK, iter(self.found), iter(())


def candidate_sample(asked: Asked, one: Candidate, flags: Sequence[str] = ()) -> Sample:
    """A candidate as a sample of the judge run. What tells where it comes from stands where no prompt can show it."""
    reference = one.reference if asked.reference else ""
    origin = {name: getattr(one, name) for name in ("index", "attempt", "cell", "revision")}
    metadata = {"kind": "candidate", "digest": content_digest(one.input, one.text, reference), **origin}
    return Sample(
        id=f"{one.attempt}.{one.revision}",
        metadata=metadata | ({"flags": list(flags)} if flags else {}),
        **asked.quoted(one.input, reference, candidate=one.text),
    )


def anchor_samples(asked: Asked) -> Iterator[Sample]:
    """The rubric's examples as samples."""
    for number, one in enumerate(asked.rubric.examples):
        reference = one.reference if asked.reference else ""
        metadata = {"kind": "anchor", "example": number, "digest": content_digest(one.input, one.text, reference)}
        shown = asked.quoted(one.input, reference, candidate=one.text)
        yield Sample(id=f"anchor-{number + 1}", metadata=metadata, **shown)


def draft(asked: Asked, spec: Spec, model: Model, samples: Sequence[Sample], origin: str) -> JudgeDraft:
    """The plan of a judge run over these samples; `origin` says in words where they come from.

    Raises ConfigError where the prompt does not show what is to judge, or cannot be rendered for it.
    """
    mode = _mode(spec, model)
    _check_prompt(asked, samples, mode)
    task, sampling = _task(asked, spec, samples, origin), _sampling(asked, spec, model)
    shape = {
        "model": pinned(model),
        "system": None,
        "prompt": asked.prompt.digest,
        "task": [task.task, task.version],
        "demos": (),
        "mode": mode,
        "sampling": sampling.to_json(),
    }
    plan = Plan(
        name=spec.name,
        seed=spec.seed,
        spec={key: part for key, part in to_json(spec).items() if key not in EXECUTION},
        models={model.name: _model(spec, model)},
        prompts={label(asked.prompt): asked.prompt.to_json()},
        tasks={TASK: task},
        cells=(Cell(digest_of(shape)[:16], model.name, label(asked.prompt), TASK, mode, sampling),),
    )
    return JudgeDraft(plan, {model.name: model}, {}, {}, tuple(_notes(asked, spec, model)), tuple(samples))


def _mode(spec: Spec, model: Model) -> Mode:
    return spec.models[0].api or ("chat" if model.capabilities.chat else "completion")


def _sampling(asked: Asked, spec: Spec, model: Model) -> Sampling:
    written, form = spec.sampling, canonical(asked.schema(strict=True)).decode()
    return Sampling(
        temperature=written.temperature,
        top_p=written.top_p,
        max_tokens=written.max_tokens or 0,
        json_schema=form if model.capabilities.structured else None,
    )


def _model(spec: Spec, model: Model) -> ModelPlan:
    size, written = model.size(), spec.models[0]
    return ModelPlan(
        name=model.name,
        model=written.model,
        identity=pinned(model),
        capabilities=model.capabilities.to_json(),
        size={"parameters": size.parameters, "source": size.source} if size else None,
        prices=written.prices.model_dump(mode="json") if written.prices else None,
        synthetic=model.synthetic,
    )


def _task(asked: Asked, spec: Spec, samples: Sequence[Sample], origin: str) -> TaskPlan:
    form: dict[str, Any] = {"schema": asked.schema(strict=False)}
    return TaskPlan(
        name=TASK,
        task=f"judge:{asked.rubric.label}",
        version=asked.rubric.digest[:16],
        kind="generate",
        dataset=_digest(samples),
        origin={"origin": origin, "rubric": asked.rubric.named},
        seed=spec.seed,
        epochs=spec.epochs,
        few_shot=0,
        scorer=plan_of(make(_SCORER, form), form),
        code_exec_policy="disabled",
        samples=tuple(sample.id for sample in samples),
    )


def _digest(samples: Sequence[Sample]) -> str:
    """SHA-256 of the samples' lines, as of any data set."""
    hasher = hashlib.sha256()
    for sample in samples:
        hasher.update(canonical(sample.to_json()) + b"\n")
    return hasher.hexdigest()


def _check_prompt(asked: Asked, samples: Sequence[Sample], mode: Mode) -> None:
    names = asked.prompt.template("body").names
    if missing := [name for name in asked.shows if name not in names]:
        message = f"a judge would not be shown what is to judge: {{{{ {missing[0]} }}}} is not in the template"
        raise ConfigError(Problem(message, asked.prompt.origin.where))
    for sample in samples[:LOOK_AT]:
        if problems := check_prompt(asked.prompt, sample, mode):
            raise ConfigError(problems)


def _notes(asked: Asked, spec: Spec, model: Model) -> Iterator[str]:
    if spec.epochs > 1 and not spec.sampling.temperature:
        yield f"at temperature 0 the {spec.epochs} votes of a judge are one vote: they tell nothing of its spread"
    if not model.capabilities.structured:
        yield f"{model.name} cannot be confined to a schema: the form of its votes rests on the prompt and on repairs"
    if "fence" not in asked.prompt.template("body").names:
        yield f"{label(asked.prompt)} puts no {{{{ fence }}}} around what is judged: a candidate may speak to the judge"
    if asked.reference and "reference" not in asked.prompt.template("body").names:
        yield f"{label(asked.prompt)} does not show the reference answers"


def identity(asked: Asked, plan: Plan) -> dict[str, Any]:
    """What a judge is: the model, the prompt with what it shows, the rubric, the votes, the sampling; and of these a
    digest. Where it runs, and by which seed, is no part of it.
    """
    (cell,), (model,) = plan.cells, plan.models.values()
    sampling = cell.sampling.to_json() if cell.sampling else {}
    structured = sampling.pop("json_schema", None) is not None
    shown = {"reference": asked.reference, "examples": bool(asked.rubric.examples) and not asked.anchors}
    prompt = {"id": asked.prompt.id, "version": asked.prompt.version, "digest": asked.prompt.digest}
    parts = {
        "model": dict(model.identity),
        "prompt": prompt | ({"reference": asked.reference} if asked.pairwise else shown),
        "rubric": asked.rubric.digest,
        "votes": plan.tasks[TASK].epochs,
        "sampling": {**sampling, "mode": cell.mode, "structured": structured},
    }
    return {"identity": digest_of(parts), **parts}


@dataclass
class Ballots:
    """All votes of a judge run, by candidate, and how many failed in which way. Of the samples only what tells where
    they come from is kept.
    """

    samples: list[Sample] = field(default_factory=list)
    votes: list[list[Vote]] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    synthetic: bool = False
    errors: Counter[str] = field(default_factory=Counter)

    @classmethod
    def read(cls, folder: RunFolder, rubric: Rubric | None) -> Ballots:
        """The votes in a finished judge run; without a rubric those between two answers. Raises JournalCorrupt."""
        plan = folder.plan()
        state, task = State.read(folder, plan), plan.tasks[TASK]
        found = cls(votes=[[Vote(failure="unanswered")] * task.epochs for _ in task.samples], synthetic=plan.synthetic)
        for _, _, record in journal.read(folder.attempts):
            if record["revision"] == state.lines[record["index"]] - 1:
                _, position, epoch = plan.locate(record["index"])
                found.votes[position][epoch] = pair_vote(record) if rubric is None else vote(record, rubric)
                if "error" in record:
                    found.errors[str(record["error"]["message"])] += 1
        found.failures.update(one.failure for votes in found.votes for one in votes if one.failure)
        file = SampleFile(folder.sample_path(TASK))
        try:
            found.samples = [_origin(file[position]) for position in range(len(task.samples))]
        finally:
            file.close()
        return found

    def __iter__(self) -> Iterator[tuple[Sample, list[Vote]]]:
        return iter(zip(self.samples, self.votes, strict=True))

    def counts(self) -> dict[str, Any]:
        """How many votes were asked for, how many are valid, and why the others are not."""
        asked = sum(len(votes) for votes in self.votes)
        valid = asked - self.failures.total()
        return {"asked": asked, "valid": valid, "failures": dict(sorted(self.failures.items()))}


def _origin(sample: Sample) -> Sample:
    return replace(sample, input="", fields={})


@dataclass
class Batch:
    """What a judge run comes to: records to append, and the candidates that stay pending, each with its failures."""

    rubric: Rubric
    judge: Mapping[str, Any]
    plan: str
    at: str
    ballots: Ballots
    tolerance: Tolerance = field(default_factory=Tolerance)
    records: list[dict[str, Any]] = field(default_factory=list)
    failed: list[tuple[Sample, list[str]]] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.id = f"b{digest_of([self.judge['identity'], self.judge['manifest'], self.plan])[:12]}"
        self.checks = Checks(self.rubric, self.tolerance)

    def fold(self, gone: Sequence[str] = ()) -> None:
        """Make a record of each candidate that most votes are valid of. `gone`: samples that are no candidates now."""
        for sample, votes in self.ballots:
            if sample.id in gone:
                self.stale.append(sample.id)
            elif (found := tally(votes, self.rubric)) is None:
                self.failed.append((sample, [vote.failure or "valid" for vote in votes]))
            else:
                self.records.append(self._record(sample, found))
                if sample.metadata["kind"] == "anchor":
                    self.checks.anchor(sample.metadata["example"], found.scores)

    def _record(self, sample: Sample, found: Tally) -> dict[str, Any]:
        item = f"{self.judge['run'].rpartition('/')[2]}.{sample.id}"
        return {
            "id": f"j{digest_of([self.id, item])[:15]}",
            "item": item,
            "judge": self.judge["name"],
            "at": self.at,
            "rubric": self.rubric.digest,
            **sample.metadata,
            "scores": dict(found.scores),
            "votes": [dict(scores) for scores in found.votes],
            "spread": dict(found.spread),
            "rationale": found.rationale,
        }

    def flagged(self) -> int:
        """How many of the records are of the judge's own family."""
        return sum(SELF_PREFERENCE in record.get("flags", ()) for record in self.records)

    def header(self) -> dict[str, Any]:
        """The first line of the segment."""
        return {
            "schema": SCHEMA,
            "batch": self.id,
            "judge": dict(self.judge),
            "rubric": self.rubric.named,
            "plan": self.plan,
            "created": self.at,
            "votes": self.ballots.counts(),
            "failed": len(self.failed),
            "stale": self.stale,
            "synthetic": self.ballots.synthetic,
            "self_preference": self.flagged(),
            "checks": self.checks.to_json(),
        }


def told(sample: Sample, kinds: Sequence[str]) -> dict[str, Any]:
    """A candidate that got no judgement, and why: how many votes failed in which way."""
    keys = ("kind", "attempt", "index", "cell", "example", "pair", "order")
    origin = {key: sample.metadata[key] for key in keys if key in sample.metadata}
    return {"sample": sample.id, **origin, "votes": dict(sorted(Counter(kinds).items()))}
