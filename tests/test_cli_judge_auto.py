"""`assay judge auto` and `assay judge pairs`, as typed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from assay.cli.main import run as cli
from support.judging import TEXT, run
from support.stub import Fault, Stub
from support.stub_judges import judge_stub, lines, says


@pytest.fixture
def rubric(tmp_path: Path) -> Path:
    path = tmp_path / "fit.md"
    path.write_text(TEXT)
    return path


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str], rubric: Path):
    """Run `assay judge auto RUN` with a stub judge; returns exit code and the document on stdout."""

    def call(made: Any, judge: Stub, *arguments: object) -> tuple[int, Any]:
        capsys.readouterr()
        model = ("--judge", "openai:judge", "-o", f"base_url={judge.url}", "-r", rubric)
        code = cli(["judge", "auto", *map(str, (made.path, *model, *arguments)), "--json"])
        return code, orjson.loads(capsys.readouterr().out)

    return call


def test_candidates_are_judged_and_the_command_is_kept(tmp_path: Path, stub: Stub, said):
    made = run(tmp_path, stub, 3)
    with judge_stub(lambda *_: says({"fit": 2, "ease": 1})) as judge:
        code, told = said(made, judge, "--votes", 2, "--temperature", 0.5, "--name", "jo", "--reference")
        assert (code, told["schema"], told["applied"]) == (0, "assay.judge_auto.v1", 3)
        assert told["judge"]["name"] == "jo" and told["judge"]["sampling"]["temperature"] == 0.5
        assert told["judge"]["prompt"]["reference"] is True and "failure_class" not in told
        assert "A right answer, to compare with" in judge.server.bodies[0]["messages"][-1]["content"]
        code, told = said(made, judge, "--votes", 2, "--temperature", 0.5, "--name", "jo", "--reference")
        assert (code, told["batch"]) == (0, None)
    assert made.verify() == []


def test_failed_votes_end_with_1_and_say_so(tmp_path: Path, stub: Stub, said):
    made = run(tmp_path, stub, 2)
    with judge_stub(lambda *_: "What?") as judge:
        code, told = said(made, judge)
    assert (code, told["failure_class"], told["votes"]["failures"]) == (1, "EVAL_JUDGE_FAILED", {"unreadable": 6})
    with judge_stub(lambda *_: "x", faults=[Fault("bad_request", 1.0)]) as judge:
        code, told = said(made, judge, "--name", "other")
    assert code == 1 and told["errors"][0]["votes"] == 6 and "400" in told["errors"][0]["message"]


def test_for_people_it_says_what_happened(tmp_path: Path, stub: Stub, rubric: Path, capsys):
    made = run(tmp_path, stub, 2)
    with judge_stub(lambda *_: says({"fit": 2, "ease": 1})) as judge:
        command = ["judge", "auto", str(made.path), "--judge", "openai:judge", "-o", f"base_url={judge.url}"]
        command += ["-r", str(rubric), "--votes", "1", "--anchors"]
        assert cli(command) == 0
        told = capsys.readouterr().out
        assert "2 candidates judged by judge@" in told and "4 of 4 votes valid" in told and "judging/auto/" in told
        assert "marked: anchor 1: fit is 2, calibrated as 3" in told
        assert cli(command) == 0
        assert "nothing is pending" in capsys.readouterr().out
    assert cli(["judge", "pairs", str(made.path)]) == 0
    assert "no pairs were judged yet" in capsys.readouterr().out


def test_pairs_are_compared_and_shown(tmp_path: Path, stub: Stub, said, capsys):
    models = [{"model": f"openai:{name}", "name": name, "base_url": stub.url} for name in ("old", "new")]
    made = run(tmp_path, stub, 4, models=models)
    with judge_stub(lambda *_: '{"rationale": "first", "winner": "1"}') as judge:
        code, told = said(made, judge, "--pairwise", "--votes", 1, "--against", "old")
    assert (code, told["pairwise"], told["applied"]) == (0, True, 4)
    assert cli(["judge", "pairs", str(made.path)]) == 0
    out = capsys.readouterr().out
    assert "100% of decided votes for the first" in out and "inconsistent" in out and "new" in out
    assert cli(["judge", "pairs", str(made.path), "--json"]) == 0
    found = orjson.loads(capsys.readouterr().out)
    assert found["judges"][0]["pairs"][0]["inconsistent"] == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--votes", 0), "0 is not in the range"),
        (("--against", "x"), "for --pairwise"),
        (("--pairwise", "--anchors"), "the rubric's examples are no pairs"),
        (("-o", "context"), "is not KEY=VALUE"),
        (("-o", "contxt=9"), "contxt"),
        (("--prompt", "judge-rubrik"), "did you mean 'judge-rubric'?"),
        (("-t", "nothing"), "has no task 'nothing' whose answers are text"),
        (("--temperature", -1), "temperature"),
        (("--name", "a b"), "is not a name"),
        (("--prompt", "judge-pairwise"), "{{ candidate }} is not in the template"),
    ],
)
def test_wrong_input_is_refused_before_anything_is_asked(tmp_path: Path, stub: Stub, said, arguments, message):
    made = run(tmp_path, stub, 1)
    with judge_stub(lambda *_: "x") as judge:
        code, told = said(made, judge, *arguments)
        assert judge.stats()["requests"] == 0
    assert code == 2 and message in str(told), told
    assert lines(made) == [] and made.verify() == [] and not (tmp_path / "run.judging").exists()
