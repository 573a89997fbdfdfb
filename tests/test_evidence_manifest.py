"""The manifest, version 1: what it says, and what it refuses."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import assay
from assay.errors import EvidenceError
from assay.evidence import surroundings
from assay.evidence.manifest import identity, is_signature, read_manifest, seal
from assay.evidence.surroundings import work_tree
from assay.evidence.verify import verify
from assay.files import digest_file, pretty
from assay.run.folder import RunFolder
from support.evals import spec
from support.stub import Stub


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sealed")
    with Stub() as stub:
        return assay.evaluate(spec(folder, stub.url, 6), out=folder / "run").path


@pytest.fixture
def run(sealed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sealed, tmp_path / "run"))


def manifest_of(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "manifest.json").read_text()))


def test_the_id_is_the_kind_and_a_digest_of_all_else(run: Path) -> None:
    manifest = manifest_of(run)
    assert re.fullmatch(r"run-[0-9a-f]{16}", manifest["id"])
    assert manifest["id"] == identity(manifest)
    assert identity(manifest | {"created": "2000-01-01T00:00:00Z"}) != manifest["id"]


def test_it_says_what_ran_where(run: Path) -> None:
    manifest = manifest_of(run)
    environment = manifest["environment"]
    assert environment["packages"]["duckdb"]
    assert environment["kernel"]
    assert environment["models"]["stub"] is not None
    assert manifest["tool"]["name"] == "assay"
    assert manifest["secrets"]["scanner"].startswith("detect-secrets ")
    assert not any(
        word in json.dumps(environment) for word in {__import__("socket").gethostname(), "USER"} if len(word) > 4
    )


def test_its_parents_are_the_data_and_what_is_known_of_the_models(run: Path) -> None:
    plan = assay.open(run).plan
    [data] = manifest_of(run)["parents"]
    task = plan.tasks["parity"]
    assert data == {"kind": "data", "name": "parity", "digest": task.dataset, "sha256": task.origin["sha256"]}


def forged(run: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Change the manifest, and give it the id that goes with the change."""
    manifest = manifest_of(run)
    change(manifest)
    if isinstance(manifest.get("kind"), str):
        manifest["id"] = identity(manifest)
    (run / "manifest.json").write_bytes(pretty(manifest))
    return run / "manifest.json"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda m: m.update(signed_by="me"), "unknown keys signed_by"),
        (lambda m: m.pop("source"), "source is missing"),
        (lambda m: m.update(kind="summary"), "the kind is 'summary'"),
        (lambda m: m.update(kind=7), "kind is missing, or not what"),
        (lambda m: m.update(synthetic=0), "synthetic is missing, or not what"),
        (lambda m: m.update(files={}), "files is missing, or not what"),
        (lambda m: m.update(schema="assay.manifest.v2"), "schema is 'assay.manifest.v2'"),
        (lambda m: m["tool"].update(host="x"), "tool has other keys"),
        (lambda m: m["secrets"].pop("allowed"), "secrets has other keys"),
        (lambda m: m["secrets"].update(allowed=None), "the allowed secrets"),
        (lambda m: m["secrets"].update(redacted=3), "the redacted secrets"),
        (lambda m: m["secrets"].update(allowed=[1]), "the allowed secrets"),
        (lambda m: m["command"].append(1), "the command"),
        (lambda m: m["files"][0].update(mode=0o777), "and nothing else"),
        (lambda m: m["files"].append("plan.json"), "and nothing else"),
        (lambda m: m["files"][0].update(bytes=-1), "not a size"),
        (lambda m: m["files"][0].update(bytes=True), "not a size"),
        (lambda m: m["files"][0].update(sha256="0" * 63), "not a size and a SHA-256"),
        (lambda m: m["files"].append(m["files"][0]), "lists a file twice"),
        (lambda m: m["files"][0].update(path="/etc/passwd"), "outside the run"),
        (lambda m: m["files"][0].update(path="a/../../b"), "outside the run"),
        (lambda m: m["files"][0].update(path="./plan.json"), "not a plain path"),
        (lambda m: m["files"][0].update(path="a//b"), "not a plain path"),
        (lambda m: m["files"][0].update(path=""), "not a path"),
        (lambda m: m["files"][0].update(path="a\0b"), "not a path"),
        (lambda m: m["files"][0].update(path=3), "not a path"),
        (lambda m: m["parents"].append({"kind": "hearsay"}), "a parent has one of the kinds"),
        (lambda m: m["parents"].append("x"), "a parent has one of the kinds"),
        (lambda m: m["parents"].append({"kind": "data", "owner": "me"}), "unknown keys owner"),
        (lambda m: m["parents"].append({"kind": "data", "name": 1}), "in texts"),
        (lambda m: m["parents"].append({"kind": "manifest", "id": "x"}), "by id, path and sha256"),
        (
            lambda m: m["parents"].append({"kind": "manifest", "id": "", "sha256": "", "path": "../m"}),
            "outside the run",
        ),
    ],
)
def test_what_version_1_does_not_allow_is_refused(
    run: Path, change: Callable[[dict[str, Any]], object], problem: str
) -> None:
    path = forged(run, change)
    with pytest.raises(EvidenceError, match=re.escape(problem)) as caught:
        read_manifest(path)
    assert str(path) in str(caught.value)
    assert problem in str(verify(run)[0])


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"schema": "assay.manifest.v1"}'])
def test_what_is_no_manifest_is_refused(run: Path, text: str) -> None:
    (run / "manifest.json").write_text(text)
    with pytest.raises(EvidenceError):
        read_manifest(run / "manifest.json")


