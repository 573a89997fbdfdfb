"""Runs from MLflow, for judging and ranking on another machine: fetched, checked against their seals, and kept.

They land in `$ASSAY_HOME/tracking/`, one folder an experiment, where the ordinary commands read them. Everything that a
server says is taken for hostile: names lead nowhere else, sizes are known before a byte is read, and what does not come
to its manifest's digests is refused.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, Protocol

from assay.errors import ConfigError, EvidenceError, MachineError
from assay.evidence.manifest import SIGNATURE, layers, read_manifest
from assay.evidence.verify import subject_of
from assay.files import digest
from assay.home import home
from assay.run.folder import RunFolder
from assay.tracking import archive, chunks, layout, memory
from assay.tracking.client import PATIENT, Client, Patience, Seen
from assay.tracking.memory import Tracked
from assay.tracking.store import RUN
from assay.tracking.target import GRANULARITIES, Target

MOST_BYTES = 4 << 30
"""Of one run directory."""

MOST_FILES = 20_000
_MOST_MANIFEST = 16 << 20
_MOST_LOOSE = 4 << 20
_MOST_ARCHIVE = 64 << 20
_LOOSE = re.compile(
    r"manifest\.sig\.json|sealed/[A-Za-z0-9._-]{1,100}/manifest\.sig\.json|verdicts/[A-Za-z0-9][A-Za-z0-9._-]{0,150}\.json"
)
"""What stands in a run without being sealed: signatures, and verdicts given since."""


@dataclass
class Pulled:
    """What an experiment holds: runs that are here now, and what is to be said of them and of those that are not."""

    runs: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def pull(
    uri: str,
    experiment: str,
    *,
    plan: str | None = None,
    patience: Patience = PATIENT,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Pulled:
    """Every run that is logged whole in an experiment, as sealed run directories here; with `plan`, those of the plan
    with that digest alone.

    Raises ConfigError where there is no such experiment or nothing is in it, BackendUnreachable where nobody answers,
    EvidenceError for a run that is not what its seal says.
    """
    client = Client(uri, patience)
    client.check()
    number = client.experiment(experiment)
    parents = _parents(client, number, plan)
    found = Pulled()
    place = home() / "tracking" / digest(f"{uri}\n{number}".encode())[:12]
    for done, parent in enumerate(parents):
        progress(done, len(parents))
        if layout.MANIFEST not in parent.tags:
            found.notes.append(
                f"{_shown(parent.name)} is not logged whole yet, and left out: 'assay track' finishes it"
            )
            continue
        try:
            _one(client, parent, Target(uri, experiment, *_how(parent)), place, found)
        except OSError as error:
            raise MachineError(f"cannot write {place}", layer="tracking", errno=error.errno) from error
    progress(len(parents), len(parents))
    if not found.runs:
        hint = "; ".join(found.notes) or "'assay track RUN' puts runs there"
        raise ConfigError(f"the experiment {experiment!r} at {uri} holds no run of assay that is whole", hint=hint)
    return found


def _parents(client: Client, experiment: str, plan: str | None) -> list[Seen]:
    """The parent runs; of several of the same run the one that everybody takes."""
    found: dict[tuple[str, str], Seen] = {}
    wanted = {layout.KEY: layout.PARENT_KEY} | ({layout.PLAN: plan} if plan is not None else {})
    for seen in client.runs(experiment, wanted):
        key = seen.tags.get(layout.PLAN, ""), seen.tags.get(layout.ROOT, seen.id)
        before = found.get(key)
        if before is None or (layout.MANIFEST not in seen.tags, seen.id) < (
            layout.MANIFEST not in before.tags,
            before.id,
        ):
            found[key] = seen
    return list(found.values())


def _how(parent: Seen) -> tuple[Any, bool]:
    grain = parent.tags.get(layout.GRAIN)
    return (grain if grain in GRANULARITIES else "cell"), parent.tags.get("assay.traces") == "true"


def _one(client: Client, parent: Seen, target: Target, place: Path, found: Pulled) -> None:
    """One run: as it is here already, or fetched."""
    path = place / _name(parent)
    there = parent.tags[layout.MANIFEST]
    with memory.lock(path):
        here = _ids(path)
        if here and there in here:
            found.runs.append(path)
            if here[0] != there:
                found.notes.append(f"{path} has a layer that is not logged: 'assay track {path}' does it")
            return
        with TemporaryDirectory(prefix=".fetched-", dir=_made(place)) as temporary:
            fresh = Path(temporary, "run")
            _fetch(client, parent, fresh)
            if here and here[0] not in _ids(fresh):
                aside = _aside(path)
                path.rename(aside)
                found.notes.append(f"what was added here and overtaken there is kept in {aside}")
            elif path.exists():
                shutil.rmtree(path)
            fresh.rename(path)
        memory.remember(Tracked(path, target, there, parent.id))
        found.runs.append(path)


def _made(place: Path) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    return place


def _name(parent: Seen) -> str:
    """A folder's name, of letters that mean nothing to a file system."""
    name = re.sub(r"[^A-Za-z0-9_-]", "_", parent.tags.get("assay.name", ""))[:60] or "run"
    plan = re.sub(r"[^0-9a-f]", "", parent.tags.get(layout.PLAN, ""))[:8]
    return f"{name}-{plan}-{digest(parent.id.encode())[:6]}"


