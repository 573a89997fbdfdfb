"""Samples on which a candidate and its baseline differ, with both answers, read from their sealed runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.errors import AssayError
from assay.release.contents import Gated
from assay.report.comparison import Flip, Side

Key = tuple[str, str, int]
KINDS = ("lost", "won")


def counts(gate: Gated) -> dict[str, int]:
    """How many samples changed sides, by kind, as far as the comparison lists them."""
    return {kind: sum(len(_listed(task, kind)) for task in gate.tasks) for kind in KINDS}


def _listed(task: Mapping[str, Any], kind: str) -> Sequence[Mapping[str, Any]]:
    return (task.get("flips") or {}).get(kind) or ()


def flips(gate: Gated, baseline: Path, candidate: Path, most: int) -> list[Flip]:
    """At most `most` of each kind and task, losses first. Raises AssayError where a run cannot be read."""
    wanted = [
        (kind, (str(task["task"]), str(flip["sample"]), int(flip.get("epoch", 0))))
        for task in gate.tasks
        for kind in KINDS
        for flip in _listed(task, kind)[:most]
    ]
    if not wanted:
        return []
    keys = {key for _, key in wanted}
    left, right = _answers(baseline, keys), _answers(candidate, keys)
    return [_flip(kind, key, left, right) for kind, key in sorted(wanted, key=lambda pair: KINDS.index(pair[0]))]


Answers = Mapping[Key, tuple[Side, str]]


def _flip(kind: str, key: Key, left: Answers, right: Answers) -> Flip:
    task, sample, epoch = key
    sides = [answers[key][0] if key in answers else None for answers in (left, right)]
    asked = next((answers[key][1] for answers in (left, right) if key in answers), "")
    return Flip(task, kind, f"{sample}, epoch {epoch}" if epoch else sample, asked, *sides)


def _answers(path: Path, wanted: set[Key]) -> dict[Key, tuple[Side, str]]:
    """The stored answers of these samples, and what was asked."""
    from assay.session import open as open_run

    run, found = open_run(path), dict[Key, tuple[Side, str]]()
    for entry in run:
        attempt = entry.attempt
        key = (run.plan.cells[attempt["cell"]].task, str(attempt["sample"]), int(attempt["epoch"]))
        if key not in wanted:
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
