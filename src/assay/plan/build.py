"""From what a person wants to what will run: names become tasks, models, prompts and scorers, or errors.

Everything that can be refused is refused here, all of it at once, before a model is loaded or a request sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import PurePath
from typing import Any

from assay.data.dataset import Dataset
from assay.errors import ConfigError, Problem
from assay.files import digest_of
from assay.models.base import Model
from assay.models.memory import check_limit
from assay.models.registry import make as make_model
from assay.plan.order import Selection, select
from assay.plan.plan import Cell, Mode, ModelPlan, Plan, ScorerPlan, TaskPlan
from assay.plan.scorers import Scoring, resolve
from assay.prompts.library import find as find_prompt
from assay.prompts.prompt import Prompt
from assay.prompts.render import check as check_prompt
from assay.records import Sample, Sampling
from assay.spec.dump import to_json
from assay.spec.locations import Locations
from assay.spec.schema import ModelSpec, Spec, TaskSpec
from assay.tasks.base import Task
from assay.tasks.registry import load as load_task

EXECUTION = {"concurrency", "retry", "budget", "cache", "env", "max_model_b"}
"""What decides how a plan is carried out, not what it asks: these keys are no part of it."""

LOOK_AT = 50
"""Samples that a prompt is tried on: a template may have branches that the first does not take."""

Progress = Callable[[str, int], None]


@dataclass(frozen=True)
class Draft:
    """A plan, and the live things behind its names that running it needs."""

    plan: Plan
    models: dict[str, Model]
    datasets: dict[str, Dataset]
    selections: dict[str, Selection]
    notes: tuple[str, ...] = ()

    def samples(self) -> Iterator[tuple[str, Iterator[Sample], Iterator[Sample]]]:
        """For each task: its name, the samples asked, the samples shown."""
        for name, chosen in self.selections.items():
            dataset = self.datasets[name]
            yield name, (dataset[i] for i in chosen.scored), (dataset[i] for i in chosen.demos)


@dataclass
class _Builder:
    spec: Spec
    where: Locations
    progress: Progress | None
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    models: dict[str, tuple[ModelSpec, Model]] = field(default_factory=dict)
    tasks: dict[str, tuple[TaskSpec, Task, Dataset]] = field(default_factory=dict)
    selections: dict[str, Selection] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)

    def build(self) -> Draft:
        self._find_models()
        self._find_tasks()
        self._stop_at_problems()
        scorers = {name: self._scorer(name, number) for number, name in enumerate(self.tasks)}
        prompts = {name: self._prompts(name, scorers[name]) for name in self.tasks}
        self._stop_at_problems()
        plan = self._plan(scorers, prompts)
        self._stop_at_problems()
        return Draft(
            plan,
            {name: model for name, (_, model) in self.models.items()},
            {name: dataset for name, (_, _, dataset) in self.tasks.items()},
            self.selections,
            tuple(self.notes),
        )

    def _stop_at_problems(self) -> None:
        if self.problems:
            raise ConfigError(self.problems)

    def _blame(self, path: tuple[str | int, ...], problems: ConfigError | list[Problem]) -> None:
        """Keep problems that were found without knowing where in the spec they come from."""
        for problem in problems.problems if isinstance(problems, ConfigError) else problems:
            place = self.where.problem(path, problem.message, allowed=problem.allowed, nearest=problem.nearest)
            self.problems.append(place if problem.where is None else problem)

    def _find_models(self) -> None:
        for number, spec in enumerate(self.spec.models):
            try:
                model = make_model(spec)
                check_limit(model.size(), self.spec.max_model_b, model.name)
            except ConfigError as error:
                self._blame(("models", number), error)
                continue
            self._claim(self.models, model.name, ("models", number))
            self.models[model.name] = (spec, model)

    def _find_tasks(self) -> None:
        for number, spec in enumerate(self.spec.tasks):
            try:
                task, dataset = load_task(spec.task, spec.fields, self.progress, spec.options)
            except ConfigError as error:
                self._blame(("tasks", number), error)
                continue
            name = spec.name or _short(task.name)
            self._claim(self.tasks, name, ("tasks", number))
            self.tasks[name] = (spec, task, dataset)

    def _claim(self, taken: dict[str, Any], name: str, path: tuple[str | int, ...]) -> None:
        if name in taken:
            message = f"{name!r} appears twice"
            allowed = "different names: give one of them a `name`"
            self.problems.append(self.where.problem(path, message, allowed=allowed))

    def _scorer(self, name: str, number: int) -> Scoring:
        spec, task, _ = self.tasks[name]
        try:
            return resolve(spec, task, [model for _, model in self.models.values()], self.notes)
        except ConfigError as error:
            self._blame(("tasks", number), error)
            return Scoring(None, "disabled", by_choices=False)

    def _prompts(self, name: str, scoring: Scoring) -> list[Prompt]:
        _, task, dataset = self.tasks[name]
        found: list[Prompt] = []
        for number, wanted in enumerate(self.spec.prompts):
            try:
                prompt = find_prompt(task.prompt if wanted == "default" else wanted)
            except ConfigError as error:
                self._blame(("prompts", number), error)
                continue
            if prompt.digest in {other.digest for other in found}:
                self.notes.append(f"{name}: {wanted} is the same prompt as another of the list; asked once")
                continue
            self._claim_label(prompt, number)
            for mode in {self._mode(spec, model, scoring) for spec, model in self.models.values()}:
                self._blame(("prompts", number), _misfits(prompt, dataset, mode))
            found.append(prompt)
        return found

    def _claim_label(self, prompt: Prompt, number: int) -> None:
        """One name and version, one text: a table could not tell two of them apart."""
        known = self.labels.setdefault(label(prompt), prompt.digest)
        if known != prompt.digest:
            message = f"two different prompts are called {label(prompt)}"
            allowed = "a new version for a changed text"
            self.problems.append(self.where.problem(("prompts", number), message, allowed=allowed))

    def _mode(self, spec: ModelSpec, model: Model, scoring: Scoring) -> Mode:
        if scoring.by_choices:
            return "choices"
        if spec.api is not None:
            return spec.api
        return "chat" if model.capabilities.chat else "completion"

    def _plan(self, scorers: dict[str, Scoring], prompts: dict[str, list[Prompt]]) -> Plan:
        tasks = {name: self._task_plan(name, scorers[name]) for name in self.tasks}
        cells = [
            self._cell(model, prompt, tasks[name], scorers[name])
            for model in self.models
            for name in tasks
            for prompt in prompts[name]
        ]
        used = {label(prompt): prompt.to_json() for found in prompts.values() for prompt in found}
        return Plan(
            name=self.spec.name,
            seed=self.spec.seed,
            spec={key: part for key, part in to_json(self.spec).items() if key not in EXECUTION},
            models={name: self._model_plan(name) for name in self.models},
            prompts=used,
            tasks=tasks,
            cells=tuple(cells),
        )

    def _model_plan(self, name: str) -> ModelPlan:
        spec, model = self.models[name]
        size = model.size()
        return ModelPlan(
            name=name,
            model=spec.model,
            identity=pinned(model),
            capabilities=model.capabilities.to_json(),
            size={"parameters": size.parameters, "source": size.source} if size else None,
            system=spec.system,
            prices=spec.prices.model_dump(mode="json") if spec.prices else None,
            synthetic=model.synthetic,
        )

    def _task_plan(self, name: str, scoring: Scoring) -> TaskPlan:
        spec, task, dataset = self.tasks[name]
        seed = self.spec.seed if spec.seed is None else spec.seed
        few_shot = _first(spec.few_shot, self.spec.few_shot, task.few_shot)
        chosen = select(
            dataset, seed=seed, name=task.name, few_shot=few_shot, limit=_first(spec.limit, self.spec.limit)
        )
        self.selections[name] = chosen
        self._check_selection(name, chosen, few_shot)
        return TaskPlan(
            name=name,
            task=task.name,
            version=task.version,
            kind=task.kind,
            dataset=dataset.digest,
            # Where the data was found differs between machines; what it is does not.
            origin={key: part for key, part in dataset.origin.to_json().items() if key != "where"},
            seed=seed,
            epochs=spec.epochs or self.spec.epochs,
            few_shot=few_shot,
            scorer=scoring.scorer,
            code_exec_policy=scoring.policy,
            samples=chosen.ids,
            demos=chosen.shown,
            excluded=tuple(asdict(exclusion) for exclusion in chosen.excluded),
            cluster=spec.cluster or task.cluster,
            chance=_chance(dataset, chosen, scoring.scorer),
        )

    def _check_selection(self, name: str, chosen: Selection, few_shot: int) -> None:
        path = ("tasks", list(self.tasks).index(name))
        if len(chosen.demos) < few_shot:
            message = f"{name} has only {len(chosen.demos)} different samples, few_shot asks for {few_shot}"
            self.problems.append(self.where.problem((*path, "few_shot"), message))
        elif not chosen.scored:
            message = f"{name} has no sample left to score"
            self.problems.append(self.where.problem(path, message))

    def _cell(self, model_name: str, prompt: Prompt, task: TaskPlan, scoring: Scoring) -> Cell:
        spec, model = self.models[model_name]
        task_spec, definition, _ = self.tasks[task.name]
        mode = self._mode(spec, model, scoring)
        sampling = _sampling(self.spec, task_spec, definition, mode)
        shape = {
            "model": pinned(model),
            "system": spec.system,
            "prompt": prompt.digest,
            "task": [definition.name, definition.version, task.dataset],
            "demos": task.demos,
            "mode": mode,
            "sampling": sampling.to_json(),
        }
        return Cell(digest_of(shape)[:16], model_name, label(prompt), task.name, mode, sampling)


def pinned(model: Model) -> dict[str, Any]:
    """What pins a model wherever it runs: its runtime's version is the machine's, and stands in the evidence."""
    return {key: part for key, part in model.identity.items() if key != "runtime"}


def _short(task: str) -> str:
    """What a task is called where no name was given: its own, or that of its file, fit for a file name."""
    kind, _, path = task.partition(":")
    name = PurePath(path).stem if kind in ("file", "scenario") and path else task
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip(".-") or "task"


def _misfits(prompt: Prompt, dataset: Dataset, mode: Mode) -> list[Problem]:
    """Why the prompt cannot be rendered, for the first of the leading samples that says so."""
    for position in range(min(LOOK_AT, len(dataset))):
        if problems := check_prompt(prompt, dataset[position], mode):
            return problems
    return []


def label(prompt: Prompt) -> str:
    """How a prompt is called in tables and cells: `id@version`."""
    return f"{prompt.id}@{prompt.version}"


def _sampling(spec: Spec, task_spec: TaskSpec, task: Task, mode: Mode) -> Sampling:
    if mode == "choices":
        return Sampling(max_tokens=1)  # nothing is generated, so nothing else may tell cells apart
    written = spec.sampling
    sampling = Sampling(
        temperature=written.temperature,
        top_p=written.top_p,
        max_tokens=_first(task_spec.max_tokens, written.max_tokens, task.max_tokens),
        stop=_first(task_spec.stop, written.stop, ()),
    )
    if mode == "completion" and task_spec.stop is None and written.stop is None:
        return replace(sampling, stop=task.stop)  # raw text has no end of turn
    return sampling


def _chance(dataset: Dataset, chosen: Selection, scorer: ScorerPlan | None) -> float | None:
    """What guessing would score on average: the mean share of right choices."""
    if scorer is None or scorer.mode != "multiple_choice" or not chosen.scored:
        return None
    samples = (dataset[position] for position in chosen.scored)
    shares = [len(sample.gold) / len(sample.choices) for sample in samples if sample.choices]
    return sum(shares) / len(shares) if shares else None


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def build(spec: Spec, where: Locations, progress: Progress | None = None) -> Draft:
    """The plan of a spec, with its models and data sets.

    `where` knows the file and line, or the option, of each key. Raises ConfigError with every problem found, or
    MachineError where data or a sandbox cannot be had. `progress` is told of downloads.
    """
    return _Builder(spec, where, progress).build()
