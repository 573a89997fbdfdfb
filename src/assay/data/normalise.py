"""Raw rows into Samples, once: the result is kept as JSON lines and checked by digest ever after.

Three files a data set in `$ASSAY_HOME/datasets`, all derived and safe to delete:

    NAME-KEY.jsonl   one Sample a line, canonical JSON
    NAME-KEY.keys    one line a Sample: content key, number of shingles, id
    NAME-KEY.json    digests of the other two, where the data came from, what was skipped; written last
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from assay.data.content import asked, beside, content_key
from assay.data.rows import BrokenFileError, Numbered, rows
from assay.data.similar import size
from assay.data.sources import Skip, Source
from assay.errors import ConfigError, DataUnavailable, Problem
from assay.files import canonical, digest_file, pretty, write_atomic
from assay.records import Sample

SCHEMA = "assay.dataset.v1"
MAX_ID = 200
_REVISION = "1"  # of this module: changes whenever the same samples would give other files
_SHOWN_PROBLEMS = 20
_SHOWN_LINES = 10
_KINDS = 1000
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Files:
    """Where a normalised data set lies."""

    samples: Path
    keys: Path
    note: Path

    @classmethod
    def of(cls, folder: Path, name: str, key: str) -> Files:
        """The three names; `name` may hold anything and is reduced to what a file name can hold."""
        stem = f"{_slug(name)}-{key}"
        return cls(folder / f"{stem}.jsonl", folder / f"{stem}.keys", folder / f"{stem}.json")


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name)[-60:].lstrip(".")


def notes(folder: Path, name: str) -> Iterator[Path]:
    """The notes of every normalised copy of the data set `name`."""
    return folder.glob(f"{_slug(name)}-*.json")


def key_of(source: Source, sha256: str, version: str) -> str:
    """What a normalised file depends on, as 16 hex digits."""
    parts = [_REVISION, source.format, sha256, version, source.revision, list(source.shown)]
    return hashlib.sha256(canonical(parts)).hexdigest()[:16]


@dataclass(slots=True)
class _Pass:
    """What one pass over the rows gathers."""

    place: str
    strict: bool
    samples: Any = field(default_factory=hashlib.sha256)
    keys: list[bytes] = field(default_factory=list)
    seen: dict[str, int] = field(default_factory=dict)
    rows: int = 0
    skipped: dict[Skip, list[int]] = field(default_factory=dict)
    counts: dict[Skip, int] = field(default_factory=dict)

    def skip(self, line: int, skip: Skip) -> None:
        """Note a row that is no sample. A file with endless kinds of faults must not fill the memory."""
        if skip not in self.counts and len(self.counts) >= _KINDS:
            skip = Skip("other reasons")
        self.counts[skip] = self.counts.get(skip, 0) + 1
        lines = self.skipped.setdefault(skip, [])
        if len(lines) < _SHOWN_LINES:
            lines.append(line)


def normalise(source: Source, path: Path, sha256: str, version: str, files: Files) -> None:
    """Write the three files for `path`, whose bytes have the digest `sha256`.

    Raises ConfigError with every unusable row of a strict source (20 shown), with two rows of one id, or with
    a file that changes meanwhile; DataUnavailable where a source that is not strict cannot be read to its
    end.
    """
    found = _Pass(place=str(source.where), strict=source.strict)
    write_atomic(files.samples, _samples(source, rows(path, source.format), found))
    if digest_file(path) != sha256:
        files.samples.unlink()
        raise ConfigError(Problem("the file changed while it was read", where=found.place))
    write_atomic(files.keys, found.keys)
    write_atomic(files.note, pretty(_note(source, sha256, version, found)))


def _samples(source: Source, raw: Numbered, found: _Pass) -> Iterator[bytes]:
    for line, row in _whole(raw, found):
        sample = row if isinstance(row, Skip) else _parsed(source, row, found.rows)
        found.rows += 1
        if isinstance(sample, Skip):
            found.skip(line, sample)
            continue
        data = _encoded(sample, line, found)
        if isinstance(data, Skip):
            found.skip(line, data)
            continue
        found.samples.update(data)
        found.keys.append(_key_line(sample, source.shown))
        yield data
    _refuse(found)


def _whole(raw: Numbered, found: _Pass) -> Numbered:
    """The rows; what ends the file too early is an error, never a shorter data set."""
    try:
        yield from raw
    except BrokenFileError as error:
        if found.strict:
            raise ConfigError(_problems(found, Problem(error.reason, found.place, error.line))) from None
        raise DataUnavailable(f"{found.place}:{error.line}: {error.reason}", layer="data") from None


def _parsed(source: Source, row: Any, index: int) -> Sample | Skip:
    """`parse`, with what a row of the wrong shape makes it raise turned into the reason for skipping it."""
    try:
        return source.parse(row, index)
    except KeyError as error:
        return Skip(f"no {error.args[0]!r} in this row", allowed=", ".join(map(str, row)))
    except (TypeError, ValueError, AttributeError, IndexError) as error:
        return Skip(f"not of the expected shape: {error}")


def _encoded(sample: Sample, line: int, found: _Pass) -> bytes | Skip:
    """A sample's line; notes its id, which must be new."""
    if not sample.id or len(sample.id) > MAX_ID or _CONTROL.search(sample.id):
        return Skip("unusable id", allowed=f"1 to {MAX_ID} characters, no control characters")
    first = found.seen.setdefault(sample.id, line)
    if first != line:
        return Skip(f"the id {sample.id!r} is taken by line {first}", allowed="unique ids")
    if any(not 0 <= gold < len(sample.choices) for gold in sample.gold):
        return Skip(f"the right choice {sample.gold} is not one of {len(sample.choices)} choices")
    try:
        return canonical(_json(sample)) + b"\n"
    except (TypeError, ValueError, orjson.JSONEncodeError) as error:
        return Skip(f"cannot be written as JSON: {error}")


