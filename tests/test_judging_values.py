"""Judged numbers by attempt: what a rubric gives, what each answer comes to, and nothing for what is missing."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from assay import judged
from assay.errors import ConfigError
from assay.judging.library import find as rubric
from assay.judging.rubric_file import parse
from assay.judging.values import JudgedMetric, find, metrics, pending, values
from assay.run.folder import RunFolder
from assay.run.state import State
from support.judging import RUBRIC, TEXT, export, fill, rows_of, run
from support.stub import Stub


def asked(made, of=values, by=RUBRIC):
    folder = RunFolder(made.path)
    return of(folder, made.plan, State.read(folder, made.plan), by)


def by_text(row):
    number = int(row["digest"][1:], 16)
    return {"fit": 1 + number % 3, "ease": number % 5 / 4}


def test_a_rubric_gives_its_composite_first_then_the_share_that_passes_and_the_judged_dimensions():
    assert metrics(rubric("tip-v1")) == (
        JudgedMetric("tip-v1.composite", "measure", 2, 17),
        JudgedMetric("tip-v1.passed", "pass", 0, 1),
        JudgedMetric("tip-v1.relevance", "measure", 1, 5),
        JudgedMetric("tip-v1.actionability", "measure", 1, 5),
        JudgedMetric("tip-v1.tone", "measure", 1, 5),
    )
    unmarked = parse(TEXT.replace("pass_mark: 4\n", ""), "fit.md")
    assert [metric.name for metric in metrics(unmarked)] == ["fit-v1.composite", "fit-v1.fit", "fit-v1.ease"]


def test_a_dimension_that_lowers_the_composite_is_better_low():
    lowered = parse(TEXT.replace("composite: fit + ease", "composite: fit / (1 + ease)"), "fit.md")
    assert {metric.short: metric.higher_is_better for metric in metrics(lowered)} == {
        "composite": True, "passed": True, "fit": True, "ease": False,
    }  # fmt: skip


def test_a_short_name_will_do_where_one_rubric_has_it():
    other = parse(TEXT.replace("id: fit", "id: suit"), "suit.md")
    assert find("composite", [RUBRIC]) == find("fit-v1.composite", [RUBRIC, other]) == metrics(RUBRIC)[0]
    assert find("beauty", [RUBRIC, other]) is None
    with pytest.raises(ConfigError, match="several rubrics give 'composite'"):
        find("composite", [RUBRIC, other])


def test_each_answer_comes_to_what_its_judges_said(tmp_path: Path, stub: Stub):
    made = run(tmp_path, stub, 12)
    queue = export(made, tmp_path / "q.csv", repeat=0.3)
    judged.apply(fill(tmp_path / "q.csv", tmp_path / "a.csv", by_text), "ada", [made.path])
    judged.apply(fill(tmp_path / "q.csv", tmp_path / "b.csv", lambda row: {"fit": 3, "ease": 1}), "bob", [made.path])
    right = {entry.attempt["index"]: entry.scores[0]["metrics"]["accuracy"] for entry in made}
    rows = {item.candidate.index: item.row for item in queue.items if item.kind == "candidate"}
    found = list(asked(made))
    assert sorted(value.index for value in found) == list(range(12))
    for value in found:
        said = by_text(rows[value.index])
        composite = ((said["fit"] + said["ease"]) + (3 + 1)) / 2 + 2 * right[value.index]
        assert value.values == pytest.approx(
            {
                "fit-v1.composite": composite,
                "fit-v1.passed": float(composite >= 4),
                "fit-v1.fit": (said["fit"] + 3) / 2,
                "fit-v1.ease": (said["ease"] + 1) / 2,
            }
        )
        assert (value.cell, value.judges) == (0, ("ada", "bob"))
    assert asked(made, pending) == {0: 0}


def test_what_nobody_judged_has_no_value_and_is_counted(tmp_path: Path, stub: Stub):
    made = run(tmp_path, stub, 10)
    assert (list(asked(made)), asked(made, pending)) == ([], {0: 10})
    export(made, tmp_path / "q.csv")
    some = {row["id"] for row in rows_of(tmp_path / "q.csv")[:4]}
    scores = {"fit": 1, "ease": 0}
    file = fill(tmp_path / "q.csv", tmp_path / "a.csv", lambda row: scores if row["id"] in some else {})
    judged.apply(file, "ada", [made.path], partial=True)
    assert (len(list(asked(made))), asked(made, pending)) == (4, {0: 6})


def test_without_the_measure_there_is_no_value_though_nothing_is_pending(tmp_path: Path, stub: Stub):
    made = run(tmp_path, stub, 5)
    export(made, tmp_path / "q.csv")
    judged.apply(fill(tmp_path / "q.csv", tmp_path / "a.csv"), "ada", [made.path])
    for segment in (made.path / "scores").glob("*"):
        header, *lines = map(orjson.loads, segment.read_bytes().splitlines())
        segment.write_bytes(
            b"".join(orjson.dumps(line) + b"\n" for line in (header, *({**x, "metrics": {}} for x in lines)))
        )
    assert (list(asked(made)), asked(made, pending)) == ([], {0: 0})
