"""`assay gate ptq`: one quantized checkpoint against its source and its recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from assay.cli.output import json_option, note, print_json

if TYPE_CHECKING:
    from assay.gates.checkpoint import CheckpointView
    from assay.gates.recipe import Recipe

_PATH = click.Path(path_type=Path)
_FILE = click.Path(path_type=Path, dir_okay=False)
_LARGE = 8 << 30


@click.command("ptq", short_help="Is this checkpoint what its recipe says, and otherwise the source?")
@click.option("--source", required=True, type=_PATH, help="What was quantized: a GGUF file or a folder.")
@click.option("--checkpoint", required=True, type=_PATH, help="What was made of it.")
@click.option("--recipe", required=True, metavar="NAME|FILE", help="A built-in recipe, or a YAML file of one.")
@click.option("--out", type=_FILE, metavar="FILE", help="Also write the result there, as JSON.")
@click.option("--junit", type=_FILE, metavar="FILE", help="Also write the checks as JUnit XML.")
@json_option
def ptq(source: Path, checkpoint: Path, recipe: str, out: Path | None, junit: Path | None, as_json: bool) -> int:
    """Is CHECKPOINT what RECIPE makes of SOURCE?

    \b
        assay gate ptq --source F16.gguf --checkpoint Q4_0.gguf --recipe Q4_0

    Read from the tensors' own headers, and from samples of their scales: which layers are quantized, into what, at how
    many bits; what else changed. Ends with 0 for PASS, 1 for FAIL, and 5 for INFEASIBLE: the recipe does not fit.
    """
    from assay.cli.gate import say, summarise
    from assay.files import pretty
    from assay.gates.ptq import ptq as decide
    from assay.report.verdict import junit_xml

    held = recipe_of(recipe)
    before, after = (_viewed(path) for path in (source, checkpoint))
    result = decide(before, after, held)
    document = result.to_json()
    for path, data in ((out, pretty(document)), (junit, junit_xml(document).encode())):
        if path is not None:
            _write(path, data)
    summarise(document)
    if as_json:
        print_json(document)
    else:
        say(document)
        _figures(document["numbers"])
    return result.exit_code


def recipe_of(named: str) -> Recipe:
    """A built-in recipe by its name, or the one in a YAML or JSON file. Raises ConfigError."""
    from assay.gates.recipe import named as built_in
    from assay.gates.recipe_file import load

    return load(Path(named)) if named.endswith((".yaml", ".yml", ".json")) else built_in(named)


def _viewed(path: Path) -> CheckpointView:
    from assay.release.checkpoint import view

    if path.is_file() and path.stat().st_size > _LARGE:
        note(f"hashing {path}, which takes a while the first time")
    return view(path)


def _figures(numbers: dict[str, Any]) -> None:
    """The weights in three numbers."""
    if not numbers:
        return
    band = numbers["linear_ratio_band"]
    click.echo(
        f"  linear layers: {numbers['linear_bytes']:,} of {numbers['source_linear_bytes']:,} bytes, "
        f"{numbers['linear_ratio']:.3f} (the recipe's: {band['low']:.3f} to {band['high']:.3f})"
    )
    click.echo(f"  all of it: {numbers['total_bytes']:,} of {numbers['source_total_bytes']:,} bytes")


def _write(path: Path, data: bytes) -> None:
    from assay.errors import MachineError
    from assay.files import write_atomic

    try:
        write_atomic(path, data)
    except OSError as error:
        raise MachineError(f"cannot write {path}", layer="verdict", errno=error.errno) from error
