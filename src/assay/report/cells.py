"""The table of cells: every number of the results, sortable by any column."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from assay.records import Outcome
from assay.report.markup import Markup, join, tag
from assay.report.numbers import (
    MISSING,
    count,
    figure,
    interval_of,
    latency,
    money,
    percent,
    primary_of,
    tokens,
    value_of,
    words,
)
from assay.report.rows import Cell, cell_name


class Field(NamedTuple):
    """What one column shows of a cell, and what it is sorted by (None goes last)."""

    text: str | Markup
    sort: float | str | None


class Column(NamedTuple):
    """A column: its heading and how it reads a cell."""

    title: str
    read: Callable[[Cell], Field]
    numeric: bool = True


def table(cells: Sequence[Cell]) -> Markup:
    """All cells as one table that scrolls sideways in its own box."""
    shown = [column for column in _columns(cells) if any(column.read(cell).text != MISSING for cell in cells)]
    head = tag("thead", tag("tr", [_heading(column) for column in shown]))
    body = tag("tbody", [tag("tr", [_field(column, cell) for column in shown]) for cell in cells])
    caption = tag("caption", "Every cell of the run. Choose a heading to sort by it.")
    return tag(
        "div",
        tag("table", caption, head, body, class_="cells"),
        class_="scroll",
        tabindex=0,
        role="region",
        aria_label="Table of cells",
    )


def _heading(column: Column) -> Markup:
    button = tag("button", column.title, type="button")
    return tag("th", button, scope="col", class_="number" if column.numeric else None)


def _field(column: Column, cell: Cell) -> Markup:
    field = column.read(cell)
    if column.title == "task":
        link = tag("a", field.text, href="#samples", data_cell=cell["cell"], title=f"Samples: {cell_name(cell)}")
        return tag("th", link, scope="row", data_sort=field.sort)
    return tag("td", field.text, data_sort=field.sort, class_="number" if column.numeric else None)


def _columns(cells: Sequence[Cell]) -> list[Column]:
    others = dict.fromkeys(metric["name"] for cell in cells for metric in cell["metrics"] if not metric.get("primary"))
    return [
        *(_name(key) for key in ("task", "model", "prompt") if key == "task" or _varies(cells, key)),
        Column("score", _score),
        *(Column(words(name), _metric(name)) for name in others),
        Column("finished", _finished),
        Column("scored", _number("scored", count)),
        Column("not ok", _not_ok),
        Column("median", _percentile("p50")),
        Column("95%", _percentile("p95")),
        Column("99%", _percentile("p99")),
        Column("tokens/s", _number("tokens_per_s", figure)),
        Column("requests/s", _number("requests_per_s", figure)),
        Column("tokens in", lambda cell: _tokens(cell, "in")),
        Column("tokens out", lambda cell: _tokens(cell, "out")),
        Column("tries", _number("tries", count)),
        Column("cached", _number("cached", count)),
        Column("cost", _cost),
    ]


def _varies(cells: Sequence[Cell], key: str) -> bool:
    """Whether a column of names tells anything; what is the same everywhere stands in the page's header."""
    return len({cell[key] for cell in cells}) > 1


def _name(key: str) -> Column:
    return Column(key, lambda cell: Field(cell[key], cell[key]), numeric=False)


def _score(cell: Cell) -> Field:
    metric = primary_of(cell)
    return _metric_field(metric, named=True) if metric else Field(MISSING, None)


def _metric(name: str) -> Callable[[Cell], Field]:
    def read(cell: Cell) -> Field:
        found = next((m for m in cell["metrics"] if m["name"] == name and not m.get("primary")), None)
        return _metric_field(found) if found else Field(MISSING, None)

    return read


def _metric_field(metric: Mapping[str, Any], *, named: bool = False) -> Field:
    interval = interval_of(metric)
    small = [words(metric["name"])] if named else []
    small += [interval] if interval else []
    text = join(tag("b", value_of(metric)), tag("small", " ".join(small)) if small else None)
    return Field(text, metric.get("value"))


def _finished(cell: Cell) -> Field:
    done, planned = cell["finished"], cell["planned"]
    return Field(count(done) if done == planned else f"{count(done)} of {count(planned)}", done)


def _not_ok(cell: Cell) -> Field:
    bad = sum(number for name, number in cell["outcomes"].items() if name != Outcome.OK)
    if not cell["finished"]:
        return Field(MISSING, None)
    share = bad / cell["finished"]
    return Field(tag("b", percent(share), class_="warn") if bad else percent(0), share)


def _percentile(name: str) -> Callable[[Cell], Field]:
    def read(cell: Cell) -> Field:
        value = (cell.get("latency_s") or {}).get(name)
        return Field(latency(value), value)

    return read


def _number(name: str, text: Callable[[float | None], str]) -> Callable[[Cell], Field]:
    return lambda cell: Field(text(cell.get(name)), cell.get(name))


def _tokens(cell: Cell, key: str) -> Field:
    number = tokens(cell, key)
    if number is None:
        return Field(MISSING, None)
    missing = cell["tokens"].get("unknown")
    return Field(join(count(number), tag("small", f"{count(missing)} unknown") if missing else None), number)


def _cost(cell: Cell) -> Field:
    cost = cell.get("cost")
    return Field(money(cost), cost["amount"] if cost else None)
