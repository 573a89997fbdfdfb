"""What a person may write in a spec: every key, its type, its bounds and its default.

Only shapes live here. Names of models, tasks, prompts and scorers are checked by the planner, which knows
them; lines, nearest names and secrets by the loader (`assay.spec.load`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator


def _named(key: str) -> Callable[[Any], Any]:
    """A plain string stands for a mapping with that one key."""
    return lambda value: {key: value} if isinstance(value, str) else value


# A description, where there is one, is what an error says must stand there.
_NAME = "a name (letters, digits, '.', '_' and '-', the first a letter or digit; at most 100)"
_VARIABLE = "the name of an environment variable (letters, digits and '_')"
Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description=_NAME)]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=100, description=_VARIABLE)]
Positive = Annotated[int, Field(ge=1, le=10**12)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Seconds = Annotated[float, Field(gt=0, le=10**9, allow_inf_nan=False)]
Text = Annotated[str, Field(min_length=1, description="text that is not empty")]
Texts = Annotated[tuple[str, ...], Field(strict=False)]
HttpUrl = Annotated[str, Field(pattern=r"^https?://[^/]", description="a URL (http://… or https://…)")]


class Strict(BaseModel):
    """Unknown keys are errors, and a string is not a number. A list is as good as a tuple."""

    # Built when first used: half of the models are never needed on their own.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)


class Prices(Strict):
    """What a hosted model costs, per million tokens, in one currency."""

    input: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    output: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="three capitals such as EUR")] = "USD"


class ModelSpec(Strict):
    """One model: `smollm2-135m`, or `backend:what`, with what that backend needs to be told.

    `model`: `openai:NAME[@BASE_URL]`, `ollama:NAME[@BASE_URL]`, `llamacpp:FILE.gguf`,
    `hf:FOLDER_OR_ID[@REVISION]`, `deployed:FILE`, `replay:FILE_OR_RUN`, or a built-in name. `api`: whether
    generated answers go through the chat template or continue raw text; by default chat where the model has a template.
    `choices`: whether an `openai:` completions endpoint returns the log probabilities of its prompt (`echo`),
    as vLLM does. `options` go to the backend (`slots`, `context`, `threads`, `gpu_layers`, `device`, `dtype`,
    `batch`) and are checked there.
    """

    model: Text
    name: Name | None = None
    base_url: HttpUrl | None = None
    api: Literal["chat", "completion"] | None = None
    choices: bool | None = None
    api_key_env: Variable | None = None
    system: str | None = None
    options: dict[str, bool | int | float | str] = Field(default_factory=dict)
    prices: Prices | None = None


class ScoringSpec(Strict):
    """A scorer and its options, where the name alone is not enough (`regex` needs a pattern)."""

    mode: Name
    options: dict[str, Any] = Field(default_factory=dict)


class FieldsSpec(Strict):
    """Which column of a `file:` task holds what. `choices` may name one list column or several columns.

    `answer` of a multiple-choice file may be an index from 0, a letter, or the right choice's text.
    """

    input: str = "input"
    target: str | None = None
    id: str | None = None
    choices: str | Texts | None = None
    answer: str | None = None
    extra: Texts = ()


class TaskSpec(Strict):
    """One task and how to run it; what is None comes from the spec's defaults or from the task.

    `options` are the parameters of a task that has some: a scenario's (`n_tips`, `diversity`).
    """

    task: Text
    name: Name | None = None
    few_shot: Annotated[int, Field(ge=0, le=100)] | None = None
    limit: Positive | None = None
    seed: Seed | None = None
    epochs: Annotated[int, Field(ge=1, le=10_000)] | None = None
    scoring_mode: Name | ScoringSpec | None = None
    code_exec_policy: Literal["disabled", "sandboxed"] | None = None
    max_tokens: Positive | None = None
    stop: Texts | None = None
    fields: FieldsSpec | None = None
    options: dict[str, bool | int | float | str] = Field(default_factory=dict)
    cluster: str | None = None


class SamplingSpec(Strict):
    """How models decode. `seed` overrides the spec's root seed for the attempts' seeds only."""

    temperature: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] = 0.0
    top_p: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 1.0
    max_tokens: Positive | None = None
    stop: Texts | None = None
    seed: Seed | None = None


class ConcurrencySpec(Strict):
    """How many requests may be in flight: from `start`, as the server allows, up to `limit`."""

    limit: Annotated[int, Field(ge=1, le=10_000)] = 64
    start: Annotated[int, Field(ge=1, le=10_000)] | None = None
    timeout_s: Seconds = 120.0

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.start is not None and self.start > self.limit:
            raise ValueError(f"start ({self.start}) must not be above limit ({self.limit})")
        return self


class RetrySpec(Strict):
    """How often a failed request is tried again.

    `tries` bounds one attempt (the first try included); `ratio` bounds the run: retries may be at most this
    share of the requests made so far (and never fewer than 20).
    """

    tries: Annotated[int, Field(ge=1, le=100)] = 5
    base_s: Seconds = 0.5
    max_s: Seconds = 60.0
    ratio: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] = 0.5


class BudgetSpec(Strict):
    """Where a run stops; what is left can be resumed with a larger budget."""

    tokens: Positive | None = None
    requests: Positive | None = None
    seconds: Seconds | None = None
    money: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None


ModelEntry = Annotated[ModelSpec, BeforeValidator(_named("model")), Field(description="a model's name, or a mapping")]
TaskEntry = Annotated[TaskSpec, BeforeValidator(_named("task")), Field(description="a task's name, or a mapping")]


class Spec(Strict):
    """A whole evaluation: models × prompts × tasks, and how to run them.

    `seed`: the root seed; 0 keeps the order of the files. `env`: the environment variables that `${NAME}` may
    read in this spec. `max_model_b`: refuse models of more billion parameters. `cache`: reuse stored
    responses (`auto`: only where decoding is greedy and the model is pinned by digest).
    """

    name: Name = "eval"
    description: str = ""
    models: Annotated[tuple[ModelEntry, ...], Field(min_length=1, strict=False)]
    prompts: Annotated[tuple[Text, ...], Field(min_length=1, strict=False)] = ("default",)
    tasks: Annotated[tuple[TaskEntry, ...], Field(min_length=1, strict=False)]
    seed: Seed = 0
    few_shot: Annotated[int, Field(ge=0, le=100)] | None = None
    limit: Positive | None = None
    epochs: Annotated[int, Field(ge=1, le=10_000)] = 1
    sampling: SamplingSpec = Field(default_factory=SamplingSpec)
    concurrency: ConcurrencySpec = Field(default_factory=ConcurrencySpec)
    retry: RetrySpec = Field(default_factory=RetrySpec)
    budget: BudgetSpec = Field(default_factory=BudgetSpec)
    cache: Literal["auto", "on", "off"] = "auto"
    max_model_b: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    env: Annotated[tuple[Variable, ...], Field(strict=False)] = ()
