"""Gates by judged metrics: everything judged, every model among the judges admitted, both runs judged alike."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from assay import judged
from assay.cli.main import run as cli
from assay.evidence.read import read
from assay.evidence.verify import verify
from assay.gates import compare
from assay.gates import run as gate_run
from assay.gates.judges import Admission
from assay.gates.policy import parse
from assay.judges import auto
from support.gated import cell, evidence, policy
from support.judges import judge, judge_policy, model, person
from support.judging import RUBRIC, export, fill, run
from support.stub import Stub
from support.stub_judges import judge_stub, quoted, says, settings

AUTO = {"name": "auto", "kind": "model", "identity": "i" * 64}
ADA = {"name": "ada", "kind": "person"}
TIP = {"name": "tip-v1.composite", "kind": "measure", "low": 0.0, "high": 10.0}
ADMITTED = Admission("auto", "admission-1", "0", "auto", "i" * 64, "r", True, "ADMITTED", ("composite", "tone"), "p")
HELD = policy(1.0, defaults={"metric": "composite"})


def graded(values, judges=(ADA,), pending: int = 0, rubric: str = "r", marked: tuple[str, ...] = (), **more: Any):
    """Evidence of one cell whose answers were judged."""
    said = {"label": "tip-v1", "rubric": rubric, "candidates": len(values), "pending": pending}
    said |= {"judges": list(judges), "marked": list(marked)}
    columns = {"accuracy": [True] * len(values), "tip-v1.composite": list(values)}
    return evidence(cell([True] * len(values), values=columns, judged=[said], judged_metrics=[TIP], **more))


def failing(result) -> dict[str, str]:
    """The failed checks that force something, with their reasons."""
    return {check.name: check.reason for check in result.checks if check.ok is not True and check.forces}


VALUES = [float(number % 10) for number in range(40)]


@pytest.mark.parametrize("name", ["composite", "tip-v1.composite"])
def test_people_need_no_admission(name: str):
    result = gate_run.gate(graded(VALUES), policy(1.0, defaults={"metric": name}))
    assert (result.verdict, result.numbers["cells"][0]["scores"]["tip-v1.composite"]) == ("PASS", 4.5)
    assert result.numbers["cells"][0]["judged"]["judges"] == [{**ADA, "identity": None}]


def test_a_judged_metric_is_never_the_primary_one_and_says_nothing_unasked():
    result = gate_run.gate(graded(VALUES, [AUTO], pending=40), policy(0.1))
    assert result.verdict == "PASS"
    assert "judged" not in result.numbers["cells"][0]
    lonely = graded(VALUES, metrics=[])
    assert failing(gate_run.gate(lonely, policy(0.1))) == {"metric": "there are no scores in it"}


def test_pending_judgements_fail_and_are_no_missing_scores():
    values = [*VALUES[:30], *[None] * 10]
    result = gate_run.gate(graded(values, pending=10), HELD)
    assert (result.verdict, result.failure_class) == ("FAIL", "EVAL_JUDGE_FAILED")
    assert list(failing(result)) == ["judged"]
    unmeasured = gate_run.gate(graded(values, pending=4), HELD)
    assert list(failing(unmeasured)) == ["judged", "scored"]
    assert failing(unmeasured)["scored"].startswith("6 answers have no tip-v1.composite")


def changed(**more: Any) -> Admission:
    return Admission(**{**{name: getattr(ADMITTED, name) for name in Admission.__slots__}, **more})


@pytest.mark.parametrize(
    ("admissions", "words"),
    [
        ([], "no admission of it was given"),
        ([changed(identity="x" * 64)], "no admission of it was given"),
        ([changed(rubric="other")], "is for another rubric"),
        ([changed(admitted=False, verdict="NOT_ADMITTED")], "did not admit it: NOT_ADMITTED"),
        ([changed(admitted=False, verdict="INCONCLUSIVE")], "did not admit it: INCONCLUSIVE"),
        ([changed(covers=("tone",))], "says nothing of composite: it covers tone"),
        ([changed(why="ratings.jsonl: was changed")], "does not hold: ratings.jsonl: was changed"),
        ([changed(identity=None, why="broken")], "no admission of it was given (auto: broken)"),
    ],
)
def test_a_model_without_a_fitting_admission_is_refused(admissions, words: str):
    result = gate_run.gate(graded(VALUES, [ADA, AUTO]), HELD, admissions)
    assert (result.verdict, result.failure_class, result.exit_code) == ("FAIL", "EVAL_JUDGE_FAILED", 1)
    assert words in failing(result)["admitted"]
    both = compare.gate(graded(VALUES, [AUTO]), graded(VALUES, [AUTO]), HELD, admissions)
    assert (both.verdict, both.failure_class) == ("ANOMALOUS", "EVAL_JUDGE_FAILED")


def test_with_its_admission_a_model_may_judge():
    result = gate_run.gate(graded(VALUES, [ADA, AUTO]), HELD, [changed(rubric="other"), ADMITTED])
    assert result.verdict == "PASS"
    assert [item["manifest"] for item in result.to_json()["inputs"] if item["role"] == "admission"] == [
        "admission-1"
    ] * 2
    both = compare.gate(graded(VALUES, [AUTO]), graded(VALUES, [AUTO]), HELD, [ADMITTED])
    assert (both.verdict, both.numbers["tasks"][0]["metric"]) == ("ACCEPT", "tip-v1.composite")


def test_the_pass_mark_rests_on_the_composite_and_a_dimension_on_its_own():
    metrics = [{"name": f"tip-v1.{name}", "kind": "pass"} for name in ("passed", "tone", "fit")]
    columns = {"accuracy": [True] * 40} | {metric["name"]: [True] * 40 for metric in metrics}
    said = {"label": "tip-v1", "rubric": "r", "candidates": 40, "pending": 0, "judges": [AUTO]}
    run_ = evidence(cell([True] * 40, values=columns, judged=[said], judged_metrics=metrics))
    verdicts = {
        name: gate_run.gate(run_, policy(0.1, defaults={"metric": name}), [ADMITTED]).verdict
        for name in ("passed", "tone", "fit")
    }
    assert verdicts == {"passed": "PASS", "tone": "PASS", "fit": "FAIL"}


def test_thresholds_in_the_policy_must_be_those_of_the_admission():
    held = policy(1.0, defaults={"metric": "composite"}, judges={"defaults": {"alpha": 0.8}})
    result = gate_run.gate(graded(VALUES, [AUTO]), held, [ADMITTED])
    assert "other thresholds" in failing(result)["admitted"]
    digest = parse(held).judges.digest
    assert gate_run.gate(graded(VALUES, [AUTO]), held, [changed(policy=digest)]).verdict == "PASS"


def test_marked_batches_are_told_and_refused_where_the_policy_says_so():
    marked = graded(VALUES, marked=("b1 by ada (2 checks failed)",))
    told = gate_run.gate(marked, HELD)
    assert told.verdict == "PASS"
    assert any("b1 by ada" in reason for reason in told.reasons)
    both = compare.gate(graded(VALUES), marked, HELD)
    assert both.verdict == "ACCEPT" and any("candidate" in reason and "b1" in reason for reason in both.reasons)
    strict = {**HELD, "judges": {"marked": "refuse"}}
    assert failing(gate_run.gate(marked, strict)) == {
        "marked": "the policy refuses marked batches: b1 by ada (2 checks failed)"
    }


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({"judges": [{"name": "bob", "kind": "person"}]}, "same_judges"),
        ({"judges": [ADA, {"name": "bob", "kind": "person"}]}, "same_judges"),
        ({"rubric": "s"}, "same_rubric"),
    ],
)
def test_two_runs_are_compared_only_where_they_were_judged_alike(more, name: str):
    result = compare.gate(graded(VALUES), graded(VALUES, **more), HELD)
    assert (result.verdict, result.failure_class, name in failing(result)) == ("ANOMALOUS", "EVAL_JUDGE_FAILED", True)


def test_a_model_is_the_same_judge_by_its_identity_not_its_name():
    other = {**AUTO, "name": "renamed"}
    assert compare.gate(graded(VALUES, [AUTO]), graded(VALUES, [other]), HELD, [ADMITTED]).verdict == "ACCEPT"
    twin = {**AUTO, "identity": "j" * 64}
    admissions = [ADMITTED, changed(identity="j" * 64)]
    result = compare.gate(graded(VALUES, [AUTO]), graded(VALUES, [twin]), HELD, admissions)
    assert "the judges differ: auto (iiiiiiiiiiii) and auto (jjjjjjjjjjjj)" in failing(result)["same_judges"]


def test_a_short_name_that_two_rubrics_have_is_refused():
    said = [{"label": label, "rubric": "r", "candidates": 40, "pending": 0} for label in ("tip-v1", "fit-v1")]
    metrics = [TIP, {**TIP, "name": "fit-v1.composite"}]
    columns = {"accuracy": [True] * 40} | {metric["name"]: VALUES for metric in metrics}
    run_ = evidence(cell([True] * 40, values=columns, judged=said, judged_metrics=metrics))
    reason = failing(gate_run.gate(run_, HELD))["metric"]
    assert "it may be tip-v1.composite or fit-v1.composite: write it whole" in reason


def test_policies_without_judges_keep_their_digests():
    assert "judges" not in parse(policy(0.1)).content
    assert parse({**policy(0.1), "judges": {}}).content["judges"]["units"] == 30


# The same with real runs, judged through the journal.


def ada(index: int):
    return {"fit": 1 + index % 3, "ease": (index % 5) / 4}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """runs/base and runs/other, judged by one model; of runs/base ada judged all too, and it is admitted by that."""
    folder = tmp_path_factory.mktemp("judged")
    with Stub() as stub:
        for name in ("base", "other", "part"):
            run(folder / "runs", stub, 40, name, seed=3 if name == "base" else 4)
    runs = folder / "runs"
    judge(runs / "base", model(), ada)
    judge(runs / "other", model(), ada)
    judge(runs / "part", person("ada"), lambda index: ada(index) if index < 30 else None)
    calibration = Path(shutil.copytree(runs / "base", runs / "calibration"))
    judge(calibration, person("ada"), lambda index: ada(index + (index == 7)))
    judge_policy(folder / "judges.yaml", defaults={"exact": 0.8})
    arguments = ["judge", "agreement", str(calibration), "--judge", "auto", "--policy", str(folder / "judges.yaml")]
    assert cli([*arguments, "--out", str(folder / "admissions" / "auto")]) == 0
    held = {"schema": "assay.policy.v1", "defaults": {"margin": 1.5, "metric": "composite"}, "allow": ["seed"]}
    (folder / "policy.yaml").write_text(yaml.safe_dump(held))
    return folder


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "w"))


@pytest.fixture
def gated(place: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, dict[str, Any]]]:
    def call(command: str, *names: str, admissions: tuple[str, ...] = ("auto",)) -> tuple[int, dict[str, Any]]:
        more = [part for name in admissions for part in ("--admission", str(place / "admissions" / name))]
        paths = [str(place / "runs" / name) for name in names]
        capsys.readouterr()
        code = cli(["gate", command, *paths, "--policy", str(place / "policy.yaml"), *more, "--json"])
        return code, json.loads(capsys.readouterr().out)

    return call


def test_a_run_judged_by_an_admitted_model_passes(gated):
    code, found = gated("run", "base")
    assert (code, found["verdict"]) == (0, "PASS")
    (score,) = (one["scores"]["fit-v1.composite"] for one in found["numbers"]["cells"])
    assert 1 < score < 6
    admission = next(item for item in found["inputs"] if item["role"] == "admission")
    assert admission["manifest"].startswith("admission-") and admission["admitted"]


def test_the_values_are_those_of_the_judgements(place: Path):
    (found,) = read(place / "runs" / "base").cells
    right = found.values["accuracy"]
    expected = [ada(index)["fit"] + ada(index)["ease"] + 2 * right[index] for index in range(40)]
    assert found.values["fit-v1.composite"].tolist() == expected
    assert found.values["fit-v1.fit"].tolist() == [ada(index)["fit"] for index in range(40)]
    assert [metric.name for metric in found.judged_metrics][:2] == ["fit-v1.composite", "fit-v1.passed"]


def test_without_its_admission_it_is_refused_in_both_gates(gated):
    code, found = gated("run", "base", admissions=())
    assert (code, found["failure_class"]) == (1, "EVAL_JUDGE_FAILED")
    code, found = gated("compare", "base", "other", admissions=())
    assert (code, found["verdict"], found["failure_class"]) == (4, "ANOMALOUS", "EVAL_JUDGE_FAILED")


def test_a_damaged_admission_is_refused(gated, place: Path):
    path = place / "admissions" / "auto" / "ratings.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"fit":1', b'"fit":2', 1))
    code, found = gated("run", "base")
    assert (code, found["failure_class"]) == (1, "EVAL_JUDGE_FAILED")
    assert "was changed after sealing" in found["reasons"][0]
    (item,) = (item for item in found["inputs"] if item["role"] == "admission")
    assert (item["state"], item["manifest"]) == ("damaged", None)


def test_a_folder_that_is_no_admission_is_wrong_input(gated, place: Path):
    code, found = gated("run", "base", admissions=("../runs/other",))
    assert (code, "not an admission" in found["message"]) == (2, True)


def test_what_is_pending_fails_the_gate(gated):
    code, found = gated("run", "part", admissions=())
    assert (code, found["failure_class"]) == (1, "EVAL_JUDGE_FAILED")
    assert "10 of 40 answers are not judged by fit-v1" in found["reasons"][0]
    code, found = gated("compare", "base", "part")
    assert (code, found["verdict"]) == (4, "ANOMALOUS")


def test_verdicts_on_judged_metrics_are_derived_again(gated, place: Path):
    code, found = gated("compare", "base", "other")
    assert (code, found["verdict"]) == (0, "ACCEPT"), found["reasons"]
    (kept,) = (place / "runs" / "other" / "verdicts").glob("compare-*.json")
    assert verify(kept) == []
    kept.write_bytes(kept.read_bytes().replace(b'"admitted": true', b'"admitted": false'))
    assert "admitted" in str(verify(kept)[0])


def test_a_verdict_whose_admission_is_gone_is_not_derived_again(gated, place: Path):
    gated("run", "base")
    (kept,) = (place / "runs" / "base" / "verdicts").glob("run-*.json")
    assert verify(kept) == []
    shutil.rmtree(place / "admissions")
    assert "is not here" in str(verify(kept)[0])


def test_a_verdict_of_an_earlier_seal_holds_though_judging_went_on(gated, place: Path):
    """What is judged later is no part of what the verdict was on."""
    gated("run", "base")
    (kept,) = (place / "runs" / "base" / "verdicts").glob("run-*.json")
    judge(place / "runs" / "base", person("bob"), lambda index: {"fit": 1, "ease": 0})
    assert verify(kept) == []
    code, found = gated("run", "base")
    assert code == 0
    assert [one["name"] for one in found["numbers"]["cells"][0]["judged"]["judges"]] == ["auto", "bob"]
    assert verify(kept) == []


def test_a_person_s_file_gates_and_its_marked_batch_is_told(place: Path, stub: Stub, capsys):
    runs = place / "runs"
    made_ = run(runs, stub, 20, "people")
    export(made_, place / "q.csv", anchors=True)
    judged.apply(fill(place / "q.csv", place / "a.csv"), "ada", [made_.path])
    capsys.readouterr()
    code = cli(["gate", "run", str(made_.path), "--policy", str(place / "policy.yaml"), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (code, "marked batches are in it" in found["reasons"][0]) == (0, True)
    assert made_.verify() == []


def test_from_a_model_s_votes_to_an_admission_to_a_gate(tmp_path: Path, stub: Stub, capsys):
    """The whole way, the judge served over HTTP: export, apply, auto, agreement, gate, verify."""

    def score(question: str) -> dict[str, float]:
        number = int(question.split("Is ")[1].split(" ")[0])
        return {"fit": 1 + number % 3, "ease": (number % 5) / 4}

    made_ = run(tmp_path / "runs", stub, 30, "run")
    export(made_, tmp_path / "q.csv")
    judged.apply(fill(tmp_path / "q.csv", tmp_path / "a.csv", lambda row: score(row["input"])), "ada", [made_.path])
    with judge_stub(lambda prompt, seed: says(score(quoted(prompt)[0]))) as server:
        auto(made_.path, RUBRIC, settings(server, name="served"))
    held = judge_policy(tmp_path / "judges.yaml", defaults={"exact": 0.8})
    out = tmp_path / "admissions" / "served"
    arguments = ["judge", "agreement", str(made_.path), "--judge", "served", "--policy", str(held), "--out", str(out)]
    assert cli(arguments) == 0
    value = {"schema": "assay.policy.v1", "defaults": {"margin": 1.5, "metric": "composite"}}
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump(value))
    gate = ["gate", "run", str(made_.path), "--policy", str(tmp_path / "policy.yaml")]
    assert cli(gate) == 1
    assert cli([*gate, "--admission", str(out)]) == 0
    assert len(list((made_.path / "verdicts").glob("run-*.json"))) == 2
    assert made_.verify() == [] and verify(out) == []
