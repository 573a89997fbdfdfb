"""Looks at a run at work: blocks of samples, and after each what they came to.

Between two blocks the model stays loaded. A look scores what is new, reads the run as a gate would, and asks the gate.
Everything it rests on is in the run and in the baseline, so a run that was killed goes on as if it had not been, and
`assay verify` follows the same looks to the same bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from assay.errors import EvidenceError
from assay.evidence.read import snapshot
from assay.gates import sequential
from assay.gates.evidence import Evidence
from assay.gates.policy import Policy
from assay.gates.result import GateResult
from assay.records import Attempt
from assay.run import until
from assay.run.folder import RunFolder
from assay.run.scores import Scoring, planned
from assay.run.state import State
from assay.run.until import Blocks, Look

Told = Callable[[Look, GateResult], None]


class Pace:
    """Says what is asked next, and when it is enough (see `assay.run.execute.Pace`)."""

    def __init__(
        self,
        folder: RunFolder,
        state: State,
        blocks: Blocks,
        baseline: Evidence,
        policy: Policy,
        told: Told,
        workers: int | None = None,
    ) -> None:
        self._folder = folder
        self._state = state
        self._blocks = blocks
        self._baseline = baseline
        self._policy = policy
        self._told = told
        self._workers = workers
        self._looks = until.looked(folder)

    def next(self, cells: list[int]) -> Iterator[Attempt] | None:
        """The attempts of the next block; None where it is decided, or the plan is at its end."""
        whole = self._blocks.whole(self._state)
        if len(self._looks) > whole:
            raise EvidenceError(f"{self._folder.path}: {len(self._looks)} looks at {whole} blocks that were asked")
        while len(self._looks) < whole and not until.decided(self._looks):
            self._look(len(self._looks) + 1)
        if until.decided(self._looks) or whole == self._blocks.looks:
            return None
        return self._blocks.pending(whole + 1, cells, self._state)

    def _look(self, number: int) -> None:
        plan, samples = self._blocks.plan, self._blocks.asked(number)
        Scoring(self._folder, plan, self._state, planned(plan), self._folder.sealed(), self._workers).run()
        found = sequential.look(self._baseline, snapshot(self._folder, plan, samples, number), self._policy)
        look = Look(number, samples, found.verdict.value, tuple(_bounds(found)))
        until.append(self._folder, look)
        self._looks.append(look)
        self._told(look, found)


def _bounds(found: GateResult) -> list[dict[str, object]]:
    """What the last look knew of each gated task; nothing where it came to no bounds."""
    seen = found.to_json()["numbers"].get("looks") or [{"gain_bounds": []}]
    return list(seen[-1]["gain_bounds"])
