"""How assay writes and reads bytes: canonical JSON, digests, atomic files, JSON lines.

Covered: one way to turn a value into bytes (so that equal values have equal digests), one way to put a file
in place (whole or not at all). Not covered: the run's journal, which is appended to (`assay.run.journal`).
"""

from __future__ import annotations

import hashlib
import math
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from assay.errors import EvidenceError

_OPTIONS = orjson.OPT_SORT_KEYS
_CHUNK = 1 << 20


def canonical(value: Any) -> bytes:
    """`value` as JSON: UTF-8, sorted keys, no spaces, no final newline.

    Raises ValueError for NaN and Infinity, which JSON cannot say and which must never pass for a number.
    """
    _refuse_non_finite(value)
    return orjson.dumps(value, option=_OPTIONS)


def pretty(value: Any) -> bytes:
    """`value` as JSON for a person to read: `canonical` with two spaces of indent and a final newline."""
    _refuse_non_finite(value)
    return orjson.dumps(value, option=_OPTIONS | orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _refuse_non_finite(value: Any) -> None:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} is not a JSON number")
    elif isinstance(value, dict):
        for item in value.values():
            _refuse_non_finite(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_non_finite(item)


def digest(data: bytes) -> str:
    """SHA-256 of `data`, 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def digest_of(value: Any) -> str:
    """SHA-256 of `value`'s canonical JSON."""
    return digest(canonical(value))


def digest_file(path: Path) -> str:
    """SHA-256 of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomic(path: Path, data: bytes | Iterable[bytes]) -> None:
    """Put `data` at `path`, whole or not at all: written beside it, synced, then renamed over it.

    Missing folders are made. Whatever goes wrong, the old file stays and no half-written one is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            for piece in [data] if isinstance(data, bytes) else data:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        part.chmod(0o666 & ~_umask())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def sync_folder(path: Path) -> None:
    """Make a rename in `path` survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_json(path: Path, schema: str | None = None) -> dict[str, Any]:
    """A JSON object from a file; with `schema`, its `schema` field must be just that.

    Raises EvidenceError that names the file when it is missing, broken, or of another kind.
    """
    try:
        value = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        raise EvidenceError(f"{path}: no such file") from None
    except orjson.JSONDecodeError as error:
        raise EvidenceError(f"{path}: not JSON ({error})") from None
    if not isinstance(value, dict):
        raise EvidenceError(f"{path}: expected an object")
    if schema is not None and value.get("schema") != schema:
        raise EvidenceError(f"{path}: schema is {value.get('schema')!r}, expected {schema!r}")
    return value


def read_lines(path: Path) -> Iterator[bytes]:
    """The whole lines of a file, without their newline; the last may lack one. Constant memory."""
    with path.open("rb") as file:
        for line in file:
            yield line.rstrip(b"\r\n")
