"""What judges hand in: every refusal by row and with nothing applied, partial files, corrections, checks."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

import assay
from assay import judged
from assay.errors import ConfigError
from assay.judging.checks import Tolerance
from support.judging import RUBRIC, export, fill, fill_json, judgements, rows_of, run, usual
from support.stub import Stub


class Given:
    """A run of six candidates, handed out with both anchors."""

    def __init__(self, folder: Path, stub: Stub) -> None:
        self.folder = folder
        self.run = run(folder, stub, 6)
        self.queue = export(self.run, folder / "q.csv", anchors=True)
        self.rows = rows_of(folder / "q.csv")

    def ids(self, kind: str) -> list[str]:
        return [item.id for item in self.queue.items if item.kind == kind]

    def apply(self, said=usual, judge: str = "ada", **more):
        file = fill(self.folder / "q.csv", self.folder / "a.csv", said)
        return judged.apply(file, judge, [self.run.path], **more)

    def refused(self, said, **more) -> list[str]:
        """The problems of a file that is refused, and with which nothing happens."""
        before = judgements(self.run)
        with pytest.raises(ConfigError) as caught:
            self.apply(said, **more)
        assert caught.value.exit_code == 2
        assert judgements(self.run) == before
        assert self.run.verify() == []
        return [str(problem) for problem in caught.value.problems]


@pytest.fixture
def given(tmp_path: Path, stub: Stub) -> Given:
    return Given(tmp_path, stub)


def good(row):
    """What the rubric says of its examples, and of everything else the same."""
    return {"fit": 1, "ease": 0} if row["text"] == "Perhaps." else {"fit": 3, "ease": 1}


def test_a_complete_file_becomes_judgements_that_say_who_when_and_by_which_rubric(given: Given):
    batch = given.apply(good)
    assert (batch.count("candidate"), batch.count("anchor"), batch.checks.marked) == (6, 2, [])
    header, *lines = judgements(given.run)
    assert header["judge"] == {"name": "ada", "kind": "person"}
    assert header["rubric"] == {"id": "fit", "version": 1, "digest": RUBRIC.digest}
    attempts = {entry.attempt["attempt"] for entry in given.run}
    assert {line["attempt"] for line in lines if line["kind"] == "candidate"} == attempts
    assert all(line["rubric"] == RUBRIC.digest and line["judge"] == "ada" and line["at"] for line in lines)
    assert given.run.verify() == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "c00000000000"}, "unknown id"),
        ({"id": ""}, "the id is missing"),
        ({"fit": ""}, "not filled in: fit"),
        ({"fit": "4"}, "fit: 4 is off the scale"),
        ({"ease": "-0.1"}, "ease: -0.1 is off the scale"),
        ({"fit": "2.5"}, "fit: 2.5 is not a whole number"),
        ({"fit": "good"}, "fit: 'good' is not a number"),
        ({"fit": "nan"}, "fit: 'nan' is not a number"),
        ({"fit": "1e1"}, "fit: '1e1' is not a number"),
        ({"text": "A better answer."}, "the candidate was edited"),
        ({"input": "Another question?"}, "the candidate was edited"),
        ({"digest": "d0000000000000000"}, "the candidate was edited"),
        ({"comment": "my key is ghp_" + "a1B2c3D4e5" * 4}, "secret"),
    ],
)
def test_a_wrong_row_is_named_and_nothing_is_applied(given: Given, change, message):
    wrong = given.ids("candidate")[2]
    number = [row["id"] for row in given.rows].index(wrong) + 1
    found = given.refused(lambda row: good(row) | (change if row["id"] == wrong else {}))
    assert any(f"row {number}" in problem and message in problem for problem in found), found


def test_every_wrong_row_is_listed(given: Given):
    found = given.refused(lambda row: {"fit": 9, "ease": ""})
    assert len(found) == 16


def test_a_row_given_twice_is_refused(given: Given):
    one, two = given.ids("candidate")[:2]
    found = given.refused(lambda row: good(row) | ({"id": one} if row["id"] == two else {}))
    assert any("already" in problem for problem in found)


def test_a_row_left_out_is_refused(given: Given):
    gone = given.ids("candidate")[0]
    found = given.refused(lambda row: None if row["id"] == gone else good(row))
    assert found == [f"{given.folder / 'a.csv'}: {gone}: the row is not in the file"]


@pytest.mark.parametrize("partial", [False, True])
def test_another_rubric_is_refused(given: Given, partial: bool):
    found = given.refused(lambda row: good(row) | {"rubric": "fit-v1@" + "0" * 64}, partial=partial)
    assert "judged by the rubric 0000000000000000" in found[0]


def test_an_unknown_export_is_refused(given: Given):
    assert "no run here" in given.refused(lambda row: good(row) | {"export": "x000000000000"})[0]
    assert "no run here" in given.refused(lambda row: good(row) | {"export": "../../plan"})[0]


def test_what_this_judge_has_judged_is_refused_and_another_judge_is_not(given: Given):
    given.apply(good)
    found = given.refused(good)
    assert len(found) == 8
    assert all("already judged by ada in 0000.jsonl:" in problem for problem in found)
    given.apply(good, judge="bob")
    assert [one["judge"] for one in judged.status(given.run.path)[0]["judges"]] == ["ada", "bob"]


def test_an_attempt_made_again_since_the_export_is_refused(tmp_path: Path, stub: Stub):
    made = run(tmp_path, stub, 3)
    export(made, tmp_path / "q.csv")
    path = made.path / "attempts" / "0000.jsonl"
    (made.path / "manifest.json").unlink()
    again = orjson.loads(path.read_bytes().splitlines()[0]) | {"revision": 1}
    path.write_bytes(path.read_bytes() + orjson.dumps(again, option=orjson.OPT_SORT_KEYS) + b"\n")
    with pytest.raises(ConfigError, match="made again since the export"):
        judged.apply(fill(tmp_path / "q.csv", tmp_path / "a.csv"), "ada", [made.path])


def test_partial_takes_the_complete_rows_and_says_which_remain(given: Given):
    done = set(given.ids("candidate")[:2])
    gone = given.ids("candidate")[3]

    def said(row):
        if row["id"] == gone:
            return None
        return good(row) if row["id"] in done else {"fit": 2, "ease": ""}

    batch = given.apply(said, partial=True)
    assert batch.count("candidate") == 2
    assert sorted(batch.remaining) == sorted({row["id"] for row in given.rows} - done)
    assert judged.status(given.run.path)[0]["pending"] == 4
    rest = given.apply(lambda row: None if row["id"] in done else good(row))
    assert (rest.count("candidate"), rest.remaining) == (4, [])


def test_partial_forgives_nothing_but_what_is_missing(given: Given):
    wrong = given.ids("candidate")[0]
    found = given.refused(
        lambda row: {"fit": 7, "ease": 1} if row["id"] == wrong else {"fit": "", "ease": ""}, partial=True
    )
    assert len(found) == 1 and "off the scale" in found[0]


def test_a_correction_is_a_new_line_that_names_the_old_one(given: Given):
    given.apply(good)
    first = judgements(given.run)
    changed = given.ids("candidate")[0]
    batch = given.apply(lambda row: {"fit": 2, "ease": 1} if row["id"] == changed else good(row), correct=True)
    assert (batch.to_json()["corrections"], batch.unchanged) == (1, 7)
    lines = judgements(given.run)
    assert lines[: len(first)] == first
    (old,) = [line for line in first if line.get("item") == changed]
    assert lines[-1]["corrects"] == old["id"] and lines[-1]["scores"]["fit"] == 2
    last = given.apply(good, correct=True)
    assert judgements(given.run)[-1]["corrects"] == lines[-1]["id"]
    assert last.to_json()["applied"] == 1
    assert judged.status(given.run.path)[0]["corrections"] == 2


def test_an_anchor_scored_wrong_marks_the_batch(given: Given):
    batch = given.apply(lambda row: {"fit": 3, "ease": 1})
    assert batch.checks.marked == ["anchor 2: fit is 3, calibrated as 1", "anchor 2: ease is 1, calibrated as 0"]
    assert judgements(given.run)[0]["checks"]["marked"] == batch.checks.marked
    assert judged.status(given.run.path)[0]["judges"][0]["marked"] == batch.checks.marked
    lenient = given.apply(lambda row: {"fit": 3, "ease": 1}, judge="bob", tolerance=Tolerance(anchor=1.0))
    assert lenient.checks.marked == []


def test_a_repeat_that_drifts_marks_the_batch_also_across_files(tmp_path: Path, stub: Stub):
    made = run(tmp_path, stub, 10)
    queue = export(made, tmp_path / "q.csv", repeat=0.2)
    drifted, steady = [item for item in queue.items if item.kind == "repeat"]
    said = {drifted.id: {"fit": 3, "ease": 1}, drifted.of: {"fit": 1, "ease": 1}}
    file = fill(tmp_path / "q.csv", tmp_path / "a.csv", lambda row: said.get(row["id"], {"fit": 1, "ease": 1}))
    batch = judged.apply(file, "ada", [made.path])
    assert batch.checks.marked == [f"repeat of {drifted.of}: fit is 3, was 1"]
    assert batch.checks.to_json()["repeats"]["dimensions"]["fit"] == {"exact": 0.5, "distance": 1.0}
    first = fill(tmp_path / "q.csv", tmp_path / "b.csv", lambda row: None if row["id"] == drifted.id else usual(row))
    assert judged.apply(first, "bob", [made.path], partial=True).checks.marked == []
    second = fill(tmp_path / "q.csv", tmp_path / "c.csv", lambda row: {"fit": 2, "ease": 0.9} if row["id"] == drifted.id
                  else None)  # fmt: skip
    assert judged.apply(second, "bob", [made.path]).checks.marked == [f"repeat of {drifted.of}: ease is 0.9, was 0.5"]
    assert steady.of != drifted.of


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the column 'id' is missing"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"id,input,text,digest,export,rubric\n", "holds no row"),
        (b"id,input,text,digest,export,rubric\na,b\n", "has 2 columns"),
        (b"id,id,input,text,digest,export,rubric\n", "twice"),
        (b'id,input,text,digest,export,rubric\n"a', "not CSV"),
        (b"id,input,text,digest,export,rubric\na,b,c,d,e,f\na,b,c,d,g,f\n", "more than one export"),
    ],
)
def test_what_is_no_such_csv_is_refused(tmp_path: Path, content: bytes, message: str):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        judged.apply(tmp_path / "a.csv", "ada")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("[]", "not a file of answers"),
        ('{"schema": "assay.judging_sheet.v1", "rows": []}', "names no export"),
        ('{"schema": "assay.judging_sheet.v1", "rows": [], "row": 1}', "unknown key 'row'"),
        ('{"schema": "assay.judging_sheet.v1", "export": "x", "rubric": {"digest": "y"}, "rows": [3]}', "an object"),
        (
            '{"schema": "assay.judging_sheet.v1", "export": "x", "rubric": {"digest": "y"}, "rows": [{"score": {}}]}',
            "unknown key 'score'",
        ),
        (
            '{"schema": "assay.judging_sheet.v1", "export": "x", "rubric": {"digest": "y"}, "rows": [{"id": 3}]}',
            "a row has texts",
        ),
    ],
)
def test_what_is_no_such_json_is_refused(tmp_path: Path, content: str, message: str):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(ConfigError, match=message):
        judged.apply(tmp_path / "a.json", "ada")


@pytest.mark.parametrize("name", ["missing.csv", "q.html"])
def test_other_files_are_refused(tmp_path: Path, name: str):
    (tmp_path / "q.html").write_text("<html>")
    with pytest.raises(ConfigError, match=r"no such file|ending in \.csv or \.json"):
        judged.apply(tmp_path / name, "ada")


@pytest.mark.parametrize("value", [True, "3", [3], 4, 2.5, 1e300])
def test_json_scores_are_numbers_on_the_scale(tmp_path: Path, stub: Stub, value):
    made = run(tmp_path, stub, 3)
    export(made, tmp_path / "q.json")
    fill_json(tmp_path / "q.json", tmp_path / "a.json", lambda row: {"fit": value, "ease": 1})
    with pytest.raises(ConfigError) as caught:
        judged.apply(tmp_path / "a.json", "ada", [made.path])
    assert len(caught.value.problems) == 3


def test_an_unknown_dimension_is_refused(tmp_path: Path, stub: Stub):
    made = run(tmp_path, stub, 3)
    export(made, tmp_path / "q.json")
    fill_json(tmp_path / "q.json", tmp_path / "a.json", lambda row: {"fit": 3, "ease": 1, "right": 1})
    with pytest.raises(ConfigError, match="unknown dimension 'right'"):
        judged.apply(tmp_path / "a.json", "ada", [made.path])


def test_runs_are_found_where_they_are_by_default(tmp_path: Path, stub: Stub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    made: assay.Run = run(tmp_path / "runs", stub, 3)
    export(made, tmp_path / "q.csv")
    assert judged.apply(fill(tmp_path / "q.csv", tmp_path / "a.csv"), "ada").count("candidate") == 3
