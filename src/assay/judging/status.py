"""How far the judging of a run is: pending, done, by judge, and what was handed out."""

from __future__ import annotations

from typing import Any

from assay.judging import judgements, queue
from assay.judging.candidates import candidates
from assay.judging.rubric import Rubric
from assay.judging.values import tasks_of
from assay.plan.plan import Plan
from assay.run.folder import RunFolder
from assay.run.state import State


def status(folder: RunFolder, plan: Plan, state: State, rubric: Rubric) -> dict[str, Any]:
    """Candidates, done and pending of a run by one rubric, and the same for each judge.

    Raises JournalCorrupt for judgements that are not of this plan, EvidenceError for a damaged key.
    """
    standing = judgements.Standing.read(folder, plan, state, rubric)
    tasks = tasks_of(folder, plan, rubric, standing)
    found = {candidate.index for candidate in candidates(folder, plan, state, tasks)}
    done = found & standing.by_attempt.keys()
    headers = [header for header in judgements.headers(folder) if header["rubric"]["digest"] == rubric.digest]
    names = sorted({str(header["judge"]["name"]) for header in headers})
    return {
        "rubric": {"label": rubric.label, **rubric.named},
        "tasks": tasks,
        "candidates": len(found),
        "judged": len(done),
        "pending": len(found) - len(done),
        "corrections": standing.corrections,
        "judges": [_judge(name, headers, standing, found) for name in names],
        "exports": [_export(key) for key in queue.keys(folder) if key["rubric"]["digest"] == rubric.digest],
    }


def _judge(name: str, headers: list[dict[str, Any]], standing: judgements.Standing, found: set[int]) -> dict[str, Any]:
    own = [header for header in headers if header["judge"]["name"] == name]
    judged = sum(name in judges for index, judges in standing.by_attempt.items() if index in found)
    return {
        "judge": name,
        "kind": own[-1]["judge"]["kind"],
        "judged": judged,
        "pending": len(found) - judged,
        "batches": len(own),
        "marked": [why for header in own for why in header["checks"]["marked"]],
        "last": own[-1]["created"],
    }


def _export(key: dict[str, Any]) -> dict[str, Any]:
    kinds = [item["kind"] for item in key["items"]]
    counts = {kind: kinds.count(kind) for kind in judgements.KINDS}
    return {name: key[name] for name in ("export", "part", "parts", "rows", "blind")} | counts
