"""Where a run is tracked and how far that is, remembered beside the run: `.tracked/<name>.json` in its parent folder.

Not inside the run, which is sealed; nor inside a release that holds the run, which is sealed too: then beside that one,
`.tracked/<release>/<run's path there>.json`. It moves along with a folder of runs.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from assay.errors import ConfigError, EvidenceError, MachineError
from assay.files import pretty, read_json, write_atomic
from assay.tracking.target import GRANULARITIES, Target, checked_uri

SCHEMA = "assay.tracked.v1"
FOLDER = ".tracked"
_RELEASE = "release.json"
_DEEP = 3
"""How far below its release a run is at most: `candidates/NAME/run`."""


@dataclass(frozen=True, slots=True)
class Tracked:
    """A run, where it is to be tracked, the seal that is logged whole (None: not yet), and why the last try stopped."""

    run: Path
    target: Target
    manifest: str | None = None
    parent: str | None = None
    why: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As it is stored."""
        known = {"manifest": self.manifest, "parent": self.parent, "why": self.why}
        return {"schema": SCHEMA, **asdict(self.target), **known}


def place(run: Path) -> Path:
    """Where a run's memory is."""
    resolved = run.resolve()
    whole = next((folder for folder in resolved.parents[:_DEEP] if (folder / _RELEASE).is_file()), resolved)
    path = whole.parent / FOLDER / resolved.relative_to(whole.parent)
    return path.with_name(f"{resolved.name}.json")


def remember(tracked: Tracked) -> None:
    """Store it, in the place of what was there. Raises MachineError where it cannot be written."""
    path = place(tracked.run)
    try:
        write_atomic(path, pretty(tracked.to_json()))
    except OSError as error:
        raise MachineError(f"cannot write {path}", layer="tracking", errno=error.errno) from error


def recall(run: Path) -> Tracked | None:
    """Where a run is tracked; None for one that never was. Raises EvidenceError for a damaged file."""
    path = place(run)
    if not path.exists():
        return None
    value = read_json(path, SCHEMA)
    texts = (value.get(key) for key in ("manifest", "parent", "why"))
    if (
        set(value) != {"schema", "uri", "experiment", "granularity", "traces", "manifest", "parent", "why"}
        or not all(isinstance(value[key], str) for key in ("uri", "experiment"))
        or value["granularity"] not in GRANULARITIES
        or not isinstance(value["traces"], bool)
        or not all(text is None or isinstance(text, str) for text in texts)
    ):
        raise EvidenceError(f"{path}: not what assay keeps of a tracked run; remove it, and track the run again")
    try:
        uri = checked_uri(value["uri"], str(path))
    except ConfigError as error:
        raise EvidenceError(error.message) from None
    target = Target(uri, value["experiment"], value["granularity"], value["traces"])
    return Tracked(run, target, value["manifest"], value["parent"], value["why"])


def remembered(folders: Iterable[Path]) -> Iterator[Tracked]:
    """Every run in these folders that is tracked and still there, by name."""
    for folder in folders:
        place = folder / FOLDER
        for path in sorted(place.rglob("*.json")):
            run = folder / path.relative_to(place).with_name(path.stem)
            if (run / "plan.json").is_file() and (found := recall(run)) is not None:
                yield found


@contextmanager
def lock(run: Path) -> Iterator[None]:
    """Hold a run's tracking against other processes here. Raises MachineError where another one is at it."""
    path = place(run).with_suffix(".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    except OSError as error:
        raise MachineError(f"cannot write {path}", layer="tracking", errno=error.errno) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            message = f"another process is logging {run}"
            raise MachineError(message, layer="tracking", errno=error.errno) from None
        yield
