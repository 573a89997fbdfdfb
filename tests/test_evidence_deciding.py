"""Evaluating until it is decided, from the first request to the verdict that is derived again."""

from __future__ import annotations

import gzip
import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import orjson
import pytest
import yaml

import assay
from assay.cli.main import run
from assay.errors import BudgetExhausted, ConfigError, EvidenceError, Incomparable
from assay.evidence.read import read
from assay.gates.run import gate as fit
from support.evals import spec
from support.gated import policy
from support.stub import Fault, Stub, digest

MARGIN = 0.05
COUNT = 300


def answering(wrong: int) -> Callable[[str, int], str]:
    """Wrong for about `wrong` of a hundred questions: for more of them, the same and others."""

    def answer(prompt: str, seed: int) -> str:
        number = int(prompt.split("Is ")[1].split(" ")[0])
        odd = number % 2 == (digest("wrong", number) % 100 >= wrong)
        return "no" if odd else "yes"

    return answer


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A baseline whose answers to 300 questions are right for 95 %."""
    folder = tmp_path_factory.mktemp("runs")
    with Stub(answer=answering(5)) as stub:
        return assay.evaluate(spec(folder, stub.url, COUNT), out=folder / "base").path


def beside(base: Path, tmp_path: Path) -> Path:
    """The baseline in a folder of the test's own: verdicts are derived from the runs beside them."""
    return Path(shutil.copytree(base, tmp_path / "base"))


def decided(base: Path, tmp_path: Path, wrong: int, held: Any = None, **more: Any) -> tuple[assay.Run, int]:
    """A run evaluated until it is decided, and how many requests that took."""
    with Stub(answer=answering(wrong), **more.pop("stub", {})) as stub:
        asked = spec(tmp_path, stub.url, COUNT, **more)
        found = assay.evaluate(
            asked, out=tmp_path / "run", until_decided=held or policy(MARGIN), baseline=beside(base, tmp_path)
        )
        return found, stub.stats()["requests"]


@pytest.mark.parametrize(("wrong", "verdict", "asked"), [(5, "ACCEPT", 120), (2, "ACCEPT", 80), (40, "REGRESSION", 60)])
def test_an_equal_a_better_and_a_worse_model(base: Path, tmp_path: Path, wrong: int, verdict: str, asked: int) -> None:
    found, requests = decided(base, tmp_path, wrong)
    decision = found.decision
    assert decision is not None
    assert (decision["verdict"], requests, len(found)) == (verdict, asked, asked)
    assert found.sealed
    assert found.verify() == []
    assert decision["numbers"]["attempts"] == {"planned": COUNT, "made": asked, "not_made": COUNT - asked}
    assert decision["numbers"]["samples"]["saved"] == COUNT - asked


def test_results_and_the_page_say_why_it_stopped(base: Path, tmp_path: Path) -> None:
    found, _ = decided(base, tmp_path, 5)
    results = found.results
    assert results["complete"] is False
    until = results["until"]
    assert (until["decided"], until["verdict"], until["looks"], until["attempts_not_made"]) == (True, "ACCEPT", 6, 180)
    assert until["samples"] == {"parity": {"asked": 120, "planned": COUNT}}
    assert "decided" in {flag["code"] for flag in results["flags"]}
    assert "incomplete" not in {flag["code"] for flag in results["flags"]}
    assert "Stopped because it was decided: ACCEPT, at look 6 of 15." in found.report.read_text()
    manifest = json.loads((found.path / "manifest.json").read_bytes())
    parents = {parent["kind"]: parent for parent in manifest["parents"]}
    assert parents["baseline"]["id"] == json.loads((base / "manifest.json").read_bytes())["id"]
    assert parents["policy"]["digest"] == until["policy"]


def test_a_run_that_was_decided_is_fit_and_reads_as_far_as_it_went(base: Path, tmp_path: Path) -> None:
    found, _ = decided(base, tmp_path, 5)
    evidence = read(found.path)
    assert evidence.state == "sealed"
    (cell,) = evidence.cells
    assert (len(cell.samples), cell.of, cell.planned, cell.finished) == (120, COUNT, 120, 120)
    assert fit(evidence, policy(MARGIN)).verdict == "PASS"


