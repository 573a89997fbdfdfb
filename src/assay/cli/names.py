"""`assay models|tasks|prompts list|show`: what there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from assay.cli.output import console, json_option, note, print_json

if TYPE_CHECKING:
    from assay.prompts.diff import Difference, Piece


def _print_list(schema: str, rows: Sequence[Mapping[str, Any]], columns: Sequence[str], as_json: bool) -> int:
    if as_json:
        print_json({"schema": schema, "items": list(rows)})
        return 0
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column == columns[0])
    for row in rows:
        table.add_row(*(_cell(row[column]) for column in columns))
    console().print(table)
    return 0


def _print_item(schema: str, item: Mapping[str, Any], as_json: bool) -> int:
    if as_json:
        print_json({"schema": schema, **item})
        return 0
    width = max(len(key) for key in item)
    for key, value in item.items():
        lines = _cell(value).splitlines() or [""]
        click.echo(f"{key:<{width}}  {lines[0]}")
        for line in lines[1:]:
            click.echo(f"{'':<{width}}  {line}")
    return 0


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        separator = "\n" if any(isinstance(item, Mapping) for item in value) else ", "
        return separator.join(_cell(item) for item in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_cell(item)}" for key, item in value.items())
    return str(value)


@click.group(short_help="What tasks there are, and where their data comes from.")
def tasks() -> None:
    """What tasks there are, and where their data comes from."""


@tasks.command("list")
@json_option
def list_tasks(as_json: bool) -> int:
    """List the tasks."""
    from assay.tasks.registry import find, names

    rows = []
    for name in names():
        task = find(name)
        rows.append({"name": name, "kind": task.kind, "scorer": task.scorers[0], "summary": task.summary})
    return _print_list("assay.tasks.v1", rows, ("name", "kind", "scorer", "summary"), as_json)


@tasks.command("show")
@click.argument("name")
@json_option
def show_task(name: str, as_json: bool) -> int:
    """Show one task: its sources with their pins, licence and origin, its prompt and scorers."""
    from assay.tasks.registry import find

    task = find(name)
    item = {
        "name": task.name,
        "version": task.version,
        "kind": task.kind,
        "summary": task.summary,
        "prompt": task.prompt,
        "scorers": list(task.scorers),
        "few_shot": task.few_shot,
        "max_tokens": task.max_tokens,
        "stop": [repr(stop) for stop in task.stop],
        "cluster": task.cluster,
        "sources": [
            {
                "where": str(source.where),
                "sha256": source.sha256,
                "licence": source.licence,
                "origin": source.origin,
            }
            for source in task.sources
        ],
    }
    return _print_item("assay.task.v1", item, as_json)


@click.group(short_help="What models and backends there are.")
def models() -> None:
    """What models and backends there are."""


@models.command("list")
@json_option
def list_models(as_json: bool) -> int:
    """List the built-in models and the backends."""
    from assay.models.registry import catalogue

    rows = [
        {"name": item.name, "needs": item.extra, "summary": item.summary, "usage": item.usage} for item in catalogue()
    ]
    return _print_list("assay.models.v1", rows, ("name", "usage", "needs", "summary"), as_json)


@models.command("show")
@click.argument("model")
@json_option
def show_model(model: str, as_json: bool) -> int:
    """Show one model: what pins it, what it can do, how large it is."""
    from dataclasses import asdict

    from assay.models.registry import make
    from assay.spec.schema import ModelSpec

    made = make(ModelSpec(model=model))
    size = made.size()
    item = {
        "name": made.name,
        "identity": dict(made.identity),
        "capabilities": asdict(made.capabilities),
        "size": asdict(size) if size else None,
        "local": made.local,
        "synthetic": made.synthetic,
    }
    return _print_item("assay.model.v1", item, as_json)


@click.group(short_help="What prompt templates there are.")
def prompts() -> None:
    """What prompt templates there are."""


@prompts.command("list")
@json_option
def list_prompts(as_json: bool) -> int:
    """List the built-in prompts; a path to a file of one's own works wherever a name does."""
    from assay.prompts.library import find, names

    found = [find(name) for name in names()]
    rows = [
        {
            "id": prompt.id,
            "version": prompt.version,
            "description": prompt.description,
            "digest": prompt.digest[:12],
        }
        for prompt in found
    ]
    return _print_list("assay.prompts.v1", rows, ("id", "version", "description", "digest"), as_json)


@prompts.command("show")
@click.argument("name")
@json_option
def show_prompt(name: str, as_json: bool) -> int:
    """Show one prompt, by name or path, with its template."""
    from assay.prompts.library import find

    prompt = find(name)
    return _print_item("assay.prompt.v1", {**prompt.to_json(), "digest": prompt.digest}, as_json)


@prompts.command("diff")
@click.argument("first")
@click.argument("second")
@click.option("--lines", is_flag=True, help="Compare whole lines; by default words.")
@json_option
def diff_prompts(first: str, second: str, lines: bool, as_json: bool) -> int:
    """Show how two prompts differ, by name or path: their versions, digests, and texts part by part.

    Ends with 0 where they ask the same and 1 where they do not. In the text, [-old-] is what only FIRST has and {+new+}
    what only SECOND has.
    """
    from assay.prompts.diff import diff
    from assay.prompts.library import find

    found = diff(find(first), find(second), "lines" if lines else "words")
    if as_json:
        print_json({"schema": "assay.prompt_diff.v1", **found.to_json()})
    else:
        _print_difference(found, lines)
    return 0 if found.same else 1


def _print_difference(found: Difference, lines: bool) -> None:
    for mark, prompt in (("-", found.first), ("+", found.second)):
        click.echo(f"{mark} {prompt.id}@{prompt.version}  {prompt.digest[:16]}  {prompt.origin.where}")
    if found.first.description != found.second.description:
        click.echo(f"description: {found.first.description} / {found.second.description}")
    for name, pieces in found.parts.items():
        click.secho(f"\n{name}:", bold=True)
        click.echo("".join(_marked(piece, lines) for piece in pieces).rstrip("\n"))
    if found.same:
        click.echo("both ask the same")
    for text in found.notes:
        note(f"note: {text}")


def _marked(piece: Piece, lines: bool) -> str:
    """A piece as wdiff writes it, or as diff does where whole lines are compared; coloured on a terminal."""
    colour = {"old": "red", "new": "green"}.get(piece.kind)
    if lines:
        sign = {"old": "-", "new": "+"}.get(piece.kind, " ")
        return "".join(click.style(f"{sign} {line}", fg=colour) + "\n" for line in piece.text.splitlines())
    if colour is None:
        return piece.text
    open_, close = ("[-", "-]") if piece.kind == "old" else ("{+", "+}")
    return click.style(f"{open_}{piece.text}{close}", fg=colour)
