"""The page of a board: what is best and how sure that is, a heat map, intervals, every number, samples to look into.

One self-contained file without a script; its policy forbids every request. Names and answers come from anybody, so
every text is escaped.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from assay.files import write_atomic
from assay.report.board_text import cells, columns, further, of_rubric
from assay.report.markup import Markup, join, tag
from assay.report.numbers import MISSING, count, figure, interval_of, percent, words
from assay.report.rows import axis, drawing, grid, plot, row
from assay.report.scale import PERCENT, Scale, linear

_HEIGHT = 36
_STEPS = 9
TEXT_LIMIT = 4_000
"""Longest text shown, in characters."""


Remark = Mapping[str, Any]
"""What a judge said of an answer: `judge`, `kind`, `scores` by dimension, `text`, and perhaps `flags`."""


class Answer(NamedTuple):
    """What one entry made of a sample: its mean score there, one stored answer (None where there is none), and what
    judges said of it.
    """

    label: str
    value: float | None
    text: str | None
    remarks: Sequence[Remark] = ()


class Looked(NamedTuple):
    """One sample that all have answered: what it asks, and each entry's answer, best entry first."""

    task: str
    sample: str
    asked: str
    answers: tuple[Answer, ...]


def write(path: Path, document: Mapping[str, Any], samples: Sequence[Looked] = ()) -> None:
    """Write the page, whole or not at all. `samples` are those to look into, in the order of the page."""
    parts = ('<!doctype html>\n<html lang="en">', _head(), _body(document, samples), "</html>\n")
    write_atomic(path, (part.encode("utf-8", "replace") for part in parts))


def _head() -> Markup:
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="robots", content="noindex"),
        tag("title", "assay board"),
        tag("style", Markup(_style())),
    )


@cache
def _style() -> str:
    folder = Path(__file__).parent
    return "".join((folder / name).read_text(encoding="utf-8") for name in ("page.css", "board.css"))


def _body(document: Mapping[str, Any], samples: Sequence[Looked]) -> Markup:
    sections = [
        ("map", "Model × prompt", _map(document)),
        ("intervals", "Intervals", _plot(document)),
        ("entries", "Entries", _table(document)),
        ("samples", "Samples", _samples(document, samples)),
        ("provenance", "Provenance", _provenance(document)),
    ]
    shown = [(name, title, content) for name, title, content in sections if content]
    links = [tag("a", title, href=f"#{name}") for name, title, _ in shown]
    main = [
        tag("section", tag("h2", title, id=f"{name}-title"), content, id=name, aria_labelledby=f"{name}-title")
        for name, title, content in shown
    ]
    return tag("body", _header(document), tag("nav", tag("div", links), aria_label="Sections"), tag("main", main))


def _header(document: Mapping[str, Any]) -> Markup:
    runs, tasks = document["runs"], ", ".join(document["tasks"])
    said = document["winner"]["statement"] + "." if document["winner"] else "Nothing is ranked."
    kicker = f"{_many(len(document['entries']), 'entries', 'entry')} of {_many(len(runs), 'runs', 'run')} · {tasks}"
    return tag(
        "header",
        tag("p", kicker, class_="kicker"),
        tag("h1", "Board"),
        tag("p", said, class_="lead"),
        tag("ul", [tag("li", note) for note in document["notes"]], class_="notes") if document["notes"] else None,
    )


def _many(number: int, many: str, one: str) -> str:
    return f"{count(number)} {one if number == 1 else many}"


def _show(document: Mapping[str, Any], value: float | None) -> str:
    return percent(value) if document["metric"]["kind"] == "pass" else figure(value)


def _map(document: Mapping[str, Any]) -> Markup | None:
    """A heat map where entries are models × prompts; an entry without a score is marked so, and never the coldest."""
    entries = document["entries"]
    if document["by"] != ["model", "prompt"] and document["by"] != ["prompt", "model"]:
        return None
    rows = list(dict.fromkeys((entry["model"], entry.get("run", "")) for entry in entries))
    prompts = list(dict.fromkeys(entry["prompt"] for entry in entries))
    known = [entry["value"] for entry in entries if entry["value"] is not None]
    head = tag("tr", tag("th", "model", scope="col"), [tag("th", name, scope="col") for name in prompts])
    found = {(entry["model"], entry.get("run", ""), entry["prompt"]): entry for entry in entries}
    body = [
        tag(
            "tr",
            tag("th", " · ".join(filter(None, name)), scope="row"),
            [_heat(document, found.get((*name, prompt)), known) for prompt in prompts],
        )
        for name in rows
    ]
    low, high = (_show(document, end) for end in (min(known), max(known))) if known else (MISSING, MISSING)
    note = f"{document['metric']['name']}: the paler, the nearer to {low}; the darker, the nearer to {high}."
    table = tag("table", tag("caption", note), tag("thead", head), tag("tbody", body), class_="heat")
    return tag("div", table, class_="scroll", tabindex=0, role="region", aria_label="Heat map")


