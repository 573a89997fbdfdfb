"""The conductor: the order, what follows a failure, what is kept, what is void. The stages are stand-ins; the real
ones are in test_release_real.py.
"""

from __future__ import annotations

import errno
import itertools
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from assay.errors import ConfigError, EvidenceError, FailureClass, MachineError
from assay.files import digest_of, pretty, read_json
from assay.gates.result import Verdict
from assay.release.decision import Levels, Point, pareto, stepped
from assay.release.folder import ReleaseFolder
from assay.release.status import status
from support.releasing import asked, conduct, edit, events, finished, stored

ONE = ["Q8_0"]
BASE = ["deploy-baseline", "evaluate-baseline", "run-baseline"]
OWN = ["deploy-Q8_0", "evaluate-Q8_0", "run-Q8_0", "compare-Q8_0"]
ALL = ["prepare", "quantize-Q8_0", "ptq-Q8_0", *BASE, *OWN, "decide"]


def by_name(decision: dict[str, Any]) -> dict[str, Any]:
    return {point["candidate"]: point for point in decision["candidates"]}


def test_every_stage_is_done_once_and_in_order(tmp_path: Path) -> None:
    decision = conduct(tmp_path / "r", asked(candidates=ONE))
    assert finished(tmp_path / "r") == ALL
    assert (decision["verdict"], decision["recommended"], decision["publish"]) == ("ACCEPT", "Q8_0", True)


def test_the_smallest_accepted_candidate_is_recommended(tmp_path: Path) -> None:
    script = {"compare-Q2_K": {"verdict": "REGRESSION", "delta": -0.2}}
    decision = conduct(tmp_path / "r", asked(), script)
    assert (decision["verdict"], decision["recommended"]) == ("ACCEPT", "Q4_0")
    front = orjson.loads((tmp_path / "r" / "front.json").read_bytes())
    assert [entry["candidate"] for entry in front["entries"] if entry["recommended"]] == ["Q4_0"]
    assert [entry["pareto"] for entry in front["entries"]] == [False, True, True]


def test_the_bounds_that_are_told_are_those_that_the_verdict_rests_on(tmp_path: Path) -> None:
    bounds = {"low": -0.0199, "low_level": 0.002, "high": 0.03, "high_level": 0.01}
    script = {"compare-Q8_0": {"task": {"gain_bounds": bounds, "alpha": 0.01}}}
    decision = conduct(tmp_path / "r", asked(candidates=ONE), script)
    front = orjson.loads((tmp_path / "r" / "front.json").read_bytes())
    for (task,) in (decision["candidates"][0]["tasks"], front["entries"][0]["tasks"]):
        assert (task["low"], task["high"], task["level"]) == (-0.0199, 0.03, 0.002)


def _point(name: str, verdict: str | None, size: int, loss: float | None, speed: float | None = 1.0) -> Point:
    tasks = ({"task": "t", "gated": True, "loss": loss},)
    kind = Verdict(verdict) if verdict else None
    return Point(name, {}, kind, "compare", bytes=size, speed=speed, tasks=tasks)


@pytest.mark.parametrize(
    ("other", "on"),
    [
        (_point("b", "ACCEPT", 5, 0.0), False),  # smaller and as good
        (_point("b", "REGRESSION", 5, 0.0), False),  # measured soundly, if worse than is allowed elsewhere
        (_point("b", None, 5, 0.0), False),  # screened
        (_point("b", "ANOMALOUS", 5, 0.0), True),
        (_point("b", "INFEASIBLE", 5, 0.0), True),
        (_point("b", "ACCEPT", 5, None), True),  # its loss is not known
        (_point("b", "ACCEPT", 5, 0.1), True),  # a trade
        (_point("b", "ACCEPT", 5, 0.0, None), False),  # without its speed they are held against each other by the rest
    ],
)
def test_only_what_was_measured_soundly_is_on_the_front_or_keeps_others_off_it(other: Point, on: bool) -> None:
    one = _point("a", "ACCEPT", 10, 0.0, 2.0 if other.speed is None else 1.0)
    assert pareto(one, (one, other)) is on
    if on and other.loss != 0.1:
        assert not pareto(other, (one, other))


def test_a_loss_of_which_a_part_was_not_measured_is_not_known() -> None:
    tasks = [{"task": name, "gated": True, "loss": loss} for name, loss in (("a", 0.01), ("b", None))]
    assert Point("c", {}, None, "", tasks=tuple(tasks)).loss is None


