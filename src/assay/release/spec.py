"""The spec of a release: what a person writes in YAML. Strict, versioned, every error by its line.

Shapes live here; names of recipes, tasks and models are looked up by `assay.release.resolve`, before anything is
written.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path as File
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from assay import document
from assay.document import Path, Unread
from assay.errors import ConfigError, Problem
from assay.gates.policy import Policy
from assay.spec.environment import expand
from assay.spec.locations import Locations
from assay.spec.problems import at, problem
from assay.spec.schema import (
    ConcurrencySpec,
    Name,
    Positive,
    RetrySpec,
    SamplingSpec,
    Seconds,
    Seed,
    Strict,
    TaskEntry,
    Text,
    Texts,
    Variable,
)
from assay.spec.secrets import find_under

SCHEMA = "assay.release.v1"
_RECIPE = "a recipe's name, or a mapping with 'recipe:'"
_SOURCE = "a path, a hub id or a built-in model, or a mapping with 'model:'"


def _as(key: str) -> Any:
    """A plain string stands for a mapping with that one key."""
    return BeforeValidator(lambda value: {key: value} if isinstance(value, str) else value)


_PLACE = "all, first:N or last:N (blocks of the model)"
Place = Annotated[str, Field(pattern=r"^(all|(first|last):[1-9][0-9]{0,3})$", description=_PLACE)]


class SourceSpec(Strict):
    """The checkpoint that is released. `convert`: the format it is converted to first, such as `F16`."""

    model: Text
    revision: Text | None = None
    convert: Name | None = None


class CandidateSpec(Strict):
    """A recipe to try. `name`: what it is called where one recipe is tried in several ways; `ignore` and `options`
    replace the recipe's own. `keep`: the type that the layers of a pattern are kept at."""

    recipe: Text
    name: Name | None = None
    quantizer: Name | None = None
    ignore: Texts | None = None
    keep: dict[Text, Name] = Field(default_factory=dict)
    options: dict[str, bool | int | float | str] = Field(default_factory=dict)


class SearchSpec(Strict):
    """A space of recipes instead of a list: see `assay.release.search`.

    `recipes` × `keep` (families of modules) × `positions`, which are kept at the type `keep_at`. `start`: the recipes
    that are tried first, all by default. `trials`: candidates in all. Each is screened on up to `rungs` rungs, the
    first of `samples` a task; `finalists` go into the final test. `attempts`: at samples, in screening.
    `rules`: a file of one's own of what is tried after what.
    """

    recipes: Annotated[tuple[Name, ...], Field(min_length=1, strict=False)]
    keep: Annotated[tuple[Name, ...], Field(strict=False)] = ()
    positions: Annotated[tuple[Place, ...], Field(min_length=1, strict=False)] = ("all",)
    keep_at: Name = "Q8_0"
    start: Annotated[tuple[Name, ...], Field(strict=False)] = ()
    trials: Annotated[int, Field(ge=2, le=1000)] = 16
    rungs: Annotated[int, Field(ge=1, le=10)] = 3
    samples: Annotated[int, Field(ge=1, le=10**6)] = 50
    finalists: Annotated[int, Field(ge=1, le=20)] = 3
    attempts: Positive | None = None
    seed: Seed = 0
    rules: Text | None = None


class ServingSpec(Strict):
    """How checkpoints are served while they are evaluated. `health`: limits of the health gate other than its own."""

    deployer: Name = "llamacpp"
    settings: dict[str, bool | int | float | str] = Field(default_factory=dict)
    health: dict[str, float] = Field(default_factory=dict)


class TrackingSpec(Strict):
    """Where the finished release is logged."""

    uri: Text
    experiment: Text = "releases"


class ReleaseBudget(Strict):
    """Where a release stops trying candidates: `seconds` of work in all, `attempts` at samples in all."""

    seconds: Seconds | None = None
    attempts: Positive | None = None


class SamplesSpec(Strict):
    """What to do where a comparison is undecided: up to `rounds` evaluations, each on `growth` times the samples.

    Every round is a test of its own, so alpha is divided by the number of rounds before the first.
    """

    rounds: Annotated[int, Field(ge=1, le=5)] = 1
    growth: Annotated[float, Field(gt=1, le=10, allow_inf_nan=False)] = 2.0


