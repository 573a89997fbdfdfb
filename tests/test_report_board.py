"""The board over sums made by hand: joins, ranks, refusals, and pages that names cannot break."""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay.errors import ConfigError
from assay.plan.plan import Cell, ModelPlan, Plan, ScorerPlan, TaskPlan
from assay.records import Sampling
from assay.report.board import make
from assay.report.board_page import Answer, Looked, write
from assay.report.board_text import as_csv, as_markdown
from assay.run.sums import JudgedSums, RunSums, starts_of
from assay.stats.ranking import rank_cells

NASTY = "</td><script>alert(1)</script>|`=1+1`\n\ud800"


def metric(name="accuracy", kind="pass", higher=True):
    return {"name": name, "kind": kind, "higher_is_better": higher, "low": None, "high": None, "help": ""}


@dataclass
class Made:
    """A run: `scores` by (model, prompt, task), one number a sample, None where there is none."""

    scores: dict[tuple[str, str, str], list[float | None]]
    name: str = "run"
    metrics: tuple[dict[str, Any], ...] = (metric(),)
    dataset: str = "d" * 64
    model: str = ""
    answered: int | None = None
    clusters: dict[str, tuple[str, ...]] = field(default_factory=dict)
    scorer: str = "exact_match"

    def run(self) -> RunSums:
        sizes = {task: len(values) for (_, _, task), values in self.scores.items()}
        scorer = ScorerPlan(self.scorer, {}, "1", self.metrics)
        tasks = {
            name: TaskPlan(
                name, name, "1", "generate", self.dataset, {}, 0, 1, 0, scorer, "disabled",
                tuple(f"s{n}" for n in range(size)), cluster="who" if name in self.clusters else None,
            )
            for name, size in sizes.items()
        }  # fmt: skip
        models = {
            model: ModelPlan(
                model, f"openai:{self.model or model}", {"digest": self.model or model}, {}, None, None, None, False
            )
            for model, _, _ in self.scores
        }
        prompts = {prompt: {"id": prompt} for _, prompt, _ in self.scores}
        cells = tuple(Cell(f"{n:016x}", *key, "chat", Sampling()) for n, key in enumerate(self.scores))
        plan = Plan(self.name, 0, {}, models, prompts, tasks, cells)
        return RunSums(
            self.name, Path(self.name), plan, self.results(cells), dict.fromkeys(tasks, scorer),
            {self.metrics[0]["name"]: self.totals()}, starts_of(plan), f"run-{self.name}", self.clusters,
        )  # fmt: skip

    def totals(self):
        values = [value for row in self.scores.values() for value in row]
        return np.array([value or 0.0 for value in values]), np.array([float(value is not None) for value in values])

    def results(self, cells):
        rows = []
        for number, values in enumerate(self.scores.values()):
            scored = sum(value is not None for value in values)
            ok = scored if self.answered is None else self.answered
            rows.append(
                {
                    "cell": number,
                    "planned": len(values),
                    "finished": len(values),
                    "scored": scored,
                    "outcomes": {"ok": ok, "infra_error": len(values) - ok},
                    "cost": {"amount": 0.5, "currency": "EUR"},
                    "latency_s": {"mean": 1.0, "p50": 0.8, "p95": 2.0},
                }
            )
        total = sum(len(values) for values in self.scores.values())
        return {"cells": rows, "complete": True, "attempts": {"planned": total, "finished": total}, "anomalies": []}


def rates(*shares, n=40):
    return [[1.0 if place < share * n else 0.0 for place in range(n)] for share in shares]


def board(*runs, **more):
    return make([run.run() for run in runs], **more)


def two(one=0.9, other=0.2, **more):
    first, second = rates(one, other)
    return Made({("m", "a@1", "t"): first, ("m", "b@1", "t"): second}, **more)


def test_the_ranks_are_those_of_the_statistics():
    first, second, third = rates(0.9, 0.85, 0.2)
    found = board(Made({("m", "a@1", "t"): third, ("m", "b@1", "t"): first, ("m", "c@1", "t"): second}))
    expected = rank_cells([third, first, second], np.ones((3, 40)))
    entries = found.document["entries"]
    assert [entry["prompt"] for entry in entries] == ["b@1", "c@1", "a@1"]
    assert [entry["best"] for entry in entries] == [standing.best for standing in expected.standings]
    assert [entry["groups"] for entry in entries] == [["A"], ["A"], ["B"]]
    assert found.document["winner"]["corrected"] == pytest.approx(expected.winner.corrected)
    assert entries[0]["cost"] == {"amount": 0.5, "currency": "EUR"}


