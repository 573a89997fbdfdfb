"""`assay track`, `eval --track`, and judging and ranking with nothing but a server's address, as typed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assay.cli.main import run as cli
from support import judging
from support.stub import Stub
from support.tracking import client, free_port, logged, made, needs_mlflow

pytestmark = needs_mlflow

Said = Callable[..., tuple[int, Any, str]]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """Run a command with `--json`; returns the exit code, the document and what was said on stderr."""

    def call(*arguments: object) -> tuple[int, Any, str]:
        capsys.readouterr()
        code = cli([*map(str, arguments), "--json"])
        got = capsys.readouterr()
        return code, json.loads(got.out) if got.out else None, got.err

    return call


def evaluated(folder: Path, stub: Stub, *options: object) -> list[object]:
    """The command that evaluates three questions."""
    import yaml

    from support.evals import spec

    (folder / "spec.yaml").write_text(yaml.safe_dump(spec(folder, stub.url, 3)))
    return ["eval", folder / "spec.yaml", "--out", folder / "run", *options]


def test_eval_logs_what_it_made(tmp_path: Path, stub: Stub, mlflow: str, said: Said):
    code, told, _ = said(*evaluated(tmp_path, stub, "--track", mlflow, "--experiment", "evaluated"))
    assert (code, told["tracked"]["logged"], told["tracked"]["created"]) == (0, True, 2)
    parent, children = logged(mlflow, "evaluated")
    assert parent.data.tags["assay.manifest"] == told["tracked"]["manifest"]
    assert len(children) == 1
    code, again, _ = said(*evaluated(tmp_path, stub, "--track", mlflow, "--experiment", "evaluated"))
    assert (code, again["tracked"]["unchanged"]) == (0, 2)


def test_eval_tells_people_where(tmp_path: Path, stub: Stub, mlflow: str, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow)
    assert cli([*map(str, evaluated(tmp_path, stub, "--experiment", "people", "--track"))]) == 0
    got = capsys.readouterr()
    assert f"mlflow: {mlflow}/#/experiments/" in got.err
    assert "🏃" not in got.out and "http" not in got.out


def test_eval_stands_where_the_server_does_not(tmp_path: Path, stub: Stub, mlflow: str, said: Said):
    uri = f"http://127.0.0.1:{free_port()}"
    code, told, err = said(*evaluated(tmp_path, stub, "--track", uri, "--experiment", "later"))
    assert (code, told["sealed"], told["tracked"]["logged"]) == (0, True, False)
    assert told["tracked"]["finish"] == f"assay track {tmp_path / 'run'}"
    assert "the run is finished, but not logged" in err
    code, told, _ = said("track", "--pending", "--list", tmp_path)
    assert (code, [row["logged"] for row in told["runs"]]) == (0, [False])
    assert "does not answer" in told["runs"][0]["why"]
    code, told, _ = said("track", tmp_path / "run", "--uri", mlflow)
    assert (code, told["runs"][0]["experiment"], told["runs"][0]["created"]) == (0, "later", 2)
    assert said("track", "--pending", tmp_path)[1]["runs"] == []


def test_what_is_pending_is_finished(tmp_path: Path, stub: Stub, mlflow: str, said: Said):
    run = made(tmp_path, stub, 3)
    assert said("track", run.path, "--uri", mlflow, "--experiment", "pending")[0] == 0
    judging.export(run, tmp_path / "q.csv")
    code, told, _ = said("track", "--pending", tmp_path)
    assert (code, [(row["logged"], row["updated"]) for row in told["runs"]]) == (0, [(True, 3)])
    assert "again since" in told["runs"][0]["why"]


def test_a_run_of_a_release_is_remembered_beside_the_release(tmp_path: Path, stub: Stub, mlflow: str, said: Said):
    place = tmp_path / "releases" / "r" / "candidates" / "Q8_0"
    place.mkdir(parents=True)
    (tmp_path / "releases" / "r" / "release.json").write_text("{}")
    made(tmp_path, stub, 3).path.rename(place / "run")
    before = sorted((tmp_path / "releases" / "r").rglob("*"))
    assert said("track", place / "run", "--uri", mlflow, "--experiment", "released")[0] == 0
    assert sorted((tmp_path / "releases" / "r").rglob("*")) == before
    assert said("track", place / "run")[1]["runs"][0]["experiment"] == "released"
    assert said("track", "--pending", "--list", tmp_path / "releases")[1]["runs"] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("--track", "spec.yaml"),
        ("--track", "sqlite:///x.db"),
        ("--track",),
        ("--experiment", "x"),
        ("--granularity", "cell"),
        ("--track", "http://host:1", "--experiment", ""),
    ],
)
def test_wrong_options_are_told_before_anything_runs(
    tmp_path: Path, stub: Stub, said: Said, arguments: tuple[str, ...], monkeypatch
):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert said(*evaluated(tmp_path, stub, *arguments))[0] == 2
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("track",),
        ("track", "--list", "x"),
        ("track", "--pending", "--uri", "http://host:1"),
        ("track", "nothing", "--uri", "http://host:1"),
        ("board",),
        ("board", "--uri", "http://host:1", "x"),
        ("board", "--experiment", "x", "--uri", "http://host:1", "y"),
        ("judge", "export", "-r", "tip-v1", "--out", "q.csv"),
    ],
)
def test_wrong_calls_are_refused(said: Said, arguments: tuple[str, ...]):
    assert said(*arguments)[0] == 2


def test_judging_a_tracked_run_brings_mlflow_up_to_date(tmp_path: Path, stub: Stub, mlflow: str, said: Said):
    run = made(tmp_path, stub, 3)
    said("track", run.path, "--uri", mlflow, "--experiment", "judged", "--traces")
    (tmp_path / "fit.md").write_text(judging.TEXT)
    assert said("judge", "export", run.path, "-r", tmp_path / "fit.md", "--out", tmp_path / "q.csv")[0] == 0
    assert logged(mlflow, "judged")[0].data.tags["judge_pending"] == "true"
    file = judging.fill(tmp_path / "q.csv", tmp_path / "a.csv")
    assert said("judge", "apply", file, "--judge", "ada", "--run", run.path)[0] == 0
    parent, children = logged(mlflow, "judged")
    assert {one.data.tags["judge_pending"] for one in (parent, *children.values())} == {"false"}
    assert {one.data.metrics["fit-v1.fit"] for one in children.values()} == {2}


def test_judging_stands_where_the_server_does_not(tmp_path: Path, stub: Stub, said: Said):
    from assay.tracking import memory
    from assay.tracking.target import Target

    run = made(tmp_path, stub, 3)
    memory.remember(memory.Tracked(run.path, Target(f"http://127.0.0.1:{free_port()}", "away")))
    (tmp_path / "fit.md").write_text(judging.TEXT)
    code, _, err = said("judge", "export", run.path, "-r", tmp_path / "fit.md", "--out", tmp_path / "q.csv")
    assert code == 0 and "is not logged" in err and f"assay track {run.path}" in err


def test_judging_and_ranking_with_nothing_but_an_address(
    tmp_path: Path, stub: Stub, mlflow: str, said: Said, monkeypatch, home: Path
):
    run = made(tmp_path / "here", stub, 4)
    assert said("track", run.path, "--uri", mlflow, "--experiment", "remote")[0] == 0
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "fit.md").write_text(judging.TEXT)
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "another home"))
    named = ("--experiment", "remote", "--uri", mlflow)
    code, told, _ = said("judge", "export", *named, "-r", "fit.md", "--out", "q.csv")
    assert (code, told["files"][0]["candidate"]) == (0, 8)
    assert logged(mlflow, "remote")[0].data.tags["judge_pending"] == "true"
    judging.fill(elsewhere / "q.csv", elsewhere / "a.csv")
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "a third home"))
    code, told, _ = said("judge", "apply", "a.csv", "--judge", "ada", *named)
    assert (code, told["applied"]) == (0, 8)
    parent, children = logged(mlflow, "remote")
    assert parent.data.tags["judge_pending"] == "false"
    assert all(child.data.metrics["fit-v1.fit"] == 2 for child in children.values())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow)
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "a fourth home"))
    code, told, _ = said("board", "--experiment", "remote")
    assert (code, len(told["entries"])) == (0, 2)
    assert {entry["prompt"] for entry in told["entries"]} == {"kind@1", "rude@1"}
    code, told, _ = said("judge", "export", *named, "-r", "fit.md", "--out", "r.csv")
    assert code == 2 and "pending" in told["message"]
    assert sorted(path.name for path in elsewhere.iterdir()) == ["a.csv", "fit.md", "q.csv"]


def test_somebody_else_was_quicker(tmp_path: Path, stub: Stub, mlflow: str, said: Said, monkeypatch):
    run = made(tmp_path / "here", stub, 3)
    judging.export(run, tmp_path / "q.csv")
    said("track", run.path, "--uri", mlflow, "--experiment", "quick")
    file = judging.fill(tmp_path / "q.csv", tmp_path / "a.csv")
    named = ("--experiment", "quick", "--uri", mlflow)
    client_ = client(mlflow)
    parent, _ = logged(mlflow, "quick")

    from assay.tracking import push

    real = push.run_files

    def quicker(path: Path):
        client_.set_tag(parent.info.run_id, "assay.manifest", "run-00000000deadbeef")
        return real(path)

    with monkeypatch.context() as patched:
        patched.setattr(push, "run_files", quicker)
        code, told, _ = said("judge", "apply", file, "--judge", "ada", *named)
    assert (code, "newer layer" in told["message"]) == (2, True)
    assert "what was done is kept in" in told["hint"]


def test_pages_of_mlflow_stay_out_of_stdout(tmp_path: Path, stub: Stub, mlflow: str, capsys):
    run = made(tmp_path, stub, 3)
    assert cli(["track", str(run.path), "--uri", mlflow, "--experiment", "stdout"]) == 0
    got = capsys.readouterr()
    assert got.out == "" and f"{mlflow}/#/experiments/" in got.err
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
