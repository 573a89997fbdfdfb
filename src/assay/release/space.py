"""What a search may try: base recipes × families of modules that are kept × where in the model; and how much of it.

A space holds everything that its search depends on but the answers, so that the search can be followed again from a
release's own files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.document import nearest
from assay.errors import ConfigError, EvidenceError, Problem
from assay.gates.keeping import varied, wrong
from assay.gates.recipe import Recipe
from assay.plan.order import order
from assay.release.search_rules import SearchRules, parse, read, rules
from assay.release.spec import SearchSpec
from assay.spec.locations import Locations

EVERYWHERE = "all"


@dataclass(frozen=True)
class Space:
    """`bases`: recipes by preference, `named` those that rules name; `choices`: modules to keep, by what they are
    called. `start`: the bases that are tried first. `samples`: of each task on the first rung.
    """

    bases: tuple[Recipe, ...]
    named: Mapping[str, Recipe]
    choices: Mapping[str, Mapping[str, str]]
    start: tuple[str, ...]
    trials: int
    rungs: int
    samples: int
    finalists: int
    attempts: int | None
    seed: int
    rules: SearchRules

    def total(self, rung: int) -> int:
        """How many samples of each task a candidate has been asked after a rung: twice as many after each."""
        return self.samples * 2 ** (rung - 1) if rung else 0

    @property
    def screened(self) -> int:
        """How many samples of each task candidates are screened on, at most; the final test has others."""
        return self.total(self.rungs)

    def starting(self) -> list[Recipe]:
        """The candidates that are tried first, in their order; never more than there may be."""
        chosen = [base for base in self.bases if base.name in self.start]
        return [chosen[place] for place in order([base.name for base in chosen], self.seed, "start")][: self.trials]

    def variants(self, base: Recipe) -> Iterator[Recipe]:
        """The recipe with each choice of modules kept, in the order of the seed; those that cannot be are left out."""
        labels = list(self.choices)
        for place in order(labels, self.seed, base.name):
            label = labels[place]
            if not wrong(base, self.choices[label]):
                yield varied(base, self.choices[label], f"{base.name}-keep-{label}")

    def by_size(self, base: Recipe, *, larger: bool) -> list[Recipe]:
        """The base recipes of the same quantizer that are larger, or smaller, the nearest first."""
        same = [other for other in self.bases if other.quantizer == base.quantizer]
        found = [other for other in same if (other.bits > base.bits if larger else other.bits < base.bits)]
        return sorted(found, key=lambda other: (other.bits if larger else -other.bits, other.name))

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "bases": [base.to_json() for base in self.bases],
            "named": [recipe.to_json() for recipe in self.named.values()],
            "choices": {label: dict(keep) for label, keep in self.choices.items()},
            "order": list(self.choices),
            "start": list(self.start),
            "trials": self.trials,
            "rungs": self.rungs,
            "samples": self.samples,
            "finalists": self.finalists,
            "attempts": self.attempts,
            "seed": self.seed,
            "rules": self.rules.content,
        }


def from_json(value: Mapping[str, Any]) -> Space:
    """The space in a release's record. Raises EvidenceError where it is none."""
    from assay.release.stages.quantize import recipe_of

    try:
        named = [recipe_of(recipe) for recipe in value["named"]]
        plain = {key: value[key] for key in ("trials", "rungs", "samples", "finalists", "attempts", "seed")}
        return Space(
            bases=tuple(recipe_of(recipe) for recipe in value["bases"]),
            named={recipe.name: recipe for recipe in named},
            choices={label: dict(value["choices"][label]) for label in value["order"]},
            start=tuple(value["start"]),
            rules=parse(value["rules"]),
            **plain,
        )
    except (KeyError, TypeError, ConfigError) as error:
        raise EvidenceError(f"the search of this release cannot be read ({error!r})") from None