def test_an_undecided_one_goes_to_the_end_of_its_plan(base: Path, tmp_path: Path) -> None:
    found, requests = decided(base, tmp_path, 5, policy(0.004))
    assert found.decision is not None
    assert (found.decision["verdict"], requests) == ("INCONCLUSIVE", COUNT)
    assert "a new run of a fixed plan of about 748 would decide it" in found.decision["reasons"][0]
    assert (found.results["complete"], found.results["until"]["decided"]) == (True, False)
    assert found.verify() == []


def test_the_first_block_is_no_part_of_the_file_but_drawn_by_the_seed(base: Path, tmp_path: Path) -> None:
    found, _ = decided(base, tmp_path, 40)
    places = sorted(int(entry.attempt["sample"][1:]) for entry in found)
    assert places[0] < 30
    assert places[-1] > 270


def test_a_changed_look_or_verdict_does_not_verify(base: Path, tmp_path: Path) -> None:
    found, _ = decided(base, tmp_path, 5)
    (kept,) = (found.path / "verdicts").glob("sequential-*.json")
    whole = kept.read_bytes()
    kept.write_bytes(whole.replace(b'"samples": 40', b'"samples": 30'))
    (problem,) = found.verify()
    assert "derived again" in problem.problem
    kept.write_bytes(whole)
    looks = found.path / "looks" / "0000.jsonl"
    looks.write_bytes(b"".join(looks.read_bytes().splitlines(keepends=True)[:-1]))
    assert [finding.path for finding in found.verify()] == ["looks/0000.jsonl"]


def test_without_its_baseline_the_verdict_is_not_derived_and_says_so(base: Path, tmp_path: Path) -> None:
    found, _ = decided(base, tmp_path, 5)
    (tmp_path / "base").rename(tmp_path / "gone")
    (tmp_path / "gone" / "manifest.json").unlink()
    (problem,) = found.verify()
    assert "is not here" in problem.problem


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def command(tmp_path: Path, asked: dict[str, Any]) -> list[str]:
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(asked))
    (tmp_path / "policy.json").write_text(json.dumps(policy(MARGIN)))
    options = ["--out", str(tmp_path / "run"), "--json", "--until-decided", str(tmp_path / "policy.json")]
    return ["eval", str(tmp_path / "spec.yaml"), *options, "--baseline", str(tmp_path / "base")]