def test_where_less_is_better_the_least_is_first_and_the_winner_is_no_better_than_it_looks():
    found = board(two(metrics=(metric("repairs", "measure", higher=False),)))
    assert [entry["value"] for entry in found.document["entries"]] == pytest.approx([0.2, 0.9])
    winner = found.document["winner"]
    assert (winner["value"], winner["entry"]) == (pytest.approx(0.2), 1)
    assert winner["low"] < 0.2 <= winner["corrected"] < winner["high"]


def test_an_entry_without_scores_is_pending_and_neither_a_zero_nor_ranked():
    run = two()
    run.scores["m", "c@1", "t"] = [None] * 40
    run.answered = 40
    found = board(run)
    last = found.document["entries"][-1]
    assert (last["prompt"], last["rank"], last["value"], last["pending"]) == ("c@1", None, None, 40)
    assert found.document["shared"] == 40
    assert any("not ranked" in note for note in found.document["notes"])


def test_a_sample_that_one_entry_lacks_is_in_nobody_s_rank():
    first, second = rates(0.9, 0.2)
    second[0] = None
    found = board(Made({("m", "a@1", "t"): first, ("m", "b@1", "t"): second})).document
    assert (found["shared"], found["excluded"]) == (39, 1)
    assert found["entries"][0]["value"] == pytest.approx(35 / 39)
    assert found["entries"][0]["all"]["value"] == pytest.approx(36 / 40)
    assert "some are missing from m · b@1" in found["notes"][0]


def test_clusters_of_the_task_are_the_independent_ones():
    found = board(two(clusters={"t": tuple("abcdefgh"[n % 8] for n in range(40))})).document
    assert [(entry["n"], entry["clusters"]) for entry in found["entries"]] == [(40, 8), (40, 8)]


def test_data_that_differ_are_joined_by_content_alone():
    contents = {
        "one": [b"x", b"y", *[b"%d" % n for n in range(38)]],
        "two": [b"X", b"y", *[b"%d" % n for n in range(38)]],
    }
    first = Made({("m", "a@1", "t"): rates(0.9)[0]}, name="one")
    second = Made({("n", "a@1", "t"): rates(0.5)[0]}, name="two", dataset="e" * 64)
    found = board(first, second, contents=lambda run, task: contents[run.name]).document
    assert (found["shared"], found["excluded"]) == (39, 2)
    assert any("data differ" in note for note in found["notes"])
    assert board(first, second).document["shared"] == 0


def test_one_name_for_different_models_makes_entries_apart():
    values = rates(0.9)[0]
    one = Made({("m", "a@1", "t"): values}, name="one", model="x")
    other = Made({("m", "a@1", "t"): values}, name="two", model="y")
    found = board(one, other).document
    assert [entry["label"] for entry in found["entries"]] == ["m · a@1 · one", "m · a@1 · two"]
    assert any("not the same in every run" in note for note in found["notes"])


def test_what_differs_between_runs_is_said():
    one = Made({("m", "a@1", "t"): rates(0.9)[0]}, name="one")
    other = Made({("n", "a@1", "t"): rates(0.8)[0]}, name="two", scorer="regex")
    assert any("the scorer differs between entries" in note for note in board(one, other).document["notes"])


def test_tasks_are_averaged_aloud_and_missing_ones_named():
    values = rates(0.9, 0.5)
    run = Made({("m", "a@1", "t"): values[0], ("m", "a@1", "u"): values[1], ("m", "b@1", "t"): values[1]})
    found = board(run).document
    assert any("averaged over t, u" in note for note in found["notes"])
    assert "u: not asked of m · b@1" in found["notes"]
    assert found["shared"] == 40
    assert board(run, tasks=["t"]).document["tasks"] == ["t"]


def test_metrics_of_different_kinds_are_not_mixed():
    one = Made({("m", "a@1", "t"): rates(0.9)[0]}, name="one")
    other = Made({("m", "a@1", "u"): rates(0.9)[0]}, name="two", metrics=(metric("grade", "measure"),))
    with pytest.raises(ConfigError, match="cannot be averaged"):
        board(one, other)