def _shown(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable())[:100]


def _ids(path: Path) -> list[str]:
    """The ids of a run's seals, the newest first; none where there is no sealed run."""
    folder = RunFolder(path)
    if not folder.exists or not folder.manifest.exists():
        return []
    return [str(read_manifest(folder.manifest)["id"]), *(str(seal["id"]) for seal in layers(folder).values())]


def _aside(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.old{number}")).exists():
        number += 1
    return aside


class _Source(Protocol):
    """Where the files of a run are read from."""

    def read(self, name: str, into: BinaryIO, most: int) -> None:
        """Write a file's bytes; EvidenceError where it is not there or larger than `most`."""
        ...

    def loose(self, sealed: Iterable[str]) -> Iterator[str]:
        """The names of what is there beside what is sealed."""
        ...


@dataclass
class _Artifacts:
    client: Client
    id: str

    def read(self, name: str, into: BinaryIO, most: int) -> None:
        self.client.fetch(self.id, f"{RUN}/{name}", into, most)

    def loose(self, sealed: Iterable[str]) -> Iterator[str]:
        seals = ["", *(name.removesuffix("manifest.json") for name in sealed if _is_seal(name))]
        yield from (
            f"{folder}{SIGNATURE}"
            for folder in seals
            if SIGNATURE in self.client.listed(self.id, f"{RUN}/{folder}".rstrip("/"))
        )
        yield from (f"verdicts/{name}" for name in sorted(self.client.listed(self.id, f"{RUN}/verdicts")))


def _is_seal(name: str) -> bool:
    return name.startswith("sealed/") and name.endswith("/manifest.json") and name.count("/") == 2


@dataclass
class _Tags:
    files: Mapping[str, bytes]

    def read(self, name: str, into: BinaryIO, most: int) -> None:
        data = self.files.get(name)
        if data is None or len(data) > most:
            raise EvidenceError(f"the archive of the run lacks {name}, or it is larger than it should be")
        into.write(data)

    def loose(self, sealed: Iterable[str]) -> Iterator[str]:
        yield from self.files


def _fetch(client: Client, parent: Seen, folder: Path) -> None:
    """Fetch a run into a new folder, and check it. Raises EvidenceError that says whose run it is."""
    try:
        _fill(_source(client, parent), folder, parent)
        subject_of(folder)
        plan = RunFolder(folder).plan()
        if (
            plan.digest != parent.tags.get(layout.PLAN)
            or read_manifest(folder / "manifest.json")["plan"] != plan.digest
        ):
            raise EvidenceError("its plan is not the one that it is logged under")
    except (EvidenceError, ConfigError) as error:
        where = f"{_shown(parent.name)} ({_shown(parent.id)}) at {client.uri}"
        hint = "somebody may be logging it just now: try again; else log it again with 'assay track' where it was made"
        raise EvidenceError(f"{where} is not what was sealed: {error.message}", hint=hint) from error


def _source(client: Client, parent: Seen) -> _Source:
    if parent.tags.get(layout.STORE) != "tags":
        return _Artifacts(client, parent.id)
    if why := chunks.refused(archive.NAME, parent.tags):
        raise ConfigError(f"its run directory is not there ({why})")
    return _Tags(dict(archive.unpack(chunks.decode(archive.NAME, parent.tags, _MOST_ARCHIVE))))


def _fill(source: _Source, folder: Path, parent: Seen) -> None:
    folder.mkdir()
    manifest = _manifest(source, folder / "manifest.json")
    if manifest["id"] != parent.tags[layout.MANIFEST]:
        raise EvidenceError(f"its manifest is {manifest['id']}, logged is {_shown(parent.tags[layout.MANIFEST])}")
    files = {str(file["path"]): int(file["bytes"]) for file in manifest["files"]}
    if len(files) > MOST_FILES or sum(files.values()) > MOST_BYTES:
        raise EvidenceError(f"it holds more than {MOST_FILES} files or {MOST_BYTES} bytes")
    for name, size in files.items():
        _write(source, folder, name, size)
    loose = [name for name in source.loose(files) if name not in files and _LOOSE.fullmatch(name)]
    for name in loose[:MOST_FILES]:
        _write(source, folder, name, _MOST_LOOSE)


def _manifest(source: _Source, path: Path) -> dict[str, Any]:
    """The manifest, read with a limit and checked before anything that it names is."""
    with path.open("xb") as file:
        source.read("manifest.json", file, _MOST_MANIFEST)
    return read_manifest(path)


def _write(source: _Source, folder: Path, name: str, most: int) -> None:
    path = folder / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            source.read(name, file, most)
    except (FileExistsError, NotADirectoryError) as error:
        raise EvidenceError(f"two files of it have the same place: {_shown(name)}") from error
