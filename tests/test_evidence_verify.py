"""Verification finds every change, and names the file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import assay
from assay import judged
from assay.errors import ConfigError
from assay.evidence import verdicts
from assay.evidence.keys import make, signing_key
from assay.evidence.manifest import covered, entry, identity, seal
from assay.evidence.signing import sign
from assay.evidence.verify import verify
from assay.files import canonical, pretty
from assay.judging import derived
from assay.run.folder import RunFolder
from assay.run.state import State
from support import judging
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
    seal(RunFolder(run), plan, command=(), environment={})


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
    path.write_bytes(pretty(manifest | {"id": identity(manifest)}))
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
    first = json.loads((run / "sealed" / before / "results.json").read_text())
    assert back.results == first


def test_a_changed_older_layer_is_found(run: Path) -> None:
    from assay.plan.scorers import rescorers
    from assay.session import score

    score(run, rescorers(assay.open(run).plan, (), "contains"))
    old = next((run / "sealed").iterdir()) / "results.json"
    old.write_text(old.read_text().replace("stubbed", "stabbed"))
    assert any("results.json" in finding.path for finding in verify(run))


def test_a_seal_that_leaves_the_results_out_is_found(run: Path) -> None:
    (run / "results.json").unlink()
    reseal(run, "plan.json", lambda text: text)
    assert names(run) == {"results.json"}


def test_a_manifest_that_names_other_data_is_found(run: Path) -> None:
    path = run / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["parents"][0]["digest"] = "0" * 64
    path.write_bytes(pretty(manifest | {"id": identity(manifest)}))
    assert "the plan's data and models" in str(verify(run)[0])


@pytest.mark.parametrize("environment", [{"data": 3}, {"models": []}, {"data": {"parity": [1]}}])
def test_a_hostile_environment_breaks_nothing(run: Path, environment: dict[str, object]) -> None:
    path = run / "manifest.json"
    manifest = json.loads(path.read_text()) | {"environment": environment}
    path.write_bytes(pretty(manifest | {"id": identity(manifest)}))
    assert all(finding.problem for finding in verify(run))


def test_what_is_found_of_the_data_is_noted(sealed: Path, run: Path) -> None:
    said: list[str] = []
    assert verify(run, note=said.append) == []
    assert any("data of parity is here and the same" in text for text in said)
    path = sealed.parent / "questions.jsonl"
    before = path.read_bytes()
    path.write_bytes(before + b"\n")
    try:
        assert verify(run, note=said.append) == []
    finally:
        path.write_bytes(before)
    assert any("data of parity has changed since" in text for text in said)


@pytest.fixture
def layered(run: Path) -> Path:
    from assay.plan.scorers import rescorers
    from assay.session import score

    for mode in ("contains", None):
        score(run, rescorers(assay.open(run).plan, (), mode) if mode else rescorers(assay.open(run).plan))
    assert len(list((run / "sealed").iterdir())) == 2
    assert verify(run) == []
    return run


def resealed(run: Path, change: Callable[[dict[str, Any]], object] = lambda _: None) -> None:
    """Write the newest manifest again over what is there, as a forger of earlier seals would."""
    path = run / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"] = [entry(run, file) for file in covered(run)]
    change(manifest)
    path.write_bytes(pretty(manifest | {"id": identity(manifest)}))


def test_a_missing_earlier_seal_is_found(layered: Path) -> None:
    newest = json.loads((layered / "manifest.json").read_text())["parents"][0]
    shutil.rmtree((layered / newest["path"]).parent)
    resealed(layered)
    assert any("missing: the earlier seal" in finding.problem for finding in verify(layered))


def test_an_earlier_seal_that_nobody_names_is_found(layered: Path) -> None:
    resealed(layered, lambda manifest: manifest["parents"].pop(0))
    assert any("no later one names" in finding.problem for finding in verify(layered))


def test_an_earlier_seal_put_in_the_place_of_another_is_found(layered: Path) -> None:
    one, other = sorted((layered / "sealed").glob("*/manifest.json"))
    one.write_bytes(other.read_bytes())
    resealed(layered)
    assert any("named as" in finding.problem or "missing" in finding.problem for finding in verify(layered))


def test_an_earlier_seal_written_anew_is_found(layered: Path) -> None:
    for path in sorted((layered / "sealed").glob("*/manifest.json")):
        manifest = json.loads(path.read_text()) | {"created": "2000-01-01T00:00:00Z"}
        path.write_bytes(pretty(manifest | {"id": identity(manifest)}))
    resealed(layered)
    assert any("named as" in finding.problem for finding in verify(layered))


def test_a_signature_of_an_earlier_seal_is_kept_and_must_be_of_it(run: Path, tmp_path: Path) -> None:
    from assay.plan.scorers import rescorers
    from assay.session import score

    public = make(tmp_path / "a.key")
    key = signing_key(str(tmp_path / "a.key"))
    sign(run / "manifest.json", key)
    score(run, rescorers(assay.open(run).plan, (), "contains"))
    [kept] = (run / "sealed").glob("*/manifest.sig.json")
    assert not (run / "manifest.sig.json").exists()
    assert verify(run) == []
    assert [finding.path for finding in verify(run, keys=[public])] == ["manifest.sig.json"]
    sign(run / "manifest.json", key)
    assert verify(run, keys=[public]) == []
    kept.write_bytes((run / "manifest.sig.json").read_bytes())
    assert [finding.path for finding in verify(run)] == [kept.relative_to(run).as_posix()]


def test_a_signature_of_nothing_is_found(run: Path) -> None:
    (run / "verdicts").mkdir()
    (run / "verdicts" / "a.sig.json").write_text("{}")
    assert names(run) == {"verdicts/a.sig.json"}


VERDICT = {"schema": "assay.gate.v1", "gate": "run", "verdict": "PASS", "numbers": {"n": 12}, "inputs": []}


def put(run: Path, verdict: dict[str, Any]) -> Path:
    path = run / "verdicts" / "run.json"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(pretty(verdict))
    return path


def test_a_verdict_is_derived_again_and_differences_are_named(tmp_path: Path) -> None:
    path = put(tmp_path, VERDICT)
    assert verdicts.check_file(path, lambda document, place: VERDICT).problems == ()
    other = VERDICT | {"verdict": "FAIL", "numbers": {"n": 11, "rate": 0.5}}
    assert verdicts.check_file(path, lambda document, place: other).problems == (
        "numbers.n: 12, derived again 11",
        "numbers.rate: nothing, derived again 0.5",
        "verdict: 'PASS', derived again 'FAIL'",
    )
    path.write_bytes(path.read_bytes() + b"\n")
    assert "its bytes" in verdicts.check_file(path, lambda document, place: VERDICT).problems[0]


def test_a_verdict_whose_evidence_is_not_here_says_so(tmp_path: Path) -> None:
    def away(document: object, place: Path) -> dict[str, Any]:
        raise ConfigError("the baseline is not here")

    outcome = verdicts.check_file(put(tmp_path, VERDICT), away)
    assert (outcome.problems, outcome.why) == ((), "the baseline is not here")


@pytest.mark.parametrize("verdict", [{"schema": "assay.summary.v1", "verdict": "ACCEPT"}, {"verdict": "ACCEPT"}])
def test_a_hand_written_verdict_is_found(run: Path, verdict: dict[str, Any]) -> None:
    put(run, verdict)
    assert names(run) == {"verdicts/run.json"}


def test_a_verdict_that_nothing_vouches_for_is_found(run: Path, tmp_path: Path) -> None:
    path = put(run, VERDICT | {"inputs": [{"manifest": "run-0000000000000000"}]})
    assert names(run) == {"verdicts/run.json"}
    public, other = make(tmp_path / "a.key"), make(tmp_path / "b.key")
    for place in (path, run / "manifest.json"):
        sign(place, signing_key(str(tmp_path / "a.key")))
    assert {finding.path for finding in verify(run, keys=[other])} == {"manifest.sig.json", "verdicts/run.sig.json"}
    path.write_bytes(path.read_bytes().replace(b"PASS", b"FAIL"))
    assert [finding.path for finding in verify(run, keys=[public])] == ["verdicts/run.sig.json"]


@pytest.fixture(scope="module")
def judged_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("judged")
    with Stub() as stub:
        made = judging.run(folder, stub, 6)
    judging.export(made, folder / "q.csv", anchors=True)
    judged.apply(judging.fill(folder / "q.csv", folder / "a.csv"), "ada", [made.path])
    return made.path


@pytest.fixture
def judged_copy(judged_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(judged_run, tmp_path / "run"))


def rewritten(run: Path, number: int, change: dict[str, Any]) -> None:
    """Change one line of the judgements and seal the run as if nothing had happened."""
    path = run / "judgements" / "0000.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[number] |= change
    path.write_bytes(b"".join(canonical(line) + b"\n" for line in lines))
    resealed(run)


def candidate(run: Path) -> int:
    """The first line of the judgements that judges an answer, and is no check."""
    lines = (run / "judgements" / "0000.jsonl").read_text().splitlines()
    return next(place for place, line in enumerate(lines) if json.loads(line).get("kind") == "candidate")


def test_a_judged_run_holds(judged_copy: Path) -> None:
    assert verify(judged_copy) == []


def test_a_judged_mean_that_does_not_follow_is_found(judged_copy: Path) -> None:
    path = judged_copy / "judged.json"
    content = json.loads(path.read_text())
    content["rubrics"][0]["cells"][0]["composite"]["value"] += 0.5
    path.write_bytes(pretty(content))
    assert names(judged_copy) == {"judged.json"}
    resealed(judged_copy)
    (finding,) = verify(judged_copy)
    assert str(finding) == "judged.json: differs from what the judgements come to"


def test_judged_numbers_that_are_missing_are_found(judged_copy: Path) -> None:
    (judged_copy / "judged.json").unlink()
    resealed(judged_copy)
    assert [str(finding) for finding in verify(judged_copy)] == ["judged.json: missing: the run carries a rubric"]


def test_judged_numbers_without_a_rubric_are_found(run: Path) -> None:
    (run / "judged.json").write_bytes(pretty({"schema": derived.SCHEMA, "rubrics": []}))
    resealed(run)
    assert names(run) == {"judged.json"}


@pytest.mark.parametrize(
    ("number", "change", "problem"),
    [
        (0, {"plan": "0" * 64}, "of another plan"),
        (0, {"judge": {"name": "bob", "kind": "person"}}, "another judge than its batch says"),
        (1, {"attempt": "0" * 16}, "does not belong to the plan"),
        (1, {"digest": "d" + "0" * 16}, "is not the one that the run holds"),
        (1, {"item": "c00000000000"}, "was never handed out"),
        (1, {"rubric": "0" * 64}, "a rubric that the run does not carry"),
        (1, {"votes": [{"fit": 1, "ease": 0}, {"fit": 3, "ease": 0.5}]}, "not the median of its votes"),
        (1, {"scores": {"fit": 9, "ease": 0}}, "not on the rubric's scales"),
    ],
)
def test_a_judgement_that_is_not_of_the_run_is_found(
    judged_copy: Path, number: int, change: dict[str, Any], problem: str
) -> None:
    rewritten(judged_copy, number and candidate(judged_copy), change)
    found = [str(finding) for finding in verify(judged_copy)]
    assert any(line.startswith("judgements/0000.jsonl: ") and problem in line for line in found), found


def test_a_score_that_was_changed_everywhere_but_in_the_numbers_is_found(judged_copy: Path) -> None:
    rewritten(judged_copy, candidate(judged_copy), {"scores": {"fit": 3, "ease": 1}})
    assert names(judged_copy) == {"judged.json"}


def test_a_model_s_batch_needs_the_run_in_which_it_judged(judged_copy: Path) -> None:
    judge = {"name": "ada", "kind": "model", "run": "judging/auto/12345678", "manifest": "run-0123456789abcdef"}
    folder = RunFolder(judged_copy)
    rewritten(judged_copy, 0, {"judge": judge})
    derived.write(folder, folder.plan(), State.read(folder, folder.plan()))
    resealed(judged_copy)
    (finding,) = verify(judged_copy)
    assert "the run in which ada judged is not here" in finding.problem