def test_the_first_accepted_candidate_may_end_the_release(tmp_path: Path) -> None:
    decision = conduct(tmp_path / "r", asked(stop="first_accept"))
    assert decision["recommended"] == "Q8_0"
    assert by_name(decision)["Q4_0"]["verdict"] is None
    assert "quantize-Q4_0" not in finished(tmp_path / "r")


@pytest.mark.parametrize(
    ("kind", "verdict"),
    [
        ("MODEL_UNSUPPORTED", "INFEASIBLE"),
        ("QUANT_COVERAGE_FAILURE", "INFEASIBLE"),
        ("DEPLOYMENT_HEALTH_FAILED", "INFEASIBLE"),
        ("EVAL_JUDGE_FAILED", "ANOMALOUS"),
        ("SAMPLE_ACCOUNTING_FAILED", "ANOMALOUS"),
        ("EVIDENCE_INVALID", "ANOMALOUS"),
        ("UNKNOWN", "ANOMALOUS"),
    ],
)
def test_a_candidate_that_fails_ends_by_its_class_and_the_next_one_is_tried(
    tmp_path: Path, kind: str, verdict: str
) -> None:
    decision = conduct(tmp_path / "r", asked(), {"deploy-Q8_0": {"raises": kind}})
    failed = by_name(decision)["Q8_0"]
    assert (failed["verdict"], failed["failure_class"], failed["ended_at"]) == (verdict, kind, "deploy")
    assert decision["recommended"] == "Q2_K"
    assert "evaluate-Q8_0" not in finished(tmp_path / "r")


@pytest.mark.parametrize("kind", ["INFRA_TRANSIENT", "DEPLOYMENT_HEALTH_FAILED", "EVAL_JUDGE_FAILED"])
def test_what_may_pass_is_tried_once_again(tmp_path: Path, kind: str) -> None:
    script = {"deploy-Q8_0": [{"raises": kind}, {}]}
    decision = conduct(tmp_path / "r", asked(candidates=ONE), script)
    assert decision["verdict"] == "ACCEPT"
    assert Counter(events(tmp_path / "r"))["stage_failed", "deploy-Q8_0"] == 1
    assert stored(tmp_path / "r", "deploy-Q8_0")["tries"] == 2


def test_a_transient_failure_that_comes_back_is_systemic_and_resumable(tmp_path: Path) -> None:
    script = {"evaluate-Q8_0": [{"raises": "INFRA_TRANSIENT"}, {"raises": "INFRA_TRANSIENT"}, {}]}
    with pytest.raises(MachineError, match="SYSTEMIC") as caught:
        conduct(tmp_path / "r", asked(candidates=ONE), script)
    assert caught.value.exit_code == 6
    assert conduct(tmp_path / "r", asked(candidates=ONE))["verdict"] == "ACCEPT"
    assert Counter(finished(tmp_path / "r")) == Counter(ALL)


def test_a_broken_machine_stops_the_release_and_decides_nothing(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="broken"):
        conduct(tmp_path / "r", asked(), {"quantize-Q4_0": {"raises": "SYSTEMIC"}})
    assert not (tmp_path / "r" / "decision.json").exists()
    assert "quantize-Q2_K" not in finished(tmp_path / "r")


def test_wrong_input_found_on_the_way_ends_with_its_own_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        conduct(tmp_path / "r", asked(), {"evaluate-Q8_0": {"raises": "USER_CONFIG_ERROR"}})


def test_a_run_that_its_gate_refuses_for_now_is_evaluated_again(tmp_path: Path) -> None:
    script = {"run-Q8_0": [{"verdict": "FAIL", "class": "INFRA_TRANSIENT"}, {}]}
    assert conduct(tmp_path / "r", asked(candidates=ONE), script)["verdict"] == "ACCEPT"
    assert Counter(finished(tmp_path / "r"))["evaluate-Q8_0"] == 2
    assert Counter(finished(tmp_path / "r"))["deploy-Q8_0"] == 1


