"""`assay judge`: the walk from a run to judgements, as typed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from assay.cli.main import run as cli
from support.judging import TEXT, fill, run, usual
from support.stub import Stub


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]):
    """Run a command; returns exit code and the document on stdout."""

    def call(*arguments: object) -> tuple[int, Any]:
        capsys.readouterr()
        code = cli([*map(str, arguments), "--json"])
        out = capsys.readouterr().out
        return code, orjson.loads(out) if out else None

    return call


@pytest.fixture
def rubric(tmp_path: Path) -> Path:
    path = tmp_path / "fit.md"
    path.write_text(TEXT)
    return path


def test_from_a_run_to_judgements(tmp_path: Path, stub: Stub, said, rubric: Path):
    made = run(tmp_path, stub, 20)
    out = tmp_path / "q.csv"
    code, told = said("judge", "export", made.path, "-r", rubric, "--out", out, "--repeat", "10%", "--anchors")
    assert code == 0
    assert [(file["candidate"], file["repeat"], file["anchor"]) for file in told["files"]] == [(20, 2, 2)]
    code, told = said("judge", "apply", fill(out, tmp_path / "a.csv"), "--judge", "ada", "--run", made.path)
    assert (code, told["applied"], told["repeats"], told["remaining"]) == (0, 20, 2, [])
    assert len(told["checks"]["marked"]) == 4
    code, told = said("judge", "status", made.path)
    assert (code, told["rubrics"][0]["judged"], told["rubrics"][0]["pending"]) == (0, 20, 0)
    assert said("verify", made.path)[0] == 0


def test_for_people_it_says_what_happened(tmp_path: Path, stub: Stub, rubric: Path, capsys):
    made = run(tmp_path, stub, 5)
    out = tmp_path / "q.csv"
    assert cli(["judge", "status", str(made.path)]) == 0
    assert "nothing was given to a judge yet" in capsys.readouterr().out
    assert cli(["judge", "export", str(made.path), "-r", str(rubric), "--out", str(out), "--anchors"]) == 0
    assert "5 candidates, 0 repeats, 2 anchors" in capsys.readouterr().err
    file = fill(
        out, tmp_path / "a.csv", lambda row: usual(row) if row["text"] != "Perhaps." else {"fit": "", "ease": ""}
    )
    arguments = ["judge", "apply", str(file), "--judge", "ada", "--run", str(made.path)]
    assert cli(arguments) == 2
    refused = capsys.readouterr().err
    assert "not filled in: fit, ease" in refused and "--partial" in refused
    assert cli([*arguments, "--partial"]) == 0
    told = capsys.readouterr().out
    assert "5 judgements by ada applied" in told and "1 remain" in told and "marked: anchor 1" in told
    assert cli(["judge", "status", str(made.path)]) == 0
    assert "ada: 5 judged, 0 pending, marked" in capsys.readouterr().out


def test_a_refused_file_lists_every_row_as_json(tmp_path: Path, stub: Stub, said, rubric: Path):
    made = run(tmp_path, stub, 5)
    out = tmp_path / "q.csv"
    said("judge", "export", made.path, "-r", rubric, "--out", out)
    file = fill(out, tmp_path / "a.csv", lambda row: {"fit": 8, "ease": 2})
    code, told = said("judge", "apply", file, "--judge", "ada", "--run", made.path)
    assert (code, told["failure_class"], len(told["problems"])) == (2, "USER_CONFIG_ERROR", 10)
    assert {problem["key"].split(" ")[0] for problem in told["problems"]} == {"row"}


def test_a_measure_that_nobody_takes_is_told_at_the_export(tmp_path: Path, stub: Stub, capsys):
    made = run(tmp_path, stub, 5)
    assert cli(["judge", "export", str(made.path), "-r", "tip-v1", "--out", str(tmp_path / "q.json")]) == 0
    told = capsys.readouterr().err
    assert "no scorer measures 'format_ok'" in told and "no scorer measures 'overlong'" in told


@pytest.mark.parametrize(
    "options", [("--repeat", "80%"), ("--repeat", "x"), ("--assign", "0"), ("--seed", "-1"), ("-t", "nothing")]
)
def test_wrong_options_are_refused(tmp_path: Path, stub: Stub, said, rubric: Path, options):
    made = run(tmp_path, stub, 3)
    assert said("judge", "export", made.path, "-r", rubric, "--out", tmp_path / "q.csv", *options)[0] == 2
    assert said("judge", "apply", tmp_path / "q.csv", "--judge", "a b")[0] == 2


def test_rubrics_are_listed_shown_checked_and_compared(tmp_path: Path, said, rubric: Path, capsys):
    assert [item["name"] for item in said("judge", "rubric", "list")[1]["items"]] == ["tip-v1"]
    code, told = said("judge", "rubric", "show", "tip-v1")
    assert (code, told["schema"], told["range"], told["pass_mark"]) == (0, "assay.rubric.v1", [2.0, 17.0], 12)
    code, told = said("judge", "rubric", "check", rubric)
    assert (code, told["label"], told["without_example"]) == (0, "fit-v1", ["fit 2"])
    rubric.with_name("bad.md").write_text(TEXT.replace("pass_mark: 4", "pass_mark: 99"))
    code, told = said("judge", "rubric", "check", rubric.with_name("bad.md"))
    assert (code, told["problems"][0]["line"]) == (2, TEXT[: TEXT.index("pass_mark")].count("\n") + 1)
    other = rubric.with_name("other.md")
    other.write_text(TEXT.replace("fits a little", "so so"))
    code, told = said("judge", "rubric", "diff", rubric, other)
    assert (code, told["same"]) == (2, False)
    assert any(line.startswith("+") and "so so" in line for line in told["lines"])
    other.write_text(other.read_text().replace("version: 1", "version: 2"))
    assert said("judge", "rubric", "diff", rubric, other)[0] == 0
    for arguments in (["list"], ["show", "tip-v1"], ["check", str(rubric)], ["diff", str(rubric), str(rubric)]):
        assert cli(["judge", "rubric", *arguments]) == 0
    assert "no difference" in capsys.readouterr().out


def test_a_rubric_that_a_run_carries_in_other_words_is_refused(tmp_path: Path, stub: Stub, said, rubric: Path):
    made = run(tmp_path, stub, 3)
    said("judge", "export", made.path, "-r", rubric, "--out", tmp_path / "q.csv")
    assert said("judge", "rubric", "check", rubric, "--run", made.path)[0] == 0
    rubric.write_text(TEXT.replace("fits a little", "so so"))
    assert said("judge", "rubric", "check", rubric, "--run", made.path)[0] == 2
    assert said("judge", "export", made.path, "-r", rubric, "--out", tmp_path / "r.csv")[0] == 2
