"""A journal's segments as Parquet, made when a run is sealed: smaller, and quick to read by column.

Each row is a line: its exact text (`line`), and the columns that gates read. The JSON lines are kept beside it or
dropped; the text gives them back byte for byte, which is tried before anything is dropped, and what `journal.opened`
does for every reader of lines.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import orjson

from assay.errors import EvidenceError, MachineError
from assay.files import digest_file, sync_folder
from assay.run import journal
from assay.run.folder import RunFolder

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Mode = Literal["auto", "off", "keep", "drop"]
MODES: tuple[Mode, ...] = ("auto", "off", "keep", "drop")
MANY = 100_000
"""Attempts from which `auto` keeps Parquet beside the JSON lines: a smaller run is read in a moment either way."""

_MEMORY = "1GB"
_MOST_BYTES = 64 << 20

ATTEMPT = {
    "index": "BIGINT",
    "cell": "BIGINT",
    "revision": "BIGINT",
    "sample": "VARCHAR",
    "epoch": "BIGINT",
    "outcome": "VARCHAR",
    "latency_s": "DOUBLE",
    "completion": {"tokens_out": "BIGINT"},
    "error": {"type": "VARCHAR"},
}
SCORE = {
    "index": "BIGINT",
    "cell": "BIGINT",
    "revision": "BIGINT",
    "scorer": "VARCHAR",
    "error": "VARCHAR",
    "execution": {"tier": "VARCHAR", "forgeable": "BOOLEAN"},
    "metrics": "JSON",
}


def compact(folder: RunFolder, sealed: Collection[str], mode: Mode, attempts: int) -> None:
    """Write the Parquet of every segment that no seal covers; with `drop`, remove its JSON lines.

    Raises EvidenceError where a line is not what assay writes, MachineError where the disk refuses; the JSON lines are
    then all there.
    """
    if mode == "auto":
        mode = "keep" if attempts >= MANY else "off"
    for left in folder.path.glob(".compact-*"):
        shutil.rmtree(left, ignore_errors=True)  # of a process that was killed while it wrote
    if mode == "off":
        return
    for part, columns in ((folder.attempts, ATTEMPT), (folder.scores, SCORE)):
        for path in journal.segments(part):
            name = path.relative_to(folder.path).as_posix()
            if path.suffix == ".jsonl" and name not in sealed and path.stat().st_size:
                _convert(path, columns)
                if mode == "drop":
                    path.unlink()
                    sync_folder(part)


def _convert(path: Path, columns: Mapping[str, object]) -> None:
    import duckdb

    sha256 = digest_file(path)
    try:
        with tempfile.TemporaryDirectory(dir=path.parent.parent, prefix=".compact-") as scratch:
            part = Path(scratch) / "part.parquet"
            connection = _connect(str(Path(scratch) / "spill"))
            try:
                _copy(connection, path, columns, sha256, part)
            finally:
                connection.close()
            if _digest(part) != sha256:
                raise EvidenceError(f"{path}: its lines are not those that assay writes, so it is not compacted")
            with part.open("rb") as file:
                os.fsync(file.fileno())
            part.replace(path.with_suffix(".parquet"))
            sync_folder(path.parent)
    except OSError as error:
        raise MachineError(f"cannot compact {path}", layer="compaction", errno=error.errno) from error
    except duckdb.IOException as error:
        raise MachineError(f"cannot compact {path}: {_first(error)}", layer="compaction") from error
    except duckdb.Error as error:
        raise EvidenceError(f"{path}: not what assay writes ({_first(error)})") from None


def _copy(connection: DuckDBPyConnection, path: Path, columns: Mapping[str, object], sha256: str, part: Path) -> None:
    lines = f"read_json_objects({_quoted(path)}, format = 'newline_delimited', maximum_object_size = {_MOST_BYTES})"
    connection.execute(
        f"COPY (SELECT CAST(json AS VARCHAR) AS line, unnest({_parsed('json', columns)}) FROM {lines}) "  # noqa: S608
        f"TO {_quoted(part)} (FORMAT parquet, COMPRESSION zstd, KV_METADATA {{sha256: '{sha256}'}})"
    )


def _parsed(text: str, columns: Mapping[str, object]) -> str:
    return f"from_json({text}, {_text(orjson.dumps(columns).decode())})"


def check(path: Path, columns: Mapping[str, object] | None = None) -> str | None:
    """How a Parquet segment contradicts itself or its JSON lines; None where it does not.

    Its columns have to be those of its lines, each of its type, and its lines to have the digest that it claims and
    that its JSON lines have, where they are there. `columns`: by default those of the folder it lies in.
    """
    import duckdb

    columns = columns or (SCORE if path.parent.name == "scores" else ATTEMPT)
    connection = _connect()
    try:
        names = connection.execute(f"DESCRIBE FROM {_rows(path)}").fetchall()
        if [name for name, *_ in names] != ["line", *columns]:
            return "it has other columns than this version writes"
        counted = connection.execute(_contradictions(path, columns)).fetchone()
        key = f"SELECT value FROM parquet_kv_metadata({_quoted(path)}) WHERE key = 'sha256'"  # noqa: S608
        claimed = connection.execute(key).fetchone()
        if counted and counted[0]:
            return f"{counted[0]} rows have columns that are not those of their lines"
        beside = path.with_suffix(".jsonl")
        digests = {_digest(path), bytes(claimed[0]).decode(errors="replace") if claimed else ""}
        digests |= {digest_file(beside)} if beside.exists() else set()
    except duckdb.Error as error:
        return f"not Parquet that assay writes ({_first(error)})"
    finally:
        connection.close()
    return "its lines do not have the digest that it claims, or that of the JSON lines" if len(digests) > 1 else None


def _contradictions(path: Path, columns: Mapping[str, object]) -> str:
    """A query for the number of rows whose columns are not those of their lines, or not of the type that was asked for:
    what cannot be converted becomes NULL, and must not pass for what is absent.
    """
    leaves = list(_leaves(columns))
    packed = ", ".join(f'"{name}" := "{name}"' for name in columns)
    found = "[" + ", ".join(_text("$" + "".join(f'."{part}"' for part in leaf)) for leaf, _ in leaves) + "]"
    wrong = " OR ".join(
        f"(kinds[{number}] <> 'NULL' AND (kinds[{number}] NOT IN {_JSON[kind]} OR {_place(leaf)} IS NULL))"
        for number, (leaf, kind) in enumerate(leaves, 1)
    )
    rows = f"(SELECT *, json_type(line, {found}) AS kinds FROM {_rows(path)})"  # noqa: S608 - quoted
    again = f"struct_pack({packed}) IS DISTINCT FROM {_parsed('line', columns)}"
    return f"SELECT count(*) FROM {rows} WHERE {again} OR coalesce({wrong}, false)"  # noqa: S608 - quoted


_JSON = {
    "BIGINT": "('BIGINT', 'UBIGINT')",
    "DOUBLE": "('BIGINT', 'UBIGINT', 'DOUBLE')",
    "VARCHAR": "('VARCHAR')",
    "BOOLEAN": "('BOOLEAN')",
    "JSON": "('OBJECT')",
    "STRUCT": "('OBJECT')",
}


def _leaves(columns: Mapping[str, object], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    for name, kind in columns.items():
        if isinstance(kind, Mapping):
            yield (*above, name), "STRUCT"
            yield from _leaves(kind, (*above, name))
        else:
            yield (*above, name), str(kind)


def _place(leaf: tuple[str, ...]) -> str:
    return ".".join(f'"{part}"' for part in leaf)


def _digest(path: Path) -> str:
    """SHA-256 of a Parquet segment's lines."""
    found = hashlib.sha256()
    for part in lines(path):
        found.update(part)
    return found.hexdigest()