def test_no_candidate_is_evaluated_whose_checkpoint_its_gate_refused(tmp_path: Path) -> None:
    script = {"ptq-Q8_0": {"verdict": "FAIL", "class": "QUANT_COVERAGE_FAILURE"}}
    decision = conduct(tmp_path / "r", asked(candidates=ONE), script)
    assert (decision["verdict"], decision["failure_class"]) == ("INFEASIBLE", "QUANT_COVERAGE_FAILURE")
    assert finished(tmp_path / "r") == ["prepare", "quantize-Q8_0", "ptq-Q8_0", "decide"]


def test_an_ask_that_cannot_be_met_ends_before_anything_is_made(tmp_path: Path) -> None:
    script = {"prepare": {"verdict": "INFEASIBLE", "class": "USER_CONFIG_ERROR"}}
    decision = conduct(tmp_path / "r", asked(), script)
    assert (decision["verdict"], decision["exit_code"]) == ("INFEASIBLE", 5)
    assert finished(tmp_path / "r") == ["prepare", "decide"]


def test_a_baseline_that_contradicts_what_was_published_ends_the_release(tmp_path: Path) -> None:
    script = {"run-baseline": {"verdict": "FAIL", "class": "EXTERNAL_BASELINE_MISMATCH"}}
    decision = conduct(tmp_path / "r", asked(), script)
    assert (decision["verdict"], decision["failure_class"]) == ("ANOMALOUS", "EXTERNAL_BASELINE_MISMATCH")
    assert "deploy-Q8_0" not in finished(tmp_path / "r")


def test_a_recipe_that_does_not_fit_is_patched_and_the_patch_comes_next(tmp_path: Path) -> None:
    script = {"quantize-W4A16": {"raises": "MODEL_UNSUPPORTED"}}
    decision = conduct(tmp_path / "r", asked(candidates=["W4A16", "Q8_0"]), script)
    assert [point["candidate"] for point in decision["candidates"]] == ["W4A16", "W4A16-g64", "Q8_0"]
    assert by_name(decision)["W4A16"]["instead"]["candidate"] == "W4A16-g64"
    assert by_name(decision)["W4A16-g64"]["verdict"] == "ACCEPT"


def test_a_patched_candidate_is_found_again_after_a_stop(tmp_path: Path) -> None:
    script = {
        "ptq-W4A16": {"verdict": "FAIL", "class": "MODEL_UNSUPPORTED"},
        "evaluate-W4A16-g64": [{"raises": "SYSTEMIC"}, {}],
    }
    with pytest.raises(MachineError):
        conduct(tmp_path / "r", asked(candidates=["W4A16"]), script)
    decision = conduct(tmp_path / "r", asked(candidates=["W4A16"]))
    assert (decision["verdict"], decision["recommended"]) == ("ACCEPT", "W4A16-g64")
    assert max(Counter(finished(tmp_path / "r")).values()) == 1


def test_an_undecided_comparison_is_made_again_on_more_samples_where_rounds_are_left(tmp_path: Path) -> None:
    script = {"compare-Q8_0": {"verdict": "INCONCLUSIVE"}}
    release = asked(candidates=ONE, samples={"rounds": 2}, correction="bonferroni")
    decision = conduct(tmp_path / "r", release, script)
    assert {"evaluate-baseline.2", "evaluate-Q8_0.2", "compare-Q8_0.2"} <= set(finished(tmp_path / "r"))
    assert decision["verdict"] == "ACCEPT"
    assert decision["alpha"]["level"] == pytest.approx(0.025)


def test_a_budget_leaves_candidates_untried_and_the_release_undecided(tmp_path: Path) -> None:
    script = {"compare-Q8_0": {"verdict": "REGRESSION"}}
    decision = conduct(tmp_path / "r", asked(budget={"attempts": 20}), script)
    assert decision["verdict"] == "INCONCLUSIVE"
    assert "20 of the budget of 20 attempts" in by_name(decision)["Q4_0"]["reasons"][0]


@pytest.mark.parametrize(
    ("verdicts", "whole"),
    [
        (("REGRESSION", "INCONCLUSIVE"), "INCONCLUSIVE"),
        (("REGRESSION", "ANOMALOUS"), "ANOMALOUS"),
        (("REGRESSION", "REGRESSION"), "REGRESSION"),
        (("ANOMALOUS", "ACCEPT"), "ACCEPT"),
    ],
)
def test_the_release_has_the_weightiest_verdict_where_none_is_accepted(
    tmp_path: Path, verdicts: tuple[str, str], whole: str
) -> None:
    names = ("Q8_0", "Q4_0")
    script = {f"compare-{name}": {"verdict": verdict} for name, verdict in zip(names, verdicts, strict=True)}
    release = asked(candidates=list(names), correction="bonferroni")
    assert conduct(tmp_path / "r", release, script)["verdict"] == whole


