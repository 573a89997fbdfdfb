"""`assay seal`: seal a finished run whose evidence held what looks like a secret."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from assay.cli.output import json_option, print_json

if TYPE_CHECKING:
    from assay.run.compact import Mode

compact_option: Callable[[Callable[..., Any]], Callable[..., Any]] = click.option(
    "--compact",
    type=click.Choice(["auto", "off", "keep", "drop"]),
    default="auto",
    help="The journal as Parquet when sealing: not at all, beside its JSON lines, or in their place. By default beside "
    "them from 100,000 attempts on.",
)


@click.command("seal", short_help="Seal a finished run, letting findings pass or taking secrets out.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--allow-secret", "allow", multiple=True, metavar="DIGEST", help="Seal in spite of this finding.")
@click.option("--redact", is_flag=True, help="Take all other secrets out, and score what is left again.")
@compact_option
@json_option
def seal(run: Path, allow: tuple[str, ...], redact: bool, compact: Mode, as_json: bool) -> int:
    """Seal a finished RUN that is not sealed yet: one whose evidence held what looks like a secret.

    Without an option the scan is made again. A finding that is no secret passes when --allow-secret gives its digest,
    and the manifest says so. --redact writes `[redacted:sha256:…]` in the place of all others, derives scores and
    results anew from that, and lists in the manifest what was taken out. What the plan fixed, its samples above all,
    cannot be redacted.
    """
    from assay.cli.eval import shown_command
    from assay.session import seal_run

    manifest = seal_run(run, allow=allow, redact=redact, compact=compact, command=shown_command())
    if as_json:
        print_json({"schema": "assay.seal.v1", "run": str(run), "manifest": manifest["id"], **manifest["secrets"]})
    else:
        click.echo(f"sealed: {run} (manifest {manifest['id']})")
        for secret in manifest["secrets"]["redacted"]:
            click.echo(f"  redacted: {secret['path']}:{secret['line']}: {secret['kind']}, digest {secret['digest']}")
    return 0
