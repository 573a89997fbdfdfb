"""`assay checkpoint inspect`: the types, layers and bytes of one checkpoint, as a table or as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from assay.cli.output import console, json_option, print_json

if TYPE_CHECKING:
    from assay.release.checkpoint import Checkpoint


@click.command("inspect", short_help="What a checkpoint holds: types, layers, bytes.")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--digest", is_flag=True, help="Also work out its SHA-256, which reads all of it.")
@json_option
def inspect(path: Path, digest: bool, as_json: bool) -> int:
    """What the checkpoint at PATH holds: a GGUF file, a safetensors file, or a Hugging Face folder.

    Read from its headers; of the weights nothing is read. `--json` lists every tensor. Ends with 1 where the checkpoint
    is broken or not what it claims to be, and says how.
    """
    from assay.release.checkpoint import inspect as read
    from assay.release.checkpoint.digests import digest as hashed

    found = read(path)
    sha256 = hashed(found) if digest else None
    if as_json:
        print_json({**found.to_json(), "sha256": sha256})
    else:
        _show(found, sha256)
    return 1 if found.faults or found.shards.missing else 0


def _show(found: Checkpoint, sha256: str | None) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("part", "type"):
        table.add_column(column, no_wrap=True)
    for column in ("tensors", "bytes", "share"):
        table.add_column(column, justify="right", no_wrap=True)
    whole = max(sum(row[3] for row in found.types()), 1)
    for role, dtype, count, size in found.types():
        table.add_row(role, dtype, str(count), f"{size:,}", f"{size / whole:.1%}")
    console().print(table)
    click.echo()
    click.echo(_printable(f"{found.path}: {found.architecture}, {found.format}, {len(found.tensors)} tensors"))
    click.echo(f"{found.total_bytes:,} bytes in {found.shards.files} file(s), linear layers {found.linear_bytes:,}")
    if found.declared:
        click.echo(_printable(f"says of itself: {found.declared['method']}, {found.declared['scheme']}"))
    for line in _troubles(found):
        click.secho(_printable(line), fg="red")
    if found.unread:
        click.echo(_printable(f"not opened, since they run code when they are loaded: {', '.join(found.unread)}"))
    if sha256:
        click.echo(f"SHA-256 {sha256}")


def _printable(text: str) -> str:
    """What strangers wrote into a checkpoint must not steer a terminal."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)[:1000]


def _troubles(found: Checkpoint) -> list[str]:
    missing = [f"missing: {name}" for name in found.shards.missing]
    return [*missing, *(f"not in the index: {name}" for name in found.shards.extra), *found.faults]
