"""`assay verify`: is a sealed run what it was when it was sealed?"""

from __future__ import annotations

from pathlib import Path

import click

from assay.cli.output import json_option, note, print_json


@click.command("verify", short_help="Re-hash a run and re-derive its numbers, offline.")
@click.argument("run", type=click.Path(path_type=Path))
@json_option
def verify(run: Path, as_json: bool) -> int:
    """Re-hash every file of RUN and re-derive every score and number from them, offline.

    Ends with 0 where all of it holds, with 1 and the names of the files where it does not.
    """
    from assay.evidence.manifest import read_manifest
    from assay.evidence.verify import verify as check

    findings = check(run, progress=lambda text: note(f"{text} …"))
    manifest = run / "manifest.json"
    identity = read_manifest(manifest)["id"] if not findings else None
    if as_json:
        print_json(
            {
                "schema": "assay.verification.v1",
                "run": str(run),
                "ok": not findings,
                "manifest": identity,
                "findings": [{"path": finding.path, "problem": finding.problem} for finding in findings],
            }
        )
    elif findings:
        click.echo(f"FAILED: {run} is not what was sealed")
        for finding in findings:
            click.echo(f"  {finding}")
    else:
        click.echo(f"ok: {run} is what was sealed, and its numbers follow from it (manifest {identity})")
    return 1 if findings else 0
