"""The two doors of assay, for scripts, notebooks and the command line: `evaluate` a spec, `open` a run.

run = assay.evaluate("examples/quickstart.yaml")
run.results["cells"][0]["metrics"]
for entry in assay.open("runs/quickstart-1a2b3c4d"):
    ...
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.errors import AssayError, ConfigError, EvidenceError
from assay.evidence import deciding
from assay.evidence.deciding import Until
from assay.evidence.manifest import layers, read_manifest, refuse_secrets, seal, set_aside
from assay.evidence.verify import Finding, verify
from assay.files import pretty, read_json, write_atomic
from assay.plan.build import Draft, build
from assay.plan.plan import IMPORTED, Plan
from assay.plan.samples import SampleDraft, plan_samples
from assay.report.entry import Entry
from assay.run import journal
from assay.run.compact import Mode
from assay.run.events import EventLog, next_log, started_before
from assay.run.execute import Execution, Watch
from assay.run.executions import Progress as Executed
from assay.run.folder import RunFolder
from assay.run.given import copy as copy_samples
from assay.run.interruption import wait_for
from assay.run.requests import Requests
from assay.run.results import SCHEMA, results
from assay.run.scores import ScoreIndex, Scorers, Scoring, current, planned
from assay.run.state import State
from assay.run.until import over
from assay.spec.load import load_located, parse
from assay.spec.locations import Locations
from assay.spec.schema import Spec

if TYPE_CHECKING:
    from assay.gates.policy import Policy
    from assay.judging.derived import Derived

Progress = Callable[[str, int], None]


class Run:
    """A run on disk. Iterating yields its attempts one by one with their scores, never all of them at once."""

    def __init__(self, path: Path, plan: Plan | None = None) -> None:
        self.path = path
        self._folder = RunFolder(path)
        self.plan: Plan = plan or self._folder.plan()

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, {len(self.plan)} attempts, {'sealed' if self.sealed else 'not sealed'})"

    @property
    def sealed(self) -> bool:
        """Whether a manifest covers the run."""
        return self._folder.manifest.exists()

    @property
    def results(self) -> dict[str, Any]:
        """The content of `results.json`; computed where it has not been written yet."""
        if self._folder.results.exists():
            return read_json(self._folder.results, SCHEMA)
        return results(self._folder, self.plan, self._state)

    @property
    def judged(self) -> dict[str, Any] | None:
        """What judgements came to by each rubric that the run carries (`assay.judged.v1`); None where it has none."""
        if (path := self.path / "judged.json").exists():
            return read_json(path, "assay.judged.v1")
        found = _derived(self)
        return found.content if found else None

    @property
    def decision(self) -> dict[str, Any] | None:
        """The verdict (`assay.gate.v1`) that a run was evaluated until; None where it was not, or is not sealed."""
        return deciding.decision(self._folder)

    @property
    def report(self) -> Path:
        """The page `report.html`."""
        return self._folder.report

    @property
    def _state(self) -> State:
        return State.read(self._folder, self.plan)

    def __len__(self) -> int:
        """How many attempts have ended."""
        return self._state.finished

    def __iter__(self) -> Iterator[Entry]:
        """Every finished attempt in the order of the journal: its newest line, and its current score."""
        state = self._state
        index = ScoreIndex(self._folder, self.plan, state)
        try:
            for _, _, record in journal.read(self._folder.attempts):
                if record["revision"] == state.lines[record["index"]] - 1:
                    score = index.get(record["index"])
                    yield Entry(record, (score,) if score else ())
        finally:
            index.close()

    @cached_property
    def _requests(self) -> Requests:
        return Requests(self.plan, self._folder)

    def request(self, entry: Entry) -> dict[str, Any]:
        """What an attempt asked (`messages` or `text`, `choices`) and what was right (`target`)."""
        return self._requests.show(entry.attempt)

    def frame(self) -> Any:
        """One row an attempt, as a DuckDB relation that speaks the Arrow stream protocol.

        `polars.DataFrame(run.frame())`, `pyarrow.table(run.frame())`, `run.frame().df()` for pandas. Rows are read
        from the files as they are consumed.
        """
        from assay.run.frame import frame

        return frame(self._folder, self.plan)

    def export(self, path: str | Path, format: str = "parquet") -> int:
        """Write `frame` to a file as `csv`, `jsonl` or `parquet`, whole or not at all; returns the number of rows.

        Raises SecretFound where the run holds what looks like a secret, and no seal that lets it pass.
        """
        from assay.run.export import export

        refuse_secrets(self._folder)
        return export(self._folder, self.plan, format, Path(path))

    def verify(self) -> list[Finding]:
        """What is wrong with the sealed run; an empty list where all of it holds."""
        return verify(self.path)


def open(path: str | Path) -> Run:
    """The run in a directory. Raises ConfigError where there is none, EvidenceError where its plan is damaged."""
    return Run(Path(path))


@dataclass
class Options:
    """How to carry a plan out. `out`: the run directory; `fresh`: start over, keeping the old run beside it;
    `retry_errors`: try attempts again that a sealed run recorded as infrastructure errors; `command`: what was
    typed, for the evidence; `workers`: how many programs a sandbox runs at once, by default one a core;
    `allow_secrets`: digests of what looks like a secret in the evidence and is none; `place`: the folder whose git
    work tree the evidence names as its source, by default the process's; `compact`: whether the journal is kept as
    Parquet too (`keep`) or only (`drop`), by default `keep` for a run of 100,000 attempts and more; `until`: what the
    run is held against while it goes on, to stop when that is decided.
    """

    out: Path | None = None
    fresh: bool = False
    retry_errors: bool = False
    command: Sequence[str] = ()
    workers: int | None = None
    allow_secrets: Sequence[str] = ()
    place: Path | None = None
    compact: Mode = "auto"
    until: Until | None = None


def evaluate(
    spec: Spec | str | Path | Mapping[str, Any],
    *,
    out: str | Path | None = None,
    fresh: bool = False,
    retry_errors: bool = False,
    watch: Watch | None = None,
    progress: Progress | None = None,
    until_decided: Policy | str | Path | Mapping[str, Any] | None = None,
    baseline: Run | str | Path | None = None,
) -> Run:
    """Plan, run, score and seal what a spec asks for; the same plan asked again is resumed.

    `spec`: a file's path, or the same content as a mapping. `out` defaults to `runs/<name>-<plan digest, 8 hex>`.
    `until_decided` (a policy) and `baseline` (a sealed run): ask in blocks, and stop as soon as the policy decides;
    `Run.decision` is the verdict. Incomparable is raised where it could not, and nothing was asked.
    Raises ConfigError (nothing was written), MachineError, BudgetExhausted or Interrupted (what is finished is kept
    and asking again goes on).
    """
    asked, where = read_spec(spec)
    place = Path(spec).absolute().parent if isinstance(spec, str | Path) else None
    until = deciding.given(until_decided, baseline.path if isinstance(baseline, Run) else baseline)
    options = Options(Path(out) if out else None, fresh, retry_errors, place=place, until=until)
    return carry_out(build(asked, where, progress), asked, options, watch, progress)


def read_spec(spec: Spec | str | Path | Mapping[str, Any]) -> tuple[Spec, Locations]:
    """A spec however it was given, and where its parts were written."""
    if isinstance(spec, Spec):
        return spec, Locations()
    if isinstance(spec, Mapping):
        return parse(spec)
    return load_located(Path(spec))


def resuming(command: Sequence[str]) -> str:
    """The command that goes on with a run: what was typed, less what would start over."""
    return shlex.join(word for word in command if word != "--fresh")


def run_path(plan: Plan, out: Path | None) -> Path:
    """Where a plan's run goes."""
    return out if out is not None else Path("runs") / f"{plan.name}-{plan.digest[:8]}"


