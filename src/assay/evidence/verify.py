"""Verifying a run offline: every byte is what was sealed, and every number follows from the bytes.

Seven passes, none of which needs a model, a network or the original data: the manifest and those of earlier seals cover
exactly the files that are there; signatures are of what they stand beside; the plan is its digest; the stored
completions, scored again, give the stored scores; the stored scores, summed up again, give the stored results; the
judgements are of the plan and its answers, and folded again give what is stored of them; the evidence that verdicts
name, gated again, gives the stored verdicts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from assay.errors import AssayError, ConfigError, EvidenceError
from assay.evidence import parents, signing, verdicts
from assay.evidence.keys import VerifyKey
from assay.evidence.manifest import DERIVED, covered, is_signature, layers, origins, read_manifest
from assay.files import digest_file, pretty
from assay.plan.plan import IMPORTED, Plan, ScorerPlan
from assay.run import compact, imported, journal, scores
from assay.run.folder import RunFolder, SampleFile
from assay.run.results import results
from assay.run.state import State
from assay.run.verdict import verdict
from assay.scoring.registry import make


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as sealed: which file, and what is wrong with it."""

    path: str
    problem: str

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"


Pass = tuple[str, Callable[[RunFolder], Iterator[Finding]]]
"""What is being done, and what finds something."""


def verify(
    path: Path,
    progress: Callable[[str], None] = lambda _: None,
    *,
    keys: Sequence[VerifyKey] = (),
    note: Callable[[str], None] = lambda _: None,
) -> list[Finding]:
    """Everything that is wrong with a sealed run, or with a verdict's file; an empty list where all of it holds.

    With `keys`, one of them must have signed it. Raises ConfigError where there is no run at `path`. `progress` is told
    what is being checked, `note` what is worth knowing and no fault.
    """
    if path.is_file() and path.name != "manifest.json":
        return _verify_verdict(path, keys, note)
    if (place := _admission(path)) is not None:
        return _verify_admission(place, keys, note)
    folder = RunFolder(path.parent if path.is_file() else path)
    if not folder.exists:
        raise ConfigError(f"{path}: not a run directory (it has no plan.json)")
    if not folder.manifest.exists():
        return [Finding("manifest.json", "missing: this run was never sealed")]
    checks: list[Pass] = [
        *_CHECKS,
        ("gating again", partial(_check_verdicts, keys=keys, note=note)),
        ("looking for parents", partial(_look_for_parents, note=note)),
    ]
    checks.insert(1, ("checking signatures", partial(_check_signatures, keys=keys, note=note)))
    findings: list[Finding] = []
    for title, check in checks:
        progress(title)
        findings += _tried(folder, title, check)
        if findings:
            break  # what follows would be derived from bytes already known to be wrong
    return findings


