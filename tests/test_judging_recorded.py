"""Recorded ratings: read strictly by line, verdicts merged over orders, numbers as runs have them."""

from __future__ import annotations

from pathlib import Path

import krippendorff
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score, precision_recall_fscore_support

from assay.cli.main import run as cli
from assay.errors import ConfigError
from assay.judging.agreement import Settings
from assay.judging.recorded import Rating, Recorded, read
from assay.judging.recorded_agreement import agreement

HEAD = "unit,rater,kind,dimension,value,order,cluster\n"


def told(capsys: pytest.CaptureFixture[str], path: Path, *more: str):
    capsys.readouterr()
    code = cli(["judge", "agreement", "--ratings", str(path), *more, "--json"])
    return code, orjson.loads(capsys.readouterr().out)


def test_numbers_in_json_lines(tmp_path: Path, capsys):
    people, own = [1, 2, 3, 3, 5, 4, 2, 1], [1, 2, 3, 4, 5, 4, 1, 1]
    rows = [
        {"unit": number, "rater": rater, "kind": kind, "dimension": "tone", "value": value}
        for rater, kind, values in (("ada", "person", people), ("auto", "model", own))
        for number, value in enumerate(values)
    ]
    path = tmp_path / "r.jsonl"
    path.write_text("\n".join(orjson.dumps(row).decode() for row in rows))
    code, found = told(capsys, path, "--judge", "auto")
    tone = found["judges"][0]["dimensions"]["tone"]
    assert (code, tone["units"]) == (0, 8)
    assert tone["kappa"]["value"] == pytest.approx(cohen_kappa_score(people, own, weights="quadratic"))
    alpha = krippendorff.alpha([people, own], level_of_measurement="ordinal")
    assert tone["alpha"]["value"] == pytest.approx(alpha)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("u1,ada,person,tone,2", "rates u1 a second time"),
        ("u2,ada,model,tone,2", "ada is a person in an earlier line"),
        ("u2,bob,oracle,tone,2", "the kind is 'oracle'"),
        ("u2,bob,person,tone,nan", "the value is 'nan'"),
        ("u2,bob,person,tone,1e999", "the value is '1e999'"),
        ("u2,bob,person,tone,good", "the value is 'good'"),
        ("u2,bob,person,tone,tie", "tone has numbers and verdicts"),
        ("u2,bob,person,tone,2,ab", "an order is of verdicts"),
        ("u2,bob,person,better,a,12", "the order is '12'"),
        ("u2,bob,person,tone,2,,c,9", "more values than columns"),
        (",bob,person,tone,2", "unit is missing"),
        ("u1,bob,person,tone,2,,c", "u1 is of another cluster"),
        ('u2,"bob', "not CSV"),
    ],
)
def test_a_wrong_row_is_named_by_its_line(tmp_path: Path, capsys, row: str, message: str):
    path = tmp_path / "r.csv"
    path.write_text(HEAD + "u1,ada,person,tone,1\n" + row + "\n")
    code, found = told(capsys, path)
    (problem,) = found["problems"]
    assert (code, problem["where"], problem["line"]) == (2, str(path), 3)
    assert message in problem["message"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("r.csv", HEAD, "holds no ratings"),
        ("r.csv", "unit,rater,kind,dimension,score\nu,a,person,t,1\n", "unknown column 'score'"),
        ("r.csv", "unit,rater,kind,dimension\nu,a,person,t\n", "value is missing"),
        ("r.txt", "", "the ending tells the format"),
        ("r.jsonl", "{}\n[1]\n", "is missing or no text"),
        ("r.jsonl", "{", "not JSON"),
        ("r.jsonl", '{"unit": true}', "is missing or no text"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, capsys, name: str, content: str, message: str):
    path = tmp_path / name
    path.write_text(content)
    code, found = told(capsys, path)
    assert (code, message in found["message"]) == (2, True), found


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path, capsys):
    assert told(capsys, tmp_path / "none.csv")[0] == 2
    (tmp_path / "r.csv").write_bytes(b"\xff\xfe\x00")
    assert "not UTF-8" in told(capsys, tmp_path / "r.csv")[1]["message"]


def test_clusters_are_counted(tmp_path: Path, capsys):
    path = tmp_path / "r.csv"
    rows = [
        f"u{n},{who},{kind},tone,{1 + (n + x) % 3},,c{n // 2}" for x, (who, kind) in enumerate(PAIR) for n in range(12)
    ]
    path.write_text(HEAD + "\n".join(rows) + "\n")
    kappa = told(capsys, path, "--judge", "auto")[1]["judges"][0]["dimensions"]["tone"]["kappa"]
    assert (kappa["n"], kappa["clusters"]) == (12, 6)


PAIR = (("ada", "person"), ("auto", "model"))
WORD = st.sampled_from(["a", "b", "tie", None])


@given(st.lists(st.tuples(WORD, WORD, WORD, WORD), min_size=1, max_size=30))
def test_verdicts_are_merged_over_orders_and_nothing_is_lost(rows):
    """Two people without an order, a judge with both."""
    ratings = []
    for number, (ada, bob, one, other) in enumerate(rows):
        for rater, kind, value, order in (
            ("ada", "person", ada, ""), ("bob", "person", bob, ""),
            ("auto", "model", one, "ab"), ("auto", "model", other, "ba"),
        ):  # fmt: skip
            ratings.append(Rating(f"u{number}", rater, kind, "better", value, order))
    found = agreement(Recorded(Path("r.csv"), "0", tuple(ratings)), "auto", Settings(resamples=100))
    better = found["dimensions"]["better"]
    people = [ada if bob in (None, ada) else bob if ada is None else None for ada, bob, _, _ in rows]
    own = [one if other in (None, one) else other if one is None else "tie" for _, _, one, other in rows]
    shared = [(said, word) for said, word in zip(people, own, strict=True) if said and word]
    assert better["units"] == len(shared)
    split = sum(bool(ada and bob and ada != bob) for ada, bob, _, _ in rows)
    assert better["excluded"].get("no_majority", 0) == split
    both = [(one, other) for _, _, one, other in rows if one and other]
    inconsistent = better["order"]["inconsistent"]
    assert (inconsistent["count"], inconsistent["n"]) == (sum(one != other for one, other in both), len(both))
    if shared:
        said, given_ = zip(*shared, strict=True)
        macro = precision_recall_fscore_support(said, given_, average="macro", zero_division=0)[:3]
        assert [better["macro"][part] for part in ("precision", "recall", "f1")] == pytest.approx(list(macro))


@given(st.binary(max_size=200), st.sampled_from(["r.csv", "r.jsonl"]))
def test_any_bytes_are_ratings_or_a_clear_refusal(tmp_path_factory, data: bytes, name: str):
    path = tmp_path_factory.mktemp("bytes") / name
    path.write_bytes(data)
    try:
        assert read(path).ratings
    except ConfigError as error:
        assert all(str(path) in str(problem) for problem in error.problems)


@given(st.text(max_size=120), st.sampled_from(["r.csv", "r.jsonl"]))
def test_any_text_behind_a_head_too(tmp_path_factory, text: str, name: str):
    test_any_bytes = (
        HEAD if name.endswith("csv") else '{"unit": "u", "rater": "a", "kind": "person", "dimension": "d", '
    )
    path = tmp_path_factory.mktemp("text") / name
    path.write_text(test_any_bytes + text, encoding="utf-8", errors="replace")
    try:
        assert read(path).ratings
    except ConfigError as error:
        assert error.problems
