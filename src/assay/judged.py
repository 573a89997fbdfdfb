"""Judging as a whole: hand a run's candidates out, take the answers back in, and seal the layer that each of them adds.

export([run], find("tip-v1"), Path("queue.html"), Options(repeat=0.1))
apply(Path("answers.json"), "ada")
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.errors import ConfigError, EvidenceError, MachineError, Problem
from assay.evidence.manifest import read_manifest, refuse_secrets, seal, set_aside
from assay.evidence.secrets import secrets_in
from assay.evidence.verify import subject_of
from assay.files import pretty, write_atomic
from assay.judging import derived, library, page, queue, sheet
from assay.judging.apply import Batch, Place, Request, check
from assay.judging.candidates import candidates, judgeable
from assay.judging.checks import Tolerance
from assay.judging.judgements import Standing, append
from assay.judging.queue import Options, Queue
from assay.judging.rubric import Rubric
from assay.judging.status import status as status_of
from assay.plan.plan import Plan
from assay.run.folder import RunFolder
from assay.run.results import results
from assay.run.scores import current
from assay.run.state import State
from assay.run.until import over
from assay.session import asked_of, write_report


@dataclass(frozen=True, slots=True)
class Judged:
    """A finished run that is judged: its folder, its plan and its state."""

    folder: RunFolder
    plan: Plan
    state: State


def opened(path: Path) -> Judged:
    """The finished run at a path. Raises ConfigError where there is none, or it is not finished."""
    folder = RunFolder(path)
    plan = folder.plan()
    state = State.read(folder, plan)
    if not over(folder, plan, state):
        raise ConfigError(
            f"{path} is not finished: {state.finished} of {len(plan)} attempts have ended",
            hint="only what is finished is judged: go on with the run first",
        )
    return Judged(folder, plan, state)


def export(
    runs: Sequence[Path],
    rubric: Rubric,
    out: Path,
    options: Options,
    *,
    tasks: Sequence[str] = (),
    judge: str | None = None,
    command: Sequence[str] = (),
) -> list[tuple[Path, Queue]]:
    """Write what is pending in these runs as files for judges, and keep what unblinds them in the runs.

    `out` names the file, and by its ending its format; with several parts each has its number before the ending.
    Pending is what nobody judged by this rubric, or what `judge` did not. Raises ConfigError where nothing is pending,
    a run is not finished, or carries another rubric under the same name and version; SecretFound where a run that is
    not sealed holds what looks like a secret.
    """
    kind = sheet.format_of(out)
    with ExitStack() as stack:
        found = [locked(stack, path) for path in dict.fromkeys(runs)]
        if len({run.plan.digest for run in found}) != len(found):
            raise ConfigError("two of the runs have the same plan", hint="name each run once")
        check_intact(found)
        for run in found:
            refuse_secrets(run.folder)
            library.check_carried(run.folder, rubric)
        queues = queue.build([_source(run, rubric, tasks, judge) for run in found], rubric, options)
        for number, run in enumerate(found):
            keys = [part.key(number) for part in queues]
            if not all(queue.has_key(run.folder, key) for key in keys):
                new_layer(run, lambda run=run, keys=keys: _keep(run, rubric, keys), command)  # type: ignore[misc]
    written = [(_part_of(out, part), part) for part in queues]
    for path, part in written:
        (page.write if kind == "html" else sheet.write)(path, part)
    return written


def locked(stack: ExitStack, path: Path) -> Judged:
    """The finished run at a path, held against other processes until the stack ends. Raises as `opened`."""
    RunFolder(path).plan()  # a folder that is no run has no lock either
    stack.enter_context(RunFolder(path).lock())
    return opened(path)


def _source(run: Judged, rubric: Rubric, tasks: Sequence[str], judge: str | None) -> queue.Source:
    named = judgeable(run.plan, tasks)
    standing = Standing.read(run.folder, run.plan, run.state, rubric)
    done = {index for index, judges in standing.by_attempt.items() if judge is None or judge in judges}
    pending = [one for one in candidates(run.folder, run.plan, run.state, named) if one.index not in done]
    cells = [{"model": cell.model, "prompt": cell.prompt, "task": cell.task} for cell in run.plan.cells]
    return queue.Source(run.plan.digest, cells, pending, named)


def unmeasured(run: Judged, rubric: Rubric, tasks: Sequence[str] = ()) -> list[str]:
    """The rubric's measured dimensions that no scorer of these tasks measures: without them there is no composite."""
    scorers = current(run.folder, run.plan)
    found = {
        str(metric["name"])
        for task in judgeable(run.plan, tasks)
        for metric in (scorers[task].metrics if task in scorers else ())
    }
    return [dimension.name for dimension in rubric.measured if dimension.metric not in found]


def _keep(run: Judged, rubric: Rubric, keys: Sequence[dict[str, Any]]) -> None:
    library.carry(run.folder, rubric)
    for key in keys:
        queue.keep_key(run.folder, key)


def _part_of(out: Path, part: Queue) -> Path:
    return out if part.options.parts == 1 else out.with_name(f"{out.stem}.{part.part}{out.suffix}")


