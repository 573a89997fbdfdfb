"""Sums by cell and sample, out of score lines written by hand."""

import orjson
import pytest

from assay.errors import EvidenceError
from assay.plan.plan import Cell, ModelPlan, Plan, ScorerPlan, TaskPlan
from assay.records import Sampling
from assay.run.scores import header, scorer_id
from assay.run.sums import starts_of, totals

METRICS = tuple(
    {"name": name, "kind": kind, "higher_is_better": True, "low": None, "high": None, "help": ""}
    for name, kind in (("accuracy", "pass"), ("grade", "measure"), ("said", "label"))
)
SCORER = ScorerPlan("own", {}, "1", METRICS)


def plan(samples=3, epochs=2, counts=()):
    ids = tuple(f"s{number}" for number in range(samples))
    task = TaskPlan("t", "t", "1", "generate", "d", {}, 0, epochs, 0, SCORER, "disabled", ids, counts=counts)
    model = ModelPlan("m", "openai:m", {}, {}, None, None, None, False)
    cells = tuple(Cell(f"{n:016x}", "m", name, "t", "chat", Sampling()) for n, name in enumerate(("a@1", "b@1")))
    return Plan("p", 0, {}, {"m": model}, {}, {"t": task}, cells)


def written(path, lines):
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    return path


def line(plan_, index, value, revision=0, **more):
    cell = sum(index >= start for start in plan_.starts[1:])
    metrics = {"accuracy": value >= 0.5, "grade": value, "said": "x"}
    return {"index": index, "cell": cell, "revision": revision, "scorer": scorer_id(SCORER), "metrics": metrics, **more}


def summed(tmp_path, plan_, lines, scored, attempts=()):
    path = written(tmp_path / "scores" / "0001.jsonl", [header({"t": SCORER}), *lines])
    results = {"cells": [{"cell": number, "scored": n} for number, n in enumerate(scored)]}
    return totals(plan_, results, {"t": SCORER}, lambda: list(attempts), [path])


def test_epochs_of_a_sample_add_up(tmp_path):
    made = plan()
    found = summed(tmp_path, made, [line(made, index, index / 10) for index in range(12)], (6, 6))
    sums, counts = found["grade"]
    assert sums.tolist() == pytest.approx([0.3, 0.5, 0.7, 1.5, 1.7, 1.9])
    assert counts.tolist() == [2.0] * 6
    assert found["accuracy"][0].tolist() == [0, 0, 1, 2, 2, 2]
    assert (set(found), starts_of(made)) == ({"accuracy", "grade"}, (0, 3, 6))


def test_samples_tried_differently_often(tmp_path):
    made = plan(epochs=3, counts=(1, 3, 2))
    found = summed(tmp_path, made, [line(made, index, 1.0) for index in range(12)], (6, 6))
    assert found["grade"][1].tolist() == [1, 3, 2, 1, 3, 2]


def test_errors_other_scorers_and_missing_lines_count_nothing(tmp_path):
    made = plan()
    lines = [
        line(made, 0, 1.0),
        {**line(made, 1, 1.0), "error": "broken"},
        line(made, 2, 1.0) | {"scorer": "other@1:0"},
    ]
    del lines[1]["metrics"]
    assert summed(tmp_path, made, lines, (1, 0))["grade"][1].tolist() == [1, 0, 0, 0, 0, 0]


def test_the_score_of_an_answer_that_was_replaced_counts_no_more(tmp_path):
    made = plan()
    attempts = written(tmp_path / "attempts" / "0001.jsonl", [{"index": 1, "revision": n} for n in (0, 1)])
    lines = [line(made, 0, 1.0), line(made, 1, 1.0)]
    assert summed(tmp_path, made, lines, (1, 0), [attempts])["grade"][1].tolist() == [1, 0, 0, 0, 0, 0]
    again = [*lines, line(made, 1, 0.0, revision=1)]
    sums, counts = summed(tmp_path, made, again, (2, 0), [attempts])["grade"]
    assert (sums.tolist()[:2], counts.tolist()[:2]) == ([1, 0], [1, 1])


@pytest.mark.parametrize(
    ("lines", "scored"),
    [([(0, 1.0), (0, 1.0)], (2, 0)), ([(0, 1.0)], (2, 0)), ([(0, 1.0)], (0, 1)), ([(99, 1.0)], (1, 0))],
)
def test_scores_that_are_not_those_of_the_results_are_refused(tmp_path, lines, scored):
    made = plan()
    with pytest.raises(EvidenceError):
        summed(tmp_path, made, [line(made, min(n, 11), v) | {"index": n} for n, v in lines], scored)


def test_what_is_no_score_line_is_refused(tmp_path):
    made = plan()
    with pytest.raises(EvidenceError, match="not what assay writes"):
        summed(tmp_path, made, [line(made, 0, 1.0) | {"index": "zero"}], (1, 0))


def test_nothing_scored_is_nothing(tmp_path):
    made = plan()
    found = totals(made, {"cells": [{"cell": n, "scored": 0} for n in range(2)]}, {"t": SCORER}, list, [])
    assert found["grade"][1].sum() == 0