def carry_out(
    draft: Draft,
    spec: Spec,
    options: Options,
    watch: Watch | None = None,
    progress: Progress | None = None,
) -> Run:
    """Run, score and seal a plan, or go on where an earlier process stopped."""
    plan = draft.plan
    folder = RunFolder(run_path(plan, options.out))
    deciding.check(plan, options.until, retry_errors=options.retry_errors)
    _prepare(folder, draft, fresh=options.fresh)
    with folder.lock():
        state = State.read(folder, plan)
        sealed = folder.manifest.exists()
        deciding.hold(folder, plan, state, options.until, done=sealed and not options.retry_errors)
        if sealed and not (options.retry_errors and state.errors()):
            if progress:
                progress(f"{folder.path} {deciding.ended(folder)} and sealed already; --fresh starts over", 0)
            deciding.conclude(folder, options.until)
            return Run(folder.path, plan)
        _fetch(draft, state, progress)
        set_aside(folder)
        _work(folder, draft, spec, options, state, watch)
        deciding.conclude(folder, options.until)
    return Run(folder.path, plan)


def _prepare(folder: RunFolder, draft: Draft, *, fresh: bool) -> None:
    if folder.exists and fresh:
        _keep_old(folder.path)
    if folder.exists:
        if not folder.holds(draft.plan):
            raise ConfigError(
                f"{folder.path} holds another plan",
                hint="choose another --out, or --fresh to start over there",
            )
        return
    if folder.path.exists() and not folder.path.is_dir():
        raise ConfigError(f"{folder.path} is not a directory", hint="choose another --out")
    if folder.path.exists() and any(folder.path.iterdir()) and not (folder.path / "samples").is_dir():
        raise ConfigError(f"{folder.path} is not empty and holds no run", hint="choose another --out")
    folder.create(draft.plan, draft.samples())


