"""A baseline that is here already, or tracked: taken where it verifies, and what fails is only told."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from assay.evidence.verify import verify
from assay.files import read_json
from assay.release.reused import copy, find
from assay.release.spec import ReleaseSpec, parse
from assay.tracking.push import push
from assay.tracking.target import Target
from support.releasing import BASIC
from support.stub import Stub
from support.tracking import free_port, made, needs_mlflow


@pytest.fixture
def run(tmp_path: Path, stub: Stub) -> Path:
    return made(tmp_path, stub, 3).path


def plan_of(run: Path) -> str:
    return str(read_json(run / "manifest.json")["plan"])


def asked(*places: Path, uri: str | None = None, experiment: str = "reused") -> ReleaseSpec:
    tracking = {"tracking": {"uri": uri, "experiment": experiment}} if uri else {}
    return parse({**BASIC, "baseline": [str(place) for place in places], **tracking})


def test_a_sealed_run_of_the_plan_is_found_and_copied_as_it_was_sealed(run: Path, tmp_path: Path) -> None:
    told: list[str] = []
    assert find(asked(tmp_path), plan_of(run), told.append) == run
    assert find(asked(tmp_path), "0" * 64, told.append) is None
    assert told == []
    (run / "verdicts").mkdir(exist_ok=True)
    (run / "verdicts" / "compare-0123.json").write_text("{}")
    left = tmp_path / "new" / ".run.part"
    left.mkdir(parents=True)  # of a process that was killed
    copy(run, tmp_path / "new" / "run")
    assert verify(tmp_path / "new" / "run") == []
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["run"]


def test_a_run_that_does_not_verify_is_told_and_not_taken(run: Path, tmp_path: Path) -> None:
    told: list[str] = []
    (run / "results.json").write_text("{}")
    assert find(asked(tmp_path), plan_of(run), told.append) is None
    assert "results.json" in told[0]


def test_a_server_that_is_not_there_is_told_and_fails_nothing() -> None:
    told: list[str] = []
    assert find(asked(uri=f"http://127.0.0.1:{free_port()}"), "0" * 64, told.append) is None
    assert "does not answer" in told[0]


@needs_mlflow
def test_a_tracked_run_of_the_plan_is_fetched_and_taken(run: Path, mlflow: str) -> None:
    told: list[str] = []
    plan = plan_of(run)
    assert find(asked(uri=mlflow), plan, told.append) is None  # no such experiment yet
    push(run, Target(mlflow, "reused"))
    shutil.rmtree(run)
    found = find(asked(uri=mlflow), plan, told.append)
    assert found is not None
    assert (plan_of(found), verify(found)) == (plan, [])
    assert find(asked(uri=mlflow), "0" * 64, told.append) is None
    assert told == []
