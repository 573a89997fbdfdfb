"""A recipe that a person wrote: a built-in one with its own targets, in YAML.

schema: assay.recipe.v1
name: fp8-but-down
base: FP8_DYNAMIC
ignore: ["*.down_proj"]

of GGUF files also with modules at a wider type (`assay.gates.keeping`):

schema: assay.recipe.v1
name: q4-but-down
base: Q4_0
keep: {"*.ffn_down": Q8_0, "role:attention@first:2": Q8_0}
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from assay import document
from assay.errors import ConfigError
from assay.gates import recipe as recipes
from assay.gates.keeping import varied
from assay.gates.layers import ROLES
from assay.gates.policy import validated
from assay.gates.recipe import Recipe
from assay.spec.schema import Name, Strict, Text, Texts

_Bits = Annotated[float, Field(gt=0, le=64, allow_inf_nan=False, description="a number of bits, above 0, at most 64")]
_Band = Annotated[tuple[_Bits, _Bits], Field(strict=False, description="two numbers of bits, [lowest, highest]")]


class RecipeFile(Strict):
    """What may be written. `base` is a built-in recipe.

    `targets` goes in the place of its targets; `ignore`, `free` and `expected` are added to its own; `options` go to
    the quantizer; `keep` has the type that the layers of a pattern are kept at. `band` is the lowest and highest
    average of bits a targeted weight.
    """

    schema_: Literal["assay.recipe.v1"] = Field(alias="schema")
    name: Name
    base: Text
    targets: Texts | None = None
    ignore: Texts = ()
    free: Texts = ()
    expected: Texts = ()
    bits: _Bits | None = None
    band: _Band | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    keep: dict[Text, Text] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _patterns(self) -> Self:
        for pattern in (*(self.targets or ()), *self.ignore, *self.free):
            if pattern.startswith("role:") and pattern[5:] not in ROLES:
                raise ValueError(f"no role {pattern[5:]!r}; there are: {', '.join(ROLES)}")
        if self.targets is not None and not self.targets:
            raise ValueError("targets: a recipe that targets nothing quantizes nothing")
        if self.band is not None and self.band[0] > self.band[1]:
            raise ValueError("band: the lowest before the highest")
        return self


def load(path: Path) -> Recipe:
    """The recipe in a file. Raises ConfigError with every problem of the file, by line."""
    text = document.read(path)
    written = validated(RecipeFile, "assay.recipe.v1", text)
    if written.base not in recipes.RECIPES:
        allowed = ", ".join(recipes.RECIPES)
        near = document.nearest(written.base, recipes.RECIPES)
        raise ConfigError(text.problem(("base",), f"no recipe {written.base!r}", allowed=allowed, nearest=near))
    if written.name in recipes.RECIPES:
        raise ConfigError(text.problem(("name",), f"{written.name!r} is a built-in recipe", allowed="another name"))
    try:
        return made(written)
    except ConfigError as error:
        raise ConfigError(
            [text.problem(_path(told.key), told.message, allowed=told.allowed) for told in error.problems]
        ) from None


def _path(key: str | None) -> tuple[str, ...]:
    """Where a pattern of `keep` was written; a pattern may hold dots."""
    return tuple((key or "").split(".", 1))


def made(written: RecipeFile) -> Recipe:
    """The base with what was written."""
    base = recipes.RECIPES[written.base]
    found = replace(
        base,
        name=written.name,
        targets=written.targets or base.targets,
        ignore=(*base.ignore, *written.ignore),
        free=(*base.free, *written.free),
        expected=(*base.expected, *written.expected),
        bits=written.bits or base.bits,
        band=written.band or base.band,
        options={**base.options, **written.options},
        group=written.options.get("group_size", base.group),
        source=f"{base.source}; changed by {written.name}",
    )
    return varied(found, written.keep)
