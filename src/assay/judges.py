"""Models that judge: a run's candidates put to a model by a pinned rubric, and its votes appended to the run.

    auto(Path("runs/tips-1a2b3c4d"), find("tip-v1"), Settings({"model": "openai:judge"}))
    compare(Path("runs/tips-1a2b3c4d"), find("tip-v1"), Settings({"model": "openai:judge"}), by="prompt")

The judge's own run grows beside the judged one, in `<run>.judging/`, so that a judge at work leaves the seal of what it
judges alone. Sealed, it moves to `judging/auto/` there, in one layer with the judgements that it came to.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay.errors import ConfigError, JudgeFailed, Problem
from assay.evidence.manifest import read_manifest, refuse_secrets
from assay.files import digest_of
from assay.judged import Judged, check_intact, locked, new_layer, opened
from assay.judging import judgements, library, pairs
from assay.judging.auto import (
    SELF_PREFERENCE,
    Asked,
    Ballots,
    Batch,
    JudgeDraft,
    anchor_samples,
    candidate_sample,
    draft,
    identity,
    told,
)
from assay.judging.candidates import Candidate, candidates, judgeable
from assay.judging.checks import Tolerance
from assay.judging.pairs import By, Pair, PairBatch
from assay.judging.rubric import Rubric
from assay.models.base import Model
from assay.models.family import related
from assay.models.registry import make
from assay.prompts.library import find as find_prompt
from assay.records import Sample
from assay.run.execute import Watch
from assay.run.folder import RunFolder
from assay.session import Options, Progress, asked_of, carry_out
from assay.spec.load import parse
from assay.spec.schema import Spec

VOTES = 3
WARM = 0.7
"""The temperature where several votes are asked for and none was given: equal votes would tell nothing."""

MAX_TOKENS = 512
RUBRIC_PROMPT, PAIR_PROMPT = "judge-rubric", "judge-pairwise"
SCHEMA = "assay.judge_auto.v1"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}")


@dataclass(frozen=True, slots=True)
class Settings:
    """Which model judges and how. `model`: as a spec's `models` has one. `sampling`: as a spec's, by default
    temperature 0.7 where there are several votes; `seed` is the root of the votes' seeds. `prompt`: a name or a file.

    `tasks`, `limit` choose candidates: of a limit every cell gets its share. `name`: what the judge is called, by
    default the model's name and the beginning of the judge's digest. `execution` has a spec's keys `concurrency`,
    `retry`, `budget`, `cache`. `allow`: digests of what looks like a secret and is none.
    """

    model: Mapping[str, Any]
    prompt: str | None = None
    votes: int = VOTES
    sampling: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    tasks: Sequence[str] = ()
    limit: int | None = None
    reference: bool = False
    anchors: bool = False
    name: str | None = None
    tolerance: Tolerance = field(default_factory=Tolerance)
    execution: Mapping[str, Any] = field(default_factory=dict)
    allow: Sequence[str] = ()
    command: Sequence[str] = ()


def auto(
    path: Path,
    rubric: Rubric,
    settings: Settings,
    *,
    watch: Watch | None = None,
    progress: Progress | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Have a model judge the pending candidates of a finished run; returns what was asked and applied.

    Killed or interrupted it is resumed by asking again. A candidate with no majority of valid votes stays pending, and
    JudgeFailed is raised once all others are applied; asked again, only it and what is new is judged. Raises
    ConfigError (nothing was asked), MachineError or BudgetExhausted (what is finished is kept).
    """
    asked = Asked(rubric, find_prompt(settings.prompt or RUBRIC_PROMPT), settings.reference, settings.anchors)
    if settings.anchors and not rubric.examples:
        raise ConfigError(f"{rubric.label} has no examples to insert as checks")
    return _Judging(path, asked, settings, note).run(watch, progress)


