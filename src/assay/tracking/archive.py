"""A run directory as one file of bytes, for a server that only takes tags: a line of names, then the files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from assay.errors import EvidenceError
from assay.files import canonical

SCHEMA = "assay.archive.v1"
NAME = "run.archive"
_MOST_FILES = 10_000


def pack(names: Mapping[str, Path]) -> bytes:
    """The files of a run by their names inside it: a head in JSON, then each file's bytes one after the other."""
    parts = {name: path.read_bytes() for name, path in sorted(names.items())}
    head = {"schema": SCHEMA, "files": [{"path": name, "bytes": len(data)} for name, data in parts.items()]}
    return b"".join((canonical(head), b"\n", *parts.values()))


def unpack(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Each file's name and bytes. The names are as untrusted as the rest. Raises EvidenceError for what is damaged."""
    line, _, rest = data.partition(b"\n")
    start = 0
    for name, size in _files(line):
        if start + size > len(rest):
            raise EvidenceError("the archive of the run ends too early")
        yield name, rest[start : start + size]
        start += size
    if start != len(rest):
        raise EvidenceError("the archive of the run holds more than it names")


def _files(line: bytes) -> list[tuple[str, int]]:
    try:
        head: Any = orjson.loads(line)
        if head["schema"] != SCHEMA or len(head["files"]) > _MOST_FILES:
            raise EvidenceError("not an archive of a run that this version reads")
        files = [(file["path"], file["bytes"]) for file in head["files"]]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise EvidenceError(f"not an archive of a run: {error!r}") from None
    if not all(isinstance(name, str) and type(size) is int and size >= 0 for name, size in files):
        raise EvidenceError("the archive of the run names no files and sizes")
    return files