def apply(
    file: Path,
    judge: str,
    runs: Sequence[Path] = (),
    *,
    partial: bool = False,
    correct: bool = False,
    tolerance: Tolerance | None = None,
    command: Sequence[str] = (),
) -> Batch:
    """Take a file of answers into the runs that it was exported from: all of it or nothing.

    `runs`: where they are; by default those in `runs/` here. Raises ConfigError with every problem, by row.
    """
    answers = sheet.read(file)
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    request = Request(judge, at, partial, correct, tolerance or Tolerance())
    with ExitStack() as stack:
        paths = [path for path in _places(runs) if queue.read_key(RunFolder(path), answers.export) is not None]
        if not paths:
            message = f"no run here has handed out the export {answers.export!r}"
            allowed = "the runs that it was exported from, with --run DIR"
            raise ConfigError(Problem(message, str(file), allowed=allowed))
        found = [locked(stack, path) for path in paths]
        check_intact(found)
        places, rubric = _judged_places(found, answers.export)
        _refuse_secrets(answers)
        batch = check(answers, rubric, places, request)
        for place, run, records in zip(places, found, batch.records, strict=True):
            if records:
                header = batch.header(place)
                new_layer(run, lambda run=run, h=header, r=records: append(run.folder, h, r), command)  # type: ignore[misc]
    return batch


def _places(runs: Sequence[Path]) -> Iterator[Path]:
    """The runs named, or else those in `runs/`."""
    if runs:
        for path in dict.fromkeys(runs):
            RunFolder(path).plan()
            yield path
        return
    yield from (path.parent for path in sorted(Path("runs").glob("*/plan.json")))


def _judged_places(found: Sequence[Judged], export: str) -> tuple[list[Place], Rubric]:
    """Each run with its key and what was judged in it, and the rubric that all of them carry for this export."""
    if len({run.plan.digest for run in found}) != len(found):
        listed = ", ".join(str(run.folder.path) for run in found)
        message = f"several runs of the same plan hold the export {export}: {listed}"
        raise ConfigError(Problem(message, "--run", allowed="one of them"))
    keyed = [(run, queue.read_key(run.folder, export) or {}) for run in found]
    wanted = str(keyed[0][1]["rubric"]["digest"])
    rubrics = [rubric for run in found for rubric in library.carried(run.folder) if rubric.digest == wanted]
    if len(rubrics) < len(found) or any(key["plan"] != run.plan.digest for run, key in keyed):
        raise EvidenceError(f"the export {export} does not fit the rubric or the plan of {found[0].folder.path}")
    rubric = rubrics[0]
    standings = (Standing.read(run.folder, run.plan, run.state, rubric) for run in found)
    places = [
        Place(run.folder, run.plan, run.state, key, standing)
        for (run, key), standing in zip(keyed, standings, strict=True)
    ]
    return places, rubric


def _refuse_secrets(answers: sheet.Answers) -> None:
    """Comments become evidence: one that no seal would take is refused before anything is written."""
    message = "the comment holds what looks like a secret"
    problems = [row.problem(answers.path, message) for row in answers.rows if row.comment and secrets_in(row.comment)]
    if problems:
        raise ConfigError(problems, hint="nothing was applied")


def check_intact(runs: Sequence[Judged]) -> None:
    """Raise EvidenceError, before anything is written, where a sealed run's files are not the sealed ones."""
    for run in runs:
        if run.folder.manifest.exists():
            subject_of(run.folder.path)


def new_layer(run: Judged, write: Callable[[], object], command: Sequence[str], allow: Sequence[str] = ()) -> None:
    """Add files to a run; a sealed one gets a new seal whose parent is the old one.

    `allow`: digests of what looks like a secret in the new files and is none. Raises SecretFound for any other.
    """
    folder, plan = run.folder, run.plan
    sealed = folder.manifest.exists()
    if not sealed:
        _written(folder, write)
        derived.write(folder, plan, run.state)
        return
    before = read_manifest(folder.manifest)
    environment = asked_of(folder, plan)
    if "imported" in before["environment"]:
        environment["imported"] = before["environment"]["imported"]
    kept = [parent for parent in before["parents"] if parent["kind"] in ("source", "policy", "baseline")]
    set_aside(folder)
    _written(folder, write)
    write_atomic(folder.results, pretty(results(folder, plan, run.state)))
    write_report(folder.path, plan, derived.write(folder, plan, run.state))
    seal(folder, plan, command=command, environment=environment, kind=before["kind"], parents=kept, allow=allow)


def _written(folder: RunFolder, write: Callable[[], object]) -> None:
    try:
        write()
    except OSError as error:
        raise MachineError(f"cannot write {folder.path}", layer="run directory", errno=error.errno) from error


def status(path: Path, label: str | None = None) -> list[dict[str, Any]]:
    """How far the judging of a run is, for each rubric that it carries or for the one of that label."""
    run = opened(path)
    rubrics = [library.named(run.folder, label)] if label else list(library.carried(run.folder))
    return [status_of(run.folder, run.plan, run.state, rubric) for rubric in rubrics]
