"""EvalPlus, NeMo Evaluator and promptfoo: their numbers, their errors, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assay.errors import ConfigError
from assay.importing import import_run
from support.foreign import evalplus, promptfoo, promptfoo_row, written


def imported(format: str, path: Path, out: Path) -> tuple[Any, list[dict[str, Any]]]:
    run = import_run(format, path, out)
    assert run.verify() == []
    return run, [{metric["name"]: metric for metric in cell["metrics"]} for cell in run.results["cells"]]


def refused(format: str, path: Path, out: Path, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        import_run(format, path, out)
    assert not out.exists()


def test_plus_counts_what_passes_both(tmp_path: Path) -> None:
    statuses = {"HumanEval/0": [("pass", "pass"), ("pass", "timeout")], "HumanEval/1": [("fail", "pass")]}
    told = {"base": {"pass@1": 0.5}, "plus": {"pass@1": 0.25}}
    run, (found,) = imported(
        "evalplus", written(tmp_path / "m_eval_results.json", evalplus(statuses, pass_at_k=told)), tmp_path / "run"
    )
    assert list(found) == ["plus", "base"]
    assert (found["base"]["n"], found["base"]["clusters"], run.plan.cells[0].model) == (3, 2, "m")
    (first, *_) = run
    assert first.attempt["completion"] == {"text": "def f(): return 0", "form": "program"}
    # A share of all solutions; EvalPlus's mean over problems, 0.25, was computed again before it was believed.
    assert found["plus"]["value"] == pytest.approx(1 / 3, abs=1e-9)


def test_the_older_form_of_evalplus(tmp_path: Path) -> None:
    older = {"nfiles": 2, "base": [["success", []], ["failed", []]], "plus": [["timed out", []], ["success", []]]}
    _, (found,) = imported(
        "evalplus",
        written(tmp_path / "eval_results.json", {"hash": "h", "eval": {"HumanEval/0": older}}),
        tmp_path / "run",
    )
    assert (found["base"]["value"], found["plus"]["value"]) == (0.5, 0.0)
    alone = {"nfiles": 1, "base": [["success", []]], "plus": []}
    _, (found,) = imported(
        "evalplus", written(tmp_path / "b" / "eval_results.json", {"eval": {"HumanEval/0": alone}}), tmp_path / "base"
    )
    assert list(found) == ["base"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "eval is missing"),
        ({"eval": {}}, "no problem in it"),
        ({"eval": {"HumanEval/0": []}}, "eval.HumanEval/0: no solution in it"),
        ({"eval": {"HumanEval/0": [3]}}, r"eval.HumanEval/0\[0\]: no object"),
        (evalplus({"HumanEval/0": [("crashed", None)]}), "base_status is 'crashed'"),
        (
            {"eval": {"HumanEval/0": {"base": [["success", []]] * 2, "plus": [["success", []]]}}},
            "plus_status is 'missing'",
        ),
        (
            evalplus({"H/0": [("pass", "pass")]}, pass_at_k={"base": {"pass@1": 0.5}}),
            "reports pass@1 of base 0.5, and the solutions beside it give 1",
        ),
        (evalplus({"H/0": [("pass", "pass")]}, pass_at_k={"base": {"pass@10": 1}}), "beside it cannot give it"),
    ],
)
def test_what_is_no_result_of_evalplus_is_refused(tmp_path: Path, content: Any, words: str) -> None:
    refused("evalplus", written(tmp_path / "m_eval_results.json", content), tmp_path / "run", words)


NEMO = """
results:
  tasks:
    t:
      metrics:
        score:
          scores:
            micro: {{value: {value}, stats: {stats}}}
