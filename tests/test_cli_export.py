"""`assay export`: one row an attempt, whatever is in the texts."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import assay
from assay.cli.main import run
from assay.files import digest_file
from assay.plan.plan import Plan
from assay.records import Sample
from assay.run.folder import RunFolder
from assay.run.journal import Writer
from assay.run.scores import planned, scorer_id
from assay.sandbox.execution import Execution, Failure, Status
from support.plans import plan

FORMULAS = ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "\n=1", "'=1", "＝1", "＠x"]


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = run([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def made(path: Path, texts: Sequence[str], executions: Sequence[dict[str, Any]] = ()) -> Path:
    """A run of given samples, one text a problem, each with its execution where there is one."""
    base = plan(len(texts), mode="given")
    whole = replace(base, tasks={"t": replace(base.tasks["t"], kind="code")})
    folder = RunFolder(path)
    folder.create(whole, [("t", [Sample(name, "?") for name in whole.tasks["t"].samples], ())])
    write(folder.attempts, [attempt_line(whole, number, text) for number, text in enumerate(texts)])
    header = {"schema": "assay.scores.v1", "scorers": {"t": whole.to_json()["tasks"]["t"]["scorer"]}}
    scores = [score_line(whole, number, execution) for number, execution in enumerate(executions)]
    write(folder.scores, [header, *scores])
    return path


def write(folder: Path, records: Sequence[dict[str, Any]]) -> None:
    writer = Writer(folder / "0000.jsonl")
    for record in records:
        writer.append(record)
    writer.close()


def attempt_line(whole: Plan, number: int, text: str) -> dict[str, Any]:
    attempt = whole.attempt(number)
    return {
        "attempt": attempt.id,
        "index": number,
        "cell": 0,
        "sample": attempt.sample,
        "epoch": 0,
        "revision": 0,
        "session": 0,
        "outcome": "ok",
        "tries": 0,
        "finished": 1000.0,
        "completion": {"text": text, "form": "program"},
        "given": {"line": number + 1, "labels": {"passed": True}},
    }


def score_line(whole: Plan, number: int, execution: dict[str, Any]) -> dict[str, Any]:
    return {
        "attempt": whole.attempt(number).id,
        "index": number,
        "cell": 0,
        "revision": 0,
        "scorer": scorer_id(planned(whole)["t"]),
        "metrics": {"accuracy": execution["status"] == "passed"},
        "why": "",
        "execution": execution,
    }


def rows(path: Path) -> list[dict[str, Any]]:
    """A file as another tool reads it."""
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_bytes().splitlines()]
    relation = duckdb.connect(":memory:").read_parquet(str(path))
    return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]


FAILED = Execution(
    Status.FAILED,
    compiled=True,
    tests_passed=1,
    tests_run=2,
    tests_total=3,
    failure=Failure("AssertionError", "no", 4, "assert f(1) == 2", "1"),
    stdout="=cmd()",
    cpu_s=0.25,
    memory_mb=12.0,
    tier="full",
).to_json() | {"program": "ab12", "strategy": "verbatim", "form": "program", "found": True}
LOST = Execution(Status.TIMEOUT, timeout="cpu", tier="reduced", retried=True, forgeable=True).to_json()


@pytest.mark.parametrize("format", ["csv", "jsonl", "parquet"])
def test_what_happened_to_each_program_is_in_its_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], format: str
) -> None:
    made(tmp_path / "run", ["def f(): ...", "", "x"], [FAILED, LOST])
    out = tmp_path / f"rows.{format}"
    code, told, _ = call(capsys, "export", tmp_path / "run", "--out", out, "--json")
    assert code == 0
    assert json.loads(told) == {
        "schema": "assay.export.v1",
        "file": str(out),
        "format": format,
        "rows": 3,
        "sha256": digest_file(out),
    }
    first, second, third = rows(out)
    names = ("status", "tests_passed", "tests_run", "tests_total", "cpu_s", "tier", "failure_kind", "failure_line")
    assert [str(first[name]) for name in names] == ["failed", "1", "2", "3", "0.25", "full", "AssertionError", "4"]
    assert (first["program"], first["strategy"], first["sample"]) == ("ab12", "verbatim", "s0")
    assert first["stdout"] == ("'=cmd()" if format == "csv" else "=cmd()")
    assert [str(second[name]).lower() for name in ("timeout", "retried", "forgeable")] == ["cpu", "true", "true"]
    missing = "" if format == "csv" else None
    assert [second[name] for name in ("cpu_s", "tests_total", "failure_kind", "exit_code")] == [missing] * 4
    assert [third[name] for name in ("status", "retried", "accuracy", "seed", "latency_s")] == [missing] * 5


def test_no_cell_of_a_table_is_a_formula(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path / "run", [*FORMULAS, "x=1", "1-1"])
    code, _, err = call(capsys, "export", tmp_path / "run", "--out", tmp_path / "rows.csv")
    assert (code, err) == (0, f"12 rows in {tmp_path / 'rows.csv'}\n")
    assert [row["text"] for row in rows(tmp_path / "rows.csv")] == [*(f"'{text}" for text in FORMULAS), "x=1", "1-1"]


@settings(max_examples=25)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=4))
def test_every_text_comes_back(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    folder = tmp_path_factory.mktemp("run")
    found = assay.open(made(folder / "run", texts))
    for format in ("jsonl", "parquet", "csv"):
        assert found.export(folder / f"rows.{format}", format) == len(texts)
        back = [row["text"] for row in rows(folder / f"rows.{format}")]
        assert [text.removeprefix("'") if format == "csv" else text for text in back] == texts


def test_stdout_is_the_table_and_nothing_else(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    made(tmp_path / "run", ["one", "two"])
    assert run(["export", str(tmp_path / "run"), "--format", "csv"]) == 0
    out = capsysbinary.readouterr().out.decode()
    assert [row["text"] for row in csv.DictReader(io.StringIO(out))] == ["one", "two"]


def test_the_columns_are_those_of_the_frame(tmp_path: Path) -> None:
    found = assay.open(made(tmp_path / "run", ["x"], [FAILED]))
    found.export(tmp_path / "rows.parquet")
    (row,) = rows(tmp_path / "rows.parquet")
    assert list(row) == found.frame().columns
    assert [tuple(row.values())] == found.frame().fetchall()


def test_an_empty_run_has_columns_and_no_rows(tmp_path: Path) -> None:
    found = assay.open(made(tmp_path / "run", ["x"]))
    (tmp_path / "run" / "attempts" / "0000.jsonl").unlink()
    for format in ("csv", "parquet", "jsonl"):
        assert found.export(tmp_path / f"rows.{format}", format) == 0
    assert (tmp_path / "rows.csv").read_text().startswith("attempt,index,model,")


def test_a_file_is_whole_or_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path / "run", ["x"])
    out = tmp_path / "rows.csv"
    out.write_text("old")
    journal = tmp_path / "run" / "attempts" / "0000.jsonl"
    journal.write_bytes(b"broken\n")
    code, told, _ = call(capsys, "export", tmp_path / "run", "--out", out, "--json")
    assert (code, json.loads(told)["error"]) == (1, "JournalCorrupt")
    assert out.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.csv", "run"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--format is needed"),
        (["--out", "rows.txt"], "--format is needed"),
        (["--format", "xlsx"], "--format"),
        (["--format", "parquet"], "parquet needs --out"),
        (["--format", "csv", "--json"], "--json needs --out"),
    ],
)
def test_what_cannot_be_written_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    code, out, err = call(capsys, "export", made(tmp_path / "run", ["x"]), *arguments)
    assert code == 2
    assert words in out + err


def test_a_place_that_cannot_be_written_is_the_machines_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = call(capsys, "export", made(tmp_path / "run", ["x"]), "--out", tmp_path / "file" / "rows.csv")
    assert code == 6
    assert "cannot write" in err
