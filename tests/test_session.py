"""The whole flow against the stub: plan, run, score, seal, resume, faults."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

import assay
from assay.errors import BackendUnreachable, BudgetExhausted, ConfigError, JournalCorrupt, MachineError
from support.evals import spec
from support.stub import Fault, Stub


def texts(run: assay.Run) -> dict[str, str]:
    """What each attempt was answered, by id: a second line for one would be an error of its own."""
    answers = {entry.attempt["attempt"]: entry.attempt["completion"]["text"] for entry in run}
    assert len(answers) == len(run)
    return answers


def cell(run: assay.Run) -> dict[str, Any]:
    only: dict[str, Any] = run.results["cells"][0]
    return only


def test_a_run_is_complete_scored_and_sealed(tmp_path: Path, stub: Stub) -> None:
    run = assay.evaluate(spec(tmp_path, stub.url, 30), out=tmp_path / "run")
    assert run.sealed
    assert run.verify() == []
    row = cell(run)
    assert (row["planned"], row["finished"], row["scored"], row["outcomes"]) == (30, 30, 30, {"ok": 30})
    right = sum(entry.scores[0]["metrics"]["accuracy"] for entry in run)
    assert row["metrics"][0]["value"] == pytest.approx(right / 30)
    assert run.report.read_text().startswith("<!doctype html>")


def test_the_events_tell_what_the_display_shows(tmp_path: Path, stub: Stub) -> None:
    run = assay.evaluate(spec(tmp_path, stub.url, 30), out=tmp_path / "run")
    events = [orjson.loads(line) for line in (run.path / "events.jsonl").read_bytes().splitlines()]
    assert [event["event"] for event in events if event["event"] != "progress"] == [
        "run_started",
        "model_started",
        "model_stopped",
        "run_finished",
        "sealing",
    ]
    last = [event["fields"] for event in events if event["event"] == "progress"][-1]
    assert (last["finished"], last["planned"], last["outcomes"], last["cells"]) == (30, 30, {"ok": 30}, [30])
    assert last["attempts_per_s"] > 0
    assert last["tokens_per_s"] > 0
    assert last["seconds_left"] == 0


def test_every_request_bears_its_own_seed(tmp_path: Path, stub: Stub) -> None:
    run = assay.evaluate(spec(tmp_path, stub.url, 12, epochs=2, seed=5), out=tmp_path / "run")
    seeds = {entry.attempt["seed"] for entry in run}
    assert len(seeds) == 24
    assert {run.plan.attempt(entry.attempt["index"]).seed for entry in run} == seeds


def test_the_same_spec_gives_the_same_plan_and_directory(tmp_path: Path, stub: Stub, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    first = assay.evaluate(spec(tmp_path, stub.url, 5))
    requests = stub.stats()["requests"]
    again = assay.evaluate(spec(tmp_path, stub.url, 5, concurrency={"limit": 2}))
    assert again.path == first.path == Path("runs") / f"stubbed-{first.plan.digest[:8]}"
    assert stub.stats()["requests"] == requests


def test_another_plan_is_not_mixed_in(tmp_path: Path, stub: Stub) -> None:
    assay.evaluate(spec(tmp_path, stub.url, 5), out=tmp_path / "run")
    with pytest.raises(ConfigError, match="holds another plan"):
        assay.evaluate(spec(tmp_path, stub.url, 5, seed=3), out=tmp_path / "run")


def test_fresh_starts_over_and_keeps_the_old_run(tmp_path: Path, stub: Stub) -> None:
    assay.evaluate(spec(tmp_path, stub.url, 5), out=tmp_path / "run")
    assay.evaluate(spec(tmp_path, stub.url, 5), out=tmp_path / "run", fresh=True)
    assert assay.open(tmp_path / "run.old1").verify() == []
    assert assay.open(tmp_path / "run").verify() == []


def test_a_budget_stops_and_a_larger_one_goes_on(tmp_path: Path, stub: Stub) -> None:
    few = {"budget": {"requests": 10}, "concurrency": {"limit": 2}}
    with pytest.raises(BudgetExhausted):
        assay.evaluate(spec(tmp_path, stub.url, 40, **few), out=tmp_path / "run")
    part = assay.open(tmp_path / "run")
    assert not part.sealed
    assert part.results["complete"] is False
    assert 10 <= len(part) <= 12
    whole = assay.evaluate(spec(tmp_path, stub.url, 40), out=tmp_path / "run")
    assert whole.sealed
    assert cell(whole)["outcomes"] == {"ok": 40}
    assert whole.verify() == []


def test_a_stored_response_is_not_asked_for_again(tmp_path: Path, stub: Stub) -> None:
    wanted = spec(tmp_path, stub.url, 10, cache="on")
    first = assay.evaluate(wanted, out=tmp_path / "first")
    asked = stub.stats()["requests"]
    again = assay.evaluate(wanted, out=tmp_path / "again")
    assert stub.stats()["requests"] == asked
    assert texts(again) == texts(first)
    assert cell(again)["cached"] == 10
    assert cell(again)["latency_s"] is None
    assert cell(assay.evaluate({**wanted, "cache": "auto"}, out=tmp_path / "fresh"))["cached"] == 0


def test_what_a_run_cost_is_in_its_results(tmp_path: Path, stub: Stub) -> None:
    wanted = spec(tmp_path, stub.url, 10)
    wanted["models"][0]["prices"] = {"input": 1.0, "output": 3.0, "currency": "EUR"}
    row = cell(assay.evaluate(wanted, out=tmp_path / "run"))
    amount = (row["tokens"]["in"] + 3 * row["tokens"]["out"]) / 1e6
    assert row["cost"] == {"amount": pytest.approx(amount), "currency": "EUR"}


FAULTS = {
    "rate_limit": "infra_error",
    "unavailable": "infra_error",
    "error": "infra_error",
    "bad_request": "infra_error",
    "reset": "infra_error",
    "cut": "infra_error",
    "broken_json": "infra_error",
    "no_choices": "infra_error",
    "stall": "timeout",
    "refusal": "refused",
    "filter": "refused",
    "length": "truncated",
    "empty": "empty",
}


def faulty(tmp_path: Path, faults: Iterable[Fault], count: int = 60, **more: Any) -> tuple[assay.Run, dict[str, Any]]:
    with Stub(faults=tuple(faults), retry_after=0.01, stall_s=5.0) as stub:
        wanted = spec(tmp_path, stub.url, count, concurrency={"limit": 16, "timeout_s": 0.25}, **more)
        return assay.evaluate(wanted, out=tmp_path / "run"), stub.stats()


@pytest.mark.parametrize(("kind", "outcome"), FAULTS.items())
def test_a_lasting_fault_ends_in_its_outcome(tmp_path: Path, kind: Any, outcome: str) -> None:
    run, _ = faulty(tmp_path, [Fault(kind, 0.25)], retry={"tries": 2, "base_s": 0.01, "max_s": 0.02, "ratio": 10})
    row = cell(run)
    assert set(row["outcomes"]) == {"ok", outcome}
    assert sum(row["outcomes"].values()) == 60
    scorable = outcome in {"refused", "truncated", "empty"}
    assert row["scored"] == (60 if scorable else row["outcomes"]["ok"])
    assert run.verify() == []
    assert any(flag["code"] == f"{outcome}_rate" for flag in run.results["flags"])


PASSING = ("rate_limit", "unavailable", "error", "reset", "cut", "broken_json", "no_choices", "stall")


def test_passing_faults_leave_no_trace_in_the_answers(tmp_path: Path, stub: Stub) -> None:
    clean = assay.evaluate(spec(tmp_path, stub.url, 80), out=tmp_path / "clean")
    faults = [Fault(kind, 0.08, tries=1) for kind in PASSING]
    run, _ = faulty(tmp_path, faults, 80, retry={"tries": 6, "base_s": 0.01, "max_s": 0.05, "ratio": 10})
    assert cell(run)["outcomes"] == {"ok": 80}
    assert cell(run)["tries"] > 80
    by_sample = {entry.attempt["sample"]: entry.attempt["outcome"] for entry in clean}
    assert {entry.attempt["sample"]: entry.attempt["outcome"] for entry in run} == by_sample


def test_all_faults_at_once_add_up(tmp_path: Path) -> None:
    faults = [Fault(kind, 0.05) for kind in FAULTS]  # type: ignore[arg-type]
    retry = {"tries": 2, "base_s": 0.01, "max_s": 0.02, "ratio": 10}
    run, _ = faulty(tmp_path, faults, 200, retry=retry)
    assert sum(cell(run)["outcomes"].values()) == 200
    assert set(cell(run)["outcomes"]) == {"ok", "empty", "truncated", "refused", "timeout", "infra_error"}


def test_errors_of_a_sealed_run_are_retried_only_when_asked(tmp_path: Path) -> None:
    with Stub(faults=[Fault("error", 0.3, tries=2)]) as stub:
        wanted = spec(tmp_path, stub.url, 40, retry={"tries": 1})
        first = assay.evaluate(wanted, out=tmp_path / "run")
        failed = cell(first)["outcomes"]["infra_error"]
        assert failed
        assert cell(assay.evaluate(wanted, out=tmp_path / "run"))["outcomes"]["infra_error"] == failed
        patient = {**wanted, "retry": {"tries": 5, "base_s": 0.01}}
        again = assay.evaluate(patient, out=tmp_path / "run", retry_errors=True)
    assert cell(again)["outcomes"] == {"ok": 40}
    assert again.verify() == []
    assert len(list((tmp_path / "run" / "sealed").iterdir())) == 1


def test_a_run_is_not_resumed_under_another_runtime(tmp_path: Path, stub: Stub) -> None:
    few = {"budget": {"requests": 5}, "concurrency": {"limit": 1}}
    with pytest.raises(BudgetExhausted):
        assay.evaluate(spec(tmp_path, stub.url, 20, **few), out=tmp_path / "run")
    events = tmp_path / "run" / "events.jsonl"
    events.write_bytes(events.read_bytes().replace(b'"environment":{', b'"environment":{"runtime":"llama 0.1",'))
    with pytest.raises(ConfigError, match=r"was run with llama 0\.1 so far"):
        assay.evaluate(spec(tmp_path, stub.url, 20), out=tmp_path / "run")


def test_nobody_at_the_endpoint(tmp_path: Path) -> None:
    with pytest.raises(BackendUnreachable, match=r"127\.0\.0\.1:9.*errno 111"):
        assay.evaluate(spec(tmp_path, "http://127.0.0.1:9/v1", 5), out=tmp_path / "run")


def test_a_corrupt_line_is_refused_by_name(tmp_path: Path, stub: Stub) -> None:
    few = {"budget": {"requests": 10}, "concurrency": {"limit": 1}}
    with pytest.raises(BudgetExhausted):
        assay.evaluate(spec(tmp_path, stub.url, 20, **few), out=tmp_path / "run")
    journal = tmp_path / "run" / "attempts" / "0000.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[4] = lines[4].replace(b'"index":', b'"indec":')
    journal.write_bytes(b"".join(lines))
    with pytest.raises(JournalCorrupt, match=r"0000\.jsonl:5"):
        assay.evaluate(spec(tmp_path, stub.url, 20), out=tmp_path / "run")


def test_a_repeated_line_is_refused_by_name(tmp_path: Path, stub: Stub) -> None:
    assay.evaluate(spec(tmp_path, stub.url, 5), out=tmp_path / "run")
    journal = tmp_path / "run" / "attempts" / "0000.jsonl"
    journal.write_bytes(journal.read_bytes() + journal.read_bytes().splitlines(keepends=True)[0])
    with pytest.raises(JournalCorrupt, match=r"0000\.jsonl:6: attempt [0-9a-f]{16} repeats"):
        len(assay.open(tmp_path / "run"))


def test_one_process_at_a_time(tmp_path: Path, stub: Stub) -> None:
    from assay.run.folder import RunFolder

    run = assay.evaluate(spec(tmp_path, stub.url, 5), out=tmp_path / "run")
    with RunFolder(run.path).lock(), pytest.raises(MachineError, match="another process is working"):
        assay.evaluate(spec(tmp_path, stub.url, 5), out=tmp_path / "run")


def test_what_is_in_the_way_is_not_touched(tmp_path: Path, stub: Stub) -> None:
    (tmp_path / "run").write_text("mine")
    with pytest.raises(ConfigError, match="not a directory"):
        assay.evaluate(spec(tmp_path, stub.url, 5), out=tmp_path / "run")
    with pytest.raises(ConfigError, match="holds no run"):
        assay.evaluate(spec(tmp_path, stub.url, 5), out=tmp_path)
    assert (tmp_path / "run").read_text() == "mine"


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path, stub: Stub) -> None:
    with pytest.raises(MachineError, match=r"/proc/run \[run directory, errno \d+"):
        assay.evaluate(spec(tmp_path, stub.url, 5), out="/proc/run")


def start(tmp_path: Path, wanted: dict[str, Any], most_bytes: int | None = None) -> subprocess.Popen[bytes]:
    """The command in a process of its own; `most_bytes` is how large the kernel lets any file of it grow."""
    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump(wanted))
    command = [sys.executable, "-m", "assay", "eval", str(path), "--out", str(tmp_path / "run"), "--json"]
    if most_bytes:
        command = ["prlimit", f"--fsize={most_bytes}", *command]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ))


def test_a_disk_that_takes_no_more_stops_the_run_and_keeps_whole_lines(tmp_path: Path, stub: Stub) -> None:
    wanted = spec(tmp_path, stub.url, 200)
    process = start(tmp_path, wanted, most_bytes=30_000)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 6, err
    assert "[journal, errno 27" in orjson.loads(out)["message"]
    journal = (tmp_path / "run" / "attempts" / "0000.jsonl").read_bytes()
    assert journal.endswith(b"\n")
    assert 20 < journal.count(b"\n") < 200
    run = assay.evaluate(wanted, out=tmp_path / "run")
    assert cell(run)["outcomes"] == {"ok": 200}
    assert run.verify() == []


@pytest.mark.slow
def test_kill_9_at_twenty_moments_changes_nothing(tmp_path: Path) -> None:
    draw = random.Random(20)
    with Stub(latency=0.02) as stub:
        wanted = spec(tmp_path, stub.url, 600, concurrency={"limit": 4})
        whole = texts(assay.evaluate(wanted, out=tmp_path / "whole"))
        kills = 0
        while kills < 20:
            process = start(tmp_path, wanted)
            before = lines(tmp_path)
            patience = time.monotonic() + 30
            while lines(tmp_path) <= before + draw.randrange(15) and process.poll() is None:
                assert time.monotonic() < patience
                time.sleep(0.005)
            time.sleep(draw.random() * 0.05)
            assert process.poll() is None, "the run ended before it could be killed often enough"
            process.kill()
            process.communicate()
            kills += 1
        process = start(tmp_path, wanted)
        assert process.wait(120) == 0, process.communicate()[1]
        process.communicate()
    killed = assay.open(tmp_path / "run")
    assert killed.sealed
    assert killed.verify() == []
    assert texts(killed) == whole
    assert cell(killed)["metrics"] == cell(assay.open(tmp_path / "whole"))["metrics"]


def lines(tmp_path: Path) -> int:
    path = tmp_path / "run" / "attempts" / "0000.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_ctrl_c_stops_cleanly_and_resumes(tmp_path: Path) -> None:
    with Stub(latency=0.05) as stub:
        wanted = spec(tmp_path, stub.url, 200, concurrency={"limit": 4})
        process = start(tmp_path, wanted)
        patience = time.monotonic() + 30
        while lines(tmp_path) < 8 and time.monotonic() < patience:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert process.returncode == 130, err
        assert orjson.loads(out)["exit_code"] == 130
        assert b"assay eval" in err
        assert 8 <= lines(tmp_path) < 200
        run = assay.evaluate({**wanted, "concurrency": {"limit": 64}}, out=tmp_path / "run")
    assert cell(run)["outcomes"] == {"ok": 200}
