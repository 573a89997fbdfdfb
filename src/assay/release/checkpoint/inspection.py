"""Reading a checkpoint: which kind of thing a path is, and what its headers say."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

from assay.errors import ConfigError, EvidenceError, ModelUnavailable, Problem
from assay.release.checkpoint.folder import PICKLES, from_folder
from assay.release.checkpoint.gguf import from_gguf
from assay.release.checkpoint.record import Checkpoint
from assay.release.checkpoint.safetensors import from_file

_ALLOWED = "a .gguf file, a .safetensors file, or a folder with config.json and *.safetensors"


def inspect(path: Path) -> Checkpoint:
    """What the checkpoint at `path` holds.

    Raises ConfigError where there is none, EvidenceError where it is broken or not what it claims to be, and
    MachineError where it cannot be read.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise ConfigError(Problem(f"no checkpoint: {error.strerror}", str(path), allowed=_ALLOWED)) from None
    if stat.S_ISDIR(mode):
        return _read(from_folder, path)
    if not stat.S_ISREG(mode):
        raise ConfigError(Problem("neither a file nor a folder", str(path), allowed=_ALLOWED))
    if path.suffix in PICKLES:
        raise EvidenceError(
            f"{path}: a pickle, which runs code when it is loaded; it is not opened",
            hint="convert the checkpoint to safetensors where you trust it",
        )
    return _read(from_gguf if _magic(path) == b"GGUF" else from_file, path)


def _magic(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(4)
    except OSError as error:
        raise ModelUnavailable(f"{path}: {error.strerror}", layer="files", errno=error.errno) from None


def _read(reader: Callable[[Path], Checkpoint], path: Path) -> Checkpoint:
    """What was read. What is wrong with the bytes is no fault of the machine."""
    try:
        return reader(path)
    except ModelUnavailable as error:
        if error.errno is not None:
            raise
        raise EvidenceError(error.message.rpartition(" [")[0], hint=error.hint) from None
