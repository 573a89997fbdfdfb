"""Digests of a checkpoint, whole and in parts."""

from __future__ import annotations

import hashlib
from pathlib import Path

from assay.models.digests import cached_digest
from assay.models.hf_files import folder_digest
from assay.release.checkpoint.record import Checkpoint

_CHUNK = 1 << 20


def digest(checkpoint: Checkpoint) -> str:
    """SHA-256 of a file, or of the names and SHA-256 of all files of a folder that shape an answer.

    Remembered by size and time of change: a large checkpoint is hashed once. The same as in the identity of a model.
    """
    if checkpoint.path.is_dir():
        return folder_digest(checkpoint.path)
    return cached_digest(checkpoint.path)


def span_digest(path: Path, span: tuple[int, int]) -> str:
    """SHA-256 of the bytes from the first up to the second of `span`."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(span[0])
        left = span[1] - span[0]
        while left > 0 and (data := file.read(min(left, _CHUNK))):
            found.update(data)
            left -= len(data)
    return found.hexdigest()
