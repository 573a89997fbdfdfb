"""Modules that a recipe keeps at a higher precision than the rest: which they are, and what that takes in bits.

A choice is a pattern and a type of tensor: `*.ffn_down: Q8_0`. After `@` it may say in which blocks: `first:N` and
`last:N` of the model's, as in `role:mlp@last:4`. A layer that several patterns name gets the widest of their types.
Covered: types that a GGUF file can hold tensor by tensor; checkpoints of compressed-tensors and modelopt are not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from assay.errors import ConfigError, Problem
from assay.gates.layers import ROLES
from assay.gates.recipe import Recipe, matches

BITS: Mapping[str, float] = MappingProxyType(
    {"F32": 32.0, "F16": 16.0, "BF16": 16.0, "Q8_0": 8.5, "Q5_1": 6.0, "Q5_0": 5.5, "Q4_1": 5.0, "Q4_0": 4.5}
)
"""Bits a weight of the types that modules can be kept at: bytes of a GGUF block over its values."""
BLOCK = 32
"""Values in a block of each of these that has blocks."""
_SLACK = (0.99, 1.01)
"""What the average over kept layers may differ by, as of the recipes of one type."""
_PLACE = re.compile(r"(first|last):([1-9]\d{0,3})")
_NUMBER = re.compile(r"(?:^|\.)(\d+)(?:\.|$)")
_MOST = 50


def block(layer: str) -> int | None:
    """The number of the block that a layer is in: the first number between the dots of its name."""
    found = _NUMBER.search(layer)
    return int(found[1]) if found else None


@dataclass(frozen=True, slots=True)
class Keeping:
    """A recipe's choices for one model, which has so many blocks."""

    recipe: Recipe
    blocks: int

    @classmethod
    def of(cls, recipe: Recipe, layers: Iterable[str]) -> Keeping:
        """The choices for the model that has these layers."""
        numbers = (block(layer) for layer in layers) if recipe.keep else ()
        return cls(recipe, max((number + 1 for number in numbers if number is not None), default=0))

    def type(self, layer: str, role: str) -> str | None:
        """The type that a layer is kept at; None for one that is as the recipe says of the rest."""
        if not self.recipe.keep or not self.recipe.allows(layer, role):
            return None
        found = [kind for pattern, kind in self.recipe.keep.items() if self._names(pattern, layer, role)]
        return max(found, key=lambda kind: (BITS[kind], kind), default=None)

    def unused(self, layers: Mapping[str, str]) -> list[str]:
        """The patterns that name no layer of the model. `layers`: the role of each."""
        held = [(layer, role) for layer, role in layers.items() if self.recipe.allows(layer, role)]
        return [pattern for pattern in self.recipe.keep if not any(self._names(pattern, *one) for one in held)]

    def _names(self, pattern: str, layer: str, role: str) -> bool:
        where, _, place = pattern.partition("@")
        if not matches(where, layer, role):
            return False
        if not place:
            return True
        number, end, many = block(layer), *place.split(":")
        if number is None:
            return False
        return number < int(many) if end == "first" else number >= self.blocks - int(many)


def band(kind: str) -> tuple[float, float, float]:
    """Bits a weight of a kept layer: nominal, lowest and highest."""
    return BITS[kind], BITS[kind] * _SLACK[0], BITS[kind] * _SLACK[1]


def varied(recipe: Recipe, keep: Mapping[str, str], name: str | None = None) -> Recipe:
    """The recipe with these modules kept at these types besides. Raises ConfigError where they cannot be."""
    if problems := wrong(recipe, keep):
        raise ConfigError(problems)
    both = {**recipe.keep, **keep}
    return replace(recipe, name=name or recipe.name, keep=dict(sorted(both.items())))


def wrong(recipe: Recipe, keep: Mapping[str, str]) -> list[Problem]:
    """Everything that is wrong with choices for a recipe; keys are their patterns."""
    if not keep:
        return []
    if recipe.format != "gguf":
        message = f"{recipe.name} is a recipe of {recipe.quantizer}, which keeps modules by `ignore` alone"
        return [Problem(message, key="keep", allowed="a recipe of gguf")]
    found = [] if len(keep) <= _MOST else [Problem(f"{len(keep)} patterns", key="keep", allowed=f"{_MOST} at most")]
    for pattern, kind in keep.items():
        found += _wrong(recipe, pattern, kind)
    return found


def _wrong(recipe: Recipe, pattern: str, kind: str) -> list[Problem]:
    key = f"keep.{pattern}"
    where, at, place = pattern.partition("@")
    found = []
    if kind not in BITS:
        found.append(Problem(f"{kind!r} is no type to keep modules at", key=key, allowed=", ".join(BITS)))
    elif BITS[kind] <= recipe.bits:
        message = f"{kind} takes {BITS[kind]:g} bits a weight, and {recipe.name} {recipe.bits:g} as it is"
        wider = ", ".join(other for other, bits in BITS.items() if bits > recipe.bits) or "none: it is the widest"
        found.append(Problem(message, key=key, allowed=wider))
    if where.startswith("role:") and where[5:] not in ROLES:
        found.append(Problem(f"no role {where[5:]!r}", key=key, allowed=", ".join(ROLES)))
    if not where or (at and not _PLACE.fullmatch(place)):
        message = f"{pattern!r} is no pattern of layers"
        found.append(Problem(message, key=key, allowed="a pattern, or PATTERN@first:N or PATTERN@last:N"))
    return found
