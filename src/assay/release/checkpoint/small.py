"""The small files of a checkpoint: read only where they are files, inside the folder, and of a bearable size."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import orjson

from assay.errors import EvidenceError, ModelUnavailable

MOST = 8 << 20
_DEEPEST = 64


def inside(folder: Path, path: Path) -> Path:
    """`path`, which must be a file that lies in the folder. Raises EvidenceError where it does not.

    The cache of a hub keeps files in `blobs/` next to `snapshots/` and links to them: those links are followed.
    """
    try:
        real, root = path.resolve(strict=True), folder.resolve(strict=True)
        if not stat.S_ISREG(real.stat().st_mode):
            raise EvidenceError(f"{path}: not a file")
    except (OSError, RuntimeError) as error:
        raise EvidenceError(f"{path}: cannot be followed to a file ({error})") from None
    blobs = root.parent.parent / "blobs" if root.parent.name == "snapshots" else root
    if not real.is_relative_to(root) and real.parent != blobs:
        raise EvidenceError(f"{path}: a link out of the checkpoint's folder, to {real}; it is not followed")
    return path


def read_bytes(folder: Path, name: str, most: int = MOST) -> bytes | None:
    """What is in a file of the folder; None where there is no such file. Raises EvidenceError where it is too large."""
    path = folder / name
    if not path.is_symlink() and not path.exists():
        return None
    inside(folder, path)
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise ModelUnavailable(f"{path}: {error.strerror}", layer="files", errno=error.errno) from None
    if len(data) > most:
        raise EvidenceError(f"{path}: larger than {most} bytes")
    return data


def read_object(folder: Path, name: str, most: int = MOST) -> dict[str, Any]:
    """The JSON object in a file of the folder; empty where there is no such file.

    Raises EvidenceError where it is no JSON object, or nested deeper than any configuration is.
    """
    data = read_bytes(folder, name, most)
    if data is None:
        return {}
    value = parsed(data, folder / name)
    if not isinstance(value, dict):
        raise EvidenceError(f"{folder / name}: not a JSON object")
    return value


def parsed(data: bytes, where: Path) -> Any:
    """The value of a JSON text. `Infinity` and `NaN`, which some configurations have, become texts."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        try:
            value = json.loads(data, parse_constant=str)
            json.dumps(value, ensure_ascii=False).encode()  # halves of surrogates are no text
        except (ValueError, RecursionError) as error:
            raise EvidenceError(f"{where}: not JSON ({error})") from None
    if _deeper(value, _DEEPEST):
        raise EvidenceError(f"{where}: nested deeper than {_DEEPEST} levels")
    return value


def _deeper(value: Any, levels: int) -> bool:
    """Whether a value is nested deeper than so many levels, worked out without recursion."""
    floor = [value]
    for _ in range(levels):
        floor = [
            part
            for item in floor
            if isinstance(item, dict | list)
            for part in (item.values() if isinstance(item, dict) else item)
            if isinstance(part, dict | list)
        ]
        if not floor:
            return False
    return True
