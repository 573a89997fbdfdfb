"""Carrying a search out: what is proposed is made, gated, served and screened, until there are finalists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from assay.gates.recipe import Recipe
from assay.release.answers import answers_of, cost_of, skip
from assay.release.folder import BASELINE
from assay.release.search import Ask, Proposer, Search, Trace
from assay.release.space import Space
from assay.release.stages.base import Context, Record, Stage
from assay.release.stages.serve import Served, Server
from assay.release.stages.store import Store


@dataclass
class Searching:
    """One search on its way. `do` and `must` are the conductor's: a candidate's stage, and one without which there is
    no release; `spent` says why there is no budget for a candidate's rung that was not begun.
    """

    context: Context
    space: Space
    stages: Any
    server: Server
    do: Callable[[Stage], Record]
    must: Callable[[Stage], Record]
    spent: Callable[[Recipe, str], str | None]
    skipped: dict[str, str] = field(default_factory=dict)

    def run(self) -> Trace:
        """Screen until nothing is left to ask; the whole search, with its finalists."""
        store = Store(self.context.folder)
        search = Search(self.space, cost_of(self.context.release.spec.content))
        proposer: Proposer = search
        while asks := proposer.next(answers_of(self.space, store.records(), list(self.skipped))):
            for ask in asks:
                self._ask(ask)
        self.must(self.stages.select(self.context, list(self.skipped)))
        return search.follow(answers_of(self.space, store.records(), list(self.skipped)))

    def _ask(self, ask: Ask) -> None:
        """One candidate on one rung; or a note that there is no budget for it."""
        recipe = ask.recipe
        begun = f"quantize-{recipe.name}" if ask.rung == 1 else f"screen-{recipe.name}.{ask.rung}"
        if reason := self.spent(recipe, begun):
            self.skipped[skip(*ask.key)] = reason
            return
        for made in (self.stages.quantize, self.stages.ptq):
            if self.do(made(self.context, recipe)).status == "failed":
                return
        self._baseline(ask.rung)
        served = Served(self.context, recipe)
        try:
            self._screen(served, ask.rung)
        finally:
            self.server.close()

    def _screen(self, served: Served, rung: int) -> None:
        if self.do(self.stages.deploy(served, self.server)).status == "failed":
            return
        if self.do(self.stages.screen(served, self.server, rung)).status != "failed":
            self.do(self.stages.rung(self.context, served.name, rung))

    def _baseline(self, rung: int) -> None:
        """The source on the same rung, once."""
        served = Served(self.context, None)
        self.must(self.stages.deploy(served, self.server))
        self.must(self.stages.screen(served, self.server, rung))
        self.server.close()
        self.must(self.stages.rung(self.context, BASELINE, rung))


def ended(trace: Trace, skipped: dict[str, str]) -> dict[str, str]:
    """Why each candidate that is no finalist was not tried to the end."""
    found = {}
    for name, trial in trace.trials.items():
        if name in trace.finalists:
            continue
        reasons = [skipped[key] for rung in range(1, len(trial.rungs) + 2) if (key := skip(name, rung)) in skipped]
        found[name] = f"{trial.ended}{_measured(trial.rungs)}" + (f": {reasons[0]}" if reasons else "")
    return found


def _measured(rungs: Sequence[Any]) -> str:
    """What was measured last, in words."""
    last = next((rung for rung in reversed(rungs) if rung.loss is not None), None)
    if last is None:
        return ""
    return f", with a measured loss of {last.loss:.2f} of the margin on {last.pairs:,} pairs: no verdict"
