"""A sealed run as a board sees it: its scores by cell and sample, from files whose digests are those of the seal.

Only the files that a board reads are hashed, so that a million scores take less than a second; `assay verify` hashes
them all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from assay.errors import ConfigError, DigestMismatch, EvidenceError
from assay.evidence.manifest import read_manifest
from assay.files import digest_file, read_json
from assay.plan.plan import Plan, ScorerPlan
from assay.run import journal
from assay.run.folder import RunFolder, SampleFile
from assay.run.frame import json_lines
from assay.run.results import SCHEMA as RESULTS
from assay.run.scores import planned
from assay.run.state import State
from assay.run.sums import JudgedSums, RunSums, query, starts_of, summed, totals

if TYPE_CHECKING:
    from assay.judging.rubric import Rubric


def read(path: Path) -> RunSums:
    """The run in a directory. Raises ConfigError where there is none or it is not sealed, EvidenceError where a file
    is not the sealed one.
    """
    folder = RunFolder(path)
    if not folder.exists:
        raise ConfigError(f"{path}: not a run directory (it has no plan.json)")
    if not folder.manifest.exists():
        raise ConfigError(
            f"{path}: this run was never sealed", hint="a board ranks sealed runs: finish it, then seal it"
        )
    manifest = read_manifest(folder.manifest)
    seal = _Seal(folder, manifest)
    scores = seal.segments("scores")
    samples = sorted(name for name in seal.digests if name.startswith("samples/"))
    seal.check(folder.path / name for name in ("plan.json", "results.json", *samples))
    plan = folder.plan()
    if manifest["plan"] != plan.digest:
        raise EvidenceError(f"{path}: the manifest seals another plan than plan.json")
    try:
        results = read_json(folder.results, RESULTS)
        _check_results(results, plan)
        scorers = _scorers(scores, plan)
        sums = totals(plan, results, scorers, lambda: seal.segments("attempts"), scores)
        clusters = {name: _clusters(folder, plan, name) for name, task in plan.tasks.items() if task.cluster}
        judged = tuple(_judged(seal, plan))
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise EvidenceError(f"{path}: not what assay writes ({error!r})") from error
    name = path.resolve().name
    return RunSums(name, path, plan, results, scorers, sums, starts_of(plan), manifest["id"], clusters, judged)


@dataclass(frozen=True, slots=True)
class _Seal:
    """What a run's newest manifest covers."""

    folder: RunFolder
    manifest: Mapping[str, Any]

    @property
    def digests(self) -> dict[str, str]:
        """The SHA-256 of each sealed file, by its path inside the run."""
        return {str(file["path"]): str(file["sha256"]) for file in self.manifest["files"]}

    def segments(self, part: str) -> list[Path]:
        """The sealed segments of a journal, as JSON lines where they are there; the files read for them are checked."""
        found = journal.one_each(self.folder.path / name for name in self.digests if name.startswith(f"{part}/"))
        self.check(map(_stored, found))
        return found

    def whole(self, *parts: str) -> list[Path]:
        """Every file in these folders, sealed or there; raises EvidenceError where one is only one of both."""
        root = self.folder.path
        sealed = {name for name in self.digests if name.startswith(tuple(f"{part}/" for part in parts))}
        files = (path for part in parts for path in (root / part).rglob("*") if not path.is_dir())
        there = {path.relative_to(root).as_posix() for path in files}
        found = [root / name for name in sorted(sealed | there)]
        self.check(found)
        return found

    def check(self, paths: Iterable[Path]) -> None:
        """Raises EvidenceError where one of these files is not the sealed one."""
        sealed = self.digests
        for path in paths:
            name = path.relative_to(self.folder.path).as_posix()
            if name not in sealed:
                raise EvidenceError(f"{path}: not in the manifest: it was added after sealing")
            if not path.is_file():
                raise EvidenceError(f"{path}: missing")
            if (found := digest_file(path)) != sealed[name]:
                raise DigestMismatch(path, sealed[name], found, hint="it was changed after sealing")


def _stored(path: Path) -> Path:
    """The file that is read for a segment: its Parquet where there is one (see `assay.run.frame.json_lines`)."""
    columnar = path.with_suffix(".parquet")
    return columnar if columnar.exists() else path


def _check_results(results: Mapping[str, Any], plan: Plan) -> None:
    """Raises ValueError, KeyError or TypeError where a line of the results is not one of this plan's cells as assay
    writes it: a seal says that nothing was changed since, not who wrote it.
    """
    made, rows = results["attempts"], results["cells"]
    names = [(cell.model, cell.prompt, cell.task) for cell in plan.cells]
    if [(row["model"], row["prompt"], row["task"]) for row in rows] != names:
        raise ValueError("the results are of other cells than the plan")
    for number, row in enumerate(rows):
        cost, times = row["cost"], row["latency_s"]
        counts = [*(row[key] for key in ("cell", "planned", "finished", "scored")), *row["outcomes"].values()]
        amounts = [cost["amount"]] if cost else []
        amounts += [times["mean"], *(times[key] for key in ("p50", "p95") if times[key] is not None)] if times else []
        whole = all(type(count) is int and count >= 0 for count in (*counts, made["planned"], made["finished"]))
        known = all(type(amount) in (int, float) for amount in amounts)
        if row["cell"] != number or not whole or not known or (cost and type(cost["currency"]) is not str):
            raise ValueError(f"cell {number} of the results")
    if type(results["complete"]) is not bool or not all(type(text) is str for text in results["anomalies"]):
        raise ValueError("the results are not whole")


