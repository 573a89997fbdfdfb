from __future__ import annotations

import re

from assay.report import html
from assay.report.executions import executions
from assay.sandbox.execution import Status
from test_report_html import Page
from test_report_inputs import HOSTILE, executed, made_up


def run_of_code(**options):
    return made_up(**{"tasks": ("humaneval",), "samples": 60, "bad": 0.0, **options})


def words_of(markup):
    return " ".join(re.sub(r"<[^>]+>", " ", markup).split())


def shown(cells, found):
    markup = executions(cells, found)
    assert markup is not None
    return words_of(markup)


def page_of(tmp_path, run):
    html.write(tmp_path / "report.html", run.results, run.plan, run.entries, run.render)
    return Page(tmp_path / "report.html")


def test_every_status_stands_there_in_words_with_its_count_and_share():
    run = run_of_code()
    text = shown(run.results["cells"], run.results["executed"])
    for cell in run.results["cells"]:
        found = cell["executions"]
        assert len(found["statuses"]) > 4
        for name, number in found["statuses"].items():
            assert f"{name.replace('_', ' ')} {number} ({100 * number / 60:.1f}%)" in text
        assert f"code found: fenced 60 of 60 · ! {found['forgeable']} forgeable" in text
        assert found["forgeable"]


def test_a_bar_is_filled_by_its_parts_and_each_status_has_a_colour(tmp_path):
    run = run_of_code(prompts=("default@1",))
    run.results["cells"][0]["executions"]["statuses"] = dict.fromkeys(map(str, Status), 3)
    markup = executions(run.results["cells"], {})
    rects = re.findall(r'x="([\d.]+)%" width="([\d.]+)%" height="18" class="x-(\w+)"', markup)
    assert [name for _, _, name in rects] == [str(name) for name in Status]
    assert abs(sum(float(width) for _, width, _ in rects) - 100) < 0.1
    style = "".join(page_of(tmp_path, run).inside["style"])
    assert all(f".x-{name} {{ fill:" in style for name in Status)


def test_the_control_and_the_sandbox_are_named():
    found = executed()
    text = shown((), {"humaneval": found})
    for said in ("20 of 20 reference solutions passed.", "tier full", "Landlock version 7", "f1" * 32, "kernel 6.18.1"):
        assert said in text
    for said in ("user 1879061667", "scaled by 0.91", "packages for solutions none", "packages for tests numpy"):
        assert said in text
    assert "Failed" not in text and "Known not to pass" not in text


def test_references_that_failed_and_that_are_known_to_are_told_apart():
    found = executed()
    found["control"] = {
        "executed": 20,
        "passed": 18,
        "failed": {"HumanEval/3": "no_tests_executed"},
        "known_broken": {"HumanEval/32": f"its test raises TypeError {HOSTILE}"},
    }
    text = shown((), {"humaneval": found})
    assert "18 of 20 reference solutions passed. Failed: HumanEval/3 : no tests executed" in text
    assert "Known not to pass: HumanEval/32 : its test raises TypeError" in text
    assert "<img" not in (executions((), {"humaneval": found}) or "")


def test_a_task_without_reference_solutions_and_two_machines():
    found = executed()
    found["control"] = {"executed": 0, "passed": 0, "failed": {}, "known_broken": {}}
    found["sandboxes"] = [*found["sandboxes"], {**found["sandboxes"][0], "tier": "reduced"}]
    text = shown((), {"humaneval": found})
    assert "No reference solution was executed." in text
    assert "Sandbox 1 of 2" in text and "Sandbox 2 of 2" in text and "tier reduced" in text


def test_where_nothing_was_executed_there_is_no_section(tmp_path):
    assert executions(made_up().results["cells"], {}) is None
    assert "Executions" not in page_of(tmp_path, made_up()).text
    assert "Executions" in page_of(tmp_path, run_of_code()).text
