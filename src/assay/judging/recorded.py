"""Ratings that somebody recorded elsewhere, from a CSV or JSON-lines file: read strictly, and never good for a gate.

A row is `unit, rater, kind, dimension, value`, and where it matters `order` and `cluster`. A value is a number, or a
verdict on a pair: `a`, `b` or `tie`, whichever was shown first (`order`: `ab` or `ba`). An empty one is no value.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson

from assay.document import nearest
from assay.errors import ConfigError, Problem
from assay.files import digest

VERDICTS = ("a", "b", "tie")
ORDERS = ("ab", "ba")
KINDS = ("person", "model")
_NEEDED = ("unit", "rater", "kind", "dimension", "value")
_COLUMNS = (*_NEEDED, "order", "cluster")
_MOST_PROBLEMS = 50
_MOST_BYTES = 1 << 28

Value = float | str
Orders = Mapping[str, Value | None]
"""A rater's values of one unit by the order it was shown in; '' where there is none."""


@dataclass(frozen=True, slots=True)
class Rating:
    """One rater's word on one unit in one dimension; `value` is None where there is none."""

    unit: str
    rater: str
    kind: str
    dimension: str
    value: Value | None
    order: str = ""
    cluster: str = ""


@dataclass(frozen=True)
class Recorded:
    """A file's ratings, and what tells the file."""

    path: Path
    sha256: str
    ratings: tuple[Rating, ...]

    @cached_property
    def dimensions(self) -> dict[str, bool]:
        """Every dimension, in order of appearance, and whether its values are verdicts on pairs."""
        found: dict[str, bool] = {}
        for one in self.ratings:
            found[one.dimension] = found.get(one.dimension, False) or isinstance(one.value, str) or bool(one.order)
        return found

    @cached_property
    def raters(self) -> dict[str, str]:
        """Every rater's kind by name, in order of appearance."""
        return {one.rater: one.kind for one in self.ratings}

    @cached_property
    def clusters(self) -> dict[str, str]:
        """Each unit's cluster: itself where the file names none. In order of appearance."""
        return {one.unit: one.cluster or one.unit for one in self.ratings}

    def of(self, dimension: str) -> dict[str, dict[str, dict[str, Value | None]]]:
        """The values of a dimension: by rater, then unit, then order."""
        found: dict[str, dict[str, dict[str, Value | None]]] = {}
        for one in self.ratings:
            if one.dimension == dimension:
                found.setdefault(one.rater, {}).setdefault(one.unit, {})[one.order] = one.value
        return found


def read(path: Path) -> Recorded:
    """The ratings in a file. Raises ConfigError with every problem, by line."""
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= _MOST_BYTES else b""
    except OSError as error:
        raise ConfigError(Problem(f"cannot be read: {error.strerror}", str(path))) from None
    if size > _MOST_BYTES:
        raise ConfigError(Problem(f"has {size} bytes", str(path), allowed=f"at most {_MOST_BYTES}"))
    if path.suffix not in (".csv", ".jsonl"):
        raise ConfigError(Problem("the ending tells the format", str(path), allowed=".csv or .jsonl"))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(Problem("is not UTF-8", str(path))) from None
    return Recorded(path, digest(data), _Reader(path).read(_rows(path, text)))


