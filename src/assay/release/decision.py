"""The decision on a release: a pure function of what its candidates came to.

A candidate is accepted by its comparison alone. The release is ACCEPT where any is, and recommends the smallest; else
the weightiest verdict of its candidates: ANOMALOUS, INCONCLUSIVE, REGRESSION, INFEASIBLE.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from assay.gates.result import Verdict, plain

DECISION = "assay.decision.v1"
FRONT = "assay.front.v1"
ORDER = (Verdict.ANOMALOUS, Verdict.INCONCLUSIVE, Verdict.REGRESSION, Verdict.INFEASIBLE)
_MEASURED = (Verdict.ACCEPT, Verdict.REGRESSION, Verdict.INCONCLUSIVE, None)
"""Of candidates whose numbers stand for what they measure; None is of a search's, which were screened and no more."""


@dataclass(frozen=True, slots=True)
class Levels:
    """How alpha is kept over the candidates.

    `tested` is how many comparisons there may be (fixed before the first), `rounds` how often one may be made again on
    more samples. `first` is the level of every comparison; `last` the one of the last step where Holm's procedure went
    on after acceptances.
    """

    alpha: float
    correction: str
    tested: int
    rounds: int

    def level(self, accepted: int = 0) -> float:
        """The level of a comparison after `accepted` others were accepted."""
        if self.correction == "none":
            return self.alpha / self.rounds
        left = self.tested - accepted if self.correction == "holm" else self.tested
        return self.alpha / (max(left, 1) * self.rounds)

    def words(self) -> str:
        """How, in numbers."""
        if self.correction == "none":
            return f"alpha {self.alpha:g} for each candidate by itself: not kept over {self.tested} candidates"
        rounds = f" and {self.rounds} rounds" if self.rounds > 1 else ""
        step = ", and alpha over those left after each acceptance" if self.correction == "holm" else ""
        name = {"holm": "Holm", "bonferroni": "Bonferroni"}[self.correction]
        return (
            f"alpha {self.alpha:g} over {self.tested} candidates{rounds} ({name}): "
            f"{self.level():.4g} for each comparison{step}"
        )

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        value = {"alpha": self.alpha, "correction": self.correction, "candidates": self.tested}
        return {**value, "rounds": self.rounds, "level": self.level(), "says": self.words()}


@dataclass(frozen=True, slots=True)
class Point:
    """What one candidate came to.

    `verdict` is None where it was not tried, and `stage` where it ended. `bytes` are of its weights, `ratio` of the
    source's; `linear` of the linear layers alone. `speed`: tokens generated per second while it was served. `tasks`:
    per task the measured difference, its interval at the level of the test, and its own verdict.
    """

    name: str
    recipe: Mapping[str, Any]
    verdict: Verdict | None
    stage: str
    failure_class: str | None = None
    reasons: tuple[str, ...] = ()
    bytes: int | None = None
    ratio: float | None = None
    linear: float | None = None
    speed: float | None = None
    tasks: tuple[Mapping[str, Any], ...] = ()
    run: str | None = None
    evidence: tuple[str, ...] = ()
    instead: Mapping[str, str] = field(default_factory=dict)

    @property
    def loss(self) -> float | None:
        """The largest measured loss of a gated task, in the metric's units: negative where all gained.

        None where any gated task was not measured: what it lost is not known.
        """
        losses = [task["loss"] for task in self.tasks if task["gated"]]
        return None if None in losses else max(losses, default=None)

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "candidate": self.name,
            "recipe": self.recipe,
            "verdict": self.verdict.value if self.verdict else None,
            "ended_at": self.stage,
            "failure_class": self.failure_class,
            "reasons": list(self.reasons),
            "bytes": self.bytes,
            "ratio": self.ratio,
            "linear_ratio": self.linear,
            "tokens_per_s": self.speed,
            "tasks": list(self.tasks),
            "run": self.run,
            "evidence": list(self.evidence),
            "instead": dict(self.instead),
        }


@dataclass(frozen=True, slots=True)
class Asked:
    """What the decision is on: the release, its spec's digest, and what went before any candidate.

    `ended`: the verdict, class and reasons of what ended the release before its candidates could be told, if anything.
    """

    name: str
    spec: str
    source: Mapping[str, Any]
    baseline: Mapping[str, Any]
    levels: Levels
    ended: tuple[Verdict, str | None, tuple[str, ...]] | None = None


def decide(asked: Asked, points: Sequence[Point]) -> dict[str, Any]:
    """The document `assay.decision.v1`."""
    verdict, kind, reasons = _verdict(asked, points)
    best = recommended(points) if verdict is Verdict.ACCEPT else None
    value = {
        "schema": DECISION,
        "release": asked.name,
        "spec": asked.spec,
        "verdict": verdict.value,
        "exit_code": verdict.exit_code,
        "failure_class": kind,
        "publish": verdict is Verdict.ACCEPT,
        "recommended": best.name if best else None,
        "reasons": list(reasons),
        "alpha": asked.levels.to_json(),
        "source": asked.source,
        "baseline": asked.baseline,
        "candidates": [point.to_json() for point in points],
    }
    return {key: plain(part) for key, part in value.items()}


