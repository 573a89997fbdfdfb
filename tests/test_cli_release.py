"""`assay release` as a user meets it: exit codes, one JSON document, the status, a signature, and verifying."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from assay.cli.main import run as command
from support.releasing import BASIC, asked, conduct


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = command([*arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def written(folder: Path, **changes: Any) -> str:
    path = folder / "release.yaml"
    path.write_text(yaml.safe_dump({**BASIC, **changes}))
    return str(path)


def test_a_wrong_spec_ends_with_2_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code, told = document(capsys, "release", "run", written(tmp_path, candidates=["Q9_0"], stop="never"))
    assert (code, told["failure_class"], len(told["problems"])) == (2, "USER_CONFIG_ERROR", 1)
    code, told = document(capsys, "release", "run", written(tmp_path, candidates=["Q9_0"]))
    assert told["problems"][0]["nearest"] in ("Q4_0", "Q5_0", "Q8_0")
    assert [path.name for path in tmp_path.iterdir()] == ["release.yaml"]


def test_a_source_that_is_not_there_ends_with_2_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code, told = document(capsys, "release", "run", written(tmp_path, source="smollm2-135n"))
    assert (code, told["problems"][0]["nearest"]) == (2, "smollm2-135m")
    assert not list(tmp_path.glob("releases/*"))


@pytest.mark.local
@pytest.mark.data
def test_what_cannot_be_decided_is_told_at_once_sealed_signed_and_verified(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(["keys", "new", "a.key"]) == 0
    spec = written(tmp_path, source={"model": "smollm2-135m", "convert": "F16"})
    code, decision = document(capsys, "release", "run", spec, "--out", "out", "--key", "a.key")
    assert (code, decision["verdict"], decision["publish"]) == (5, "INFEASIBLE", False)
    assert "10 samples cannot rule out" in decision["reasons"][0]
    assert not list(Path("out/source").glob("*.gguf"))
    code, verified = document(capsys, "verify", "out", "--key", "a.key.pub")
    assert (code, verified["ok"]) == (0, True)
    assert any("signed with key" in note for note in verified["notes"])
    Path("out/decision.json").write_text(Path("out/decision.json").read_text().replace("INFEASIBLE", "ACCEPT"))
    code, verified = document(capsys, "verify", "out")
    assert (code, verified["findings"][0]["path"]) == (1, "decision.json")
    assert command(["release", "run", spec, "--out", "out"]) == 1


@pytest.mark.local
@pytest.mark.data
def test_memory_that_is_taken_up_now_is_no_verdict_and_memory_that_is_not_there_is(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from assay.models import memory

    monkeypatch.chdir(tmp_path)
    limit = {"tasks": [{"task": "arc_easy", "limit": 300}], "source": "smollm2-135m"}
    spec = written(tmp_path, **limit)
    monkeypatch.setattr(memory, "available", lambda: 1 << 20)
    code, told = document(capsys, "release", "run", spec, "--out", "out")
    assert (code, told["failure_class"]) == (6, "SYSTEMIC")
    assert "of memory, and 0.0 GB are free now" in told["message"]
    assert not Path("out/manifest.json").exists()
    assert not list(Path("out").glob("stages/*.json"))
    monkeypatch.setattr(memory, "installed", lambda: 1 << 20)
    code, told = document(capsys, "release", "run", spec, "--out", "out")
    assert (code, told["verdict"]) == (5, "INFEASIBLE")
    assert "this machine has 0.0 GB at all" in told["reasons"][0]
    assert document(capsys, "verify", "out")[0] == 0


def test_no_option_leaves_a_stage_or_a_gate_out() -> None:
    from assay.cli.release import run_

    assert {option.name for option in run_.params} == {"spec", "out", "fresh", "named", "allow", "as_json"}


def test_the_status_of_a_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    conduct(tmp_path / "r", asked(candidates=["Q8_0"]))
    code, found = document(capsys, "release", "status", str(tmp_path / "r"))
    assert (code, found["verdict"], found["sealed"]) == (0, "ACCEPT", True)
    assert found["next"] == "nothing: the release is sealed"
    assert command(["release", "status", str(tmp_path / "r"), "--follow"]) == 0
    shown = capsys.readouterr()
    assert "compare-Q8_0" in shown.out
    assert "stage_finished: stage decide, status done" in shown.err
    assert command(["release", "status", str(tmp_path)]) == 2
    (tmp_path / "r" / "release.json").write_text('{"schema": "assay.release_record.v1"}')
    assert command(["release", "status", str(tmp_path / "r")]) == 1
    assert "not what assay writes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "told"), [("pass", "arc_easy -1.00 [-1.90, +3.00]"), ("measure", "arc_easy -0.01 [-0.019, +0.03]")]
)
def test_the_table_has_the_bounds_of_the_verdict_in_points_of_a_rate_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: str, told: str
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    bounds = {"low": -0.019, "low_level": 0.002, "high": 0.03, "high_level": 0.01}
    changes = {"candidates": ["Q8_0"]}
    script = {"compare-Q8_0": {"task": {"kind": kind, "gain_bounds": bounds}}}
    conduct(tmp_path / "out", asked(**changes), script)
    assert command(["release", "run", written(tmp_path, **changes), "--out", str(tmp_path / "out")]) == 0
    assert told in capsys.readouterr().out


def test_starting_over_keeps_the_old_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = written(tmp_path, source="smollm2-135n")
    conduct(tmp_path / "out", asked(candidates=["Q8_0"]))
    assert command(["release", "run", spec, "--out", str(tmp_path / "out"), "--fresh"]) == 2
    assert (tmp_path / "out.old1" / "decision.json").exists()