def test_kill_9_in_the_middle_changes_nothing(base: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    reference, _ = decided(base, whole, 5)
    beside(base, tmp_path)
    with Stub(answer=answering(5), latency=0.02) as stub:
        arguments = command(tmp_path, spec(tmp_path, stub.url, COUNT, concurrency={"limit": 4}))
        for least in (30, 70):
            process = Popen([sys.executable, "-m", "assay", *arguments], stdout=PIPE, stderr=PIPE)
            patience = time.monotonic() + 60
            while lines(tmp_path / "run" / "attempts" / "0000.jsonl") < least and process.poll() is None:
                assert time.monotonic() < patience
                time.sleep(0.005)
            assert process.poll() is None, "it ended before it could be killed"
            process.kill()
            process.communicate()
        assert run(["gate", "run", str(tmp_path / "run"), "--policy", str(tmp_path / "policy.json")]) == 1
        assert run(arguments) == 0
    found = assay.open(tmp_path / "run")
    assert found.verify() == []
    assert found.decision is not None
    assert reference.decision is not None
    assert found.decision["numbers"]["looks"] == reference.decision["numbers"]["looks"]
    assert found.decision["reasons"] == reference.decision["reasons"]
    looks = [(path / "run" / "looks" / "0000.jsonl").read_bytes() for path in (tmp_path, whole)]
    assert looks[0] == looks[1]


@pytest.mark.parametrize("lost", ["the last look", "half of the last look", "the seal", "the verdict"])
def test_killed_at_the_end_it_ends_as_it_would_have(base: Path, tmp_path: Path, lost: str) -> None:
    """Nobody is at the endpoint any more: what is decided needs no answer."""
    found, _ = decided(base, tmp_path, 5)
    expected, looks = found.decision, found.path / "looks" / "0000.jsonl"
    whole = looks.read_bytes()
    for path in (found.path / "verdicts").glob("*.json"):
        path.unlink()
    if lost != "the verdict":
        (found.path / "manifest.json").unlink()
    if "last look" in lost:
        last = whole.splitlines(keepends=True)[-1]
        looks.write_bytes(whole[: -len(last) // 2 if "half" in lost else -len(last)])
    asked = json.loads((found.path / "plan.json").read_bytes())["spec"]
    again = assay.evaluate(asked, out=found.path, until_decided=policy(MARGIN), baseline=tmp_path / "base")
    assert looks.read_bytes() == whole
    assert again.verify() == []
    assert again.decision is not None
    assert expected is not None
    assert again.decision["numbers"] == expected["numbers"]


def test_what_was_looked_at_is_not_asked_again(base: Path, tmp_path: Path) -> None:
    """An error that a look saw stays one, however the run goes on: the same looks give the same bounds."""
    held = policy(MARGIN, outcomes={"infra_error": 0.2, "moved": 0.2})
    beside(base, tmp_path)
    with Stub(answer=answering(5), faults=[Fault("error", 0.1, tries=1)]) as stub:

        def go_on(**more: Any) -> assay.Run:
            asked = spec(tmp_path, stub.url, COUNT, **{**more, "retry": {"tries": 1}})
            return assay.evaluate(asked, out=tmp_path / "run", until_decided=held, baseline=tmp_path / "base")

        with pytest.raises(BudgetExhausted):
            go_on(budget={"requests": 50}, concurrency={"limit": 1})
        before = (tmp_path / "run" / "looks" / "0000.jsonl").read_bytes()
        seen = orjson.loads(before.splitlines()[-1])
        found = go_on()
    assert seen["look"] == 2
    assert (found.path / "looks" / "0000.jsonl").read_bytes().startswith(before)
    failed = [entry.attempt for entry in found if entry.attempt["outcome"] == "infra_error"]
    assert any(attempt["session"] == 0 for attempt in failed)
    assert found.verify() == []


def refused(base: Path, tmp_path: Path, url: str, held: Any = None, **more: Any) -> Incomparable:
    asked = spec(tmp_path, url, more.pop("count", COUNT), **more)
    with pytest.raises(Incomparable) as error:
        assay.evaluate(asked, out=tmp_path / "run", until_decided=held or policy(MARGIN), baseline=base)
    assert not (tmp_path / "run").exists()
    return error.value


@pytest.mark.parametrize(
    ("more", "code", "named"),
    [
        ({"sampling": {"temperature": 0.7}}, 4, "how the model decodes differs"),
        ({"seed": 3}, 4, "the seed differs"),
        ({"few_shot": 2}, 4, "the demonstrations differs"),
        ({"epochs": 2}, 4, "the attempts at each sample differs"),
        ({"count": 200}, 4, "the data differs"),
        ({"limit": 100}, 4, "200 samples are in the baseline only"),
        ({"held": policy(MARGIN, rule="point")}, 5, "counts no uncertainty"),
    ],
)
def test_an_incomparable_plan_is_refused_before_the_first_request(
    base: Path, tmp_path: Path, stub: Stub, more: dict[str, Any], code: int, named: str
) -> None:
    error = refused(base, tmp_path, stub.url, **more)
    assert error.exit_code == code
    assert named in error.message
    assert stub.stats()["requests"] == 0


def test_a_baseline_that_is_no_evidence(base: Path, tmp_path: Path, stub: Stub) -> None:
    path = beside(base, tmp_path)
    (path / "attempts" / "0000.jsonl").write_bytes(b"{}\n")
    assert "bytes, sealed with" in refused(path, tmp_path, stub.url).message
    (path / "manifest.json").unlink()
    assert refused(path, tmp_path, stub.url).exit_code == 4


def test_the_whole_from_the_command_line(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    beside(base, tmp_path)
    with Stub(answer=answering(40)) as stub:
        arguments = command(tmp_path, spec(tmp_path, stub.url, COUNT))
        assert run(arguments) == 1
        told = capsys.readouterr()
        document = json.loads(told.out)
        assert (document["sealed"], document["decision"]["verdict"]) == (True, "REGRESSION")
        assert document["decision"] == assay.open(tmp_path / "run").decision
        assert "look 1 of 15: INCONCLUSIVE" in told.err
        assert "REGRESSION" in (tmp_path / "summary.md").read_text()
        arguments.remove("--json")
        assert run(arguments) == 1
        told = capsys.readouterr()
        assert "REGRESSION\n  parity: accuracy" in told.out
        assert "DECIDED (REGRESSION) after 60 of 300" in told.out
        assert "is decided (REGRESSION, after look 3) and sealed already" in told.err
    assert run(["verify", str(tmp_path / "run")]) == 0
    assert run(["gate", "run", str(tmp_path / "run"), "--policy", str(tmp_path / "policy.json")]) == 0
    assert "stopped because it was decided, after 60 of 300 samples" in capsys.readouterr().out
    compared = ["gate", "compare", str(tmp_path / "base"), str(tmp_path / "run")]
    assert run([*compared, "--policy", str(tmp_path / "policy.json")]) == 5
    assert "it stopped when it was decided" in capsys.readouterr().out


def test_options_that_go_together(base: Path, tmp_path: Path, stub: Stub, capsys: pytest.CaptureFixture[str]) -> None:
    def told(*arguments: str) -> dict[str, Any]:
        run(list(arguments))
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    beside(base, tmp_path)
    whole = command(tmp_path, spec(tmp_path, stub.url, COUNT))
    assert "--baseline: missing" in told(*whole[:-2])["message"]
    assert "--retry-errors: cannot go with" in told(*whole, "--retry-errors")["message"]
    assert "the run has no model 'no'" in told(*whole, "--baseline-model", "no")["message"]
    assert told(*whole, "--baseline-model", "stub", "--plan-only")["plan"]
    other = command(tmp_path, spec(tmp_path, stub.url, COUNT, seed=9))
    document = told(*other, "--plan-only")
    assert (document["error"], document["exit_code"]) == ("Incomparable", 4)
    assert stub.stats()["requests"] == 0


def test_a_run_is_not_decided_by_halves(base: Path, tmp_path: Path) -> None:
    few = {"budget": {"requests": 50}, "concurrency": {"limit": 1}}
    with pytest.raises(BudgetExhausted):
        decided(base, tmp_path, 5, **few)
    asked = json.loads((tmp_path / "run" / "plan.json").read_bytes())["spec"]
    with pytest.raises(ConfigError, match="is evaluated until it is decided"):
        assay.evaluate(asked, out=tmp_path / "run")
    with pytest.raises(ConfigError, match="by another policy"):
        assay.evaluate(asked, out=tmp_path / "run", until_decided=policy(0.06), baseline=tmp_path / "base")


def test_a_run_of_a_whole_plan_is_not_cut(base: Path, tmp_path: Path, stub: Stub) -> None:
    asked = spec(tmp_path, stub.url, COUNT)
    assay.evaluate(asked, out=tmp_path / "run")
    with pytest.raises(ConfigError, match="begun without --until-decided"):
        assay.evaluate(asked, out=tmp_path / "run", until_decided=policy(MARGIN), baseline=base)


def test_looks_that_no_answer_was_there_for(base: Path, tmp_path: Path) -> None:
    few = {"budget": {"requests": 50}, "concurrency": {"limit": 1}}
    with pytest.raises(BudgetExhausted):
        decided(base, tmp_path, 5, **few)
    looks = tmp_path / "run" / "looks" / "0000.jsonl"
    forged = {**orjson.loads(looks.read_bytes().splitlines()[-1]), "look": 3, "verdict": "ACCEPT"}
    looks.write_bytes(looks.read_bytes() + orjson.dumps(forged) + b"\n")
    asked = json.loads((tmp_path / "run" / "plan.json").read_bytes())["spec"]
    with pytest.raises(EvidenceError, match="3 looks at 2 blocks"):
        assay.evaluate(asked, out=tmp_path / "run", until_decided=policy(MARGIN), baseline=tmp_path / "base")


def solving(data: Path, wrong: int) -> Callable[[str, int], str]:
    """HumanEval's own solutions, but for about `wrong` of a hundred problems, which raise."""
    packed = (data / "humaneval" / "HumanEval.jsonl.gz").read_bytes()
    rows = [orjson.loads(line) for line in gzip.decompress(packed).splitlines()]

    def answer(prompt: str, seed: int) -> str:
        row = next(row for row in rows if row["prompt"].strip() in prompt)
        broken = digest("broken", row["task_id"]) % 100 < wrong
        body = "    raise ValueError\n" if broken else row["canonical_solution"]
        return f"```python\n{row['prompt']}{body}```"

    return answer


@pytest.mark.data
def test_programs_are_executed_block_by_block(tmp_path: Path, data: Path) -> None:
    held = policy(0.1, execution={"tier": "none"})
    found = {}
    for name, wrong in (("base", 0), ("same", 0), ("worse", 60)):
        with Stub(answer=solving(data, wrong)) as stub:
            asked = {
                "name": name,
                "models": [{"model": "openai:stub", "name": "stub", "base_url": stub.url}],
                "tasks": [{"task": "humaneval", "limit": 80}],
            }
            more = {} if name == "base" else {"until_decided": held, "baseline": tmp_path / "base"}
            found[name] = assay.evaluate(asked, out=tmp_path / name, **more)
    for name, verdict, problems in (("same", "ACCEPT", 60), ("worse", "REGRESSION", 20)):
        assert found[name].decision["verdict"] == verdict
        assert len(found[name]) == problems
        assert found[name].results["cells"][0]["scored"] == problems
        assert found[name].verify() == []


def test_choices_are_decided_too(tmp_path: Path, stub: Stub) -> None:
    rows = [
        {"id": f"c{n}", "input": f"{n} plus one is", "choices": [f"{n + 1}", f"{n - 1}"], "target": n % 2}
        for n in range(200)
    ]
    (tmp_path / "choices.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    asked = {
        "name": "choosing",
        "models": [{"model": "openai:stub", "name": "stub", "base_url": stub.url, "choices": True}],
        "tasks": [{"task": f"file:{tmp_path / 'choices.jsonl'}", "name": "sums"}],
    }
    base = assay.evaluate(asked, out=tmp_path / "base")
    found = assay.evaluate(asked, out=tmp_path / "run", until_decided=policy(0.1), baseline=base)
    assert found.decision is not None
    assert (found.decision["verdict"], found.plan.cells[0].mode, len(found)) == ("ACCEPT", "choices", 60)
    assert found.verify() == []


def test_the_model_stays_loaded_between_blocks(base: Path, tmp_path: Path) -> None:
    found, _ = decided(base, tmp_path, 5)
    events = [orjson.loads(line) for line in (found.path / "events.jsonl").read_bytes().splitlines()]
    names = [event["event"] for event in events if event["event"] != "progress"]
    assert names == ["run_started", "model_started", *["looked"] * 6, "model_stopped", "run_finished", "sealing"]
    looks = [event["fields"] for event in events if event["event"] == "looked"]
    assert looks[-1] == {"look": 6, "looks": 15, "samples": {"parity": 120}, "verdict": "ACCEPT"}


def test_several_requests_are_in_flight_inside_a_block(base: Path, tmp_path: Path) -> None:
    beside(base, tmp_path)
    with Stub(answer=answering(5), latency=0.02) as stub:
        asked = spec(tmp_path, stub.url, COUNT, concurrency={"limit": 10, "start": 10})
        assay.evaluate(asked, out=tmp_path / "run", until_decided=policy(MARGIN), baseline=tmp_path / "base")
        assert stub.stats()["max_in_flight"] == 10


def test_a_decided_run_may_be_scored_again(base: Path, tmp_path: Path) -> None:
    """The new layer is sealed too; the verdict stands on the old one."""
    from assay.session import score

    found, _ = decided(base, tmp_path, 5)
    again = score(found.path)
    assert again.sealed
    assert again.verify() == []
    assert again.decision is None
