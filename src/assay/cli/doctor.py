"""`assay doctor`: what this machine can do."""

from __future__ import annotations

import click

from assay.cli.output import console, json_option, print_json

SIGNS = {"ok": "ok", "missing": "--", "failed": "!!"}


@click.command("doctor", short_help="What this machine can do, tried out, and how to fix the rest.")
@json_option
def doctor(as_json: bool) -> int:
    """Try what assay needs, and say how to fix what does not work.

    Ends with 0 where the core works (optional parts may be missing), with 6 where it does not.
    """
    from assay.probes import probe_all

    probes = list(probe_all())
    broken = any(probe.status == "failed" for probe in probes)
    if as_json:
        print_json(
            {
                "schema": "assay.doctor.v1",
                "ok": not broken,
                "probes": [{"name": p.name, "status": p.status, "detail": p.detail, "fix": p.fix} for p in probes],
            }
        )
        return 6 if broken else 0
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    for _ in range(3):
        table.add_column(overflow="fold")
    for probe in probes:
        fix = f"\nfix: {probe.fix}" if probe.fix else ""
        table.add_row(SIGNS[probe.status], probe.name, probe.detail + fix)
    console().print(table)
    click.echo("\nok works   -- optional, not here   !! does not work")
    return 6 if broken else 0
