"""`assay import`: the run it makes, what gates say of it, and what verification finds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest

import assay
from assay.cli.main import run
from assay.evidence.manifest import identity
from assay.evidence.read import read
from assay.evidence.verify import verify
from assay.files import digest_file
from assay.gates import compare
from assay.gates import run as fit
from support.foreign import inspect_log, inspect_sample, lm_eval, written
from support.gated import policy


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = run([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def imported(capsys: pytest.CaptureFixture[str], path: Path, out: Path, format: str = "lm-eval") -> dict[str, Any]:
    code, told, err = call(capsys, "import", format, path, "--out", out, "--json")
    assert code == 0, err
    found: dict[str, Any] = json.loads(told)
    return found


def test_a_sealed_run_of_kind_import(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = lm_eval(tmp_path / "in", {"none": [1.0, 0.0]})
    told = imported(capsys, path, tmp_path / "run")
    assert (told["schema"], told["sealed"]) == ("assay.eval.v1", True)
    assert told["results"]["imported"]["tool"] == "lm-eval"
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert (manifest["kind"], manifest["id"][:7]) == ("import", "import-")
    sources = [parent for parent in manifest["parents"] if parent["kind"] == "source"]
    files = (path, path.with_name("samples_t_2026.jsonl"))
    assert sources == [{"kind": "source", "path": file.name, "sha256": digest_file(file)} for file in files]
    assert "Imported from lm-eval 0.4.13." in (tmp_path / "run" / "report.html").read_text()
    assert call(capsys, "verify", tmp_path / "run")[0] == 0


def test_the_table_says_where_it_comes_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = lm_eval(tmp_path / "in", {"none": [1.0, 0.0]})
    _, out, _ = call(capsys, "import", "lm-eval", path, "--out", tmp_path / "run")
    assert "imported from lm-eval 0.4.13" in " ".join(out.split())


def test_the_same_files_again_show_the_finished_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = lm_eval(tmp_path / "in", {"none": [1.0, 0.0]})
    imported(capsys, path, tmp_path / "run")
    before = (tmp_path / "run" / "manifest.json").read_bytes()
    imported(capsys, path, tmp_path / "run")
    assert (tmp_path / "run" / "manifest.json").read_bytes() == before
    lm_eval(tmp_path / "in", {"none": [1.0, 1.0]})
    code, _, err = call(capsys, "import", "lm-eval", path, "--out", tmp_path / "run")
    assert (code, "holds another plan" in err) == (2, True)


def test_an_import_that_was_stopped_is_made_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = lm_eval(tmp_path / "in", {"none": [1.0, 0.0]})
    imported(capsys, path, tmp_path / "run")
    for name in ("manifest.json", "results.json", "imported.json"):
        (tmp_path / "run" / name).unlink()
    attempts = tmp_path / "run" / "attempts" / "0000.jsonl"
    attempts.write_bytes(attempts.read_bytes()[:100])
    imported(capsys, path, tmp_path / "run")
    assert verify(tmp_path / "run") == []


def test_what_is_wrong_is_wrong_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "log.json", inspect_log([inspect_sample(1)], status="cancelled"))
    code, out, _ = call(capsys, "import", "inspect", path, "--out", tmp_path / "run", "--json")
    assert (code, json.loads(out)["failure_class"]) == (2, "USER_CONFIG_ERROR")
    assert call(capsys, "import", "inspekt", path)[0] == 2
    assert [each.name for each in tmp_path.iterdir()] == ["log.json"]


def test_a_secret_stops_the_seal_and_may_be_allowed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sample = inspect_sample(1, input="ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8")
    path = written(tmp_path / "log.json", inspect_log([sample], 1.0))
    code, _, err = call(capsys, "import", "inspect", path, "--out", tmp_path / "run")
    assert (code, "--allow-secret DIGEST" in err) == (1, True)
    digest = err.split("digest ")[1].split()[0]
    code, _, _ = call(capsys, "import", "inspect", path, "--out", tmp_path / "run", "--allow-secret", digest)
    assert (code, verify(tmp_path / "run")) == (0, [])


def test_imported_scores_are_not_made_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    imported(capsys, lm_eval(tmp_path / "in", {"none": [1.0, 0.0]}), tmp_path / "run")
    for arguments in (("score", tmp_path / "run"), ("score", tmp_path / "run", "--scoring-mode", "numeric")):
        code, _, err = call(capsys, *arguments)
        assert (code, "imported" in err) == (2, True)
    assert call(capsys, "seal", tmp_path / "run")[0] == 2
    assert verify(tmp_path / "run") == []


def resealed(folder: Path, **change: Any) -> None:
    """Give the manifest the digests of what is there now: a forger can do that."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text()) | change
    for file in manifest["files"]:
        where = folder / file["path"]
        file |= {"bytes": where.stat().st_size, "sha256": digest_file(where)}
    manifest["id"] = identity(manifest)
    path.write_bytes(orjson.dumps(manifest))


