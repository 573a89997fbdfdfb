"""`file:PATH`: a user's own questions, in JSON lines, JSON, CSV or Parquet, with a mapping of columns.

Every row must fit the mapping; those that do not are reported together and nothing is run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from assay.data.sources import File, Format, Row, Skip, Source
from assay.errors import ConfigError, Problem
from assay.files import digest_of
from assay.records import Sample
from assay.tasks.base import Task
from assay.tasks.choices import lettered

if TYPE_CHECKING:
    from assay.spec.schema import FieldsSpec

_FORMATS: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".jsonl.gz": "jsonl.gz",
    ".json": "json",
    ".csv": "csv",
    ".parquet": "parquet",
}
_USUAL = ("target", "choices", "answer", "id")
_ANSWERS = "an index from 0, a letter, or the text of a choice"


class _RowError(Exception):
    """A row does not fit the mapping."""

    def __init__(self, skip: Skip) -> None:
        super().__init__(skip.reason)
        self.skip = skip


def task(path: str, fields: FieldsSpec | None = None) -> Task:
    """The task that reads `path`. Raises ConfigError where the file or the mapping cannot be meant."""
    format = _format(path)
    mapping = fields or _usual(path, format)
    _consistent(path, mapping)
    choice = mapping.choices is not None
    source = Source(
        File(path),
        format,
        _parser(mapping),
        None,
        origin=f"the user's file {Path(path).name}",
        licence="the user's own",
        revision=f"1-{digest_of(mapping.model_dump(mode='json'))[:16]}",
        shown=mapping.extra,
        strict=True,
    )
    return Task(
        name=f"file:{path}",
        version="1",
        kind="choice" if choice else "generate",
        summary=f"questions of {Path(path).name}",
        sources=(source,),
        prompt="choice" if choice else "text",
        scorers=_scorers(mapping),
        max_tokens=16 if choice else 256,
        stop=("\nQuestion:",) if choice else (),
    )


def _format(path: str) -> Format:
    name = path.lower()
    for ending in sorted(_FORMATS, key=len, reverse=True):
        if name.endswith(ending):
            return _FORMATS[ending]
    raise ConfigError(Problem("unknown kind of file", where=path, allowed=", ".join(_FORMATS)))


def _usual(path: str, format: Format) -> FieldsSpec:
    """Without a mapping: `input`, and what else of the usual columns the first row has."""
    from assay.data.rows import BrokenFileError, rows
    from assay.spec.schema import FieldsSpec

    try:
        first = next(iter(rows(Path(path).expanduser(), format)), None)
    except OSError as error:
        raise ConfigError(Problem(error.strerror or str(error), where=path)) from None
    except BrokenFileError as error:
        raise ConfigError(Problem(error.reason, where=path, line=error.line)) from None
    row = first[1] if first else {}
    present = {} if isinstance(row, Skip) else {name: name for name in _USUAL if name in row}
    return FieldsSpec.model_validate(present)


def _consistent(path: str, mapping: FieldsSpec) -> None:
    problems = []
    if mapping.choices is not None and mapping.answer is None and mapping.target is None:
        problems.append(Problem("choices without an answer", path, key="fields.answer", allowed=_ANSWERS))
    if mapping.answer is not None and mapping.choices is None:
        problems.append(Problem("an answer without choices", path, key="fields.choices", allowed="columns"))
    if isinstance(mapping.choices, tuple) and len(mapping.choices) < 2:
        problems.append(Problem("fewer than two choices", path, key="fields.choices", allowed="columns"))
    if problems:
        raise ConfigError(problems)


def _scorers(mapping: FieldsSpec) -> tuple[str, ...]:
    if mapping.choices is not None:
        return ("multiple_choice",)
    if mapping.target is None:
        return ("regex", "json_schema")
    return ("normalized_exact_match", "exact_match", "contains", "numeric", "regex", "json_schema")


class _Parser:
    """One mapping, applied to row after row."""

    def __init__(self, mapping: FieldsSpec) -> None:
        self._map = mapping

    def __call__(self, row: Row, index: int) -> Sample | Skip:
        try:
            return self._sample(row, index)
        except _RowError as fault:
            return fault.skip

    def _sample(self, row: Row, index: int) -> Sample:
        mapping = self._map
        choices, gold = self._choices(row)
        target = "" if mapping.target is None else _text(row, mapping.target, "target", empty=True)
        return Sample(
            id=str(index) if mapping.id is None else _text(row, mapping.id, "id"),
            input=_text(row, mapping.input, "input"),
            target=target or (choices[gold[0]] if gold else ""),
            choices=choices,
            gold=gold,
            fields={name: _plain(_cell(row, name, "extra"), name) for name in mapping.extra},
        )

    def _choices(self, row: Row) -> tuple[tuple[str, ...], tuple[int, ...]]:
        mapping = self._map
        if mapping.choices is None:
            return (), ()
        if isinstance(mapping.choices, str):
            choices = _listed(_cell(row, mapping.choices, "choices"))
        else:
            choices = tuple(_text(row, name, "choices") for name in mapping.choices)
        if len(choices) < 2 or not all(choices):
            raise _RowError(Skip("fewer than two choices, or an empty one", key="fields.choices"))
        column, key = (mapping.answer, "answer") if mapping.answer is not None else (mapping.target, "target")
        return choices, _golds(_cell(row, str(column), key), choices, key)


def _parser(mapping: FieldsSpec) -> _Parser:
    return _Parser(mapping)


def _cell(row: Row, column: str, key: str) -> Any:
    if column not in row:
        nearest = next(iter(get_close_matches(column, row, n=1)), None)
        there = ", ".join(map(str, row))[:300]
        raise _RowError(Skip(f"no column {column!r}", f"fields.{key}", allowed=there, nearest=nearest))
    return row[column]


def _text(row: Row, column: str, key: str, *, empty: bool = False) -> str:
    """A cell as text; numbers are written out, anything else but a string is refused."""
    value = _cell(row, column, key)
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        kind = "empty" if value is None else f"a {type(value).__name__}"
        raise _RowError(Skip(f"column {column!r} is {kind}", f"fields.{key}", allowed="text"))
    if not empty and not value.strip():
        raise _RowError(Skip(f"column {column!r} is empty", f"fields.{key}", allowed="text"))
    return value


def _listed(value: Any) -> tuple[str, ...]:
    """The choices in one cell: a list, a list written as JSON, or lines `A. …`, `B. …`."""
    if isinstance(value, str):
        try:
            value = orjson.loads(value) if value.lstrip().startswith("[") else lettered(value)
        except ValueError:
            value = None
    if not isinstance(value, list | tuple):
        allowed = "a list, a JSON list, or lines 'A. …', 'B. …'"
        raise _RowError(Skip("the choices are not a list", key="fields.choices", allowed=allowed))
    return tuple(_text({"choices": item}, "choices", "choices") for item in value)


def _golds(value: Any, choices: tuple[str, ...], key: str) -> tuple[int, ...]:
    """The right choices, where one or several are named."""
    values = value if isinstance(value, list | tuple) and value else [value]
    return tuple(dict.fromkeys(_gold(item, choices, key) for item in values))


def _gold(value: Any, choices: tuple[str, ...], key: str) -> int:
    """The right choice. Refuses an answer that could mean two of them: 2 among the choices 2, 3 and 4."""
    meant = set(_meanings(value, choices))
    if len(meant) == 1:
        return meant.pop()
    fault = "could be two of the choices" if meant else "is none of the choices"
    raise _RowError(Skip(f"the answer {str(value)[:60]!r} {fault}", f"fields.{key}", allowed=_ANSWERS))


def _meanings(value: Any, choices: tuple[str, ...]) -> Iterable[int]:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return
    text = str(value).strip()
    if text.isascii() and text.isdigit() and int(text[:9]) < len(choices):
        yield int(text[:9])
    if len(text) == 1 and text.isascii() and text.isalpha() and ord(text.upper()) - 65 < len(choices):
        yield ord(text.upper()) - 65
    yield from (index for index, choice in enumerate(choices) if choice.strip() == text)


def _plain(value: Any, column: str) -> Any:
    """A cell as JSON holds it: dates and decimals become text, bytes are refused."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(name): _plain(item, column) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, column) for item in value]
    if isinstance(value, bytes | bytearray | memoryview):
        allowed = "text, numbers, lists"
        raise _RowError(Skip(f"column {column!r} holds bytes", "fields.extra", allowed=allowed))
    return str(value)
