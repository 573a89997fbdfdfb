"""Admission: thresholds on the ends of intervals, a sealed decision, and every edit of it found."""

from __future__ import annotations

import shutil
from pathlib import Path

import orjson
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import assay
from assay.cli.main import run as cli
from assay.errors import ConfigError
from assay.evidence import admission as stored
from assay.evidence.keys import make, signing_key
from assay.evidence.manifest import identity
from assay.evidence.signing import sign
from assay.evidence.verify import verify
from assay.files import pretty
from assay.gates.judges import load
from assay.judging.admission import _needed, _reached
from support.judges import judge, judge_policy, model, person
from support.judging import export, run
from support.stub import Stub


def good(index: int):
    return {"fit": 1 + index % 3, "ease": (index % 5) / 4}


def nearly(index: int):
    return good(index + (index % 10 == 0))


def bad(index: int):
    if index % 7 == 0:
        return good(index)
    return {"fit": 3 - index % 3, "ease": 1 - (index % 5) / 4}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that ada, a good model and a bad one judged, and one of three answers."""
    folder = tmp_path_factory.mktemp("admitted")
    with Stub() as stub:
        whole, small = run(folder, stub, 60, "run"), run(folder, stub, 3, "small")
    for made in (whole, small):
        judge(made.path, person("ada"), good)
        judge(made.path, model("nearly"), nearly)
    judge(whole.path, model("bad", votes=5), bad, marked=("anchor 1: fit is 3, calibrated as 1",))
    return folder


def told(capsys: pytest.CaptureFixture[str], *arguments: object):
    capsys.readouterr()
    code = cli(["judge", "agreement", *map(str, arguments), "--json"])
    return code, orjson.loads(capsys.readouterr().out)


@pytest.fixture
def admitted(runs: Path, tmp_path: Path) -> Path:
    """The sealed admission of the good model, beside its run."""
    folder = Path(shutil.copytree(runs, tmp_path / "runs"))
    policy = judge_policy(tmp_path / "p.yaml")
    arguments = ["judge", "agreement", str(folder / "run"), "--judge", "nearly", "--policy", str(policy)]
    assert cli([*arguments, "--out", str(folder / "nearly")]) == 0
    return folder / "nearly"


def test_a_judge_that_agrees_is_admitted_and_the_decision_is_sealed(admitted: Path, capsys):
    document = orjson.loads((admitted / "admission.json").read_bytes())
    assert (document["verdict"], document["admitted"], document["covers"]) == (
        "ADMITTED",
        True,
        ["fit", "ease", "composite"],
    )
    run_ = admitted.parent / "run"
    seal = orjson.loads((run_ / "manifest.json").read_bytes())["id"]
    assert [parent["id"] for parent in document["parents"]] == [seal]
    assert document["judge"]["identity"] == model("nearly")["identity"]
    assert len((admitted / "ratings.jsonl").read_bytes().splitlines()) == 60
    assert verify(admitted) == []
    assert cli(["verify", str(admitted)]) == 0
    assert "ok" in capsys.readouterr().out


def test_the_same_ratings_and_policy_give_the_same_bytes(admitted: Path, tmp_path: Path):
    policy = judge_policy(tmp_path / "p.yaml")
    again = tmp_path / "again"
    arguments = ["judge", "agreement", str(admitted.parent / "run"), "--judge", "nearly", "--policy", str(policy)]
    assert cli([*arguments, "--out", str(again)]) == 0
    for name in ("admission.json", "ratings.jsonl"):
        assert (again / name).read_bytes() == (admitted / name).read_bytes()


@pytest.mark.parametrize(
    ("who", "asked", "code", "verdict", "words"),
    [
        ("nearly", {"defaults": {"alpha": 0.6, "exact": 0.7, "bias": 0.5}}, 0, "ADMITTED", ""),
        ("bad", {"defaults": {"alpha": 0.6}}, 1, "NOT_ADMITTED", "fit: alpha is"),
        ("bad", {"defaults": {"exact": 0.1}, "marked": "refuse"}, 1, "NOT_ADMITTED", "refuses marked batches"),
        ("nearly", {"defaults": {"exact": 0.88}}, 3, "INCONCLUSIVE", "units would decide it, 60 are there"),
        ("nearly", {"dimensions": {"fit": {"exact": 0.9}}}, 3, "INCONCLUSIVE", "how many units would decide it"),
        ("nearly", {"units": 100}, 3, "INCONCLUSIVE", "40 fewer than the 100"),
        ("nearly", {"dimensions": {"composite": {"bias": 0.3}}}, 0, "ADMITTED", ""),
        ("nearly", {"dimensions": {"fit": {"bias": 0.1}}}, 3, "INCONCLUSIVE", "within ±0.1"),
    ],
)
def test_what_is_decided(runs: Path, tmp_path: Path, capsys, who, asked, code, verdict, words):
    policy = judge_policy(tmp_path / "p.yaml", **asked)
    out = tmp_path / "out"
    found, document = told(capsys, runs / "run", "--judge", who, "--policy", policy, "--out", out)
    assert (found, document["verdict"], document["exit_code"]) == (code, verdict, code), document["reasons"]
    assert words in "\n".join(document["reasons"])
    assert orjson.loads((out / "admission.json").read_bytes())["admitted"] is (code == 0)
    assert verify(out) == []


def test_few_answers_decide_nothing(runs: Path, tmp_path: Path, capsys):
    policy = judge_policy(tmp_path / "p.yaml", units=2, defaults={"alpha": 0.9})
    code, document = told(capsys, runs / "small", "--judge", "nearly", "--policy", policy)
    assert (code, document["verdict"], document["kept"]) == (3, "INCONCLUSIVE", None)


@pytest.mark.parametrize(
    ("arguments", "asked", "message"),
    [
        (["--judge", "ada"], {}, "a person needs no admission"),
        ([], {}, "which judge is decided on?"),
        (["--judge", "nearly"], {"dimensions": {"tone": {"alpha": 0.5}}}, "the rubric judges no such dimension"),
        (["--judge", "nearly"], {"defaults": {"kappa": 0.5}}, "ease has no levels"),
        (["--judge", "nearly"], {"defaults": {}}, "it asks nothing"),
        (["--judge", "nearly"], {"defaults": {"alpha": 2}}, "must be a number from -1 to 1"),
        (["--judge", "nearly"], {"defaults": {"kapa": 0.5}}, "unknown key"),
        (["--judge", "nearly"], {"marked": "maybe"}, "must be tell or refuse"),
        (["--judge", "nearly"], {"units": 1}, "must be a whole number from 2 on"),
    ],
)
def test_what_is_refused_leaves_nothing_behind(runs: Path, tmp_path: Path, capsys, arguments, asked, message):
    policy = judge_policy(tmp_path / "p.yaml", **asked)
    code, found = told(capsys, runs / "run", *arguments, "--policy", policy, "--out", tmp_path / "out")
    assert (code, message in found["message"]) == (2, True), found
    assert not (tmp_path / "out").exists()


def test_the_thresholds_may_stand_in_a_gate_s_policy(runs: Path, tmp_path: Path):
    path = tmp_path / "policy.yaml"
    judges = {"units": 10, "defaults": {"alpha": 0.6}}
    path.write_text(yaml.safe_dump({"schema": "assay.policy.v1", "defaults": {"margin": 0.1}, "judges": judges}))
    own = judge_policy(tmp_path / "own.yaml", units=10, defaults={"alpha": 0.6}, resamples=2000)
    assert load(path).digest == load(own).digest
    path.write_text(yaml.safe_dump({"schema": "assay.policy.v1", "defaults": {"margin": 0.1}}))
    with pytest.raises(ConfigError, match="no thresholds for judges"):
        load(path)


def test_runs_must_be_sealed(runs: Path, tmp_path: Path, capsys):
    copy = Path(shutil.copytree(runs / "run", tmp_path / "run"))
    (copy / "manifest.json").unlink()
    code, found = told(capsys, copy, "--judge", "nearly", "--policy", judge_policy(tmp_path / "p.yaml"))
    assert (code, "never sealed" in found["message"]) == (2, True)


def test_what_is_there_is_not_written_over(admitted: Path, tmp_path: Path, capsys):
    policy = judge_policy(tmp_path / "p.yaml")
    before = (admitted / "admission.json").read_bytes()
    arguments = ["--judge", "bad", "--policy", policy, "--out", admitted]
    assert told(capsys, admitted.parent / "run", *arguments)[0] == 2
    assert (admitted / "admission.json").read_bytes() == before


def reseal(path: Path) -> None:
    """A manifest over the files as they are now, as a forger would write it."""
    manifest = orjson.loads((path / "manifest.json").read_bytes())
    manifest["files"] = [stored.entry(path, path / name) for name in stored.FILES]
    manifest["id"] = identity(manifest)
    (path / "manifest.json").write_bytes(pretty(manifest))


@pytest.mark.parametrize("name", ["admission.json", "ratings.jsonl", "manifest.json"])
@pytest.mark.parametrize("place", [0.0, 0.4, 0.99])
def test_one_changed_byte_is_found(admitted: Path, name: str, place: float):
    data = bytearray((admitted / name).read_bytes())
    data[int(place * (len(data) - 1))] ^= 1
    (admitted / name).write_bytes(data)
    assert verify(admitted) != []
    assert stored.read(admitted).why


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("admission.json", b'"admitted": true', b'"admitted": false'),
        ("admission.json", b'"alpha": 0.6', b'"alpha": 0.5'),
        ("admission.json", b'"seed": 0', b'"seed": 1'),
        ("admission.json", b'"name": "nearly"', b'"name": "yearly"'),
        ("ratings.jsonl", b'"judge":{"ease":0.5,"fit":3}', b'"judge":{"ease":0.5,"fit":2}'),
        ("ratings.jsonl", b'"judge":{"ease":0.5,"fit":3}', b'"judge":{"ease":0.5}'),
        ("ratings.jsonl", b'"measured"', b'"measures"'),
    ],
)
def test_an_edit_is_found_though_it_was_sealed_again(admitted: Path, name: str, old: bytes, new: bytes):
    data = (admitted / name).read_bytes()
    assert old in data
    (admitted / name).write_bytes(data.replace(old, new))
    reseal(admitted)
    assert verify(admitted) != []


def test_ratings_that_the_runs_do_not_hold_are_found_where_the_runs_are(admitted: Path, tmp_path: Path):
    """Everything about the forgery is consistent: only the run tells."""
    data = (admitted / "ratings.jsonl").read_bytes().splitlines(keepends=True)
    forged = [orjson.loads(line) for line in data]
    forged[0]["people"]["ada"] = forged[0]["judge"]
    (admitted / "ratings.jsonl").write_bytes(
        b"".join(orjson.dumps(row, option=orjson.OPT_SORT_KEYS) + b"\n" for row in forged)
    )
    document = orjson.loads((admitted / "admission.json").read_bytes())
    again = stored.admission(
        stored._ratings(document, admitted), document["rubric"]["content"], load(tmp_path / "p.yaml"),
        document["parents"], synthetic=False,
    )  # fmt: skip
    (admitted / "admission.json").write_bytes(pretty(again))
    reseal(admitted)
    assert [finding.path for finding in verify(admitted)] == ["ratings.jsonl"]
    (tmp_path / "far" / "away").mkdir(parents=True)
    alone = Path(shutil.move(admitted, tmp_path / "far" / "away" / "nearly"))
    notes: list[str] = []
    assert verify(alone, note=notes.append) == []
    assert "is not here as it was" in notes[0]


def test_an_added_file_is_found(admitted: Path):
    (admitted / "more.txt").write_text("")
    assert "holds" in str(verify(admitted)[0])


def test_a_run_that_went_on_is_noted(admitted: Path, tmp_path: Path):
    export(assay.open(admitted.parent / "run"), tmp_path / "q.csv", judge="eve")
    notes: list[str] = []
    assert verify(admitted, note=notes.append) == []
    assert "is not here as it was" in notes[0]


def test_it_can_be_signed(admitted: Path, tmp_path: Path):
    made = make(tmp_path / "key")
    sign(admitted / "manifest.json", signing_key(str(tmp_path / "key")))
    assert verify(admitted, keys=[made]) == []
    (admitted / "manifest.sig.json").unlink()
    assert "is not signed" in str(verify(admitted, keys=[made])[0])


BOUNDS = st.tuples(st.floats(-1, 1), st.floats(-1, 1), st.floats(-1, 1)).map(sorted)


@given(BOUNDS, st.floats(-1, 1), st.integers(2, 10_000))
def test_a_threshold_is_reached_missed_or_open(bounds, threshold: float, n: int):
    low, value, high = bounds
    found = {"low": low, "value": value, "high": high, "n": n}
    reached = _reached("kappa", threshold, low, high)
    assert reached is (True if low >= threshold else False if high < threshold else None)
    within = _reached("bias", abs(threshold) + 1e-6, low, high)
    assert (within is True) == (-abs(threshold) - 1e-6 <= low and high <= abs(threshold) + 1e-6)
    if reached is None:
        assert "units would decide it" in _needed("kappa", threshold, found)
    if within is None:
        assert "units would decide it" in _needed("bias", abs(threshold) + 1e-6, found)