def test_verification_finds_what_does_not_belong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    samples = [inspect_sample(1), inspect_sample(2, "I"), inspect_sample(3, error={"message": "x"})]
    imported(capsys, written(tmp_path / "log.json", inspect_log(samples, 0.5)), folder, "inspect")
    scores = folder / "scores" / "0000.jsonl"
    sound = scores.read_bytes()
    header, first, *rest = sound.splitlines(keepends=True)
    for changed, words in (
        (header + first, "has no score and no reason why"),
        (sound + first, "is there twice"),
        (header + first.replace(b"true", b"0.5") + b"".join(rest), "has a match that is none of the task's"),
        (header + first.replace(b'"match"', b'"other"') + b"".join(rest), "has a other that is none"),
        (header + first.replace(b"imported@", b"else@") + b"".join(rest), "is by another scorer"),
    ):
        scores.write_bytes(changed)
        resealed(folder)
        assert any(words in str(finding) for finding in verify(folder)), words
    scores.write_bytes(header + first.replace(b"true", b"false") + b"".join(rest))
    resealed(folder)
    assert any("results.json" in str(finding) for finding in verify(folder))
    scores.write_bytes(sound)
    resealed(folder, kind="run")
    assert any("is not sealed as an import" in str(finding) for finding in verify(folder))
    resealed(folder, kind="import", parents=[])
    assert any("imported from as its parents" in str(finding) for finding in verify(folder))


def test_gates_read_imports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, right in (("a", 150), ("b", 110)):
        values = [float(number < right) for number in range(200)]
        imported(capsys, lm_eval(tmp_path / f"in-{name}", {"none": values}), tmp_path / name)
    base, other = read(tmp_path / "a"), read(tmp_path / "b")
    assert (base.kind, fit.gate(base, policy(0.02)).verdict) == ("import", "PASS")
    assert compare.gate(base, base, policy(0.05)).verdict == "ACCEPT"
    assert compare.gate(base, other, policy(0.02)).verdict == "REGRESSION"


def test_totals_pass_run_and_leave_compare_undecided(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, right in (("a", 0.75), ("b", 0.5)):
        log = inspect_log([], right)
        log["results"] |= {"total_samples": 200, "completed_samples": 200}
        imported(capsys, written(tmp_path / f"{name}.json", log), tmp_path / name, "inspect")
    base, other = read(tmp_path / "a"), read(tmp_path / "b")
    assert fit.gate(base, policy(0.02)).verdict == "PASS"
    undecided = compare.gate(base, other, policy(0.02))
    assert undecided.verdict == "INCONCLUSIVE"
    assert "only totals are known" in " ".join(undecided.reasons)
    assert compare.gate(base, other, policy(0.02, rule="point")).verdict == "REGRESSION"
    assert compare.gate(base, base, policy(0.02, rule="point")).verdict == "ACCEPT"


def test_an_attempt_without_an_answer_fails_the_gate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples = [inspect_sample(1), inspect_sample(2, error={"message": "x"}, scores={})]
    imported(capsys, written(tmp_path / "log.json", inspect_log(samples, 1.0)), tmp_path / "run", "inspect")
    result = fit.gate(read(tmp_path / "run"), policy(0.02))
    assert (result.verdict, result.failure_class) == ("FAIL", "INFRA_TRANSIENT")


def test_the_same_door_from_python(tmp_path: Path) -> None:
    found = assay.import_run("lm-eval", lm_eval(tmp_path / "in", {"none": [1.0, 0.0]}), tmp_path / "run")
    frame = found.frame().fetchall()
    assert (len(frame), found.sealed, len(found)) == (2, True, 2)
