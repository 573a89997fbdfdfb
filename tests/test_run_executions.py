"""Executing what was written: the control, repetition, interruption, and what is kept."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import assay
from assay.cli.main import run as command
from assay.run.executions import controls
from assay.sandbox.execution import Status
from assay.session import score_samples
from support.programs import completion, problems, written


def score(folder: Path, rows: list[Any], **options: Any) -> assay.Run:
    """Score rows for four small problems."""
    if not (folder / "problems.jsonl").exists():
        problems(folder / "problems.jsonl")
    samples = written(folder / "mine.jsonl", rows)
    return score_samples(
        "humaneval", samples, problems=folder / "problems.jsonl", out=folder / "run", options=options, fresh=True
    )


def executions(run: assay.Run) -> list[dict[str, Any]]:
    """The stored executions, in the order of the journal."""
    return [entry.scores[0]["execution"] for entry in run]


def test_every_attempt_keeps_its_execution(tmp_path: Path) -> None:
    rows = [completion(1), completion(2, right=False), {"task_id": "Adding/3", "completion": "    return ("}]
    run = score(tmp_path, rows)
    right, wrong, broken = executions(run)
    assert [each["status"] for each in (right, wrong, broken)] == ["passed", "failed", "compile_error"]
    assert (right["tests_passed"], right["tests_run"], right["tests_total"]) == (2, 2, 2)
    assert wrong["failure"]["source"] == "assert f(1) == 3"
    assert wrong["failure"]["got"] == "1"
    assert {each["tier"] for each in (right, wrong, broken)} == {"full"}
    assert not any(each["forgeable"] for each in (right, wrong, broken))
    assert right["cpu_s"] > 0
    assert run.verify() == []


def test_a_reference_solution_that_fails_makes_the_run_anomalous(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = problems(tmp_path / "problems.jsonl")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[1]["canonical_solution"] = "    return x\n"
    written(path, rows)
    samples = written(tmp_path / "mine.jsonl", [completion(number) for number in (1, 2, 3, 4)])
    flags = ["score", "-t", "humaneval", "--samples", samples, "--problems", path, "--out", tmp_path / "run", "--json"]
    code = command([str(flag) for flag in flags])
    out, err = capsys.readouterr()
    results = json.loads(out)["results"]
    assert code == 4
    assert "ANOMALOUS: humaneval: 1 of 4 reference solutions failed" in " ".join(err.split())
    assert results["executed"]["humaneval"]["control"]["failed"] == {"Adding/2": "failed"}
    assert "Adding/2 (failed)" in results["anomalies"][0]
    assert assay.open(tmp_path / "run").verify() == []


def test_a_control_is_drawn_by_the_seed_or_is_everything() -> None:
    drawn = controls(164, "sample", 7)
    assert len(drawn) == 20
    assert drawn == controls(164, "sample", 7)
    assert drawn != controls(164, "sample", 8)
    assert controls(164, "full", 7) == list(range(164))
    assert controls(5, "sample", 7) == list(range(5))


def test_the_control_is_part_of_the_evidence(tmp_path: Path) -> None:
    run = score(tmp_path, [completion(number) for number in (1, 2, 3, 4)])
    found = run.results["executed"]["humaneval"]
    assert found["control"] == {"executed": 4, "passed": 4, "failed": {}, "known_broken": {}}
    (sandbox,) = found["sandboxes"]
    assert sandbox["tier"] == "full"
    assert {"landlock_abi", "filter", "kernel", "scale", "calibration_s", "packages"} <= sandbox.keys()
    lines = next((run.path / "controls").iterdir()).read_text().splitlines()
    assert len(lines) == 5


def test_a_second_run_is_compared(tmp_path: Path) -> None:
    tossed = "    import os\n    return x + 1 + (os.getpid() % 2)\n"
    rows = [completion(1), *({"task_id": "Adding/1", "completion": tossed} for _ in range(1))]
    run = score(tmp_path, rows, check_determinism=True)
    steady, _ = executions(run)
    assert steady["deterministic"] is True
    clock = "    import time\n    print(time.monotonic_ns())\n    return x + 1\n"
    (ticking,) = executions(score(tmp_path, [{"task_id": "Adding/1", "completion": clock}], check_determinism=True))
    assert (ticking["status"], ticking["deterministic"]) == ("passed", False)


def test_pass_at_k_needs_enough_attempts(tmp_path: Path) -> None:
    rows = [completion(1, right=number == 0) for number in range(4)]
    run = score(tmp_path, [*rows, *(completion(2) for _ in range(4))], k=[1, 2, 5])
    metrics = {metric["name"]: metric for metric in run.results["cells"][0]["metrics"]}
    assert metrics["pass_at_1"]["value"] == pytest.approx((1 / 4 + 1) / 2)
    assert metrics["pass_at_2"]["value"] == pytest.approx((2 / 4 + 1) / 2)
    assert "pass_at_5" not in metrics
    assert "too_few_for_k" in {flag["code"] for flag in run.results["flags"]}


def test_nothing_ran_is_a_failure(tmp_path: Path) -> None:
    path = problems(tmp_path / "problems.jsonl", 1)
    row = json.loads(path.read_text())
    written(path, [row | {"test": "def check(f):\n    f(1)\n"}])
    (execution,) = executions(score(tmp_path, [completion(1)]))
    assert execution["status"] == Status.NO_TESTS
    flags = {flag["code"] for flag in assay.open(tmp_path / "run").results["flags"]}
    assert "no_tests_executed" in flags


@pytest.mark.slow
def test_killed_while_executing_it_goes_on(tmp_path: Path) -> None:
    problems(tmp_path / "problems.jsonl")
    slow = "    import time\n    time.sleep(0.05)\n    return x + 1\n"
    rows = [{"task_id": "Adding/1", "completion": slow} for _ in range(60)]
    samples = written(tmp_path / "mine.jsonl", rows)
    flags = ["score", "-t", "humaneval", "--samples", samples, "--problems", tmp_path / "problems.jsonl"]
    asked = [sys.executable, "-m", "assay", *map(str, flags), "--out", str(tmp_path / "run"), "--workers", "1"]
    child = subprocess.Popen(asked, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    scores = tmp_path / "run" / "scores" / "0000.jsonl"
    while not (scores.exists() and scores.read_bytes().count(b"\n") > 10):
        assert child.poll() is None
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    kept = scores.read_bytes().count(b"\n")
    assert subprocess.run(asked, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0
    run = assay.open(tmp_path / "run")
    assert run.results["cells"][0]["scored"] == 60
    assert 10 < kept < 61
    assert run.verify() == []
