"""Texts and files in tags, for a server whose artifact store cannot be reached from here.

A text of up to 8,000 characters is one tag, `artifact:prompt.txt`. A longer one is compressed and cut into tags
`artifact:prompt.txt/0001`, …; the tag without a number then says how many there are, and what they come to. There is a
bound, because a server hands out all tags of a run at once; what is larger is not kept, and the tag says so.
"""

from __future__ import annotations

import base64
import binascii
import lzma
import re
from collections.abc import Mapping
from typing import Any

import orjson

from assay.errors import EvidenceError
from assay.files import canonical, digest
from assay.tracking.client import TAG_LENGTH

SCHEMA = "assay.chunks.v1"
REFUSED = "assay.not_logged.v1"
PREFIX = "artifact:"
MOST_CHUNKS = 128
"""Of a whole run directory: 768 kB, compressed."""

FEW_CHUNKS = 8
"""Of one file of a cell: 48 kB, compressed. A server hands the tags of a hundred cells out in one answer."""

_ENCODING = "xz+base64"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_KEYS = {"schema", "encoding", "chunks", "bytes", "sha256"}


def encode(name: str, data: bytes, most: int) -> dict[str, str]:
    """The tags of a file, `most` of them; one that says so where it is too large for them."""
    text = _plain(data)
    if text is not None:
        return {f"{PREFIX}{name}": text}
    packed = base64.b64encode(lzma.compress(data, preset=6)).decode()
    pieces = [packed[start : start + TAG_LENGTH] for start in range(0, len(packed), TAG_LENGTH)]
    if len(pieces) > most:
        return refusal(name, len(data), most)
    head = {"schema": SCHEMA, "encoding": _ENCODING, "chunks": len(pieces), "bytes": len(data), "sha256": digest(data)}
    numbered = {_key(name, number): piece for number, piece in enumerate(pieces)}
    return {f"{PREFIX}{name}": canonical(head).decode(), **numbered}


def refusal(name: str, size: int, most: int) -> dict[str, str]:
    """The tag that says that a file is too large for tags."""
    why = f"too large for tags: {size} bytes, and compressed more than {most * TAG_LENGTH * 3 // 4}"
    return {f"{PREFIX}{name}": canonical({"schema": REFUSED, "why": why, "bytes": size}).decode()}


def refused(name: str, tags: Mapping[str, str]) -> str | None:
    """Why a file is not in the tags; None where it is."""
    head = _head(tags.get(f"{PREFIX}{name}", ""))
    return str(head.get("why"))[:200] if head and head["schema"] == REFUSED else None


def _plain(data: bytes) -> str | None:
    """As a tag's own text; None where it is empty or too long, no text, or could be taken for a head."""
    try:
        text = data.decode() if 0 < len(data) <= 4 * TAG_LENGTH else ""
    except UnicodeDecodeError:
        return None
    fits = 0 < len(text) <= TAG_LENGTH and "\0" not in text and "\r" not in text
    return text if fits and _head(text) is None else None


def _key(name: str, number: int) -> str:
    return f"{PREFIX}{name}/{number:04d}"


def stale(name: str, before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The tags of an earlier, longer version of a file that the new one does not overwrite."""
    return [key for key in before if key.startswith(f"{PREFIX}{name}/") and key not in now]


def _head(text: str) -> dict[str, Any] | None:
    """What a tag says of the chunks; None where it is a text of its own."""
    if not text.startswith("{"):
        return None
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    known = isinstance(value, dict) and value.get("schema") in (SCHEMA, REFUSED)
    return value if known else None


def decode(name: str, tags: Mapping[str, str], most: int) -> bytes:
    """A file from its tags. Raises EvidenceError where it is not there, damaged, or larger than `most` bytes."""
    if not _NAME.fullmatch(name) or f"{PREFIX}{name}" not in tags:
        raise EvidenceError(f"no tag holds {name}")
    text = tags[f"{PREFIX}{name}"]
    head = _head(text)
    if head is None:
        return text.encode("utf-8", "surrogatepass")
    if head["schema"] != SCHEMA:
        raise EvidenceError(f"{name} was not logged: {refused(name, tags)}")
    if set(head) != _KEYS or head["encoding"] != _ENCODING or not _counts(head, most):
        raise EvidenceError(f"the tags of {name} are not what assay writes, or hold more than {most} bytes")
    missing = [number for number in range(head["chunks"]) if _key(name, number) not in tags]
    if missing:
        raise EvidenceError(f"the tags of {name} lack piece {missing[0]} of {head['chunks']}")
    data = _unpacked(name, "".join(tags[_key(name, number)] for number in range(head["chunks"])), head["bytes"])
    if digest(data) != head["sha256"]:
        raise EvidenceError(f"the tags of {name} do not come to what they say: SHA-256 {digest(data)}")
    return data


def _counts(head: Mapping[str, Any], most: int) -> bool:
    chunks, size = head["chunks"], head["bytes"]
    return type(chunks) is int and 0 < chunks <= MOST_CHUNKS and type(size) is int and 0 <= size <= most


def _unpacked(name: str, packed: str, size: int) -> bytes:
    """What was compressed, and not a byte more than it was said to be."""
    try:
        raw = base64.b64decode(packed, validate=True)
        unpacker = lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=256 << 20)
        data = unpacker.decompress(raw, max_length=size + 1)
        if len(data) == size and not unpacker.eof:
            data += unpacker.decompress(b"", max_length=1)
    except (binascii.Error, lzma.LZMAError, EOFError, MemoryError) as error:
        raise EvidenceError(f"the tags of {name} cannot be unpacked: {error}") from None
    if len(data) != size:
        raise EvidenceError(f"the tags of {name} hold another number of bytes than they say")
    return data
