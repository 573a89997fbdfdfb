"""Sealing: a manifest with the path, size and SHA-256 of every file of a run, where it comes from and what it ran in.

Sealing is layered. When a sealed run grows (scored again, errors retried), the old manifest and the derived files it
covered move to `sealed/<id>/`, and the new manifest names the old one as a parent. Nothing sealed is rewritten.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from assay.errors import EvidenceError, MachineError, SecretFound
from assay.evidence.redaction import redactions
from assay.evidence.secrets import Secret, refuse, replaced, scan_run, scanner
from assay.evidence.surroundings import surroundings, work_tree
from assay.files import digest_file, digest_of, pretty, read_json, write_atomic
from assay.plan.plan import Plan
from assay.run.compact import Mode
from assay.run.compact import compact as compact_journals
from assay.run.events import EventLog, next_log
from assay.run.folder import MANIFEST_SCHEMA, RunFolder
from assay.version import __version__

DERIVED = ("results.json", "judged.json", "report.html")
SIGNATURE = "manifest.sig.json"
KINDS = ("run", "import")
PARENTS = ("manifest", "data", "model", "policy", "baseline", "source")
"""What a manifest may name as a parent: an earlier seal of the same run, and what the run was made from."""

_SHAPE: dict[str, type | tuple[type, ...]] = {
    "schema": str,
    "id": str,
    "kind": str,
    "created": str,
    "tool": dict,
    "source": (dict, type(None)),
    "command": list,
    "plan": str,
    "synthetic": bool,
    "environment": dict,
    "parents": list,
    "secrets": dict,
    "files": list,
}
_PARENT = frozenset({"kind", "name", "id", "path", "sha256", "digest"})
_FILE = frozenset({"path", "bytes", "sha256"})
_SHA256 = re.compile(r"[0-9a-f]{64}")


def seal(
    folder: RunFolder,
    plan: Plan,
    *,
    command: Sequence[str],
    environment: Mapping[str, Any],
    kind: str = "run",
    parents: Iterable[Mapping[str, Any]] = (),
    place: Path | None = None,
    allow: Iterable[str] = (),
    compact: Mode = "auto",
) -> dict[str, Any]:
    """Look for secrets, write `manifest.json` over every file that is there now, and return it.

    `command` is what was asked, `environment` what shaped the answers beside this machine (`models`, `data`), `parents`
    what the run was made from beside its plan's data and models, `place` a folder whose git work tree is the source (by
    default the process's). `allow`: digests of findings that are no secrets. `compact`: whether the journal is kept as
    Parquet too, or only.

    Raises SecretFound where a file holds what looks like a secret, EvidenceError where the folder holds a link,
    MachineError where it cannot be written.
    """
    if folder.manifest.exists():
        raise EvidenceError(f"{folder.manifest}: is there already, and what is sealed is never rewritten")
    earlier = layers(folder)
    allowed, found = _looked_through(folder, allow)
    compact_journals(folder, folder.sealed(), compact, len(plan))
    hidden: list[Secret] = []
    said = replaced(
        {"command": list(command), "environment": {**surroundings(folder), **environment}},
        allowed,
        lambda kind, name: hidden.append(Secret("manifest.json", 0, kind, name)),
    )
    manifest: dict[str, Any] = {
        "schema": MANIFEST_SCHEMA,
        "kind": kind,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "tool": {"name": "assay", "version": __version__},
        "source": work_tree(place or Path.cwd()),
        **said,
        "plan": plan.digest,
        "synthetic": plan.synthetic,
        "parents": [*_newest(folder, earlier), *origins(plan, environment), *map(dict, parents)],
        "secrets": _secrets(found, [*redactions(folder), *(secret.to_json() for secret in hidden)]),
        "files": [entry(folder.path, path) for path in covered(folder.path)],
    }
    manifest["id"] = identity(manifest)
    check(manifest, folder.manifest)
    try:
        write_atomic(folder.manifest, pretty(manifest))
    except OSError as error:
        raise MachineError(f"cannot write {folder.manifest}", layer="seal", errno=error.errno) from error
    return manifest


def refuse_secrets(folder: RunFolder, allow: Iterable[str] = ()) -> tuple[set[str], list[Secret]]:
    """Look for secrets in what no seal covers; returns the digests that may pass, and what was found that may.

    Raises SecretFound for any other: neither `allow` nor an earlier seal names it.
    """
    seals = [*layers(folder).values(), *([read_manifest(folder.manifest)] if folder.manifest.exists() else ())]
    allowed = {*allow, *(digest for seal in seals for digest in seal["secrets"]["allowed"])}
    found = list(scan_run(folder, folder.sealed()))
    refuse([secret for secret in found if secret.digest not in allowed], folder.path)
    return allowed, found


def _looked_through(folder: RunFolder, allow: Iterable[str]) -> tuple[set[str], list[Secret]]:
    """As `refuse_secrets`; the events tell what stopped the seal, for those who ask why the run stands still."""
    try:
        return refuse_secrets(folder, allow)
    except SecretFound as error:
        events = EventLog(next_log(folder.path, folder.sealed()))
        events.emit("stopped", error=type(error).__name__, message=error.message)
        events.close()
        raise


def _secrets(allowed: Iterable[Secret], redacted: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = sorted({secret.digest for secret in allowed})
    return {"scanner": scanner(), "allowed": names, "redacted": [dict(item) for item in redacted]}


def identity(manifest: Mapping[str, Any]) -> str:
    """A manifest's id: its kind and 16 hex digits of the digest of all else."""
    content = {key: value for key, value in manifest.items() if key != "id"}
    return f"{manifest['kind']}-{digest_of(content)[:16]}"