def _keep_old(path: Path) -> Path:
    """Move a run aside: `--fresh` starts over, it does not destroy evidence."""
    number = 1
    while (old := path.with_name(f"{path.name}.old{number}")).exists():
        number += 1
    path.rename(old)
    return old


def _fetch(draft: Draft, state: State, progress: Progress | None) -> None:
    """Get the models that still have something to answer, before anything of the run is touched."""
    for name, model in draft.models.items():
        if next(state.pending(draft.plan.cells_of(name), retry_errors=True), None) is not None:
            model.fetch(progress)


def _work(
    folder: RunFolder,
    draft: Draft,
    spec: Spec,
    options: Options,
    state: State,
    watch: Watch | None,
) -> None:
    plan = draft.plan
    events = EventLog(next_log(folder.path, folder.sealed()))
    pace = deciding.pace(folder, plan, state, options.until, options.workers, events, watch)
    execution = Execution(folder, plan, spec, draft.models, state, events, watch, pace)
    try:
        wait_for(execution.run())
        say = watch.stage if watch else _silence
        executed = watch.executed if watch else None
        _derive(folder, plan, State.read(folder, plan), planned(plan), say, options.workers, executed)
        say("writing the report")
        write_report(folder.path, plan)
        say("sealing")
        events.emit("sealing")
    except AssayError as error:
        events.emit("stopped", error=type(error).__name__, message=error.message)
        if options.command:
            error.hint = f"what is finished is kept in {folder.path}; to resume: {resuming(options.command)}"
        # What is finished can be looked at; where even that fails, the first error is the one to tell.
        with suppress(AssayError, OSError):
            _derive(folder, plan, State.read(folder, plan), planned(plan), execute=False)
        raise
    finally:
        events.close()
    seal(
        folder,
        plan,
        command=options.command,
        environment={"models": execution.environment, "data": origins(draft)},
        allow=options.allow_secrets,
        place=options.place,
        compact=options.compact,
        parents=options.until.parents if options.until else (),
    )


def _silence(text: str) -> None:
    """Say nothing."""


def _derive(
    folder: RunFolder,
    plan: Plan,
    state: State,
    scorers: Scorers,
    say: Callable[[str], None] = _silence,
    workers: int | None = None,
    executed: Executed | None = None,
    *,
    execute: bool = True,
) -> dict[str, Any]:
    say("scoring")
    Scoring(folder, plan, state, scorers, folder.sealed(), workers, executed, execute).run()
    say("summing up")
    content = results(folder, plan, state)
    write_atomic(folder.results, pretty(content))
    _derive_judged(folder, plan, state)
    return content


def _derive_judged(folder: RunFolder, plan: Plan, state: State) -> None:
    if (folder.path / "judging").exists():
        from assay.judging import derived

        derived.write(folder, plan, state)


def score_samples(
    task: str,
    file: str | Path,
    *,
    problems: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    fresh: bool = False,
    workers: int | None = None,
    watch: Watch | None = None,
    progress: Progress | None = None,
) -> Run:
    """Score and seal the samples in a file of another tool; the same file asked again shows the finished run.

    `file`: HumanEval's or EvalPlus's JSON lines, plain or gzip, or EvalPlus's folder. `problems`: a file of HumanEval's
    shape in the place of the task's own data. `options`: those of the task's scorer, such as `{"k": [1, 10]}`.
    Raises ConfigError (nothing was written), or MachineError (what is finished is kept and asking again goes on).
    """
    planned_samples = plan_samples(task, Path(file), Path(problems) if problems else None, options, progress)
    asked = Options(Path(out) if out else None, fresh, workers=workers)
    return carry_out_samples(planned_samples, asked, watch, progress)


def carry_out_samples(
    found: SampleDraft, options: Options, watch: Watch | None = None, progress: Progress | None = None
) -> Run:
    """Score and seal a plan of given samples, or go on where an earlier process stopped."""
    draft, plan = found.draft, found.draft.plan
    folder = RunFolder(run_path(plan, options.out))
    _prepare(folder, draft, fresh=options.fresh)
    with folder.lock():
        if folder.manifest.exists():
            if progress:
                progress(f"{folder.path} is finished and sealed already; --fresh starts over", 0)
            return Run(folder.path, plan)
        try:
            _copy_and_score(folder, plan, found, options, watch)
        except AssayError as error:
            if options.command:
                kept = f"what is finished is kept in {folder.path}; to resume: {resuming(options.command)}"
                error.hint = f"{error.hint}\n  {kept}" if error.hint else kept
            raise
        seal(
            folder,
            plan,
            command=options.command,
            environment={"models": {}, "data": origins(draft)},
            allow=options.allow_secrets,
            place=options.place,
            compact=options.compact,
        )
    return Run(folder.path, plan)