class ReleaseSpec(Strict):
    """A whole release.

    `candidates`: recipes in order of preference. `stop`: try all of them, or end with the first that is accepted.
    `correction`: how alpha is kept over the candidates. `until_decided`: end each evaluation as soon as it is decided.
    `baseline`: folders in which a sealed run of the source is looked for before one is made.
    """

    schema_: Literal["assay.release.v1"] = Field(alias="schema")
    name: Name = "release"
    description: str = ""
    source: Annotated[SourceSpec, _as("model"), Field(description=_SOURCE)]
    candidates: Annotated[
        tuple[Annotated[CandidateSpec, _as("recipe"), Field(description=_RECIPE)], ...], Field(strict=False)
    ] = ()
    search: SearchSpec | None = None
    max_candidates: Annotated[int, Field(ge=1, le=1000)] | None = None
    stop: Literal["all", "first_accept"] = "all"
    correction: Literal["holm", "bonferroni", "none"] = "holm"
    samples: SamplesSpec = Field(default_factory=SamplesSpec)
    until_decided: bool = False
    tasks: Annotated[tuple[TaskEntry, ...], Field(min_length=1, strict=False)]
    prompts: Annotated[tuple[Text, ...], Field(min_length=1, max_length=1, strict=False)] = ("default",)
    seed: Seed = 0
    few_shot: Annotated[int, Field(ge=0, le=100)] | None = None
    limit: Positive | None = None
    epochs: Annotated[int, Field(ge=1, le=10_000)] = 1
    sampling: SamplingSpec = Field(default_factory=SamplingSpec)
    concurrency: ConcurrencySpec = Field(default_factory=ConcurrencySpec)
    retry: RetrySpec = Field(default_factory=RetrySpec)
    cache: Literal["auto", "on", "off"] = "auto"
    policy: Text | dict[str, Any]
    serving: ServingSpec = Field(default_factory=ServingSpec)
    baseline: Texts = ()
    budget: ReleaseBudget = Field(default_factory=ReleaseBudget)
    tracking: TrackingSpec | None = None
    env: Annotated[tuple[Variable, ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _tries_something(self) -> Self:
        if bool(self.candidates) == (self.search is not None):
            raise ValueError("give candidates (a list of recipes) or search, one of the two")
        if self.until_decided and self.samples.rounds > 1:
            raise ValueError("until_decided looks as often as it likes already: samples.rounds stays 1 with it")
        return self

    @property
    def content(self) -> dict[str, Any]:
        """The spec in full, its defaults included, as JSON; `env` only says what the file could read."""
        return self.model_dump(mode="json", by_alias=True, exclude={"env"})


def load(path: File) -> tuple[ReleaseSpec, Locations]:
    """The spec in a file, and where each value was written. Raises ConfigError with every problem, by line."""
    text = document.read(path)
    where = Locations(str(path), text.lines)
    if not isinstance(text.value, dict):
        message = "the file is empty" if text.value is None else "a release spec is a mapping of keys to values"
        problem = where.problem((), message, allowed=f"keys such as 'schema: {SCHEMA}' and 'source:'")
        raise ConfigError([*text.problems, problem])
    value, unset = expand(text.value, where)
    return parse(value, where, [*text.problems, *unset.values()]), where


def parse(value: Any, where: Locations | None = None, known: list[Problem] | None = None) -> ReleaseSpec:
    """The spec that a mapping describes. Raises ConfigError with every problem; `known` ones are told with them."""
    where, problems = where or Locations("release"), list(known or [])
    problems += _secrets(value, (), where)
    try:
        spec = ReleaseSpec.model_validate(value)
    except ValidationError as error:
        found: dict[Path, Problem] = {}
        for item in error.errors(include_url=False, include_input=False):
            path = _path(item["loc"], item["type"], value)
            if not isinstance(at(value, path), Unread):
                found.setdefault(path, problem(ReleaseSpec, path, item, value, where))
        outer = {path[:end] for path in found for end in range(len(path))}
        told = [problem for path, problem in found.items() if path not in outer]
        raise ConfigError(sorted([*problems, *told], key=lambda problem: problem.line or 0)) from None
    if problems:
        raise ConfigError(problems)
    return spec


def _secrets(value: Any, path: Path, where: Locations) -> list[Problem]:
    """Every text that looks like a secret: a spec becomes evidence."""
    if isinstance(value, Mapping):
        return [problem for key, item in value.items() for problem in _secrets(item, (*path, key), where)]
    if isinstance(value, list | tuple):
        return [problem for index, item in enumerate(value) for problem in _secrets(item, (*path, index), where)]
    name = next((part for part in reversed(path) if isinstance(part, str)), "")
    if isinstance(value, str) and (kind := find_under(name, value)):
        return [where.problem(path, f"this looks like {kind} (not shown)", allowed="no secrets in a spec")]
    return []


def _path(loc: tuple[str | int, ...], kind: str, value: Any) -> Path:
    """`loc` without the names of union members, which pydantic puts between."""
    path: Path = ()
    for index, part in enumerate(loc):
        here = at(value, path)
        inside = isinstance(here, Mapping) and (part in here or (kind == "missing" and index == len(loc) - 1))
        if inside or (isinstance(here, list | tuple) and isinstance(part, int)) or (not path and index == 0):
            path = (*path, part)
    return path


def policy_of(spec: ReleaseSpec, where: Locations) -> Policy:
    """The policy that the spec names or holds. Raises ConfigError with every problem, by line."""
    from assay.gates import policy as policies

    if isinstance(spec.policy, str):
        return policies.load(File(spec.policy))
    lines = {path[1:]: line for path, line in where.lines.items() if path[:1] == ("policy",)}
    return policies.parse(spec.policy, Locations(where.where, lines))
