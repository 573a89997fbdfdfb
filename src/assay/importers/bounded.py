"""Reading files that nobody vouches for: JSON of bounded size and depth, entries of a zip, and the values in them."""

from __future__ import annotations

import json
import math
import stat
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import orjson

from assay.errors import ConfigError, MissingExtra, Problem

MOST_JSON = 256 << 20
MOST_ENTRIES = 2_000_000
MOST_UNPACKED = 16 << 30
_ZSTD = 93
"""The number of Zstandard in a zip; Python reads it from 3.14 on."""

_SHORT = 200
_MANY = 50
_NOT_FINITE = (b"NaN", b"Infinity")


class NotFinite(str):
    """`NaN` or `Infinity`, which some tools write where JSON has no word for it: a text, and never a number."""

    __slots__ = ()


def refuse(path: Path | str, message: str, *, line: int | None = None, allowed: str | None = None) -> ConfigError:
    """An error that names a file, ready to be raised."""
    return ConfigError(Problem(message, str(path), line, allowed=allowed))


def plain_file(path: Path) -> None:
    """Raise ConfigError unless there is a plain file at `path`."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        raise refuse(path, f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not stat.S_ISREG(mode):
        raise refuse(path, "not a plain file")


def read_json(path: Path) -> Any:
    """The content of a JSON file of at most 256 MiB. Raises ConfigError that names the file and the line."""
    plain_file(path)
    try:
        with path.open("rb") as file:
            data = file.read(MOST_JSON + 1)
    except OSError as error:
        raise refuse(path, f"cannot be read: {error.strerror}") from None
    if len(data) > MOST_JSON:
        raise refuse(path, "the file is too large", allowed=f"at most {MOST_JSON >> 20} MiB of JSON")
    return parse_json(data, path)


def parse_json(data: bytes, where: Path | str) -> Any:
    """`data` as JSON, NaN and Infinity as `NotFinite`. Raises ConfigError that names the place and the line."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        first = error
    if any(word in data for word in _NOT_FINITE):
        with suppress(ValueError, TypeError, RecursionError):
            value = json.loads(data, parse_constant=NotFinite, parse_float=_float, parse_int=_whole)
            orjson.dumps(value)  # refuses what could not be written again, such as half a surrogate pair
            return value
    raise refuse(where, f"not JSON: {first.msg.splitlines()[0][:_SHORT]}", line=first.lineno)


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(digits)
    return value


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) < 19 else _float(digits)


def mapping(value: Any, path: Path | str, what: str) -> dict[str, Any]:
    """`value` as an object. Raises ConfigError that says what it should have been."""
    if not isinstance(value, dict):
        raise refuse(path, f"{what} is missing, or no object")
    return value


def listing(value: Any, path: Path | str, what: str) -> list[Any]:
    """`value` as a list. Raises ConfigError that says what it should have been."""
    if not isinstance(value, list):
        raise refuse(path, f"{what} is missing, or no list")
    return value


def part(value: Any, *keys: str) -> dict[str, Any]:
    """The object below these keys; an empty one where there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[Any]:
    """A list, or an empty one where the value is none."""
    return value if isinstance(value, list) else []


def number(value: Any) -> float | None:
    """A finite number; None for all else, and for true and false."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    with suppress(OverflowError):
        return float(value) if math.isfinite(value) else None
    return None


def whole(value: Any) -> int | None:
    """A whole number that is not negative; None for all else."""
    return value if type(value) is int and 0 <= value < 2**53 else None


def word(value: Any) -> str | None:
    """A text that holds something; None for all else."""
    return str(value) if isinstance(value, str) and value.strip() else None


def shown(value: Any) -> str:
    """Any JSON value as text: texts as they are."""
    if isinstance(value, str):
        return str(value)
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


def labels(value: Any, leave: frozenset[str] = frozenset()) -> dict[str, Any]:
    """What is short and plain in an object: texts of at most 200 characters, finite numbers, true and false."""
    kept: dict[str, Any] = {}
    for key, item in part({"": value}, "").items():
        short = isinstance(item, bool) or number(item) is not None or (isinstance(item, str) and len(item) <= _SHORT)
        if short and key not in leave and len(key) <= _SHORT and len(kept) < _MANY:
            kept[key] = item if not isinstance(item, NotFinite) else str(item)
    return kept