def _scorers(segments: Sequence[Path], plan: Plan) -> Mapping[str, ScorerPlan]:
    """The scorers in the header of the newest segment; the plan's where nothing was scored."""
    if not segments:
        return planned(plan)
    header = orjson.loads(journal.first_line(_stored(segments[-1])))
    return {
        task: ScorerPlan(**{**scorer, "metrics": tuple(scorer["metrics"])})
        for task, scorer in header["scorers"].items()
    }


def _clusters(folder: RunFolder, plan: Plan, task: str) -> tuple[str, ...]:
    """The cluster of each of a task's samples, by the plan's cluster key."""
    key = str(plan.tasks[task].cluster)
    file = SampleFile(folder.sample_path(task))
    try:
        samples = (file[position] for position in range(len(file)))
        return tuple(str(sample.metadata.get(key, sample.fields.get(key))) for sample in samples)
    finally:
        file.close()


_JUDGED = ("judgements", "judging/rubrics", "judging/exports")


def _judged(seal: _Seal, plan: Plan) -> Iterator[JudgedSums]:
    """What each rubric that the run carries comes to; nothing is read of a run that carries none.

    Raises EvidenceError where judgements, or what they are of, are not the sealed ones.
    """
    if not seal.whole(*_JUDGED):
        return
    from assay.judging.library import carried

    seal.whole("attempts", "scores")
    state = State.read(seal.folder, plan)
    for rubric in carried(seal.folder):
        yield _sums(seal.folder, plan, state, rubric)


def _sums(folder: RunFolder, plan: Plan, state: State, rubric: Rubric) -> JudgedSums:
    from assay.judging.fold import judges_of, marked_of
    from assay.judging.values import judged, metrics

    found, names = judged(folder, plan, state, rubric), metrics(rubric)
    index = [value.index for value in found.values]
    totals = {one.name: summed(plan, index, [value.values[one.name] for value in found.values]) for one in names}
    counts: dict[int, Counter[str]] = {}
    flags: Counter[str] = Counter()
    for number, lines in found.standing.by_attempt.items():
        counts.setdefault(plan.locate(number)[0], Counter()).update(lines.keys())
        flags.update(str(flag) for line in lines.values() for flag in line.record.get("flags", ()))
    return JudgedSums(
        rubric.label,
        rubric.digest,
        tuple({"name": one.name, "kind": one.kind, "higher_is_better": one.higher_is_better} for one in names),
        tuple(dimension.metric for dimension in rubric.measured),
        found.tasks,
        totals,
        {cell: count.pending for cell, count in found.counts.items()},
        {cell: count.unmeasured for cell, count in found.counts.items()},
        counts,
        {str(judge["judge"]): str(judge["kind"]) for judge in judges_of(found.standing)},
        tuple(marked_of(found.standing)),
        flags,
    )


def remarks(run: RunSums, digest: str, wanted: Iterable[int]) -> dict[int, list[dict[str, Any]]]:
    """What each judge said by the rubric of that digest of these attempts, by their index in the plan: `judge`, `kind`,
    `scores`, and what they wrote as `text`. Nothing where the run does not carry the rubric.
    """
    if run.judged_by(digest) is None:
        return {}
    from assay.judging.judgements import Standing, said
    from assay.judging.library import carried

    folder = RunFolder(run.path)
    _Seal(folder, read_manifest(folder.manifest)).whole(*_JUDGED, "attempts")
    (rubric,) = (rubric for rubric in carried(folder) if rubric.digest == digest)
    standing = Standing.read(folder, run.plan, State.read(folder, run.plan), rubric).by_attempt
    return {index: [said(line) for line in standing[index].values()] for index in wanted if index in standing}


def contents(run: RunSums, task: str) -> tuple[bytes, ...]:
    """Each of a task's samples as it is stored, by position: for runs whose data differ in part."""
    return tuple(run.path.joinpath("samples", f"{task}.jsonl").read_bytes().splitlines())


def inputs(run: RunSums, task: str, positions: Iterable[int]) -> dict[int, str]:
    """What some of a task's samples ask, by position."""
    file = SampleFile(RunFolder(run.path).sample_path(task))
    try:
        return {position: file[position].input for position in positions}
    finally:
        file.close()


def answers(run: RunSums, wanted: Iterable[int]) -> dict[int, str]:
    """The newest stored answer of each of these attempts, by its index in the plan; none where nothing came back."""
    folder = RunFolder(run.path)
    segments = _Seal(folder, read_manifest(folder.manifest)).segments("attempts")
    listed = ", ".join(str(int(index)) for index in wanted)
    if not segments or not listed:
        return {}
    columns = {"index": "BIGINT", "revision": "BIGINT", "completion": "STRUCT(text VARCHAR)"}
    found: dict[str, Any] = query(
        segments,
        f'SELECT "index", arg_max(completion.text, revision) AS text FROM {json_lines(segments, columns)} '  # noqa: S608
        f'WHERE "index" IN ({listed}) GROUP BY "index"',
    )
    return {
        int(index): str(text) for index, text in zip(found["index"], found["text"], strict=True) if text is not None
    }
