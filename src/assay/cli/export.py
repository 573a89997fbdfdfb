"""`assay export`: a run as a table for other tools."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import click

from assay.cli.output import json_option, note, print_json


@click.command("export", short_help="Write a run as a table: one row an attempt.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--format", "format", type=click.Choice(["csv", "jsonl", "parquet"]), help="By default that of --out.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="The file; by default stdout.")
@json_option
def export(run: Path, format: str | None, out: Path | None, as_json: bool) -> int:
    """Write RUN as a table, one row an attempt: its newest line, its current score, and for code what happened when
    it was executed.

    \b
        assay export runs/humaneval-1a2b3c4d --out samples.parquet
        assay export runs/humaneval-1a2b3c4d --format csv > samples.csv

    In CSV a text that a spreadsheet would take for a formula (it begins with = + - @, a tab or a line break), or that
    begins with an apostrophe, gets an apostrophe in front. Parquet and JSON lines hold every text as it is.
    """
    from assay.session import open as open_run

    chosen = format or _ending(out)
    if out is None and (chosen == "parquet" or as_json):
        raise click.UsageError(f"{'--json' if as_json else 'parquet'} needs --out: stdout is for text")
    found = open_run(run)
    if out is not None:
        rows = found.export(out, chosen)
        _tell(out, chosen, rows, as_json=as_json)
        return 0
    with tempfile.TemporaryDirectory(prefix="assay-") as folder:
        part = Path(folder) / "rows"
        found.export(part, chosen)
        sys.stdout.flush()
        with part.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
        sys.stdout.flush()
    return 0


def _ending(out: Path | None) -> str:
    """The format that the file's name says."""
    ending = out.suffix.removeprefix(".").lower() if out else ""
    if ending not in ("csv", "jsonl", "parquet"):
        raise click.UsageError("--format is needed: csv, jsonl or parquet, unless --out ends in one of them")
    return ending


def _tell(out: Path, format: str, rows: int, *, as_json: bool) -> None:
    from assay.files import digest_file

    if as_json:
        told = {"schema": "assay.export.v1", "file": str(out), "format": format, "rows": rows}
        print_json({**told, "sha256": digest_file(out)})
    else:
        note(f"{rows:,} rows in {out}")
