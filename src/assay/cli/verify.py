"""`assay verify`: is a sealed run what it was when it was sealed?"""

from __future__ import annotations

from pathlib import Path

import click

from assay.cli.output import json_option, note, print_json


@click.command("verify", short_help="Re-hash a run and re-derive its numbers, offline.")
@click.argument("path", metavar="RUN|VERDICT|ADMISSION|RELEASE", type=click.Path(path_type=Path))
@click.option("--key", "named", multiple=True, metavar="FILE|env:NAME", help="A public key that must have signed it.")
@json_option
def verify(path: Path, named: tuple[str, ...], as_json: bool) -> int:
    """Re-hash every file of RUN and re-derive every score, number and verdict from them, offline; or one VERDICT, the
    ADMISSION of a judge, or a RELEASE with all its runs, gates and its decision.

    With --key, which may be repeated, it must be signed by one of the keys. Ends with 0 where all of it holds, with 1
    and the names of the files where it does not.
    """
    from assay.evidence.verify import verify as check
    from assay.release.folder import is_release

    if named:
        from assay.evidence.keys import verify_key
    notes: list[str] = []
    keys = [verify_key(name) for name in named]
    if is_release(path):
        from assay.release.verify import verify as check
    findings = check(path, progress=lambda text: note(f"{text} …"), keys=keys, note=notes.append)
    identity = _identity(path) if not findings else None
    if as_json:
        print_json(
            {
                "schema": "assay.verification.v1",
                "run": str(path),
                "ok": not findings,
                "manifest": identity,
                "findings": [{"path": finding.path, "problem": finding.problem} for finding in findings],
                "notes": notes,
            }
        )
        return 1 if findings else 0
    for text in notes:
        note(f"note: {text}")
    if findings:
        click.echo(f"FAILED: {path} does not hold")
        for finding in findings:
            click.echo(f"  {finding}")
    elif identity:
        click.echo(f"ok: {path} is what was sealed, and its numbers follow from it (manifest {identity})")
    else:
        click.echo(f"ok: {path}")
    return 1 if findings else 0


def _identity(path: Path) -> str | None:
    """The id of the seal of a run or an admission; None for a verdict's file."""
    from assay.files import read_json

    manifest = path if path.is_file() else path / "manifest.json"
    return str(read_json(manifest)["id"]) if manifest.name == "manifest.json" else None
