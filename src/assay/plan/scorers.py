"""Which scorer a task gets: what was asked for, if it fits the task, the policy and every model; or an error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from assay.errors import ConfigError, Problem
from assay.models.base import Model
from assay.plan.plan import IMPORTED, Plan, ScorerPlan, TaskPlan
from assay.sandbox.setup import require
from assay.scoring.base import CodeScorer, Scorer
from assay.scoring.matrix import MODES, check, default_policy
from assay.scoring.registry import make
from assay.spec.schema import ScoringSpec, TaskSpec
from assay.tasks.base import Task


@dataclass(frozen=True, slots=True)
class Scoring:
    """How a task is scored. `by_choices`: requests ask for the likelihood of choices, not for text."""

    scorer: ScorerPlan | None
    policy: str
    by_choices: bool


def resolve(spec: TaskSpec, task: Task, models: Sequence[Model], notes: list[str]) -> Scoring:
    """The task's scorer. Raises ConfigError where mode, policy, task and models do not fit together.

    Multiple choice is scored by log-likelihood where every model offers it and by letter otherwise, the same way for
    all models, so that they can be compared; a note says so. A code task whose policy is `disabled` only generates.
    """
    mode, options = _asked(spec, task)
    policy = spec.code_exec_policy or default_policy(task.kind)
    if task.kind == "code" and policy == "disabled":
        if spec.scoring_mode is not None:
            allowed = "code_exec_policy: sandboxed, or no scoring_mode (completions are stored, not scored)"
            raise ConfigError(Problem(f"{mode} executes code, and the policy is disabled", allowed=allowed))
        return Scoring(None, policy, by_choices=False)
    if problems := check(task.name, task.kind, task.scorers, mode, policy):
        raise ConfigError(problems)
    if mode == "multiple_choice":
        options = _by(options, task.name, models, notes)
    scorer = _made(mode, options)
    return Scoring(plan_of(scorer, options), policy, by_choices=scorer.needs == "choices")


def _asked(spec: TaskSpec, task: Task) -> tuple[str, dict[str, Any]]:
    if isinstance(spec.scoring_mode, ScoringSpec):
        return spec.scoring_mode.mode, dict(spec.scoring_mode.options)
    return spec.scoring_mode or task.scorers[0], {}


def _by(options: dict[str, Any], task: str, models: Sequence[Model], notes: list[str]) -> dict[str, Any]:
    without = [model.name for model in models if not model.capabilities.choices]
    if options.get("by") == "logprob" and without:
        raise ConfigError(
            Problem(
                f"{task} is to be scored by log-likelihood, which {', '.join(without)} cannot give",
                allowed="by: letter, or a model that returns the log-likelihood of choices (llamacpp:, hf:, "
                "openai: with `api: completion` and `choices: true`)",
            )
        )
    if "by" in options:
        return options
    if without:
        notes.append(f"{task}: scored by letter, since {', '.join(without)} gives no log-likelihood of choices")
    return {**options, "by": "letter" if without else "logprob"}


def plan_of(scorer: Scorer, options: dict[str, Any]) -> ScorerPlan:
    """A scorer as the plan names it."""
    return ScorerPlan(scorer.name, options, scorer.revision, tuple(asdict(metric) for metric in scorer.metrics))


def rescorers(plan: Plan, tasks: Sequence[str] = (), mode: str | None = None) -> dict[str, ScorerPlan]:
    """The scorers to score a stored run with: the plan's in their present revision, or `mode` for these `tasks`.

    Raises ConfigError where a task is not in the run, where its completions cannot be scored by `mode`, or where
    nothing is left to score; MachineError where scoring would execute code and nothing here may.
    """
    if unknown := [task for task in tasks if task not in plan.tasks]:
        raise ConfigError(
            [Problem(f"the run has no task {task!r}", "--task", allowed=", ".join(plan.tasks)) for task in unknown]
        )
    scorers: dict[str, ScorerPlan] = {}
    for name, task in plan.tasks.items():
        chosen = not tasks or name in tasks
        if task.scorer is not None:
            scorers[name] = _again(task, task.scorer, mode if chosen else None)
        elif chosen:
            scorers[name] = _first(task, mode)
    return scorers


def _first(task: TaskPlan, mode: str | None) -> ScorerPlan:
    """The scorer of a code task that only generated so far: what executes it, now that somebody asks for it."""
    if problems := check(task.name, task.kind, (), mode or MODES[task.kind][0]):
        raise ConfigError(problems)
    return plan_of(_made(mode or MODES[task.kind][0], {}), {})


def _made(mode: str, options: dict[str, Any]) -> Scorer:
    """The scorer; where it executes code, of a sandbox that can be had here. Raises MachineError where it cannot."""
    scorer = make(mode, options)
    if isinstance(scorer, CodeScorer):
        require(scorer.settings.tier)
    return scorer


def _again(task: TaskPlan, scorer: ScorerPlan, mode: str | None) -> ScorerPlan:
    if scorer.mode == IMPORTED:
        raise ConfigError(
            Problem(f"{task.name}: its scores were imported, and cannot be made again from the completions", "RUN")
        )
    options: dict[str, Any] = dict(scorer.options) if mode in (None, scorer.mode) else {}
    if mode == "multiple_choice" and "by" not in options:
        options = {"by": "letter"}
    if problems := check(task.name, task.kind, (), mode or scorer.mode):
        raise ConfigError(problems)
    made = _made(mode or scorer.mode, options)
    before = make(scorer.mode, scorer.options)
    if made.needs != before.needs:
        message = f"{task.name} was asked for {before.needs}, and {made.name} needs {made.needs}"
        raise ConfigError(Problem(message, "--scoring-mode"))
    return plan_of(made, options)
