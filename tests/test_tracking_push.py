"""Logging runs to a real MLflow server: what is there, that the same again changes nothing, that a kill is survived."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from assay import judged
from assay.errors import BackendUnreachable, ConfigError, EvidenceError, MachineError
from assay.evidence.manifest import read_manifest
from assay.tracking import memory
from assay.tracking.client import HASTY, Patience
from assay.tracking.push import Pushed, push, unfinished
from assay.tracking.target import Target
from support import judging
from support.stub import Stub
from support.tracking import artifact, client, document, free_port, history, logged, made, needs_mlflow, traces

pytestmark = needs_mlflow

QUICK = Patience(5, 0)


@pytest.fixture
def target(mlflow: str, request: pytest.FixtureRequest) -> Target:
    return Target(mlflow, request.node.name)


def seen(target: Target):
    return logged(target.uri, target.experiment)


def test_a_run_becomes_a_parent_and_a_child_a_cell(tmp_path: Path, stub: Stub, target: Target):
    run = made(tmp_path, stub, 6)
    pushed = push(run.path, target)
    assert (pushed.created, pushed.store, pushed.notes) == (3, "artifacts", [])
    parent, children = seen(target)
    manifest = read_manifest(run.path / "manifest.json")
    assert parent.data.tags["assay.plan"] == run.plan.digest
    assert parent.data.tags["assay.manifest"] == manifest["id"]
    assert (parent.info.status, parent.data.metrics["outcome.ok"]) == ("FINISHED", 12)
    assert artifact(target.uri, parent, "run/plan.json") == (run.path / "plan.json").read_bytes()
    assert artifact(target.uri, parent, "run/report.html") == run.report.read_bytes()
    assert sorted(children) == ["stub · kind@1 · parity", "stub · rude@1 · parity"]
    row = run.results["cells"][0]
    child = children["stub · rude@1 · parity"]
    metric = row["metrics"][0]
    assert child.data.tags["assay.cell"] == run.plan.cells[0].id
    assert child.data.metrics[metric["name"]] == metric["value"]
    assert child.data.metrics[f"{metric['name']}.low"] == metric["low"] <= metric["value"] <= metric["high"]
    assert child.data.metrics["outcome_rate.ok"] == 1.0
    assert child.data.metrics["latency_s.p50"] == row["latency_s"]["p50"]
    assert child.data.metrics["tokens.out"] == row["tokens"]["out"]
    assert (child.data.params["model"], child.data.params["prompt"], child.data.params["task"]) == (
        "stub",
        "rude@1",
        "parity",
    )
    data = child.inputs.dataset_inputs[0].dataset
    assert data.digest == run.plan.tasks["parity"].dataset[:36]
    assert "judge_pending" not in child.data.tags


def test_a_childs_texts_are_there(tmp_path: Path, stub: Stub, target: Target):
    run = made(tmp_path, stub, 3)
    push(run.path, target)
    child = seen(target)[1]["stub · kind@1 · parity"]
    found = document(target.uri, child, "candidates.json")
    assert (found["shown"], found["of"], len(found["candidates"])) == (3, 3, 3)
    answers = {entry.attempt["attempt"]: entry.attempt["completion"]["text"] for entry in run}
    assert all(answers[one["attempt"]] == one["text"] for one in found["candidates"])
    assert {one["asked"] for one in found["candidates"]} == {f"Is {number} even?" for number in range(3)}
    prompt = artifact(target.uri, child, "prompt.txt").decode()
    assert "Please. {{ input }}" in prompt and "Please. Is 0 even?" in prompt
    assert artifact(target.uri, child, "raw.txt").decode().count("=== q") == 3


def test_the_same_again_changes_nothing(tmp_path: Path, stub: Stub, target: Target):
    run = made(tmp_path, stub)
    push(run.path, target)
    before = history(target.uri, target.experiment)
    again = push(run.path, target)
    assert (again.created, again.updated, again.unchanged) == (0, 0, 3)
    assert history(target.uri, target.experiment) == before


def test_a_copy_elsewhere_is_the_same_run(tmp_path: Path, stub: Stub, target: Target):
    import shutil

    run = made(tmp_path, stub)
    push(run.path, target)
    copy = shutil.copytree(run.path, tmp_path / "else" / "copy")
    assert push(copy, target).unchanged == 3


def test_a_fresh_run_of_the_same_plan_is_another_parent(tmp_path: Path, stub: Stub, target: Target):
    first = made(tmp_path, stub)
    push(first.path, target)
    other = made_again(tmp_path, stub)
    assert other.plan.digest == first.plan.digest
    assert push(other.path, target).created == 3
    assert len({memory.recall(run.path).parent for run in (first, other)}) == 2


def made_again(folder: Path, stub: Stub):
    import assay

    time.sleep(1.1)  # a seal's id holds its second
    prompts = [str(folder / "rude.md"), str(folder / "kind.md")]
    return assay.evaluate(judging.spec(folder, stub.url, 6, prompts=prompts, name="made"), out=folder / "other")


def test_a_killed_push_is_finished_by_the_next(tmp_path: Path, stub: Stub, target: Target):
    run = made(tmp_path, stub, 20)
    command = [sys.executable, "-m", "assay", "track", str(run.path), "--uri", target.uri]
    command += ["--experiment", target.experiment, "--granularity", "scenario"]
    process = subprocess.Popen(command, env={**os.environ}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server = client(target.uri)
    count = 0
    while count < 4 and process.poll() is None:
        found = server.get_experiment_by_name(target.experiment)
        count = len(server.search_runs([found.experiment_id], max_results=1000)) if found else 0
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert unfinished(memory.recall(run.path)) is not None
    pushed = push(run.path, Target(target.uri, target.experiment, "scenario"))
    assert pushed.created + pushed.updated + pushed.unchanged == 41
    assert pushed.unchanged >= 2 and pushed.created > 0
    parent, children = seen(target)
    assert len(children) == 40
    assert {child.info.status for child in (parent, *children.values())} == {"FINISHED"}
    assert push(run.path, Target(target.uri, target.experiment, "scenario")).unchanged == 41
    assert unfinished(memory.recall(run.path)) is None


def test_one_run_a_scenario(tmp_path: Path, stub: Stub, mlflow: str):
    target = Target(mlflow, "scenarios", "scenario")
    run = made(tmp_path, stub, 4, epochs=2)
    assert push(run.path, target).created == 9
    children = seen(target)[1]
    child = children["stub · rude@1 · parity · q2"]
    entries = [one for one in run if one.attempt["cell"] == 0 and one.attempt["sample"] == "q2"]
    values = [float(one.scores[0]["metrics"]["accuracy"]) for one in entries]
    assert child.data.metrics["accuracy"] == sum(values) / 2
    assert (child.data.metrics["finished"], child.data.params["sample"]) == (2, "q2")
    assert "Is 2 even?" in artifact(mlflow, child, "prompt.txt").decode()
    assert document(mlflow, child, "candidates.json")["of"] == 2
    with pytest.raises(ConfigError, match="one MLflow run a scenario"):
        push(run.path, Target(mlflow, "scenarios"))


def test_judging_clears_what_is_pending(tmp_path: Path, stub: Stub, target: Target):
    run = made(tmp_path, stub, 5)
    push(run.path, target)
    judging.export(run, tmp_path / "q.csv")
    pushed = push(run.path, target)
    assert (pushed.created, pushed.updated) == (0, 3)
    child = seen(target)[1]["stub · rude@1 · parity"]
    assert (child.data.tags["judge_pending"], child.data.tags["rubric"]) == ("true", "fit-v1")
    assert child.data.metrics["fit-v1.pending"] == 5
    assert "fit-v1.composite" not in child.data.metrics
    judged.apply(judging.fill(tmp_path / "q.csv", tmp_path / "a.csv"), "ada", [run.path])
    push(run.path, target)
    parent, children = seen(target)
    child = children["stub · rude@1 · parity"]
    assert {one.data.tags["judge_pending"] for one in (parent, *children.values())} == {"false"}
    assert child.data.tags["rubric.digest"] == judging.RUBRIC.digest
    assert child.data.metrics["fit-v1.fit"] == 2
    row = json.loads((run.path / "judged.json").read_bytes())["rubrics"][0]["cells"][0]
    bounds = {end: row["composite"][end] for end in ("low", "high") if row["composite"][end] is not None}
    assert {end: child.data.metrics[f"fit-v1.composite.{end}"] for end in bounds} == bounds
    assert child.data.metrics["fit-v1.composite"] == row["composite"]["value"]
    assert (child.data.metrics["fit-v1.pending"], child.data.tags["assay.judges"]) == (0, "ada")
    assert [len(client(target.uri).get_metric_history(child.info.run_id, name)) for name in ("fit-v1.pending",)] == [2]


def test_judging_by_scenario(tmp_path: Path, stub: Stub, mlflow: str):
    target = Target(mlflow, "judged scenarios", "scenario")
    run = made(tmp_path, stub, 3)
    judging.export(run, tmp_path / "q.csv")
    file = judging.fill(tmp_path / "q.csv", tmp_path / "a.csv")
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:-2]))
    judged.apply(file, "ada", [run.path], partial=True)
    push(run.path, target)
    parent, children = seen(target)
    pending = [child.data.tags["judge_pending"] for child in children.values()]
    assert (sorted(pending), parent.data.tags["judge_pending"]) == (["false"] * 4 + ["true"] * 2, "true")
    assert all(
        ("fit-v1.fit" in one.data.metrics) == (one.data.tags["judge_pending"] == "false") for one in children.values()
    )


def test_traces_carry_feedback(tmp_path: Path, stub: Stub, mlflow: str):
    target = Target(mlflow, "traces", traces=True)
    run = made(tmp_path, stub, 3)
    assert push(run.path, target).traces == 6
    judging.export(run, tmp_path / "q.csv")
    judged.apply(judging.fill(tmp_path / "q.csv", tmp_path / "a.csv"), "ada", [run.path])
    pushed = push(run.path, target)
    assert (pushed.traces, pushed.feedback) == (0, 12)
    assert push(run.path, target).feedback == 0
    found = traces(mlflow, "traces")
    assert len(found) == 6
    said = {(one.name, one.source.source_type, one.source.source_id, one.value) for one in found[0].assessments}
    assert said == {("fit-v1.fit", "HUMAN", "ada", 2), ("fit-v1.ease", "HUMAN", "ada", 0.5)}
    other = judging.fill(tmp_path / "q.csv", tmp_path / "b.csv", lambda row: {"fit": 3, "ease": 0.5})
    judged.apply(other, "ada", [run.path], correct=True)
    assert push(run.path, target).feedback == 12
    valid = [one for one in traces(mlflow, "traces")[0].assessments if one.valid]
    assert sorted((one.name, one.value) for one in valid) == [("fit-v1.ease", 0.5), ("fit-v1.fit", 3)]


def test_a_layer_made_elsewhere_is_not_overwritten(tmp_path: Path, stub: Stub, target: Target):
    import shutil

    run = made(tmp_path, stub, 3)
    push(run.path, target)
    copy = shutil.copytree(run.path, tmp_path / "copy")
    judging.export(run, tmp_path / "q.csv")
    push(run.path, target)
    before = history(target.uri, target.experiment)
    with pytest.raises(ConfigError, match="newer layer"):
        push(copy, target)
    assert history(target.uri, target.experiment) == before


def test_what_is_not_sealed_or_was_changed_is_not_logged(tmp_path: Path, stub: Stub, target: Target):
    run = made(tmp_path, stub, 3)
    (run.path / "report.html").write_text("better")
    with pytest.raises(EvidenceError, match=r"report\.html"):
        push(run.path, target)
    (run.path / "manifest.json").unlink()
    with pytest.raises(ConfigError, match="never sealed"):
        push(run.path, target)
    assert client(target.uri).get_experiment_by_name(target.experiment) is None


def test_a_server_that_is_not_there_is_remembered(tmp_path: Path, stub: Stub, mlflow: str):
    run = made(tmp_path, stub, 3)
    with pytest.raises(BackendUnreachable, match="does not answer"):
        push(run.path, Target(f"http://127.0.0.1:{free_port()}", "away"), patience=QUICK)
    found = memory.recall(run.path)
    assert found and "does not answer" in str(unfinished(found))
    assert [one.run.name for one in memory.remembered([tmp_path])] == ["made"]


def test_another_kind_of_server_is_told_apart(tmp_path: Path, stub: Stub):
    run = made(tmp_path, stub, 3)
    with pytest.raises(BackendUnreachable, match="does not answer as an MLflow server"):
        push(run.path, Target(stub.url.removesuffix("/v1"), "x"), patience=HASTY)


def test_two_machines_at_once_make_one_of_each(tmp_path: Path, stub: Stub, target: Target):
    import shutil
    from concurrent.futures import ThreadPoolExecutor

    run = made(tmp_path, stub, 3)
    copies = [shutil.copytree(run.path, tmp_path / f"copy{number}" / "made") for number in range(4)]

    def log(path: Path) -> object:
        try:
            return push(path, target)
        except MachineError as error:
            return error

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(log, copies))  # who comes late is sent away, and may try again
    while not isinstance(log(run.path), Pushed):
        time.sleep(0.2)
    parent, children = seen(target)
    assert len(children) == 2
    assert "assay.logging" not in parent.data.tags


def test_a_claim_of_another_machine_is_kept_until_it_is_old(tmp_path: Path, stub: Stub, target: Target):
    run = made(tmp_path, stub, 3)
    push(run.path, target)
    judging.export(run, tmp_path / "q.csv")
    parent, _ = seen(target)
    server = client(target.uri)
    server.set_tag(parent.info.run_id, "assay.logging", f"0123456789abcdef {int(time.time())}")
    with pytest.raises(MachineError, match="just now"):
        push(run.path, target)
    server.set_tag(parent.info.run_id, "assay.logging", f"0123456789abcdef {int(time.time()) - 700}")
    assert push(run.path, target).updated == 3


def test_one_model_under_two_names_is_two_children(tmp_path: Path, stub: Stub, target: Target):
    models = [{"model": "openai:stub", "name": name, "base_url": stub.url} for name in ("one", "two")]
    run = made(tmp_path, stub, 3, models=models)
    assert len({cell.id for cell in run.plan.cells}) == 2
    assert push(run.path, target).created == 5
    children = seen(target)[1]
    assert {document(target.uri, child, "candidates.json")["of"] for child in children.values()} == {3}
    assert len(children) == 4
    assert push(run.path, target).unchanged == 5
