"""Quantizers and recipes by name: the entry-point group `assay.quantizers`, where all of them meet."""

from __future__ import annotations

from collections.abc import Mapping

from assay.document import nearest
from assay.errors import ConfigError, Problem
from assay.gates.recipe import VARIANTS, Recipe
from assay.plugins import Plugins, entries
from assay.release.quantizers.base import Quantizer

# Quantizer is abstract; what is asked for are its instances.
_PLUGINS: Plugins[Quantizer] = Plugins("assay.quantizers", Quantizer, "quantizer")  # type: ignore[type-abstract]


def names() -> tuple[str, ...]:
    """Every quantizer, in alphabetical order."""
    return _PLUGINS.names()


def find(name: str) -> Quantizer:
    """The quantizer of that name. Raises ConfigError naming the nearest, MachineError where it does not load."""
    return _PLUGINS.find(name)


def recipes() -> Mapping[str, Recipe]:
    """Every recipe of every quantizer, by name; of two with one name, assay's own."""
    found: dict[str, Recipe] = {}
    for name in entries(_PLUGINS.group):
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
