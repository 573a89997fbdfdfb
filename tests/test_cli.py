"""The command line: documents, tables, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from assay.cli.main import COMMANDS, cli, run
from support.evals import questions, spec
from support.stub import Fault, Stub


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = run([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code, out, _ = call(capsys, *arguments, "--json")
    return code, json.loads(out)


def written(folder: Path, url: str, **more: Any) -> Path:
    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump(spec(folder, url, 10, **more)))
    return path


def test_help_lists_every_command_with_its_own_words(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "--help")
    assert code == 0
    for name, (_, words) in COMMANDS.items():
        command = cli.get_command(None, name)  # type: ignore[arg-type]
        assert command is not None
        assert words == (command.short_help or command.help)
        assert name in out


def test_help_and_version_load_nothing_heavy() -> None:
    check = "import sys; from assay.cli.main import run; run(['--help']); print(sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True).stdout
    for name in ("pydantic", "aiohttp", "asyncio", "duckdb", "jinja2", "rich", "yaml", "numpy", "torch"):
        assert f"'{name}'" not in loaded


def test_an_evaluation_prints_one_document(tmp_path: Path, stub: Stub, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = document(capsys, "eval", written(tmp_path, stub.url), "--out", tmp_path / "run")
    assert code == 0
    assert told["schema"] == "assay.eval.v1"
    assert told["sealed"]
    assert told["results"]["attempts"]["finished"] == 10


def test_an_evaluation_prints_a_table(tmp_path: Path, stub: Stub, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, "eval", written(tmp_path, stub.url), "--out", tmp_path / "run")
    assert code == 0
    assert "accuracy" in out
    assert str(tmp_path / "run" / "report.html") in out
    assert "10/10" in err


def test_flags_alone_are_enough(tmp_path: Path, stub: Stub, capsys: pytest.CaptureFixture[str]) -> None:
    file = questions(tmp_path / "q.jsonl", 10)
    model = f"openai:stub@{stub.url}"
    flags = ["-m", model, "-t", f"file:{file}", "--limit", "4", "--few-shot", "2", "--seed", "42"]
    code, told = document(capsys, "eval", *flags, "--out", tmp_path / "run")
    assert code == 0
    assert told["results"]["attempts"]["planned"] == 4


def test_plan_only_is_the_same_bytes_and_writes_nothing(
    tmp_path: Path, stub: Stub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path, stub.url)
    first = call(capsys, "eval", path, "--plan-only", "--json")
    assert first[:2] == call(capsys, "eval", path, "--plan-only", "--json")[:2]
    assert first[0] == 0
    assert not (tmp_path / "runs").exists()
    assert stub.stats()["requests"] == 0


def test_a_wrong_spec_names_its_lines_and_writes_nothing(
    tmp_path: Path, stub: Stub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.yaml").write_text("models: [openai:x]\ntasks:\n  - task: gsm9k\n    few_shots: 3\nlimit: ten\n")
    code, told = document(capsys, "eval", "bad.yaml")
    assert code == told["exit_code"] == 2
    places = {(problem["line"], problem["key"]) for problem in told["problems"]}
    assert {(4, "tasks[0].few_shots"), (5, "limit")} <= places
    assert not (tmp_path / "runs").exists()


def test_an_unknown_task_is_told_with_the_nearest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.yaml").write_text("models: [openai:x]\ntasks:\n  - task: gsm9k\n")
    code, told = document(capsys, "eval", tmp_path / "bad.yaml")
    problem = told["problems"][0]
    assert (code, problem["line"], problem["nearest"]) == (2, 3, "gsm8k")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["evil"], "Did you mean 'eval'?"),
        (["eval", "--limt", "3"], "--limit"),
        (["eval", "--limit", "three"], "--limit"),
        (["eval", "no-such.yaml"], "no-such.yaml"),
        (["eval"], "-m"),
        (["verify", "no-such-run"], "not a run directory"),
        (["score", "no-such-run"], "not a run directory"),
        (["tasks", "show", "gsm9k"], "gsm8k"),
        (["prompts", "show", "gsm9k"], "gsm8k"),
    ],
)
def test_wrong_input_is_exit_2(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, *arguments)
    assert code == 2
    assert words in err
    assert not out


def test_a_bug_never_looks_like_a_failed_gate(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise RuntimeError("oops")

    monkeypatch.setattr("assay.probes.probe_all", broken)
    code, told = document(capsys, "doctor")
    assert code == told["exit_code"] == 6
    assert told["failure_class"] == "UNKNOWN"
    assert "oops" in told["message"]


def test_verify_says_yes_and_no(tmp_path: Path, stub: Stub, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    call(capsys, "eval", written(tmp_path, stub.url), "--out", out)
    code, told = document(capsys, "verify", out)
    assert (code, told["ok"]) == (0, True)
    (out / "events.jsonl").write_text("")
    code, told = document(capsys, "verify", out)
    assert (code, told["ok"], told["findings"][0]["path"]) == (1, False, "events.jsonl")
    assert "events.jsonl" in call(capsys, "verify", out)[1]


def test_score_again_by_another_scorer(tmp_path: Path, stub: Stub, capsys: pytest.CaptureFixture[str]) -> None:
    call(capsys, "eval", written(tmp_path, stub.url), "--out", tmp_path / "run")
    code, told = document(capsys, "score", tmp_path / "run", "--scoring-mode", "contains")
    assert code == 0
    assert told["sealed"]
    assert told["results"]["cells"][0]["scored"] == 10
    code, told = document(capsys, "score", tmp_path / "run", "--scoring-mode", "multiple_choice")
    assert code == 2


def test_a_cell_without_any_answer_is_exit_6(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Stub(faults=[Fault("bad_request", 1.0)]) as stub:
        code, _, err = call(capsys, "eval", written(tmp_path, stub.url), "--out", tmp_path / "run")
    assert code == 6
    assert "no attempt got an answer" in err


@pytest.mark.data
def test_code_is_executed_only_where_it_may_be(
    tmp_path: Path, stub: Stub, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["eval", "-m", f"openai:stub@{stub.url}", "-t", "humaneval", "--limit", "3", "--out", tmp_path / "run"]
    code, told = document(capsys, *flags, "--code-exec-policy", "disabled")
    assert code == 0
    assert told["results"]["cells"][0]["metrics"] == []
    assert "not_scored" in {flag["code"] for flag in told["results"]["flags"]}
    code, told = document(capsys, "score", tmp_path / "run")
    (cell,) = told["results"]["cells"]
    assert code == 0
    assert (cell["scored"], sum(cell["executions"]["statuses"].values())) == (3, 3)
    assert told["results"]["executed"]["humaneval"]["control"]["failed"] == {}


def test_a_tier_that_cannot_be_had_ends_the_plan(
    tmp_path: Path, stub: Stub, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        f"models: [openai:stub@{stub.url}]\n"
        "tasks: [{task: humaneval, limit: 2, scoring_mode: {mode: pass_at_1, options: {tier: macos}}}]\n"
    )
    code, told = document(capsys, "eval", spec, "--out", tmp_path / "run")
    assert (code, told["error"]) == (6, "MachineError")
    assert "sandbox: sandbox-exec" in told["message"]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("noun", ["tasks", "prompts", "models"])
def test_what_there_is(noun: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = document(capsys, noun, "list")
    assert code == 0
    assert told["items"]
    assert call(capsys, noun, "list")[0] == 0


def test_one_of_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert "MIT" in call(capsys, "tasks", "show", "gsm8k")[1]
    assert "body" in call(capsys, "prompts", "show", "gsm8k")[1]
    assert "134515008" in call(capsys, "models", "show", "smollm2-135m")[1]


def test_doctor_tries_things(capsys: pytest.CaptureFixture[str]) -> None:
    code, told = document(capsys, "doctor")
    assert code == 0
    status = {probe["name"]: probe["status"] for probe in told["probes"]}
    assert status["python"] == status["cache folder"] == "ok"
    assert status["sandbox"] in ("ok", "missing")
    assert {"sandbox seccomp", "sandbox landlock"} <= status.keys()
    told_in_words = call(capsys, "doctor")[1]
    assert "works" in told_in_words
    for probe in told["probes"]:
        if probe["fix"]:
            assert probe["fix"] in told_in_words
