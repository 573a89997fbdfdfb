"""`decide`: what the candidates came to, as one decision and a front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.files import pretty, write_atomic
from assay.gates.recipe import Recipe
from assay.gates.result import Verdict
from assay.release import decision, points
from assay.release.folder import digest
from assay.release.stages.base import Context, Gate, Output, Product, Stage, gate_of
from assay.release.stages.compare import compared
from assay.release.stages.store import Store


class Decide(Stage):
    """Take the last steps of the correction over candidates, and decide."""

    name = "decide"
    text = "deciding"

    def __init__(self, context: Context, recipes: Sequence[Recipe], untried: Mapping[str, str]) -> None:
        super().__init__(context)
        self.recipes, self.untried = recipes, untried

    @property
    def needs(self) -> tuple[str, ...]:
        """All that was done."""
        return tuple(key for key in Store(self.folder).records() if key != self.name)

    @property
    def places(self) -> tuple[Path, ...]:
        """What is derived."""
        return (self.folder.decision, self.folder.front)

    def inputs(self) -> dict[str, str]:
        """Every record, and the rules that say what followed each failure."""
        records = Store(self.folder).records()
        found = {key: record.id for key, record in records.items() if key != self.name}
        return {**found, "rules": self.context.release.rules.digest}

    def work(self) -> Product:
        """Decide, from the records and the gates' own files."""
        records = {key: record for key, record in Store(self.folder).records().items() if key != self.name}
        levels = self.context.release.levels
        asked = points.asked_of(self.folder, records, levels)
        recipes = [recipe.to_json() for recipe in self.recipes]
        found = points.points_of(self.folder, recipes, records, {}, self.untried)
        regated = self._stepped(found, records) if asked.ended is None else {}
        found = points.points_of(self.folder, recipes, records, regated, self.untried)
        write_atomic(self.folder.decision, pretty(decision.decide(asked, found)))
        write_atomic(self.folder.front, pretty(decision.front(asked, found)))
        outputs = [Output(self.folder.relative(path), "file", digest(path)) for path in self.places]
        outputs += [Output(gate.file, "file", digest(self.folder.at(gate.file))) for gate in regated.values()]
        facts: dict[str, Any] = {"recipes": recipes, "untried": dict(self.untried)}
        facts["regated"] = {name: _plain(gate) for name, gate in regated.items()}
        return Product(tuple(outputs), None, facts)

    def _stepped(self, found: Sequence[decision.Point], records: Mapping[str, Any]) -> dict[str, Gate]:
        """The comparisons that are accepted at a wider level, after others were accepted."""
        asked: dict[str, Gate] = {}

        def accepts(name: str, level: float) -> bool:
            result, kept, _ = compared(self.context, name, points.rounds_of(records, name), level)
            asked[name] = gate_of(self.folder, result, kept)
            return result.verdict is Verdict.ACCEPT

        if self.context.release.spec.until_decided:
            return {}
        won = decision.stepped(found, self.context.release.levels, accepts)
        return {name: asked[name] for name in won}


def _plain(gate: Gate) -> dict[str, Any]:
    from dataclasses import asdict

    return {**asdict(gate), "reasons": list(gate.reasons)}
