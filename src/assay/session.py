"""The two doors of assay, for scripts, notebooks and the command line: `evaluate` a spec, `open` a run.

run = assay.evaluate("examples/quickstart.yaml")
run.results["cells"][0]["metrics"]
for entry in assay.open("runs/quickstart-1a2b3c4d"):
    ...
"""

from __future__ import annotations

import asyncio
import shlex
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from assay.errors import AssayError, ConfigError, EvidenceError
from assay.evidence.manifest import seal, set_aside
from assay.evidence.verify import Finding, verify
from assay.files import pretty, read_json, write_atomic
from assay.plan.build import Draft, build
from assay.plan.plan import Plan
from assay.report.entry import Entry
from assay.run import journal
from assay.run.events import EventLog, next_log
from assay.run.execute import Execution, Watch
from assay.run.folder import RunFolder
from assay.run.requests import Requests
from assay.run.results import SCHEMA, results
from assay.run.scores import ScoreIndex, Scorers, Scoring, planned
from assay.run.state import State
from assay.spec.load import load_located, parse
from assay.spec.locations import Locations
from assay.spec.schema import Spec

T = TypeVar("T")
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
    typed, for the evidence.
    """

    out: Path | None = None
    fresh: bool = False
    retry_errors: bool = False
    command: Sequence[str] = ()


def evaluate(
    spec: Spec | str | Path | Mapping[str, Any],
    *,
    out: str | Path | None = None,
    fresh: bool = False,
    retry_errors: bool = False,
    watch: Watch | None = None,
    progress: Progress | None = None,
) -> Run:
    """Plan, run, score and seal what a spec asks for; the same plan asked again is resumed.

    `spec`: a file's path, or the same content as a mapping. `out` defaults to `runs/<name>-<plan digest, 8 hex>`.
    Raises ConfigError (nothing was written), MachineError, BudgetExhausted or Interrupted (what is finished is kept
    and asking again goes on).
    """
    asked, where = read_spec(spec)
    options = Options(Path(out) if out else None, fresh, retry_errors)
    return carry_out(build(asked, where, progress), asked, options, watch, progress)


def read_spec(spec: Spec | str | Path | Mapping[str, Any]) -> tuple[Spec, Locations]:
    """A spec however it was given, and where its parts were written."""
    if isinstance(spec, Spec):
        return spec, Locations()
    if isinstance(spec, Mapping):
        return parse(spec)
    return load_located(Path(spec))


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
    _prepare(folder, draft, fresh=options.fresh)
    with folder.lock():
        state = State.read(folder, plan)
        sealed = folder.manifest.exists()
        if sealed and not (options.retry_errors and state.errors()):
            if progress:
                progress(f"{folder.path} is finished and sealed already; --fresh starts over", 0)
            return Run(folder.path, plan)
        _fetch(draft, state, progress)
        set_aside(folder)
        _work(folder, draft, spec, options, state, watch)
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
    execution = Execution(folder, plan, spec, draft.models, state, events, watch)
    try:
        _wait_for(execution.run())
        say = watch.stage if watch else _silence
        _derive(folder, plan, State.read(folder, plan), planned(plan), say)
        say("writing the report")
        write_report(folder.path, plan)
        say("sealing")
        events.emit("sealing")
    except AssayError as error:
        events.emit("stopped", error=type(error).__name__, message=error.message)
        if options.command:
            error.hint = f"what is finished is kept in {folder.path}; to resume: {shlex.join(options.command)}"
        # What is finished can be looked at; where even that fails, the first error is the one to tell.
        with suppress(AssayError, OSError):
            _derive(folder, plan, State.read(folder, plan), planned(plan))
        raise
    finally:
        events.close()
    seal(
        folder,
        plan=plan.digest,
        synthetic=plan.synthetic,
        command=options.command,
        environment={"models": execution.environment, "data": origins(draft)},
    )


def _silence(text: str) -> None:
    """Say nothing."""


def _derive(
    folder: RunFolder, plan: Plan, state: State, scorers: Scorers, say: Callable[[str], None] = _silence
) -> dict[str, Any]:
    say("scoring")
    Scoring(folder, plan, state, scorers, folder.sealed()).run()
    say("summing up")
    content = results(folder, plan, state)
    write_atomic(folder.results, pretty(content))
    return content


def origins(draft: Draft) -> dict[str, str]:
    """Where each task's data was found on this machine."""
    return {name: dataset.origin.where for name, dataset in draft.datasets.items()}


def score(path: str | Path, scorers: Scorers | None = None, *, command: Sequence[str] = ()) -> Run:
    """Score a run's stored completions again, with no model, and seal the new layer.

    `scorers` by task; by default those of the plan. Raises EvidenceError where the run is damaged.
    """
    run = open(path)
    folder = RunFolder(run.path)
    with folder.lock():
        if folder.manifest.exists() and (findings := verify(folder.path)):
            raise EvidenceError("\n".join(str(finding) for finding in findings))
        environment = read_json(folder.manifest)["environment"] if folder.manifest.exists() else {}
        set_aside(folder)
        state = State.read(folder, run.plan)
        _derive(folder, run.plan, state, scorers if scorers is not None else planned(run.plan))
        write_report(folder.path, run.plan)
        if state.finished == len(run.plan):
            seal(
                folder,
                plan=run.plan.digest,
                synthetic=run.plan.synthetic,
                command=command,
                environment=environment,
            )
    return open(path)


def write_report(path: Path, plan: Plan) -> None:
    """Write a run's `report.html`."""
    from assay.report import html

    run = Run(path, plan)
    html.write(run.report, run.results, run.plan.to_json(), run, run.request)


def _wait_for(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, also from a notebook, where an event loop is running already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    outcome: list[T | BaseException] = []

    def body() -> None:
        try:
            outcome.append(asyncio.run(work))
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=body, name="assay")
    thread.start()
    thread.join()
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]
