"""A release with its names looked up: recipes, deployer, policy, rules. Everything that can be refused is refused here.

The digest of all of it names the release directory, so that another spec is another release.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.document import nearest
from assay.errors import ConfigError, Problem
from assay.files import digest_of
from assay.gates.health import Limits
from assay.gates.keeping import varied, wrong
from assay.gates.policy import Policy
from assay.gates.recipe import Recipe
from assay.release.actions import Rules, rules
from assay.release.decision import Levels
from assay.release.folder import BASELINE, SCHEMA
from assay.release.space import Space, space_of
from assay.release.spec import CandidateSpec, ReleaseSpec, load, policy_of
from assay.spec.locations import Locations

if TYPE_CHECKING:
    from assay.release.deployers.base import Deployer, Settings


_WAIT_S = 120.0
"""How long to wait for another deployment on this machine: of a process that was killed, it takes a while to go."""


@dataclass(frozen=True)
class Release:
    """What is asked, names looked up. `where` knows the lines of the spec's file."""

    spec: ReleaseSpec
    where: Locations
    policy: Policy
    recipes: tuple[Recipe, ...]
    deployer: Deployer
    settings: Settings
    rules: Rules
    space: Space | None = None

    @cached_property
    def content(self) -> dict[str, Any]:
        """The content of `release.json`."""
        return {
            "schema": SCHEMA,
            "name": self.spec.name,
            **self._asked,
            "digest": self.digest,
        }

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what is asked: the spec, the policy in full, the recipes."""
        return digest_of(self._asked)

    @property
    def _asked(self) -> dict[str, Any]:
        spec = {**self.spec.content, "policy": self.policy.content}
        asked = {"spec": spec, "recipes": [recipe.to_json() for recipe in self.recipes]}
        return asked | ({"search": self.space.to_json()} if self.space else {})

    @property
    def levels(self) -> Levels:
        """How alpha is kept over the candidates."""
        spec = self.spec
        tested = self.space.finalists if self.space else len(self.recipes)
        return Levels(self.policy.alpha, spec.correction, tested, spec.samples.rounds)

    def limits(self, recipe: Recipe | None) -> Limits:
        """The limits of the health gate for a candidate; for the source where there is no recipe."""
        return limits_of(self.spec.serving.health, recipe)

    def path(self, out: Path | None) -> Path:
        """Where the release goes."""
        return out if out is not None else Path("releases") / f"{self.spec.name}-{self.digest[:8]}"

    def policy_for(self, point: str) -> Policy:
        """The policy by which one point's run is found fit."""
        return fitting(self.policy, point)

    def policy_at(self, level: float) -> Policy:
        """The policy at another level of error."""
        return at_level(self.policy, level)


def fitting(policy: Policy, point: str) -> Policy:
    """The policy by which one point's run is found fit: what was published is of the source alone."""
    if point == BASELINE:
        return policy
    content = policy.content
    tasks = {name: {**task, "external": None} for name, task in content["tasks"].items()}
    defaults = {**content["defaults"], "external": None}
    return Policy.model_validate({**content, "tasks": tasks, "defaults": defaults})


def at_level(policy: Policy, level: float) -> Policy:
    """The policy at another level of error."""
    return Policy.model_validate({**policy.content, "alpha": level})


def limits_of(health: Mapping[str, float], recipe: Recipe | None) -> Limits:
    """The limits for weights of as many bits as the recipe makes, but for those that the spec sets (`health`)."""
    return replace(Limits.of(recipe.bits if recipe else None), **health)


def is_whole(content: Mapping[str, Any]) -> bool:
    """Whether the content of a `release.json` is as it was written: its digest is that of what is asked."""
    return content.get("digest") == digest_of(
        {key: content.get(key) for key in ("spec", "recipes", "search") if key != "search" or key in content}
    )


def resolve(path: Path) -> Release:
    """The release that a file asks for. Raises ConfigError with every problem, by line."""
    spec, where = load(path)
    return resolved(spec, where)


def resolved(spec: ReleaseSpec, where: Locations | None = None) -> Release:
    """The release that a spec asks for. Raises ConfigError with every problem."""
    where, problems = where or Locations("release"), []
    try:
        policy: Policy | None = policy_of(spec, where)
    except ConfigError as error:
        policy, problems = None, list(error.problems)
    found = [_recipe(candidate, index, where, problems) for index, candidate in enumerate(spec.candidates)]
    space = _space(spec, where, problems)
    recipes = [recipe for recipe in found if recipe is not None]
    problems += _twice(recipes, where) if len(recipes) == len(found) else []
    deployer, settings = _serving(spec, where, problems)
    problems += _limits(spec, where)
    problems += _tracking(spec, where)
    problems += _tasks(spec, where)
    if problems or policy is None or deployer is None or settings is None:
        raise ConfigError(sorted(problems, key=lambda problem: problem.line or 0))
    chosen = space.bases if space else tuple(recipes[: spec.max_candidates])
    return Release(spec, where, policy, chosen, deployer, settings, rules(), space)


def _space(spec: ReleaseSpec, where: Locations, problems: list[Problem]) -> Space | None:
    """The space of a search, where one is asked for; every problem with it more."""
    if spec.search is None:
        return None
    if spec.max_candidates is not None:
        message = "a search has search.trials and search.finalists instead"
        problems.append(where.problem(("max_candidates",), message, allowed="max_candidates with a list of candidates"))
    try:
        return space_of(spec.search, recipe_named, where)
    except ConfigError as error:
        problems += error.problems
        return None