def _heat(document: Mapping[str, Any], entry: Mapping[str, Any] | None, known: Sequence[float]) -> Markup:
    if entry is None:
        return tag("td", MISSING, class_="none")
    if entry["value"] is None:
        return tag("td", f"pending: {count(entry['pending'])}" if entry["pending"] else "no score", class_="pending")
    low, high = min(known), max(known)
    share = (entry["value"] - low) / (high - low) if high > low else 0.5
    judged = [f"{short} {further(entry, document, name)}" for name, short in of_rubric(document).items()]
    small = [tag("small", said) for said in (_interval(document, entry), *judged) if said]
    text = join(tag("b", _show(document, entry["value"])), small)
    return tag("td", text, class_=f"h{round(share * _STEPS)}")


def _interval(document: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    return interval_of({**entry, "kind": document["metric"]["kind"]})


def _plot(document: Mapping[str, Any]) -> Markup | None:
    entries = [entry for entry in document["entries"] if entry["value"] is not None]
    if not entries:
        return None
    rate = document["metric"]["kind"] == "pass"
    ends = [entry[name] for entry in entries for name in ("value", "low", "high") if entry[name] is not None]
    scale = PERCENT if rate else linear(ends)
    rows = [row(_label(entry), _drawn(entry, scale), _value(document, entry)) for entry in entries]
    note = (
        f"Each entry's mean with its {100 * document['confidence']:g} % interval, over the "
        f"{count(document['shared'])} samples (or clusters) that all have. Entries of one group cannot be told apart."
    )
    drawn = plot(rows, axis(scale, lambda value: f"{100 * value:g}%" if rate else f"{value:g}"), kind="intervals")
    return tag("article", tag("p", note, class_="note"), drawn, class_="card")


def _label(entry: Mapping[str, Any]) -> Markup:
    group = f"group {' '.join(entry['groups'])}" if entry["groups"] else "not ranked"
    return join(tag("b", entry["label"]), tag("span", group))


def _drawn(entry: Mapping[str, Any], scale: Scale) -> Markup:
    middle, shapes = _HEIGHT // 2, grid(scale, _HEIGHT)
    if entry["low"] is not None and entry["high"] is not None:
        low, high = scale.at(entry["low"]), scale.at(entry["high"])
        shapes.append(tag("line", x1=low, x2=high, y1=middle, y2=middle, class_="interval"))
    return drawing(_HEIGHT, shapes, tag("circle", cx=scale.at(entry["value"]), cy=middle, r=5, class_="dot"))


def _value(document: Mapping[str, Any], entry: Mapping[str, Any]) -> Markup:
    chance = "" if entry["best"] is None else f"best with {percent(entry['best'])}"
    return join(tag("b", _show(document, entry["value"])), tag("span", _interval(document, entry)), tag("span", chance))


def _table(document: Mapping[str, Any]) -> Markup:
    head = tag("thead", tag("tr", [tag("th", title, scope="col") for title in columns(document)]))
    lines = [tag("tr", [tag("td", text) for text in cells(entry, document)]) for entry in document["entries"]]
    note = (
        "Ranks: any that the data leave open. Best: how often an entry leads when the samples are drawn anew. "
        f"Pending: answered, and not {'judged' if document.get('rubrics') else 'scored'} yet. "
        "Failed: the harness's doing, and no score."
    )
    table = tag("table", head, tag("tbody", lines), class_="cells")
    scrolled = tag("div", table, class_="scroll", tabindex=0, role="region", aria_label="Table of entries")
    return join(tag("p", note, class_="note"), scrolled)


def _samples(document: Mapping[str, Any], samples: Sequence[Looked]) -> Markup | None:
    if not samples:
        return None
    note = (
        f"{count(len(samples))} of the {count(document['shared'])} that all entries have scores of: "
        "those on which they differ most come first."
    )
    return tag("article", tag("p", note, class_="note"), [_sample(document, one) for one in samples], class_="card")


def _sample(document: Mapping[str, Any], looked: Looked) -> Markup:
    known = [answer.value for answer in looked.answers if answer.value is not None]
    spread = f"{_show(document, min(known))} to {_show(document, max(known))}" if known else MISSING
    head = tag("summary", f"{looked.task} · {looked.sample} · {spread}")
    panes = [
        tag(
            "div",
            tag("h4", answer.label, tag("span", _show(document, answer.value))),
            tag("p", "not stored", class_="note") if answer.text is None else tag("pre", _cut(answer.text)),
            [_remark(remark) for remark in answer.remarks],
        )
        for answer in looked.answers
    ]
    return tag("details", head, tag("pre", _cut(looked.asked), class_="asked"), tag("div", panes, class_="answers"))


def _remark(remark: Remark) -> Markup:
    scores = ", ".join(f"{name} {figure(value)}" for name, value in remark["scores"].items())
    flags = f" · {', '.join(map(words, remark['flags']))}" if remark.get("flags") else ""
    said = tag("p", _cut(remark["text"]), dir="auto") if remark["text"] else None
    return tag("blockquote", tag("b", f"{remark['judge']} ({remark['kind']}){flags}"), tag("p", scores), said)


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_LIMIT else f"{text[:TEXT_LIMIT]}\n… ({len(text) - TEXT_LIMIT} more characters)"


def _provenance(document: Mapping[str, Any]) -> Markup:
    items = [(run["run"], f"seal {run['manifest']}, plan {run['plan'][:16]}") for run in document["runs"]]
    return tag("dl", [tag("div", tag("dt", name), tag("dd", tag("code", text))) for name, text in items])
