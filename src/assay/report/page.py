"""The page's sections, in the order in which a reader asks: what ran, how it did, how it behaved, why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from assay.records import Outcome
from assay.report import cells, executions, judged, outcomes, scores, timing
from assay.report.markup import Markup, join, tag
from assay.report.numbers import MISSING, count, duration, money, tokens, untimed, words
from assay.report.provenance import provenance
from assay.report.rows import cell_name

_VERDICTS = {
    "wrong": "wrong",
    "right": "right",
    "measured": "measured",
    "unscored": "not scored",
}


def body(
    results: Mapping[str, Any],
    plan: Mapping[str, Any],
    judgements: Mapping[str, Any] | None,
    *,
    shown: int,
    total: int,
) -> Markup:
    """Everything inside `body` but the script and its data. `judgements` is the content of judged.json."""
    sections = list(_sections(results, plan, judgements, shown, total))
    main = [_section(name, title, content) for name, title, content in sections]
    skip = tag("a", "Skip to the scores", href="#scores", class_="skip")
    return join(skip, _header(results), _navigation(sections), tag("main", _flags(results), main))


def _sections(
    results: Mapping[str, Any], plan: Mapping[str, Any], judgements: Mapping[str, Any] | None, shown: int, total: int
) -> Iterator[tuple[str, str, Markup]]:
    """(id, title, content); what does not apply to this run is left out."""
    found = results["cells"]
    yield "scores", "Scores", scores.scores(found)
    if judgements:
        yield "judged", "Judged", judged.judged(judgements)
    yield "cells", "Cells", cells.table(found)
    yield "outcomes", "Outcomes", outcomes.outcomes(found)
    if executed := executions.executions(found, results.get("executed") or {}):
        yield "executions", "Executions", executed
    if not untimed(results):
        yield "latency", "Latency", timing.latencies(found)
        yield "throughput", "Throughput", timing.throughput(results.get("throughput", ()))
    yield "samples", "Samples", _samples(found, shown, total)
    yield "provenance", "Provenance", provenance(plan, results)


def _section(name: str, title: str, content: Markup) -> Markup:
    return tag("section", tag("h2", title, id=f"{name}-title"), content, id=name, aria_labelledby=f"{name}-title")


def _navigation(sections: Sequence[tuple[str, str, Markup]]) -> Markup:
    links = [tag("a", title, href=f"#{name}") for name, title, _ in sections]
    return tag("nav", tag("div", links), aria_label="Sections")


def _header(results: Mapping[str, Any]) -> Markup:
    synthetic = results.get("synthetic") and tag(
        "p",
        tag("b", "Synthetic."),
        " Some of these answers are recorded or made up, so no gate accepts this run as evidence.",
        class_="banner",
        role="note",
    )
    return tag(
        "header",
        tag("p", "Run of plan ", tag("code", str(results["plan"])[:8]), _started(results), class_="kicker"),
        tag("h1", results["name"]),
        _progress(results),
        synthetic or None,
        _imported(results),
        tag("dl", [(tag("div", tag("dt", name), tag("dd", value))) for name, value in _summary(results)]),
    )


def _imported(results: Mapping[str, Any]) -> Markup | None:
    source = results.get("imported")
    if not source:
        return None
    named = f"{source['tool']} {source['version']}"
    files = ", ".join(f"{file['name']} ({file['sha256'][:12]})" for file in source["sources"])
    text = " The scores are that tool's own: they cannot be derived again from the answers. From: "
    return tag("p", tag("b", f"Imported from {named}."), text, files, class_="banner", role="note")


def _started(results: Mapping[str, Any]) -> Markup | None:
    when = results.get("started")
    return join(", started ", tag("time", str(when)[:16].replace("T", " "), datetime=when)) if when else None


def _progress(results: Mapping[str, Any]) -> Markup:
    planned, finished = results["attempts"]["planned"], results["attempts"]["finished"]
    if results["complete"]:
        given = " The completions were given: none was generated here, and nothing was timed."
        text = f"Complete: all {count(planned)} attempts finished.{given if planned and untimed(results) else ''}"
        return tag("p", text, class_="lead")
    text = f" {count(finished)} of {count(planned)} attempts finished; the numbers below are for those alone."
    held = results.get("until") or {"decided": False}
    if held["decided"]:
        why = f"Stopped because it was decided: {held['verdict']}, at look {held['looks']} of {held['planned_looks']}."
        return tag("p", tag("b", why), text, class_="lead")
    return tag("p", tag("b", "Incomplete."), text, class_="lead warn")


def _summary(results: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    found = results["cells"]
    for key, title in (("model", "Models"), ("prompt", "Prompts"), ("task", "Tasks")):
        names = list(dict.fromkeys(cell[key] for cell in found))
        yield title, names[0] if len(names) == 1 else count(len(names))
    bad = results["attempts"]["finished"] - results["attempts"]["outcomes"].get(Outcome.OK, 0)
    yield "Attempts", count(results["attempts"]["finished"])
    yield "Not ok", count(bad)
    yield "Time", "not timed" if untimed(results) else duration(results.get("seconds"))
    known = [_sum(found, key) for key in ("in", "out")]
    yield "Tokens in, out", MISSING if known == [MISSING, MISSING] else ", ".join(known)
    yield from (("Cost", money(cost)) for cost in _costs(found))


def _sum(found: Sequence[Mapping[str, Any]], key: str) -> str:
    known = [number for cell in found if (number := tokens(cell, key)) is not None]
    return count(sum(known) if known else None)


def _costs(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One sum a currency, over the cells whose cost is known."""
    sums: dict[str, float] = {}
    for cost in (cell["cost"] for cell in found if cell.get("cost")):
        sums[cost["currency"]] = sums.get(cost["currency"], 0.0) + cost["amount"]
    return [{"amount": amount, "currency": currency} for currency, amount in sums.items()]


