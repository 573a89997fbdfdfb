"""The files that judges fill in: any text survives them, and what spreadsheets do to them is understood."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import ConfigError
from assay.judging import page, sheet
from assay.judging.candidates import Candidate, content_digest
from assay.judging.queue import Options, Source, build
from support.judging import RUBRIC, rows_of

HOSTILE = [
    "=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "'quoted", "\ttab", "\r\nline", "a,b;c\td", 'say "so"', "",
    "</script><script>alert(1)</script>", "a\u2028b", "x\x00y", "1e5", "é\n\nü",
]  # fmt: skip
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.sampled_from(HOSTILE)


def queue(pairs, **options):
    candidates = [
        Candidate(number, f"a{number}", 0, 0, asked, text, "ref") for number, (asked, text) in enumerate(pairs)
    ]
    cells = [{"model": "m", "prompt": "p", "task": "t"}]
    (only,) = build([Source("f" * 64, cells, candidates, ["t"])], RUBRIC, Options(**options))
    return only


def same(answers, made):
    assert [row.id for row in answers.rows] == [item.id for item in made.items]
    for row, item in zip(answers.rows, made.items, strict=True):
        told = content_digest(row.texts["input"], row.texts["text"], row.texts.get("reference", ""))
        assert told == row.digest == item.row["digest"]
    assert (answers.export, answers.rubric) == (made.export, RUBRIC.digest)


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=5), st.sampled_from(["csv", "json"]), st.booleans())
def test_every_text_comes_back_as_it_was(tmp_path_factory, pairs, ending, reference):
    made = queue(pairs, reference=reference)
    path = tmp_path_factory.mktemp("sheet") / f"q.{ending}"
    sheet.write(path, made)
    same(sheet.read(path), made)


def test_no_cell_of_the_csv_is_a_formula(tmp_path: Path):
    sheet.write(tmp_path / "q.csv", queue([(text, text) for text in HOSTILE]))
    cells = [cell for row in rows_of(tmp_path / "q.csv") for cell in row.values()]
    assert [cell for cell in cells if cell[:1] in ("=", "+", "-", "@", "\t", "\r", "\n")] == []


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_what_a_spreadsheet_writes_is_understood(tmp_path: Path, delimiter: str):
    made = queue([("Asked\nin two lines?", "Yes;\r\nno, perhaps\ttwice"), ("b", "=2+3")])
    sheet.write(tmp_path / "q.csv", made)
    rows = rows_of(tmp_path / "q.csv")
    with (tmp_path / "a.csv").open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
        writer.writeheader()
        for row in rows:
            text = row["text"].replace("\r\n", "\n").removeprefix("'")
            writer.writerow({**row, "text": text, "fit": "2.0", "ease": " 0.5 "})
        file.write(delimiter * (len(rows[0]) - 1) + "\r\n")
    answers = sheet.read(tmp_path / "a.csv")
    same(answers, made)
    assert [dict(row.scores) for row in answers.rows] == [{"fit": 2, "ease": 0.5}] * 2


def test_ids_are_no_numbers_to_a_spreadsheet():
    made = queue([("a", str(number)) for number in range(200)])
    for item in made.items:
        for name in (item.id, item.row["digest"], made.export):
            assert name[0] in "cdx"


def test_problems_name_the_line_where_a_row_begins(tmp_path: Path):
    made = queue([("one\ntwo\nthree", "x"), ("four", "y"), ("five", "z")])
    sheet.write(tmp_path / "q.csv", made)
    text = (tmp_path / "q.csv").read_bytes().decode()
    for row in sheet.read(tmp_path / "q.csv").rows:
        assert text.split("\n")[(row.line or 0) - 1].startswith(row.id)


def test_a_file_without_its_columns_is_refused_with_the_nearest(tmp_path: Path):
    sheet.write(tmp_path / "q.csv", queue([("a", "b")]))
    (tmp_path / "a.csv").write_text((tmp_path / "q.csv").read_text().replace("digest", "digst", 1))
    with pytest.raises(ConfigError, match="did you mean 'digst'"):
        sheet.read(tmp_path / "a.csv")


def test_the_page_cannot_be_broken_out_of_and_asks_for_nothing(tmp_path: Path):
    page.write(tmp_path / "q.html", queue([(text, text) for text in HOSTILE], anchors=True))
    text = (tmp_path / "q.html").read_text()
    assert text.count("<script") == text.count("</script>") == 2
    assert "default-src &#x27;none&#x27;" in text and "unsafe" not in text
    assert "http://" not in text and "https://" not in text
