"""The plots of scores: one a task and metric, every model and prompt on the same axis."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from assay.report.markup import Markup, join, tag
from assay.report.numbers import count, figure, interval_of, value_of, words
from assay.report.rows import Cell, axis, cell_labels, drawing, grid, plot, row, vertical
from assay.report.scale import PERCENT, Scale, linear

Shown = tuple[Cell, dict[str, Any]]
"""A cell and one metric of it."""

_HEIGHT = 42
_METHODS = {"wilson": "Wilson", "clopper-pearson": "Clopper–Pearson", "t": "Student t"}


def scores(cells: Sequence[Cell]) -> Markup:
    """A card a task: its primary metric at full size, the others folded away below it."""
    tasks = dict.fromkeys(cell["task"] for cell in cells)
    cards = [_card(task, [cell for cell in cells if cell["task"] == task]) for task in tasks]
    return tag("div", cards, class_="cards")


def _card(task: str, cells: list[Cell]) -> Markup:
    names = dict.fromkeys(metric["name"] for cell in cells for metric in cell["metrics"])
    facets = [_facet(task, name, cells) for name in sorted(names, key=lambda name: not _leads(name, cells))]
    if not facets:
        return tag("article", tag("h3", task), tag("p", "Not scored.", class_="note"), class_="card")
    first, *others = facets
    more = tag("details", tag("summary", _more(len(others))), others) if others else None
    return tag("article", first, more, class_="card")


def _more(number: int) -> str:
    return f"{number} more metric{'s' if number > 1 else ''}"


def _leads(name: str, cells: Iterable[Cell]) -> bool:
    return any(metric["name"] == name and metric.get("primary") for cell in cells for metric in cell["metrics"])


def _facet(task: str, name: str, cells: Sequence[Cell]) -> Markup:
    shown = [(cell, metric) for cell in cells for metric in cell["metrics"] if metric["name"] == name]
    first = shown[0][1]
    heading = tag("h3", task, " ", tag("span", words(name)), title=first.get("help") or None)
    body = _labels(shown) if first["kind"] == "label" else intervals(shown)
    return tag("section", heading, tag("p", caption(shown), class_="note"), body, class_="facet")


def caption(shown: Sequence[Shown]) -> str:
    """What the bars are: method and confidence, sizes, direction."""
    methods = dict.fromkeys(
        f"{_level(metric['confidence'])} {_method(metric['method'])} interval"
        for _, metric in shown
        if interval_of(metric) and metric.get("method")
    )
    lower = ["lower is better"] if shown[0][1].get("higher_is_better") is False else []
    return " · ".join([*methods, *_sizes(shown, "n"), *_clusters(shown), *lower])


def _sizes(shown: Sequence[Shown], key: str) -> list[str]:
    """`n 60`, or `n 53 to 60` where cells differ; nothing where it is not known."""
    known = sorted({metric[key] for _, metric in shown if metric.get(key) is not None})
    ends = dict.fromkeys((known[0], known[-1])) if known else ()
    return [f"{key} {' to '.join(count(size) for size in ends)}"] if known else []


def _clusters(shown: Sequence[Shown]) -> list[str]:
    """How many clusters the attempts fall into, where that is not one each."""
    apart = all(metric.get("clusters") in (None, metric.get("n")) for _, metric in shown)
    return [] if apart else _sizes(shown, "clusters")


def _method(name: str) -> str:
    base = name.removesuffix("-clustered")
    return _METHODS.get(base, words(base)) + ("" if base == name else ", clustered")


def _level(share: float) -> str:
    """A confidence level: `95%`."""
    return f"{100 * share:g}%"


def _labels(shown: Sequence[Shown]) -> Markup:
    names = cell_labels([cell for cell, _ in shown])
    rows = [row(names[cell["cell"]], tag("span", value_of(metric)), Markup("")) for cell, metric in shown]
    return plot(rows, kind="labels")


def intervals(shown: Sequence[Shown]) -> Markup:
    """The values of one metric with their intervals, on one axis."""
    rate = shown[0][1]["kind"] == "pass"
    scale = PERCENT if rate else _span(shown)
    chances = {cell.get("chance") for cell, metric in shown if metric.get("primary")} - {None}
    chance = chances.pop() if rate and len(chances) == 1 else None
    names = cell_labels([cell for cell, _ in shown], ("model", "prompt"))
    rows = [row(names[cell["cell"]], _interval(metric, scale, chance), _value(metric)) for cell, metric in shown]
    return plot(rows, axis(scale, _percent_tick if rate else figure, chance), kind="intervals")


def _percent_tick(share: float) -> str:
    return f"{100 * share:.0f}%"


def _span(shown: Sequence[Shown]) -> Scale:
    parts = [metric.get(key) for _, metric in shown for key in ("value", "low", "high")]
    return linear([part for part in parts if part is not None])


def _value(metric: dict[str, Any]) -> Markup:
    interval = interval_of(metric)
    return join(tag("b", value_of(metric)), tag("span", interval) if interval else None)


def _interval(metric: dict[str, Any], scale: Scale, chance: float | None) -> Markup:
    middle, low, high, value = _HEIGHT // 2, metric.get("low"), metric.get("high"), metric.get("value")
    shapes = grid(scale, _HEIGHT)
    if chance is not None:
        shapes.append(vertical(scale.at(chance), _HEIGHT, "chance"))
    if low is not None and high is not None:
        shapes.append(tag("line", x1=scale.at(low), x2=scale.at(high), y1=middle, y2=middle, class_="interval"))
    if value is not None:
        shapes.append(tag("circle", cx=scale.at(value), cy=middle, r=5, class_="dot"))
    return drawing(_HEIGHT, shapes)
