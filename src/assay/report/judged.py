"""What judgements came to: for each rubric its composites, every cell's numbers, who judged, and what to know of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from assay.report.markup import Markup, join, tag
from assay.report.numbers import MISSING, count, figure, interval_of, percent, words
from assay.report.rows import Cell
from assay.report.scores import Shown, caption, intervals


@dataclass(frozen=True)
class Judged:
    """What the page shows of judgements: the content of judged.json, and what was said of single attempts, by index.

    `said[index]` has for each judgement `rubric`, `judge`, `kind`, `scores`, `text`, and perhaps `flags`.
    """

    content: Mapping[str, Any]
    said: Mapping[int, Sequence[Mapping[str, Any]]] = field(default_factory=dict)


def judged(content: Mapping[str, Any]) -> Markup:
    """A card a rubric."""
    return tag("div", [_card(rubric) for rubric in content["rubrics"]], class_="cards")


def _card(found: Mapping[str, Any]) -> Markup:
    rubric, rows = found["rubric"], found["cells"]
    heading = tag("h3", rubric["label"], " ", tag("span", f"digest {rubric['digest'][:16]}"))
    tasks = dict.fromkeys(row["task"] for row in rows)
    plots = [_plot(task, rows, found) for task in tasks]
    table = _table(rows, rubric["pass_mark"] is not None)
    return tag("article", heading, tag("p", _formula(found), class_="note"), plots, table, _notes(found), class_="card")


def _formula(found: Mapping[str, Any]) -> str:
    rubric = found["rubric"]
    low, high = rubric["range"]
    mark = "" if rubric["pass_mark"] is None else f" · passes from {figure(rubric['pass_mark'])}"
    left = "" if not found["pending"] else f" · {count(found['pending'])} of {count(found['candidates'])} pending"
    return f"composite = {rubric['composite']}, {figure(low)} to {figure(high)}{mark}{left}"


def _plot(task: str, rows: Sequence[Mapping[str, Any]], found: Mapping[str, Any]) -> Markup | None:
    """The composites of a task's cells that are judged as a whole."""
    shown: list[Shown] = [
        (row, {"name": "composite", "kind": "measure", **row["composite"]})
        for row in rows
        if row["task"] == task and row["state"] == "judged" and row["composite"]["value"] is not None
    ]
    if not shown:
        return None
    heading = tag("h4", task, " ", tag("span", "composite"))
    return tag("section", heading, tag("p", caption(shown), class_="note"), intervals(shown), class_="facet")


def _table(rows: Sequence[Cell], marked: bool) -> Markup:
    names = list(dict.fromkeys(name for row in rows for name in row["dimensions"]))
    keys = [key for key in ("task", "model", "prompt") if key == "task" or len({row[key] for row in rows}) > 1]
    titles = [*keys, "state", "candidates", "judged", "pending", *(["unmeasured"] if _any(rows, "unmeasured") else [])]
    head = [*titles, "composite", *(["passed"] if marked else []), *map(words, names), "judges"]
    lines = [
        tag(
            "tr",
            [tag("th", row[key], scope="row") for key in keys],
            [tag("td", row[key] if key == "state" else count(row[key])) for key in titles[len(keys) :]],
            tag("td", _mean(row, row["composite"])),
            tag("td", _mean(row, row["passed"], "pass")) if marked else None,
            [tag("td", _mean(row, row["dimensions"].get(name))) for name in names],
            tag("td", ", ".join(f"{name} {count(number)}" for name, number in row["judges"].items()) or MISSING),
        )
        for row in rows
    ]
    inner = join(tag("thead", tag("tr", [tag("th", title, scope="col") for title in head])), tag("tbody", lines))
    return tag(
        "div",
        tag("table", inner, class_="cells"),
        class_="scroll",
        tabindex=0,
        role="region",
        aria_label="Table of judged cells",
    )


def _any(rows: Sequence[Cell], key: str) -> bool:
    return any(row[key] for row in rows)


def _mean(row: Cell, found: Mapping[str, Any] | None, kind: str = "measure") -> str | Markup:
    """A mean with its interval; of a cell that is pending none, since what is missing would be left out of it."""
    if found is None or found["value"] is None or row["state"] != "judged":
        return row["state"] if row["state"] != "judged" else MISSING
    interval = interval_of({**found, "kind": kind})
    value = percent(found["value"]) if kind == "pass" else figure(found["value"])
    return join(tag("b", value), tag("small", f" {interval}") if interval else None)


def _notes(found: Mapping[str, Any]) -> Markup | None:
    items = [tag("li", text) for text in _said(found)]
    return tag("ul", items, class_="judged-notes") if items else None


def _said(found: Mapping[str, Any]) -> Iterator[str]:
    for judge in found["judges"]:
        votes = f", {count(judge['votes'])} votes each" if isinstance(judge.get("votes"), int) else ""
        yield f"{judge['judge']} ({judge['kind']}{votes}): {count(judge['judgements'])} judgements stand"
    for batch in found["marked"]:
        yield (
            f"marked: the batch {batch['batch']} by {batch['judge']}, of which {count(batch['judgements'])} judgements "
            f"stand: {'; '.join(batch['why'])}"
        )
    flags: dict[str, int] = {}
    for row in found["cells"]:
        for flag, number in row["flags"].items():
            flags[flag] = flags.get(flag, 0) + number
    yield from (f"{count(number)} judgements are flagged: {words(flag)}" for flag, number in flags.items())