def _copy_and_score(folder: RunFolder, plan: Plan, found: SampleDraft, options: Options, watch: Watch | None) -> None:
    say, executed = (watch.stage, watch.executed) if watch else (_silence, None)
    copy_samples(folder, plan, State.read(folder, plan), found.samples)
    _derive(folder, plan, State.read(folder, plan), planned(plan), say, options.workers, executed)
    say("writing the report")
    write_report(folder.path, plan)


def origins(draft: Draft) -> dict[str, str]:
    """Where each task's data was found on this machine."""
    return {name: dataset.origin.where for name, dataset in draft.datasets.items()}


def score(
    path: str | Path,
    scorers: Scorers | None = None,
    *,
    command: Sequence[str] = (),
    executed: Executed | None = None,
) -> Run:
    """Score a run's stored completions again, with no model, and seal the new layer.

    `scorers` by task; by default those of the plan. `executed` is told how far executions are. Raises EvidenceError
    where the run is damaged.
    """
    run = open(path)
    _refuse_imported(run.plan, "scored again")
    folder = RunFolder(run.path)
    with folder.lock():
        if folder.manifest.exists() and (findings := verify(folder.path)):
            raise EvidenceError("\n".join(str(finding) for finding in findings))
        environment = asked_of(folder, run.plan)
        set_aside(folder)
        state = State.read(folder, run.plan)
        _derive(folder, run.plan, state, scorers if scorers is not None else planned(run.plan), executed=executed)
        write_report(folder.path, run.plan)
        if over(folder, run.plan, state):
            seal(folder, run.plan, command=command, environment=environment)
    return open(path)


def _refuse_imported(plan: Plan, what: str) -> None:
    """Raise ConfigError where scores came from another tool: nothing here can make them."""
    if any(task.scorer is not None and task.scorer.mode == IMPORTED for task in plan.tasks.values()):
        raise ConfigError(f"{plan.name} holds imported scores, and cannot be {what}")


def asked_of(folder: RunFolder, plan: Plan) -> dict[str, Any]:
    """What shaped a run's answers beside this machine: from its newest seal, where its models were served and its data
    found; without one, what its events tell of the models.
    """
    seals = [read_manifest(folder.manifest)] if folder.manifest.exists() else list(layers(folder).values())
    if seals:
        environment = max(seals, key=lambda seal: str(seal["created"]))["environment"]
        return {key: environment[key] for key in ("models", "data") if key in environment}
    served = {name: list(started_before(folder.path, name)) for name in plan.models}
    return {"models": {name: sessions[-1] for name, sessions in served.items() if sessions}, "data": {}}


def seal_run(
    path: str | Path,
    *,
    allow: Sequence[str] = (),
    redact: bool = False,
    compact: Mode = "auto",
    command: Sequence[str] = (),
) -> dict[str, Any]:
    """Seal a finished run that is not sealed, which one is whose evidence held what looks like a secret.

    `allow`: digests of findings that are none. With `redact` all others are taken out of the journal first, and what
    was derived from it is derived again. Returns the manifest. Raises ConfigError where the run is sealed or not
    finished, SecretFound where something is left.
    """
    from assay.evidence.redaction import redact as take_out

    run = open(path)
    _refuse_imported(run.plan, "sealed again: import it anew, with --allow-secret for what is no secret")
    folder, plan = RunFolder(run.path), run.plan
    with folder.lock():
        if folder.manifest.exists():
            raise ConfigError(f"{folder.path} is sealed already", hint="what is sealed is never rewritten")
        state = State.read(folder, plan)
        if not over(folder, plan, state):
            raise ConfigError(f"{folder.path} is not finished: {state.finished} of {len(plan)} attempts have ended")
        scorers = current(folder, plan)
        if redact:
            take_out(folder, allow)
        _derive(folder, plan, State.read(folder, plan), scorers)
        write_report(folder.path, plan)
        asked = asked_of(folder, plan)
        return seal(folder, plan, command=command, environment=asked, allow=allow, compact=compact)


def write_report(path: Path, plan: Plan, derived: Derived | None = None) -> None:
    """Write a run's `report.html`. `derived`: what its judgements come to, where that is known already."""
    from assay.report import html
    from assay.report.judged import Judged

    run = Run(path, plan)
    found = derived or _derived(run)
    judged = Judged(found.content, found.said()) if found else None
    html.write(run.report, run.results, run.plan.to_json(), run, run.request, judged=judged)


def _derived(run: Run) -> Derived | None:
    """What the judgements of a run come to; nothing is read of a run that was never handed to a judge."""
    if not (run.path / "judging").exists():
        return None
    from assay.judging.derived import derive

    return derive(RunFolder(run.path), run.plan, State.read(RunFolder(run.path), run.plan))