def test_one_entry_is_shown_and_not_ranked():
    found = board(Made({("m", "a@1", "t"): rates(0.9)[0]})).document
    assert (found["winner"], found["entries"][0]["rank"]) == (None, None)
    assert found["entries"][0]["value"] == 0.9


def page(tmp_path, document, samples=()):
    path = tmp_path / "board.html"
    write(path, document, samples)
    return path.read_text()


def test_no_name_breaks_a_page_or_a_table(tmp_path):
    first, second = rates(0.9, 0.2)
    made = Made({("=cmd", NASTY.replace("\ud800", ""), "t"): first, ("n", "b@1", "t"): second})
    document = board(made).document
    looked = Looked(NASTY, NASTY, NASTY, (Answer(NASTY, 1.0, NASTY), Answer("b", 0.0, None)))
    text = page(tmp_path, document, [looked])
    assert "<script" not in text
    assert not re.search(r"(?:src|href)=\"(?!#)", text)
    assert "style-src &#x27;sha256-" in text
    assert ' style="' not in text
    table = as_markdown(document)
    assert "<script" not in table
    rows = [line for line in table.splitlines() if line.startswith("|")]
    assert len({len(re.split(r"(?<!\\)\|", row)) for row in rows}) == 1
    assert "'=cmd" in as_csv(document)


def test_the_map_marks_what_is_missing(tmp_path):
    first, second = rates(0.9, 0.2)
    run = Made({("m", "a@1", "t"): first, ("m", "b@1", "t"): [None] * 40, ("n", "b@1", "t"): second}, answered=40)
    text = page(tmp_path, board(run).document)
    assert 'class="pending">pending: 40<' in text
    assert 'class="none">' in text
    assert 'class="h9"' in text
    assert 'class="h0"' in text


def test_a_tie_is_called_one():
    found = board(two(0.5, 0.5)).document
    assert found["winner"]["statement"].startswith("2 of 2 tie for the best with 50.0%")
    assert [entry["rank"] for entry in found["entries"]] == [1, 1]


def judging(made, values, pending=None, label="fit-v1", digest="f" * 64, tasks=("t",), **more):
    """The run with composites `values`, one list a cell as `Made` has them; `pending` by cell."""
    run = made.run()
    given = [value for row in values for value in row]
    sums = np.array([value or 0.0 for value in given]), np.array([float(value is not None) for value in given])
    names = [metric(f"{label}.composite", "measure"), metric(f"{label}.passed"), metric(f"{label}.fit", "measure")]
    counts = {number: {"ada": sum(value is not None for value in row)} for number, row in enumerate(values)}
    judged = JudgedSums(
        label, digest, tuple(names), ("accuracy",), tasks,
        {name["name"]: sums if name["kind"] == "measure" else (sums[0] >= 4, sums[1]) for name in names},
        pending or {}, {}, counts, {"ada": "person"}, **more,
    )  # fmt: skip
    return replace(run, judged=(*run.judged, judged))


SPREAD = [[float(place % 5) + level for place in range(40)] for level in (3, 1)]


def test_what_is_judged_is_ranked_by_its_composite_unless_another_metric_is_asked_for():
    run = judging(two(one=0.2, other=0.9), SPREAD)
    found = make([run]).document
    assert found["metric"]["name"] == "fit-v1.composite"
    assert [entry["value"] for entry in found["entries"]] == pytest.approx([5, 3])
    assert [entry["prompt"] for entry in found["entries"]] == ["a@1", "b@1"]
    for name in ("composite", "fit-v1.composite"):
        assert make([run], metric=name).document["entries"] == found["entries"]
    assert make([run], metric="accuracy").document["entries"][0]["prompt"] == "b@1"
    assert make([run], metric="passed").document["metric"]["kind"] == "pass"
    assert f"judged by fit-v1 ({'f' * 12}): ada (person, 80 judgements)" in found["notes"]
    assert found["entries"][0]["judges"] == {"ada": {"kind": "person", "judgements": 40}}


