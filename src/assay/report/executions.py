"""How the programs of each cell ended, how they were found, and what confined and checked their executions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from assay.report.markup import Markup, join, tag
from assay.report.numbers import count, percent, words
from assay.report.rows import Cell, cell_labels, drawing, legend, plot, row
from assay.sandbox.execution import Status

_HEIGHT = 18
_FACTS = {
    "tier": "tier",
    "profile": "profile",
    "landlock_abi": "Landlock version",
    "filter": "filter digest",
    "kernel": "kernel",
    "machine": "machine",
    "uid": "user",
    "scale": "time limits scaled by",
    "packages": "packages for solutions",
    "test_packages": "packages for tests",
    "workers": "workers",
}
"""What is shown of a sandbox, in this order, and what it is called."""


def executions(cells: Sequence[Cell], executed: Mapping[str, Any]) -> Markup | None:
    """One bar a cell over its executions, then each task's control and sandboxes; None where nothing was executed.

    `executed` is that of the results: task → sandboxes and control.
    """
    with_code = [cell for cell in cells if cell.get("executions")]
    if not with_code and not executed:
        return None
    return join(_bars(with_code) if with_code else None, [_task(name, found) for name, found in executed.items()])


def _bars(cells: Sequence[Cell]) -> Markup:
    names = cell_labels(cells)
    rows = [row(names[cell["cell"]], _bar(cell["executions"]), _value(cell["executions"])) for cell in cells]
    seen = {name for cell in cells for name in cell["executions"]["statuses"]}
    key = legend([(f"x-{name}", words(name)) for name in Status if name in seen])
    return join(key, plot(rows, kind="bars"))


def _counts(found: Mapping[str, Any]) -> dict[str, int]:
    """Executions by status, in the order of the vocabulary."""
    return {str(name): number for name in Status if (number := found["statuses"].get(name, 0))}


def _bar(found: Mapping[str, Any]) -> Markup:
    total = sum(_counts(found).values())
    ends = [f"{words(name)} {count(n)} ({percent(n / total)})" for name, n in _counts(found).items() if n]
    return join(
        drawing(_HEIGHT, list(_segments(found, total))),
        tag("p", " · ".join(ends)),
        tag("p", f"{_extraction(found)} · {_forgeable(found['forgeable'])}"),
    )


def _segments(found: Mapping[str, Any], total: int) -> Iterator[Markup]:
    start = 0
    for name, number in _counts(found).items():
        yield tag(
            "rect",
            tag("title", f"{words(name)}: {count(number)} of {count(total)}"),
            x=f"{100 * start / total:.3f}%",
            width=f"{100 * number / total:.3f}%",
            height=_HEIGHT,
            class_=f"x-{name}",
        )
        start += number


def _value(found: Mapping[str, Any]) -> Markup:
    total = sum(_counts(found).values())
    passed = found["statuses"].get(Status.PASSED, 0)
    return join(tag("b", f"{percent(passed / total)} passed"), tag("span", f"{count(passed)} of {count(total)}"))


def _extraction(found: Mapping[str, Any]) -> str:
    """How often each strategy found code, of how often it was the one that applied."""
    parts = (f"{words(name)} {count(n['found'])} of {count(n['tried'])}" for name, n in found["extraction"].items())
    return f"code found: {', '.join(parts)}"


def _forgeable(number: int) -> str:
    return f"! {count(number)} forgeable" if number else "none forgeable"


def _task(name: str, found: Mapping[str, Any]) -> Markup:
    sandboxes = found["sandboxes"]
    titles = ["Sandbox"] if len(sandboxes) == 1 else [f"Sandbox {n} of {len(sandboxes)}" for n in _from_one(sandboxes)]
    blocks = [_block(title, _sandbox(each)) for title, each in zip(titles, sandboxes, strict=True)]
    control = _block("Control", _control(found["control"]))
    return tag("article", tag("h3", name), control, blocks, class_="card executed")


def _from_one(items: Sequence[Any]) -> range:
    return range(1, len(items) + 1)


def _block(title: str, content: Markup) -> Markup:
    return tag("div", tag("h4", title), tag("div", content), class_="block")


def _control(control: Mapping[str, Any]) -> Markup:
    """The reference solutions: how many passed, which did not, and which are known not to."""
    if not control["executed"]:
        return tag("p", "No reference solution was executed.")
    text = f"{count(control['passed'])} of {count(control['executed'])} reference solutions passed."
    failed, broken = control["failed"], control["known_broken"]
    return join(
        tag("p", text),
        _named("Failed:", {sample: words(status) for sample, status in failed.items()}, "failed") if failed else None,
        _named("Known not to pass:", broken, "known") if broken else None,
    )


def _named(heading: str, samples: Mapping[str, str], class_: str) -> Markup:
    items = [tag("li", tag("b", sample), ": ", why) for sample, why in samples.items()]
    return tag("div", tag("p", heading), tag("ul", items), class_=class_)


def _sandbox(facts: Mapping[str, Any]) -> Markup:
    known = [(title, facts[name]) for name, title in _FACTS.items() if facts.get(name) is not None]
    return tag("dl", [(tag("dt", title), tag("dd", _fact(value))) for title, value in known], class_="facts")


def _fact(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return str(value)