def _flags(results: Mapping[str, Any]) -> Markup | None:
    """What to know before believing a number: anomalies first, since they leave no number to believe."""
    names = {cell["cell"]: cell_name(cell) for cell in results["cells"]}
    items = [
        *(tag("li", tag("b", "ANOMALOUS"), tag("span", text), class_="error") for text in results.get("anomalies", ())),
        *(_flag(flag, names) for flag in results.get("flags") or ()),
    ]
    if not items:
        return None
    heading = tag("h2", "To note", id="flags-title")
    return tag("section", heading, tag("ul", items), id="flags", aria_labelledby="flags-title")


def _flag(flag: Mapping[str, Any], names: Mapping[int, str]) -> Markup:
    level = str(flag["level"])
    style = level if level in ("info", "warning", "error") else "info"
    where = names.get(flag.get("cell", -1))
    return tag("li", tag("b", level), tag("span", flag["message"]), where and tag("small", where), class_=style)


def _samples(found: Sequence[Mapping[str, Any]], shown: int, total: int) -> Markup:
    if not shown:
        note = f"No sample is embedded here; the run holds {count(total)} attempts. "
        return tag("p", note, *_elsewhere(), class_="note")
    extent = f"{count(shown)} of {count(total)} attempts are embedded here"
    rule = ", wrong answers and unusual outcomes first, spread over the cells. The whole run: "
    note = tag("p", extent, rule if shown < total else ". From Python: ", *_elsewhere(), class_="note")
    panes = tag("div", _listing(), tag("article", id="sample", aria_live="polite"), class_="panes")
    keys = tag(
        "p",
        tag("kbd", "j"),
        " next, ",
        tag("kbd", "k"),
        " previous, ",
        tag("kbd", "/"),
        " search",
        class_="keys",
    )
    script = tag("noscript", tag("p", "Browsing the samples needs JavaScript; nothing else on this page does."))
    return join(note, script, tag("div", _filters(found), keys, panes, id="browser"))


def _elsewhere() -> tuple[Markup]:
    return (tag("code", "for attempt in assay.open(path): …"),)


def _listing() -> Markup:
    return tag("div", id="list", role="listbox", tabindex=0, aria_label="Samples")


def _filters(found: Sequence[Mapping[str, Any]]) -> Markup:
    by_cell = [(cell["cell"], cell_name(cell)) for cell in found]
    by_outcome = [(str(name), words(name)) for name in Outcome]
    return tag(
        "form",
        _choice("cell", "Cell", "all cells", by_cell),
        _choice("outcome", "Outcome", "all outcomes", by_outcome),
        _choice("result", "Result", "all results", list(_VERDICTS.items())),
        tag(
            "label",
            tag("span", "Search"),
            tag("input", type="search", name="text", placeholder="prompt, completion, id", autocomplete="off"),
        ),
        tag("output", id="tally", role="status"),
        id="filters",
        role="search",
    )


def _choice(name: str, title: str, every: str, options: Sequence[tuple[Any, str]]) -> Markup:
    listed = [tag("option", text, value=value) for value, text in options]
    return tag("label", tag("span", title), tag("select", tag("option", every, value=""), listed, name=name))
