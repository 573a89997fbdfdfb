"""`assay board`: a leaderboard over sealed runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from assay.cli.output import console, json_option, note, print_json
from assay.cli.track import chosen, experiment_options, required

if TYPE_CHECKING:
    from rich.table import Table

    from assay.report.board import Board
    from assay.report.board_entries import Part
    from assay.report.board_page import Looked, Remark
    from assay.run.sums import RunSums

_RUN = click.Path(path_type=Path, file_okay=False)
_FILE = click.Path(path_type=Path, dir_okay=False)
SHOWN = 40
"""How many samples the page lets one look into."""

MOST_ANSWERS = 2_000
"""How many answers the page carries at most."""


def _keys(ctx: click.Context, parameter: click.Parameter, value: str) -> tuple[str, ...]:
    """The names in `--by`, each once."""
    keys = tuple(dict.fromkeys(part.strip() for part in value.split(",")))
    if not set(keys) <= {"model", "prompt"}:
        raise click.BadParameter(f"{value!r}: allowed are model, prompt, or both with a comma between")
    return keys


@click.command("board", short_help="Rank the cells of sealed runs: means, intervals, and who may be best.")
@click.argument("runs", type=_RUN, nargs=-1, metavar="RUN...")
@experiment_options
@click.option("--by", default="model,prompt", show_default=True, callback=_keys, metavar="KEYS", help="What is ranked.")
@click.option(
    "--metric",
    metavar="NAME",
    help="What it is ranked by: a scorer's metric, or a judged one such as composite; by default the composite of a "
    "task that is judged, and any other's primary metric.",
)
@click.option("--task", "tasks", multiple=True, metavar="NAME", help="Only this task; may be repeated.")
@click.option("--csv", type=_FILE, help="Write the board as CSV.")
@click.option("--markdown", type=_FILE, help="Write the board as Markdown.")
@click.option("--html", type=_FILE, help="Write a page: heat map, intervals, and samples to look into.")
@json_option
def board(
    runs: tuple[Path, ...],
    experiment: str | None,
    uri: str | None,
    by: tuple[str, ...],
    metric: str | None,
    tasks: tuple[str, ...],
    csv: Path | None,
    markdown: Path | None,
    html: Path | None,
    as_json: bool,
) -> int:
    """Rank the cells of sealed runs, joined by task and sample; of RUN..., or of all that an MLflow experiment holds.

    Ranks rest on the samples that all entries have scores of, and say how sure they are: the ranks that the data leave
    open, how often an entry would lead, and which cannot be told apart. What is missing or not comparable is said.
    """
    from assay.evidence.board import contents, read
    from assay.report.board import make

    required(runs, experiment)
    made = make([read(path) for path in chosen(runs, uri, experiment)], by, metric, tasks, contents)
    written = _write(made, csv, markdown, html)
    if as_json:
        print_json({**made.document, "files": written})
        return 0
    _print(made.document)
    for kind, path in written.items():
        note(f"{kind}: {path}")
    return 0


def _write(made: Board, csv: Path | None, markdown: Path | None, html: Path | None) -> dict[str, str]:
    """Write what was asked for; returns where each is. Raises MachineError where one cannot be written."""
    from assay.errors import MachineError
    from assay.files import write_atomic
    from assay.report import board_text

    asked = {"csv": (csv, board_text.as_csv), "markdown": (markdown, board_text.as_markdown)}
    try:
        for path, text in asked.values():
            if path:
                write_atomic(path, text(made.document).encode("utf-8", "replace"))
        if html:
            from assay.report.board_page import write

            write(html, made.document, _looked(made))
    except OSError as error:
        raise MachineError(f"cannot write {error.filename}", layer="board", errno=error.errno) from error
    return {name: str(path) for name, path in (("csv", csv), ("markdown", markdown), ("html", html)) if path}


def _print(document: Mapping[str, Any]) -> None:
    screen = console()
    names, rows = _shown(document, screen.width)
    screen.print(_table(names, rows))
    if document["winner"]:
        click.echo(f"\n{document['winner']['statement']}.")
    for text in document["notes"]:
        note(f"note: {text}")


def _shown(document: Mapping[str, Any], width: int) -> tuple[list[str], list[list[str]]]:
    """Headings and lines: rank and ranks, the entry's names, score and interval each in one column of two lines.

    Columns that say nothing of any entry are left out, and so are further metrics for which there is no room.
    """
    from assay.report.board_text import cells, columns, others

    names = columns(document)
    rows = [dict(zip(names, cells(entry, document), strict=True)) for entry in document["entries"]]
    keys = [name for name in ("model", "prompt", "run") if name in names]
    score = names[names.index("interval") - 1]
    doubled = {*keys, "rank", "ranks", score, "interval"}
    rest = [name for name in names if name not in doubled and any(row[name] not in ("–", "0") for row in rows)]
    sizes = {name: 2 + max(len(name), *(len(row[name]) for row in rows)) for name in (*rest, score, "interval")}
    room = width - 30 - max(sizes.pop(score), sizes.pop("interval"))
    for name in reversed([name for name in others(document).values() if name in rest]):
        if sum(sizes[kept] for kept in rest) > room:
            rest.remove(name)
    return ["rank", "entry", score, *rest], [
        [
            row["rank"] if row["ranks"] in (row["rank"], "–") else f"{row['rank']}\n{row['ranks']}",
            "\n".join(row[key] for key in keys),
            row[score] if row["interval"] == "–" else f"{row[score]}\n{row['interval']}",
            *(row[name] for name in rest),
        ]
        for row in rows
    ]


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        entry = name == "entry"
        table.add_column(name, justify="left" if entry else "right", overflow="fold", no_wrap=not entry)
    for row in rows:
        table.add_row(*row)
    return table


def _looked(made: Board) -> list[Looked]:
    """The samples to look into: those that all entries share and on which they differ most, with their answers."""
    from assay.report.board_page import Answer, Looked

    order = [entry["entry"] for entry in made.document["entries"] if entry["value"] is not None]
    chosen = _spread(made, order)
    asked, texts, said = _texts(made, order, chosen)
    found = []
    for column in chosen:
        answers = tuple(
            Answer(
                made.entries[entry].label,
                float(made.sums[entry, column] / made.counts[entry, column]),
                texts.get((entry, column)),
                tuple(said.get((entry, column), ())),
            )
            for entry in order
        )
        task = made.tasks[int(made.task[column])]
        found.append(Looked(task, made.names[column], asked.get(column, ""), answers))
    return found


def _spread(made: Board, order: Sequence[int]) -> list[int]:
    """The columns that all have, the widest apart first."""
    import numpy as np

    if not order:
        return []
    shared = np.flatnonzero((made.counts[order] > 0).all(axis=0))
    means = made.sums[order][:, shared] / made.counts[order][:, shared]
    apart = means.max(axis=0) - means.min(axis=0)
    most = min(SHOWN, max(1, MOST_ANSWERS // len(order)))
    return [int(shared[place]) for place in np.argsort(-apart, kind="stable")[:most]]


def _texts(
    made: Board, order: Sequence[int], columns: Sequence[int]
) -> tuple[dict[int, str], dict[tuple[int, int], str], dict[tuple[int, int], list[Remark]]]:
    """What these columns ask, each entry's first stored answer there, and what judges said of that."""
    from assay.evidence.board import answers, inputs

    asked: dict[int, str] = {}
    wanted: dict[int, tuple[Part, dict[int, tuple[int, int]]]] = {}
    for entry in order:
        for part in made.entries[entry].parts:
            places = _first(made, part, columns)
            known = inputs(part.run, part.task, [place for column, place in places.items() if column not in asked])
            asked |= {column: known[place] for column, place in places.items() if column not in asked}
            held = wanted.setdefault(id(part.run), (part, {}))[1]
            for column, place in places.items():
                held.setdefault(_index(part, place), (entry, column))
    texts: dict[tuple[int, int], str] = {}
    said: dict[tuple[int, int], list[Remark]] = {}
    for part, held in wanted.values():
        found = {held[index]: (index, text) for index, text in answers(part.run, held).items()}
        texts |= {place: text for place, (_, text) in found.items() if place not in texts}
        for index, remark in _remarks(made, part.run, [index for index, _ in found.values()]):
            said.setdefault(held[index], []).append(remark)
    return asked, texts, said


def _remarks(made: Board, run: RunSums, wanted: Sequence[int]) -> Iterator[tuple[int, Remark]]:
    """What judges said of these attempts of a run, by the rubrics that the board ranks by."""
    from assay.evidence.board import remarks

    for digest in dict.fromkeys(made.metric.rubrics.values()):
        for index, found in remarks(run, digest, wanted).items():
            yield from ((index, remark) for remark in found)


def _first(made: Board, part: Part, columns: Sequence[int]) -> dict[int, int]:
    """The first sample of a part in each of these columns that it has, by column."""
    held = made.columns_of(part).tolist()
    wanted = set(columns)
    found: dict[int, int] = {}
    for position, column in enumerate(held):
        if column in wanted:
            found.setdefault(column, position)
    return found


def _index(part: Part, position: int) -> int:
    """The plan's index of a sample's first attempt."""
    plan = part.run.plan
    counts = plan.tasks[part.task].counts
    return plan.starts[part.cell] + (sum(counts[:position]) if counts else position)
