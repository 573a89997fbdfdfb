"""Can what is asked be decided at all? A pure function of the plan's sizes, the policy and the machine's room.

What cannot be is told before anything expensive: so few samples that not even a candidate without a single changed
answer could be accepted; too few for the policy, where it demands a decision; weights that this machine has not got the
memory or the disk for, however much of them is free. What is only taken up just now is no verdict: `Room.lacking`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from assay.errors import FailureClass
from assay.gates.policy import Policy, Terms
from assay.gates.result import Check, GateResult, Verdict, reasons_of
from assay.release.decision import Levels
from assay.stats.power import samples_for, samples_without_discordance, smallest_difference

GATE = "prepare"


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes that are needed, that this machine has at all, and that are free now; None where nobody knows."""

    memory_needed: int | None = None
    memory: int | None = None
    memory_free: int | None = None
    disk_needed: int = 0
    disk: int | None = None
    disk_free: int | None = None

    def lacking(self) -> str | None:
        """What there is too little of just now, in words; None where all of it fits. It passes, and decides nothing."""
        free = (("of memory", self.memory_needed, self.memory_free), ("on the disk", self.disk_needed, self.disk_free))
        told = [
            f"it takes about {needed / 1e9:.1f} GB {name}, and {there / 1e9:.1f} GB are free now"
            for name, needed, there in free
            if needed is not None and there is not None and needed > there
        ]
        return "; ".join(told) or None


def feasible(samples: Mapping[str, int], policy: Policy, levels: Levels, room: Room) -> GateResult:
    """PASS, or INFEASIBLE with every reason. `samples`: of each task, how many are asked in the last round."""
    checks = [*_tasks(samples, policy), *_room(room)]
    for task, n in samples.items():
        terms = policy.task(task)
        if terms.gated and terms.margin is not None and policy.rule == "interval":
            checks += _decidable(task, n, terms, policy, levels)
    bad = [check for check in checks if check.ok is False]
    numbers = {"samples": dict(samples), "alpha": levels.to_json()}
    verdict = Verdict.INFEASIBLE if bad else Verdict.PASS
    kind = bad[0].failure_class if bad else None
    return GateResult(GATE, verdict, reasons_of(checks), kind, tuple(checks), numbers, (), policy.to_json())


def _tasks(samples: Mapping[str, int], policy: Policy) -> Iterator[Check]:
    gated = [task for task in samples if policy.task(task).gated]
    reason = "nothing is gated: the policy has no margin for any task of the spec"
    yield _check("gates_something", bool(gated), "", gated, "at least one task", reason)
    for task in policy.wanted:
        reason = f"the policy requires the task {task}, and the spec has not got it"
        yield _check("required_task", task in samples, "", sorted(samples), task, reason)


def _decidable(task: str, n: int, terms: Terms, policy: Policy, levels: Levels) -> Iterator[Check]:
    """Rates are taken to run from 0 to 1; of other metrics the gate itself knows the scale."""
    margin, level = float(terms.margin or 0), levels.level()
    if not 0 < margin < 1 or terms.scale is not None:
        return
    least = samples_without_discordance(margin, level)
    reason = (
        f"{n} samples cannot rule out a loss of {100 * margin:.3g} points at a level of {level:.3g}, even where no "
        f"answer changes: it takes {least:,} at least"
    )
    yield _check("possible", n >= least, task, n, least, reason)
    if policy.must_decide:
        found = smallest_difference(n, policy.discordance, level, policy.power) if n else None
        needed = samples_for(margin, policy.discordance, level, policy.power)
        said = "nothing" if found is None else f"a difference of {100 * found:.3g} points"
        reason = (
            f"{n} samples decide {said} at best (at {100 * policy.discordance:g} % discordance and a level of "
            f"{level:.3g}), and the margin is {100 * margin:.3g} points: it takes about {needed:,}"
        )
        yield _check("decidable", found is not None and found <= margin, task, found, margin, reason)


def _room(room: Room) -> Iterator[Check]:
    for name, needed, there in (
        ("memory", room.memory_needed, room.memory),
        ("disk", room.disk_needed, room.disk),
    ):
        if needed is None or there is None:
            continue
        reason = f"it takes about {needed / 1e9:.1f} GB of {name}, and this machine has {there / 1e9:.1f} GB at all"
        yield _check(name, needed <= there, "", there, needed, reason, FailureClass.SYSTEMIC)


def _check(
    name: str,
    ok: bool,
    where: str,
    observed: Any,
    limit: Any,
    reason: str,
    kind: FailureClass = FailureClass.USER_CONFIG_ERROR,
) -> Check:
    return Check(name, ok, where, observed, limit, reason, Verdict.INFEASIBLE, kind)


def again(document: Mapping[str, Any], policy: Policy, levels: Levels) -> GateResult:
    """The same of what its result says that it was asked of: the samples, and the room."""
    seen = {check["name"]: check for check in document["checks"] if check["name"] in ("memory", "disk")}
    parts = {name: (check["limit"], check["observed"]) for name, check in seen.items()}
    memory, disk = parts.get("memory", (None, None)), parts.get("disk", (0, None))
    room = Room(memory_needed=memory[0], memory=memory[1], disk_needed=disk[0], disk=disk[1])
    return feasible(document["numbers"]["samples"], policy, levels, room)
