"""What is done about each class of failure: rules that are data, read from `actions.yaml` and checked whole.

The conductor asks `Rules.after` what follows a failure and does just that.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from assay import document
from assay.errors import ConfigError, FailureClass, Problem
from assay.files import digest_of
from assay.gates.recipe import Recipe
from assay.spec.schema import Seconds, Strict, Text

First = Literal["retry", "redo", "patch"]
Then = Literal["infeasible", "anomalous", "abort", "stop"]
FILE = Path(__file__).with_name("actions.yaml")


class Rule(Strict):
    """One class's rule: `first` is done `times` times, then `then`; `baseline` where it is the source that failed."""

    first: First | None = None
    times: Annotated[int, Field(ge=0, le=10)] = 0
    wait_s: Seconds | None = None
    then: Then
    baseline: Then
    as_: FailureClass | None = Field(default=None, alias="as", strict=False)

    @model_validator(mode="after")
    def _counted(self) -> Self:
        if (self.first is None) != (self.times == 0):
            raise ValueError("first and times come together")
        return self


class Patch(Strict):
    """What to try after a failure of this class, in the place of a recipe of this quantizer and scheme.

    `recipe`: another recipe; `ignore`: patterns of layers that stay as they are besides.
    """

    failure: Annotated[FailureClass, Field(strict=False)]
    quantizer: Text
    scheme: Text
    recipe: Text | None = None
    ignore: Annotated[tuple[str, ...], Field(strict=False)] = ()
    why: Text

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.recipe is None and not self.ignore:
            raise ValueError("a patch names another recipe, or layers to ignore")
        return self

    def of(self, recipe: Recipe, find: Callable[[str], Recipe]) -> Recipe:
        """The recipe with this change, under a name of its own."""
        found = find(self.recipe) if self.recipe else recipe
        if not self.ignore:
            return found
        name = f"{found.name.partition('~')[0]}~{digest_of(list(self.ignore))[:8]}"
        return replace(found, name=name, ignore=(*found.ignore, *self.ignore))


class Rules(Strict):
    """The whole table: a rule for every class of failure, none left out."""

    schema_: Literal["assay.actions.v1"] = Field(alias="schema")
    rules: dict[str, Rule]
    patches: Annotated[tuple[Patch, ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _whole(self) -> Self:
        known, given = {kind.value for kind in FailureClass}, set(self.rules)
        if missing := sorted(known - given):
            raise ValueError(f"no rule for {', '.join(missing)}")
        if unknown := sorted(given - known):
            raise ValueError(f"there is no class {', '.join(unknown)}")
        return self

    def after(self, failure: FailureClass, times: int, *, baseline: bool) -> First | Then:
        """What follows a failure that was met `times` times before at this stage."""
        rule = self.rules[failure.value]
        if rule.first is not None and times < rule.times:
            return rule.first
        return rule.baseline if baseline else rule.then

    def patched(
        self, failure: FailureClass, recipe: Recipe, tried: Collection[str], find: Callable[[str], Recipe]
    ) -> tuple[Recipe, str] | None:
        """The recipe in the place of one that failed, and why; None where no patch fits or all were tried.

        `tried`: the names of the candidates there are; `find`: recipes by name.
        """
        for patch in self.patches:
            if (patch.failure, patch.quantizer, patch.scheme) == (failure, recipe.quantizer, recipe.scheme):
                found = patch.of(recipe, find)
                if found.name not in tried:
                    return found, patch.why
        return None

    @property
    def digest(self) -> str:
        """SHA-256 of the table's content."""
        return digest_of(self.model_dump(mode="json", by_alias=True))


@cache
def rules() -> Rules:
    """The table that ships."""
    return read(FILE)


def read(path: Path) -> Rules:
    """The table in a file. Raises ConfigError with what is wrong with it."""
    text = document.read(path)
    return parse(text.value, str(path))


def parse(value: Mapping[str, Any] | Any, where: str = "actions") -> Rules:
    """The table that a mapping describes. Raises ConfigError with what is wrong with it."""
    try:
        return Rules.model_validate(value)
    except ValidationError as error:
        problems = [
            Problem(str(item["msg"]), where, key=".".join(map(str, item["loc"])) or None)
            for item in error.errors(include_url=False, include_input=False)
        ]
        raise ConfigError(problems) from None
