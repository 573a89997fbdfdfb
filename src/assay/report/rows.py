"""Rows of a plot: a label, a drawing as wide as the page allows, and the numbers it shows.

Drawings place everything by per cent of their own width and take their colours from the style sheet. So they
fit a phone without shrinking their text, follow the light and dark scheme, and need no script and no library.
The numbers stand beside each drawing as text, so that nothing is said by the drawing alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from assay.report.markup import Markup, join, tag
from assay.report.scale import Scale

Cell = Mapping[str, Any]


def cell_name(cell: Cell) -> str:
    """A cell in full: `model · prompt · task`."""
    return f"{cell['model']} · {cell['prompt']} · {cell['task']}"


def cell_parts(cells: Sequence[Cell], keys: Sequence[str] = ("model", "prompt", "task")) -> dict[int, list[str]]:
    """The parts of each cell's name that differ between these cells, and at least one."""
    varying = [key for key in keys if len({cell[key] for cell in cells}) > 1] or [keys[0]]
    return {cell["cell"]: [cell[key] for key in varying] for cell in cells}


def cell_labels(cells: Sequence[Cell], keys: Sequence[str] = ("model", "prompt", "task")) -> dict[int, Markup]:
    """A label for each cell that names only what differs between them, the first part foremost."""
    return {cell: _label(parts) for cell, parts in cell_parts(cells, keys).items()}


def _label(parts: Sequence[str]) -> Markup:
    first, *others = parts
    return join(tag("b", first), [tag("span", part) for part in others])


def row(label: Markup, drawing: Markup, value: Markup) -> Markup:
    """One row of a plot."""
    return tag(
        "li",
        tag("span", label, class_="label"),
        tag("div", drawing, class_="track"),
        tag("span", value, class_="value"),
    )


def plot(rows: Sequence[Markup], axis: Markup | None = None, *, kind: str) -> Markup:
    """The rows of a plot over its axis."""
    foot = axis and tag("li", tag("div", axis, class_="track"), class_="axis", aria_hidden="true")
    return tag("ul", rows, foot, class_=f"rows {kind}")


def drawing(height: int, *shapes: Markup | Sequence[Markup] | None, **attributes: Any) -> Markup:
    """An SVG of full width and `height` pixels; `aria-hidden`, since the row's text says the same."""
    return tag("svg", *shapes, width="100%", height=height, aria_hidden="true", **attributes)


def vertical(x: str, height: int, class_: str) -> Markup:
    """A line from top to bottom at `x`."""
    return tag("line", x1=x, x2=x, y1=0, y2=height, class_=class_)


def grid(scale: Scale, height: int) -> list[Markup]:
    """The axis's ticks as lines through a drawing."""
    return [vertical(scale.at(tick), height, "grid") for tick in scale.ticks]


def axis(scale: Scale, text: Callable[[float], str], chance: float | None = None) -> Markup:
    """The axis's figures; with `chance`, where guessing would end up."""
    mark = chance is not None and tag("text", "chance", x=scale.at(chance), y=30, class_="chance", text_anchor="middle")
    return drawing(34 if mark else 20, [_tick(scale, tick, text(tick)) for tick in scale.ticks], mark or None)


def _tick(scale: Scale, value: float, text: str) -> Markup:
    share = scale.share(value)
    anchor = "start" if share < 0.02 else "end" if share > 0.98 else "middle"
    return tag("text", text, x=scale.at(value), y=14, text_anchor=anchor)


def legend(items: Sequence[tuple[str, str]]) -> Markup:
    """Swatches and what they stand for: pairs of (style class, words)."""
    return tag("p", [tag("span", tag("i", class_=class_), words) for class_, words in items], class_="legend")