# --- kept, void, resumed ---


def _stopped_before(tmp_path: Path, key: str) -> Path:
    """A release that stopped at a stage, which will be done when it is asked for again."""
    with pytest.raises(MachineError):
        conduct(tmp_path / "r", asked(candidates=ONE), {key: [{"raises": "SYSTEMIC"}, {}]})
    return tmp_path / "r"


def _void(path: Path) -> list[str]:
    return [stage for event, stage in events(path) if event == "stage_void"]


def test_what_is_finished_is_kept_and_not_done_again(tmp_path: Path) -> None:
    path = _stopped_before(tmp_path, "compare-Q8_0")
    assert conduct(path, asked(candidates=ONE))["verdict"] == "ACCEPT"
    assert Counter(finished(path)) == Counter(ALL)
    assert [stage for event, stage in events(path) if event == "stage_kept"] == ALL[:9]
    assert _void(path) == []


@pytest.mark.parametrize(
    ("file", "first", "kept"),
    [
        ("candidates/Q8_0/quantize.1.txt", "quantize-Q8_0", ["prepare", "evaluate-baseline"]),
        ("candidates/Q8_0/ptq.1.json", "ptq-Q8_0", ["quantize-Q8_0", "evaluate-baseline"]),
        ("candidates/Q8_0/evaluate.1.txt", "evaluate-Q8_0", ["deploy-Q8_0", "run-baseline"]),
        ("baseline/deploy.1.txt", "deploy-baseline", ["ptq-Q8_0"]),
        ("source/prepare.1.txt", "prepare", []),
    ],
)
def test_an_edited_file_voids_by_name_what_stands_on_it(tmp_path: Path, file: str, first: str, kept: list[str]) -> None:
    path = _stopped_before(tmp_path, "compare-Q8_0")
    (path / file).write_text("changed")
    assert conduct(path, asked(candidates=ONE))["verdict"] == "ACCEPT"
    void, counted = _void(path), Counter(finished(path))
    assert void[0] == first
    assert all(counted[stage] == 2 for stage in void)
    assert all(counted[stage] == 1 for stage in kept)
    because = [
        orjson.loads(line)["fields"].get("because") for line in (path / "events.jsonl").read_bytes().splitlines()
    ]
    assert any(file.split("/")[-1] in reason for reasons in because if reasons for reason in reasons)


def test_a_file_that_is_edited_while_a_later_stage_runs_is_found_before_the_next(tmp_path: Path) -> None:
    path = tmp_path / "r"
    script = {"evaluate-baseline": [{"edits": "candidates/Q8_0/ptq.1.json"}, {}]}
    assert conduct(path, asked(candidates=ONE), script)["verdict"] == "ACCEPT"
    assert _void(path) == ["ptq-Q8_0"]
    assert Counter(finished(path))["ptq-Q8_0"] == 2
    assert Counter(finished(path))["evaluate-baseline"] == 1


def test_an_edited_record_voids_its_stage_and_what_stands_on_it(tmp_path: Path) -> None:
    path = _stopped_before(tmp_path, "compare-Q8_0")
    record = next((path / "stages").glob("*-ptq-Q8_0.json"))
    edit(record, facts={"bytes": 1, "source_bytes": 2, "linear_bytes": 1, "source_linear_bytes": 2})
    decision = conduct(path, asked(candidates=ONE))
    assert _void(path)[:2] == ["ptq-Q8_0", "deploy-Q8_0"]
    assert by_name(decision)["Q8_0"]["bytes"] == 140
    assert list((path / "void").glob("*/stages/*-ptq-Q8_0.json"))


