"""What a reader should know before comparing the entries of a board: how their runs differ, and what was averaged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from assay.files import digest_of
from assay.report.board_entries import Entry, Part, named
from assay.run.sums import RunSums

_FACTS = ("version", "data", "scorer", "seed", "demonstrations", "mode", "sampling", "prompt", "model")


def _facts(part: Part) -> dict[str, str]:
    """What should be the same wherever a task is compared, in words short enough for a note."""
    plan = part.run.plan
    cell, task = plan.cells[part.cell], plan.tasks[part.task]
    scorer = part.run.scorers.get(part.task)
    options = f":{digest_of(dict(scorer.options))[:8]}" if scorer and scorer.options else ""
    return {
        "version": task.version,
        "data": task.dataset[:12],
        "scorer": f"{scorer.mode}@{scorer.revision}{options}" if scorer else "none",
        "seed": str(task.seed),
        "demonstrations": f"{len(task.demos)} ({digest_of(list(task.demos))[:8]})" if task.demos else "none",
        "mode": cell.mode,
        "sampling": _sampling(cell.sampling.to_json()) if cell.sampling else "unknown",
        "prompt": cell.prompt,
        "model": cell.model,
    }


def _sampling(value: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {item}" for key, item in value.items() if item not in (None, [], ()))


def differences(entries: Sequence[Entry], tasks: Sequence[str], by: Sequence[str]) -> Iterator[str]:
    """Notes on what else differs between entries, task by task, and on what an entry is the mean of."""
    for task in tasks:
        held = {entry.label: [_facts(part) for part in entry.parts if part.task == task] for entry in entries}
        for fact in _FACTS:
            if fact in by:
                continue
            values = {label: {facts[fact] for facts in found} for label, found in held.items() if found}
            kinds = sorted({value for found in values.values() for value in found})
            if len(kinds) < 2:
                continue
            if all(len(found) == len(kinds) for found in values.values()):
                yield f"{task}: every entry is averaged over the {fact}s {named(kinds)}"
            else:
                yield f"{task}: the {fact} differs between entries ({named(_shown(values, kinds))})"
        if missing := [label for label, found in held.items() if not found]:
            yield f"{task}: not asked of {named(missing)}"


def _shown(values: Mapping[str, set[str]], kinds: Sequence[str]) -> list[str]:
    return [f"{kind}: {named([label for label, found in values.items() if kind in found], 2)}" for kind in kinds]


def warnings(runs: Sequence[RunSums]) -> Iterator[str]:
    """What makes a whole run's numbers less than they seem."""
    for run in runs:
        if run.plan.synthetic:
            yield f"{run.name} is synthetic: a stand-in answered, so its scores say nothing of a model"
        if not run.results["complete"]:
            made = run.results["attempts"]
            yield f"{run.name} is incomplete: {made['finished']:,} of {made['planned']:,} attempts"
        yield from (f"{run.name} is anomalous: {reason}" for reason in run.results.get("anomalies", ()))
