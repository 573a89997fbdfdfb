"""Deciding while a run goes on: what a look may decide.

To accept, the lower bound of every gated task must lie above -margin. Each is held at alpha: if any one task has really
lost the margin, its own bound is wrong with a chance of at most alpha, so the acceptance of all needs no correction
(Berger 1982). To call a regression one upper bound is enough, so those share alpha (Bonferroni; Holm's procedure begins
alike, and one rejection ends this one).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from assay.gates.decision import Margin
from assay.gates.evidence import Floats
from assay.gates.policy import Policy
from assay.gates.result import Verdict
from assay.stats.exact import above, below
from assay.stats.sequential import ConfidenceSequence


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """A gated task as it goes on: one gain a sample (the mean over its epochs), in the order of the looks.

    `worst` and `best` differ where a score is missing: it is taken for either extreme of the scale, whose ends lie
    `width` apart.
    """

    task: str
    worst: Floats
    best: Floats
    margin: Margin
    width: float


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of one task at one look: bounds of its gain, and what they amount to."""

    task: str
    samples: int
    low: float
    high: float
    verdict: Verdict

    @property
    def drifted(self) -> bool:
        """Whether the bounds contradict each other: the values did not come in random order, or something changed."""
        return self.low > self.high


@dataclass(frozen=True, slots=True)
class Look:
    """All gated tasks at one look, and the verdict on them together."""

    number: int
    seen: tuple[Seen, ...]
    verdict: Verdict


def levels(tasks: int, policy: Policy) -> tuple[float, float]:
    """The one-sided levels of the bounds that accept and of those that call a regression, for so many gated tasks."""
    return policy.alpha, policy.alpha if policy.correction == "none" else policy.alpha / max(1, tasks)


def follow(courses: Sequence[Course], looks: Sequence[Mapping[str, int]], policy: Policy, most: int) -> list[Look]:
    """What each of `looks` (samples by task) showed; the plan has `most` looks in all.

    Every look is told, also those after the first that decides: whoever stops there has the error of `policy.alpha`.
    """
    kept, lost = levels(len(courses), policy)
    each = [_bounds(course, looks, kept, lost) for course in courses]
    found = []
    for number, bounds in enumerate(zip(*each, strict=True), 1):
        early = number < most and not (policy.sequential and policy.sequential.stop_on == "loss")
        seen = tuple(_judged(course, *known, early=early) for course, known in zip(courses, bounds, strict=True))
        found.append(Look(number, seen, together(seen)))
    return found


def _bounds(
    course: Course, looks: Sequence[Mapping[str, int]], kept: float, lost: float
) -> Iterator[tuple[int, float, float]]:
    """Samples, lower and upper bound after each look."""
    accepting, rejecting = (ConfidenceSequence(alpha, course.width) for alpha in (kept, lost))
    before = 0
    for look in looks:
        now = look[course.task]
        if now > before:
            accepting.add(course.worst[before:now])
            rejecting.add(course.best[before:now])
        before = now
        yield now, accepting.bounds().low, rejecting.bounds().high


def _judged(course: Course, samples: int, low: float, high: float, *, early: bool) -> Seen:
    """One task at one look. While there are samples left, a loss beyond chance is no regression yet: the margin may
    still be kept, and which of the two shows first would be a matter of luck."""
    margin = course.margin
    if above(low, -margin.least):
        verdict = Verdict.ACCEPT
    elif below(high, -margin.most) or (below(high, 0) and not early):
        verdict = Verdict.REGRESSION
    else:
        verdict = Verdict.INCONCLUSIVE
    return Seen(course.task, samples, low, high, verdict)


def together(seen: Sequence[Seen]) -> Verdict:
    """The verdict on all tasks: a contradiction, then one that is worse, then none undecided."""
    if any(each.drifted for each in seen):
        return Verdict.ANOMALOUS
    if any(each.verdict is Verdict.REGRESSION for each in seen):
        return Verdict.REGRESSION
    return Verdict.ACCEPT if seen and all(each.verdict is Verdict.ACCEPT for each in seen) else Verdict.INCONCLUSIVE
