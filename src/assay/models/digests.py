"""SHA-256 of large files, worked out once: remembered by path, size, time of change and inode."""

from __future__ import annotations

from pathlib import Path

import orjson

from assay.errors import ModelUnavailable
from assay.files import digest_file, write_atomic
from assay.home import home

_KEPT = 1000


def cached_digest(path: Path) -> str:
    """SHA-256 of a file. Raises ModelUnavailable where it cannot be read.

    A file that was replaced or written to gets another time or inode and is read again. The memory is only a
    convenience: where it cannot be read or written, the file is read.
    """
    try:
        path = path.resolve(strict=True)
        stat = path.stat()
        key = f"{path}|{stat.st_size}|{stat.st_mtime_ns}|{stat.st_ctime_ns}|{stat.st_ino}"
        known = _read()
        if key not in known:
            known = {**_read(), key: digest_file(path)}
            _write(known)
        return known[key]
    except OSError as error:
        raise ModelUnavailable(f"{path}: {error.strerror}", layer="files", errno=error.errno) from None


def _file() -> Path:
    return home() / "digests.json"


def _read() -> dict[str, str]:
    try:
        value = orjson.loads(_file().read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    if not isinstance(value, dict):
        return {}
    return {key: text for key, text in value.items() if isinstance(text, str) and len(text) == 64}


def _write(known: dict[str, str]) -> None:
    try:
        write_atomic(_file(), orjson.dumps(dict(list(known.items())[-_KEPT:])))
    except OSError:
        return  # worked out again next time
