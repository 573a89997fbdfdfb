"""The candidates of a release: a table of what each came to, and plots of size against loss and speed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from assay.release import wording
from assay.release.contents import Contents, Document
from assay.release.folder import BASELINE
from assay.release.losses import allowed, loss
from assay.release.report_parts import badge, note, table
from assay.report.markup import Markup, join, tag
from assay.report.numbers import MISSING, figure
from assay.report.rows import axis, drawing
from assay.report.scale import Scale, linear

_HEIGHT, _EDGE, _LINE = 260, 22, 14
_NARROW = 300.0
"""Pixels of the narrowest drawing: labels that would meet there are set apart."""
_MOVES = (0, 14, -14, 28, -28, 42, -42, 56, -56)
"""How far down a label goes where there is no room beside its mark, in the order in which it is tried."""
_AXES = {"bytes": "size", "loss": "loss", "tokens_per_s": "speed"}
_COLUMNS = ("candidate", "verdict", "size", "ratio", "linear", "coverage", "tokens/s", "loss and interval", "ended at")


def candidates(contents: Contents) -> Markup:
    """The table, the source first."""
    rows = [_source(contents), *(_row(contents, point) for point in contents.candidates)]
    title = "Ratio: bytes of the weights over the source's; linear: of the linear layers alone."
    about = note(
        "Loss: how much worse than the source, in points of a rate or the metric's own units; below 0 is a gain. "
        "The interval has the bounds that the verdict rests on; the margin is the largest loss that is allowed. "
        "Tokens per second were read once, while each was served; no gate holds them."
    )
    return join(table(title, _COLUMNS, rows, numbers=(2, 3, 4, 5, 6), wide=(7, 8)), about)


def _source(contents: Contents) -> list[Markup | str]:
    speed, source = contents.fact("deploy", BASELINE, "tokens_per_s"), contents.decision["source"]
    sizes = (wording.size(source.get("bytes")), "1", "1", MISSING)
    return ["source", tag("small", "baseline"), *sizes, figure(speed), MISSING, MISSING]


def _row(contents: Contents, point: Document) -> list[Markup | str]:
    name = str(point["candidate"])
    chosen = tag("small", "recommended") if point is contents.recommended else None
    kind = tag("small", point["failure_class"], class_="kind") if point["failure_class"] else None
    instead = point["instead"].get("candidate")
    patched = tag("small", f"{instead} was tried in its place: {point['instead'].get('why')}") if instead else None
    return [
        join(name, chosen),
        join(badge(point["verdict"]), kind),
        wording.size(point["bytes"]),
        wording.ratio(point["ratio"]),
        wording.ratio(point["linear_ratio"]),
        coverage(contents, name),
        figure(point["tokens_per_s"]),
        join(list(_losses(contents, name)) or "not measured"),
        join(point["ended_at"] or "not begun", _reason(point), patched),
    ]


def _reason(point: Document) -> Markup | None:
    """Why it went no further; an accepted one's reasons are its numbers."""
    return tag("small", str(point["reasons"][0])) if point["reasons"] and point["verdict"] != "ACCEPT" else None


def coverage(contents: Contents, name: str) -> str:
    """Layers that are quantized of those that the recipe targets, as the gate on the checkpoint counted them."""
    gate = contents.gated("ptq", name)
    numbers = gate.document["numbers"] if gate else {}
    if numbers.get("targeted") is None or numbers.get("covered") is None:
        return MISSING
    return f"{numbers['covered']:,} of {numbers['targeted']:,}"


def _losses(contents: Contents, name: str) -> Iterator[Markup]:
    gate = contents.gated("compare", name)
    for task in gate.tasks if gate else ():
        value, low, high = (wording.difference(task, part) for part in loss(task))
        limit = f"margin {wording.amount(task, allowed(task))}" if task.get("gated") else "not gated"
        yield tag("div", f"{task['task']} ", tag("b", value), f" [{low}, {high}]", tag("small", limit))


@dataclass(frozen=True)
class Spot:
    """One candidate in a plot: where it is, and how its verdict is drawn."""

    name: str
    x: float
    y: float
    low: float | None
    high: float | None
    verdict: str | None
    best: bool


