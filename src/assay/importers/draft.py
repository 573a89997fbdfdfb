"""The plan of an import: what the tool ran, in our words, with its scores named as imported.

Nothing is asked, so nothing is known of seeds; how the model decoded stands in the prompt's facts where the tool says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from assay.files import digest_of
from assay.importers.base import MetricFacts, TaskFacts
from assay.importers.survey import CellSeen, MetricSeen, Survey, TaskSeen
from assay.plan.plan import IMPORTED, Cell, ModelPlan, Plan, ScorerPlan, TaskPlan
from assay.run.imported import Origin, Reported
from assay.scoring.base import Metric

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST = 80


@dataclass(frozen=True)
class Draft:
    """A plan, where it comes from, and what the source calls the plan's tasks and metrics."""

    plan: Plan
    origin: Origin
    survey: Survey
    kinds: Mapping[str, Mapping[str, str]]
    names: Mapping[str, Mapping[str, str]]


def draft(survey: Survey, format: str, files: tuple[Mapping[str, Any], ...]) -> Draft:
    """The plan of a surveyed source; `files` describes each of its files by name, sha256 and bytes."""
    source = survey.source
    tasks, models = _safe(source.tasks, "task"), _safe(source.models, "model")
    kinds = _kinds(survey)
    names = {task: _metric_names(seen, kinds[task]) for task, seen in survey.tasks.items()}
    plan = Plan(
        name=_one(f"{source.tool}-{source.title}", "import"),
        seed=0,
        spec={"import": {"format": format, "tool": source.tool, "version": source.version, "files": list(files)}},
        models={models[key]: _model(models[key], facts, source.tool) for key, facts in source.models.items()},
        prompts=dict(source.prompts),
        tasks={
            tasks[key]: _task(tasks[key], key, facts, survey, kinds[key], names[key])
            for key, facts in source.tasks.items()
        },
        cells=tuple(
            _cell(models[cell.model], cell.prompt, tasks[cell.task], source.tool, source.models[cell.model])
            for cell in source.cells
        ),
    )
    return Draft(plan, _origin(survey, format, files, names), survey, kinds, names)


def _safe(keys: Iterable[str], empty: str) -> dict[str, str]:
    """A name for each key that is fit for a file and no other key's."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for key in keys:
        name = base = _one(key, empty)
        number = 2
        while name.casefold() in taken:
            name, number = f"{base}-{number}", number + 1
        taken.add(name.casefold())
        found[key] = name
    return found


def _one(text: str, empty: str) -> str:
    return _UNSAFE.sub("-", text).strip(".-_")[:_LONGEST].rstrip(".-_") or empty


def _kinds(survey: Survey) -> dict[str, dict[str, str]]:
    """The kind of each task's metrics. A name that passes in one task and measures in another measures in both: tables
    have one column for it.
    """
    kinds = {task: {name: _kind(survey, task, name) for name in _listed(survey, task)} for task in survey.tasks}
    mixed = {name for each in kinds.values() for name in each if each[name] == "measure"}
    return {
        task: {name: "measure" if kind == "pass" and name in mixed else kind for name, kind in each.items()}
        for task, each in kinds.items()
    }


def _listed(survey: Survey, task: str) -> list[str]:
    """The metrics of a task: those with values, or, where there are only totals, those that were reported."""
    seen, facts = survey.tasks[task].metrics, survey.source.tasks[task]
    of_task = [number for number, cell in enumerate(survey.source.cells) if cell.task == task]
    claimed = dict.fromkeys(claim.metric for claim in survey.source.claims if claim.cell in of_task)
    there = seen if survey.tasks[task].places else claimed
    return [name for name in {**facts.metrics, **there} if name in there]


def _kind(survey: Survey, task: str, name: str) -> str:
    facts = survey.source.tasks[task].metrics.get(name, MetricFacts())
    if seen := survey.tasks[task].metrics.get(name):
        return seen.kind(facts)
    return MetricSeen().kind(facts) if facts.passes else "measure"


def _metric_names(seen: TaskSeen, kinds: Mapping[str, str]) -> dict[str, str]:
    """What each metric is called here: labels apart from numbers, and none like another but for its case."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name, kind in kinds.items():
        base = called = f"{_plain(name)} label" if kind == "label" else _plain(name)
        number = 2
        while called.casefold() in taken:
            called, number = f"{base} {number}", number + 1
        taken.add(called.casefold())
        found[name] = called
    return found


def _plain(name: str) -> str:
    """A metric's name without what steers a terminal or ends a quotation."""
    return re.sub(r"[\x00-\x1f\"'\\\x7f]+", " ", name).strip()[:_LONGEST] or "metric"


def _model(name: str, facts: Mapping[str, Any], tool: str) -> ModelPlan:
    called = str(facts.get("model", name))
    identity = {"backend": "import", "tool": tool, **facts, "model": called}
    return ModelPlan(name, f"{tool}:{called}", identity, capabilities={})


def _task(
    name: str, key: str, facts: TaskFacts, survey: Survey, kinds: Mapping[str, str], names: Mapping[str, str]
) -> TaskPlan:
    seen, source = survey.tasks[key], survey.source
    counts = tuple(survey.epochs(key))
    metrics = tuple(_metric(names[metric], kind, facts.metrics.get(metric)) for metric, kind in kinds.items())
    options = {"tool": source.tool, **facts.settings}
    return TaskPlan(
        name=name,
        task=key,
        version=facts.version,
        kind=facts.kind,
        dataset=seen.dataset if seen.places else digest_of([source.tool, key, facts.version]),
        origin={"tool": source.tool, **facts.origin},
        seed=0,
        epochs=max(counts, default=1),
        few_shot=0,
        scorer=ScorerPlan(IMPORTED, options, source.version, metrics),
        code_exec_policy=IMPORTED,
        samples=tuple(seen.places),
        chance=facts.chance,
        counts=counts if counts and min(counts) != max(counts) else (),
    )


def _metric(name: str, kind: str, facts: MetricFacts | None) -> Mapping[str, Any]:
    known = facts or MetricFacts()
    low, high = (None, None) if kind in ("pass", "label") else (known.low, known.high)
    return asdict(Metric(name, kind, known.higher_is_better, low, high, known.help))  # type: ignore[arg-type]


def _cell(model: str, prompt: str, task: str, tool: str, facts: Mapping[str, Any]) -> Cell:
    shape = {"tool": tool, "model": dict(facts), "prompt": prompt, "task": task, "mode": "given"}
    return Cell(digest_of(shape)[:16], model, prompt, task, "given", None)


def _origin(
    survey: Survey, format: str, files: tuple[Mapping[str, Any], ...], names: Mapping[str, Mapping[str, str]]
) -> Origin:
    source, notes = survey.source, list(survey.source.notes)
    reported = []
    for claim in source.claims:
        known = names[source.cells[claim.cell].task]
        if claim.metric in known:
            parts = asdict(claim) | {"metric": known[claim.metric]}
            reported.append(Reported(**parts))
        else:
            task = source.cells[claim.cell].task
            notes.append(
                f"{task}: {source.tool} reports {claim.metric} {claim.value:.6g}, which no sample has a value of"
            )
    return Origin(format, source.tool, source.version, files, tuple(reported), tuple(notes))


def missing(survey: Survey, cell: CellSeen, epochs: Iterable[int]) -> Iterable[tuple[int, int]]:
    """(position, epoch) of each attempt of a task that a cell has no row of."""
    for position, count in enumerate(epochs):
        for epoch in range(count):
            if not cell.has(position, epoch):
                yield position, epoch
