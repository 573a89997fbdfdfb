"""Verification finds every change, and names the file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import assay
from assay.errors import ConfigError
from assay.evidence.manifest import seal
from assay.evidence.verify import verify
from assay.files import digest_of, pretty
from assay.run.folder import RunFolder
from support.evals import spec
from support.stub import Stub


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sealed")
    with Stub() as stub:
        return assay.evaluate(spec(folder, stub.url, 12), out=folder / "run").path


@pytest.fixture
def run(sealed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sealed, tmp_path / "run"))


def names(run: Path) -> set[str]:
    return {finding.path for finding in verify(run)}


def test_an_untouched_run_holds(run: Path) -> None:
    assert verify(run) == []


FILES = ["plan.json", "attempts/0000.jsonl", "scores/0000.jsonl", "results.json", "report.html", "events.jsonl"]


@pytest.mark.parametrize("name", [*FILES, "samples/parity.jsonl"])
@pytest.mark.parametrize("place", [0.0, 0.5, 0.99])
def test_one_changed_byte_is_found(run: Path, name: str, place: float) -> None:
    data = bytearray((run / name).read_bytes())
    data[int(place * (len(data) - 1))] ^= 1
    (run / name).write_bytes(data)
    assert names(run) == {name}


def test_a_changed_manifest_is_found(run: Path) -> None:
    path = run / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"synthetic": false', b'"synthetic": true '))
    assert "the manifest was changed" in str(verify(run)[0])


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_found(run: Path, name: str) -> None:
    (run / name).unlink()
    if name == "plan.json":
        with pytest.raises(ConfigError, match="not a run directory"):
            verify(run)
    else:
        assert names(run) == {name}


def test_an_added_file_is_found(run: Path) -> None:
    (run / "scores" / "0001.jsonl").write_text("")
    assert names(run) == {"scores/0001.jsonl"}


def test_a_link_is_refused(run: Path) -> None:
    (run / "link").symlink_to("/etc/hostname")
    assert "plain files" in str(verify(run)[0])


def test_a_run_that_was_never_sealed(run: Path) -> None:
    (run / "manifest.json").unlink()
    assert names(run) == {"manifest.json"}


def reseal(run: Path, name: str, change: Callable[[str], str]) -> None:
    """Change a file and seal again, as a careful forger would."""
    path = run / name
    path.write_text(change(path.read_text()))
    (run / "manifest.json").unlink()
    plan = assay.open(run).plan
    seal(RunFolder(run), plan=plan.digest, synthetic=plan.synthetic, command=(), environment={})


def test_a_forged_number_under_a_new_seal_is_found(run: Path) -> None:
    results = json.loads((run / "results.json").read_text())
    value = results["cells"][0]["metrics"][0]["value"]
    reseal(run, "results.json", lambda text: text.replace(f'"value": {value}', '"value": 0.99'))
    assert names(run) == {"results.json"}


def test_a_forged_score_under_a_new_seal_is_found(run: Path) -> None:
    reseal(run, "scores/0000.jsonl", lambda text: text.replace('"accuracy":false', '"accuracy":true', 1))
    assert names(run) == {"scores"}


@pytest.mark.parametrize("line", ['{"scorer":1}', "{}", '{"cell":99,"index":-7,"revision":0,"scorer":"x"}'])
def test_nonsense_under_a_new_seal_is_found(run: Path, line: str) -> None:
    reseal(run, "scores/0000.jsonl", lambda text: text + line + "\n")
    assert verify(run)


def test_a_dropped_score_under_a_new_seal_is_found(run: Path) -> None:
    reseal(run, "scores/0000.jsonl", lambda text: "".join(text.splitlines(keepends=True)[:-1]))
    assert names(run) == {"results.json"}


def test_a_forged_sample_under_a_new_seal_is_found(run: Path) -> None:
    reseal(run, "samples/parity.jsonl", lambda text: text.replace('"target":"yes"', '"target":"no"'))
    assert names(run) == {"scores"}


def test_a_manifest_cannot_point_outside(run: Path) -> None:
    path = run / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"][0]["path"] = "../../etc/passwd"
    del manifest["id"]
    manifest["id"] = digest_of(manifest)
    path.write_bytes(pretty(manifest))
    assert "outside the run" in str(verify(run)[0])


def test_scoring_again_adds_a_layer(run: Path) -> None:
    from assay.plan.scorers import rescorers
    from assay.session import score

    before = json.loads((run / "manifest.json").read_text())["id"]
    plan = assay.open(run).plan
    again = score(run, rescorers(plan, (), "contains"))
    assert again.verify() == []
    assert json.loads((run / "manifest.json").read_text())["parents"][0]["id"] == before
    back = score(run, rescorers(plan))
    assert back.verify() == []
    first = json.loads((run / "sealed" / before[:16] / "results.json").read_text())
    assert back.results == first


def test_a_changed_older_layer_is_found(run: Path) -> None:
    from assay.plan.scorers import rescorers
    from assay.session import score

    score(run, rescorers(assay.open(run).plan, (), "contains"))
    old = next((run / "sealed").iterdir()) / "results.json"
    old.write_text(old.read_text().replace("stubbed", "stabbed"))
    assert any("results.json" in finding.path for finding in verify(run))