def _json(sample: Sample) -> dict[str, Any]:
    """`Sample.to_json` without its deep copies, which would be half of the work here."""
    value: dict[str, Any] = {"id": sample.id, "input": sample.input}
    for name in ("target", "choices", "gold", "fields", "metadata"):
        if part := getattr(sample, name):
            value[name] = part
    return value


def _key_line(sample: Sample, shown: tuple[str, ...]) -> bytes:
    parts = asked(sample)
    key = content_key([*parts, beside(sample, shown)])
    return f"{key.hex()} {size(parts)} {sample.id}\n".encode()


def _refuse(found: _Pass) -> None:
    """After the last row: raise what is the user's to correct."""
    problems = _problems(found) if found.strict else _repeats(found)
    if not problems and not found.keys:
        problems = [Problem("no samples in this file", where=found.place)]
    if problems:
        raise ConfigError(problems)


def _problems(found: _Pass, *more: Problem) -> list[Problem]:
    """Every kind of fault with its first line, the first twenty of them, and how many there are in all."""
    listed = [_problem(found, skip) for skip in list(found.counts)[:_SHOWN_PROBLEMS]]
    total = sum(found.counts.values())
    if len(found.counts) > _SHOWN_PROBLEMS:
        listed.append(Problem(f"and more: {total} rows cannot be used", where=found.place))
    return [*listed, *more]


def _problem(found: _Pass, skip: Skip) -> Problem:
    count, lines = found.counts[skip], found.skipped[skip]
    others = f" (and {count - 1} more rows: {', '.join(map(str, lines[1:]))}" if count > 1 else ""
    others += (", …)" if count > len(lines) else ")") if others else ""
    return Problem(
        skip.reason + others,
        where=found.place,
        line=lines[0],
        key=skip.key,
        allowed=skip.allowed,
        nearest=skip.nearest,
    )


def _repeats(found: _Pass) -> list[Problem]:
    """Repeated ids are an error even where other rows may be skipped: the data would depend on their
    order."""
    return [_problem(found, skip) for skip in found.counts if skip.allowed == "unique ids"][:_SHOWN_PROBLEMS]


def _note(source: Source, sha256: str, version: str, found: _Pass) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "digest": found.samples.hexdigest(),
        "keys_digest": hashlib.sha256(b"".join(found.keys)).hexdigest(),
        "samples": len(found.keys),
        "rows": found.rows,
        "skipped": [
            {"reason": skip.reason, "count": found.counts[skip], "lines": lines}
            for skip, lines in found.skipped.items()
        ],
        "shown": list(source.shown),
        "sha256": sha256,
        "version": version,
        "revision": source.revision,
        "where": str(source.where),
        "origin": source.origin,
        "licence": source.licence,
    }
