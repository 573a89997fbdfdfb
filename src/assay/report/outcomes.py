"""How the attempts of each cell ended, as stacked bars."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from assay.records import Outcome
from assay.report.markup import Markup, join, tag
from assay.report.numbers import count, percent, words
from assay.report.rows import Cell, cell_labels, drawing, legend, plot, row

UNFINISHED = "unfinished"
_ORDER = (*Outcome, UNFINISHED)
_HEIGHT = 18


def counts(cell: Cell) -> dict[str, int]:
    """A cell's attempts by outcome in the order of the vocabulary, with those not finished at the end."""
    found = {str(name): number for name in Outcome if (number := cell["outcomes"].get(name, 0))}
    left = cell["planned"] - cell["finished"]
    return {**found, UNFINISHED: left} if left > 0 else found


def outcomes(cells: Sequence[Cell]) -> Markup:
    """One bar a cell over all its planned attempts, and a legend of the outcomes that occurred."""
    names = cell_labels(cells)
    rows = [row(names[cell["cell"]], _bar(cell), _value(cell)) for cell in cells]
    seen = {name for cell in cells for name in counts(cell)}
    key = legend([(f"o-{name}", words(name)) for name in _ORDER if name in seen])
    return join(key, plot(rows, kind="bars"))


def _bar(cell: Cell) -> Markup:
    others = [_words(cell, name, number) for name, number in counts(cell).items() if name != Outcome.OK]
    note = tag("p", " · ".join(others)) if others else None
    return join(drawing(_HEIGHT, list(_segments(cell))), note)


def _words(cell: Cell, name: str, number: int) -> str:
    """An outcome and its share of the finished attempts; what is not finished has none."""
    share = "" if name == UNFINISHED else f" ({percent(number / cell['finished'])})"
    return f"{words(name)} {count(number)}{share}"


def _segments(cell: Cell) -> Iterator[Markup]:
    start, total = 0, max(cell["planned"], 1)
    for name, number in counts(cell).items():
        title = tag("title", f"{words(name)}: {count(number)} of {count(total)}")
        yield tag(
            "rect",
            title,
            x=f"{100 * start / total:.3f}%",
            width=f"{100 * number / total:.3f}%",
            height=_HEIGHT,
            class_=f"o-{name}",
        )
        start += number


def _value(cell: Cell) -> Markup:
    finished = cell["finished"]
    share = cell["outcomes"].get(Outcome.OK, 0) / finished if finished else None
    return tag("b", f"{percent(share)} ok")
