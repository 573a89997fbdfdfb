"""Quantizers and recipes by name: the entry-point group `assay.quantizers`, where all of them meet."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from assay.document import nearest
from assay.errors import ConfigError, MachineError, Problem
from assay.gates.recipe import VARIANTS, Recipe
from assay.release.quantizers.base import Quantizer

GROUP = "assay.quantizers"


@cache
def _entries() -> Mapping[str, EntryPoint]:
    """The first entry of a name wins, so that no package can take a built-in name over."""
    found: dict[str, EntryPoint] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: not entry.value.startswith("assay.")):
        found.setdefault(entry.name, entry)
    return found


def names() -> tuple[str, ...]:
    """Every quantizer, in alphabetical order."""
    return tuple(sorted(_entries()))


def find(name: str) -> Quantizer:
    """The quantizer of that name. Raises ConfigError naming the nearest, MachineError where it does not load."""
    entry = _entries().get(name)
    if entry is None:
        allowed = ", ".join(names())
        raise ConfigError(Problem(f"there is no quantizer {name!r}", allowed=allowed, nearest=nearest(name, names())))
    try:
        quantizer = entry.load()
    except (ImportError, AttributeError) as error:
        raise MachineError(f"the quantizer {name!r} ({entry.value}) does not load: {error}", layer="plug-in") from error
    if not isinstance(quantizer, Quantizer):
        raise MachineError(f"{entry.value} is no quantizer but {type(quantizer).__name__}", layer="plug-in")
    return quantizer


def recipes() -> Mapping[str, Recipe]:
    """Every recipe of every quantizer, by name; of two with one name, assay's own."""
    found: dict[str, Recipe] = {}
    for name in _entries():
        for recipe in find(name).recipes():
            found.setdefault(recipe.name, recipe)
    return found


def recipe(name: str, where: str = "--recipe") -> Recipe:
    """The recipe of that name, whatever its quantizer. Raises ConfigError naming the nearest."""
    known = recipes()
    if name not in known:
        close = nearest(name, known) or nearest(name.upper(), known)
        plain = [one for one in known if not one.endswith(tuple(VARIANTS))]
        allowed = f"{', '.join(plain)}; most also with -{', -'.join(VARIANTS)}"
        raise ConfigError(Problem(f"there is no recipe {name!r}", where, allowed=allowed, nearest=close))
    return known[name]