def recipe_named(name: str) -> Recipe:
    """The recipe of a name, of whatever quantizer. Raises ConfigError with the nearest name."""
    known = known_recipes()
    if name not in known:
        allowed = ", ".join(sorted(known))
        raise ConfigError(Problem(f"there is no recipe {name!r}", allowed=allowed, nearest=nearest(name, known)))
    return known[name]


def known_recipes() -> Mapping[str, Recipe]:
    """Every recipe that a quantizer here knows, by name."""
    from assay.release.quantizers.registry import recipes

    return recipes()


def _recipe(candidate: CandidateSpec, index: int, where: Locations, problems: list[Problem]) -> Recipe | None:
    """The recipe that an entry of `candidates` means; None where it is none, and a problem more."""
    path = ("candidates", index, "recipe")
    try:
        found = recipe_named(candidate.recipe)
    except ConfigError as error:
        told = error.problems[0]
        problems.append(where.problem(path, told.message, allowed=told.allowed, nearest=told.nearest))
        return None
    if candidate.quantizer is not None and candidate.quantizer != found.quantizer:
        message = f"{found.name} is a recipe of {found.quantizer}"
        problems.append(where.problem((*path[:2], "quantizer"), message, allowed=found.quantizer))
    ignore = found.ignore if candidate.ignore is None else candidate.ignore
    name = candidate.name or found.name
    made = replace(found, name=name, ignore=ignore, options={**found.options, **candidate.options})
    return _keeping(made, candidate, path[:2], where, problems)


def _keeping(
    recipe: Recipe, candidate: CandidateSpec, path: tuple[str | int, ...], where: Locations, problems: list[Problem]
) -> Recipe:
    """The recipe with the modules that the entry keeps; every problem with them more."""
    if candidate.keep and candidate.name is None:
        message = f"{recipe.name} with modules kept is another recipe"
        problems.append(where.problem((*path, "keep"), message, allowed="a `name` of its own beside it"))
    found = wrong(recipe, candidate.keep)
    for told in found:
        place = (*path, *(told.key or "keep").split(".", 1))
        problems.append(where.problem(place, told.message, allowed=told.allowed, nearest=told.nearest))
    return recipe if found else varied(recipe, candidate.keep)


def _twice(recipes: list[Recipe], where: Locations) -> Iterator[Problem]:
    """Two candidates of one name, or one called as the baseline's folder is."""
    seen: set[str] = set()
    for index, recipe in enumerate(recipes):
        if recipe.name in seen:
            message = f"{recipe.name!r} appears twice"
            yield where.problem(("candidates", index), message, allowed="different names: give one of them a `name`")
        elif recipe.name == BASELINE:
            message = f"{BASELINE!r} is what the source is called"
            yield where.problem(("candidates", index), message, allowed="another name")
        seen.add(recipe.name)


def _serving(spec: ReleaseSpec, where: Locations, problems: list[Problem]) -> tuple[Deployer | None, Settings | None]:
    """The deployer and its settings; a problem more where there is none of the name, or they do not fit."""
    from assay.release.deployers.base import find, settings

    here = ("serving", "deployer")
    try:
        deployer = find(spec.serving.deployer)
    except ConfigError as error:
        told = error.problems[0]
        problems.append(where.problem(here, told.message, allowed=told.allowed, nearest=told.nearest))
        return None, None
    if not deployer.serves:
        message = f"{deployer.name!r} serves what is there already: every candidate would be the same model"
        problems.append(where.problem(here, message, allowed="a deployer that serves the checkpoint it is given"))
        return None, None
    ours = [key for key in spec.serving.settings if key in ("name", "alone")]
    problems += [where.problem(("serving", "settings", key), "the release sets it", allowed="others") for key in ours]
    try:
        found = settings({"wait_s": _WAIT_S, **spec.serving.settings})
        deployer.check(found)
    except ConfigError as error:
        for told in error.problems:
            path = ("serving", "settings", (told.key or "").rpartition(".")[2])
            problems.append(where.problem(path, told.message, allowed=told.allowed, nearest=told.nearest))
        return deployer, None
    return deployer, None if ours else found


def _limits(spec: ReleaseSpec, where: Locations) -> Iterator[Problem]:
    """A problem for each limit of the health gate that is none."""
    known = {part.name for part in fields(Limits)}
    for key, value in spec.serving.health.items():
        path = ("serving", "health", key)
        if key not in known:
            close = nearest(key, known)
            yield where.problem(path, "unknown limit", allowed=", ".join(sorted(known)), nearest=close)
            continue
        try:
            Limits(**{key: value})
        except ConfigError as error:
            yield where.problem(path, error.problems[0].message, allowed=error.problems[0].allowed)


def _tracking(spec: ReleaseSpec, where: Locations) -> Iterator[Problem]:
    """A tracking server that is none, or MLflow's client missing: better now than when all is done."""
    from assay.tracking.beside import check_installed
    from assay.tracking.target import checked_uri

    if spec.tracking is None:
        return
    check_installed()
    try:
        checked_uri(spec.tracking.uri)
    except ConfigError as error:
        for told in error.problems:
            yield where.problem(("tracking", "uri"), told.message, allowed=told.allowed)


def _tasks(spec: ReleaseSpec, where: Locations) -> Iterator[Problem]:
    """Tasks that there are not. Their data are looked at by the planner, which fetches them."""
    from assay.tasks.registry import find

    for index, task in enumerate(spec.tasks):
        try:
            find(task.task, task.fields, task.options)
        except ConfigError as error:
            for told in error.problems:
                yield where.problem(
                    ("tasks", index, told.key or "task"), told.message, allowed=told.allowed, nearest=told.nearest
                )
