import csv
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import ConfigError
from assay.spec.schema import FieldsSpec
from assay.tasks import find, load


def write(tmp_path, rows, name="own.jsonl"):
    path = tmp_path / name
    if name.endswith(".csv"):
        with path.open("w", newline="") as file:
            csv.writer(file).writerows(rows)
    elif name.endswith(".json"):
        path.write_text(json.dumps(rows))
    else:
        path.write_text("\n".join(json.dumps(row) for row in rows))
    return f"file:{path}"


def only(tmp_path, row, name="own.jsonl", **fields):
    return load(write(tmp_path, [row] if isinstance(row, dict) else row, name), FieldsSpec(**fields))[1][0]


def problems(tmp_path, rows, name="own.jsonl", **fields):
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, rows, name), FieldsSpec(**fields))
    return caught.value.problems


def test_without_a_mapping_the_usual_columns_are_taken(tmp_path):
    task, samples = load(write(tmp_path, [{"id": "a", "input": "Capital of France?", "target": "Paris", "x": 1}]))
    assert (task.kind, task.prompt, task.scorers[0]) == ("generate", "text", "normalized_exact_match")
    assert (samples[0].id, samples[0].input, samples[0].target) == ("a", "Capital of France?", "Paris")


def test_without_a_target_only_what_needs_none_is_offered(tmp_path):
    task = find(write(tmp_path, [{"input": "Write a poem."}]))
    assert task.scorers == ("regex", "json_schema")


def test_a_mapping_names_the_columns(tmp_path):
    sample = only(tmp_path, {"q": "2+2?", "a": 4, "ctx": {"n": [1]}}, input="q", target="a", extra=("ctx",))
    assert (sample.id, sample.target, sample.fields) == ("0", "4", {"ctx": {"n": [1]}})


@pytest.mark.parametrize("answer", [1, "1", "B", "b", "blue", ["blue"], [1]])
def test_an_answer_may_be_an_index_a_letter_or_the_text(tmp_path, answer):
    row = {"input": "Sky?", "c": ["red", "blue"], "gold": answer}
    sample = only(tmp_path, row, choices="c", answer="gold")
    assert (sample.choices, sample.gold, sample.target) == (("red", "blue"), (1,), "blue")


@pytest.mark.parametrize("answer", [2, -1, "C", "green", "", None, True, 1.0, {}])
def test_an_answer_that_is_no_choice_is_refused(tmp_path, answer):
    (problem,) = problems(tmp_path, [{"input": "?", "c": ["r", "b"], "g": answer}], choices="c", answer="g")
    assert problem.line == 1 and problem.key == "fields.answer" and "letter" in problem.allowed


def test_an_answer_that_could_be_two_choices_is_refused(tmp_path):
    (problem,) = problems(
        tmp_path,
        [{"input": "1+1?", "c": [3, 4, 2], "g": "2"}, {"input": "1+1?", "c": [2, 3, 4], "g": "2"}],
        choices="c",
        answer="g",
    )
    assert problem.line == 2 and "could be two" in problem.message


@given(st.lists(st.text(min_size=1).filter(str.strip), min_size=2, max_size=6, unique=True), st.data())
def test_a_letter_always_finds_its_choice_unless_it_is_refused(choices, data):
    from assay.tasks.file import _parser

    gold = data.draw(st.integers(0, len(choices) - 1))
    parse = _parser(FieldsSpec(choices="c", answer="g"))
    sample = parse({"input": "?", "c": choices, "g": "ABCDEF"[gold]}, 0)
    assert getattr(sample, "gold", None) == (gold,) or "could be two" in sample.reason


def test_several_right_choices(tmp_path):
    sample = only(tmp_path, {"input": "?", "c": ["a1", "b1", "c1"], "g": ["A", 2]}, choices="c", answer="g")
    assert sample.gold == (0, 2)


def test_choices_in_columns_of_a_csv_file(tmp_path):
    rows = [("input", "one", "two", "right"), ("Sky?", "red", "blue", "B")]
    task, samples = load(write(tmp_path, rows, "own.csv"), FieldsSpec(choices=("one", "two"), answer="right"))
    assert (task.kind, task.prompt, task.scorers[0]) == ("choice", "choice", "multiple_choice")
    assert samples[0].choices == ("red", "blue") and samples[0].gold == (1,)


