"""Importers by name: the entry-point group `assay.importers`, where assay's own and those of others meet.

An importer is `Importer(summary, open)`: `open(path)` reads what is there and returns a `Source`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from assay.importers.base import Source
from assay.plugins import Plugins


@dataclass(frozen=True, slots=True)
class Importer:
    """A format: what it is, in a line, and what reads it.

    `open` raises ConfigError, naming file and line or entry, for whatever is not that format.
    """

    summary: str
    open: Callable[[Path], Source]


_PLUGINS = Plugins("assay.importers", Importer, "importer", asked="format", where="FORMAT")


def names() -> tuple[str, ...]:
    """Every format that can be read, in alphabetical order."""
    return _PLUGINS.names()


def find(name: str) -> Importer:
    """The importer of that name. Raises ConfigError naming the nearest one, MachineError where it does not load."""
    return _PLUGINS.find(name)
