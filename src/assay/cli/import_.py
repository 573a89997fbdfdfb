"""`assay import`: the results of another tool as a sealed run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from assay.cli.output import json_option, note


@click.command("import", short_help="Make a sealed run of another tool's results.")
@click.argument("format")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="The run directory.")
@click.option(
    "--allow-secret", "allow", multiple=True, metavar="DIGEST", help="A finding that is no secret, by its digest."
)
@json_option
def import_(format: str, path: Path, out: Path | None, allow: tuple[str, ...], *, as_json: bool) -> int:
    """Make a sealed run of another tool's results.

    \b
        assay import lm-eval results/model/           results_*.json with samples_*.jsonl
        assay import inspect logs/NAME.eval           or a .json log
        assay import evalplus NAME_eval_results.json
        assay import nemo results.yml                 totals only
        assay import promptfoo out.json

    Scores are taken as the tool gave them and marked as imported; the tool's own totals are held against its samples.
    What the tool recorded as an error is no wrong answer. A file that is malformed, cut off, or of an evaluation that
    did not end well is refused, and nothing is written. Importing the same files again shows the finished run.
    """
    from assay.cli.eval import print_run, shown_command
    from assay.importing import import_run

    told: dict[str, Any] = {"command": shown_command(), "allow_secrets": allow}
    run = import_run(format, path, out, say=lambda text: note(f"{text} …"), **told)
    return print_run(run, as_json=as_json)