def plots(contents: Contents) -> Markup:
    """Size against the loss of every gated task, and size against speed."""
    figures = [_loss_plot(contents, task) for task in _gated_tasks(contents)]
    speed = _spots(contents, [(point, point["tokens_per_s"], None, None) for point in contents.candidates])
    if speed:
        own = _source_spot(contents, contents.fact("deploy", BASELINE, "tokens_per_s"))
        figures.append(_figure("Speed", "tokens per second, more is better", [*own, *speed], None))
    left = [f"{point['candidate']} ({_why(point)})" for point in contents.candidates if not point["tasks"]]
    missing = note("Not measured, and on no plot of loss: ", ", ".join(left), ".") if left else None
    front = [str(entry["candidate"]) for entry in contents.front["entries"] if entry["pareto"]]
    axes = " and ".join(_AXES[axis] for axis in contents.front["axes"])
    rule = f"no other candidate that was measured soundly is as good in {axes}, and better in one of them"
    said = f"On the front: {', '.join(front)}; of each, {rule}. Being on it is not being accepted." if front else None
    if not figures:
        return join(note("Nothing was measured: there is nothing to draw."), missing)
    return join(said and note(said), tag("div", figures, class_="panels wide"), _legend(), missing)


def _why(point: Document) -> str:
    if point["verdict"] is None:
        return "not tried" if not point["ended_at"] else f"stopped at {point['ended_at']}"
    return f"{point['failure_class'] or point['verdict']} at {point['ended_at']}"


def _gated_tasks(contents: Contents) -> list[str]:
    gates = (contents.gated("compare", str(point["candidate"])) for point in contents.candidates)
    tasks = [task for gate in gates if gate for task in gate.tasks if task.get("gated")]
    return list(dict.fromkeys(str(task["task"]) for task in tasks))


def _loss_plot(contents: Contents, name: str) -> Markup:
    """One task: a point a candidate, its interval, and the margin as a line."""
    found = list(_of_task(contents, name))
    task = found[-1][1]
    factor = 100.0 if wording.is_rate(task) else 1.0
    measured = [(point, *(_times(factor, part) for part in loss(one))) for point, one in found]
    unit = "points" if wording.is_rate(task) else "its own units"
    told = f"loss of {task.get('metric') or 'score'} in {unit}, less is better"
    spots = [*_source_spot(contents, 0.0), *_spots(contents, measured)]
    return _figure(name, told, spots, _times(factor, allowed(task)))


def _of_task(contents: Contents, name: str) -> Iterator[tuple[Document, Document]]:
    """Every candidate in which a task was compared, and what came of it."""
    for point in contents.candidates:
        gate = contents.gated("compare", str(point["candidate"]))
        yield from ((point, task) for task in (gate.tasks if gate else ()) if task["task"] == name)


def _source_spot(contents: Contents, y: float | None) -> list[Spot]:
    """The source itself, as something to hold the others against; nothing where it was not measured."""
    value = contents.decision["source"].get("bytes")
    return [] if value is None or y is None else [Spot("source", float(value), float(y), None, None, None, best=False)]


def _times(factor: float, value: float | None) -> float | None:
    return None if value is None else factor * value


def _spots(contents: Contents, measured: Sequence[tuple[Any, ...]]) -> list[Spot]:
    """A spot for each (candidate, height, low, high) that has a height and a size."""
    best = contents.recommended
    return [
        Spot(str(point["candidate"]), float(point["bytes"]), y, low, high, point["verdict"], point is best)
        for point, y, low, high in measured
        if y is not None and point["bytes"] is not None
    ]


def _figure(title: str, told: str, spots: Sequence[Spot], limit: float | None) -> Markup:
    """A plot of spots over size. `limit`: the margin, drawn as a line where there is one."""
    across = linear([spot.x / 1e6 for spot in spots], zero=True)
    ends = [part for spot in spots for part in (spot.y, spot.low, spot.high) if part is not None]
    up = linear([*ends, 0.0, *([limit] if limit is not None else [])])
    shapes = _grid(up)
    if limit is not None:
        shapes += [_level(up, limit, "margin"), _text("100%", _y(up, limit) - 4, "margin", "limit", "end")]
    shapes += [part for spot, label in _placed(spots, across, up) for part in _drawn(spot, across, up, label)]
    caption = tag("figcaption", tag("b", title), tag("span", told))
    return tag(
        "figure", caption, drawing(_HEIGHT, shapes), axis(across, "{:g}".format), tag("p", "size in MB", class_="ends")
    )


