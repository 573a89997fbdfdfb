"""Files of samples from other tools: read as what they are, refused where they could mean two things."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.data.samples import Names, Samples, read
from assay.data.sources import Skip
from assay.errors import ConfigError
from support.programs import written

HUMANEVAL = [f"HumanEval/{number}" for number in range(164)]


def refused(path: Path, ids: Iterable[str] = HUMANEVAL) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        read(path, ids)
    return caught.value


@pytest.mark.parametrize("name", ["s.jsonl", "s.jsonl.gz"])
def test_rows_are_samples_in_the_order_of_the_file(tmp_path: Path, name: str) -> None:
    rows = [
        {"task_id": "HumanEval/7", "completion": "    return 1\n", "passed": True, "test": "def check(): ..."},
        {"task_id": "HumanEval/0", "solution": "def f(): ...", "completion": None},
        {"task_id": "HumanEval/7", "completion": "", "notes": ["nested"], "result": "x" * 500},
    ]
    found = read(written(tmp_path / name, rows), HUMANEVAL)
    assert found.counts == {"HumanEval/0": 1, "HumanEval/7": 2}
    assert list(found.counts) == ["HumanEval/0", "HumanEval/7"]
    assert len(found) == 3
    assert found.left_out == ("notes", "result", "test")
    assert [(item.sample, item.text, item.form, item.place, item.labels) for item in found] == [
        ("HumanEval/7", "    return 1\n", "completion", {"line": 1}, {"passed": True}),
        ("HumanEval/0", "def f(): ...", "program", {"line": 2}, {}),
        ("HumanEval/7", "", "completion", {"line": 3}, {}),
    ]


@pytest.mark.parametrize("spelt", ["HumanEval/12", "humaneval/12", "HUMANEVAL_12", "12", 12, " HumanEval/12 "])
def test_an_id_may_be_spelt_as_other_tools_do(spelt: object) -> None:
    assert Names(HUMANEVAL).find(spelt) == "HumanEval/12"


@pytest.mark.parametrize("spelt", ["MBPP/12", "Human/12", "164", "", "/", "-1", 1.0, True, None, [], {}])
def test_another_benchmarks_id_is_not_guessed_at(spelt: object) -> None:
    assert isinstance(Names(HUMANEVAL).find(spelt), Skip)


def test_a_number_that_could_be_two_problems_is_refused() -> None:
    names = Names(["train/1", "test/1", "test/2"])
    assert names.find("test/1") == "test/1"
    assert names.find("2") == "test/2"
    found = names.find("1")
    assert isinstance(found, Skip)
    assert "several" in found.reason


@given(st.lists(st.from_regex(r"[A-Za-z_]{0,4}/?[0-9]{1,2}", fullmatch=True), unique=True, min_size=1))
def test_a_whole_id_always_means_itself(ids: list[str]) -> None:
    names = Names(ids)
    assert [names.find(name) for name in ids] == ids


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (b'{"task_id": "HumanEval/0", "completi', "not JSON"),
        (b"[1, 2]", "expected a JSON object"),
        (b"\xff\xfe", "not JSON"),
        ({"completion": "x"}, "task_id is missing"),
        ({"task_id": ["HumanEval/0"], "completion": "x"}, "task_id is no text"),
        ({"task_id": "HumanEval/164", "completion": "x"}, "allowed: HumanEval/0, HumanEval/1, …, HumanEval/163"),
        ({"task_id": "HumanEval/0"}, "no completion"),
        ({"task_id": "HumanEval/0", "completion": "x", "solution": "y"}, "both completion and solution"),
        ({"task_id": "HumanEval/0", "completion": 3}, "completion is no text"),
        ({"task_id": "HumanEval/0", "solution": ["x"]}, "solution is no text"),
    ],
)
def test_a_bad_row_is_named_with_its_line_and_what_is_allowed(tmp_path: Path, row: object, words: str) -> None:
    path = written(tmp_path / "s.jsonl", [{"task_id": 0, "completion": "x"}, row])
    error = refused(path)
    (problem,) = error.problems
    assert (problem.where, problem.line) == (str(path), 2)
    assert words in str(problem)
    assert problem.allowed or "object" in problem.message


def test_a_torn_last_line_is_refused_and_not_dropped(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_bytes(b'{"task_id": "0", "completion": "x"}\n{"task_id": "1", "compl')
    assert "s.jsonl:2: not JSON" in str(refused(path))


def test_the_first_twenty_problems_are_listed_and_the_rest_counted(tmp_path: Path) -> None:
    error = refused(written(tmp_path / "s.jsonl", [{"task_id": f"x{number}"} for number in range(57)]))
    assert [problem.line for problem in error.problems[:20]] == list(range(1, 21))
    assert len(error.problems) == 21
    assert "and 37 more rows" in error.problems[20].message


@pytest.mark.parametrize("content", [b"", b"\n\n", gzip.compress(b"x" * 100)[:-20]])
def test_a_file_without_a_sample_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / ("s.jsonl.gz" if content[:2] == b"\x1f\x8b" else "s.jsonl")
    path.write_bytes(content)
    assert str(path) in str(refused(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "no-such.jsonl: No such file" in str(refused(tmp_path / "no-such.jsonl"))


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = written(tmp_path / "s.jsonl.gz", [b'{"task_id": "0", "completion": "' + b" " * (40 << 20) + b'"}'])
    assert path.stat().st_size < 1 << 20
    assert "s.jsonl.gz:1: the line is longer than 16 MiB" in str(refused(path))


@pytest.mark.parametrize("new", [b'{"task_id": "0", "completion": "y"}\n', b"broken\n", None])
def test_a_file_that_changes_in_between_is_refused(tmp_path: Path, new: bytes | None) -> None:
    path = written(tmp_path / "s.jsonl", [{"task_id": "0", "completion": "x"}])
    found = read(path, HUMANEVAL)
    path.write_bytes(new) if new else path.unlink()
    with pytest.raises(ConfigError, match="changed while it was read"):
        list(found)


def folder(path: Path, **programs: str) -> Path:
    for name, text in programs.items():
        file = path / name.replace("__", "/").replace("-py", ".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return path


def test_a_folder_of_programs_is_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    folder(tmp_path / "s", **{f"HumanEval_{n}__{m}-py": f"# {n}.{m}" for n in (10, 9) for m in (10, 2)})
    found = read(tmp_path / "s", HUMANEVAL)
    assert [(item.sample, item.text) for item in found] == [
        ("HumanEval/9", "# 9.2"),
        ("HumanEval/9", "# 9.10"),
        ("HumanEval/10", "# 10.2"),
        ("HumanEval/10", "# 10.10"),
    ]
    assert {item.form for item in found} == {"program"}


def test_a_link_in_a_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("key")
    folder(tmp_path / "s", **{"HumanEval_0__0-py": "x = 1"})
    (tmp_path / "s" / "HumanEval_0" / "1.py").symlink_to(tmp_path / "secret")
    error = refused(tmp_path / "s")
    assert "HumanEval_0/1.py: not a plain file" in str(error)


def read_all(path: Path, ids: Iterable[str]) -> Samples:
    found = read(path, ids)
    assert sum(1 for _ in found) == len(found)
    return found


@pytest.mark.data
@pytest.mark.parametrize(
    ("file", "ids", "count", "problems"),
    [
        ("codet-codegen16b/labelled.jsonl.gz", HUMANEVAL, 6170, 110),
        ("poe-humaneval/qwen2.5-coder_7b.jsonl", HUMANEVAL, 164, 164),
        ("llmdebugger/humaneval_seed_starcoder.jsonl.gz", HUMANEVAL, 164, 164),
        ("llmdebugger/mbpp_seed_starcoder.jsonl.gz", [f"Mbpp/{number}" for number in range(11, 511)], 500, 500),
    ],
)
def test_real_files(data: Path, file: str, ids: list[str], count: int, problems: int) -> None:
    found = read_all(data / "model-samples" / file, ids)
    assert (len(found), len(found.counts)) == (count, problems)
