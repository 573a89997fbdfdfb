"""A run as a file: one row an attempt, in CSV, JSON lines or Parquet, with the columns of `frame`.

Attempts and their scores are put together here, in the plan's order and one at a time, and DuckDB turns them into the
file: a join of its own would hold all of them in memory at once.
"""

from __future__ import annotations

import os
import tempfile
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from assay.errors import ConfigError, MachineError, Problem
from assay.files import sync_folder
from assay.plan.plan import Plan
from assay.run import journal
from assay.run.folder import RunFolder
from assay.run.frame import ATTEMPT, SCORE, columns, connect, json_lines
from assay.run.scores import ScoreIndex
from assay.run.state import State

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_OPTIONS = {
    "csv": "FORMAT csv, HEADER true",
    "jsonl": "FORMAT json",
    "parquet": "FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 8192",
}
_CELL = {"model": "VARCHAR", "prompt": "VARCHAR", "task": "VARCHAR"}

_FORMULA = "^[=+@\\-\\t\\r\\n''＝＋－＠]"
"""What a spreadsheet takes for the beginning of a formula, and the mark that is put before it."""


def export(folder: RunFolder, plan: Plan, format: str, path: Path) -> int:
    """Write the run to `path`, whole or not at all; returns the number of rows. `format`: csv, jsonl or parquet.

    In CSV a text that a spreadsheet would take for a formula, or that begins with an apostrophe, gets an apostrophe in
    front. Raises ConfigError for another format, MachineError where the file cannot be written.
    """
    import duckdb

    if format not in _OPTIONS:
        raise ConfigError(Problem(f"there is no format {format!r}", "--format", allowed=", ".join(_OPTIONS)))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as scratch:
            lines, part = Path(scratch) / "lines", Path(scratch) / "part"
            _write(lines, _together(folder, plan))
            rows = _copy(lines, columns(folder, plan), format, part)
            _publish(part, path)
    except OSError as error:
        raise MachineError(f"cannot write {path}", layer="export", errno=error.errno) from error
    except duckdb.Error as error:
        raise MachineError(f"cannot write {path}: {str(error).splitlines()[0]}", layer="export") from error
    return rows


def _together(folder: RunFolder, plan: Plan) -> Iterator[dict[str, Any]]:
    """Every attempt's newest line with its cell and its current score, in the order of the plan."""
    state = State.read(folder, plan)
    lines, index = journal.Lines(folder.attempts), ScoreIndex(folder, plan, state)
    cells = [{"model": cell.model, "prompt": cell.prompt, "task": cell.task} for cell in plan.cells]
    try:
        for place in _newest(lines, plan, state):
            record = lines[place]
            yield {"a": record, "c": cells[record["cell"]], "s": index.get(record["index"])}
    finally:
        lines.close()
        index.close()


def _newest(lines: journal.Lines, plan: Plan, state: State) -> Iterator[int]:
    """The places of the newest lines, eight bytes an attempt."""
    places = array("Q", bytes(8 * len(plan)))
    for place, record in lines:
        places[record["index"]] = place
    return (places[number] for number in range(len(plan)) if state.lines[number])


def _write(path: Path, rows: Iterator[Mapping[str, Any]]) -> None:
    with path.open("wb") as file:
        for row in rows:
            file.write(orjson.dumps(row) + b"\n")


def _copy(lines: Path, selected: str, format: str, path: Path) -> int:
    """Turn the lines into the file. An empty file has no first line for DuckDB to look at, but its columns it has."""
    connection = connect()
    parts = {"a": _struct(ATTEMPT), "c": _struct(_CELL), "s": _struct(SCORE)}
    rows = f"SELECT {selected} FROM {json_lines([lines], parts)}"  # noqa: S608 - the path is quoted there
    try:
        if format == "csv":
            rows = _safe(connection, rows)
        place = str(path).replace("'", "''")
        written = connection.execute(f"COPY ({rows}) TO '{place}' ({_OPTIONS[format]})").fetchone()
    finally:
        connection.close()
    return int(written[0]) if written else 0


def _struct(kinds: Mapping[str, str]) -> str:
    parts = ", ".join(f'"{name}" {kind}' for name, kind in kinds.items())
    return f"STRUCT({parts})"


def _safe(connection: DuckDBPyConnection, rows: str) -> str:
    """The same rows with texts that no spreadsheet runs."""
    described = connection.execute(f"DESCRIBE {rows}").fetchall()
    parts = [_safe_column(str(name).replace('"', '""'), str(kind)) for name, kind, *_ in described]
    return f"SELECT {', '.join(parts)} FROM ({rows})"  # noqa: S608 - names are quoted above


def _safe_column(name: str, kind: str) -> str:
    if kind not in ("VARCHAR", "JSON"):
        return f'"{name}"'
    text = f'CAST("{name}" AS VARCHAR)'
    return f"CASE WHEN regexp_matches({text}, '{_FORMULA}') THEN '''' || {text} ELSE {text} END AS \"{name}\""


def _publish(part: Path, path: Path) -> None:
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)
    sync_folder(path.parent)