@pytest.mark.parametrize("changes", [{"needs": []}, {"facts": 5}, {"places": [7]}, {"outputs": [{"path": 3}]}])
def test_a_record_of_another_shape_is_void_even_where_its_id_is_right(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = tmp_path / "r"
    conduct(path, asked(candidates=ONE))
    (path / "manifest.json").unlink()
    _forge(path, "deploy-Q8_0", **changes)
    assert conduct(path, asked(candidates=ONE))["verdict"] == "ACCEPT"
    assert ("stage_void", "deploy-Q8_0") in events(path)


def test_a_record_that_names_a_place_elsewhere_moves_nothing(tmp_path: Path) -> None:
    path, other = tmp_path / "r", tmp_path / "mine.txt"
    conduct(path, asked(candidates=ONE))
    (path / "manifest.json").unlink()
    other.write_text("mine")
    _forge(path, "deploy-Q8_0", places=["../mine.txt"], inputs={})
    with pytest.raises(EvidenceError, match=r"outside of the release"):
        conduct(path, asked(candidates=ONE))
    assert other.read_text() == "mine"


def _forge(path: Path, key: str, **changes: Any) -> None:
    """Change a record and give it the id of what it holds now."""
    file = next((path / "stages").glob(f"*-{key}.json"))
    content = {name: part for name, part in {**read_json(file), **changes}.items() if name != "id"}
    file.write_bytes(pretty({**content, "id": digest_of(content)[:16]}))


@pytest.mark.parametrize("where", ["assay.release.stages.store.write_atomic", "assay.release.report.write_atomic"])
def test_a_full_disk_ends_with_the_machine_s_error_and_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(where, full)
        with pytest.raises(MachineError, match="No space left") as caught:
            conduct(tmp_path / "r", asked(candidates=ONE))
    assert caught.value.exit_code == 6
    assert conduct(tmp_path / "r", asked(candidates=ONE))["verdict"] == "ACCEPT"


def test_a_removed_record_means_that_the_stage_and_what_stands_on_it_are_done_again(tmp_path: Path) -> None:
    path = _stopped_before(tmp_path, "compare-Q8_0")
    next((path / "stages").glob("*-deploy-Q8_0.json")).unlink()
    assert conduct(path, asked(candidates=ONE))["verdict"] == "ACCEPT"
    counted = Counter(finished(path))
    assert [counted[stage] for stage in ("deploy-Q8_0", "evaluate-Q8_0", "run-Q8_0")] == [2, 2, 2]
    assert list((path / "void").glob("*/candidates/Q8_0/evaluate.1.txt"))
    assert counted["deploy-baseline"] == 1


def test_a_gate_that_failed_is_not_passed_by_a_record_that_says_so(tmp_path: Path) -> None:
    path = tmp_path / "r"
    script = {
        "ptq-Q8_0": {"verdict": "FAIL", "class": "QUANT_COVERAGE_FAILURE"},
        "quantize-Q4_0": [{"raises": "SYSTEMIC"}, {}],
    }
    release = asked(candidates=["Q8_0", "Q4_0"])
    with pytest.raises(MachineError):
        conduct(path, release, script)
    edit(next((path / "stages").glob("*-ptq-Q8_0.json")), status="done", failure=None, after=None)
    assert by_name(conduct(path, release))["Q8_0"]["failure_class"] == "QUANT_COVERAGE_FAILURE"


def test_an_edited_ask_voids_everything(tmp_path: Path) -> None:
    path = _stopped_before(tmp_path, "compare-Q8_0")
    edit(path / "release.json", name="another")
    assert conduct(path, asked(candidates=ONE))["release"] == "stood-in"
    assert set(_void(path)) == set(ALL) - {"compare-Q8_0", "decide"}


def test_a_sealed_release_is_shown_and_one_that_was_changed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r"
    first = conduct(path, asked(candidates=ONE))
    before = (path / "events.jsonl").read_bytes()
    assert conduct(path, asked(candidates=ONE)) == first
    assert (path / "events.jsonl").read_bytes() == before
    (path / "decision.json").write_text("{}")
    with pytest.raises(EvidenceError, match=r"decision\.json"):
        conduct(path, asked(candidates=ONE))


def test_two_processes_do_not_work_on_one_release(tmp_path: Path) -> None:
    folder = ReleaseFolder(tmp_path / "r")
    with folder.lock(), pytest.raises(MachineError, match="another process"):
        conduct(folder.path, asked(candidates=ONE))


def test_the_status_says_what_is_done_void_and_next(tmp_path: Path) -> None:
    path = _stopped_before(tmp_path, "compare-Q8_0")
    found = status(ReleaseFolder(path))
    assert [stage["stage"] for stage in found["stages"]] == ALL[:9]
    assert (found["sealed"], found["busy"], found["verdict"]) == (False, False, None)
    assert "compare-Q8_0" in found["next"]
    (path / "candidates/Q8_0/evaluate.1.txt").write_text("changed")
    assert status(ReleaseFolder(path))["next"] == "evaluate-Q8_0 is void and will be done again"


@pytest.mark.parametrize("moment", ["stage_started", "stage_finished"])
def test_killed_at_and_between_all_stages_it_comes_to_the_same_and_does_nothing_twice(
    tmp_path: Path, moment: str
) -> None:
    whole = conduct(tmp_path / "whole", asked(candidates=ONE))
    path = tmp_path / "killed"
    (tmp_path / "spec.yaml").write_text("candidates: [Q8_0]")
    with _conducting(tmp_path / "spec.yaml", path) as conductor:
        for key, following in itertools.pairwise(ALL):
            _kill_at(conductor, path, (moment, key), key if moment == "stage_started" else following)
    again = conduct(path, asked(candidates=ONE), {})
    assert Counter(finished(path)) == Counter(ALL)
    assert _void(path) == []
    assert _told(again) == _told(whole)


def _told(decision: dict[str, Any]) -> dict[str, Any]:
    return {key: decision[key] for key in ("verdict", "recommended", "alpha", "candidates", "reasons")}


@contextmanager
def _conducting(spec: Path, path: Path) -> Iterator[subprocess.Popen[str]]:
    """What conducts the release in a process of its own each time that it is asked to."""
    support = Path(__file__).parent
    command = [sys.executable, "-m", "support.releasing", str(spec), str(path)]
    place = {**os.environ, "PYTHONPATH": str(support)}
    with subprocess.Popen(
        command, cwd=support, env=place, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _kill_at(conductor: subprocess.Popen[str], path: Path, wanted: tuple[str, str], stop: str) -> None:
    """Conduct in another process, which stops in that stage, and kill it as soon as what is wanted has happened."""
    assert conductor.stdin and conductor.stdout
    conductor.stdin.write(f"{stop}\n")
    conductor.stdin.flush()
    child = int(conductor.stdout.readline())
    try:
        until = time.monotonic() + 60
        while not ((path / "events.jsonl").exists() and wanted in events(path)):
            assert time.monotonic() < until
            time.sleep(0.005)
    finally:
        os.kill(child, signal.SIGKILL)
    assert int(conductor.stdout.readline()) == signal.SIGKILL


def test_wrong_input_leaves_nothing_behind_and_a_strange_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        conduct(tmp_path / "r", asked(), {"prepare": {"raises": "USER_CONFIG_ERROR"}})
    assert not (tmp_path / "r").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match="holds no release"):
        conduct(tmp_path / "mine", asked())
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_a_folder_that_holds_another_release_is_refused(tmp_path: Path) -> None:
    conduct(tmp_path / "r", asked(candidates=ONE))
    with pytest.raises(ConfigError, match="holds another release"):
        conduct(tmp_path / "r", asked(candidates=["Q4_0"]))


def test_each_acceptance_leaves_more_of_alpha_to_those_still_undecided() -> None:
    """Holm by hand: p = 0.001, 0.015, 0.02, 0.04 of four at 5 % are held against 1/80, 1/60, 1/40, 1/20."""
    chances = {"a": 0.001, "b": 0.015, "c": 0.02, "d": 0.04}
    levels, task = Levels(0.05, "holm", 4, 1), {"gated": True, "loss": 0.0}

    def points() -> list[Point]:
        kinds = {name: Verdict.ACCEPT if p <= levels.level() else Verdict.INCONCLUSIVE for name, p in chances.items()}
        return [Point(name, {}, kind, "compare", tasks=(task,)) for name, kind in kinds.items()]

    def accepts(name: str, level: float) -> bool:
        return chances[name] <= level

    found = stepped(points(), levels, accepts)
    assert found == pytest.approx({"b": 0.05 / 3, "c": 0.05 / 2, "d": 0.05})
    chances["c"] = 0.03
    chances["d"] = 0.03
    assert set(stepped(points(), levels, accepts)) == {"b"}
    assert stepped(points(), Levels(0.05, "bonferroni", 4, 1), accepts) == {}


def test_there_is_a_rule_for_every_class_of_failure() -> None:
    rules = asked().rules
    assert set(rules.rules) == {kind.value for kind in FailureClass}
