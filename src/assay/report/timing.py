"""Latency of each cell as a distribution, and the whole run's throughput over time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from assay.report.markup import Markup, join, tag
from assay.report.numbers import count, duration, figure, latency
from assay.report.rows import Cell, axis, cell_labels, drawing, grid, plot, row, vertical
from assay.report.scale import Scale, linear, logarithmic

_HEIGHT = 46
_PANEL = 150
_BINS = 48


class Bin(NamedTuple):
    """Attempts that took between `low` and `high` seconds."""

    low: float
    high: float
    number: int


def latencies(cells: Sequence[Cell]) -> Markup:
    """One distribution a cell on a common axis, with its median and 95th percentile."""
    timed = [cell for cell in cells if cell.get("latency_s") and bins(cell)]
    if not timed:
        return tag("p", "No attempt was timed.", class_="note")
    scale = _scale([found for cell in timed for found in bins(cell)])
    names = cell_labels(timed)
    rows = [row(names[cell["cell"]], _histogram(cell, scale), _percentiles(cell)) for cell in timed]
    return plot(rows, axis(scale, latency), kind="histograms")


def bins(cell: Cell) -> list[Bin]:
    """A cell's histogram as bins that hold something.

    The results give upper edges alone, evenly spaced on a logarithmic scale; so the first bin begins as far
    below its edge as the second edge lies above it.
    """
    buckets = cell["latency_histogram"]
    if not buckets:
        return []
    edges = [edge for edge, _ in buckets]
    step = edges[1] / edges[0] if len(edges) > 1 else 10**0.1
    lows = [edges[0] / step, *edges]
    return [Bin(low, edge, number) for low, (edge, number) in zip(lows, buckets, strict=False) if number]


def _scale(found: Sequence[Bin]) -> Scale:
    return logarithmic(min(each.low for each in found), max(each.high for each in found))


def _histogram(cell: Cell, scale: Scale) -> Markup:
    found = bins(cell)
    most = max(each.number for each in found)
    shapes = [_rect(scale, each, most) for each in found]
    median = vertical(scale.at(cell["latency_s"]["p50"]), _HEIGHT, "median")
    return drawing(_HEIGHT, grid(scale, _HEIGHT), shapes, median)


def _rect(scale: Scale, found: Bin, most: int) -> Markup:
    """A bar as high as its number of attempts; bins are equally wide on this axis."""
    left, right = scale.share(found.low), scale.share(found.high)
    tall = max(1.0, found.number / most * (_HEIGHT - 4))
    return tag(
        "rect",
        tag("title", f"{latency(found.low)} to {latency(found.high)}: {count(found.number)}"),
        x=f"{100 * left:.2f}%",
        width=f"{100 * (right - left):.2f}%",
        y=f"{_HEIGHT - tall:.1f}",
        height=f"{tall:.1f}",
        class_="bar",
    )


def _percentiles(cell: Cell) -> Markup:
    found = cell["latency_s"]
    return join(
        tag("b", latency(found["p50"]), " median"),
        tag("span", f"95% in {latency(found['p95'])}, max {latency(found['max'])}"),
    )


def throughput(points: Sequence[Sequence[float]]) -> Markup:
    """Attempts finished, and tokens and attempts per second, over the time of the run."""
    if len(points) < 2:
        return tag("p", "The run was too short to show its course.", class_="note")
    times, finished, tokens = zip((0.0, 0, 0), *points, strict=True)
    panels = [
        _panel("Attempts finished", count(finished[-1]), times, list(zip(times, finished, strict=True)), count),
        _panel("Attempts per second", _mean(times, finished), times, _rates(times, finished), figure),
        _panel("Tokens out per second", _mean(times, tokens), times, _rates(times, tokens), figure),
    ]
    return tag("div", panels, class_="panels")


def _mean(times: Sequence[float], totals: Sequence[float]) -> str:
    return f"{figure((totals[-1] - totals[0]) / (times[-1] - times[0]))} on average"


def _rates(times: Sequence[float], totals: Sequence[float]) -> list[tuple[float, float]]:
    """Steps of equal length: what was gained per second in each, both of its ends given."""
    number = min(_BINS, len(times) - 1)
    step = (times[-1] - times[0]) / number
    edges = [times[0] + index * step for index in range(number + 1)]
    levels = [_interpolated(times, totals, edge) for edge in edges]
    steps: list[tuple[float, float]] = []
    for index in range(number):
        rate = (levels[index + 1] - levels[index]) / step
        steps += [(edges[index], rate), (edges[index + 1], rate)]
    return steps


def _interpolated(times: Sequence[float], totals: Sequence[float], when: float) -> float:
    after = min(max(bisect_right(times, when), 1), len(times) - 1)
    start, end = times[after - 1], times[after]
    share = (when - start) / (end - start) if end > start else 1.0
    return totals[after - 1] + min(max(share, 0.0), 1.0) * (totals[after] - totals[after - 1])


def _panel(
    title: str,
    summary: str,
    times: Sequence[float],
    points: Sequence[tuple[float, float]],
    text: Callable[[float | None], str],
) -> Markup:
    """One small area plot: its figure in words above, time below."""
    across = Scale(times[0], times[-1], ())
    up = linear([value for _, value in points], zero=True)
    path = " ".join(f"{1000 * across.share(time):.1f},{100 - 100 * up.share(value):.2f}" for time, value in points)
    shape: dict[str, Any] = {
        "viewBox": "0 0 1000 100",
        "preserveAspectRatio": "none",
        "width": "100%",
        "height": "100%",
    }
    area = tag("svg", tag("polygon", points=f"0,100 {path} 1000,100"), tag("polyline", points=path), **shape)
    levels = [_level(up, tick, text(tick)) for tick in up.ticks[1:]]
    return tag(
        "figure",
        tag("figcaption", tag("b", title), tag("span", summary)),
        drawing(_PANEL, [line for line, _ in levels], area, [text for _, text in levels], class_="area"),
        tag("p", tag("span", duration(times[0])), tag("span", duration(times[-1])), class_="ends"),
    )


def _level(up: Scale, value: float, text: str) -> tuple[Markup, Markup]:
    y = (1 - up.share(value)) * _PANEL
    line = tag("line", x1=0, x2="100%", y1=f"{y:.1f}", y2=f"{y:.1f}", class_="grid")
    return line, tag("text", text, x=0, y=f"{y + 12:.1f}")
