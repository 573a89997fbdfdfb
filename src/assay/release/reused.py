"""A baseline that is here already: a sealed run of the very same plan, model included, found before one is made.

Looked for in the folders that a spec names, then where it is tracked. What is found counts only where it verifies.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from assay.errors import AssayError, ConfigError
from assay.release.spec import ReleaseSpec

_DEEP = ("*", "baseline/run*", "*/baseline/run*")
"""Where runs are, seen from a folder: in it, of a release that it is, of releases in it."""


def find(spec: ReleaseSpec, plan: str, said: Callable[[str], None]) -> Path | None:
    """A sealed run of the plan with this digest that verifies; None where there is none. What fails is only told."""
    from assay.evidence.verify import verify

    for path in _candidates(spec, plan, said):
        wrong = verify(path)
        if not wrong:
            return path
        said(f"{path} is a run of this plan and is not reused: {wrong[0]}")
    return None


def _candidates(spec: ReleaseSpec, plan: str, said: Callable[[str], None]) -> Iterator[Path]:
    """Runs of the plan, those on this machine first: a server is asked only where there is none that holds."""
    yield from (path for path in _runs(spec.baseline) if _plan_of(path) == plan)
    yield from _tracked(spec, plan, said)


def copy(found: Path, path: Path) -> None:
    """A sealed run as it was sealed, whole or not at all; verdicts that came later are on other runs, which are not
    here."""
    from assay.evidence.manifest import read_manifest

    part = path.with_name(f".{path.name}.part")
    shutil.rmtree(part, ignore_errors=True)  # of a process that was killed
    shutil.copytree(found, part)
    listed = {file["path"] for file in read_manifest(part / "manifest.json")["files"]}
    for verdict in part.glob("verdicts/*"):
        if verdict.relative_to(part).as_posix() not in listed:
            verdict.unlink()
    part.rename(path)


def _runs(places: Sequence[str]) -> Iterator[Path]:
    """The run directories at, in and just below some folders; those of finished releases too."""
    for place in map(Path, places):
        found = [place, *(path for pattern in _DEEP for path in sorted(place.glob(pattern)))]
        yield from (path for path in found if (path / "plan.json").is_file() and (path / "manifest.json").is_file())


def _plan_of(path: Path) -> str | None:
    """The digest of the plan that a run directory's seal covers; None where there is none to trust."""
    from assay.evidence.manifest import read_manifest

    try:
        return str(read_manifest(path / "manifest.json")["plan"])
    except (AssayError, OSError):
        return None


def _tracked(spec: ReleaseSpec, plan: str, said: Callable[[str], None]) -> list[Path]:
    """The runs of the plan in the spec's experiment, fetched; none, and why, where the server fails."""
    if spec.tracking is None:
        return []
    from assay.tracking.client import HASTY
    from assay.tracking.pull import pull
    from assay.tracking.target import checked_uri

    try:
        found = pull(checked_uri(spec.tracking.uri), spec.tracking.experiment, plan=plan, patience=HASTY)
    except ConfigError:
        return []  # no such experiment yet, or nothing of this plan in it: the usual case
    except AssayError as error:
        said(f"no run of the baseline was looked for at {spec.tracking.uri}: {error.message}")
        return []
    return found.runs