def test_a_cell_with_a_judgement_missing_is_pending_and_not_ranked_until_it_is_there():
    lacking = [SPREAD[0], [None, *SPREAD[1][1:]]]
    found = make([judging(two(), lacking, {1: 1})]).document
    first, last = found["entries"]
    assert (last["value"], last["rank"], last["pending"], last["all"]["value"]) == (None, None, 1, None)
    assert all(last["metrics"][f"fit-v1.{name}"]["value"] is None for name in ("composite", "passed", "fit"))
    assert (first["value"], first["n"], found["shared"]) == (pytest.approx(5), 40, 40)
    assert "m · b@1: 1 of 40 answers are not judged, so it is not ranked" in found["notes"]
    assert "pending" in as_markdown(found).splitlines()[3]
    assert [entry["rank"] for entry in make([judging(two(), SPREAD)]).document["entries"]] == [1, 2]


def test_judged_answers_without_a_measure_are_left_out_aloud():
    lacking = [SPREAD[0], [None, *SPREAD[1][1:]]]
    run = judging(two(), lacking)
    found = make([replace(run, judged=(replace(run.judged[0], unmeasured={1: 1}),))]).document
    assert (found["shared"], found["excluded"], found["entries"][1]["unmeasured"]) == (39, 1, 1)
    assert [entry["rank"] for entry in found["entries"]] == [1, 2]
    assert "m · b@1: 1 judged answers have no measure that the composite needs" in found["notes"]


def test_a_run_that_was_never_handed_out_is_pending_beside_one_that_was():
    one, other = two(), two(name="other")
    found = make([judging(one, SPREAD), other.run()], by=["model", "prompt"]).document
    assert [(entry["run"], entry["value"] is None, entry["pending"]) for entry in found["entries"]] == [
        ("run", False, 0), ("run", False, 0), ("other", True, 40), ("other", True, 40),
    ]  # fmt: skip


def test_one_name_for_two_rubrics_is_refused():
    runs = [judging(two(), SPREAD), judging(two(name="other"), SPREAD, digest="0" * 64)]
    with pytest.raises(ConfigError, match="fit-v1 of other is another rubric"):
        make(runs)


def test_of_several_rubrics_one_must_be_named():
    run = judging(two(), SPREAD)
    both = replace(run, judged=(*run.judged, *judging(two(), SPREAD[::-1], label="tip-v1", digest="0" * 64).judged))
    for more in ({}, {"metric": "composite"}):
        with pytest.raises(ConfigError, match="several rubrics") as caught:
            make([both], **more)
        assert "tip-v1.composite" in str(caught.value)
    assert make([both], metric="tip-v1.composite").document["entries"][0]["prompt"] == "b@1"


def test_marked_batches_flags_and_other_judges_are_named():
    marked = ({"batch": "b1", "judge": "ada", "judgements": 40, "why": ["anchor 1: fit is 1, calibrated as 3"]},)
    run = judging(two(), SPREAD, marked=marked, flags={"self_preference": 3})
    bob = replace(run.judged[0], judged={0: {"ada": 40}, 1: {"bob": 40}}, judges={"ada": "person", "bob": "model"})
    notes = make([replace(run, judged=(bob,))]).document["notes"]
    assert any("run: the batch b1 by ada (40 judgements) is marked: anchor 1" in note for note in notes)
    assert "run: 3 judgements by fit-v1 are flagged self_preference" in notes
    assert any("ada (person, 40 judgements), bob (model, 40 judgements)" in note for note in notes)
    assert "not every entry is judged by the same judges (m · a@1: ada, m · b@1: bob)" in notes


def test_the_dimensions_have_columns_and_what_judges_wrote_breaks_no_page(tmp_path):
    document = make([judging(two(), SPREAD)]).document
    head = [cell.strip() for cell in as_markdown(document).splitlines()[0].split("|")]
    assert [name for name in head if name in ("passed", "fit", "accuracy")] == ["passed", "fit", "accuracy"]
    remark = {"judge": NASTY, "kind": "model", "scores": {"fit": 2}, "text": NASTY, "flags": ["self_preference"]}
    looked = Looked("t", "s1", "?", (Answer("m · a@1", 5.0, "an answer", (remark,)),))
    text = page(tmp_path, document, [looked])
    assert "<script" not in text
    assert "self preference" in text and "<p>fit 2</p>" in text and "fit 5" in text
