"""The plan for a file of samples that another tool has drawn: nothing is asked, so little is known.

One model, named after the file and pinned by its digest; no prompt; no sampling, since the file does not say how the
model decoded. Problems without a sample are left out and named: they are no failures.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from assay.data.dataset import Dataset
from assay.data.dataset import load as load_data
from assay.data.samples import Samples, read
from assay.data.sources import Progress
from assay.errors import ConfigError, Problem
from assay.files import digest_of
from assay.plan.build import Draft
from assay.plan.order import UNANSWERED, Exclusion, Selection
from assay.plan.plan import Cell, ModelPlan, Plan, ScorerPlan, TaskPlan
from assay.plan.scorers import plan_of
from assay.sandbox.setup import require
from assay.scoring.base import CodeScorer
from assay.scoring.registry import make
from assay.tasks.base import Task
from assay.tasks.problems import with_problems
from assay.tasks.registry import find, names

POLICY = "sandboxed"
PROMPT = "verbatim@1"
_PROMPT = {
    "id": "verbatim",
    "version": 1,
    "description": "No prompt was applied here: samples are taken as the file has them.",
}
_NAMED = 20
_ENDING = re.compile(r"(\.jsonl|\.ndjson|\.json)?(\.gz)?$", re.IGNORECASE)


@dataclass(frozen=True)
class SampleDraft:
    """A plan with what carrying it out needs: the file's samples, and the problems they are for."""

    draft: Draft
    samples: Samples


def plan_samples(
    task: str,
    file: Path,
    problems: Path | None = None,
    options: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> SampleDraft:
    """The plan that scores the samples of `file` for a code task; `problems` takes the place of the task's own data.

    `options` are those of the task's scorer. Raises ConfigError with everything that is wrong with the file, and
    MachineError where the data or a sandbox cannot be had.
    """
    known = code_task(task)
    if problems is not None:
        known = with_problems(known, str(problems))
    scorer = _scorer(known, dict(options or {}))
    dataset = load_data(known.name, known.sources, version=known.version, progress=progress)
    samples = read(file, (name for name, _ in dataset.keys()))
    return SampleDraft(_draft(known, dataset, samples, scorer), samples)


def _scorer(task: Task, options: dict[str, Any]) -> ScorerPlan:
    """The task's scorer, whose sandbox must be had here: better refused now than after a million rows."""
    scorer = make(task.scorers[0], options)
    if isinstance(scorer, CodeScorer):
        require(scorer.settings.tier)
    return plan_of(scorer, options)


def code_task(name: str) -> Task:
    """The code task of that name. Raises ConfigError where it is another kind of task, or none."""
    task = find(name)
    if task.kind != "code":
        allowed = ", ".join(other for other in names() if find(other).kind == "code")
        raise ConfigError(Problem(f"{name} is no code task: its samples are no programs", "--task", allowed=allowed))
    return task


def _draft(task: Task, dataset: Dataset, samples: Samples, scorer: ScorerPlan) -> Draft:
    chosen = _select(dataset, samples)
    title = _title(samples.path)
    plan = Plan(
        name=f"{task.name}-{title}",
        seed=0,
        spec={"task": task.name, "samples": {"file": samples.path.name, "sha256": samples.digest}},
        models={title: _model(title, samples)},
        prompts={PROMPT: _PROMPT},
        tasks={task.name: _task(task, dataset, samples, chosen, scorer)},
        cells=(_cell(title, task, dataset, samples),),
    )
    return Draft(plan, {}, {task.name: dataset}, {task.name: chosen}, tuple(_notes(samples, chosen)))


def _select(dataset: Dataset, samples: Samples) -> Selection:
    """The problems that have samples, in the order of the data."""
    known = [name for name, _ in dataset.keys()]
    scored = array("L", (position for position, name in enumerate(known) if name in samples.counts))
    excluded = tuple(Exclusion(name, UNANSWERED) for name in known if name not in samples.counts)
    return Selection((), scored, excluded, (), tuple(samples.counts))


def _title(path: Path) -> str:
    """What the model is called: the file's name without its ending, fit for a file name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", _ENDING.sub("", path.name or path.resolve().name)).lstrip(".-") or "samples"


def _model(title: str, samples: Samples) -> ModelPlan:
    identity = {"backend": "samples", "model": samples.path.name, "digest": samples.digest}
    return ModelPlan(name=title, model=f"samples:{samples.path.name}", identity=identity, capabilities={})


def _task(task: Task, dataset: Dataset, samples: Samples, chosen: Selection, scorer: ScorerPlan) -> TaskPlan:
    counts = tuple(samples.counts.values())
    return TaskPlan(
        name=task.name,
        task=task.name,
        version=task.version,
        kind=task.kind,
        dataset=dataset.digest,
        origin={key: part for key, part in dataset.origin.to_json().items() if key != "where"},
        seed=0,
        epochs=max(counts),
        few_shot=0,
        scorer=scorer,
        code_exec_policy=POLICY,
        samples=chosen.ids,
        excluded=tuple(asdict(exclusion) for exclusion in chosen.excluded),
        cluster=task.cluster,
        counts=counts if min(counts) != max(counts) else (),
    )


def _cell(title: str, task: Task, dataset: Dataset, samples: Samples) -> Cell:
    shape = {"samples": samples.digest, "task": [task.name, task.version, dataset.digest], "mode": "given"}
    return Cell(digest_of(shape)[:16], title, PROMPT, task.name, "given", None)


def _notes(samples: Samples, chosen: Selection) -> list[str]:
    notes = []
    if missing := [exclusion.sample for exclusion in chosen.excluded]:
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        whole = len(chosen.ids) + len(missing)
        notes.append(f"{len(chosen.ids)} of {whole} problems have samples; none: {', '.join(missing[:_NAMED])}{more}")
    if samples.left_out:
        notes.append(f"not kept as labels (too long, nested, or the problem's own): {', '.join(samples.left_out)}")
    return notes
