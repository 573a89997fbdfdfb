"""The parents that a manifest names: earlier seals of the same run, and the data and model files it was made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from assay.data.sources import BuiltIn
from assay.errors import AssayError
from assay.evidence.manifest import layers, read_manifest
from assay.files import digest_file
from assay.models.digests import cached_digest
from assay.plan.plan import Plan
from assay.run.folder import RunFolder


def check_layers(folder: RunFolder) -> Iterator[tuple[str, str]]:
    """(path, problem) for each earlier seal that is not the one that the next names, or that none names."""
    earlier = layers(folder)
    names = {path: path.relative_to(folder.path).as_posix() for path in earlier}
    named: set[str] = set()
    for manifest in (read_manifest(folder.manifest), *earlier.values()):
        for parent in manifest["parents"]:
            if parent["kind"] == "manifest":
                named.add(parent["path"])
                if problem := _layer_problem(folder.path / parent["path"], parent, earlier):
                    yield parent["path"], problem
    for name in sorted(set(names.values()) - named):
        yield name, "an earlier seal that no later one names as its parent"


def _layer_problem(path: Path, parent: Mapping[str, Any], earlier: Mapping[Path, Mapping[str, Any]]) -> str | None:
    if path not in earlier:
        return f"missing: the earlier seal {parent['id']}"
    if earlier[path]["id"] != parent["id"]:
        return f"is the seal {earlier[path]['id']}, named as {parent['id']}"
    if (found := digest_file(path)) != parent["sha256"]:
        return f"SHA-256 is {found}, the next seal names {parent['sha256']}"
    return None


def notes(folder: RunFolder, plan: Plan) -> Iterator[str]:
    """What can be said of parents outside the run: whether the data and model files are still what they were.

    They may change or go without harm to the evidence, which has its own copy of every sample: so these are notes.
    """
    manifest = read_manifest(folder.manifest)
    origins = manifest["environment"].get("data", {})
    for parent in manifest["parents"]:
        name = parent.get("name", "")
        if parent["kind"] == "data" and (sha256 := parent.get("sha256")):
            yield from _compare(f"data of {name}", _path(origins.get(name)), sha256)
        elif parent["kind"] == "model" and name in plan.models:
            yield from _compare(f"model {name}", _path(plan.models[name].model.partition(":")[2]), parent["digest"])


def _compare(what: str, path: Path | None, sha256: str) -> Iterator[str]:
    if path is None:
        yield f"{what} is not here to compare: {sha256[:16]}"
        return
    try:
        found = cached_digest(path)
    except AssayError as error:
        yield f"{what} cannot be compared: {error.message}"
        return
    yield (
        f"{what} is here and the same: {path}"
        if found == sha256
        else f"{what} has changed since: {path} is {found[:16]}"
    )


_BUILT_IN = str(BuiltIn(""))
_PACKAGE = Path(__file__).resolve().parent.parent


def _path(where: Any) -> Path | None:
    """The file that a place in words names, where it is one of this machine's or comes with assay."""
    try:
        if str(where).startswith(_BUILT_IN):
            path = (_PACKAGE / str(where).removeprefix(_BUILT_IN)).resolve()
            return path if path.is_relative_to(_PACKAGE) and path.is_file() else None
        named = Path(str(where)).expanduser() if where else None
        return named if named is not None and named.is_file() else None
    except (OSError, RuntimeError, ValueError):
        return None
