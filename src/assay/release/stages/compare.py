"""`compare`: a candidate's sealed run against the baseline's, at the level of error that the others leave it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.errors import EvidenceError
from assay.gates.result import GateResult
from assay.release import losses
from assay.release.folder import BASELINE, digest
from assay.release.stages.base import Context, Output, Product, Stage, digest_at, gate_of
from assay.release.stages.evaluate import keyed

if TYPE_CHECKING:
    from assay.gates.evidence import Evidence


class Compare(Stage):
    """Is the candidate no worse than the policy allows?"""

    name = "compare"

    def __init__(self, context: Context, point: str, round_: int = 1) -> None:
        super().__init__(context, point, round_)
        self.text = f"comparing {point}"

    @property
    def needs(self) -> tuple[str, ...]:
        """Both runs, each found fit."""
        points = (BASELINE, str(self.point))
        return tuple(keyed(name, point, self.round) for point in points for name in ("evaluate", "run"))

    @property
    def places(self) -> tuple[Path, ...]:
        """What the gate said, at every level."""
        return tuple(sorted((self.folder.run(str(self.point), self.round) / "verdicts").glob("compare-*.json")))

    @property
    def level(self) -> float:
        """The level of this comparison."""
        return self.context.release.levels.level()

    def inputs(self) -> dict[str, str]:
        """Both seals, and the policy at its level."""
        runs = [self.folder.run(point, self.round) for point in (BASELINE, str(self.point))]
        found = dict(zip(("baseline", "candidate"), (digest_at(run, "seal") for run in runs), strict=True))
        return {**found, "policy": self.context.release.policy_at(self.level).digest}

    def work(self) -> Product:
        """Ask the gate, and keep what it says in the candidate's run."""
        result, kept, evidence = compared(self.context, str(self.point), self.round, self.level)
        output = Output(self.folder.relative(kept), "file", digest(kept))
        return Product((output,), gate_of(self.folder, result, kept), {"level": self.level, "run": evidence.manifest})


def compared(context: Context, point: str, round_: int, level: float) -> tuple[GateResult, Path, Evidence]:
    """What the gate says at a level of error, where it is kept, and the candidate's evidence."""
    from assay.evidence.read import read
    from assay.evidence.verdict_files import keep
    from assay.gates import compare, sequential

    baseline = replace(read(context.folder.run(BASELINE, round_)), run=BASELINE)
    path = context.folder.run(point, round_)
    candidate = replace(read(path), run=point)
    gate = compare.gate if candidate.until is None else sequential.gate
    result = gate(baseline, candidate, context.release.policy_at(level))
    kept = keep(result.to_json(), path, candidate)
    if kept is None:
        raise EvidenceError(f"{path}: {candidate.why or 'not sealed'}")
    return result, kept, candidate


def tasks_of(document: Any) -> tuple[dict[str, Any], ...]:
    """What a comparison measured, task by task, as decisions and fronts tell it.

    `delta` is candidate - baseline in the metric's units; `low` and `high` are the bounds of it that the verdict rests
    on, of which the one that keeps a loss below the margin is at `level`; `loss` is the difference in the direction
    that is worse.
    """
    return tuple(_task(task) for task in document["numbers"].get("tasks", ()))


_KEPT = ("task", "metric", "kind", "gated", "tier", "verdict", "pairs", "baseline", "candidate", "delta")


def _task(task: Any) -> dict[str, Any]:
    low, high = losses.interval(task)
    worse = losses.loss(task)[0] if task.get("delta") is not None else None
    counts = {name: task.get(name) for name in ("won", "lost", "samples_needed")}
    margin = (task.get("margin") or {}).get("allowed")
    held = {"low": low, "high": high, "level": losses.level(task), "loss": worse, "margin": margin}
    return {**{key: task.get(key) for key in _KEPT}, **counts, **held}
