"""Safetensors files as a checkpoint."""

from __future__ import annotations

from pathlib import Path

from assay.models.safetensors_header import read_header
from assay.release.checkpoint.record import Checkpoint, Shards, Tensor


def tensors_of(path: Path) -> list[Tensor]:
    """The tensors of one file. Raises ModelUnavailable that says what is wrong with it."""
    return [
        Tensor(one.name, one.format, one.shape, one.bytes, path.name, one.offset) for one in read_header(path).tensors
    ]


def from_file(path: Path) -> Checkpoint:
    """One file by itself, which says nothing of its model but the tensors."""
    header = read_header(path)
    return Checkpoint(
        path=path,
        format="safetensors",
        tensors=tuple(tensors_of(path)),
        shards=Shards(1),
        total_bytes=header.file_bytes,
        metadata=header.metadata,
    )
