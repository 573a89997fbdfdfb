"""Samples on which a candidate and its baseline differ, with both answers, read from their runs.

Which they are stands in the result of `gate compare`; what was asked and answered, in the runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.errors import AssayError
from assay.report.comparison import Flip, Side

Key = tuple[str, str, int]
KINDS = ("lost", "won")


def flips(document: Mapping[str, Any], baseline: Path, candidate: Path, most: int) -> tuple[list[Flip], int]:
    """At most `most` samples of each kind and task, losses first, and how many are left out.

    `document`: the result of a comparison. Raises AssayError where a run cannot be read.
    """
    tasks = document["numbers"].get("tasks", ())
    listed = [(str(task["task"]), kind, _listed(task, kind)) for kind in KINDS for task in tasks]
    wanted = [
        (kind, (task, str(flip["sample"]), int(flip.get("epoch", 0))))
        for task, kind, found in listed
        for flip in found[:most]
    ]
    if not wanted:
        return [], 0
    keys = {key for _, key in wanted}
    chosen = [item.get("chosen") or {} for item in document["inputs"]]
    sides = [_answers(path, keys, only) for path, only in zip((baseline, candidate), chosen, strict=True)]
    left_out = sum(len(found) for _, _, found in listed) - len(wanted)
    return [_flip(kind, key, *sides) for kind, key in wanted], left_out


def _listed(task: Mapping[str, Any], kind: str) -> Sequence[Mapping[str, Any]]:
    return (task.get("flips") or {}).get(kind) or ()


Answers = Mapping[Key, tuple[Side, str]]


def _flip(kind: str, key: Key, left: Answers, right: Answers) -> Flip:
    task, sample, epoch = key
    sides = [answers[key][0] if key in answers else None for answers in (left, right)]
    asked = next((answers[key][1] for answers in (left, right) if key in answers), "")
    return Flip(task, kind, f"{sample}, epoch {epoch}" if epoch else sample, asked, *sides)


def _answers(path: Path, wanted: set[Key], chosen: Mapping[str, str]) -> dict[Key, tuple[Side, str]]:
    """The stored answers of these samples, and what was asked; of the model and prompt that the comparison chose."""
    from assay.session import open as open_run

    run, found = open_run(path), dict[Key, tuple[Side, str]]()
    for entry in run:
        attempt = entry.attempt
        cell = run.plan.cells[attempt["cell"]]
        key = (cell.task, str(attempt["sample"]), int(attempt["epoch"]))
        named = {"model": cell.model, "prompt": cell.prompt}
        if key not in wanted or any(named.get(name) != value for name, value in chosen.items()):
            continue
        score = entry.scores[0] if entry.scores else {}
        why = str(score.get("why") or score.get("error") or "")
        text = str((attempt.get("completion") or {}).get("text", ""))
        found[key] = Side(text, score.get("extracted"), why), _asked(run, entry)
    return found


def _asked(run: Any, entry: Any) -> str:
    try:
        return "\n\n".join(_texts(run.request(entry)))
    except AssayError as error:
        return f"what was asked cannot be rebuilt: {error.message}"


def _texts(request: Mapping[str, Any]) -> Iterator[str]:
    yield from (str(message["content"]) for message in request.get("messages") or ())
    if request.get("text"):
        yield str(request["text"])
    if request.get("choices"):
        yield "\n".join(f"{index + 1}. {choice}" for index, choice in enumerate(request["choices"]))
