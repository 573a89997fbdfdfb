"""The page of a comparison: the verdict, every difference against its margin, and what changed, side by side.

One self-contained file without a script; its policy forbids every request. Completions come from models, so every
text is escaped.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from assay.files import write_atomic
from assay.report.difference import sides
from assay.report.markup import Markup, join, tag
from assay.report.numbers import MISSING, count, percent
from assay.report.rows import axis, drawing, grid, plot, row, vertical
from assay.report.scale import Scale, linear
from assay.report.verdict import change

_HEIGHT = 42
_GOOD = ("PASS", "ACCEPT")
TEXT_LIMIT = 8_000
"""Longest text shown, in characters."""


class Side(NamedTuple):
    """One completion: its text, what was taken from it, and why it was judged so."""

    text: str
    extracted: str | None
    why: str


class Flip(NamedTuple):
    """A sample on which the two differ: what was asked, and both answers (None where it could not be read)."""

    task: str
    kind: str
    sample: str
    asked: str
    baseline: Side | None
    candidate: Side | None


def write(path: Path, result: Mapping[str, Any], flips: Sequence[Flip], left_out: int = 0) -> None:
    """Write the page of a `compare` result, whole or not at all. `left_out`: how many flips are not shown."""
    parts = ('<!doctype html>\n<html lang="en">', _head(result), _body(result, flips, left_out), "</html>\n")
    write_atomic(path, (part.encode("utf-8", "replace") for part in parts))


def _head(result: Mapping[str, Any]) -> Markup:
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", f"{result['verdict']} · assay compare"),
        tag("style", Markup(_style())),
    )


@cache
def _style() -> str:
    folder = Path(__file__).parent
    return "".join((folder / name).read_text(encoding="utf-8") for name in ("page.css", "comparison.css"))


def _body(result: Mapping[str, Any], flips: Sequence[Flip], left_out: int) -> Markup:
    tasks = [task for task in result["numbers"].get("tasks", ()) if "delta" in task]
    sections = [
        ("differences", "Differences", _plots(tasks)),
        ("tasks", "Tasks", _table(tasks)),
        ("flips", "What changed", _flips(flips, left_out)),
        ("provenance", "Provenance", _provenance(result)),
    ]
    links = [tag("a", title, href=f"#{name}") for name, title, _ in sections]
    main = [
        tag("section", tag("h2", title, id=f"{name}-title"), content, id=name, aria_labelledby=f"{name}-title")
        for name, title, content in sections
    ]
    return tag("body", _header(result), tag("nav", tag("div", links), aria_label="Sections"), tag("main", main))


def _header(result: Mapping[str, Any]) -> Markup:
    base, other = (item["run"] for item in result["inputs"])
    good = " good" if result["verdict"] in _GOOD else ""
    return tag(
        "header",
        tag("p", f"{base} and {other}", class_="kicker"),
        tag("h1", tag("span", result["verdict"], class_=f"verdict{good}")),
        tag("ul", [tag("li", reason) for reason in result["reasons"]], class_="lead"),
    )


def _plots(tasks: Sequence[Mapping[str, Any]]) -> Markup:
    """One row a task; rates share an axis in points, other metrics have one each."""
    if not tasks:
        return tag("p", "No scores could be paired.", class_="note")
    rates = [task for task in tasks if task["kind"] == "pass"]
    groups = [rates] if rates else []
    groups += [[task] for task in tasks if task["kind"] != "pass"]
    note = tag(
        "p",
        "Candidate less baseline with its interval; the dashed line is no difference, the solid one the margin.",
        class_="note",
    )
    return tag("article", note, [_plot(group) for group in groups], class_="card")


def _plot(tasks: Sequence[Mapping[str, Any]]) -> Markup:
    rate = tasks[0]["kind"] == "pass"
    scale = linear([part for task in tasks for part in (*_interval(task), task["delta"], *_margin(task), 0.0)])
    rows = [row(_label(task), _drawn(task, scale), _value(task, rate)) for task in tasks]
    return plot(rows, axis(scale, lambda value: f"{100 * value:g}" if rate else f"{value:g}"), kind="intervals")


def _label(task: Mapping[str, Any]) -> Markup:
    return join(tag("b", task["task"]), tag("span", f"{task['metric']}, {task['tier']}"))


def _interval(task: Mapping[str, Any]) -> list[float]:
    return [task[name] for name in ("low", "high") if task[name] is not None]


def _margin(task: Mapping[str, Any]) -> list[float]:
    """Where the margin lies: below 0 where higher is better, above it where lower is."""
    if "margin" not in task:
        return []
    sign = -1 if task["direction"] == "higher_is_better" else 1
    return [sign * float(task["margin"]["to_accept"])]


def _drawn(task: Mapping[str, Any], scale: Scale) -> Markup:
    middle, ends = _HEIGHT // 2, _interval(task)
    shapes = [*grid(scale, _HEIGHT), vertical(scale.at(0.0), _HEIGHT, "zero")]
    shapes += [vertical(scale.at(value), _HEIGHT, "margin") for value in _margin(task)]
    if len(ends) == 2:
        low, high = (scale.at(end) for end in ends)
        shapes.append(tag("line", x1=low, x2=high, y1=middle, y2=middle, class_="interval"))
    shapes.append(tag("circle", cx=scale.at(task["delta"]), cy=middle, r=5, class_="dot"))
    return drawing(_HEIGHT, shapes)


def _value(task: Mapping[str, Any], rate: bool) -> Markup:
    low, high = (change(task[name], rate) for name in ("low", "high"))
    return join(tag("b", change(task["delta"], rate)), tag("span", f"{low} to {high}"))


_COLUMNS = (
    "task",
    "verdict",
    "pairs",
    "baseline",
    "candidate",
    "won",
    "lost",
    "smallest decidable",
    "tokens",
    "latency",
)


def _table(tasks: Sequence[Mapping[str, Any]]) -> Markup:
    head = tag("thead", tag("tr", [tag("th", title, scope="col") for title in _COLUMNS]))
    body = tag("tbody", [tag("tr", [tag("td", cell) for cell in _cells(task)]) for task in tasks])
    note = "Numbers behind the verdict. The smallest decidable difference is at the policy's power."
    return tag("div", tag("table", tag("caption", note), head, body, class_="cells"), class_="scroll")


def _cells(task: Mapping[str, Any]) -> list[str]:
    rate = task["kind"] == "pass"
    show = percent if rate else "{:.4g}".format
    smallest = task["smallest_decidable"]
    return [
        task["task"],
        task["verdict"] or MISSING,
        count(task["pairs"]),
        show(task["baseline"]),
        show(task["candidate"]),
        count(task["won"]),
        count(task["lost"]),
        MISSING if smallest is None else show(smallest),
        _grown(task["tokens"]),
        _grown(task["latency"]),
    ]


def _grown(found: Mapping[str, Any]) -> str:
    return MISSING if found["change"] is None else f"{100 * found['change']:+.1f}%"


def _flips(flips: Sequence[Flip], left_out: int) -> Markup:
    if not flips:
        return tag("p", "No sample changed sides.", class_="note")
    more = f" {count(left_out)} more are in the result." if left_out else ""
    note = tag("p", f"Samples that one of the two got right and the other did not; losses first.{more}", class_="note")
    return tag("article", note, [_flip(flip) for flip in flips], class_="card")


def _flip(flip: Flip) -> Markup:
    head = tag("summary", f"{flip.kind}: {flip.task} · {flip.sample}")
    texts = [_cut(side.text) if side else "" for side in (flip.baseline, flip.candidate)]
    marked = sides(*texts)
    both = (("Baseline", flip.baseline, marked[0]), ("Candidate", flip.candidate, marked[1]))
    panes = [_pane(title, side, text) for title, side, text in both]
    asked = tag("pre", _cut(flip.asked), class_="asked") if flip.asked else None
    return tag("details", head, asked, tag("div", panes, class_="both"), class_="flip")


def _pane(title: str, side: Side | None, text: Markup) -> Markup:
    if side is None:
        return tag("div", tag("h4", title), tag("p", "not stored", class_="note"))
    return tag("div", tag("h4", title), tag("p", side.why, class_="note"), tag("pre", text))


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_LIMIT else f"{text[:TEXT_LIMIT]}\n… ({len(text) - TEXT_LIMIT} more characters)"


def _provenance(result: Mapping[str, Any]) -> Markup:
    items = [
        (item["role"], f"{item['run']}, seal {item['manifest'] or MISSING}, plan {str(item['plan'])[:16]}")
        for item in result["inputs"]
    ]
    items.append(("policy", f"{result['policy']['content']['name']}, digest {result['policy']['digest']}"))
    return tag("dl", [tag("div", tag("dt", name), tag("dd", tag("code", text))) for name, text in items])
