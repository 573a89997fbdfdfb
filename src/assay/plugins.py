"""What other packages add: the entries of one entry-point group, by name, each loaded when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from assay.document import nearest
from assay.errors import ConfigError, MachineError, Problem

Kind = TypeVar("Kind")


@cache
def entries(group: str) -> Mapping[str, EntryPoint]:
    """The entries of a group. The first of a name wins, so that no package can take a built-in name over."""
    found: dict[str, EntryPoint] = {}
    for entry in sorted(entry_points(group=group), key=lambda entry: not entry.value.startswith("assay.")):
        found.setdefault(entry.name, entry)
    return found


@dataclass(frozen=True, slots=True)
class Plugins(Generic[Kind]):
    """One group: what its entries must be (`kind`) and are called (`noun`), and the layer that errors name.

    `asked` is what people call them on the command line, where that differs, and `where` the option.
    """

    group: str
    kind: type[Kind]
    noun: str
    layer: str = "plug-in"
    asked: str | None = None
    where: str | None = None

    def names(self) -> tuple[str, ...]:
        """Every name, in alphabetical order."""
        return tuple(sorted(entries(self.group)))

    def find(self, name: str) -> Kind:
        """The entry of that name. Raises ConfigError naming the nearest one, MachineError where it does not load."""
        entry = entries(self.group).get(name)
        if entry is None:
            message, names = f"there is no {self.asked or self.noun} {name!r}", self.names()
            raise ConfigError(Problem(message, self.where, allowed=", ".join(names), nearest=nearest(name, names)))
        try:
            found = entry.load()
        except (ImportError, AttributeError) as error:
            message = f"the {self.noun} {name!r} ({entry.value}) does not load: {error}"
            raise MachineError(message, layer=self.layer) from error
        if not isinstance(found, self.kind):
            raise MachineError(f"{entry.value} is no {self.noun} but {type(found).__name__}", layer=self.layer)
        return found
