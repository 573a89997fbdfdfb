"""The table on the terminal: what is anomalous, one row a cell, then what is to note.

It adapts to the width it is given: from 116 columns on every figure has a column of its own, below that a row
takes several lines. Nothing is said by colour alone, a terminal without Unicode gets plain ASCII, and
characters that steer a terminal are never passed on: labels may come from a model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from assay.records import Outcome
from assay.report.numbers import (
    MISSING,
    count,
    duration,
    figure,
    interval_of,
    latency,
    money,
    percent,
    primary_of,
    untimed,
    value_of,
    words,
)
from assay.report.scale import PERCENT

Cell = Mapping[str, Any]

_NAMES = ("model", "prompt")  # named once, in the heading, where all cells share them
_WIDE = 116
_BAR = 16


class Glyphs(NamedTuple):
    """What intervals and the line under the headings are drawn with."""

    track: str
    line: str
    dot: str
    box: box.Box


_RULED = "    \n    \n -- \n    \n    \n    \n    \n    \n"
_UNICODE = Glyphs("·", "━", "●", box.SIMPLE_HEAD)
_ASCII = Glyphs(".", "=", "O", box.Box(_RULED, ascii=True))
_PLAIN = str.maketrans({"–": "-", "·": "|", "─": "-", "…": "."})
_STEERING = {*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)} - {ord("\n")}
_SAFE = dict.fromkeys(_STEERING, "\ufffd")


class ResultsTable:
    """The results as something that rich can print at any width."""

    def __init__(self, results: Mapping[str, Any]) -> None:
        self.results = results

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        glyphs = _ASCII if options.ascii_only else _UNICODE
        cells = self.results["cells"]
        build = _wide if options.max_width >= _WIDE else _narrow
        parts: list[RenderableType] = [
            _heading(self.results),
            *(_anomaly(text) for text in self.results.get("anomalies", ())),
            Text(),
            build(cells, glyphs),
            *_flags(self.results),
        ]
        for part in parts:
            yield from (_safe(segment, options.ascii_only) for segment in console.render(part, options))


def table(results: Mapping[str, Any]) -> ResultsTable:
    """The content of results.json as a rich renderable: a heading, one row a cell, then the flags."""
    return ResultsTable(results)


def _heading(results: Mapping[str, Any]) -> Text:
    attempts = results["attempts"]
    text = Text(str(results["name"]), style="bold")
    text.append(f"  plan {str(results['plan'])[:8]}", style="not bold dim")
    finished, planned = count(attempts["finished"]), count(attempts["planned"])
    held = results.get("until") or {"decided": False}
    short = f"DECIDED ({held['verdict']}) after" if held["decided"] else "INCOMPLETE:"
    done = f"{finished} attempts" if results["complete"] else f"{short} {finished} of {planned} attempts"
    same = [names[0] for key in _NAMES if len(names := _distinct(results["cells"], key)) == 1]
    text.append(" · ".join(["", *same, done, *_time(results)]), style="not bold")
    if source := results.get("imported"):
        text.append(f" · imported from {source['tool']} {source['version']}")
    if results.get("synthetic"):
        text.append(" · SYNTHETIC: no gate accepts it")
    return text


def _time(results: Mapping[str, Any]) -> list[str]:
    """How long the run took; of given completions nobody here knows, and where they are from is said already."""
    if not untimed(results):
        return [duration(results.get("seconds"))]
    return [] if results.get("imported") else ["completions were given"]


def _anomaly(text: str) -> Text:
    """Stands above the rows: what is anomalous leaves no number to believe."""
    return Text.assemble(("ANOMALOUS", "bold red"), f": {text}")


def _distinct(cells: Sequence[Cell], key: str) -> list[str]:
    return list(dict.fromkeys(cell[key] for cell in cells))


def _varying(cells: Sequence[Cell]) -> list[str]:
    """What tells the cells apart: the task, and model and prompt where there are several."""
    return ["task", *(key for key in _NAMES if len(_distinct(cells, key)) > 1)]


def _wide(cells: Sequence[Cell], glyphs: Glyphs) -> Table:
    grid = _grid(glyphs)
    names = _varying(cells)
    for title in names:
        grid.add_column(title, overflow="fold")
    grid.add_column("n", justify="right", no_wrap=True)
    grid.add_column("score", no_wrap=True)
    grid.add_column("0 to 100%", no_wrap=True)
    grid.add_column("other metrics")
    grid.add_column("not ok")
    grid.add_column("p50 / p95", justify="right", no_wrap=True)
    grid.add_column("tokens/s", justify="right", no_wrap=True)
    priced = any(cell.get("cost") for cell in cells)
    if priced:
        grid.add_column("cost", justify="right", no_wrap=True)
    for cell in cells:
        row = [
            *(Text(cell[name]) for name in names),
            _size(cell),
            _score(cell),
            _bar(cell, glyphs),
            _others(cell),
            _not_ok(cell),
            Text(" / ".join(_latencies(cell))),
            Text(figure(cell.get("tokens_per_s"))),
        ]
        grid.add_row(*row, *([Text(money(cell.get("cost")))] if priced else []))
    return grid


def _narrow(cells: Sequence[Cell], glyphs: Glyphs) -> Table:
    grid = _grid(glyphs)
    grid.add_column("cell", overflow="fold", ratio=4)
    grid.add_column("n", justify="right", no_wrap=True)
    grid.add_column("score", ratio=5)
    grid.add_column("speed", no_wrap=True)
    names = _varying(cells)
    for cell in cells:
        name = Text("\n").join(Text(cell[key], style="" if index else "bold") for index, key in enumerate(names))
        parts = (_score(cell), _bar(cell, glyphs), _others(cell), _not_ok(cell))
        grid.add_row(name, _size(cell), Group(*(part for part in parts if part.plain)), _speed(cell))
    return grid


def _grid(glyphs: Glyphs) -> Table:
    return Table(box=glyphs.box, show_edge=False, header_style="dim", padding=(0, 1, 0, 0), pad_edge=False, leading=1)


def _size(cell: Cell) -> Text:
    """How many attempts were scored; of how many, where some were not. Of totals, the count that goes with them."""
    if not cell["planned"] and (metric := primary_of(cell)):
        return Text(count(metric.get("n")))
    short = cell["scored"] < cell["planned"]
    return Text(count(cell["scored"]) + (f" of {count(cell['planned'])}" if short else ""))


def _score(cell: Cell) -> Text:
    metric = primary_of(cell)
    if metric is None:
        return Text("not scored", style="dim")
    interval = interval_of(metric).replace("%", "")
    tail = f" ({interval})" if interval else ""
    return Text.assemble(f"{words(metric['name'])} ", (value_of(metric), "bold"), tail)


def _bar(cell: Cell, glyphs: Glyphs) -> Text:
    """A rate and its interval on a line from 0 to 100%; nothing for what is not a rate."""
    metric = primary_of(cell)
    if metric is None or metric["kind"] != "pass" or metric.get("value") is None:
        return Text()
    place: Callable[[float], int] = lambda value: round(PERCENT.share(value) * (_BAR - 1))  # noqa: E731
    marks = [glyphs.track] * _BAR
    if interval_of(metric):
        for index in range(place(metric["low"]), place(metric["high"]) + 1):
            marks[index] = glyphs.line
    marks[place(metric["value"])] = glyphs.dot
    return Text("".join(marks))


def _others(cell: Cell) -> Text:
    others = [metric for metric in cell["metrics"] if not metric.get("primary")]
    return Text("\n".join(f"{words(metric['name'])} {value_of(metric)}" for metric in others))


def _not_ok(cell: Cell) -> Text:
    """The outcomes that are not ok, each with its share; marked by `!` as well as by colour."""
    finished = max(cell["finished"], 1)
    found = [
        f"{words(name)} {percent(number / finished)}"
        for name in Outcome
        if name != Outcome.OK and (number := cell["outcomes"].get(name, 0))
    ]
    return Text(f"! {', '.join(found)}" if found else "", style="bold yellow")


def _latencies(cell: Cell) -> list[str]:
    times = cell.get("latency_s")
    return [latency(times[name]) for name in ("p50", "p95")] if times else [MISSING]


def _speed(cell: Cell) -> Text:
    times = _latencies(cell)
    lines = [f"p50 {times[0]}", f"p95 {times[1]}"] if len(times) == 2 else []
    lines += [f"{figure(cell['tokens_per_s'])} tok/s"] if cell.get("tokens_per_s") is not None else []
    lines += [money(cell["cost"])] if cell.get("cost") else []
    return Text("\n".join(lines))


def _flags(results: Mapping[str, Any]) -> list[Text]:
    names = {cell["cell"]: " · ".join((cell["model"], cell["prompt"], cell["task"])) for cell in results["cells"]}
    flags = [_flag(flag, names.get(flag.get("cell"))) for flag in results.get("flags") or ()]
    return [Text(), *flags] if flags else []


def _flag(flag: Mapping[str, Any], where: str | None) -> Text:
    style = {"warning": "bold yellow", "error": "bold red"}.get(flag["level"], "bold")
    return Text.assemble((flag["level"], style), f": {flag['message']}", f" ({where})" if where else "")


def _safe(segment: Segment, ascii_only: bool) -> Segment:
    """The same piece without characters that steer the terminal, or that it cannot show."""
    if segment.control:
        return segment
    text = segment.text.translate(_SAFE)
    if ascii_only:
        text = text.translate(_PLAIN).encode("ascii", "replace").decode()
    return Segment(text, segment.style)
