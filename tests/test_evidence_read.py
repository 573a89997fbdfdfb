"""Evidence read from real runs."""

import json

import numpy as np
import pytest

import assay
from assay.errors import ConfigError, EvidenceError
from assay.evidence.derive import derive
from assay.evidence.read import read
from assay.evidence.verdict_files import keep
from assay.evidence.verify import verify
from assay.gates import compare, run
from support.evals import questions, spec
from support.gated import policy
from support.stub import Fault, Stub, digest


def answering(wrong):
    """Answers the parity questions, `wrong` per cent of them wrongly; which ones depends on the question alone."""

    def answer(prompt, seed):
        number = int(prompt.split("Is ")[1].split(" ")[0])
        odd = number % 2 == (digest("wrong", number) % 100 >= wrong)
        return "no" if odd else "yes"

    return answer


def evaluated(folder, name, wrong=10, count=40, faults=(), **more):
    with Stub(answer=answering(wrong), faults=faults) as stub:
        return assay.evaluate(spec(folder, stub.url, count, **more), out=folder / name)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return evaluated(folder, "base", 5).path, evaluated(folder, "cand", 50).path


def test_what_is_read_is_what_the_results_say(runs):
    found = read(runs[0])
    (cell,) = found.cells
    (told,) = assay.open(runs[0]).results["cells"]
    assert (found.state, found.synthetic, cell.planned, cell.finished) == ("sealed", False, 40, 40)
    assert float(cell.values["accuracy"].mean()) == pytest.approx(told["metrics"][0]["value"])
    assert cell.tokens.sum() == told["tokens"]["out"]
    assert np.isfinite(cell.latency).all()
    assert cell.samples[:2] == ("q0", "q1")


def test_epochs_and_order(tmp_path):
    run_ = evaluated(tmp_path, "run", count=6, epochs=3, seed=9, sampling={"temperature": 1.0})
    (cell,) = read(run_.path).cells
    found = {(cell.samples[place], int(epoch)) for place, epoch in zip(cell.position, cell.epoch, strict=True)}
    assert found == {(entry.attempt["sample"], entry.attempt["epoch"]) for entry in run_}
    values = {
        (entry.attempt["sample"], entry.attempt["epoch"]): entry.scores[0]["metrics"]["accuracy"] for entry in run_
    }
    for place, epoch, value in zip(cell.position, cell.epoch, cell.values["accuracy"], strict=True):
        assert values[cell.samples[place], int(epoch)] == bool(value)


def test_errors_are_outcomes_and_not_scores(tmp_path):
    run_ = evaluated(tmp_path, "run", faults=[Fault("bad_request", 0.3)])
    (cell,) = read(run_.path).cells
    errors = run_.results["cells"][0]["outcomes"]["infra_error"]
    assert errors == cell.errors["Rejected"] == np.isnan(cell.values["accuracy"]).sum()
    assert run.gate(read(run_.path), policy()).failure_class == "INFRA_TRANSIENT"


