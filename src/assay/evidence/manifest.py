"""Sealing: a manifest with the path, size and SHA-256 of every file of a run.

Sealing is layered. When a sealed run grows (scored again, errors retried), the old manifest and the derived files it
covered move to `sealed/<id>/`, and the new manifest names the old one as its parent. Nothing sealed is rewritten.
"""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.errors import EvidenceError, MachineError
from assay.files import digest_file, digest_of, pretty, read_json, write_atomic
from assay.run.folder import MANIFEST_SCHEMA, RunFolder
from assay.version import __version__

DERIVED = ("results.json", "report.html")
KEYS = frozenset(
    {"schema", "id", "kind", "created", "tool", "source", "command", "plan", "synthetic"}
    | {"environment", "parents", "files"}
)


def seal(
    folder: RunFolder,
    *,
    plan: str,
    synthetic: bool,
    command: Sequence[str],
    environment: Mapping[str, Any],
) -> dict[str, Any]:
    """Write `manifest.json` over every file that is there now, and return it.

    `plan` is the plan's digest, `command` what was asked (free of secrets), `environment` what else shaped the
    answers. Raises MachineError where the directory cannot be written.
    """
    manifest: dict[str, Any] = {
        "schema": MANIFEST_SCHEMA,
        "kind": "run",
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "tool": {"name": "assay", "version": __version__},
        "source": {"revision": source_revision(Path.cwd())},
        "command": list(command),
        "plan": plan,
        "synthetic": synthetic,
        "environment": {**machine(), **environment},
        "parents": parents(folder),
        "files": [entry(folder.path, path) for path in covered(folder.path)],
    }
    manifest["id"] = digest_of(manifest)
    try:
        write_atomic(folder.manifest, pretty(manifest))
    except OSError as error:
        raise MachineError(f"cannot write {folder.manifest}", layer="seal", errno=error.errno) from error
    return manifest


def entry(root: Path, path: Path) -> dict[str, Any]:
    """One file's line in a manifest."""
    return {
        "path": path.relative_to(root).as_posix(),
        "bytes": path.stat().st_size,
        "sha256": digest_file(path),
    }


def covered(root: Path) -> Iterator[Path]:
    """Every file that a manifest covers: all but the manifest itself, in order of path.

    Raises EvidenceError for anything that is neither a plain file nor a folder: a link could change its target.
    """
    for path in sorted(root.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise EvidenceError(f"{path}: a run holds plain files and folders only")
        if path.is_file() and path != root / "manifest.json":
            yield path


def machine() -> dict[str, Any]:
    """What ran: interpreter and platform."""
    return {
        "python": platform.python_version(),
        "platform": sys.platform,
        "architecture": platform.machine(),
    }


def read_manifest(path: Path) -> dict[str, Any]:
    """A manifest whose id is its content's. Raises EvidenceError that names the file."""
    manifest = read_json(path, MANIFEST_SCHEMA)
    if unknown := sorted(set(manifest) - KEYS):
        raise EvidenceError(f"{path}: unknown keys {', '.join(unknown)}")
    content = {key: value for key, value in manifest.items() if key != "id"}
    if manifest.get("id") != digest_of(content):
        raise EvidenceError(f"{path}: the manifest was changed: its id is not the digest of its content")
    return manifest


def set_aside(folder: RunFolder) -> None:
    """Make room for a new layer: move the manifest and the derived files it covers to `sealed/<id>/`."""
    if not folder.manifest.exists():
        return
    place = folder.path / "sealed" / read_manifest(folder.manifest)["id"][:16]
    place.mkdir(parents=True, exist_ok=True)
    for name in (*DERIVED, "manifest.json"):
        if (path := folder.path / name).exists():
            path.rename(place / name)


def parents(folder: RunFolder) -> list[dict[str, str]]:
    """The earlier manifests that no other one names as its parent: normally one, or none."""
    manifests = {path: read_manifest(path) for path in sorted(folder.path.glob("sealed/*/manifest.json"))}
    named = {parent["id"] for manifest in manifests.values() for parent in manifest["parents"]}
    return [
        {"id": manifest["id"], "path": path.relative_to(folder.path).as_posix()}
        for path, manifest in manifests.items()
        if manifest["id"] not in named
    ]


def source_revision(start: Path) -> str | None:
    """The commit checked out around `start`, read from git's own files; None outside a repository."""
    for folder in (start, *start.parents):
        git = folder / ".git"
        if git.is_dir():
            return _revision(git)
    return None


def _revision(git: Path) -> str | None:
    try:
        head = (git / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head
        name = head.removeprefix("ref: ")
        if (git / name).is_file():
            return (git / name).read_text().strip()
        for line in (git / "packed-refs").read_text().splitlines():
            if line.endswith(f" {name}"):
                return line.split()[0]
    except (OSError, ValueError):
        return None
    return None
