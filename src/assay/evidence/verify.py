"""Verifying a run offline: every byte is what was sealed, and every number follows from the bytes.

Four passes, none of which needs a model, a network or the original data: the manifest covers exactly the files that
are there; the plan is its digest; the stored completions, scored again, give the stored scores; the stored scores,
summed up again, give the stored results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from assay.errors import AssayError, ConfigError, EvidenceError
from assay.evidence.manifest import DERIVED, covered, read_manifest
from assay.files import digest_file, pretty
from assay.plan.plan import Plan
from assay.records import Completion
from assay.run import journal, scores
from assay.run.folder import RunFolder, SampleFile
from assay.run.results import results
from assay.run.state import State
from assay.scoring.registry import make


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as sealed: which file, and what is wrong with it."""

    path: str
    problem: str

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"


def verify(path: Path, progress: Callable[[str], None] = lambda _: None) -> list[Finding]:
    """Everything that is wrong with a sealed run; an empty list where all of it holds.

    Raises ConfigError where there is no run at `path`. `progress` is told what is being checked.
    """
    folder = RunFolder(path)
    if not folder.exists:
        raise ConfigError(f"{path}: not a run directory (it has no plan.json)")
    if not folder.manifest.exists():
        return [Finding("manifest.json", "missing: this run was never sealed")]
    findings: list[Finding] = []
    for title, check in _CHECKS:
        progress(title)
        try:
            findings += check(folder)
        except AssayError as error:
            findings.append(Finding(_name_in(folder, error), error.message))
        except (KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
            # Whoever sealed the run may have written anything: what cannot be read as a run does not hold.
            findings.append(Finding(str(folder.path), f"{title}: not what assay writes ({error!r})"))
        if findings:
            break  # what follows would be derived from bytes already known to be wrong
    return findings


def _name_in(folder: RunFolder, error: AssayError) -> str:
    path = getattr(error, "path", None)
    return str(path).removeprefix(f"{folder.path}/") if path else str(folder.path)


def _check_files(folder: RunFolder) -> Iterator[Finding]:
    manifest = read_manifest(folder.manifest)
    yield from _compare(folder.path, manifest, folder.path)
    for parent in folder.path.glob("sealed/*/manifest.json"):
        yield from _compare(folder.path, read_manifest(parent), parent.parent)
    listed = {file["path"] for file in manifest["files"]}
    for path in covered(folder.path):
        if (name := path.relative_to(folder.path).as_posix()) not in listed:
            yield Finding(name, "not in the manifest: it was added after sealing")


def _compare(root: Path, manifest: dict[str, Any], derived: Path) -> Iterator[Finding]:
    """Compare a manifest of the run at `root`; what it derived lies in `derived`."""
    for file in manifest["files"]:
        path = (derived if file["path"] in DERIVED else root) / file["path"]
        if ".." in Path(file["path"]).parts or not path.resolve().is_relative_to(root.resolve()):
            raise EvidenceError(f"{root}: the manifest names a path outside the run: {file['path']}")
        if not path.is_file():
            yield Finding(file["path"], "missing")
        elif path.stat().st_size != file["bytes"]:
            yield Finding(file["path"], f"has {path.stat().st_size} bytes, sealed with {file['bytes']}")
        elif (found := digest_file(path)) != file["sha256"]:
            yield Finding(file["path"], f"SHA-256 is {found}, sealed as {file['sha256']}")


def _check_plan(folder: RunFolder) -> Iterator[Finding]:
    plan = folder.plan()
    manifest = read_manifest(folder.manifest)
    if manifest["plan"] != plan.digest:
        yield Finding("plan.json", f"its digest is {plan.digest}, the manifest sealed {manifest['plan']}")
    if manifest["synthetic"] != plan.synthetic:
        yield Finding("manifest.json", "does not say truly whether the evidence is synthetic")
    for name, task in plan.tasks.items():
        yield from _check_samples(folder, name, task.samples)


def _check_samples(folder: RunFolder, task: str, ids: tuple[str, ...]) -> Iterator[Finding]:
    path = folder.sample_path(task)
    file = SampleFile(path)
    try:
        found = len(file)
        if found != len(ids):
            yield Finding(f"samples/{path.name}", f"has {found} samples, the plan {len(ids)}")
            return
        for position, sample in enumerate(ids):
            if file[position].id != sample:
                yield Finding(f"samples/{path.name}", f"line {position + 1} is not the plan's sample {sample}")
                return
    finally:
        file.close()


def _check_scores(folder: RunFolder) -> Iterator[Finding]:
    plan = folder.plan()
    scorers = scores.current(folder, plan)
    names = {task: scores.scorer_id(scorer) for task, scorer in scorers.items()}
    made = {task: make(scorer.mode, scorer.options) for task, scorer in scorers.items()}
    for task, scorer in scorers.items():
        if made[task].revision != scorer.revision:
            yield Finding(
                "scores",
                f"{scorer.mode} revision {scorer.revision} scored {task}, this version has {made[task].revision}: "
                "verify with the version that sealed the run, or score it again",
            )
            return
    stored = _stored_scores(folder, plan, names)
    files = {task: SampleFile(folder.sample_path(task)) for task in scorers}
    try:
        for path, line, record in journal.read(folder.attempts):
            digest = stored.pop((record["index"], record["revision"]), None)
            if digest is None:
                continue
            task = plan.cells[record["cell"]].task
            sample = files[task][plan.locate(record["index"])[1]]
            again = scores.verdict(made[task], sample, Completion.from_json(record["completion"]))
            if _fingerprint(again) != digest:
                yield Finding(
                    "scores",
                    f"attempt {record['attempt']} ({path.name}:{line}) scores otherwise when scored again",
                )
    finally:
        for file in files.values():
            file.close()
    for index, revision in stored:
        yield Finding("scores", f"a score for attempt {index}, revision {revision}, which the journal does not have")


def _stored_scores(folder: RunFolder, plan: Plan, names: dict[str, str]) -> dict[tuple[int, int], int]:
    """A fingerprint of each current score, by attempt index and revision."""
    stored: dict[tuple[int, int], int] = {}
    for _, _, record in scores.read(folder):
        if record["scorer"] == names.get(plan.cells[record["cell"]].task):
            stored[record["index"], record["revision"]] = _fingerprint(record)
    return stored


def _fingerprint(record: dict[str, Any]) -> int:
    parts = {key: record[key] for key in ("metrics", "extracted", "why", "error") if key in record}
    return hash(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS))


def _check_results(folder: RunFolder) -> Iterator[Finding]:
    plan = folder.plan()
    again = pretty(results(folder, plan, State.read(folder, plan)))
    if again != folder.results.read_bytes():
        yield Finding("results.json", "differs from what the journal and the scores add up to")


_CHECKS: tuple[tuple[str, Callable[[RunFolder], Iterator[Finding]]], ...] = (
    ("hashing files", _check_files),
    ("checking the plan", _check_plan),
    ("scoring again", _check_scores),
    ("summing up again", _check_results),
)
