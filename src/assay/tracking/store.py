"""Where a run's files go: into the server's artifact store, or into tags where that store cannot be reached from here.

A store is tried, not believed: a server may keep its artifacts in a folder of its own machine, and MLflow's client
would then write into a folder of the same name on this one. What was put there counts only if the server sees it.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, Protocol
from urllib.parse import unquote, urlsplit

from assay.errors import AssayError
from assay.files import digest, pretty
from assay.tracking import archive, chunks
from assay.tracking.client import Client, Seen

Kind = Literal["artifacts", "tags"]
RUN = "run"
"""The folder of the parent's artifacts that holds the run directory."""

_MARK = "assay.json"
_MOST_PACKED = 32 << 20
"""A larger run directory is not even tried to be compressed into tags."""


class Store(Protocol):
    """Takes the files of a unit, and of the whole run; returns the tags that they need."""

    kind: Kind
    why: str

    def put(self, run: Seen, files: Mapping[str, Path]) -> dict[str, str]:
        """Keep a unit's files."""
        ...

    def put_run(self, parent: Seen, files: Mapping[str, Path], known: Mapping[str, str]) -> dict[str, str]:
        """Keep the run directory, whose files are given by their names in it; `known`: digests of what is there."""
        ...


@dataclass
class Artifacts:
    """The server's artifact store."""

    client: Client
    kind: Kind = "artifacts"
    why: str = ""

    def put(self, run: Seen, files: Mapping[str, Path]) -> dict[str, str]:
        """Upload a unit's files."""
        for path in files.values():
            self.client.upload(run, path)
        return {}

    def put_run(self, parent: Seen, files: Mapping[str, Path], known: Mapping[str, str]) -> dict[str, str]:
        """Upload what is not there yet; the manifest last, so that half of it is never taken for whole."""
        for name, path in sorted(files.items(), key=lambda item: (item[0] == "manifest.json", item[0])):
            if name in known and known[name] == digest(path.read_bytes()):
                continue
            folder = Path(name).parent.as_posix()
            self.client.upload(parent, path, RUN if folder == "." else f"{RUN}/{folder}")
        return {}


@dataclass
class Tags:
    """Tags of the run: small files only, and of larger ones a word that they are not there."""

    client: Client
    why: str
    kind: Kind = "tags"

    def put(self, run: Seen, files: Mapping[str, Path]) -> dict[str, str]:
        """The tags of a unit's files."""
        found: dict[str, str] = {}
        for name, path in files.items():
            found |= self._tags(run, name, path.read_bytes(), chunks.FEW_CHUNKS)
        return found

    def put_run(self, parent: Seen, files: Mapping[str, Path], known: Mapping[str, str]) -> dict[str, str]:
        """The tags of the run directory, as one archive."""
        size = sum(path.stat().st_size for path in files.values())
        if size > _MOST_PACKED:
            return chunks.refusal(archive.NAME, size, chunks.MOST_CHUNKS)
        return self._tags(parent, archive.NAME, archive.pack(files), chunks.MOST_CHUNKS)

    def _tags(self, run: Seen, name: str, data: bytes, most: int) -> dict[str, str]:
        """The tags; those of an earlier and longer version are removed."""
        found = chunks.encode(name, data, most)
        for key in chunks.stale(name, run.tags, found):
            self.client.drop_tag(run.id, key)
        return found


def choose(client: Client, parent: Seen) -> Store:
    """The store that holds what is put there, tried with a small file."""
    parts = urlsplit(parent.artifact_uri)
    if parts.scheme in ("", "file"):
        return _local(client, parent, Path(unquote(parts.path)))
    why = _try(client, parent)
    return Tags(client, why) if why else Artifacts(client)


def _try(client: Client, parent: Seen) -> str:
    """Put a small file there and ask the server for it; returns why that failed, empty where it did not."""
    with TemporaryDirectory() as folder:
        mark = Path(folder, _MARK)
        mark.write_bytes(pretty({"schema": "assay.tracking.v1", "run": parent.id}))
        try:
            client.upload(parent, mark)
            seen = client.listed(parent.id)
        except AssayError as error:
            return error.message
        except Exception as error:  # a store's own package may be missing, or its credentials: each says so otherwise
            return f"{type(error).__name__}: {error}"[:300]
    return "" if _MARK in seen else "the server does not see what is put there"


def _local(client: Client, parent: Seen, place: Path) -> Store:
    """A folder: this machine's own, or of the server's machine under a name that may mean something else here."""
    missing = [folder for folder in (place, *place.parents) if not folder.exists()]
    here = urlsplit(client.uri).hostname in ("localhost", "127.0.0.1", "::1")
    if len(missing) > 3 and not here:
        return Tags(client, f"the server keeps its artifacts in {place}, which is no folder of this machine")
    why = _try(client, parent)
    if not why:
        return Artifacts(client)
    if missing and missing[-1].is_dir():
        shutil.rmtree(missing[-1], ignore_errors=True)  # what was made here to try it, and nothing that was here before
    return Tags(client, f"the server keeps its artifacts in {place}, which is not reached from here: {why}")
