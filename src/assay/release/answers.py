"""What a search is told: the answers to what it asked, read from the records of stages and from nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from assay.release.folder import BASELINE
from assay.release.search import Answer, Answers
from assay.release.space import Space
from assay.release.stages.base import Record
from assay.release.stages.evaluate import keyed

STAGES = ("quantize", "ptq", "deploy", "screen", "rung")
"""The stages that a search stands on."""


def cost_of(spec: Mapping[str, Any]) -> int:
    """Attempts that one sample of every task of a release's spec takes."""
    return sum(int(task["epochs"] or spec["epochs"]) for task in spec["tasks"])


def answers_of(space: Space, records: Mapping[str, Record], skipped: Sequence[str]) -> Answers:
    """The answers by candidate and rung. `skipped`: keys of screening stages for which there was no budget."""
    points = dict.fromkeys(str(record.point) for record in records.values() if record.stage in STAGES)
    found: dict[tuple[str, int], Answer | None] = {}
    for point in points:
        if point not in (BASELINE, "None"):
            found |= dict(_answers(space, point, records))
    for key in skipped:
        name, rung = _named(key)
        found.setdefault((name, rung), None)
    return found


def _named(key: str) -> tuple[str, int]:
    """The candidate and the rung of `screen-NAME.RUNG`."""
    name, _, rung = key.removeprefix("screen-").rpartition(".")
    return name, int(rung)


def skip(name: str, rung: int) -> str:
    """How an ask for which there was no budget is named."""
    return f"screen-{name}.{rung}"


def _answers(space: Space, point: str, records: Mapping[str, Record]) -> Iterator[tuple[tuple[str, int], Answer]]:
    """One candidate's answers, up to the rung that it failed on or has not begun."""
    for stage in ("quantize", "ptq", "deploy"):
        record = records.get(f"{stage}-{point}")
        if record is not None and record.status == "failed":
            yield (point, 1), _failed(record, _size(records, point), 0)
            return
    rungs: list[Record] = []
    for rung in range(1, space.rungs + 1):
        asked, judged = (records.get(keyed(stage, point, rung)) for stage in ("screen", "rung"))
        if asked is None:
            return
        attempts = int(asked.facts.get("attempts", 0))
        if failed := next((one for one in (asked, judged) if one is not None and one.status == "failed"), None):
            yield (point, rung), _failed(failed, _size(records, point), attempts)
            return
        if judged is None:
            return
        rungs.append(judged)
        tasks = pooled(rungs)
        pairs = sum(task["pairs"] for task in tasks if task["gated"])
        yield (point, rung), Answer(loss_of(tasks), _size(records, point), None, pairs, attempts)


def _failed(record: Record, size: int | None, attempts: int) -> Answer:
    return Answer(None, size, str((record.failure or {}).get("class", "UNKNOWN")), 0, attempts)


def _size(records: Mapping[str, Record], point: str) -> int | None:
    record = records.get(f"ptq-{point}")
    size = record.facts.get("bytes") if record else None
    return int(size) if size is not None else None


def pooled(rungs: Sequence[Record]) -> list[dict[str, Any]]:
    """What rungs measured together, task by task: means over all of their pairs."""
    named: dict[str, list[Mapping[str, Any]]] = {}
    for record in rungs:
        for task in record.facts["tasks"]:
            named.setdefault(str(task["task"]), []).append(task)
    return [_pooled(tasks) for tasks in named.values()]


def _pooled(tasks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    counted = [task for task in tasks if task["pairs"] and task["loss"] is not None]
    pairs = sum(int(task["pairs"]) for task in counted)
    means = {
        name: sum(task[name] * task["pairs"] for task in counted) / pairs if pairs else None
        for name in ("delta", "loss")
    }
    return {**tasks[-1], **means, "pairs": pairs}


def loss_of(tasks: Sequence[Mapping[str, Any]]) -> float | None:
    """The largest loss of a gated task as a share of its margin; None where one was not measured."""
    gated = [task for task in tasks if task["gated"]]
    if not gated or any(task["loss"] is None for task in gated):
        return None
    return max(float(task["loss"]) / float(task["margin"]) for task in gated)


def screened(records: Mapping[str, Record], point: str) -> list[dict[str, Any]]:
    """What screening measured of a candidate, as a point of a decision tells it: without interval or verdict."""
    rungs = [record for record in records.values() if (record.stage, record.point) == ("rung", point)]
    done = [record for record in rungs if record.status == "done" and "tasks" in record.facts]
    bare = dict.fromkeys(
        ("tier", "verdict", "baseline", "candidate", "low", "high", "won", "lost", "samples_needed", "level")
    )
    return [{**bare, **task, "screening": True} for task in pooled(done)] if done else []