def _y(scale: Scale, value: float) -> float:
    """Pixels from the top: more is higher."""
    return round(_EDGE + (1 - scale.share(value)) * (_HEIGHT - 2 * _EDGE), 1)


def _level(scale: Scale, value: float, class_: str) -> Markup:
    return tag("line", x1="0%", x2="100%", y1=_y(scale, value), y2=_y(scale, value), class_=class_)


def _grid(scale: Scale) -> list[Markup]:
    lines = [_level(scale, tick, "zero" if tick == 0 else "grid") for tick in scale.ticks]
    return [*lines, *(_text("0%", _y(scale, tick) - 4, f"{tick:g}", "tick", "start") for tick in scale.ticks)]


def _text(x: str, y: float, words: str, class_: str, anchor: str) -> Markup:
    return tag("text", words, x=x, y=y, class_=class_, text_anchor=anchor)


@dataclass(frozen=True)
class Label:
    """Where a spot's name goes: its height, and on which side of the spot."""

    y: float
    left: bool


def _placed(spots: Sequence[Spot], across: Scale, up: Scale) -> list[tuple[Spot, Label]]:
    """Each spot with its label, so that where the page is narrow none meets another label or mark."""
    marks = [(across.share(spot.x / 1e6) * _NARROW, _y(up, spot.y)) for spot in spots]
    taken = [(x - 7, x + 7, y + 4) for x, y in marks]
    found = []
    for spot, (x, y) in zip(spots, marks, strict=True):
        wide = 7.0 * len(spot.name) + 12
        first = x > 0.7 * _NARROW
        places = [(y + 4 + move, left) for move in _MOVES for left in (first, not first)]
        boxes = [((x - wide, x - 8, at) if left else (x + 8, x + wide, at), Label(at, left)) for at, left in places]
        box, label = next((pair for pair in boxes if _free(pair[0], taken)), boxes[0])
        taken.append(box)
        found.append((spot, label))
    return found


Box = tuple[float, float, float]
"""From where to where a text runs, and at which height, in pixels of the narrowest drawing."""


def _free(box: Box, taken: Sequence[Box]) -> bool:
    left, right, y = box
    inside = left >= 0 and right <= _NARROW and 10 <= y <= _HEIGHT
    return inside and not any(a < right and left < b and abs(y - at) < _LINE for a, b, at in taken)


def _drawn(spot: Spot, across: Scale, up: Scale, label: Label) -> Iterator[Markup]:
    x, y = across.at(spot.x / 1e6), _y(up, spot.y)
    if spot.low is not None and spot.high is not None:
        yield tag("line", x1=x, x2=x, y1=_y(up, spot.low), y2=_y(up, spot.high), class_="interval")
    if spot.best:
        yield tag("circle", cx=x, cy=y, r=10, class_="ring")
    yield _mark(x, y, spot.verdict)
    move, anchor = ("translate(-13 0)", "end") if label.left else ("translate(13 0)", "start")
    yield tag("text", spot.name, x=x, y=label.y, class_="name", text_anchor=anchor, transform=move)


def _mark(x: str, y: float, verdict: str | None) -> Markup:
    """Shapes besides colours: a disc is accepted, a square not, a ring undecided, a small disc the source."""
    if verdict is None:
        return tag("circle", cx=x, cy=y, r=3.5, class_="plain")
    if verdict in ("ACCEPT", "INCONCLUSIVE"):
        return tag("circle", cx=x, cy=y, r=5, class_="good" if verdict == "ACCEPT" else "open")
    return tag("rect", x=x, y=y, width=10, height=10, transform="translate(-5 -5)", class_="bad")


def _legend() -> Markup:
    shapes = (("good", "accepted"), ("open", "undecided"), ("bad", "not accepted"), ("ring", "recommended"))
    return tag(
        "p", [tag("span", tag("i", class_=f"key {name}"), words) for name, words in shapes], class_="legend keys-of"
    )
