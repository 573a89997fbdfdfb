"""A run as a table: one row an attempt, newest line and current score, streamed by DuckDB straight from the files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from assay.plan.plan import Plan
from assay.run import journal, scores
from assay.run.folder import RunFolder

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation

MOST_BYTES = 64 << 20
"""The longest line that can be read."""

_ATTEMPT = {
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
}
_SCORE = {
    "index": "BIGINT",
    "revision": "INTEGER",
    "scorer": "VARCHAR",
    "metrics": "JSON",
    "extracted": "VARCHAR",
    "why": "VARCHAR",
}


def frame(folder: RunFolder, plan: Plan) -> DuckDBPyRelation:
    """One row an attempt: model, prompt, task, sample, epoch, outcome, text, a column a metric, timing, tokens.

    A metric that does not apply to an attempt's task is NULL; so is every score of an attempt that has none.
    """
    import duckdb

    connection = duckdb.connect(":memory:", config={"threads": 1})
    connection.execute("CREATE TABLE cells (cell INTEGER, model VARCHAR, prompt VARCHAR, task VARCHAR, scorer VARCHAR)")
    scorers = scores.current(folder, plan)
    names = {task: scores.scorer_id(scorer) for task, scorer in scorers.items()}
    rows = [
        (number, cell.model, cell.prompt, cell.task, names.get(cell.task)) for number, cell in enumerate(plan.cells)
    ]
    connection.executemany("INSERT INTO cells VALUES (?, ?, ?, ?, ?)", rows)
    kinds = {metric["name"]: metric["kind"] for scorer in scorers.values() for metric in scorer.metrics}
    metrics = "".join(f", {_metric(name, kind)}" for name, kind in sorted(kinds.items()))
    query = _QUERY.format(
        attempts=_files(folder.attempts, _ATTEMPT), scores=_files(folder.scores, _SCORE), metrics=metrics
    )
    return connection.sql(query)


_QUERY = """
WITH lines AS (
    SELECT * FROM {attempts} QUALIFY row_number() OVER (PARTITION BY "index" ORDER BY revision DESC) = 1
), scored AS (SELECT * FROM {scores} WHERE scorer IS NOT NULL)
SELECT a.attempt, a."index", c.model, c.prompt, c.task, a.sample, a.epoch, a.seed, a.outcome,
       a.completion.text AS text, a.completion.finish AS finish,
       a.completion.tokens_in AS tokens_in, a.completion.tokens_out AS tokens_out,
       s.extracted, s.why{metrics}, a.latency_s, a.tries, a.cached, a.cost,
       make_timestamp(CAST(a.finished * 1e6 AS BIGINT)) AS finished, a.error.type AS error_type,
       a.error.message AS error
FROM lines a JOIN cells c USING (cell)
LEFT JOIN scored s ON s."index" = a."index" AND s.revision = a.revision AND s.scorer = c.scorer
ORDER BY a."index"
"""

_TYPES = {"pass": "BOOLEAN", "measure": "DOUBLE", "label": "VARCHAR"}


def _metric(name: str, kind: str) -> str:
    quoted = name.replace('"', '""')
    path = name.replace("'", "''").replace('"', "")
    return f'CAST(json_extract_string(s.metrics, \'$."{path}"\') AS {_TYPES[kind]}) AS "{quoted}"'


def _files(journal_folder: Path, columns: dict[str, str]) -> str:
    """The journal as a DuckDB table function; an empty table of the same columns where there is no segment."""
    paths = journal.segments(journal_folder)
    if not paths:
        nothing = ", ".join(f'CAST(NULL AS {kind}) AS "{name}"' for name, kind in columns.items())
        return f"(SELECT {nothing} WHERE false)"
    listed = ", ".join("'" + str(path).replace("'", "''") + "'" for path in paths)
    kinds = ", ".join(f"'{name}': '{kind}'" for name, kind in columns.items())
    options = f"format = 'newline_delimited', columns = {{{kinds}}}, maximum_object_size = {MOST_BYTES}"
    return f"(SELECT * FROM read_json([{listed}], {options}))"  # noqa: S608 - paths are quoted above
