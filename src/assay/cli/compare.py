"""`assay compare`: what `assay gate compare` decides, for a person to read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from assay.cli.output import console, json_option, note, print_json

if TYPE_CHECKING:
    from rich.table import Table

_RUN = click.Path(path_type=Path, file_okay=False)
_FILE = click.Path(path_type=Path, dir_okay=False)
SHOWN = 20
"""How many losses, and how many wins, the page shows of each task."""


@click.command("compare", short_help="Show how two sealed runs differ: a table, and a page with every flip.")
@click.argument("baseline", type=_RUN)
@click.argument("candidate", type=_RUN)
@click.option("--policy", "policy", type=_FILE, help="The policy's YAML file; by default a margin of 2 points.")
@click.option("--baseline-model", metavar="NAME", help="Of BASELINE, only this model's cells.")
@click.option("--baseline-prompt", metavar="NAME", help="Of BASELINE, only this prompt's cells.")
@click.option("--candidate-model", metavar="NAME", help="Of CANDIDATE, only this model's cells.")
@click.option("--candidate-prompt", metavar="NAME", help="Of CANDIDATE, only this prompt's cells.")
@click.option("--html", type=_FILE, help="Where the page goes; by default compare-BASELINE-CANDIDATE.html, here.")
@json_option
def compare(
    baseline: Path, candidate: Path, policy: Path | None, html: Path | None, as_json: bool, **chosen: str | None
) -> int:
    """Show how CANDIDATE differs from BASELINE: the verdict, a table, and a page with the intervals against their
    margins and the samples that changed sides.

    Ends with 0 whatever the verdict is: to decide by it is what `assay gate compare` is for.
    """
    from assay.cli.gate import compared
    from assay.errors import MachineError
    from assay.flips import flips
    from assay.report.comparison import write

    result, _ = compared(baseline, candidate, _policy(policy), chosen)
    document = result.to_json()
    found, left_out = flips(document, baseline, candidate, SHOWN)
    page = html or Path(f"compare-{baseline.resolve().name}-{candidate.resolve().name}.html")
    try:
        write(page, document, found, left_out)
    except OSError as error:
        raise MachineError(f"cannot write {page}", layer="page", errno=error.errno) from error
    if as_json:
        print_json({"schema": "assay.comparison.v1", "page": str(page), "result": document})
    else:
        click.secho(document["verdict"], bold=True)
        for reason in document["reasons"]:
            click.echo(f"  {reason}")
        console().print(_table(document))
        click.echo(f"page: {page}")
    return 0


def _policy(path: Path | None) -> Any:
    from assay import document
    from assay.gates.policy import load, read
    from assay.gates.template import TEMPLATE

    if path is not None:
        return load(path)
    note("no policy was given: a margin of 2 points, as `assay gate policy init` writes it")
    return read(document.parse(TEMPLATE, "the policy to begin with"))


def _table(document: Mapping[str, Any]) -> Table:
    from rich.table import Table

    from assay.report.verdict import cells_of

    table = Table(box=None)
    for name in ("task", "pairs", "baseline", "candidate", "change", "bounds", "margin"):
        table.add_column(name, justify="left" if name == "task" else "right", no_wrap=name != "task")
    for task in document["numbers"].get("tasks", []):
        if "delta" in task:
            name, _, *numbers, _ = cells_of(task)
            table.add_row(name, *numbers)
    return table