def _rows(path: Path) -> str:
    return f"read_parquet({_quoted(path)})"


def _connect(spill: str = "") -> DuckDBPyConnection:
    import duckdb

    config = {"threads": "1", "memory_limit": _MEMORY, "temp_directory": spill}
    return duckdb.connect(":memory:", config=config)


def _quoted(path: Path) -> str:
    return _text(str(path))


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _first(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300]


def lines(path: Path) -> Iterator[bytes]:
    """The lines of a Parquet segment, each with its newline. Raises EvidenceError where it is none."""
    import duckdb

    try:
        connection = _connect()
        try:
            cursor = connection.execute(f"SELECT line FROM {_rows(path)}")  # noqa: S608 - quoted
            while rows := cursor.fetchmany(2048):
                yield "".join(f"{line}\n" for (line,) in rows).encode()
        finally:
            connection.close()
    except duckdb.Error as error:
        raise EvidenceError(f"{path}: not Parquet that assay writes ({_first(error)})") from None


def source(path: Path, columns: Mapping[str, str]) -> str:
    """A Parquet segment as a DuckDB query with the columns asked for: those it has, and the others from its lines."""
    stored = SCORE if path.parent.name == "scores" else ATTEMPT
    parts = {name: _column(name, kind, stored.get(name)) for name, kind in columns.items()}
    missing = {name: _structure(columns[name]) for name, part in parts.items() if part is None}
    listed = ", ".join(f'{part or f"parsed.{_place((name,))}"} AS "{name}"' for name, part in parts.items())
    rows = f"(SELECT *, {_parsed('line', missing)} AS parsed FROM {_rows(path)})" if missing else _rows(path)  # noqa: S608
    return f"SELECT {listed} FROM {rows}"  # noqa: S608 - quoted


def _column(name: str, kind: str, stored: object) -> str | None:
    """A column as it is stored, where that is enough for what is asked."""
    if stored == _structure(kind):
        return f'"{name}"'
    if stored == "JSON" and kind.startswith("STRUCT"):
        return f'from_json("{name}", {_text(orjson.dumps(_structure(kind)).decode())})'
    if isinstance(stored, str) and not kind.startswith(("STRUCT", "JSON")):
        return f'CAST("{name}" AS {kind})'
    return None


_WORD = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([A-Za-z_][A-Za-z_0-9]*)|([(),]))')


def _structure(kind: str) -> Any:
    """A type such as `STRUCT(a BIGINT, "b c" VARCHAR)` as the structure that DuckDB's JSON functions take."""
    words = [quoted.replace('""', '"') or word or sign for quoted, word, sign in _WORD.findall(kind)]
    return _type(iter(words))


def _type(words: Iterator[str]) -> Any:
    word = next(words)
    if word != "STRUCT" or next(words) != "(":
        return word
    found: dict[str, Any] = {}
    for name in words:
        found[name] = _type(words)
        if next(words) == ")":
            break
    return found