def test_clusters_and_categories(tmp_path):
    path = questions(tmp_path / "subjects.jsonl", 6)
    rows = [
        json.loads(line) | {"subject": f"s{number % 2}"} for number, line in enumerate(path.read_text().splitlines())
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    tasks = [
        {
            "task": f"file:{path}",
            "name": "parity",
            "cluster": "subject",
            "fields": {"target": "target", "extra": ["subject"]},
        }
    ]
    with Stub(answer=answering(10)) as stub:
        made = assay.evaluate({**spec(tmp_path, stub.url, 1), "tasks": tasks}, out=tmp_path / "run")
    (cell,) = read(made.path).cells
    assert cell.clusters == cell.categories == ("s0", "s1") * 3


def test_a_byte_that_changed_is_damage(runs, tmp_path):
    import shutil

    path = shutil.copytree(runs[0], tmp_path / "run")
    scores = next((path / "scores").glob("*.jsonl"))
    scores.write_bytes(scores.read_bytes().replace(b"false", b"true", 1))
    found = run.gate(read(path), policy())
    assert (found.verdict, found.failure_class) == ("FAIL", "EVIDENCE_INVALID")
    assert "scores/" in found.reasons[0]
    assert compare.gate(read(runs[0]), read(path), policy()).verdict == "ANOMALOUS"


def test_a_run_that_somebody_works_on(runs, tmp_path):
    import shutil

    from assay.run.folder import RunFolder

    path = shutil.copytree(runs[0], tmp_path / "run")
    (path / "manifest.json").unlink()
    with RunFolder(path).lock():
        assert read(path).state == "running"
    assert read(path).state == "killed"
    assert run.gate(read(path), policy()).verdict == "FAIL"


def test_a_run_that_stopped_at_its_budget_will_go_on(tmp_path):
    from assay.errors import BudgetExhausted

    with pytest.raises(BudgetExhausted):
        evaluated(tmp_path, "run", budget={"requests": 5})
    found = run.gate(read(tmp_path / "run"), policy())
    assert (found.verdict, found.failure_class) == ("INCONCLUSIVE", "INFRA_TRANSIENT")


def test_a_server_that_nobody_reaches_is_a_deployment_that_failed(tmp_path):
    from assay.errors import BackendUnreachable

    with pytest.raises(BackendUnreachable):
        evaluated(tmp_path, "run", faults=[Fault("denied", 1.0)])
    found = run.gate(read(tmp_path / "run"), policy())
    assert (found.verdict, found.failure_class) == ("FAIL", "DEPLOYMENT_HEALTH_FAILED")


def test_no_run(tmp_path):
    with pytest.raises(ConfigError, match="not a run directory"):
        read(tmp_path)


def test_synthetic_runs_are_refused(runs, tmp_path):
    replayed = {**spec(tmp_path, "http://127.0.0.1:9/v1", 40), "models": [f"replay:{runs[0]}"]}
    made = assay.evaluate(replayed, out=tmp_path / "run")
    assert compare.gate(read(runs[0]), read(made.path), policy()).verdict == "ANOMALOUS"


def test_a_verdict_is_kept_and_derived_again(runs):
    left, right = read(runs[0]), read(runs[1])
    result = compare.gate(left, right, policy()).to_json()
    path = keep(result, runs[1], right)
    assert result["verdict"] == "REGRESSION"
    assert derive(json.loads(path.read_bytes()), path) == result
    assert verify(runs[1]) == []
    path.write_bytes(path.read_bytes().replace(b'"REGRESSION"', b'"ACCEPT"'))
    assert verify(runs[1]) != []
    path.unlink()


def test_a_verdict_outlives_a_new_layer(runs, tmp_path):
    import shutil

    base, other = (shutil.copytree(path, tmp_path / path.name) for path in runs)
    right = read(other)
    path = keep(compare.gate(read(base), right, policy()).to_json(), other, right)
    assay.session.score(other)
    assert read(other).manifest != right.manifest
    assert derive(json.loads(path.read_bytes()), path) == json.loads(path.read_bytes())


def test_a_verdict_on_a_run_that_is_not_here(runs, tmp_path):
    import shutil

    other = shutil.copytree(runs[1], tmp_path / "cand")
    right = read(other)
    path = keep(compare.gate(read(runs[0]), right, policy()).to_json(), other, right)
    with pytest.raises(EvidenceError, match="is not here"):
        derive(json.loads(path.read_bytes()), path)


@pytest.mark.parametrize("mode", ["keep", "drop"])
def test_a_compacted_run_reads_the_same(runs, tmp_path, mode):
    import shutil

    from assay.evidence.manifest import seal
    from assay.run.compact import compact
    from assay.run.folder import RunFolder

    path = shutil.copytree(runs[1], tmp_path / "cand")
    folder = RunFolder(path)
    folder.manifest.unlink()
    compact(folder, (), mode, 40)
    seal(folder, folder.plan(), command=(), environment={})
    plain, packed = (compare.gate(read(runs[0]), read(each), policy()) for each in (runs[1], path))
    assert list(path.glob("attempts/*.parquet"))
    assert packed.numbers == plain.numbers
    assert packed.checks == plain.checks
