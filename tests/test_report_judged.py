"""The report's section on judgements: the numbers of judged.json, what is pending, and words of judges as text."""

from __future__ import annotations

import re
from typing import Any

from assay.report.judged import Judged
from test_report_html import written
from test_report_inputs import HOSTILE, MadeUp, made_up


def mean(value: float | None, n: int = 30) -> dict[str, Any]:
    ends = {"low": None, "high": None} if value is None else {"low": value - 0.25, "high": value + 0.25}
    return {"value": value, **ends, "n": n, "clusters": None, "confidence": 0.95, "method": "t"}


def judged_of(run: MadeUp, text: str = "Plain and complete.", pending: int = 0) -> Judged:
    """Judgements of every cell of a made-up run by one rubric; the last cell has `pending` ones."""
    rows = []
    for cell in run.results["cells"]:
        left = pending if cell is run.results["cells"][-1] else 0
        names = {key: cell[key] for key in ("cell", "model", "prompt", "task")}
        counts = {"planned": 30, "candidates": 30, "unanswered": 0, "judged": 30 - left, "pending": left}
        rows.append(
            {
                **names, **counts, "state": "pending" if left else "judged", "unmeasured": 0, "flags": {"odd_one": 2},
                "judges": {text: 30 - left}, "composite": mean(3.5 + cell["cell"]), "passed": mean(0.625),
                "dimensions": {"tone": mean(2.75), "format_ok": mean(0.5)},
            }
        )  # fmt: skip
    label = {"label": "fit-v1", "digest": "f" * 64, "composite": "tone + 2·format_ok", "pass_mark": 4, "range": [1, 7]}
    found = {
        "rubric": label, "candidates": 30 * len(rows), "pending": pending, "cells": rows,
        "judges": [{"judge": text, "kind": "model", "votes": 3, "judgements": 90}],
        "marked": [{"batch": "b1", "judge": text, "judgements": 9, "why": [f"anchor 1: {text}"]}],
    }  # fmt: skip
    said = {"rubric": "fit-v1", "judge": "ada", "kind": "person", "scores": {"tone": 3}, "text": text}
    each = {entry.attempt["index"]: [said] for entry in run.entries}
    return Judged({"schema": "assay.judged.v1", "rubrics": [found]}, each)


def section(page: Any) -> str:
    return " ".join(
        re.sub(r"<[^>]+>", " ", page.source.split('id="judged"')[1].split('<section id="cells"')[0]).split()
    )


def test_a_run_that_nobody_judged_has_no_such_section(tmp_path):
    page = written(tmp_path, made_up(samples=5))
    assert 'id="judged"' not in page.source
    assert all("judgements" not in entry for entry in page.data["entries"])


def test_the_numbers_are_those_of_the_judgements(tmp_path):
    run = made_up(samples=5)
    page = written(tmp_path, run, judged=judged_of(run))
    text = section(page)
    for said in (
        "composite = tone + 2·format_ok, 1 to 7 · passes from 4",
        "3.5 3.25 to 3.75",
        "62.5%",
        "2.75",
        "Plain and complete. (model, 3 votes each): 90 judgements stand",
        "marked: the batch b1",
        "12 judgements are flagged: odd one",
    ):
        assert said in text
    assert all(entry["judgements"][0]["scores"] == {"tone": 3} for entry in page.data["entries"])


def test_a_pending_cell_shows_no_mean(tmp_path):
    run = made_up(samples=5)
    text = section(written(tmp_path, run, judged=judged_of(run, pending=4)))
    composite = f"{3.5 + len(run.results['cells']) - 1:.3g}"
    assert "4 of 180 pending" in text
    assert text.count("pending") > 4
    assert composite not in text


def test_what_judges_wrote_is_text_and_nothing_else(tmp_path):
    run = made_up(samples=5)
    page = written(tmp_path, run, judged=judged_of(run, HOSTILE))
    assert [name for name, _ in page.elements].count("script") == 2
    assert not {"img", "iframe"} & {name for name, _ in page.elements}
    assert page.data["entries"][0]["judgements"][0]["text"].startswith("</script><script>")