def _verdict(asked: Asked, points: Sequence[Point]) -> tuple[Verdict, str | None, tuple[str, ...]]:
    if asked.ended is not None:
        return asked.ended
    best = recommended(points)
    if best is not None:
        others = [point for point in points if point.verdict is Verdict.ACCEPT]
        said = f"{best.name} is accepted, the smallest of {len(others)} accepted of {len(points)} candidates"
        return Verdict.ACCEPT, None, (said, *best.reasons)
    tried = [point for point in points if point.verdict is not None]
    left = len(points) - len(tried)
    verdict = next((kind for kind in ORDER if any(point.verdict is kind for point in tried)), Verdict.INFEASIBLE)
    if left and verdict in (Verdict.REGRESSION, Verdict.INFEASIBLE):
        verdict = Verdict.INCONCLUSIVE
    reasons = [f"{point.name}: {_why(point)}" for point in points]
    kinds = [point.failure_class for point in tried if point.verdict is verdict]
    return verdict, next((kind for kind in kinds if kind), None), tuple(reasons)


def _why(point: Point) -> str:
    if point.verdict is None:
        said = "screened" if point.tasks else "not tried"
        return f"{said}: {point.reasons[0] if point.reasons else 'nothing is known of it'}"
    kind = f" ({point.failure_class})" if point.failure_class else ""
    return f"{point.verdict.value}{kind} at {point.stage}: {point.reasons[0] if point.reasons else 'no reason given'}"


def stepped(points: Sequence[Point], levels: Levels, accepts: Callable[[str, float], bool]) -> dict[str, float]:
    """Holm's procedure over candidates: each acceptance leaves more of alpha to those that are still undecided.

    `accepts(name, level)` asks a candidate's comparison again at a wider level. Returns the level at which each further
    one is accepted. Only acceptances are taken over: the procedure says nothing of regressions. Holm 1979, step-down:
    with a of m accepted, the next is held against alpha / (m - a).
    """
    found: dict[str, float] = {}
    if levels.correction != "holm":
        return found
    accepted = sum(point.verdict is Verdict.ACCEPT for point in points)
    waiting = [point.name for point in points if point.verdict is Verdict.INCONCLUSIVE and point.tasks]
    while accepted and waiting:
        level = levels.level(accepted)
        won = [name for name in waiting if accepts(name, level)]
        found |= dict.fromkeys(won, level)
        accepted, waiting = accepted + len(won), [name for name in waiting if name not in won]
        if not won:
            break
    return found


def recommended(points: Sequence[Point]) -> Point | None:
    """The smallest accepted candidate, the first of equals; None where none is accepted."""
    accepted = [point for point in points if point.verdict is Verdict.ACCEPT and point.bytes is not None]
    return min(accepted, key=lambda point: point.bytes or 0) if accepted else None


def front(asked: Asked, points: Sequence[Point]) -> dict[str, Any]:
    """The document `assay.front.v1`: every candidate's size, speed and measured loss, and which of them are on the
    front: of those that were measured soundly, no other one beats them in `axes`. What is accepted is another matter.
    """
    best, axes = recommended(points) if asked.ended is None else None, _axes(points)
    entries = [
        {
            "candidate": point.name,
            "bytes": point.bytes,
            "ratio": point.ratio,
            "linear_ratio": point.linear,
            "tokens_per_s": point.speed,
            "loss": point.loss,
            "tasks": list(point.tasks),
            "verdict": point.verdict.value if point.verdict else None,
            "failure_class": point.failure_class,
            "pareto": pareto(point, points),
            "recommended": best is not None and point.name == best.name,
        }
        for point in points
    ]
    value = {"schema": FRONT, "release": asked.name, "spec": asked.spec, "source": asked.source}
    return {key: plain(part) for key, part in {**value, "axes": list(axes), "entries": entries}.items()}


def pareto(point: Point, points: Sequence[Point]) -> bool:
    """Whether the candidate was measured soundly and no other such one is as good on every axis, and better on one."""
    if not _sound(point):
        return False
    axes = _axes(points)
    own = _costs(point, axes)
    others = [_costs(other, axes) for other in points if other is not point and _sound(other)]
    return not any(all(a <= b for a, b in zip(costs, own, strict=True)) and costs != own for costs in others)


def _sound(point: Point) -> bool:
    """Whether its size and loss are known and nothing is wrong with them: a candidate that is worse is on the front as
    one that is; one whose checkpoint, server or measurement a gate refused is not."""
    return point.verdict in _MEASURED and point.bytes is not None and point.loss is not None


def _axes(points: Sequence[Point]) -> tuple[str, ...]:
    """What candidates are held against each other by: speed only where that of each one is known."""
    known = all(point.speed is not None for point in points if _sound(point))
    return ("bytes", "loss", "tokens_per_s") if known else ("bytes", "loss")


def _costs(point: Point, axes: Sequence[str]) -> tuple[float, ...]:
    """The less the better, axis by axis."""
    costs = {"bytes": float(point.bytes or 0), "loss": float(point.loss or 0), "tokens_per_s": -(point.speed or 0.0)}
    return tuple(costs[axis] for axis in axes)
