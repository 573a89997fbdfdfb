"""A board as CSV and as Markdown, from its document. Names come from anybody: neither format can be broken by one."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from assay.report.numbers import MISSING, count, figure, interval_of, latency, money, percent

_PLAIN = (
    "rank",
    "rank_low",
    "rank_high",
    "best",
    "value",
    "low",
    "high",
    "n",
    "clusters",
    "planned",
    "finished",
    "scored",
    "pending",
    "unmeasured",
    "failed",
)


def as_csv(document: Mapping[str, Any]) -> str:
    """One line an entry, best first; what is missing is empty."""
    entries, keys = document["entries"], _keys(document)
    metrics = list(dict.fromkeys(name for entry in entries for name in entry["metrics"]))
    tasks = document["tasks"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = [*keys, *_PLAIN, "groups", "cost", "currency", "latency_mean_s", "latency_p50_s", "latency_p95_s"]
    writer.writerow([*head, *(f"task:{name}" for name in tasks), *(f"metric:{name}" for name in metrics)])
    for entry in entries:
        cost, times = entry["cost"] or {}, entry["latency_s"] or {}
        row = [_safe(entry.get(key, "")) for key in keys] + [entry[name] for name in _PLAIN]
        row += [" ".join(entry["groups"]), cost.get("amount"), cost.get("currency")]
        row += [times.get(name) for name in ("mean", "p50", "p95")]
        row += [entry["tasks"].get(name) for name in tasks]
        writer.writerow([*row, *(entry["metrics"].get(name, {}).get("value") for name in metrics)])
    return text.getvalue()


def _keys(document: Mapping[str, Any]) -> list[str]:
    return [*document["by"], *(["run"] if any("run" in entry for entry in document["entries"]) else [])]


def _safe(text: str) -> str:
    """A name that a spreadsheet would take for a formula is quoted for it."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def columns(document: Mapping[str, Any]) -> list[str]:
    """The headings that people see, on the terminal and in Markdown."""
    tasks = document["tasks"] if len(document["tasks"]) > 1 else []
    return [
        "rank",
        *_keys(document),
        document["metric"]["name"] if len(document["metric"]["name"]) < 40 else "score",
        "interval",
        "ranks",
        "best",
        "group",
        "n",
        *tasks,
        *others(document).values(),
        "pending",
        "failed",
        "cost",
        "latency",
    ]


def others(document: Mapping[str, Any]) -> dict[str, str]:
    """The further metrics and what a table calls them: those of the rubric that it is ranked by, then all others where
    there are few enough.
    """
    own = set(document["metric"]["name"].split(", "))
    names = dict.fromkeys(name for entry in document["entries"] for name in entry["metrics"])
    named = [name for name in (*_dimensions(document), *names) if name in names and name not in own]
    found = list(dict.fromkeys(named))
    kept = found if len(found) <= _MOST else [name for name in found if name in _dimensions(document)]
    return {name: _short(name, document, found) for name in kept}


def of_rubric(document: Mapping[str, Any]) -> dict[str, str]:
    """Of the further metrics those of the rubric that it is ranked by."""
    wanted = _dimensions(document)
    return {name: short for name, short in others(document).items() if name in wanted}


_MOST = 6
_HEADINGS = frozenset({"rank", "model", "prompt", "run", "score", "interval", "ranks", "best", "group", "n"})
_HEADINGS |= {"pending", "failed", "cost", "latency", "entry"}


def _dimensions(document: Mapping[str, Any]) -> list[str]:
    """The metrics of the rubrics that the ranks rest on, judged ones first, and those of scorers that they read."""
    rubrics = document.get("rubrics", ())
    judged = [metric["name"] for rubric in rubrics for metric in rubric["metrics"]]
    return [*judged, *(name for rubric in rubrics for name in rubric["measured"])]


def _short(name: str, document: Mapping[str, Any], names: Sequence[str]) -> str:
    """A judged metric without its rubric's label, where that is no other heading."""
    for rubric in document.get("rubrics", ()):
        short = name.removeprefix(f"{rubric['label']}.")
        shared = sum(other.endswith(f".{short}") for other in names) > 1
        if short != name and short not in (*names, *document["tasks"], *_HEADINGS) and not shared:
            return short
    return name


def _passes(name: str, document: Mapping[str, Any]) -> bool:
    """Whether a judged metric is a share."""
    metrics = [metric for rubric in document.get("rubrics", ()) for metric in rubric["metrics"]]
    return any(metric["name"] == name and metric["kind"] == "pass" for metric in metrics)


def further(entry: Mapping[str, Any], document: Mapping[str, Any], name: str) -> str:
    """One of the further metrics of an entry."""
    value = entry["metrics"].get(name, {}).get("value")
    return percent(value) if _passes(name, document) else figure(value)


def cells(entry: Mapping[str, Any], document: Mapping[str, Any]) -> list[str]:
    """One entry under these headings."""
    metric = document["metric"]
    show = percent if metric["kind"] == "pass" else figure
    low, high = entry["rank_low"], entry["rank_high"]
    ranks = MISSING if low is None else str(low) if low == high else f"{low}–{high}"
    tasks = document["tasks"] if len(document["tasks"]) > 1 else []
    times = entry["latency_s"] or {}
    return [
        count(entry["rank"]),
        *(entry.get(key, "") for key in _keys(document)),
        "pending" if entry["value"] is None and entry["pending"] else show(entry["value"]),
        interval_of({**entry, "kind": metric["kind"]}) or MISSING,
        ranks,
        percent(entry["best"]),
        " ".join(entry["groups"]) or MISSING,
        count(entry["n"]),
        *(show(entry["tasks"].get(name)) for name in tasks),
        *(further(entry, document, name) for name in others(document)),
        count(entry["pending"]),
        count(entry["failed"]),
        money(entry["cost"]),
        latency(times.get("p50") or times.get("mean")),
    ]


def as_markdown(document: Mapping[str, Any]) -> str:
    """A table, the statement on the best, and the notes."""
    head = columns(document)
    lines = [_line(head), _line(["---"] * len(head))]
    lines += [_line(cells(entry, document)) for entry in document["entries"]]
    if document["winner"]:
        lines += ["", _escaped(document["winner"]["statement"]) + "."]
    lines += ["", *(f"- {_escaped(text)}" for text in document["notes"])] if document["notes"] else []
    return "\n".join(lines) + "\n"


def _line(parts: Sequence[str]) -> str:
    return "| " + " | ".join(_escaped(part) for part in parts) + " |"


def _escaped(text: str) -> str:
    """Text that neither ends a cell nor becomes markup."""
    for mark, safe in (("&", "&amp;"), ("<", "&lt;"), ("|", "\\|"), ("`", "\\`"), ("[", "\\["), ("*", "\\*")):
        text = text.replace(mark, safe)
    return " ".join(text.split())
