"""`assay score`: completions that are there already, scored: a run's own again, or those of another tool's file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from assay.cli.output import json_option, note

_OF_SAMPLES = {"samples": "--samples", "problems": "--problems", "k": "-k", "out": "--out", "tier": "--sandbox"}


def _counts(context: click.Context, parameter: click.Parameter, value: str | None) -> list[int] | None:
    """Whole numbers from 1, separated by commas: in order, each once."""
    if value is None:
        return None
    parts = [part.strip() for part in value.split(",")]
    if not all(part.isascii() and part.isdigit() and len(part) <= 6 and int(part) > 0 for part in parts):
        raise click.BadParameter(f"{value!r} is not a list of whole numbers from 1, such as 1,10,100")
    return sorted({int(part) for part in parts})


@click.command("score", short_help="Score stored completions, of a run or of another tool's file.")
@click.argument("run", required=False, type=click.Path(path_type=Path))
@click.option("-t", "--task", "tasks", multiple=True, metavar="TASK", help="Only these tasks of RUN; or the samples'.")
@click.option("--scoring-mode", metavar="SCORER", help="Another scorer than the plan of RUN has.")
@click.option("--samples", type=click.Path(path_type=Path), help="Samples of another tool, instead of RUN.")
@click.option("--problems", type=click.Path(path_type=Path), help="The task's problems, from a file.")
@click.option("-k", "k", metavar="K,K,…", callback=_counts, help="Report pass@k for each of these; by default 1.")
@click.option("--workers", type=click.IntRange(1, 1024), help="Programs run at once; by default one a core.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="The run directory for --samples.")
@click.option("--fresh", is_flag=True, help="Start over; the old run is kept beside it.")
@click.option(
    "--sandbox",
    "tier",
    type=click.Choice(["full", "reduced", "none"]),
    help="The boundary that must be there; refused where this machine has less.",
)
@click.option("--control", type=click.Choice(["sample", "full"]), help="How many reference solutions are run first.")
@click.option("--check-determinism", is_flag=True, help="Run every sample twice and compare.")
@json_option
def score(
    run: Path | None,
    tasks: tuple[str, ...],
    scoring_mode: str | None,
    samples: Path | None,
    as_json: bool,
    **given: Any,
) -> int:
    """Score completions that are stored already; no model is asked.

    \b
        assay score RUN
        assay score --task humaneval --samples samples.jsonl.gz -k 1,10,100

    With RUN, its stored completions are scored again and the new scores are sealed as a new layer. Without
    --scoring-mode the plan's scorers are used, in their present revision.

    With --samples, the samples of another tool become a sealed run: JSON lines of `task_id` with `completion` (goes
    after the problem's prompt) or `solution` (a whole program), plain or gzip; or EvalPlus's folder. Labels in the
    file are kept and never used. --problems takes any file of HumanEval's shape: task_id, prompt, entry_point, test.
    Asking again for the same samples shows the finished run, or goes on with it.
    """
    if (run is None) == (samples is None):
        raise click.UsageError("give either RUN or --samples FILE")
    if samples is None:
        return _score_run(_path(run), tasks, scoring_mode, given, as_json=as_json)
    if scoring_mode is not None:
        raise click.UsageError("--scoring-mode goes with RUN: samples are scored as their task says")
    if len(tasks) != 1:
        raise click.UsageError("--samples needs one --task, such as --task humaneval")
    return _score_samples(tasks[0], samples, given, as_json=as_json)


def _path(run: Path | None) -> Path:
    return run or Path()


def _score_run(run: Path, tasks: tuple[str, ...], mode: str | None, given: dict[str, Any], *, as_json: bool) -> int:
    from assay.cli.eval import print_run, shown_command
    from assay.cli.progress import watch
    from assay.plan.scorers import rescorers
    from assay.session import open as open_run
    from assay.session import score as score_run

    if stray := [name for name, value in given.items() if value not in (None, False)]:
        options = ", ".join(_OF_SAMPLES.get(name, f"--{name.replace('_', '-')}") for name in stray)
        raise click.UsageError(f"only with --samples, not with RUN: {options}")
    scorers = rescorers(open_run(run).plan, tasks, mode)
    return print_run(score_run(run, scorers, command=shown_command(), executed=watch().executed), as_json=as_json)


def _score_samples(task: str, samples: Path, given: dict[str, Any], *, as_json: bool) -> int:
    from assay.cli.eval import print_run, shown_command
    from assay.cli.progress import Download, watch
    from assay.plan.samples import plan_samples
    from assay.session import Options, carry_out_samples

    names = ("tier", "k", "control", "check_determinism")
    options = {name: given[name] for name in names if given[name] not in (None, False)}
    download = Download()
    planned = plan_samples(task, samples, given["problems"], options, download)
    for text in planned.draft.notes:
        note(f"note: {text}")
    settings = Options(given["out"], given["fresh"], command=shown_command(), workers=given["workers"])
    return print_run(carry_out_samples(planned, settings, watch(), download), as_json=as_json)
