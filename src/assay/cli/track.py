"""`assay track`: sealed runs, logged to MLflow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from assay.cli.output import json_option, note, print_json
from assay.tracking.target import GRANULARITIES, Granularity, Target

if TYPE_CHECKING:
    from assay.tracking.push import Pushed

F = TypeVar("F", bound=Callable[..., Any])
_RUN = click.Path(path_type=Path, file_okay=False)


def experiment_options(command: F) -> F:
    """`--experiment` and `--uri`, for commands that read what is tracked."""
    command = click.option(
        "--uri", metavar="URI", help="With --experiment: the MLflow server; by default MLFLOW_TRACKING_URI."
    )(command)
    return click.option("--experiment", metavar="NAME", help="Runs tracked in this MLflow experiment.")(command)


@click.command("track", short_help="Log sealed runs to MLflow, or what of them is not logged yet.")
@click.argument("runs", nargs=-1, metavar="RUN...", type=_RUN)
@click.option("--uri", metavar="URI", help="The server; by default where the run is tracked, or MLFLOW_TRACKING_URI.")
@click.option("--experiment", metavar="NAME", help="By default the one it is tracked in, or the plan's name.")
@click.option(
    "--granularity", type=click.Choice(GRANULARITIES), help="One MLflow run a cell (the default) or scenario."
)
@click.option("--traces/--no-traces", default=None, help="One trace a candidate too, for judges' feedback.")
@click.option("--pending", is_flag=True, help="Finish all runs in runs/, or in the folders given, that are not logged.")
@click.option("--list", "only_list", is_flag=True, help="With --pending: show them, and log nothing.")
@json_option
def track(
    runs: tuple[Path, ...],
    uri: str | None,
    experiment: str | None,
    granularity: Granularity | None,
    traces: bool | None,
    pending: bool,
    only_list: bool,
    as_json: bool,
) -> int:
    """Log sealed runs to an MLflow server, or what of them is not logged yet.

    \b
        assay track runs/tips-1a2b3c4d --uri http://127.0.0.1:5000
        assay track --pending

    One parent run a plan, below it one run a cell: params, metrics with their intervals, tags, the prompt, candidates
    and raw answers; the whole run directory goes with the parent. The same again changes nothing, and what was stopped
    half-way is finished. RUN is remembered: judging it later brings MLflow up to date.
    """
    if pending:
        _refuse_with_pending(uri, experiment, granularity, traces)
        return _finish(runs or (Path("runs"),), only_list=only_list, as_json=as_json)
    if only_list or not runs:
        raise click.UsageError("name the runs to log; or --pending for those that are not logged yet")
    done = [_push(run, _target(run, uri, experiment, granularity, traces)) for run in dict.fromkeys(runs)]
    if as_json:
        print_json({"schema": "assay.track.v1", "runs": [one.to_json() for one in done]})
    return 0


def _refuse_with_pending(*given: object) -> None:
    if any(value is not None for value in given):
        raise click.UsageError("--pending logs each run where it is tracked: give neither --uri nor other options")


def _target(
    run: Path,
    uri: str | None,
    experiment: str | None,
    granularity: Granularity | None,
    traces: bool | None,
) -> Target:
    """Where a run goes: as given, else as remembered, else by default."""
    from assay.run.folder import RunFolder
    from assay.tracking.memory import recall
    from assay.tracking.target import experiment_of, uri_of

    plan = RunFolder(run).plan()
    before = recall(run)
    known = before.target if before else None
    return Target(
        uri_of(uri or (known.uri if known else None)),
        experiment_of(experiment or (known.experiment if known else None), plan.name),
        granularity or (known.granularity if known else "cell"),
        traces if traces is not None else bool(known and known.traces),
    )


def _push(run: Path, target: Target) -> Pushed:
    """Log one run, and say so."""
    from assay.cli.progress import Steps
    from assay.tracking.push import link, push

    with Steps(f"logging {run}") as steps:
        pushed = push(run, target, progress=steps)
    for text in pushed.notes:
        note(f"note: {run}: {text}")
    note(link(pushed))
    return pushed


def _finish(folders: Sequence[Path], *, only_list: bool, as_json: bool) -> int:
    """Log every run in these folders that is tracked and not logged as it is now; each error is told, none stops."""
    from assay.errors import AssayError
    from assay.tracking.memory import remembered
    from assay.tracking.push import unfinished

    rows: list[dict[str, Any]] = []
    failed: AssayError | None = None
    for tracked in remembered(folders):
        if (why := unfinished(tracked)) is None:
            continue
        row: dict[str, Any] = {"run": str(tracked.run), "uri": tracked.target.uri, "why": why, "logged": False}
        rows.append(row)
        if only_list:
            note(f"{tracked.run}: {why} (to {tracked.target.uri}, experiment {tracked.target.experiment})")
            continue
        try:
            row |= {**_push(tracked.run, tracked.target).to_json(), "logged": True}
        except AssayError as error:
            failed = error
            note(f"{tracked.run}: {error}")
    if not rows:
        note("every run that is tracked is logged")
    if as_json:
        print_json({"schema": "assay.track_pending.v1", "runs": rows})
    return failed.exit_code if failed else 0


def chosen(runs: Sequence[Path], uri: str | None, experiment: str | None) -> tuple[Path, ...]:
    """The runs named, or those of an experiment, fetched. Raises UsageError for neither or both."""
    if experiment is None:
        if uri is not None:
            raise click.UsageError("--uri goes with --experiment")
        return tuple(runs)
    if runs:
        raise click.UsageError("name runs, or --experiment, and not both")
    from assay.cli.progress import Steps
    from assay.tracking.pull import pull
    from assay.tracking.target import checked_experiment, uri_of

    with Steps(f"fetching {experiment}") as steps:
        found = pull(uri_of(uri), checked_experiment(experiment), progress=steps)
    for text in found.notes:
        note(f"note: {text}")
    return tuple(found.runs)


def required(runs: Sequence[Path], experiment: str | None) -> None:
    """Raise UsageError where neither runs nor an experiment are named."""
    if not runs and experiment is None:
        raise click.UsageError("Missing argument 'RUN...', or --experiment NAME")


def refresh(runs: Sequence[Path], *, must: bool = False) -> list[dict[str, Any]]:
    """Bring MLflow up to date with runs that were judged just now, those of them that are tracked.

    Where the server fails, what is judged stays: it is told, with the command that finishes it; with `must` it is an
    error, because there the runs are the server's.
    """
    from assay.errors import AssayError
    from assay.tracking.memory import recall
    from assay.tracking.push import unfinished

    done = []
    for run in dict.fromkeys(runs):
        tracked = None
        try:
            tracked = recall(run)
            if tracked is not None and unfinished(tracked) is not None:
                done.append(_push(run, tracked.target).to_json())
        except AssayError as error:
            finish = told(run)
            if must:
                error.hint = "\n  ".join(
                    filter(None, (error.hint, f"what was done is kept in {run}; to log it: {finish}"))
                )
                raise
            note(f"note: {run} is not logged: {error.message}\n  what was done is kept; to log it: {finish}")
    return done


def told(run: Path) -> str:
    """The command that finishes logging a run."""
    import shlex

    return shlex.join(["assay", "track", str(run)])