def compare(
    path: Path,
    rubric: Rubric,
    settings: Settings,
    *,
    by: By = "model",
    against: str | None = None,
    watch: Watch | None = None,
    progress: Progress | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Have a model compare answers in pairs, each in both orders, between models or between prompts. As `auto`."""
    if settings.anchors:
        raise ConfigError(Problem("the rubric's examples are no pairs", "--anchors", allowed="without --pairwise"))
    asked = Asked(rubric, find_prompt(settings.prompt or PAIR_PROMPT), settings.reference, pairwise=True)
    return _Comparing(path, asked, settings, note, by, against).run(watch, progress)


@dataclass
class _Judging:
    """One command from the pending candidates to the judgements."""

    path: Path
    asked: Asked
    settings: Settings
    note: Callable[[str], None]

    def run(self, watch: Watch | None, progress: Progress | None) -> dict[str, Any]:
        judged = opened(self.path)
        check_intact([judged])
        refuse_secrets(judged.folder)
        library.check_carried(judged.folder, self.asked.rubric)
        made, judge = self._planned(judged)
        if not made.found:
            return self._report(judge, None)
        for text in made.notes:
            self.note(text)
        nested = _place(judged.folder, made)
        if nested.parent == _work(judged.folder):
            allow = (*self.settings.allow, *_allowed(judged.folder))
            options = Options(nested, command=self.settings.command, allow_secrets=allow)
            carry_out(made, self._spec, options, watch, progress)
        batch = self._apply(nested, judge)
        report = self._report(judge, batch)
        if batch.failed:
            raise _failure(batch, report)
        return report

    def _planned(self, judged: Judged) -> tuple[JudgeDraft, dict[str, Any]]:
        """The judge run's plan for what is pending, and who judges. Its seed moves on with every batch, so that what
        failed is not asked the very same again.
        """
        spec = _spec(self.asked, self.settings, 0)
        model = make(spec.models[0])
        origin = f"the answers of the run with the plan {judged.plan.digest[:16]}"
        bare = draft(self.asked, spec, model, [], origin)
        judge = identity(self.asked, bare.plan)
        name = self._name(judged.folder, model, judge["identity"])
        judge = {"name": name, "kind": "model", **judge}
        rounds = sum(header["judge"].get("identity") == judge["identity"] for header in self._headers(judged.folder))
        self._spec = _spec(self.asked, self.settings, rounds)
        samples = list(self._samples(judged, name, model))
        return draft(self.asked, self._spec, model, samples, origin), judge

    def _name(self, folder: RunFolder, model: Model, digest: str) -> str:
        """What the judge is called. A name means one judge in a run: whoever else has it keeps it."""
        plain = re.sub(r"[^A-Za-z0-9._-]+", "-", model.name).strip("-._")[:80] or "judge"
        name = self.settings.name or f"{plain}@{digest[:8]}"
        if not _NAME.fullmatch(name):
            allowed = "letters, digits, '.', '_', '@' and '-'; at most 100"
            raise ConfigError(Problem(f"{name!r} is not a name", "--name", allowed=allowed))
        for header in self._headers(folder):
            if header["judge"]["name"] == name and header["judge"].get("identity") != digest:
                message = f"{name} has judged here already, and is another judge"
                raise ConfigError(Problem(message, "--name", allowed="another name, or the same settings as before"))
        return name

    def _headers(self, folder: RunFolder) -> Iterator[Mapping[str, Any]]:
        return judgements.headers(folder)

    def _samples(self, judged: Judged, name: str, model: Model) -> Iterator[Sample]:
        pending = self._pending(judged, name)
        kin = _kin(judged, model)
        for one in pending:
            yield candidate_sample(self.asked, one, _flags(kin, judged.plan.cells[one.cell].model))
        if pending and self.asked.anchors:
            yield from anchor_samples(self.asked)

    def _pending(self, judged: Judged, name: str) -> list[Candidate]:
        standing = judgements.Standing.read(judged.folder, judged.plan, judged.state, self.asked.rubric)
        named = judgeable(judged.plan, self.settings.tasks)
        found = candidates(judged.folder, judged.plan, judged.state, named)
        left = [one for one in found if name not in standing.by_attempt.get(one.index, {})]
        return sorted(left, key=lambda one: (_rank(judged, one), one.cell))[: self.settings.limit]

    def _apply(self, nested: Path, judge: dict[str, Any]) -> Batch | PairBatch:
        """Fold the votes of the finished judge run, and add both to the judged run as one layer."""
        with ExitStack() as stack:
            judged = locked(stack, self.path)
            check_intact([judged])
            inner = RunFolder(nested)
            manifest = read_manifest(inner.manifest)
            final = _home(judged.folder) / nested.name
            place = final.relative_to(judged.folder.path).as_posix()
            batch = self._folded(judged, inner, {**judge, "run": place, "manifest": manifest["id"]})

            def write() -> None:
                library.carry(judged.folder, self.asked.rubric)
                if nested != final:
                    final.parent.mkdir(parents=True, exist_ok=True)
                    nested.rename(final)
                self._append(judged.folder, batch)

            new_layer(judged, write, self.settings.command, manifest["secrets"]["allowed"])
        with suppress(OSError):
            _work(judged.folder).rmdir()  # only where nothing else is at work there
        return batch

    def _folded(self, judged: Judged, inner: RunFolder, judge: dict[str, Any]) -> Batch | PairBatch:
        ballots = Ballots.read(inner, self.asked.rubric)
        batch = Batch(self.asked.rubric, judge, judged.plan.digest, _now(), ballots, self.settings.tolerance)
        standing = judgements.Standing.read(judged.folder, judged.plan, judged.state, self.asked.rubric)
        batch.fold(
            [
                sample.id
                for sample in ballots.samples
                if sample.metadata["kind"] == "candidate"
                and (
                    not _newest(judged, sample.metadata)
                    or judge["name"] in standing.by_attempt.get(sample.metadata["index"], {})
                )
            ]
        )
        return batch

    def _append(self, folder: RunFolder, batch: Any) -> None:
        judgements.append(folder, batch.header(), batch.records)

    def _report(self, judge: Mapping[str, Any], batch: Batch | PairBatch | None) -> dict[str, Any]:
        """What is told, as `--json` has it."""
        head = {"schema": SCHEMA, "run": str(self.path), "pairwise": self.asked.pairwise}
        head |= {"rubric": {"label": self.asked.rubric.label, **self.asked.rubric.named}}
        if batch is None:
            return {**head, "judge": dict(judge), "batch": None, "applied": 0, "failed": [], "votes": None}
        return {
            **head,
            "judge": dict(batch.judge),
            "batch": batch.id,
            "applied": sum(record.get("kind") != "anchor" for record in batch.records),
            "failed": [told(sample, kinds) for sample, kinds in batch.failed],
            "stale": batch.stale,
            "votes": batch.ballots.counts(),
            "errors": [{"message": text, "votes": count} for text, count in batch.ballots.errors.most_common(5)],
            "self_preference": batch.flagged(),
            "synthetic": batch.ballots.synthetic,
            "checks": batch.checks.to_json() if isinstance(batch, Batch) else None,
        }


@dataclass
class _Comparing(_Judging):
    """The same for pairs."""

    by: By
    against: str | None

    def _headers(self, folder: RunFolder) -> Iterator[Mapping[str, Any]]:
        return pairs.headers(folder)

    def _samples(self, judged: Judged, name: str, model: Model) -> Iterator[Sample]:
        kin, cells = _kin(judged, model), judged.plan.cells
        for pair in self._left(judged, name):
            models = [cells[one.cell].model for one in (pair.first, pair.second)]
            yield from pairs.pair_samples(self.asked, pair, _flags(kin, *models))

    def _left(self, judged: Judged, name: str) -> list[Pair]:
        named = judgeable(judged.plan, self.settings.tasks)
        found = candidates(judged.folder, judged.plan, judged.state, named)
        done = _paired(judged, name, self.asked.rubric)
        left = [one for one in pairs.pairs_of(judged.plan, found, self.by, self.against) if one.id not in done]
        return sorted(left, key=lambda one: (_rank(judged, one.first), one.entries))[: self.settings.limit]

    def _folded(self, judged: Judged, inner: RunFolder, judge: dict[str, Any]) -> Batch | PairBatch:
        ballots = Ballots.read(inner, None)
        batch = PairBatch(self.asked.rubric, judge, judged.plan.digest, _now(), self.by, ballots)
        done = _paired(judged, judge["name"], self.asked.rubric)
        batch.fold(
            {
                str(sample.metadata["pair"])
                for sample in ballots.samples
                if sample.metadata["pair"] in done or not all(_newest(judged, sample.metadata[side]) for side in "ab")
            }
        )
        return batch

    def _append(self, folder: RunFolder, batch: Any) -> None:
        pairs.append(folder, batch.header(), batch.records)


def _paired(judged: Judged, name: str, rubric: Rubric) -> set[str]:
    """The pairs that this judge has judged by this rubric."""
    found = pairs.standing(judged.folder, judged.plan, judged.state)
    return {
        str(record["pair"]) for _, record, _ in found if record["judge"] == name and record["rubric"] == rubric.digest
    }


def _spec(asked: Asked, settings: Settings, rounds: int) -> Spec:
    sampling = {"temperature": WARM if settings.votes > 1 else 0.0, "max_tokens": MAX_TOKENS, **settings.sampling}
    value = {
        "name": f"judge-{asked.rubric.label}"[:100],
        "models": [dict(settings.model)],
        "prompts": [asked.prompt.id],
        "tasks": [f"judge:{asked.rubric.label}"],
        "seed": settings.seed + rounds,
        "epochs": settings.votes,
        "sampling": sampling,
        **settings.execution,
    }
    spec, _ = parse(value, "the judge")
    if spec.models[0].system is not None:
        raise ConfigError(Problem("a judge's system prompt stands in its prompt", "--judge", allowed="--prompt FILE"))
    return spec


def _rank(judged: Judged, one: Candidate) -> str:
    """A limit takes samples by chance, and of each the answers of every cell."""
    number, position, epoch = judged.plan.locate(one.index)
    task = judged.plan.cells[number].task
    return digest_of([task, judged.plan.tasks[task].samples[position], epoch])


def _newest(judged: Judged, origin: Mapping[str, Any]) -> bool:
    return bool(origin["revision"] == judged.state.lines[origin["index"]] - 1)


def _kin(judged: Judged, model: Model) -> set[str]:
    """The models of the run that are of the judge's family."""
    facts = asked_of(judged.folder, judged.plan).get("models", {})
    own, mine = dict(model.identity), _facts(model)
    return {
        name
        for name, candidate in judged.plan.models.items()
        if related(own, candidate.identity, mine, facts.get(name))
    }


def _facts(model: Model) -> Mapping[str, Any]:
    """What a GGUF file says of itself, where the model is one and the file is here."""
    from assay.models.llamacpp import LlamaModel

    return model.facts if isinstance(model, LlamaModel) else {}


def _flags(kin: Collection[str], *models: str) -> list[str]:
    return [SELF_PREFERENCE] if any(name in kin for name in models) else []


def _home(folder: RunFolder) -> Path:
    return folder.path / "judging" / "auto"


def _work(folder: RunFolder) -> Path:
    """Where judge runs grow: beside the run, which stays as it was sealed until one of them is done."""
    path = folder.path.resolve()
    return path.with_name(f"{path.name}.judging")


def _place(folder: RunFolder, made: JudgeDraft) -> Path:
    """Where the judge run is, or is to be: one that has moved in, but was not applied before a kill, is there."""
    name = made.plan.digest[:8]
    final = _home(folder) / name
    return final if (final / "manifest.json").is_file() else _work(folder) / name


def _allowed(folder: RunFolder) -> Sequence[str]:
    """What the judged run's seal lets pass: its answers are quoted in the judge run."""
    if not folder.manifest.exists():
        return ()
    return tuple(read_manifest(folder.manifest)["secrets"]["allowed"])


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _failure(batch: Batch | PairBatch, report: Mapping[str, Any]) -> JudgeFailed:
    kinds = ", ".join(f"{kind} {count}" for kind, count in report["votes"]["failures"].items())
    what = "pairs" if report["pairwise"] else "candidates"
    number = len({sample.metadata.get("pair", sample.id) for sample, _ in batch.failed})
    return JudgeFailed(
        f"{batch.judge['name']} gave no majority of usable votes on {number} {what} ({kinds})",
        report,
        hint="they stay pending; the same command asks them again",
    )