@pytest.mark.parametrize("cell", ['["red", "blue"]', "A. red\nB. blue"])
def test_choices_in_one_cell_of_a_csv_file(tmp_path, cell):
    rows = [("input", "c", "g"), ("Sky?", cell, "blue")]
    assert only(tmp_path, rows, "own.csv", choices="c", answer="g").choices == ("red", "blue")


def test_a_json_file(tmp_path):
    assert only(tmp_path, [{"input": "?", "t": "x"}], "own.json", target="t").target == "x"


def test_a_parquet_file_with_lists_dates_and_numbers(tmp_path):
    import duckdb

    path = tmp_path / "own.parquet"
    select = "SELECT 'Sky?' AS input, ['red','blue'] AS c, 1 AS g, DATE '2024-01-02' AS d, 1.50::DECIMAL(4,2) AS n"
    duckdb.sql(f"COPY ({select}) TO '{path}' (FORMAT parquet)")
    sample = load(f"file:{path}", FieldsSpec(choices="c", answer="g", extra=("d", "n")))[1][0]
    assert sample.gold == (1,) and sample.fields == {"d": "2024-01-02", "n": "1.50"}


def test_every_row_s_fault_is_reported_with_line_key_and_nearest_column(tmp_path):
    rows = [
        {"question": "?", "a": "x"},
        {"quesstion": "?", "a": "x"},
        {"question": " ", "a": "x"},
        {"question": 1, "a": None},
    ]
    found = problems(tmp_path, rows, input="question", target="a")
    assert [(problem.line, problem.key) for problem in found] == [
        (2, "fields.input"),
        (3, "fields.input"),
        (4, "fields.target"),
    ]
    assert found[0].nearest == "quesstion" and "quesstion" in found[0].allowed


def test_the_same_fault_in_every_row_is_told_once(tmp_path):
    (problem,) = problems(tmp_path, [{"text": "?"}] * 30)
    assert "no column 'input' (and 29 more rows" in problem.message


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"choices": "c"}, "fields.answer"),
        ({"answer": "g"}, "fields.choices"),
        ({"choices": ("c",), "answer": "g"}, "fields.choices"),
    ],
)
def test_a_mapping_that_cannot_be_meant_is_refused_before_reading(tmp_path, fields, key):
    assert problems(tmp_path, [{"input": "?"}], **fields)[0].key == key


def test_repeated_ids_name_both_lines(tmp_path):
    (problem,) = problems(tmp_path, [{"id": "a", "input": "x"}, {"id": "a", "input": "y"}], id="id")
    assert problem.line == 2 and "line 1" in problem.message


@pytest.mark.parametrize("name", ["own.txt", "own", "own.xlsx"])
def test_an_unknown_ending_lists_the_known_ones(tmp_path, name):
    with pytest.raises(ConfigError, match=r"\.parquet"):
        find(f"file:{tmp_path / name}")


def test_a_missing_or_broken_file_names_itself(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.jsonl: No such file"):
        find(f"file:{tmp_path}/none.jsonl")
    (tmp_path / "broken.json").write_text("[1,")
    with pytest.raises(ConfigError, match=r"broken\.json:1: not JSON"):
        find(f"file:{tmp_path}/broken.json")
    with pytest.raises(ConfigError, match="no such file"):
        load(f"file:{tmp_path}/none.jsonl", FieldsSpec())


def test_another_mapping_of_the_same_file_is_another_data_set(tmp_path):
    name = write(tmp_path, [{"a": "one", "b": "two"}])
    first, second = load(name, FieldsSpec(input="a"))[1], load(name, FieldsSpec(input="b"))[1]
    assert first.digest != second.digest and second[0].input == "two"


def test_an_edited_file_is_read_again(tmp_path):
    name = write(tmp_path, [{"input": "one"}])
    first = load(name)[1]
    write(tmp_path, [{"input": "two"}])
    assert load(name)[1].digest != first.digest