def _tried(folder: RunFolder, title: str, check: Callable[[RunFolder], Iterator[Finding]]) -> list[Finding]:
    """What a pass finds; whatever stops it is a finding too."""
    found: list[Finding] = []
    try:
        for finding in check(folder):
            found.append(finding)  # noqa: PERF402 - what was found before an error is kept
    except AssayError as error:
        found.append(Finding(_name_in(folder, error), error.message))
    except OSError as error:
        name = str(error.filename or folder.path).removeprefix(f"{folder.path}/")
        found.append(Finding(name, f"{title}: {error.strerror or error}"))
    except (KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
        # Whoever sealed the run may have written anything: what cannot be read as a run does not hold.
        found.append(Finding(str(folder.path), f"{title}: not what assay writes ({error!r})"))
    return found


def subject_of(path: Path) -> Path:
    """The file that vouches for what is at `path`: a run's manifest, or the file itself. Raises ConfigError for what
    is not sealed, EvidenceError where the run's files are not the sealed ones.
    """
    if path.is_file() and path.name != "manifest.json":
        return path
    if (place := _admission(path)) is not None:
        from assay.evidence import admission

        admission.manifest_of(place)
        return place / "manifest.json"
    folder = RunFolder(path.parent if path.is_file() else path)
    if not folder.exists:
        raise ConfigError(f"{path}: not a run directory (it has no plan.json)")
    if not folder.manifest.exists():
        raise ConfigError(f"{path}: this run was never sealed")
    if findings := _tried(folder, *_CHECKS[0]):
        raise EvidenceError("\n".join(str(finding) for finding in findings))
    return folder.manifest


def _name_in(folder: RunFolder, error: AssayError) -> str:
    path = getattr(error, "path", None)
    return str(path).removeprefix(f"{folder.path}/") if path else str(folder.path)


def _check_files(folder: RunFolder) -> Iterator[Finding]:
    there = {path.relative_to(folder.path).as_posix() for path in covered(folder.path)}  # refuses links first of all
    manifest = read_manifest(folder.manifest)
    digests: dict[Path, str] = {}
    yield from _compare(folder.path, manifest, folder.path, digests)
    for path, parent in layers(folder).items():
        yield from _compare(folder.path, parent, path.parent, digests)
    yield from (Finding(*found) for found in parents.check_layers(folder))
    listed = {file["path"] for file in manifest["files"]}
    for name in sorted(there - listed - verdicts.uncovered(folder.path, listed)):
        yield Finding(name, "not in the manifest: it was added after sealing")


def _compare(root: Path, manifest: Mapping[str, Any], derived: Path, digests: dict[Path, str]) -> Iterator[Finding]:
    """Compare a manifest of the run at `root`; what it derived lies in `derived`. `digests` remembers what was read."""
    for file in manifest["files"]:
        path = (derived if file["path"] in DERIVED else root) / file["path"]
        if not path.is_file():
            yield Finding(file["path"], "missing")
        elif path.stat().st_size != file["bytes"]:
            yield Finding(file["path"], f"has {path.stat().st_size} bytes, sealed with {file['bytes']}")
        else:
            found = digests.setdefault(path, digests.get(path) or digest_file(path))
            if found != file["sha256"]:
                yield Finding(file["path"], f"SHA-256 is {found}, sealed as {file['sha256']}")


def _check_columns(folder: RunFolder) -> Iterator[Finding]:
    """Segments kept as Parquet have the columns of their own lines, and the lines of their JSON."""
    for path in sorted((*folder.attempts.glob("*.parquet"), *folder.scores.glob("*.parquet"))):
        if problem := compact.check(path):
            yield Finding(path.relative_to(folder.path).as_posix(), problem)


def _check_signatures(folder: RunFolder, keys: Sequence[VerifyKey], note: Callable[[str], None]) -> Iterator[Finding]:
    """The newest seal must be signed by one of the keys, where there are any; and so must each verdict that is signed.

    Earlier seals may have been signed by others: their signatures must only be of them.
    """
    for path in (folder.manifest, *sorted(folder.path.glob("verdicts/*.json")), *layers(folder)):
        if not path.name.endswith(".sig.json"):
            needed = path == folder.manifest and bool(keys)
            yield from _signature(folder.path, path, () if path in layers(folder) else keys, needed, note)
    for path in sorted(folder.path.rglob("*.sig.json")):
        subject = path.with_name(path.name.replace(".sig.json", ".json"))
        if is_signature(path.relative_to(folder.path)) and not subject.exists():
            yield Finding(path.relative_to(folder.path).as_posix(), "a signature of nothing")


def _signature(
    root: Path, subject: Path, keys: Sequence[VerifyKey], needed: bool, note: Callable[[str], None]
) -> Iterator[Finding]:
    path = signing.beside(subject)
    if not path.exists() and not needed:
        return
    name = path.relative_to(root).as_posix()
    found = signing.check(subject, keys)
    yield from (Finding(name, problem) for problem in found.problems)
    for keyid in found.verified:
        note(f"{name}: signed with key {keyid[:16]}")
    for keyid in found.unverified if not found.problems else ():
        note(f"{name}: also has a signature by {keyid[:16]}, which no given key verifies")
    if not keys and not found.problems:
        note(f"{name}: who signed it was not checked; --key does that")


def _check_verdicts(folder: RunFolder, keys: Sequence[VerifyKey], note: Callable[[str], None]) -> Iterator[Finding]:
    """Each verdict beside the run is derived again; one that cannot be must at least be sealed, or signed by a key."""
    listed = {file["path"] for file in read_manifest(folder.manifest)["files"]}
    open_ones = verdicts.uncovered(folder.path, listed)
    for outcome in verdicts.check(folder.path):
        name = outcome.path.relative_to(folder.path).as_posix()
        yield from (Finding(name, problem) for problem in outcome.problems)
        if outcome.why and name in open_ones and not (keys and signing.check(outcome.path, keys).verified):
            yield Finding(name, f"neither sealed nor signed by a given key, and not derived again: {outcome.why}")
        elif outcome.why:
            note(f"{name}: not derived again: {outcome.why}")


def _look_for_parents(folder: RunFolder, note: Callable[[str], None]) -> Iterator[Finding]:
    """Data and model files may go or change without harm to the evidence: what is found of them is worth a note."""
    for text in parents.notes(folder, folder.plan()):
        note(text)
    yield from ()


def _admission(path: Path) -> Path | None:
    """The folder of the admission that `path` names, as a folder or by its manifest; None where it is none."""
    place = path.parent if path.is_file() else path
    return place if (place / "admission.json").is_file() and not (place / "plan.json").exists() else None


def _verify_admission(path: Path, keys: Sequence[VerifyKey], note: Callable[[str], None]) -> list[Finding]:
    """Its bytes are the sealed ones, and the decision follows from the ratings, and these from its runs."""
    from assay.evidence import admission  # which imports numpy and the judging

    findings = [Finding(*found) for found in admission.problems(path, note)]
    return findings or list(_signature(path, path / "manifest.json", keys, bool(keys), note))


def _verify_verdict(path: Path, keys: Sequence[VerifyKey], note: Callable[[str], None]) -> list[Finding]:
    findings = list(_signature(path.parent, path, keys, bool(keys), note))
    outcome = verdicts.check_file(path)
    findings += [Finding(path.name, problem) for problem in outcome.problems]
    if outcome.why and not keys:
        findings.append(Finding(path.name, f"not derived again, and no key to check a signature with: {outcome.why}"))
    elif outcome.why:
        note(f"{path.name}: not derived again: {outcome.why}")
    return findings


def _check_plan(folder: RunFolder) -> Iterator[Finding]:
    plan = folder.plan()
    manifest = read_manifest(folder.manifest)
    if manifest["plan"] != plan.digest:
        yield Finding("plan.json", f"its digest is {plan.digest}, the manifest sealed {manifest['plan']}")
    if manifest["synthetic"] != plan.synthetic:
        yield Finding("manifest.json", "does not say truly whether the evidence is synthetic")
    yield from _check_kind(folder, plan, manifest)
    listed = [parent for parent in manifest["parents"] if parent["kind"] in ("data", "model")]
    if listed != list(origins(plan, manifest["environment"])):
        yield Finding("manifest.json", "does not name the plan's data and models as its parents")
    for name, task in plan.tasks.items():
        yield from _check_samples(folder, name, task.samples)


def _check_kind(folder: RunFolder, plan: Plan, manifest: Mapping[str, Any]) -> Iterator[Finding]:
    """Scores that nobody can derive again are those of an import, which says so and names its sources."""
    scorers = [*scores.planned(plan).values(), *scores.current(folder, plan).values()]
    alien = [scorer.mode == IMPORTED for scorer in scorers]
    origin = imported.read(folder.path)
    if manifest["kind"] != "import":
        if any(alien) or origin is not None:
            yield Finding("manifest.json", "holds imported scores, and is not sealed as an import")
        return
    if not all(alien) or origin is None:
        yield Finding("manifest.json", "is sealed as an import, and holds other scores or no imported.json")
        return
    parents_named = [parent["sha256"] for parent in manifest["parents"] if parent["kind"] == "source"]
    if parents_named != [source["sha256"] for source in origin.sources]:
        yield Finding("manifest.json", "does not name the files it was imported from as its parents")


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
    if any(scorer.mode == IMPORTED for scorer in scorers.values()):
        yield from _check_imported(folder, plan, scorers)
        return
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
    index = scores.ScoreIndex(folder, plan, State.read(folder, plan))
    try:
        for path, line, record in journal.read(folder.attempts):
            digest = stored.pop((record["index"], record["revision"]), None)
            if digest is None:
                continue
            task = plan.cells[record["cell"]].task
            sample = files[task][plan.locate(record["index"])[1]]
            # What was executed is not executed again: its record is judged again, as a completion is.
            execution = (index.get(record["index"]) or {}).get("execution")
            again = verdict(made[task], sample, record["completion"], execution)
            if _fingerprint(again) != digest:
                yield Finding(
                    "scores",
                    f"attempt {record['attempt']} ({path.name}:{line}) scores otherwise when scored again",
                )
    finally:
        index.close()
        for file in files.values():
            file.close()
    for number, revision in stored:
        yield Finding("scores", f"a score for attempt {number}, revision {revision}, which the journal does not have")


def _check_imported(folder: RunFolder, plan: Plan, scorers: Mapping[str, ScorerPlan]) -> Iterator[Finding]:
    """Imported scores are not derived again, but must belong: each answer has one, of the plan's metrics, and nothing
    else has any."""
    if dict(scorers) != scores.planned(plan):
        yield Finding("scores", "the scorers of the imported scores are not the plan's")
        return
    names = {task: scores.scorer_id(scorer) for task, scorer in scorers.items()}
    kinds = {task: {m["name"]: _KINDS[m["kind"]] for m in scorer.metrics} for task, scorer in scorers.items()}
    state = State.read(folder, plan)
    scored = bytearray(len(plan))
    for path, line, record in scores.read(folder):
        index, task = record["index"], plan.cells[record["cell"]].task
        attempt, outcome = plan.attempt(index), state.outcome(index)
        wrong = [
            *(["is by another scorer than the plan's"] if record["scorer"] != names[task] else []),
            *(["is of another attempt"] if (record["attempt"], record["cell"]) != (attempt.id, attempt.cell) else []),
            *(["is of an attempt without an answer"] if outcome is None or not outcome.scorable else []),
            *(["is there twice"] if scored[index] else []),
            *(
                f"has a {name} that is none of the task's"
                for name, value in record.get("metrics", {}).items()
                if type(value) is not kinds[task].get(name)
            ),
        ]
        scored[index] = 1
        yield from (Finding(f"scores/{path.name}", f"line {line}: the score {problem}") for problem in wrong)
    for index in range(len(plan)):
        outcome = state.outcome(index)
        if outcome is not None and outcome.scorable and not scored[index]:
            yield Finding("scores", f"the answer of attempt {plan.attempt(index).id} has no score and no reason why")


_KINDS: Mapping[str, type] = {"pass": bool, "measure": float, "label": str}


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


def _check_judged(folder: RunFolder) -> Iterator[Finding]:
    """Judgements are of this plan and of answers that are there, and come to what `judged.json` says."""
    stored = folder.path / "judged.json"
    parts = [folder.path / "judging", folder.path / "judgements"]
    if not any(path.exists() for path in (stored, *parts)):
        return
    from assay.judging import audit, derived, rejudged

    plan = folder.plan()
    state = State.read(folder, plan)
    for line, problem in audit.problems(folder, plan, state):
        name = line.path.relative_to(folder.path).as_posix()
        yield Finding(name, f"line {line.number}: {problem}")
    again = derived.judged(folder, plan, state)
    if again is None and stored.exists():
        yield Finding("judged.json", "the run carries no rubric, so nothing can be judged by one")
    elif again is not None and not stored.exists():
        yield Finding("judged.json", "missing: the run carries a rubric")
    elif again is not None and pretty(again) != stored.read_bytes():
        yield Finding("judged.json", "differs from what the judgements come to")
    yield from _check_judge_runs(folder)
    yield from (Finding(*found) for found in rejudged.problems(folder, plan, state))


def _check_judge_runs(folder: RunFolder) -> Iterator[Finding]:
    """The runs inside this one, in which models judged, hold as runs of their own, and are those that batches name."""
    from assay.judging import judgements, pairs

    seals: dict[str, set[str]] = {}
    for path in sorted(folder.path.glob("judging/auto/*/plan.json")):
        place, inner = path.parent.relative_to(folder.path).as_posix(), RunFolder(path.parent)
        found = verify(inner.path)
        yield from (Finding(f"{place}/{finding.path}", finding.problem) for finding in found)
        if not found:
            seals[place] = {read_manifest(inner.manifest)["id"], *(layer["id"] for layer in layers(inner).values())}
    for header in (*judgements.headers(folder), *pairs.headers(folder)):
        judge = header["judge"]
        if judge["kind"] == "model" and judge.get("manifest") not in seals.get(str(judge.get("run")), ()):
            yield Finding(f"batch {header['batch']}", f"the run in which {judge['name']} judged is not here as it was")


_CHECKS: tuple[Pass, ...] = (
    ("hashing files", _check_files),
    ("checking the plan", _check_plan),
    ("checking columns", _check_columns),
    ("scoring again", _check_scores),
    ("summing up again", _check_results),
    ("folding the judgements again", _check_judged),
)
