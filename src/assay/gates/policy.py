"""A policy: what a release must hold to, as a person writes it in YAML. Strict, versioned, and digested into results.

What a policy can be wrong about by itself (an unknown key, a margin that is not a number, nothing gated) is found
here. Whether it fits a run (a margin of 2 on a rate) is found by the gates, which see both.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path as File
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, Field, ValidationError, model_validator

from assay import document
from assay.document import Path, Unread
from assay.errors import ConfigError, Problem
from assay.files import digest_of
from assay.gates.judges import JudgePolicy
from assay.spec.locations import Locations
from assay.spec.problems import at, problem
from assay.spec.schema import Name, Strict

SCHEMA = "assay.policy.v1"
Model = TypeVar("Model", bound=BaseModel)
Tier = Literal["critical", "supporting", "advisory"]
"""`critical`: gated, and both runs must have it; `supporting`: gated where the runs have it; `advisory`: only shown."""

Difference = Literal[
    "version",
    "dataset",
    "prompt",
    "system",
    "demonstrations",
    "mode",
    "sampling",
    "seed",
    "scorer",
    "execution",
    "sandbox",
    "determinism",
    "tasks",
]
"""What two runs may differ in, if the policy says so; the model may always. Samples and epochs never may."""


_LARGE = 1e12
Share = Annotated[float, Field(ge=0, le=1, description="a share from 0 to 1")]
Positive = Annotated[float, Field(ge=1e-9, le=_LARGE, description="a number from 1e-9 to 1e12")]
Relative = Annotated[float, Field(ge=1e-6, lt=1, description="a share from 1e-6 to below 1")]
Finite = Annotated[float, Field(ge=-_LARGE, le=_LARGE, description="a number from -1e12 to 1e12")]
Level = Annotated[float, Field(ge=1e-6, lt=0.5, description="a level from 1e-6 to below 0.5")]
Chance = Annotated[float, Field(ge=0.5, le=0.9999, description="a chance from 0.5 to 0.9999")]
Part = Annotated[float, Field(ge=1e-6, le=0.999, description="a share from 1e-6 to 0.999")]
Scale = Annotated[tuple[Finite, Finite], Field(strict=False, description="two numbers, [lowest, highest]")]


class External(Strict):
    """A published score of the baseline, in the metric's units, and how far off a measurement may be.

    `tolerance` is by default 5 points: 0.05 of the metric's scale.
    """

    score: Finite
    tolerance: Positive | None = None
    source: str = ""


class TaskPolicy(Strict):
    """What is asked of one task. Unset keys come from the policy's defaults.

    `margin`: the largest loss that is allowed, in the metric's own units (0.01 of a rate is one point).
    `relative_margin`: the same as a share of the baseline's score. `scale`: of a metric whose scorer declares none.
    `max_gain`: a larger gain, as a share of the scale, is no success but an anomaly. `max_tokens_increase` and
    `max_latency_increase`: how much longer answers and waits may get, as a share of the baseline's mean (0.2 is 20 %).
    """

    tier: Tier | None = None
    metric: Name | None = None
    direction: Literal["higher_is_better", "lower_is_better"] | None = None
    margin: Positive | None = None
    relative_margin: Relative | None = None
    scale: Scale | None = None
    max_gain: Positive | None = None
    max_tokens_increase: Positive | None = None
    max_latency_increase: Positive | None = None
    external: External | None = None

    @model_validator(mode="after")
    def _one_margin(self) -> Self:
        if self.margin is not None and self.relative_margin is not None:
            raise ValueError("give margin or relative_margin, not both")
        if self.scale is not None and not self.scale[1] - self.scale[0] >= 1e-9:
            raise ValueError("a scale is [lowest, highest], the first below the second")
        return self


class Outcomes(Strict):
    """The largest share of a cell's attempts that may end so. `extraction`: answered, but no answer was found in it.

    `moved`: how far such a rate may move from one run to the other.
    """

    infra_error: Share = 0.0
    timeout: Share = 0.0
    skipped: Share = 0.0
    scorer_error: Share = 0.0
    empty: Share = 0.05
    truncated: Share = 0.05
    refused: Share = 0.05
    extraction: Share = 0.1
    moved: Share = 0.02


class Execution(Strict):
    """What is asked of runs that executed code.

    `tier`: the least boundary around it. `forgeable`: the largest share of executions whose outcome the solution could
    have decided itself. `controls`: the least share of executed reference solutions that must pass.
    """

    tier: Literal["full", "reduced", "macos", "none"] = "full"
    forgeable: Share = 0.0
    controls: Share = 1.0


class Sequential(Strict):
    """How to decide while a run goes on.

    `block`: how many samples of the largest task lie between two looks; by default a fortieth of them, at least 20.
    `stop_on`: what ends a run as a regression, a loss beyond the `margin`, or any `loss` beyond chance.
    """

    block: Annotated[int, Field(ge=1, le=10**9, description="a whole number from 1 on")] | None = None
    stop_on: Literal["margin", "loss"] = "margin"


class Policy(Strict):
    """A whole policy.

    `alpha` is one-sided; `correction` keeps it over all gated tasks together. `rule`: `interval` decides by confidence
    bounds, `point` by the measured difference alone. `must_decide`: refuse to begin where the planned samples cannot
    decide the margin with `power`, if a share of `discordance` of the samples changes. `required`: tasks that both
    runs must have. `allow`: what the runs may differ in besides the model. `sequential`: how to decide while a run goes
    on, if that is asked. `judges`: what models that judge must hold to.
    """

    schema_: Literal["assay.policy.v1"] = Field(alias="schema")
    name: Name = "policy"
    description: str = ""
    alpha: Level = 0.05
    power: Chance = 0.8
    correction: Literal["holm", "none"] = "holm"
    rule: Literal["interval", "point"] = "interval"
    must_decide: bool = False
    discordance: Part = 0.1
    required: Annotated[tuple[Name, ...], Field(strict=False)] = ()
    allow: Annotated[tuple[Difference, ...], Field(strict=False)] = ()
    defaults: TaskPolicy = Field(default_factory=TaskPolicy)
    tasks: dict[Name, TaskPolicy] = Field(default_factory=dict)
    outcomes: Outcomes = Field(default_factory=Outcomes)
    execution: Execution = Field(default_factory=Execution)
    sequential: Sequential | None = None
    judges: JudgePolicy | None = None

    @model_validator(mode="after")
    def _gates_something(self) -> Self:
        if not any(self.task(name).gated for name in self.tasks) and not self.task("").gated:
            raise ValueError("this policy gates nothing: give a margin to a task that is critical or supporting")
        if loose := [name for name in self.tasks if self.task(name).unbounded]:
            raise ValueError(
                f"no margin for {', '.join(loose)}: give it one, under it or in defaults, or tier: advisory"
            )
        return self

    def task(self, name: str) -> Terms:
        """What holds for a task: its own entry over the defaults."""
        own, defaults = self.tasks.get(name, TaskPolicy()), self.defaults
        merged = {key: getattr(own, key) for key in TaskPolicy.model_fields}
        if own.margin is not None or own.relative_margin is not None:
            defaults = defaults.model_copy(update={"margin": None, "relative_margin": None})
        merged = {key: value if value is not None else getattr(defaults, key) for key, value in merged.items()}
        return Terms(**{**merged, "tier": merged["tier"] or "supporting", "max_gain": merged["max_gain"] or 0.05})

    @property
    def wanted(self) -> tuple[str, ...]:
        """The tasks that both runs must have."""
        critical = [name for name in self.tasks if self.task(name).tier == "critical"]
        return tuple(dict.fromkeys([*self.required, *critical]))

    @cached_property
    def content(self) -> dict[str, Any]:
        """The policy in full, its defaults included, as JSON."""
        value: dict[str, Any] = self.model_dump(mode="json", by_alias=True)
        for later in ("sequential", "judges"):  # policies of before there were such keys keep their digests
            if getattr(self, later) is None:
                del value[later]
        terms = self.task("")
        return {**value, "defaults": {**value["defaults"], "tier": terms.tier, "max_gain": terms.max_gain}}

    @cached_property
    def digest(self) -> str:
        """SHA-256 of its content: two files that mean the same have one digest."""
        return digest_of(self.content)

    def to_json(self) -> dict[str, Any]:
        """As a result keeps it: all of it, so that the verdict can be derived again."""
        return {"digest": self.digest, "content": self.content}


class Terms(TaskPolicy):
    """What holds for one task, defaults filled in."""

    tier: Tier = "supporting"
    max_gain: Positive = 0.05

    @property
    def bounded(self) -> bool:
        """Whether there is a margin."""
        return self.margin is not None or self.relative_margin is not None

    @property
    def gated(self) -> bool:
        """Whether the task can decide a verdict."""
        return self.bounded and self.tier != "advisory"

    @property
    def unbounded(self) -> bool:
        """Whether the task ought to decide a verdict and has no margin to do it by."""
        return not self.bounded and self.tier != "advisory"


def load(path: File) -> Policy:
    """The policy in a file. Raises ConfigError with every problem of the file, by line."""
    return read(document.read(path))


def read(text: document.Document) -> Policy:
    """The policy that a parsed document holds. Raises ConfigError."""
    return validated(Policy, SCHEMA, text)


def validated(kind: type[Model], schema: str, text: document.Document) -> Model:
    """A policy of some kind from a parsed document. Raises ConfigError with every problem."""
    where = Locations(text.where, text.lines)
    if not isinstance(text.value, dict):
        message = "the file is empty" if text.value is None else "a policy is a mapping of keys to values"
        raise ConfigError([*text.problems, where.problem((), message, allowed=f"keys such as 'schema: {schema}'")])
    return _parsed(kind, text.value, where, text.problems)


def parse(value: Any, where: Locations | None = None, known: Sequence[Problem] = ()) -> Policy:
    """The policy that a mapping describes. Raises ConfigError with every problem; `known` ones are told with them."""
    return _parsed(Policy, value, where or Locations("policy"), known)


def _parsed(kind: type[Model], value: Any, where: Locations, known: Sequence[Problem]) -> Model:
    problems = list(known)
    try:
        policy = kind.model_validate(value)
    except ValidationError as error:
        found: dict[Path, Problem] = {}
        for item in error.errors(include_url=False, include_input=False):
            path = _path(item["loc"])
            if not isinstance(at(value, path), Unread):
                found.setdefault(path, problem(kind, path, item, value, where))
        raise ConfigError(sorted([*problems, *found.values()], key=lambda problem: problem.line or 0)) from None
    if problems:
        raise ConfigError(problems)
    return policy


def _path(loc: tuple[str | int, ...]) -> Path:
    """Where an error is; pydantic names a bad key of a mapping by `[key]` behind it."""
    return tuple(part for part in loc if part != "[key]")
