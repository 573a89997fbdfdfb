"""Runs back from a real server, on a machine that has only its address; and what hostile contents come to."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from assay import judged
from assay.errors import ConfigError, EvidenceError
from assay.evidence.manifest import identity
from assay.evidence.verify import verify
from assay.files import pretty
from assay.tracking import memory
from assay.tracking.pull import pull
from assay.tracking.push import push
from assay.tracking.target import Target
from support import judging
from support.stub import Stub
from support.tracking import client, logged, made, needs_mlflow

pytestmark = needs_mlflow


@pytest.fixture
def target(mlflow: str, request: pytest.FixtureRequest) -> Target:
    return Target(mlflow, request.node.name)


@pytest.fixture
def parent(tmp_path: Path, stub: Stub, target: Target):
    """A run that is logged, to be made worse."""
    push(made(tmp_path, stub, 3).path, target)
    return logged(target.uri, target.experiment)[0]


def overwrite(target: Target, parent, name: str, data: bytes, folder: Path) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    inside = Path("run", name).parent.as_posix()
    client(target.uri).log_artifact(parent.info.run_id, str(path), inside)


def manifest_of(tmp_path: Path) -> dict:
    return orjson.loads((tmp_path / "made" / "manifest.json").read_bytes())


def lie(target: Target, parent, manifest: dict, folder: Path) -> None:
    """A manifest that is consistent in itself, and logged as such."""
    manifest["id"] = identity(manifest)
    overwrite(target, parent, "manifest.json", pretty(manifest), folder)
    client(target.uri).set_tag(parent.info.run_id, "assay.manifest", manifest["id"])


def test_a_run_comes_back_as_it_was(tmp_path: Path, stub: Stub, target: Target, home: Path):
    run = made(tmp_path, stub, 3)
    push(run.path, target)
    (found,) = pull(target.uri, target.experiment).runs
    assert found.is_relative_to(home / "tracking")
    files = {path.relative_to(run.path): path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    assert {path.relative_to(found): path.read_bytes() for path in found.rglob("*") if path.is_file()} == files
    assert verify(found) == []
    assert memory.recall(found).target == target
    inode = (found / "plan.json").stat().st_ino
    assert pull(target.uri, target.experiment).runs == [found]
    plan = orjson.loads((found / "manifest.json").read_bytes())["plan"]
    assert pull(target.uri, target.experiment, plan=plan).runs == [found]
    with pytest.raises(ConfigError, match="no run of assay"):
        pull(target.uri, target.experiment, plan="0" * 64)
    assert (found / "plan.json").stat().st_ino == inode


def test_newer_layers_are_fetched_and_older_ones_kept(tmp_path: Path, stub: Stub, target: Target):
    run = made(tmp_path, stub, 3)
    push(run.path, target)
    (found,) = pull(target.uri, target.experiment).runs
    judging.export(run, tmp_path / "q.csv")
    push(run.path, target)
    (again,) = pull(target.uri, target.experiment).runs
    assert again == found and (found / "judging").exists() and not list(found.parent.glob("*.old*"))
    judged.apply(judging.fill(tmp_path / "q.csv", tmp_path / "a.csv"), "ada", [found])
    kept = pull(target.uri, target.experiment)
    assert (found / "judgements").exists() and "has a layer that is not logged" in kept.notes[0]
    judged.apply(judging.fill(tmp_path / "q.csv", tmp_path / "b.csv"), "bob", [run.path])
    push(run.path, target)
    with pytest.raises(ConfigError, match="newer layer"):
        push(found, target)
    both = pull(target.uri, target.experiment)
    assert "overtaken" in both.notes[0]
    (aside,) = found.parent.glob("*.old1")
    assert judged.status(aside)[0]["judges"][0]["judge"] == "ada"
    assert judged.status(found)[0]["judges"][0]["judge"] == "bob"


def test_signatures_and_later_verdicts_come_too(tmp_path: Path, stub: Stub, target: Target):
    run = made(tmp_path, stub, 3)
    (run.path / "verdicts").mkdir()
    verdict = {"schema": "assay.gate.v1", "gate": "run", "verdict": "PASS"}
    (run.path / "verdicts" / "run-0123.json").write_bytes(pretty(verdict))
    (run.path / "manifest.sig.json").write_bytes(pretty({"payload": "x"}))
    push(run.path, target)
    tags = logged(target.uri, target.experiment)[0].data.tags
    assert (tags["verdict"], tags["verdict.run"]) == ("PASS", "PASS")
    (found,) = pull(target.uri, target.experiment).runs
    assert (found / "verdicts" / "run-0123.json").read_bytes() == pretty(verdict)
    assert (found / "manifest.sig.json").exists()


def test_what_is_not_whole_is_left_out_and_told(tmp_path: Path, stub: Stub, target: Target):
    push(made(tmp_path, stub, 3).path, target)
    parent, _ = logged(target.uri, target.experiment)
    client(target.uri).delete_tag(parent.info.run_id, "assay.manifest")
    with pytest.raises(ConfigError, match="holds no run of assay") as told:
        pull(target.uri, target.experiment)
    assert "not logged whole yet" in str(told.value)


def test_an_experiment_that_is_not_there_names_those_that_are(mlflow: str):
    client(mlflow).create_experiment("something")
    with pytest.raises(ConfigError, match="has no experiment 'nothing'") as told:
        pull(mlflow, "nothing")
    assert "something" in str(told.value)


def test_a_changed_file_is_refused(tmp_path: Path, target: Target, parent, home: Path):
    results = orjson.loads((tmp_path / "made" / "results.json").read_bytes())
    size = len(pretty(results))
    changed = pretty(results).replace(b'"complete": true', b'"complete":  tru')
    assert len(changed) == size
    overwrite(target, parent, "results.json", changed, tmp_path / "x")
    with pytest.raises(EvidenceError, match="not what was sealed") as told:
        pull(target.uri, target.experiment)
    assert "results.json" in str(told.value)
    assert list((home / "tracking").glob("*/made*")) == []


def test_a_longer_file_is_not_read_to_its_end(tmp_path: Path, target: Target, parent):
    overwrite(target, parent, "results.json", b" " * 5_000_000, tmp_path / "x")
    with pytest.raises(EvidenceError, match="larger than the"):
        pull(target.uri, target.experiment)


@pytest.mark.parametrize("name", ["../../evil", "/evil", "a/../../evil", "..", "a//b"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, target: Target, parent, name: str, home: Path):
    manifest = manifest_of(tmp_path)
    manifest["files"].append({"path": name, "bytes": 4, "sha256": "0" * 64})
    lie(target, parent, manifest, tmp_path / "x")
    with pytest.raises(EvidenceError, match="not what was sealed"):
        pull(target.uri, target.experiment)
    assert not list(home.rglob("evil*"))


def test_a_manifest_that_promises_too_much_is_refused(tmp_path: Path, target: Target, parent):
    manifest = manifest_of(tmp_path)
    manifest["files"].append({"path": "big", "bytes": 1 << 50, "sha256": "0" * 64})
    lie(target, parent, manifest, tmp_path / "x")
    with pytest.raises(EvidenceError, match="more than"):
        pull(target.uri, target.experiment)


def test_files_in_the_place_of_folders_are_refused(tmp_path: Path, target: Target, parent):
    manifest = manifest_of(tmp_path)
    entry = next(file for file in manifest["files"] if file["path"] == "plan.json")
    manifest["files"] += [{**entry, "path": "plan.json/x"}]
    lie(target, parent, manifest, tmp_path / "x")
    with pytest.raises(EvidenceError, match="not what was sealed"):
        pull(target.uri, target.experiment)


def test_another_manifest_than_the_one_that_is_logged_is_refused(tmp_path: Path, target: Target, parent):
    client(target.uri).set_tag(parent.info.run_id, "assay.manifest", "run-0000000000000000")
    with pytest.raises(EvidenceError, match="not what was sealed"):
        pull(target.uri, target.experiment)


def test_tags_that_name_folders_stay_names(tmp_path: Path, target: Target, parent, home: Path):
    client(target.uri).set_tag(parent.info.run_id, "assay.name", "../../../evil\x1b[31m")
    (found,) = pull(target.uri, target.experiment).runs
    assert found.parent.parent == home / "tracking"
