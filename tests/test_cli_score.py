"""`assay score --samples`: another tool's samples, executed, scored and sealed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import assay
from assay.cli.main import run
from support.programs import completion, problems, written


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = run([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def scored(capsys: pytest.CaptureFixture[str], folder: Path, *more: object) -> tuple[int, dict[str, Any], str]:
    """Score `mine.jsonl` in the folder for the problems there."""
    if not (folder / "problems.jsonl").exists():
        problems(folder / "problems.jsonl")
    files = ["--samples", folder / "mine.jsonl", "--problems", folder / "problems.jsonl"]
    place = ["--out", folder / "run", "--sandbox", "none", "--json"]
    code, out, err = call(capsys, "score", "--task", "humaneval", *files, *place, *more)
    return code, json.loads(out), err


def primary(told: dict[str, Any]) -> dict[str, Any]:
    (cell,) = told["results"]["cells"]
    metric: dict[str, Any] = cell["metrics"][0]
    return metric


def test_samples_become_a_sealed_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [completion(1), completion(2, right=False, passed=True), completion(1, right=False), completion(3)]
    written(tmp_path / "mine.jsonl", rows)
    code, told, err = scored(capsys, tmp_path)
    assert (code, told["schema"], told["sealed"]) == (0, "assay.eval.v1", True)
    assert (primary(told)["value"], primary(told)["n"]) == (0.5, 4)
    assert [flag["message"] for flag in told["results"]["flags"] if flag["code"] == "partial"] == [
        "3 of 4 problems have samples"
    ]
    assert "note: 3 of 4 problems have samples; none: Adding/4" in err
    assert assay.open(tmp_path / "run").verify() == []


def test_the_journal_says_what_the_file_says_and_invents_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    solution = {"task_id": "Adding/2", "solution": "def add(x):\n    return x + 2\n", "score": 0.5}
    written(tmp_path / "mine.jsonl", [solution, completion(1, passed=False), completion(1) | {"completion": " "}])
    scored(capsys, tmp_path)
    entries = {(entry.attempt["sample"], entry.attempt["epoch"]): entry for entry in assay.open(tmp_path / "run")}
    first = entries["Adding/2", 0]
    assert first.attempt["completion"] == {"text": solution["solution"], "form": "program"}
    assert first.attempt["given"] == {"line": 1, "labels": {"score": 0.5}}
    assert not {"latency_s", "seed", "cost", "error"} & set(first.attempt)
    assert entries["Adding/1", 0].attempt["given"]["labels"] == {"passed": False}
    assert entries["Adding/1", 1].attempt["outcome"] == "empty"
    verdicts = {key: entry.scores[0]["metrics"]["pass_at_1"] for key, entry in entries.items()}
    assert verdicts == {("Adding/2", 0): True, ("Adding/1", 0): True, ("Adding/1", 1): False}


def test_asking_again_shows_the_finished_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path / "mine.jsonl", [completion(1), completion(2)])
    first = scored(capsys, tmp_path)[1]
    sealed = (tmp_path / "run" / "manifest.json").read_bytes()
    code, again, err = scored(capsys, tmp_path)
    assert (code, again["results"]) == (0, first["results"])
    assert "finished and sealed already" in err
    assert (tmp_path / "run" / "manifest.json").read_bytes() == sealed


def test_a_run_that_was_stopped_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path / "mine.jsonl", [completion(number) for number in (1, 2, 1, 3)])
    whole = scored(capsys, tmp_path)[1]
    folder = tmp_path / "run"
    for name in ("manifest.json", "results.json", "report.html"):
        (folder / name).unlink()
    for path in folder.glob("scores/*"):
        path.unlink()
    journal = folder / "attempts" / "0000.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:2]) + b'{"torn')
    code, told, _ = scored(capsys, tmp_path)
    assert (code, told["sealed"]) == (0, True)
    assert told["results"]["cells"][0]["metrics"] == whole["results"]["cells"][0]["metrics"]
    assert assay.open(folder).verify() == []


def test_other_samples_do_not_go_into_a_run_that_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path / "mine.jsonl", [completion(1)])
    scored(capsys, tmp_path)
    written(tmp_path / "mine.jsonl", [completion(2)])
    code, told, _ = scored(capsys, tmp_path)
    assert code == 2
    assert "holds another plan" in told["message"]
    code, told, _ = scored(capsys, tmp_path, "--fresh")
    assert (code, told["sealed"]) == (0, True)
    assert (tmp_path / "run.old1" / "manifest.json").exists()


def test_every_problem_of_a_file_is_told_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path / "mine.jsonl", [completion(1), {"task_id": "Adding/9", "completion": ""}, b"torn"])
    code, told, _ = scored(capsys, tmp_path)
    assert (code, [problem["line"] for problem in told["problems"]]) == (2, [2, 3])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "either RUN or --samples"),
        (["run", "--samples", "s.jsonl"], "either RUN or --samples"),
        (["--samples", "s.jsonl"], "--samples needs one --task"),
        (["--samples", "s.jsonl", "-t", "humaneval", "-t", "mbpp"], "--samples needs one --task"),
        (["--samples", "s.jsonl", "-t", "humaneval", "--scoring-mode", "regex"], "--scoring-mode goes with RUN"),
        (
            ["run", "-k", "1", "--sandbox", "none", "--workers", "2"],
            "only with --samples, not with RUN: -k, --sandbox, --workers",
        ),
        (["--samples", "s.jsonl", "-t", "humaneval", "-k", "0"], "whole numbers from 1"),
        (["--samples", "s.jsonl", "-t", "humaneval", "-k", "1,,2"], "whole numbers from 1"),
        (["--samples", "s.jsonl", "-t", "humaneval", "--workers", "0"], "--workers"),
        (["--samples", "s.jsonl", "-t", "gsm8k"], "gsm8k is no code task"),
    ],
)
def test_what_does_not_go_together_is_refused(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = call(capsys, "score", *arguments)
    assert code == 2
    assert words in " ".join(err.split())


def test_the_page_shows_what_was_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path / "mine.jsonl", [completion(1)])
    scored(capsys, tmp_path)
    page = (tmp_path / "run" / "report.html").read_text()
    assert "verbatim@1" in page
    assert "1 of 4 problems have samples" in page


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize(("file", "passes"), [("qwen2.5-coder_7b", 120), ("codegemma_7b", 47)])
def test_real_samples_keep_their_labels(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, passes: int
) -> None:
    path = data / "model-samples" / "poe-humaneval" / f"{file}.jsonl"
    code, _, _ = call(capsys, "score", "-t", "humaneval", "--samples", path, "--out", tmp_path / "run")
    assert code == 0
    labels = "json_extract_string(labels, '$.passed') = 'true' AS said"
    rows = assay.open(tmp_path / "run").frame().project(f"sample, pass_at_1, {labels}").fetchall()
    assert [row for row in rows if row[1] is not row[2]] == []
    assert sum(row[1] for row in rows) == passes
