"""The file that a judge fills in, CSV or JSON, written and read back. What comes back is hostile until it is checked.

In CSV a text that a spreadsheet would run as a formula gets an apostrophe in front; read back, it goes again.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from assay.document import nearest
from assay.errors import ConfigError, Problem
from assay.files import digest, pretty, write_atomic
from assay.judging.queue import Queue

SCHEMA = "assay.judging_sheet.v1"
FORMATS = ("csv", "json", "html")
MOST_BYTES = 256 << 20

_SHOWN = ("model", "prompt", "task")
_TEXTS = ("input", "text", "reference", "comment", *_SHOWN)
_FORMULA = re.compile(r"[=+\-@\t\r\n']")
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,15}(?:\.[0-9]{0,15})?|\.[0-9]{1,15})")
_HEAD_KEYS = ("schema", "export", "rubric", "rows")


@dataclass(frozen=True, slots=True)
class Row:
    """One row as handed in. `scores` holds what is filled in and readable, `bad` what is wrong in the others."""

    number: int
    line: int | None
    id: str
    texts: Mapping[str, str]
    digest: str
    scores: Mapping[str, float]
    comment: str = ""
    bad: Mapping[str, str] = field(default_factory=dict)

    def problem(self, path: Path, message: str, **more: Any) -> Problem:
        """A Problem at this row."""
        name = f"row {self.number}" + (f" ({self.id})" if self.id else "")
        return Problem(message, where=str(path), line=self.line, key=name, **more)


@dataclass(frozen=True, slots=True)
class Answers:
    """A whole file as handed in: which export it fills in, under which rubric, which dimensions it has, its rows."""

    path: Path
    sha256: str
    size: int
    export: str
    rubric: str
    dimensions: tuple[str, ...]
    rows: Sequence[Row]


def format_of(path: Path) -> str:
    """The format that a file's name says. Raises ConfigError for another ending."""
    ending = path.suffix.removeprefix(".").lower()
    if ending not in FORMATS:
        raise ConfigError(Problem(f"{path} ends in none of them", "--out", allowed=", ".join(f".{f}" for f in FORMATS)))
    return ending


def document(queue: Queue) -> dict[str, Any]:
    """A queue as the JSON file and the page have it: nothing in it tells where a candidate comes from."""
    rubric = queue.rubric
    examples = [] if queue.options.anchors else [example.to_json() for example in rubric.examples]
    about = {
        "label": rubric.label,
        "digest": rubric.digest,
        "description": rubric.description,
        "guide": rubric.guide,
        "dimensions": [dimension.to_json() for dimension in rubric.judged],
        "examples": examples,
    }
    empty = dict.fromkeys((dimension.name for dimension in rubric.judged), None)
    rows = [{**item.row, "scores": empty, "comment": ""} for item in queue.items]
    return {"schema": SCHEMA, "export": queue.export, "rubric": about, "rows": rows}


def write(path: Path, queue: Queue) -> None:
    """Write a queue as CSV or JSON, whole or not at all."""
    if format_of(path) == "csv":
        write_atomic(path, _csv(queue).encode())
    else:
        write_atomic(path, pretty(document(queue)))


def _csv(queue: Queue) -> str:
    names = [dimension.name for dimension in queue.rubric.judged]
    first = queue.items[0].row
    shown = [name for name in (*_SHOWN, "input", "text", "reference") if name in first]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(["id", *shown, *names, "comment", "digest", "export", "rubric"])
    blank = [""] * (len(names) + 1)
    tail = [queue.export, f"{queue.rubric.label}@{queue.rubric.digest}"]
    for item in queue.items:
        texts = (_guarded(str(item.row[name])) for name in shown)
        writer.writerow([item.id, *texts, *blank, item.row["digest"], *tail])
    return out.getvalue()


def _guarded(text: str) -> str:
    return f"'{text}" if _FORMULA.match(text) else text


def read(path: Path) -> Answers:
    """The answers in a file, as handed in. Raises ConfigError where it is no such file at all."""
    data = _bytes(path)
    if path.suffix.lower() == ".csv":
        return _read_csv(path, data)
    if path.suffix.lower() == ".json":
        return _read_json(path, data)
    hint = "of the page, hand in the file that it saves" if path.suffix.lower() == ".html" else None
    raise ConfigError(Problem("not a file of answers", str(path), allowed="a name ending in .csv or .json"), hint=hint)


