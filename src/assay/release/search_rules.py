"""What a search tries after what: rules that are data, from `search.yaml` or a file of one's own, checked whole."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from assay import document
from assay.document import nearest
from assay.errors import ConfigError, FailureClass, Problem
from assay.gates.layers import ROLES
from assay.gates.recipe import Recipe
from assay.spec.locations import Locations
from assay.spec.schema import Name, Strict, Text

FILE = Path(__file__).with_name("search.yaml")
ABOVE, WITHIN = "LOSS_ABOVE_MARGIN", "LOSS_WITHIN_MARGIN"
EVENTS = (ABOVE, WITHIN, *(kind.value for kind in FailureClass))
Move = Literal["keep", "plain", "smaller", "larger"]
_Patterns = Annotated[tuple[Text, ...], Field(strict=False, min_length=1)]


class Rule(Strict):
    """What is tried after an event, of recipes of this quantizer and scheme: a move, or a recipe by its name."""

    after: Text
    quantizer: Text | None = None
    scheme: Text | None = None
    varied: bool | None = None
    try_: Move | None = Field(default=None, alias="try")
    recipe: Text | None = None
    why: Text

    @model_validator(mode="after")
    def _says_what(self) -> Self:
        if self.after not in EVENTS:
            close = nearest(self.after, EVENTS)
            raise ValueError(f"after: {self.after!r} is none of {', '.join(EVENTS)}" + (f"; {close}?" if close else ""))
        if (self.try_ is None) == (self.recipe is None):
            raise ValueError("a rule tries a move (try) or a recipe, one of the two")
        return self

    def fits(self, event: str, recipe: Recipe) -> bool:
        """Whether it is of this event and this candidate."""
        return (
            self.after == event
            and self.quantizer in (None, recipe.quantizer)
            and self.scheme in (None, recipe.scheme)
            and self.varied in (None, bool(recipe.keep))
        )


class SearchRules(Strict):
    """The whole table."""

    schema_: Literal["assay.search_rules.v1"] = Field(alias="schema")
    families: dict[Name, _Patterns]
    rules: Annotated[tuple[Rule, ...], Field(strict=False)]

    @model_validator(mode="after")
    def _patterns(self) -> Self:
        for name, patterns in self.families.items():
            for pattern in patterns:
                if "@" in pattern:
                    raise ValueError(f"families.{name}: {pattern!r}: where in the model is said by search.positions")
                if pattern.startswith("role:") and pattern[5:] not in ROLES:
                    raise ValueError(f"families.{name}: no role {pattern[5:]!r}; there are: {', '.join(ROLES)}")
        return self

    @property
    def content(self) -> dict[str, Any]:
        """As a JSON object."""
        return self.model_dump(mode="json", by_alias=True)


@cache
def rules() -> SearchRules:
    """The table that ships."""
    return read(FILE)


def read(path: Path) -> SearchRules:
    """The table in a file. Raises ConfigError with every problem, by line."""
    text = document.read(path)
    if text.problems:
        raise ConfigError(list(text.problems))
    return parse(text.value, Locations(str(path), text.lines))


def parse(value: Mapping[str, Any] | Any, where: Locations | None = None) -> SearchRules:
    """The table that a mapping describes. Raises ConfigError with every problem."""
    where = where or Locations("search rules")
    try:
        return SearchRules.model_validate(value)
    except ValidationError as error:
        problems: list[Problem] = [
            where.problem(tuple(item["loc"]), str(item["msg"]).removeprefix("Value error, "))
            for item in error.errors(include_url=False, include_input=False)
        ]
        raise ConfigError(problems) from None