def _rows(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    """Every row with the line it ends in."""
    if path.suffix == ".csv":
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        try:
            for row in reader:
                yield reader.line_num, row
        except csv.Error as error:
            raise ConfigError(Problem(f"not CSV: {error}", str(path), line=reader.reader.line_num)) from None
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield number, orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise ConfigError(Problem(f"not JSON: {error}", str(path), line=number)) from None


class _Reader:
    """Goes through the rows once and keeps what is wrong."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[Problem] = []
        self.seen: dict[tuple[str, ...], int] = {}
        self.kinds: dict[str, str] = {}
        self.clusters: dict[str, str] = {}
        self.pairs: dict[str, bool] = {}

    def read(self, rows: Iterator[tuple[int, Any]]) -> tuple[Rating, ...]:
        found = []
        for number, row in rows:
            rating = self._rating(number, row)
            if rating is not None and self._fits(number, rating):
                found.append(rating)
            if len(self.problems) >= _MOST_PROBLEMS:
                break
        if not found and not self.problems:
            self.problems.append(Problem("holds no ratings", str(self.path), allowed=f"rows of {', '.join(_NEEDED)}"))
        if self.problems:
            raise ConfigError(self.problems)
        return tuple(found)

    def _wrong(self, number: int, message: str, allowed: str | None = None, near: str | None = None) -> None:
        self.problems.append(Problem(message, str(self.path), line=number, allowed=allowed, nearest=near))

    def _rating(self, number: int, row: Any) -> Rating | None:
        if not isinstance(row, dict):
            self._wrong(number, "a row is an object", ", ".join(_COLUMNS))
            return None
        before = len(self.problems)
        for name in row:
            if name not in _COLUMNS:
                said = "has more values than columns" if name is None else f"unknown column {name!r}"
                self._wrong(number, said, ", ".join(_COLUMNS), nearest(str(name), _COLUMNS))
        texts = {name: self._text(number, row, name) for name in _COLUMNS if name != "value"}
        if "value" not in row:
            self._wrong(number, "value is missing", "a number; a, b or tie; or an empty one for none")
        value = self._value(number, row.get("value"))
        if texts["kind"] and texts["kind"] not in KINDS:
            self._wrong(number, f"the kind is {texts['kind']!r}", " or ".join(KINDS))
        if texts["order"] and texts["order"] not in ORDERS:
            self._wrong(number, f"the order is {texts['order']!r}", "ab or ba: which of the two was shown first")
        return Rating(value=value, **texts) if len(self.problems) == before else None

    def _text(self, number: int, row: Mapping[str, Any], name: str) -> str:
        given = row.get(name)
        if isinstance(given, int) and not isinstance(given, bool):
            given = str(given)
        text = given.strip() if isinstance(given, str) else ""
        if (given is not None and not isinstance(given, str)) or (not text and name in _NEEDED):
            self._wrong(number, f"{name} is missing or no text")
        return text

    def _value(self, number: int, given: Any) -> Value | None:
        if given is None or given == "":
            return None
        if isinstance(given, str) and given.strip().lower() in VERDICTS:
            return given.strip().lower()
        try:
            value = math.nan if isinstance(given, bool) else float(given)
        except (TypeError, ValueError, OverflowError):
            value = math.nan
        if not abs(value) <= 1e12:
            self._wrong(number, f"the value is {str(given)[:40]!r}", "a number up to 1e12; a, b or tie; or nothing")
            return None
        return value

    def _fits(self, number: int, rating: Rating) -> bool:
        """Whether the row goes with those before it."""
        before = len(self.problems)
        key = (rating.unit, rating.rater, rating.dimension, rating.order)
        if (first := self.seen.setdefault(key, number)) != number:
            self._wrong(number, f"{rating.rater} rates {rating.unit} a second time; the first is in line {first}")
        if self.kinds.setdefault(rating.rater, rating.kind) != rating.kind:
            self._wrong(number, f"{rating.rater} is a {self.kinds[rating.rater]} in an earlier line")
        if self.clusters.setdefault(rating.unit, rating.cluster) != rating.cluster:
            self._wrong(number, f"{rating.unit} is of another cluster in an earlier line")
        if rating.value is not None:
            verdict = isinstance(rating.value, str)
            if self.pairs.setdefault(rating.dimension, verdict) != verdict:
                self._wrong(number, f"{rating.dimension} has numbers and verdicts", "one or the other")
            if rating.order and not verdict:
                self._wrong(number, "an order is of verdicts on pairs", "a, b or tie")
        return len(self.problems) == before


def column(values: Mapping[str, Mapping[str, Value | None]], units: Sequence[str]) -> list[float | None]:
    """One rater's numbers in the order of `units`."""
    return [value if isinstance(value := values.get(unit, {}).get(""), float) else None for unit in units]
