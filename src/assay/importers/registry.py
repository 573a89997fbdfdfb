"""Importers by name: the entry-point group `assay.importers`, where assay's own and those of others meet.

An importer is `Importer(summary, open)`: `open(path)` reads what is there and returns a `Source`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from assay.document import nearest
from assay.errors import ConfigError, MachineError, Problem
from assay.importers.base import Source

GROUP = "assay.importers"


@dataclass(frozen=True, slots=True)
class Importer:
    """A format: what it is, in a line, and what reads it.

    `open` raises ConfigError, naming file and line or entry, for whatever is not that format.
    """

    summary: str
    open: Callable[[Path], Source]


@cache
def _entries() -> Mapping[str, EntryPoint]:
    """The first entry of a name wins, so that no package can take a built-in name over."""
    found: dict[str, EntryPoint] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: not entry.value.startswith("assay.")):
        found.setdefault(entry.name, entry)
    return found


def names() -> tuple[str, ...]:
    """Every format that can be read, in alphabetical order."""
    return tuple(sorted(_entries()))


def find(name: str) -> Importer:
    """The importer of that name. Raises ConfigError naming the nearest one, MachineError where it does not load."""
    entry = _entries().get(name)
    if entry is None:
        allowed = ", ".join(names())
        raise ConfigError(
            Problem(f"there is no format {name!r}", "FORMAT", allowed=allowed, nearest=nearest(name, names()))
        )
    try:
        importer = entry.load()
    except (ImportError, AttributeError) as error:
        raise MachineError(f"the importer {name!r} ({entry.value}) does not load: {error}", layer="plug-in") from error
    if not isinstance(importer, Importer):
        raise MachineError(f"{entry.value} is no importer but {type(importer).__name__}", layer="plug-in")
    return importer
