"""Logging a finished release: each of its runs to MLflow, and where they are there, before the release is sealed."""

from __future__ import annotations

from typing import Any

from assay.files import pretty, write_atomic
from assay.release.folder import ReleaseFolder
from assay.release.resolve import Release
from assay.release.seal import nested
from assay.release.stages.base import Watch

SCHEMA = "assay.release_tracking.v1"


def track(folder: ReleaseFolder, release: Release, watch: Watch) -> None:
    """Write `tracking.json`: of every run where it was logged, or why it was not. Nothing where none is asked for.

    A server that fails does not fail the release: `assay track RUN` logs what is left.
    """
    asked = release.spec.tracking
    if asked is None:
        return
    from assay.tracking.beside import logged
    from assay.tracking.push import Pushed
    from assay.tracking.target import Target, checked_uri

    target = Target(checked_uri(asked.uri), asked.experiment)
    runs: list[dict[str, Any]] = []
    for path in nested(folder):
        name = folder.relative(path)
        watch.said(f"logging {name} to {target.uri} …")
        found = logged(path, target, lambda done, whole: None)
        if isinstance(found, Pushed):
            runs.append({"run": name, "manifest": found.manifest, "mlflow": found.parent})
        else:
            watch.said(f"{name} is not logged: {found}")
            runs.append({"run": name, "why": found})
    content = {"schema": SCHEMA, "uri": target.uri, "experiment": target.experiment, "runs": runs}
    write_atomic(folder.path / "tracking.json", pretty(content))
