"""Signing as a user does it: make keys, sign, verify, change a byte, and see it fail."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import assay
from assay.cli.main import run as command
from support.evals import spec
from support.stub import Stub


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sealed")
    with Stub() as stub:
        return assay.evaluate(spec(folder, stub.url, 6), out=folder / "run").path


@pytest.fixture
def run(sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    shutil.copytree(sealed, tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    assert command(["keys", "new", "a.key"]) == 0
    return "run"


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = command([*arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_a_signed_run_verifies_until_one_byte_changes(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, signed = document(capsys, "sign", run, "--key", "a.key")
    assert (code, signed["signature"]) == (0, "run/manifest.sig.json")
    code, verified = document(capsys, "verify", run, "--key", "a.key.pub")
    assert (code, verified["ok"], verified["findings"]) == (0, True, [])
    assert f"manifest.sig.json: signed with key {signed['key'][:16]}" in verified["notes"]
    manifest = Path(run) / "manifest.json"
    manifest.write_bytes(manifest.read_bytes() + b" ")
    code, verified = document(capsys, "verify", run, "--key", "a.key.pub")
    assert (code, verified["ok"]) == (1, False)
    assert [finding["path"] for finding in verified["findings"]] == ["manifest.sig.json"]


def test_verification_asks_for_a_signature_only_with_a_key(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert document(capsys, "verify", run)[0] == 0
    code, verified = document(capsys, "verify", run, "--key", "a.key.pub")
    assert code == 1
    assert verified["findings"] == [{"path": "manifest.sig.json", "problem": "missing: manifest.json is not signed"}]


def test_another_key_is_not_enough(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["sign", run, "--key", "a.key"]) == 0
    assert command(["keys", "new", "b.key"]) == 0
    assert document(capsys, "verify", run, "--key", "b.key.pub")[0] == 1
    code, verified = document(capsys, "verify", run, "--key", "b.key.pub", "--key", "a.key.pub")
    assert (code, verified["ok"]) == (0, True)


def test_a_signature_without_a_key_is_noted_as_not_checked(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["sign", run, "--key", "a.key"]) == 0
    capsys.readouterr()
    assert command(["verify", run]) == 0
    assert "who signed it was not checked" in capsys.readouterr().err


def test_a_run_whose_files_changed_is_not_signed(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    report = Path(run) / "report.html"
    report.write_bytes(report.read_bytes()[:-1])
    code, told = document(capsys, "sign", run, "--key", "a.key")
    assert (code, told["failure_class"]) == (1, "EVIDENCE_INVALID")
    assert "report.html" in told["message"]
    assert not (Path(run) / "manifest.sig.json").exists()


@pytest.mark.parametrize(
    "arguments",
    [("sign", "run", "--key", "a.key.pub"), ("sign", "nowhere", "--key", "a.key"), ("sign", "run", "--key", "env:NONE"),
     ("verify", "run", "--key", "a.key"), ("keys", "new", "a.key"), ("keys", "show", "a.key"), ("sign", "run")],
)  # fmt: skip
def test_wrong_input_is_told_as_such(run: str, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    code, told = document(capsys, *arguments)
    assert (code, told["failure_class"]) == (2, "USER_CONFIG_ERROR")


def test_a_key_has_one_id(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    signed = document(capsys, "sign", run, "--key", "a.key")[1]
    assert document(capsys, "keys", "show", "a.key.pub")[1]["key"] == signed["key"]


def test_seal_by_hand_lets_a_finding_pass_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    token = "ghp_" + "k3J9xQ7tWz" * 3 + "aB8sLm"
    with Stub(answer=lambda prompt, seed: f"no, {token}") as stub:
        (tmp_path / "spec.json").write_text(json.dumps(spec(tmp_path, stub.url, 2)))
        capsys.readouterr()
        code, told = document(capsys, "eval", str(tmp_path / "spec.json"), "--out", str(tmp_path / "run"))
    assert (code, told["error"], token in json.dumps(told)) == (1, "SecretFound", False)
    digest = told["message"].rpartition("digest ")[2].split()[0]
    assert document(capsys, "seal", str(tmp_path / "run"))[0] == 1
    code, manifest = document(capsys, "seal", str(tmp_path / "run"), "--allow-secret", digest)
    assert (code, manifest["allowed"], manifest["redacted"]) == (0, [digest], [])
    assert document(capsys, "verify", str(tmp_path / "run"))[0] == 0