@pytest.mark.parametrize("target", ["/etc/hostname", "plan.json", "samples"])
def test_a_folder_with_a_link_is_not_sealed(run: Path, target: str) -> None:
    (run / "manifest.json").unlink()
    (run / "samples" / "link").symlink_to(target)
    with pytest.raises(EvidenceError, match="plain files and folders only"):
        seal(RunFolder(run), assay.open(run).plan, command=(), environment={})
    assert not (run / "manifest.json").exists()


def test_a_secret_in_the_command_or_the_environment_never_reaches_the_manifest(run: Path) -> None:
    token = "ghp_" + "k3J9xQ7tWz" * 3 + "aB8sLm"
    (run / "manifest.json").unlink()
    manifest = seal(
        RunFolder(run),
        assay.open(run).plan,
        command=["assay", f"--x={token}"],
        environment={"models": {"m": {"h": token}}},
    )
    assert token not in (run / "manifest.json").read_text()
    assert manifest["command"][1].startswith("--x=[redacted:sha256:")
    assert [item["path"] for item in manifest["secrets"]["redacted"]] == ["manifest.json"] * 2


def test_a_seal_is_never_written_over(run: Path) -> None:
    before = (run / "manifest.json").read_bytes()
    with pytest.raises(EvidenceError, match="never rewritten"):
        seal(RunFolder(run), assay.open(run).plan, command=(), environment={})
    assert (run / "manifest.json").read_bytes() == before


def test_where_signatures_stand() -> None:
    yes = ["manifest.sig.json", "verdicts/a.sig.json", "sealed/run-1/manifest.sig.json"]
    no = ["scores/a.sig.json", "manifest.json", "a.sig.json", "sealed/manifest.sig.json", "x/y/manifest.sig.json"]
    assert [is_signature(Path(name)) for name in [*yes, *no]] == [True] * 3 + [False] * 5


def git(folder: Path, *arguments: str) -> str:
    options = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", *options, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_the_source_is_the_work_tree_and_whether_it_is_dirty(tmp_path: Path) -> None:
    assert work_tree(tmp_path) is None
    git(tmp_path, "init", "-q")
    assert work_tree(tmp_path) == {"revision": None, "dirty": False}
    (tmp_path / "spec.yaml").write_text("name: a\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    revision = git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "runs").mkdir()
    assert work_tree(tmp_path / "runs") == {"revision": revision, "dirty": False}
    (tmp_path / "spec.yaml").write_text("name: b\n")
    assert work_tree(tmp_path) == {"revision": revision, "dirty": True}


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_looking_at_a_work_tree_runs_nothing_that_it_names(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "hook").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (tmp_path / "hook").chmod(0o755)
    git(tmp_path, "config", "core.fsmonitor", str(tmp_path / "hook"))
    (tmp_path / "file").write_text("x")
    work_tree(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_without_git_there_is_no_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert work_tree(Path.cwd()) is None


def test_a_machine_that_says_nothing_of_its_processor(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor: 0\n")
    assert surroundings.processor(tmp_path / "cpuinfo") is None


def test_the_files_are_listed_with_size_and_digest(run: Path) -> None:
    files = {file["path"]: file for file in manifest_of(run)["files"]}
    assert {"plan.json", "attempts/0000.jsonl", "results.json", "samples/parity.jsonl"} <= set(files)
    for name, file in files.items():
        assert (file["bytes"], file["sha256"]) == ((run / name).stat().st_size, digest_file(run / name))
