"""`judged.json`: what the judgements of a run come to, by every rubric that it carries; derived, and derived again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from assay.files import pretty, write_atomic
from assay.judging.fold import summary
from assay.judging.judgements import Standing
from assay.judging.judgements import said as said_in
from assay.judging.library import carried
from assay.plan.plan import Plan
from assay.run.folder import RunFolder
from assay.run.state import State

SCHEMA = "assay.judged.v1"
NAME = "judged.json"


@dataclass(frozen=True, slots=True)
class Derived:
    """The content of `judged.json`, and what stands by each rubric, by its label."""

    content: dict[str, Any]
    standings: Mapping[str, Standing]

    def said(self) -> dict[int, list[dict[str, Any]]]:
        """What stands of each judged attempt, by its index: `rubric`, `judge`, `kind`, `scores` and `text`."""
        found: dict[int, list[dict[str, Any]]] = {}
        for label, standing in self.standings.items():
            for index, lines in standing.by_attempt.items():
                told = ({"rubric": label, **said_in(line)} for line in lines.values())
                found.setdefault(index, []).extend(told)
        return found


def derive(folder: RunFolder, plan: Plan, state: State) -> Derived | None:
    """What the judgements of a run come to; None for a run that carries no rubric.

    Raises JournalCorrupt for judgements that are not of this plan, EvidenceError for a damaged rubric.
    """
    rubrics = {rubric.label: rubric for rubric in carried(folder)}
    if not rubrics:
        return None
    standings = {label: Standing.read(folder, plan, state, rubric) for label, rubric in rubrics.items()}
    found = [summary(folder, plan, rubric, state, standing=standings[label]) for label, rubric in rubrics.items()]
    return Derived({"schema": SCHEMA, "rubrics": found}, standings)


def judged(folder: RunFolder, plan: Plan, state: State) -> dict[str, Any] | None:
    """The content of `judged.json`; None for a run that carries no rubric. Raises as `derive`."""
    found = derive(folder, plan, state)
    return found.content if found else None


def write(folder: RunFolder, plan: Plan, state: State) -> Derived | None:
    """Write `judged.json`, and return what it holds; None, and no file, for a run that carries no rubric."""
    found = derive(folder, plan, state)
    if found is not None:
        write_atomic(folder.path / NAME, pretty(found.content))
    return found
