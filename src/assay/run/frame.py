"""A run as a table: one row an attempt, newest line and current score, streamed by DuckDB straight from the files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from assay.plan.plan import Plan
from assay.run import journal, scores
from assay.run.compact import source
from assay.run.folder import RunFolder

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

MOST_BYTES = 64 << 20
"""The longest line that can be read."""

ATTEMPT = {
    "attempt": "VARCHAR",
    "index": "BIGINT",
    "cell": "INTEGER",
    "sample": "VARCHAR",
    "epoch": "INTEGER",
    "seed": "BIGINT",
    "revision": "INTEGER",
    "outcome": "VARCHAR",
    "tries": "INTEGER",
    "finished": "DOUBLE",
    "latency_s": "DOUBLE",
    "cached": "BOOLEAN",
    "cost": "DOUBLE",
    "completion": "STRUCT(text VARCHAR, finish VARCHAR, tokens_in BIGINT, tokens_out BIGINT)",
    "error": "STRUCT(type VARCHAR, message VARCHAR)",
    "given": "STRUCT(line BIGINT, file VARCHAR, labels JSON)",
}
SCORE = {
    "index": "BIGINT",
    "revision": "INTEGER",
    "scorer": "VARCHAR",
    "metrics": "JSON",
    "extracted": "VARCHAR",
    "why": "VARCHAR",
    "error": "VARCHAR",
    "execution": "STRUCT(status VARCHAR, compiled BOOLEAN, loaded BOOLEAN, tests_passed BIGINT, tests_run BIGINT, "
    "tests_total BIGINT, timeout VARCHAR, failure STRUCT(kind VARCHAR, message VARCHAR, line BIGINT, source VARCHAR, "
    "got VARCHAR), stdout VARCHAR, stderr VARCHAR, output_cut BOOLEAN, cpu_s DOUBLE, wall_s DOUBLE, "
    "memory_mb DOUBLE, exit_code BIGINT, signal VARCHAR, tier VARCHAR, forgeable BOOLEAN, retried BOOLEAN, "
    "deterministic BOOLEAN, program VARCHAR, strategy VARCHAR, form VARCHAR, found BOOLEAN)",
}
_EXECUTION = {
    **{
        name: f"s.execution.{name}"
        for name in ("status", "compiled", "tests_passed", "tests_run", "tests_total", "timeout", "signal", "exit_code")
    },
    **{name: f"s.execution.{name}" for name in ("cpu_s", "wall_s", "memory_mb", "tier", "forgeable")},
    # Left out of the line where it is not the case.
    "retried": "CASE WHEN s.execution.status IS NOT NULL THEN coalesce(s.execution.retried, false) END",
    "deterministic": "s.execution.deterministic",
    "failure_kind": "s.execution.failure.kind",
    "failure_message": "s.execution.failure.message",
    "failure_line": "s.execution.failure.line",
    "failure_test": "s.execution.failure.source",
    "failure_got": "s.execution.failure.got",
    **{name: f"s.execution.{name}" for name in ("stdout", "stderr", "program", "strategy")},
}
"""The columns of a run that executed code, and where they are read from."""

_GIVEN = {"given_line": "a.given.line", "given_file": "a.given.file", "labels": "a.given.labels"}
"""The columns of a run whose samples were given: where each stood, and what its file said of it."""


def frame(folder: RunFolder, plan: Plan) -> DuckDBPyRelation:
    """One row an attempt: model, prompt, task, sample, epoch, outcome, text, a column a metric, timing, tokens.

    A metric that does not apply to an attempt's task is NULL; so is every score of an attempt that has none. A metric
    that is called as another column gets `_score` behind its name (`extracted_score`, `tests_passed_score`). Where
    the run has a code task, what happened to each program follows (`status` to `strategy`); where its samples were
    given, their place and labels.
    """
    connection = connect()
    connection.execute("CREATE TABLE cells (cell INTEGER, model VARCHAR, prompt VARCHAR, task VARCHAR, scorer VARCHAR)")
    names = {task: scores.scorer_id(scorer) for task, scorer in scores.current(folder, plan).items()}
    rows = [
        (number, cell.model, cell.prompt, cell.task, names.get(cell.task)) for number, cell in enumerate(plan.cells)
    ]
    connection.executemany("INSERT INTO cells VALUES (?, ?, ?, ?, ?)", rows)
    attempts = _files(journal.segments(folder.attempts), ATTEMPT)
    scored = _files(journal.segments(folder.scores), SCORE)
    return connection.sql(_QUERY.format(columns=columns(folder, plan), attempts=attempts, scores=scored))


def connect(**config: str) -> DuckDBPyConnection:
    """A database of its own that keeps to one thread."""
    import duckdb

    return duckdb.connect(":memory:", config={"threads": "1", **config})


def columns(folder: RunFolder, plan: Plan) -> str:
    """The columns of a run's table, out of an attempt `a`, its current score `s` and its cell `c`."""
    scorers = scores.current(folder, plan)
    kinds = {metric["name"]: metric["kind"] for scorer in scorers.values() for metric in scorer.metrics}
    more = _EXECUTION if any(task.kind == "code" for task in plan.tasks.values()) else {}
    more = {**more, **_GIVEN} if any(cell.mode == "given" for cell in plan.cells) else more
    taken = {*_ANSWER, *_REQUEST, *more}
    metrics = {f"{name}_score" if name in taken else name: _metric(name, kind) for name, kind in sorted(kinds.items())}
    return ", ".join(
        f'{source} AS "{_quoted(name)}"' for name, source in {**_ANSWER, **metrics, **_REQUEST, **more}.items()
    )


