"""What a plan will take and what it could decide, before anything runs."""

from __future__ import annotations

from itertools import islice
from typing import Any

from assay.plan.build import Draft
from assay.plan.plan import Cell, TaskPlan
from assay.prompts.prompt import Prompt
from assay.prompts.render import Renderer
from assay.records import Sample
from assay.stats.power import smallest_difference

SCHEMA = "assay.forecast.v1"
DISCORDANCE = (0.05, 0.10, 0.20)
"""The shares of samples on which two models disagree, for which the smallest decidable difference is given."""

CHARACTERS_PER_TOKEN = 4
LOOK_AT = 50
"""Prompts rendered per cell to estimate their length."""


def forecast(draft: Draft) -> dict[str, Any]:
    """Cells, attempts, tokens expected, the smallest difference that could be decided, and the plan's digest.

    Prompt tokens are estimated from the length of up to 50 prompts a cell, generated ones are the most there can be.
    The smallest decidable difference (in points of a rate, paired, one-sided 5 %, power 80 %) counts samples, not
    attempts: epochs of one sample are not independent.
    """
    cells = [_cell(draft, cell) for cell in draft.plan.cells]
    return {
        "schema": SCHEMA,
        "name": draft.plan.name,
        "digest": draft.plan.digest,
        "attempts": len(draft.plan),
        "tokens": {key: sum(cell["tokens"][key] for cell in cells) for key in ("in", "out_at_most")},
        "cells": cells,
        "notes": list(draft.notes),
    }


def _cell(draft: Draft, cell: Cell) -> dict[str, Any]:
    task = draft.plan.tasks[cell.task]
    attempts = task.attempts
    return {
        "model": cell.model,
        "prompt": cell.prompt,
        "task": cell.task,
        "mode": cell.mode,
        "scorer": task.scorer.mode if task.scorer else None,
        "samples": len(task.samples),
        "epochs": task.epochs,
        "few_shot": task.few_shot,
        "excluded": len(task.excluded) - len(task.demos),
        "attempts": attempts,
        "tokens": {
            "in": _tokens_in(draft, cell, task, attempts),
            "out_at_most": attempts * cell.sampling.max_tokens if cell.sampling and cell.mode != "choices" else 0,
        },
        "smallest_difference": [
            {"discordance": share, "points": _points(len(task.samples), share)} for share in DISCORDANCE
        ],
    }


def _points(n: int, discordance: float) -> float | None:
    difference = smallest_difference(n, discordance)
    return None if difference is None else round(100 * difference, 2)


def _tokens_in(draft: Draft, cell: Cell, task: TaskPlan, attempts: int) -> int:
    if cell.mode == "given":
        return 0
    dataset, chosen = draft.datasets[cell.task], draft.selections[cell.task]
    renderer = Renderer(
        Prompt.from_json(draft.plan.prompts[cell.prompt]),
        [dataset[position] for position in chosen.demos],
        cell.mode,
        system=draft.plan.models[cell.model].system,
    )
    lengths = [_length(renderer, cell, dataset[position]) for position in islice(chosen.scored, LOOK_AT)]
    return round(attempts * sum(lengths) / len(lengths) / CHARACTERS_PER_TOKEN)


def _length(renderer: Renderer, cell: Cell, sample: Sample) -> int:
    messages, text = renderer.request_parts(sample)
    length = sum(len(message.content) for message in messages) + len(text or "")
    if cell.mode != "choices":
        return length
    choices = renderer.continuations(sample)
    return length * len(choices) + sum(map(len, choices))