def _bytes(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise ConfigError(Problem("no such file", str(path)))
        if path.stat().st_size > MOST_BYTES:
            raise ConfigError(Problem("the file is too large", str(path), allowed=f"at most {MOST_BYTES:,} bytes"))
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(Problem(f"cannot be read: {error.strerror}", str(path))) from None


def _read_csv(path: Path, data: bytes) -> Answers:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(Problem("not UTF-8 text", str(path), line, allowed="CSV saved as UTF-8")) from None
    rows = _csv_rows(path, text)
    header = next(rows, (1, []))[1]
    names = _csv_columns(path, header)
    filled = [(line, dict(zip(header, cells, strict=True))) for line, cells in _of_width(path, rows, len(header))]
    marks = {(cells["export"].strip(), cells["rubric"].strip()) for _, cells in filled}
    if len(marks) != 1:
        message = "the file holds no row" if not marks else "the rows name more than one export or rubric"
        raise ConfigError(Problem(message, str(path), allowed="one export as it was written"))
    export, rubric = marks.pop()
    found = [_csv_row(number, line, cells, names) for number, (line, cells) in enumerate(filled, 1)]
    return Answers(path, digest(data), len(data), export, rubric.rpartition("@")[2], tuple(names), found)


def _csv_rows(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """(first line, cells) of every row that is not blank."""
    csv.field_size_limit(MOST_BYTES)
    head = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        for cells in reader:
            if any(cells):
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise ConfigError(Problem(f"not CSV: {error}", str(path), line)) from None


def _of_width(path: Path, rows: Iterator[tuple[int, list[str]]], width: int) -> Iterator[tuple[int, list[str]]]:
    for line, cells in rows:
        if len(cells) != width:
            raise ConfigError(Problem(f"has {len(cells)} columns, the first line has {width}", str(path), line))
        yield line, cells


def _csv_columns(path: Path, header: list[str]) -> list[str]:
    """The columns that are neither ids nor texts: the dimensions. Raises ConfigError where others are missing."""
    needed = ("id", "input", "text", "digest", "export", "rubric")
    if missing := [name for name in needed if name not in header]:
        message = f"the column {missing[0]!r} is missing"
        close = nearest(missing[0], header)
        raise ConfigError(Problem(message, str(path), 1, allowed="the file as it was exported", nearest=close))
    if len(set(header)) != len(header):
        raise ConfigError(Problem("a column is there twice", str(path), 1))
    return [name for name in header if name not in needed and name not in _TEXTS]


def _csv_row(number: int, line: int, cells: dict[str, str], names: list[str]) -> Row:
    texts = {name: cells[name].removeprefix("'") for name in _TEXTS if name in cells}
    comment = texts.pop("comment", "").strip()
    scores: dict[str, float] = {}
    bad: dict[str, str] = {}
    for name in names:
        said = cells[name].strip()
        if said and _NUMBER.fullmatch(said):
            scores[name] = _plain(float(said))
        elif said:
            bad[name] = f"{said[:40]!r} is not a number"
    return Row(number, line, cells["id"].strip(), texts, cells["digest"].strip(), scores, comment, bad)


def _plain(value: float) -> float:
    return int(value) if value == int(value) else value


def _read_json(path: Path, data: bytes) -> Answers:
    try:
        value = orjson.loads(data.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        raise ConfigError(Problem(f"not JSON: {error}", str(path))) from None
    if not isinstance(value, dict) or value.get("schema") != SCHEMA or not isinstance(value.get("rows"), list):
        raise ConfigError(Problem("not a file of answers", str(path), allowed=f"an object of the schema {SCHEMA}"))
    if unknown := [key for key in value if key not in _HEAD_KEYS]:
        close = nearest(unknown[0], _HEAD_KEYS)
        raise ConfigError(
            Problem(f"unknown key {unknown[0]!r}", str(path), allowed=", ".join(_HEAD_KEYS), nearest=close)
        )
    rubric = value.get("rubric")
    named = rubric.get("digest") if isinstance(rubric, dict) else None
    export = value.get("export")
    if not isinstance(named, str) or not isinstance(export, str):
        raise ConfigError(Problem("names no export, or no rubric by its digest", str(path)))
    rows = [_json_row(path, number, row) for number, row in enumerate(value["rows"], 1)]
    names = dict.fromkeys(name for row in rows for name in (*row.scores, *row.bad))
    return Answers(path, digest(data), len(data), export, named, tuple(names), rows)


def _json_row(path: Path, number: int, value: Any) -> Row:
    place = f"rows[{number - 1}]"
    if not isinstance(value, dict):
        raise ConfigError(Problem("a row is an object", str(path), key=place))
    known = ("id", "digest", "scores", *_TEXTS)
    if unknown := [key for key in value if key not in known]:
        raise ConfigError(Problem(f"unknown key {unknown[0]!r}", str(path), key=place, allowed=", ".join(known)))
    given = value.get("scores", {})
    texts = {name: value[name] for name in ("id", "digest", *_TEXTS) if name in value}
    if not isinstance(given, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise ConfigError(Problem("a row has texts, and an object of scores", str(path), key=place))
    id, seal, comment = texts.pop("id", ""), texts.pop("digest", ""), texts.pop("comment", "").strip()
    scores, bad = _json_scores(given)
    return Row(number, None, id, texts, seal, scores, comment, bad)


def _json_scores(given: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, str]]:
    scores: dict[str, float] = {}
    bad: dict[str, str] = {}
    for name, said in given.items():
        if isinstance(said, int | float) and not isinstance(said, bool) and math.isfinite(said) and abs(said) < 1e15:
            scores[name] = _plain(said)
        elif said is not None:
            bad[name] = f"{str(said)[:40]!r} is not a number"
    return scores, bad
