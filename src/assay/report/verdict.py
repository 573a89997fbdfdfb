"""A gate's result for CI: as Markdown for a job's summary, and as JUnit XML for whoever collects test results."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from assay.report.numbers import MISSING

_ICONS = {"PASS": "✅", "ACCEPT": "✅", "INCONCLUSIVE": "⚠️"}
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def markdown(result: Mapping[str, Any]) -> str:
    """The verdict, its reasons, and a table of the tasks."""
    verdict = result["verdict"]
    lines = [f"## {_ICONS.get(verdict, '❌')} assay gate {result['gate']}: {verdict}", ""]
    lines += [f"- {_text(reason)}" for reason in result["reasons"]]
    tasks = [task for task in result["numbers"].get("tasks", []) if "delta" in task]
    if tasks:
        lines += ["", "| task | tier | pairs | baseline | candidate | difference | bounds | margin | verdict |"]
        lines += ["|---|---|---:|---:|---:|---:|---|---:|---|", *map(_row, tasks)]
    for item in result["inputs"]:
        lines += ["", f"{item['role']}: {_input(item)}"]
    digest = result["policy"].get("digest")
    return "\n".join([*lines, "", f"policy `{str(digest)[:16]}`" if digest else "no policy", ""])


def _row(task: Mapping[str, Any]) -> str:
    return f"| {' | '.join(_text(cell) for cell in cells_of(task))} |"


def cells_of(task: Mapping[str, Any]) -> list[str]:
    """One task's row in a table: task, tier, pairs, baseline, candidate, difference, bounds, margin, verdict."""
    rate = task["kind"] == "pass"
    low, high = (change(task[name], rate) for name in ("low", "high"))
    sign = -1 if task["direction"] == "higher_is_better" else 1
    return [
        task["task"],
        task["tier"],
        f"{task['pairs']:,}",
        _score(task["baseline"], rate),
        _score(task["candidate"], rate),
        change(task["delta"], rate),
        f"{low} to {high}",
        change(sign * task["margin"]["to_accept"], rate) if "margin" in task else MISSING,
        task["verdict"] or MISSING,
    ]


def _score(value: float, rate: bool) -> str:
    return f"{100 * value:.1f} %" if rate else f"{value:.4g}"


def change(value: float | None, rate: bool) -> str:
    """A signed difference: points of a rate, else in the metric's own units."""
    if value is None:
        return MISSING
    return f"{100 * value:+.2f}" if rate else f"{value:+.4g}"


def _text(text: str) -> str:
    """Names come from files that anybody may have written: nothing in them is markup, and a line stays a line."""
    return re.sub(r"([\\`*_{}\[\]<>|#])", r"\\\1", " ".join(str(text).split()))


def _input(item: Mapping[str, Any]) -> str:
    """A run by its seal, anything else by its digest."""
    if "run" in item:
        return f"{_text(item['run'])}, seal `{item['manifest'] or MISSING}`"
    return f"{_text(item.get('checkpoint') or MISSING)}, SHA-256 `{item.get('sha256') or MISSING}`"


def junit_xml(result: Mapping[str, Any]) -> str:
    """Every check as a test case: failed where it is not true, with its reason; undecided ones are failures too."""
    cases = [_case(check) for check in result["checks"] if check["ok"] is not None or "reason" in check]
    failed = sum("<failure" in case for case in cases)
    name = _attribute(f"assay gate {result['gate']}")
    verdict = _attribute(result["verdict"])
    if not cases:
        cases, failed = [_failure("evidence", "", result["reasons"], result["verdict"])], 1
    head = f'<testsuite name={name} tests="{len(cases)}" failures="{failed}" errors="0" skipped="0">'
    properties = f'<properties><property name="verdict" value={verdict}/></properties>'
    return "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', head, properties, *cases, "</testsuite>", ""])


def _case(check: Mapping[str, Any]) -> str:
    if check["ok"]:
        return f"<testcase classname={_attribute(check['where'])} name={_attribute(check['name'])}/>"
    kind = check.get("failure_class") or ("undecided" if check["ok"] is None else "failed")
    return _failure(check["name"], check["where"], [check.get("reason", "")], kind)


def _failure(name: str, where: str, reasons: Sequence[str], kind: str) -> str:
    text = "\n".join(reasons)
    opened = f"<testcase classname={_attribute(where)} name={_attribute(name)}>"
    return f"{opened}<failure type={_attribute(kind)} message={_attribute(text)}>{_content(text)}</failure></testcase>"


def _attribute(text: str) -> str:
    return quoteattr(_NO_XML.sub("\ufffd", text))


def _content(text: str) -> str:
    return escape(_NO_XML.sub("\ufffd", text))