target: {{api_endpoint: {{model_id: org/m}}}}
"""


@pytest.mark.parametrize(
    ("value", "stats", "n"),
    [
        (0.5, "{count: 10}", 10),
        (54 / 198, f"{{stddev: {(54 / 198 * (1 - 54 / 198)) ** 0.5!r}, stderr: 0.03173071239071728}}", 198),
        (0.4, "{stddev: 0.4898979485566356, stderr: 0.16329931618554522}", 10),
        (0.25, f"{{stddev: {0.1875**0.5!r}, stderr: {(0.1875 / 8) ** 0.5!r}}}", 8),  # by the error of the population
        (0.5, "{stddev: 0.3, stderr: 0.1}", None),  # not 0 and 1: nothing tells n from n - 1
        (0.5, "{stddev: 0.5, stderr: 0.123}", None),
        (0.0, "{stddev: 0.0, stderr: 0.0}", None),
        (0.5, "{}", None),
    ],
)
def test_the_count_of_nemo_is_given_derived_or_unknown(tmp_path: Path, value: float, stats: str, n: int | None) -> None:
    (tmp_path / "results.yml").write_text(NEMO.format(value=value, stats=stats))
    _, (found,) = imported("nemo", tmp_path / "results.yml", tmp_path / "run")
    assert (found["score.micro"]["value"], found["score.micro"]["n"]) == (pytest.approx(value, abs=1e-11), n)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("results: [", "not YAML"),
        ("results: {}", "no scores in it"),
        ("other: 1", "results is missing"),
        (NEMO.format(value=".nan", stats="{}"), "not a finite number"),
        (NEMO.format(value="many", stats="{}"), "micro.value is no finite number: 'many'"),
        (NEMO.format(value=1, stats="{}") + "results: {}", "this key is here twice"),
        ("results: &a {tasks: *a}", "stands inside its own anchor"),
    ],
)
def test_what_is_no_result_of_nemo_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "results.yml").write_text(text)
    refused("nemo", tmp_path / "results.yml", tmp_path / "run", words)


def test_promptfoo_is_a_grid_of_providers_and_prompts(tmp_path: Path) -> None:
    rows = [promptfoo_row(0, test, test == 0) for test in range(3)] + [promptfoo_row(1, test) for test in range(3)]
    path = written(tmp_path / "out.json", promptfoo([("echo", "A {{q}}"), ("echo", "B {{q}}")], rows))
    run, (first, second) = imported("promptfoo", path, tmp_path / "run")
    assert (first["pass"]["value"], second["pass"]["value"]) == (pytest.approx(1 / 3, abs=1e-9), 1.0)
    assert [cell.prompt for cell in run.plan.cells] == ["prompt-1@1", "prompt-2@1"]
    assert run.plan.prompts["prompt-2@1"]["template"] == "B {{q}}"
    assert len(run.plan.tasks["tests"].samples) == 3


def test_errors_of_promptfoo_are_no_failed_tests(tmp_path: Path) -> None:
    rows = [promptfoo_row(0, 0), promptfoo_row(0, 1, False, failureReason=2, error="503", response={"error": "503"})]
    rows.append(promptfoo_row(0, 2, response={"output": "no", "isRefusal": True}))
    run, (found,) = imported(
        "promptfoo", written(tmp_path / "o.json", promptfoo([("echo", "p")], rows)), tmp_path / "run"
    )
    assert run.results["attempts"]["outcomes"] == {"ok": 1, "refused": 1, "infra_error": 1}
    assert (found["pass"]["value"], found["pass"]["n"]) == (1.0, 2)


def test_what_one_cell_lacks_is_skipped_and_not_wrong(tmp_path: Path) -> None:
    rows = [promptfoo_row(0, 0), promptfoo_row(0, 1), promptfoo_row(1, 0, provider="b")]
    path = written(tmp_path / "o.json", promptfoo([("echo", "p"), ("b", "p")], rows))
    run, (_, second) = imported("promptfoo", path, tmp_path / "run")
    assert run.results["cells"][1]["outcomes"] == {"ok": 1, "skipped": 1}
    assert second["pass"]["n"] == 1


def test_a_repeated_test_is_another_epoch(tmp_path: Path) -> None:
    cases = [{"vars": {"q": "x"}, "assert": []}, {"vars": {"q": "y"}, "assert": []}] * 2
    rows = [promptfoo_row(0, number, testCase=case, vars=case["vars"]) for number, case in enumerate(cases)]
    path = written(tmp_path / "o.json", promptfoo([("echo", "p")], rows, runtimeOptions={"repeat": 2}))
    run, (found,) = imported("promptfoo", path, tmp_path / "run")
    assert (len(run.plan.tasks["tests"].samples), found["pass"]["n"], found["pass"]["clusters"]) == (2, 4, 2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 2}, "results of version 2"),
        ({"results": []}, "no result in it"),
        ({"prompts": 3}, "results.prompts is missing"),
        ({"stats": {"successes": 3, "failures": 0, "errors": 0}}, "1 results, and its statistics count 3"),
        ({"results": [promptfoo_row(5, 0)]}, "promptIdx is 5, and there are 1"),
        ({"results": [promptfoo_row(0, 0, provider="other")]}, "is of another provider than its column"),
        ({"results": [promptfoo_row(0, 0), promptfoo_row(0, 0)]}, "the sample '0' is there twice"),
        ({"results": [{"promptIdx": 0, "testIdx": 0}]}, "success is missing"),
    ],
)
def test_what_is_no_result_of_promptfoo_is_refused(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    content = promptfoo([("echo", "p")], [promptfoo_row(0, 0)])
    content["results"] |= change
    refused("promptfoo", written(tmp_path / "o.json", content), tmp_path / "run", words)


@pytest.mark.data
def test_the_real_files_of_nemo_and_promptfoo(tmp_path: Path, data: Path) -> None:
    folder = data / "foreign-logs"
    run, (found,) = imported("nemo", folder / "nemo-evaluator" / "llama-8b", tmp_path / "nemo")
    assert (found["score.micro"]["value"], found["score.micro"]["n"]) == (pytest.approx(54 / 198, abs=1e-11), 198)
    assert [flag["code"] for flag in run.results["flags"]] == ["aggregate_only", "count_derived"]
    path = folder / "promptfoo" / "echo-run-local-v0.123.1.json"
    run, cells = imported("promptfoo", path, tmp_path / "promptfoo")
    assert [round(cell["pass"]["value"] * 3) for cell in cells] == [1, 2]
    assert [round(cell["score"]["value"] * 3, 9) for cell in cells] == [1.5, 2.0]
    assert run.results["flags"] == []