def entry(root: Path, path: Path) -> dict[str, Any]:
    """One file's line in a manifest."""
    return {
        "path": path.relative_to(root).as_posix(),
        "bytes": path.stat().st_size,
        "sha256": digest_file(path),
    }


def covered(root: Path) -> Iterator[Path]:
    """Every file that a manifest covers, in order of path: all but the manifest itself and signatures.

    Raises EvidenceError for anything that is neither a plain file nor a folder: a link could change its target.
    """
    for path in sorted(root.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise EvidenceError(f"{path}: a run holds plain files and folders only")
        if path.is_file() and path != root / "manifest.json" and not is_signature(path.relative_to(root)):
            yield path


def is_signature(path: Path) -> bool:
    """Whether a path inside a run is where a signature stands: beside a manifest, or beside a verdict."""
    if path.name == SIGNATURE:
        return len(path.parts) == 1 or (len(path.parts) == 3 and path.parts[0] == "sealed")
    return path.name.endswith(".sig.json") and path.parent == Path("verdicts")


def origins(plan: Plan, environment: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The data and the models of a plan as parents, by name; a model only where something of it has a digest or
    revision. Not in the order of the spec, which a plan that was read from its file no longer knows.
    """
    for name, task in sorted(plan.tasks.items()):
        parent = {"kind": "data", "name": name, "digest": task.dataset}
        yield parent | ({"sha256": task.origin["sha256"]} if task.origin.get("sha256") else {})
    served = environment.get("models", {})
    for name, model in sorted(plan.models.items()):
        known = {**model.identity, **served.get(name, {})}
        if digest := known.get("digest") or known.get("revision"):
            yield {"kind": "model", "name": name, "digest": str(digest)}


def read_manifest(path: Path) -> dict[str, Any]:
    """A manifest that is one, and whose id is its content's. Raises EvidenceError that names the file."""
    manifest = read_json(path, MANIFEST_SCHEMA)
    check(manifest, path)
    if manifest["id"] != identity(manifest):
        raise EvidenceError(f"{path}: the manifest was changed: its id is not the digest of its content")
    return manifest


def check(manifest: Mapping[str, Any], path: Path) -> None:
    """Raise EvidenceError, naming the file, for whatever version 1 of the manifest does not allow."""
    if unknown := sorted(set(manifest) - set(_SHAPE)):
        raise EvidenceError(f"{path}: unknown keys {', '.join(unknown)}")
    for key, kind in _SHAPE.items():
        if key not in manifest or not isinstance(manifest[key], kind):
            raise EvidenceError(f"{path}: {key} is missing, or not what a manifest has there")
    if manifest["kind"] not in KINDS:
        raise EvidenceError(f"{path}: the kind is {manifest['kind']!r}; known: {', '.join(KINDS)}")
    _check_facts(manifest, path)
    for parent in manifest["parents"]:
        _check_parent(parent, path)
    paths = [_check_file(file, path) for file in manifest["files"]]
    if len(set(paths)) != len(paths):
        raise EvidenceError(f"{path}: the manifest lists a file twice")


def _check_facts(manifest: Mapping[str, Any], path: Path) -> None:
    for key, keys in (
        ("tool", {"name", "version"}),
        ("source", {"revision", "dirty"}),
        ("secrets", {"scanner", "allowed", "redacted"}),
    ):
        if manifest[key] is not None and set(manifest[key]) != keys:
            raise EvidenceError(f"{path}: {key} has other keys than {', '.join(sorted(keys))}")
    allowed, redacted = manifest["secrets"]["allowed"], manifest["secrets"]["redacted"]
    if not isinstance(allowed, list) or not all(isinstance(word, str) for word in (*manifest["command"], *allowed)):
        raise EvidenceError(f"{path}: the command and the allowed secrets are lists of texts")
    if not isinstance(redacted, list) or not all(isinstance(item, dict) for item in redacted):
        raise EvidenceError(f"{path}: the redacted secrets are a list of objects")


def _check_parent(parent: Any, path: Path) -> None:
    if not isinstance(parent, dict) or parent.get("kind") not in PARENTS:
        raise EvidenceError(f"{path}: a parent has one of the kinds {', '.join(PARENTS)}")
    if unknown := sorted(set(parent) - _PARENT):
        raise EvidenceError(f"{path}: a parent has unknown keys {', '.join(unknown)}")
    if not all(isinstance(value, str) for value in parent.values()):
        raise EvidenceError(f"{path}: a parent is described in texts")
    if parent["kind"] == "manifest":
        if not {"id", "path", "sha256"} <= set(parent):
            raise EvidenceError(f"{path}: an earlier seal is named by id, path and sha256")
        _check_inside(parent["path"], path)


def _check_file(file: Any, path: Path) -> str:
    if not isinstance(file, dict) or set(file) != _FILE:
        raise EvidenceError(f"{path}: a file is described by path, bytes and sha256, and nothing else")
    size, sha256 = file["bytes"], file["sha256"]
    if type(size) is not int or size < 0 or not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise EvidenceError(f"{path}: not a size and a SHA-256: {file['path']!r}")
    _check_inside(file["path"], path)
    return str(file["path"])


def _check_inside(name: Any, path: Path) -> None:
    """A path in a manifest is relative, in its plainest form, and stays inside the run."""
    if not isinstance(name, str) or not name or "\0" in name:
        raise EvidenceError(f"{path}: not a path: {name!r}")
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts:
        raise EvidenceError(f"{path}: the manifest names a path outside the run: {name}")
    if pure.as_posix() != name or name == ".":
        raise EvidenceError(f"{path}: not a plain path: {name}")


def set_aside(folder: RunFolder) -> None:
    """Make room for a new layer: move the manifest, its signatures and the derived files to `sealed/<id>/`."""
    if not folder.manifest.exists():
        return
    place = folder.path / "sealed" / read_manifest(folder.manifest)["id"]
    place.mkdir(parents=True, exist_ok=True)
    for name in (*DERIVED, SIGNATURE, "manifest.json"):
        if (path := folder.path / name).exists():
            path.rename(place / name)


def layers(folder: RunFolder) -> dict[Path, dict[str, Any]]:
    """The earlier manifests of a run, by their path."""
    return {path: read_manifest(path) for path in sorted(folder.path.glob("sealed/*/manifest.json"))}


def _newest(folder: RunFolder, earlier: Mapping[Path, Mapping[str, Any]]) -> list[dict[str, str]]:
    """The earlier manifests that no other one names as its parent: normally one, or none."""
    named = {parent.get("id") for manifest in earlier.values() for parent in manifest["parents"]}
    return [
        {
            "kind": "manifest",
            "id": manifest["id"],
            "path": path.relative_to(folder.path).as_posix(),
            "sha256": digest_file(path),
        }
        for path, manifest in earlier.items()
        if manifest["id"] not in named
    ]
