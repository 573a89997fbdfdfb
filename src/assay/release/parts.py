"""Which part of a plan's order is asked: the first samples screen a search, the others test its finalists.

A sample that is left out is named in the plan with the reason, as any sample that is not scored.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from assay.plan.order import Exclusion, Selection
from assay.release.space import Space

if TYPE_CHECKING:
    from assay.plan.build import Draft

SCREENED = "candidates were screened on it"
EARLIER = "asked on an earlier rung"


@dataclass(frozen=True, slots=True)
class Part:
    """The samples of each task from `first` up to `last` of the plan's order, or as many as the spec asks for."""

    first: int = 0
    last: int | None = None
    why: str = ""

    def limit(self, asked: int | None) -> int | None:
        """The limit that reaches to the part's end."""
        return self.last if self.last is not None else None if asked is None else asked + self.first


def rung_of(space: Space, rung: int) -> Part:
    """The samples that a rung adds."""
    return Part(space.total(rung - 1), space.total(rung), EARLIER)


def final_of(space: Space | None) -> Part:
    """The samples that are compared: of a search, those that no candidate was screened on."""
    return Part(space.screened, None, SCREENED) if space else Part()


def cut(draft: Draft, part: Part) -> Draft:
    """The draft without the samples before the part. What guessing would score stays that of all of them."""
    if not part.first:
        return draft
    selections = {name: _cut(chosen, part) for name, chosen in draft.selections.items()}
    tasks = {
        name: replace(
            task,
            samples=task.samples[part.first :],
            excluded=tuple(asdict(exclusion) for exclusion in selections[name].excluded),
        )
        for name, task in draft.plan.tasks.items()
    }
    return replace(draft, plan=replace(draft.plan, tasks=tasks), selections=selections)


def _cut(chosen: Selection, part: Part) -> Selection:
    out = tuple(Exclusion(sample, part.why) for sample in chosen.ids[: part.first])
    excluded = (*chosen.excluded, *out)
    return replace(chosen, scored=chosen.scored[part.first :], ids=chosen.ids[part.first :], excluded=excluded)
