"""Raw rows out of a file that nobody vouches for: JSON lines, JSON, CSV, Parquet, scenarios.

Every reader yields (line, row) or (line, Skip): one bad row must not hide the next. `line` counts from 1 and
is the row's number where a format has no lines. What ends the whole file (a broken gzip stream, a size limit)
is raised as `BrokenFileError`.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import orjson

from assay.data.sources import Format, Row, Skip

MAX_LINE = 16 << 20
MAX_FILE = 4 << 30
MAX_JSON = 256 << 20
_BOM = b"\xef\xbb\xbf"
_GLOB = set("*?[]{}")

Numbered = Iterator[tuple[int, Row | Skip]]


class BrokenFileError(Exception):
    """The file cannot be read further than `line`."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line
        self.reason = reason


def rows(path: Path, format: Format) -> Numbered:
    """The rows of a file. Raises BrokenFileError where the rest of the file cannot be read, OSError where it
    is missing."""
    return _READERS[format](path)


def _lines(path: Path) -> Iterator[tuple[int, bytes | Skip]]:
    """Numbered lines with their newline; one over the limit is given up as a Skip and passed over."""
    opener = gzip.open if path.name.endswith(".gz") else open
    total = 0
    with cast("IO[bytes]", opener(path, "rb")) as file:
        number = 0
        while line := _read(file, number + 1):
            number += 1
            total += len(line)
            if number == 1:
                line = line.removeprefix(_BOM)
            if len(line) <= MAX_LINE:
                yield number, line
            else:
                total += _pass_over(file, line, number)
                yield number, Skip(f"the line is longer than {MAX_LINE >> 20} MiB")
            if total > MAX_FILE:
                raise BrokenFileError(number, f"the file is larger than {MAX_FILE >> 30} GiB")


def _read(file: IO[bytes], number: int) -> bytes:
    try:
        return file.readline(MAX_LINE + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise BrokenFileError(number, f"the gzip stream is damaged ({error})") from None


def _pass_over(file: IO[bytes], piece: bytes, number: int) -> int:
    """Read on to the end of a line that is too long; returns the bytes passed over."""
    passed = 0
    while piece and not piece.endswith(b"\n"):
        piece = _read(file, number)
        passed += len(piece)
        if passed > MAX_FILE:
            raise BrokenFileError(number, f"the file is larger than {MAX_FILE >> 30} GiB")
    return passed


def _jsonl(path: Path) -> Numbered:
    for number, line in _lines(path):
        if isinstance(line, Skip):
            yield number, line
        elif text := line.strip():
            yield number, _object(text)


def _object(text: bytes) -> Row | Skip:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return Skip(f"not JSON: {_short(error)}", allowed="one JSON object a line, in UTF-8")
    if not isinstance(value, dict):
        return Skip(f"expected a JSON object, found {_kind(value)}")
    return value


def _short(error: Exception) -> str:
    return str(error).splitlines()[0][:200]


def _kind(value: object) -> str:
    names = {"list": "a list", "str": "a string", "NoneType": "null", "bool": "a boolean"}
    return names.get(type(value).__name__, "a number")


def _json(path: Path) -> Numbered:
    if path.stat().st_size > MAX_JSON:
        raise BrokenFileError(1, f"a JSON file may have {MAX_JSON >> 20} MiB; use JSON lines for more")
    try:
        value = orjson.loads(path.read_bytes().removeprefix(_BOM))
    except orjson.JSONDecodeError as error:
        raise BrokenFileError(error.lineno, f"not JSON: {_short(error)}") from None
    if not isinstance(value, list):
        raise BrokenFileError(1, f"expected a list of JSON objects, found {_kind(value)}")
    for number, item in enumerate(value, 1):
        yield number, item if isinstance(item, dict) else Skip(f"expected an object, found {_kind(item)}")


def _csv(path: Path) -> Numbered:
    csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE))
    reader = csv.reader(_text(path), strict=True)
    header = _next(reader)
    if header is None:
        return
    names = [name.strip() for name in header]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise BrokenFileError(1, f"the header repeats {', '.join(map(repr, repeated))}")
    while True:
        first = reader.line_num + 1
        values = _next(reader)
        if values is None:
            return
        if values:
            yield first, _record(names, values)


def _text(path: Path) -> Iterator[str]:
    for number, line in _lines(path):
        if isinstance(line, Skip):
            raise BrokenFileError(number, line.reason)
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise BrokenFileError(number, f"not UTF-8 at byte {error.start} of the line") from None


def _next(reader: Any) -> list[str] | None:
    try:
        return next(reader, None)
    except csv.Error as error:
        raise BrokenFileError(max(reader.line_num, 1), f"not CSV: {error}") from None


def _record(names: list[str], values: list[str]) -> Row | Skip:
    if len(values) != len(names):
        return Skip(f"{len(values)} values for {len(names)} columns")
    return dict(zip(names, values, strict=True))


def _parquet(path: Path) -> Numbered:
    import duckdb

    with _plain_name(path) as name, _database() as database:
        try:
            result = database.execute("SELECT * FROM read_parquet(?)", [name])
            names = [column[0] for column in result.description]
            number = 0
            while batch := result.fetchmany(1000):
                for values in batch:
                    number += 1
                    yield number, dict(zip(names, values, strict=True))
        except duckdb.Error as error:
            raise BrokenFileError(1, f"not readable as Parquet: {_short(error)}") from None


@contextmanager
def _database() -> Iterator[Any]:
    """A database that keeps to one thread and 1 GB, and loads nothing from outside."""
    import duckdb

    config = {
        "threads": "1",
        "memory_limit": "1GB",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    database = duckdb.connect(":memory:", config=config)
    try:
        yield database
    finally:
        database.close()


@contextmanager
def _plain_name(path: Path) -> Iterator[str]:
    """A name for the file that DuckDB does not take for a pattern."""
    if not _GLOB & set(str(path)):
        yield str(path)
        return
    import tempfile

    with tempfile.TemporaryDirectory(prefix="assay-") as folder:
        link = Path(folder) / "rows.parquet"
        link.symlink_to(path.resolve())
        yield str(link)


def _scenario(path: Path) -> Numbered:
    """One row a combination of factors, all from the line of the template. Raises ConfigError as the file's reader."""
    from assay.data.factors import read

    found = read(path)
    yield from ((found.line, {"levels": levels}) for levels in found.combinations())


_READERS: dict[Format, Callable[[Path], Numbered]] = {
    "jsonl": _jsonl,
    "jsonl.gz": _jsonl,
    "json": _json,
    "csv": _csv,
    "parquet": _parquet,
    "scenario": _scenario,
}
