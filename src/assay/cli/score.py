"""`assay score`: stored completions, scored again."""

from __future__ import annotations

from pathlib import Path

import click

from assay.cli.output import json_option


@click.command("score", short_help="Score stored completions again, with no model.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("-t", "--task", "tasks", multiple=True, metavar="TASK", help="Only these tasks of the run.")
@click.option("--scoring-mode", metavar="SCORER", help="Another scorer than the plan's.")
@json_option
def score(run: Path, tasks: tuple[str, ...], scoring_mode: str | None, as_json: bool) -> int:
    """Score the stored completions of RUN again, offline, and seal the new scores as a new layer.

    Without --scoring-mode the plan's scorers are used, in their present revision.
    """
    from assay.cli.eval import print_run, shown_command
    from assay.plan.scorers import rescorers
    from assay.session import open as open_run
    from assay.session import score as score_run

    plan = open_run(run).plan
    scorers = rescorers(plan, tasks, scoring_mode)
    return print_run(score_run(run, scorers, command=shown_command()), as_json=as_json)