def space_of(spec: SearchSpec, find: Callable[[str], Recipe], where: Locations) -> Space:
    """The space that a spec asks for, names looked up. Raises ConfigError with every problem, by line."""
    problems: list[Problem] = []
    table = _table(spec, where, problems)
    bases = list(_bases(spec, find, where, problems))
    named = dict(_named(table, find, where, problems))
    for index, name in enumerate(spec.start):
        if name not in spec.recipes:
            close = nearest(name, spec.recipes)
            message = f"{name!r} is none of the recipes of the search"
            path = ("search", "start", index)
            problems.append(where.problem(path, message, allowed=", ".join(spec.recipes), nearest=close))
    choices = _choices(spec, table, where, problems)
    if not problems:
        problems += _fitting(spec, bases, choices, where)
    if problems:
        raise ConfigError(problems)
    return Space(
        bases=tuple(bases),
        named=named,
        choices=choices,
        start=spec.start or spec.recipes,
        trials=spec.trials,
        rungs=spec.rungs,
        samples=spec.samples,
        finalists=spec.finalists,
        attempts=spec.attempts,
        seed=spec.seed,
        rules=table,
    )


def _table(spec: SearchSpec, where: Locations, problems: list[Problem]) -> SearchRules:
    if spec.rules is None:
        return rules()
    try:
        return read(Path(spec.rules))
    except ConfigError as error:
        problems += error.problems or [where.problem(("search", "rules"), error.message)]
        return rules()


def _bases(
    spec: SearchSpec, find: Callable[[str], Recipe], where: Locations, problems: list[Problem]
) -> Iterator[Recipe]:
    for index, name in enumerate(spec.recipes):
        path = ("search", "recipes", index)
        if name in spec.recipes[:index]:
            problems.append(where.problem(path, f"{name!r} appears twice", allowed="each recipe once"))
            continue
        try:
            yield find(name)
        except ConfigError as error:
            told = error.problems[0]
            problems.append(where.problem(path, told.message, allowed=told.allowed, nearest=told.nearest))


def _named(
    table: SearchRules, find: Callable[[str], Recipe], where: Locations, problems: list[Problem]
) -> Iterator[tuple[str, Recipe]]:
    for index, rule in enumerate(table.rules):
        if rule.recipe is None:
            continue
        try:
            yield rule.recipe, find(rule.recipe)
        except ConfigError as error:
            told = error.problems[0]
            message = f"rule {index + 1}: {told.message}"
            problems.append(where.problem(("search", "rules"), message, allowed=told.allowed, nearest=told.nearest))


def _choices(
    spec: SearchSpec, table: SearchRules, where: Locations, problems: list[Problem]
) -> dict[str, dict[str, str]]:
    """Every family at every position, by a name that can stand in a file's."""
    found: dict[str, dict[str, str]] = {}
    for index, family in enumerate(spec.keep):
        patterns = table.families.get(family)
        if patterns is None:
            close = nearest(family, table.families)
            message, path = f"there is no family of modules {family!r}", ("search", "keep", index)
            problems.append(where.problem(path, message, allowed=", ".join(table.families), nearest=close))
            continue
        for place in spec.positions:
            label = family if place == EVERYWHERE else f"{family}.{place.replace(':', '')}"
            ends = "" if place == EVERYWHERE else f"@{place}"
            found[label] = {f"{pattern}{ends}": spec.keep_at for pattern in patterns}
    return found


def _fitting(
    spec: SearchSpec, bases: list[Recipe], choices: Mapping[str, Mapping[str, str]], where: Locations
) -> Iterator[Problem]:
    """Choices that no recipe of the space can have."""
    for keep in choices.values():
        told = [wrong(base, keep) for base in bases]
        if told and all(told):
            first = told[0][0]
            key = "keep_at" if "type" in first.message or "bits" in first.message else "keep"
            yield where.problem(("search", key), f"of every recipe: {first.message}", allowed=first.allowed)
            return
