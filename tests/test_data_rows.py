import csv
import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.data import rows as module
from assay.data.rows import BrokenFileError, rows
from assay.data.sources import Skip

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=5,
)
ROW = st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1), JSON, max_size=4)


def read(tmp_path, data, format="jsonl", name="rows"):
    path = tmp_path / f"{name}.{format}"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return list(rows(path, format))


@given(st.lists(ROW, max_size=5))
def test_json_lines_come_back_as_written(tmp_path_factory, items):
    folder = tmp_path_factory.mktemp("rows")
    lines = "\n".join(json.dumps(item) for item in items)
    assert [row for _, row in read(folder, lines)] == items


@given(st.binary(max_size=200))
def test_any_bytes_give_rows_or_reasons(tmp_path_factory, data):
    for _, row in read(tmp_path_factory.mktemp("rows"), data):
        assert isinstance(row, dict | Skip)


def test_a_mark_at_the_start_blank_lines_and_no_newline_at_the_end_are_fine(tmp_path):
    assert read(tmp_path, b'\xef\xbb\xbf{"a":1}\r\n\n{"a":2}') == [(1, {"a": 1}), (3, {"a": 2})]


@pytest.mark.parametrize(
    "line", [b"{", b"[1]", b'"x"', b'{"a": NaN}', b'{"a": "\xff"}', b'{"a":' * 5000 + b"1" + b"}" * 5000]
)
def test_one_bad_line_does_not_hide_the_next(tmp_path, line):
    found = read(tmp_path, line + b'\n{"a": 1}')
    assert isinstance(found[0][1], Skip) and found[1] == (2, {"a": 1})


def test_a_line_over_the_limit_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_LINE", 100)
    long = b'{"a":"' + b"x" * 1000 + b'"}'
    first, second = read(tmp_path, long + b'\n{"a": 1}\n')
    assert "longer" in first[1].reason and second == (2, {"a": 1})


def test_a_gzip_bomb_ends_at_the_size_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_FILE", 1 << 20)
    bomb = gzip.compress(b'{"a": "' + b"0" * 1000 + b'"}\n' * 1) * 5000
    with pytest.raises(BrokenFileError, match="larger"):
        read(tmp_path, bomb, "jsonl.gz")


def test_a_gzip_bomb_of_one_line_ends_at_the_size_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_FILE", 1 << 20)
    monkeypatch.setattr(module, "MAX_LINE", 1 << 10)
    with pytest.raises(BrokenFileError, match="larger"):
        read(tmp_path, gzip.compress(b"0" * (4 << 20)), "jsonl.gz")


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-9], lambda data: b"no" + data, lambda data: data[:40] + b"x" * 40]
)
def test_a_damaged_gzip_stream_is_broken(tmp_path, damage):
    data = gzip.compress(b"".join(b'{"a": %d}\n' % number for number in range(1000)))
    with pytest.raises(BrokenFileError):
        read(tmp_path, damage(data), "jsonl.gz")


def test_gzip_lines(tmp_path):
    assert read(tmp_path, gzip.compress(b'{"a": 1}\n{"a": 2}'), "jsonl.gz") == [(1, {"a": 1}), (2, {"a": 2})]


def test_a_json_file_holds_a_list_of_objects(tmp_path):
    assert read(tmp_path, '[{"a": 1}, 2]', "json") == [
        (1, {"a": 1}),
        (2, Skip("expected an object, found a number")),
    ]
    for bad in ('{"a": 1}', "[1", ""):
        with pytest.raises(BrokenFileError):
            read(tmp_path, bad, "json")


@given(
    st.lists(
        st.tuples(st.text(st.characters(codec="utf-8", exclude_characters="\0\r")), st.text('ab,"\n')),
        min_size=1,
        max_size=4,
    )
)
def test_csv_comes_back_as_written(tmp_path_factory, items):
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("one", "two"), *items])
    assert [row for _, row in rows(path, "csv")] == [{"one": a, "two": b} for a, b in items]


def test_csv_rows_know_their_line(tmp_path):
    found = read(tmp_path, 'a,b\n"x\ny",1\nonly\n"p",2\n', "csv")
    assert found == [
        (2, {"a": "x\ny", "b": "1"}),
        (4, Skip("1 values for 2 columns")),
        (5, {"a": "p", "b": "2"}),
    ]


@pytest.mark.parametrize("text", ['a,b\n"open,1\n', "a,a\n1,2\n", b"a\n\xff\n"])
def test_csv_that_cannot_be_read_is_broken(tmp_path, text):
    with pytest.raises(BrokenFileError):
        read(tmp_path, text, "csv")


def test_parquet_and_names_that_look_like_patterns(tmp_path):
    import duckdb

    path = tmp_path / "odd[1]*.parquet"
    plain = tmp_path / "plain.parquet"
    duckdb.sql(f"COPY (SELECT i AS a, ['x','y'] AS b FROM range(2500) t(i)) TO '{plain}' (FORMAT parquet)")
    plain.rename(path)
    found = list(rows(path, "parquet"))
    assert len(found) == 2500 and found[0] == (1, {"a": 0, "b": ["x", "y"]}) and found[-1][0] == 2500


def test_what_is_not_parquet_is_broken(tmp_path):
    with pytest.raises(BrokenFileError, match="Parquet"):
        read(tmp_path, b"PAR1 not really", "parquet")
