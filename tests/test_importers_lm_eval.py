"""lm-eval: filters are no samples, totals are held against samples, and nothing is dropped in silence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import assay
from assay.errors import ConfigError
from assay.importing import import_run
from support.foreign import lines, lm_eval, lm_row, written


def metrics(run: Any, cell: int = 0) -> dict[str, Any]:
    return {metric["name"]: metric for metric in run.results["cells"][cell]["metrics"]}


def refused(path: Path, out: Path, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        import_run("lm-eval", path, out)
    assert not out.exists()


def test_a_filter_is_no_sample(tmp_path: Path) -> None:
    lm_eval(tmp_path / "in", {"strict": [1.0, 0.0, 0.0, 1.0], "flexible": [1.0, 1.0, 0.0, 1.0]})
    run = import_run("lm-eval", tmp_path / "in", tmp_path / "run")
    found = metrics(run)
    assert (found["exact_match"]["value"], found["exact_match"]["n"]) == (0.5, 4)
    assert (found["exact_match,flexible"]["value"], found["exact_match,flexible"]["n"]) == (0.75, 4)
    assert [len(run), run.plan.cells[0].model, run.verify()] == [4, "org-m", []]
    assert [flag["level"] for flag in run.results["flags"]] == ["info"]  # which filter is the primary one


def test_the_primary_filter_is_the_first_of_the_results_wherever_its_rows_stand(tmp_path: Path) -> None:
    rows = [lm_row(doc, value, name) for doc in (1, 0) for name, value in (("b", 1.0), ("a", 0.0))]
    path = lm_eval(tmp_path / "in", {"a": [0.0, 0.0], "b": [1.0, 1.0]}, rows)
    found = metrics(import_run("lm-eval", path, tmp_path / "run"))
    assert {name: one["value"] for name, one in found.items()} == {"exact_match": 0.0, "exact_match,b": 1.0}


def test_what_a_row_says_is_kept(tmp_path: Path) -> None:
    run = import_run("lm-eval", lm_eval(tmp_path / "in", {"none": [1.0]}), tmp_path / "run")
    (entry,) = run
    assert entry.attempt["completion"]["text"] == "r0"
    assert entry.attempt["given"]["line"] == 1
    assert run.request(entry) == {"input": "Q: q0\nA:", "target": "t0"}
    assert "latency_s" not in entry.attempt


def test_likelihoods_name_the_likeliest_choice(tmp_path: Path) -> None:
    asked = {f"gen_args_{n}": {"arg_0": "Q", "arg_1": f" c{n}"} for n in range(3)}
    resps = [[["-2.0", "False"]], [["-0.5", "True"]], [["-inf", "False"]]]
    row = lm_row(0, 1.0, arguments=asked, resps=resps, target="1")
    path = lm_eval(tmp_path / "in", {"none": [1.0]}, [row])
    content = json.loads(path.read_text())
    content["configs"]["t"]["output_type"] = "multiple_choice"
    run = import_run("lm-eval", written(path, content), tmp_path / "run")
    (entry,) = run
    assert entry.attempt["completion"]["text"] == "c1"
    assert entry.attempt["given"]["loglikelihoods"] == ["-2.0", "-0.5", "-inf"]
    assert run.request(entry)["target"] == "c1"


def test_rows_without_names_of_metrics_or_filters_are_of_an_older_version(tmp_path: Path) -> None:
    rows = [{key: part for key, part in lm_row(doc, 1.0).items() if key not in ("metrics", "filter")} for doc in (0, 1)]
    run = import_run("lm-eval", lm_eval(tmp_path / "in", {"none": [1.0, 1.0]}, rows), tmp_path / "run")
    assert metrics(run)["exact_match"]["n"] == 2


def test_totals_alone_are_marked(tmp_path: Path) -> None:
    path = lm_eval(tmp_path / "in", {"none": [1.0, 0.0]})
    (tmp_path / "in" / "samples_t_2026.jsonl").unlink()
    run = import_run("lm-eval", path, tmp_path / "run")
    found = metrics(run)["exact_match"]
    assert (found["value"], found["n"], found["method"]) == (0.5, 2, "reported standard error")
    assert [flag["code"] for flag in run.results["flags"]] == ["aggregate_only"]
    assert run.verify() == []


def test_a_metric_that_only_a_sum_has_is_named_and_not_invented(tmp_path: Path) -> None:
    rows = [lm_row(0, 1.0, metrics=["exact_match", "perplexity"], perplexity=[-3.0, 5])]
    path = lm_eval(tmp_path / "in", {"none": [1.0]}, rows)
    content = json.loads(path.read_text())
    content["results"]["t"]["perplexity,none"] = 4.2
    run = import_run("lm-eval", written(path, content), tmp_path / "run")
    assert list(metrics(run)) == ["exact_match"]
    assert any("perplexity 4.2, which no sample has a value of" in flag["message"] for flag in run.results["flags"])


def test_a_group_is_no_task(tmp_path: Path) -> None:
    path = lm_eval(tmp_path / "in", {"none": [1.0]}, group_subtasks={"g": ["t"], "t": []})
    content = json.loads(path.read_text())
    content["results"]["g"] = {"exact_match,none": 1.0}
    run = import_run("lm-eval", written(path, content), tmp_path / "run")
    assert list(run.plan.tasks) == ["t"]
    assert "the group g is not imported: it sums up t" in [flag["message"] for flag in run.results["flags"]]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([lm_row(0, 1.0), lm_row(0, 0.0)], r"samples_t_2026.jsonl:2: the document '0' is there twice"),
        ([lm_row(0, 1.0)], r"1 documents, and results_2026.json reports on 2: the file is cut off"),
        ([lm_row(0, 1.0), {"doc_id": None}], r":2: doc_id is missing"),
        ([lm_row(0, 1.0), lm_row(1, 0.0, resps="r")], r":2: resps is missing"),
        ([lm_row(0, 1.0), [1]], r":2: expected a JSON object"),
        ([lm_row(0, 1.0), lm_row(1, 0.0, "other")], r":2: the filter 'other' is not one of the results'"),
        ([lm_row(0, 1.0), {**lm_row(1, 0.0), "metrics": ["f1"]}], r":2: the metric 'f1' is named, and has no value"),
        ([], r"no rows in this file"),
        ([lm_row(0, 0.0), lm_row(1, 0.0)], r"reports exact_match 0.5, and the 2 values beside it have a mean of 0:"),
    ],
)
def test_samples_that_cannot_be_trusted_are_refused(tmp_path: Path, rows: list[Any], words: str) -> None:
    path = lm_eval(tmp_path / "in", {"none": [1.0, 0.0]}, rows)
    if not rows:
        lines(tmp_path / "in" / "samples_t_2026.jsonl", [])
    refused(path, tmp_path / "run", words)


def test_a_document_without_a_row_for_each_filter_is_refused(tmp_path: Path) -> None:
    rows = [lm_row(0, 1.0, "a"), lm_row(1, 0.0, "a"), lm_row(0, 1.0, "b")]
    path = lm_eval(tmp_path / "in", {"a": [1.0, 0.0], "b": [1.0, 0.0]}, rows)
    refused(path, tmp_path / "run", r"1 documents do not have one row for each filter \(a, b\), first '1'")


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    path = lm_eval(tmp_path / "in", {"none": [1.0]})
    lines(tmp_path / "in" / "samples_u_2026.jsonl", [lm_row(0, 1.0)])
    refused(path, tmp_path / "run", "samples of u, which is no task of results_2026.json")
    written(tmp_path / "in" / "results_2027.json", {})
    refused(tmp_path / "in", tmp_path / "run", "2 files of results")
    refused(tmp_path / "in" / "samples_u_2026.jsonl", tmp_path / "run", "not a results file of lm-eval by its name")
    refused(tmp_path / "in" / "results_2027.json", tmp_path / "run", "results is missing")


def test_a_torn_line_is_refused_with_its_number(tmp_path: Path) -> None:
    path = lm_eval(tmp_path / "in", {"none": [1.0, 0.0]})
    samples = tmp_path / "in" / "samples_t_2026.jsonl"
    samples.write_bytes(samples.read_bytes()[:-40])
    refused(path, tmp_path / "run", r"samples_t_2026.jsonl:2: not JSON")


def test_a_small_difference_is_a_flag(tmp_path: Path) -> None:
    path = lm_eval(tmp_path / "in", {"none": [1.0, 0.0]})
    content = json.loads(path.read_text())
    content["results"]["t"]["exact_match,none"] = 0.504
    run = import_run("lm-eval", written(path, content), tmp_path / "run")
    (flag,) = run.results["flags"]
    assert (flag["level"], flag["code"]) == ("warning", "reported_differs")
    assert run.verify() == []


@pytest.mark.data
def test_the_real_files_give_the_tools_own_numbers(tmp_path: Path, data: Path) -> None:
    folder = data / "foreign-logs" / "lm-eval"
    run = import_run("lm-eval", folder / "dummy-run", tmp_path / "dummy")
    arc, gsm = metrics(run, 0), metrics(run, 1)
    assert (arc["acc"]["value"], arc["acc_norm"]["value"], arc["acc"]["n"]) == (0.3, 0.25, 60)
    assert (gsm["exact_match"]["value"], gsm["exact_match"]["n"]) == (0.0, 40)  # and not 80
    assert gsm["exact_match,flexible-extract"]["n"] == 40
    assert run.results["imported"]["version"] == "0.4.13"
    code = import_run("lm-eval", folder / "llama2-7b-chat-humaneval", tmp_path / "code")
    assert metrics(code)["pass@1"]["value"] == pytest.approx(0.1524390243902439, abs=1e-12)
    assert metrics(code)["pass@1"]["n"] == 164
    assert not [flag for run in (run, code) for flag in run.results["flags"] if flag["level"] != "info"]
    assert run.verify() == code.verify() == []
    assert assay.open(tmp_path / "code").plan.tasks["humaneval"].kind == "generate"