class Archive:
    """A zip whose entries are read one at a time, whole, and never written anywhere.

    Raises ConfigError, naming file and entry, for what is damaged, encrypted, packed in an unknown way, named so that
    it would lead out of a folder, there twice, or larger than 256 MiB; MissingExtra where zstd cannot be read.
    """

    def __init__(self, path: Path) -> None:
        plain_file(path)
        self.path = path
        try:
            self._file: IO[bytes] = path.open("rb")
        except OSError as error:
            raise refuse(path, f"cannot be read: {error.strerror}") from None
        try:
            self._zip = ZipFile(self._file)
            infos = self._zip.infolist()
            self._entries = {info.filename: info for info in infos}
            self._check(infos)
        except (BadZipFile, OSError, ValueError, NotImplementedError, EOFError) as error:
            self._file.close()
            raise refuse(path, f"not a zip that can be read: {error}") from None
        except ConfigError:
            self._file.close()
            raise

    def _check(self, infos: list[ZipInfo]) -> None:
        if len(infos) > MOST_ENTRIES:
            raise refuse(self.path, f"{len(infos):,} entries", allowed=f"at most {MOST_ENTRIES:,}")
        if len(infos) != len(self._entries):
            raise refuse(self.path, "an entry is there twice")
        if sum(info.file_size for info in infos) > MOST_UNPACKED:
            raise refuse(self.path, "too large when unpacked", allowed=f"at most {MOST_UNPACKED >> 30} GiB")
        for info in infos:
            name = info.filename
            if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") or "\0" in name:
                raise refuse(self.path, f"the entry {name[:_SHORT]!r} leads out of the archive")

    def names(self) -> Iterator[str]:
        """The names of the entries, in their order."""
        return iter(self._entries)

    def json(self, name: str) -> Any:
        """An entry as JSON."""
        return parse_json(self.read(name), f"{self.path}:{name}")

    def read(self, name: str) -> bytes:
        """The bytes of an entry."""
        info = self._entries[name]
        where = f"{self.path}:{name}"
        if info.flag_bits & 1:
            raise refuse(where, "the entry is encrypted")
        if info.file_size > MOST_JSON:
            raise refuse(where, "the entry is too large", allowed=f"at most {MOST_JSON >> 20} MiB")
        try:
            data = self._unpacked(info)
        except (BadZipFile, OSError, EOFError, ValueError, zlib.error, NotImplementedError, RuntimeError) as error:
            raise refuse(where, f"the entry is damaged: {error}") from None
        if len(data) != info.file_size or zlib.crc32(data) != info.CRC:
            raise refuse(where, "the entry is damaged: its size or its checksum is not the one that the archive names")
        return data

    def _unpacked(self, info: ZipInfo) -> bytes:
        if info.compress_type in (ZIP_STORED, ZIP_DEFLATED):
            with self._zip.open(info) as entry:
                return entry.read(info.file_size + 1)
        if info.compress_type == _ZSTD:
            return unzstd(self._packed(info), info.file_size)
        raise ValueError(f"packed by method {info.compress_type}; known are stored, deflate and zstd")

    def _packed(self, info: ZipInfo) -> bytes:
        """The bytes of an entry as they stand in the file: after its local header, whose length may differ."""
        self._file.seek(info.header_offset)
        header = self._file.read(30)
        if len(header) != 30 or header[:4] != b"PK\x03\x04":
            raise ValueError("its header is not where the directory says")
        skip = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        self._file.seek(info.header_offset + 30 + skip)
        data = self._file.read(info.compress_size)
        if len(data) != info.compress_size:
            raise ValueError("it is cut off")
        return data

    def close(self) -> None:
        """Close the file."""
        self._zip.close()
        self._file.close()


def unzstd(data: bytes, size: int) -> bytes:
    """The content of zstd frames, at most one byte more than `size`. Raises ValueError where they are damaged."""
    zstd = _zstd()
    found = bytearray()
    try:
        while data and len(found) <= size:
            frame = zstd.ZstdDecompressor()
            found += frame.decompress(data, max_length=size + 1 - len(found))
            if not frame.eof:
                break
            data = frame.unused_data
    except zstd.ZstdError as error:
        raise ValueError(str(error)) from None
    return bytes(found)


def _zstd() -> Any:
    """Python's own module from 3.14 on, and its backport before."""
    try:
        from importlib import import_module

        return import_module("compression.zstd")
    except ImportError:
        pass
    try:
        from backports import zstd
    except ImportError:
        raise MissingExtra("backports.zstd", "import") from None
    return zstd


def digest_of_source(path: Path) -> Mapping[str, Any]:
    """A file by name, SHA-256 and size. Raises ConfigError where it cannot be read."""
    from assay.files import digest_file

    try:
        return {"name": path.name, "sha256": digest_file(path), "bytes": path.stat().st_size}
    except OSError as error:
        raise refuse(path, f"cannot be read: {error.strerror}") from None