_ANSWER = {
    "attempt": "a.attempt",
    "index": 'a."index"',
    **{name: f"c.{name}" for name in ("model", "prompt", "task")},
    **{name: f"a.{name}" for name in ("sample", "epoch", "seed", "outcome")},
    **{name: f"a.completion.{name}" for name in ("text", "finish", "tokens_in", "tokens_out")},
    "extracted": "s.extracted",
    "why": "s.why",
}
_REQUEST = {
    **{name: f"a.{name}" for name in ("latency_s", "tries", "cached", "cost")},
    "finished": "make_timestamp(CAST(a.finished * 1e6 AS BIGINT))",
    "error_type": "a.error.type",
    "error": "a.error.message",
    "scorer_error": "s.error",
}

_QUERY = """
WITH lines AS (
    SELECT * FROM {attempts} QUALIFY row_number() OVER (PARTITION BY "index" ORDER BY revision DESC) = 1
), scored AS (SELECT * FROM {scores} WHERE scorer IS NOT NULL)
SELECT {columns}
FROM lines a JOIN cells c USING (cell)
LEFT JOIN scored s ON s."index" = a."index" AND s.revision = a.revision AND s.scorer = c.scorer
ORDER BY a."index"
"""

_TYPES = {"pass": "BOOLEAN", "measure": "DOUBLE", "label": "VARCHAR"}


def _metric(name: str, kind: str) -> str:
    path = name.replace("'", "''").replace('"', "")
    return f"CAST(json_extract_string(s.metrics, '$.\"{path}\"') AS {_TYPES[kind]})"


def _quoted(name: str) -> str:
    return name.replace('"', '""')


def _files(paths: list[Path], columns: dict[str, str]) -> str:
    """The journal as a DuckDB table function; an empty table of the same columns where there is no segment."""
    if not paths:
        nothing = ", ".join(f'CAST(NULL AS {kind}) AS "{name}"' for name, kind in columns.items())
        return f"(SELECT {nothing} WHERE false)"
    return f"(SELECT * FROM {json_lines(paths, columns)})"  # noqa: S608 - paths are quoted there


def json_lines(paths: list[Path], columns: dict[str, str]) -> str:
    """Segments of a journal as a DuckDB table function; what is no column is passed over.

    Where a segment is there as Parquet too, that is read: it has the same lines, in less time.
    """
    columnar = {path: path.with_suffix(".parquet") for path in paths if path.with_suffix(".parquet").exists()}
    if columnar:
        parts = [source(columnar[path], columns) for path in paths if path in columnar]
        rest = [path for path in paths if path not in columnar]
        parts += [f"SELECT * FROM {json_lines(rest, columns)}"] if rest else []  # noqa: S608 - quoted below
        return f"({' UNION ALL BY NAME '.join(parts)})"
    listed = ", ".join(quoted(str(path)) for path in paths)
    kinds = ", ".join(f"{quoted(name)}: {quoted(kind)}" for name, kind in columns.items())
    options = f"format = 'newline_delimited', columns = {{{kinds}}}, maximum_object_size = {MOST_BYTES}"
    return f"read_json([{listed}], {options})"


def quoted(text: str) -> str:
    """A text as SQL writes it: names of metrics come from runs, and a run may come from anybody."""
    return "'" + text.replace("'", "''") + "'"
