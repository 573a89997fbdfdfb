"""Sealing a release: a manifest over every file of it, nested runs and weights included, and a signature where there is
a key. A sealed release is never rewritten.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.errors import EvidenceError, MachineError, SecretFound
from assay.evidence import signing
from assay.evidence.manifest import covered, entry, identity, read_manifest
from assay.evidence.secrets import Secret, replaced, scan_file, scanner
from assay.evidence.surroundings import packages, processor, work_tree
from assay.evidence.verdicts import uncovered
from assay.files import pretty, read_json, write_atomic
from assay.models.digests import cached_digest
from assay.release.decision import DECISION
from assay.release.folder import ReleaseFolder
from assay.version import __version__

if TYPE_CHECKING:
    from assay.evidence.keys import SigningKey
    from assay.release.resolve import Release

SCHEMA = "assay.release_manifest.v1"
KIND = "release"
_KEYS = {"schema", "id", "kind", "created", "tool", "source", "command", "spec", "verdict", "synthetic"} | {
    "environment",
    "parents",
    "secrets",
    "files",
}
_READABLE = (".json", ".jsonl", ".log", ".txt", ".md", ".yaml", ".html")


def close(
    folder: ReleaseFolder,
    release: Release,
    *,
    command: Sequence[str],
    place: Path | None,
    key: SigningKey | None,
    allow: Collection[str] = (),
) -> dict[str, Any]:
    """Seal a decided release; returns the manifest.

    Raises SecretFound where a file that no run's seal covers holds what looks like a secret, EvidenceError for a link,
    MachineError where it cannot be written.
    """
    _refuse_secrets(folder, allow)
    runs = [read_manifest(path / "manifest.json") for path in nested(folder)]
    said = replaced({"command": list(command)}, set(allow))
    manifest: dict[str, Any] = {
        "schema": SCHEMA,
        "kind": KIND,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "tool": {"name": "assay", "version": __version__},
        "source": work_tree(place or Path.cwd()),
        **said,
        "spec": release.digest,
        "verdict": read_json(folder.decision, DECISION)["verdict"],
        "synthetic": any(run["synthetic"] for run in runs),
        "environment": {"packages": packages(), "processor": processor()},
        "parents": [{"kind": "run", "id": run["id"]} for run in runs],
        "secrets": {"scanner": scanner(), "allowed": sorted(allow)},
        "files": [_entry(folder.path, path) for path in covered(folder.path)],
    }
    manifest["id"] = identity(manifest)
    try:
        write_atomic(folder.manifest, pretty(manifest))
    except OSError as error:
        raise MachineError(f"cannot write {folder.manifest}", layer="seal", errno=error.errno) from error
    if key is not None:
        signing.sign(folder.manifest, key)
    return manifest


def _entry(root: Path, path: Path) -> dict[str, Any]:
    """As of any manifest; large files were hashed while the stages were checked, and are not read again."""
    digest = cached_digest(path)
    return {"path": path.relative_to(root).as_posix(), "bytes": path.stat().st_size, "sha256": digest}


def nested(folder: ReleaseFolder) -> list[Path]:
    """The sealed runs of a release that count: void ones do not."""
    found = sorted(folder.path.glob("baseline/run*")) + sorted(folder.path.glob("candidates/*/run*"))
    return [path for path in found if (path / "manifest.json").is_file()]


def _refuse_secrets(folder: ReleaseFolder, allow: Collection[str]) -> None:
    """Logs and records of a release; its runs were looked through when they were sealed."""
    runs = nested(folder)
    found = [
        secret
        for path in covered(folder.path)
        if path.suffix in _READABLE and not any(path.is_relative_to(run) for run in runs) and not _weights(folder, path)
        for secret in scan_file(path, folder.relative(path))
        if secret.digest not in allow
    ]
    if found:
        raise SecretFound(
            "\n".join([f"{folder.path}: what looks like a secret stands in the evidence", *_lines(found)]),
            hint="look at each; --allow-secret DIGEST lets one pass that is none",
        )


def _weights(folder: ReleaseFolder, path: Path) -> bool:
    """Whether a file is a checkpoint's: those come from the model's maker, vocabulary and all."""
    return "checkpoint" in path.relative_to(folder.path).parts or path.name == "view.json"


def _lines(found: Sequence[Secret]) -> list[str]:
    return [f"  {secret}" for secret in found[:10]] + ([f"  … and {len(found) - 10} more"] if len(found) > 10 else [])


def read(folder: ReleaseFolder) -> dict[str, Any]:
    """The manifest of a release. Raises EvidenceError where it was changed."""
    manifest = read_json(folder.manifest, SCHEMA)
    if set(manifest) != _KEYS or manifest["kind"] != KIND or not isinstance(manifest["files"], list):
        raise EvidenceError(f"{folder.manifest}: not a release's manifest")
    if manifest["id"] != identity(manifest):
        raise EvidenceError(f"{folder.manifest}: the manifest was changed: its id is not the digest of its content")
    return manifest


def problems(folder: ReleaseFolder, *, hashed: bool) -> Iterator[tuple[str, str]]:
    """(path, what is wrong) for every file that is not as it was sealed. `hashed`: read every byte, trust no memory.

    Verdicts that were given on its runs since are no part of it, as they are none of the runs' own seals.
    """
    manifest = read(folder)
    listed: dict[str, Mapping[str, Any]] = {file["path"]: file for file in manifest["files"]}
    there = {path.relative_to(folder.path).as_posix(): path for path in covered(folder.path)}
    for name in sorted(listed.keys() - there.keys()):
        yield name, "missing"
    since = {f"{folder.relative(run)}/{name}" for run in nested(folder) for name in uncovered(run, ())}
    for name in sorted(there.keys() - listed.keys() - since):
        yield name, "not in the manifest: it was added after sealing"
    for name in sorted(listed.keys() & there.keys()):
        found = entry(folder.path, there[name]) if hashed else _entry(folder.path, there[name])
        if found != listed[name]:
            yield name, f"was changed: SHA-256 is {found['sha256'][:16]}…, sealed as {listed[name]['sha256'][:16]}…"


def intact(folder: ReleaseFolder) -> dict[str, Any]:
    """The manifest of a release whose files are the sealed ones. Raises EvidenceError that names those that are not."""
    manifest = read(folder)
    found = list(problems(folder, hashed=False))
    if found:
        lines = [
            f"{folder.path}: this release is sealed, and was changed since",
            *(f"  {a}: {b}" for a, b in found[:20]),
        ]
        raise EvidenceError("\n".join(lines), hint="put the files back; or --fresh starts over and keeps this one")
    return manifest
