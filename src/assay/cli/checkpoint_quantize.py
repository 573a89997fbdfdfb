"""`assay checkpoint quantize` and `assay checkpoint recipes`: make a smaller checkpoint, and what can be made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from assay.cli.output import console, json_option, note, print_json

if TYPE_CHECKING:
    from assay.gates.recipe import Recipe
    from assay.release.checkpoint import Checkpoint
    from assay.release.quantizers.base import Made, Quantizer


@click.command("quantize", short_help="Make a smaller checkpoint by a recipe.")
@click.argument("source")
@click.option("--recipe", required=True, metavar="NAME", help="What to make: see `assay checkpoint recipes`.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The new file or folder; not there yet.")
@click.option("--option", "options", multiple=True, metavar="KEY=VALUE", help="An option of the quantizer's.")
@click.option("--keep", multiple=True, metavar="PATTERN", help="Layers that stay as they are, such as '*.attn_v'.")
@click.option(
    "--python",
    type=click.Path(path_type=Path),
    help="A Python that has the quantizer, instead of one that assay sets up.",
)
@click.option("--log", type=click.Path(path_type=Path), help="Where the quantizer's output goes; beside --out without.")
@json_option
def quantize(
    source: str,
    recipe: str,
    out: Path,
    options: tuple[str, ...],
    keep: tuple[str, ...],
    python: Path | None,
    log: Path | None,
    as_json: bool,
) -> int:
    """Make OUT of SOURCE: a GGUF file, a Hugging Face folder, `smollm2-135m`, or OWNER/NAME of the hub.

    \b
        assay checkpoint quantize smollm2-135m --recipe F16 --out models/smollm2-f16.gguf
        assay checkpoint quantize models/smollm2-f16.gguf --recipe Q8_0 --out models/smollm2-q8_0.gguf

    The quantizer runs in a process of its own, and where its packages conflict with others', in an environment that is
    set up once. OUT is put in place whole or not at all. Ends with 6 where the recipe does not fit the checkpoint.
    """
    from assay.cli.progress import Download
    from assay.release.checkpoint import inspect
    from assay.release.quantizers import registry
    from assay.release.sources import resolve

    asked = _asked(registry.recipe(recipe), options, keep)
    quantizer = registry.find(asked.quantizer)
    quantizer.check(asked, out)
    progress = Download()
    path = resolve(source, progress)
    found = inspect(path)
    warnings = quantizer.warnings(found, asked)
    for text in warnings:
        note(f"note: {text}")
    place = log or out.with_name(f"{out.name}.log")
    made = quantizer.quantize(path, asked, out, place, progress, python=python)
    document = {"schema": "assay.quantized.v1", "source": str(path), "source_bytes": found.total_bytes}
    document |= {"recipe": asked.to_json(), "log": str(place), "warnings": warnings, **made.to_json()}
    if as_json:
        print_json(document)
    else:
        _show(found, asked, made, place)
    return 0


def _asked(recipe: Recipe, options: tuple[str, ...], keep: tuple[str, ...]) -> Recipe:
    """The recipe with what the options say laid over it."""
    from dataclasses import replace

    from assay.spec.flags import pairs

    return replace(recipe, options={**recipe.options, **pairs(options)}, ignore=(*recipe.ignore, *keep))


def _show(source: Checkpoint, recipe: Recipe, made: Made, log: Path) -> None:
    from assay.release.checkpoint import inspect

    for text in made.notes:
        note(f"note: {text}")
    found = inspect(made.path)
    lock = made.environment
    click.echo(f"{made.path}: {recipe.name}, {made.bytes / 1e6:.1f} MB in {made.seconds:.1f} s")
    click.echo(f"whole:    {made.bytes / source.total_bytes:.3f} of the source's {source.total_bytes / 1e6:.1f} MB")
    if source.linear_bytes:
        share = found.linear_bytes / source.linear_bytes
        click.echo(f"linear:   {share:.3f} of the source's {source.linear_bytes / 1e6:.1f} MB")
    click.echo(f"made by:  {lock['name']}, lock {lock['digest'][:16]}; its output is in {log}")


@click.command("recipes", short_help="The recipes that there are, and which of them fit a checkpoint.")
@click.argument("source", required=False)
@click.option("--all", "every", is_flag=True, help="Also the variants for parts of a model, such as Q4_0-mlp-only.")
@json_option
def recipes(source: str | None, every: bool, as_json: bool) -> int:
    """The recipes that there are; with SOURCE, which of them fit it, told from its shapes alone."""
    from assay.gates.recipe import VARIANTS
    from assay.release.quantizers import registry

    checkpoint = _inspected(source) if source else None
    known = [recipe for name, recipe in registry.recipes().items() if every or not name.endswith(tuple(VARIANTS))]
    rows = [_row(recipe, registry.find(recipe.quantizer), checkpoint) for recipe in known]
    if as_json:
        print_json({"schema": "assay.recipes.v1", "source": source, "recipes": rows})
    else:
        _table(rows, fits=checkpoint is not None)
    return 0


def _inspected(source: str) -> Checkpoint:
    from assay.cli.progress import Download
    from assay.release.checkpoint import inspect
    from assay.release.sources import resolve

    return inspect(resolve(source, Download()))


def _row(recipe: Recipe, quantizer: Quantizer, checkpoint: Checkpoint | None) -> dict[str, Any]:
    row = {"name": recipe.name, "quantizer": recipe.quantizer, "format": recipe.format, "bits": recipe.bits}
    row |= {"recipe": recipe.to_json()}
    if checkpoint is None:
        return row
    misfits = quantizer.misfits(checkpoint, recipe)
    return {**row, "misfits": misfits, "warnings": [] if misfits else quantizer.warnings(checkpoint, recipe)}


def _table(rows: list[dict[str, Any]], *, fits: bool) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("recipe", "quantizer", "format"):
        table.add_column(column, no_wrap=True)
    table.add_column("bits a weight", justify="right", no_wrap=True)
    if fits:
        table.add_column("fits", no_wrap=True)
    said: dict[str, list[str]] = {}
    for row in rows:
        cells = [row["name"], row["quantizer"], row["format"], f"{row['bits']:g}"]
        table.add_row(*cells, *([_fits(row)] if fits else []))
        for text in (*row.get("misfits", ()), *row.get("warnings", ())):
            said.setdefault(text, []).append(row["name"])
    console().print(table)
    for text, names in said.items():
        click.echo(f"\n{', '.join(names)}: {text}")


def _fits(row: dict[str, Any]) -> str:
    return "no" if row["misfits"] else "see below" if row["warnings"] else "yes"
