"""The search: which candidate is tried next, how many samples it is worth, and which go into the final test.

A pure function of the answers so far, followed from its beginning every time: so a search that was killed goes on with
the same candidates, and `assay verify` follows it again from the stages' files.

Successive halving (Jamieson and Talwalkar 2016) on paired samples. Every candidate answers the first `samples` of the
plan's order; the better half (non-dominated in size and measured loss first) the next as many, then twice as many. What
is measured on the way proves nothing: the last `finalists` are compared on samples that no candidate was screened on,
at alpha over their number, which is fixed before. Which finalists these are depends on other samples than the test, so
whatever the search did, the chance that any of them is accepted wrongly is at most alpha.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from assay.gates.recipe import Recipe
from assay.release.search_rules import ABOVE, WITHIN, Rule
from assay.release.space import Space

SCHEMA = "assay.search.v1"


@dataclass(frozen=True, slots=True)
class Ask:
    """A candidate and the rung that it is to be screened on, from 1."""

    recipe: Recipe
    rung: int

    @property
    def key(self) -> tuple[str, int]:
        """What tells it from other asks."""
        return self.recipe.name, self.rung


@dataclass(frozen=True, slots=True)
class Answer:
    """What an ask came to.

    `loss`: over all rungs so far, the largest of a gated task, as a share of its margin: above 1 it is beyond. None
    where it failed, and then `failure` has the class. `pairs`: samples that it was measured on. `attempts`: what this
    rung took.
    """

    loss: float | None = None
    bytes: int | None = None
    failure: str | None = None
    pairs: int = 0
    attempts: int = 0

    @property
    def event(self) -> str:
        """What rules call it."""
        if self.failure is not None or self.loss is None:
            return self.failure or "UNKNOWN"
        return WITHIN if self.loss <= 1 else ABOVE


Answers = Mapping[tuple[str, int], Answer | None]
"""What is known, by ask; None for one that was left out because there was no budget."""


class Proposer(Protocol):
    """A source of candidates."""

    def next(self, answers: Answers) -> tuple[Ask, ...]:
        """What to ask now; empty where there is nothing left to ask."""


@dataclass(slots=True)
class Trial:
    """One candidate of a search. `because`: the candidate, the event and the rule that led to it."""

    recipe: Recipe
    base: Recipe
    because: Mapping[str, str] = field(default_factory=dict)
    rungs: list[Answer] = field(default_factory=list)
    ended: str = ""

    @property
    def last(self) -> Answer:
        """What it came to on its last rung."""
        return self.rungs[-1]

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        rungs = [
            {"rung": number, "event": rung.event, "loss": rung.loss, "pairs": rung.pairs, "attempts": rung.attempts}
            for number, rung in enumerate(self.rungs, 1)
        ]
        size = next((rung.bytes for rung in self.rungs if rung.bytes is not None), None)
        value = {"candidate": self.recipe.name, "recipe": str(self.recipe.to_json()["digest"]), "bytes": size}
        return {**value, "because": dict(self.because), "rungs": rungs, "ended": self.ended}


@dataclass(slots=True)
class Trace:
    """How far a search is: its candidates in order, what it waits for, and in the end the finalists."""

    trials: dict[str, Trial] = field(default_factory=dict)
    waiting: tuple[Ask, ...] = ()
    finalists: tuple[str, ...] = ()
    attempts: int = 0
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Say something once."""
        if text not in self.notes:
            self.notes.append(text)

    def to_json(self, space: Space) -> dict[str, Any]:
        """The document `assay.search.v1`."""
        rungs = [{"rung": rung, "samples": space.total(rung)} for rung in range(1, space.rungs + 1)]
        front = undominated(list(self.trials.values()))
        return {
            "schema": SCHEMA,
            "rungs": rungs,
            "attempts": self.attempts,
            "candidates": [{**trial.to_json(), "pareto": trial in front} for trial in self.trials.values()],
            "finalists": list(self.finalists),
            "notes": self.notes,
        }


@dataclass(frozen=True)
class Search:
    """A search of a space. `cost`: attempts that one sample of every task takes."""

    space: Space
    cost: int = 1

    def next(self, answers: Answers) -> tuple[Ask, ...]:
        """What to screen now; empty where the finalists are known."""
        return self.follow(answers).waiting

    def follow(self, answers: Answers) -> Trace:
        """The whole search as far as the answers go."""
        trace = Trace()
        if not self._explore(trace, answers):
            return trace
        alive = [trial for trial in trace.trials.values() if trial.rungs and trial.last.loss is not None]
        for rung in range(2, self.space.rungs + 1):
            if len(alive) <= self.space.finalists:
                break
            ranked = rank(alive)
            kept = ranked[: max(math.ceil(len(alive) / 2), self.space.finalists)]
            if not self._affordable(trace, rung, len(kept)):
                break
            for trial in ranked[len(kept) :]:
                trial.ended = f"screened out after rung {rung - 1}"
            if not self._answered(trace, answers, kept, rung):
                return trace
            alive = [trial for trial in kept if not trial.ended]
        self._finish(trace, alive)
        return trace

    def _explore(self, trace: Trace, answers: Answers) -> bool:
        """The first rung: from the first candidates to what the rules lead to. False where it waits for an answer."""
        for recipe in self.space.starting():
            trace.trials[recipe.name] = Trial(recipe, recipe)
        queue = deque(trace.trials.values())
        while queue:
            trial = queue.popleft()
            if not self._affordable(trace, 1, 1):
                trial.ended = "not tried: the search's budget of attempts is spent"
                continue
            if not self._answered(trace, answers, [trial], 1):
                return False
            if trial.rungs and (more := self._after(trace, trial)) is not None:
                trace.trials[more.recipe.name] = more
                queue.append(more)
        return True

    def _answered(self, trace: Trace, answers: Answers, trials: list[Trial], rung: int) -> bool:
        """Take over what is known of these on a rung; what is not known yet is waited for."""
        missing = [Ask(trial.recipe, rung) for trial in trials if (trial.recipe.name, rung) not in answers]
        for trial in trials:
            answer = answers.get((trial.recipe.name, rung))
            if answer is not None:
                trial.rungs.append(answer)
                trace.attempts += answer.attempts
                if answer.loss is None:
                    trial.ended = f"failed on rung {rung}: {answer.event}"
            elif (trial.recipe.name, rung) in answers:
                trial.ended = f"not tried on rung {rung}: the release's budget is spent"
        trace.waiting = tuple(missing)
        return not missing

    def _affordable(self, trace: Trace, rung: int, many: int) -> bool:
        """Whether the search's own budget allows so many candidates one more rung."""
        most = self.space.attempts
        size = self.space.total(rung) - self.space.total(rung - 1)
        if most is None or trace.attempts + many * size * self.cost <= most:
            return True
        trace.note(f"{trace.attempts:,} of the search's {most:,} attempts are spent: rung {rung} was not gone on with")
        return False

    def _after(self, trace: Trace, trial: Trial) -> Trial | None:
        """What the rules lead to from a candidate's first answer: the first rule that yields a new candidate."""
        if len(trace.trials) >= self.space.trials:
            trace.note(f"the {self.space.trials} trials of the search are used")
            return None
        event = trial.rungs[0].event
        for rule in self.space.rules.rules:
            if not rule.fits(event, trial.recipe):
                continue
            for recipe, base in self._tries(rule, trial):
                if recipe.name not in trace.trials:
                    because = {"candidate": trial.recipe.name, "event": event, "why": rule.why}
                    return Trial(recipe, base, because)
        return None

    def _tries(self, rule: Rule, trial: Trial) -> Iterator[tuple[Recipe, Recipe]]:
        """The candidates that a rule means, each with its base."""
        if rule.recipe is not None:
            yield self.space.named[rule.recipe], self.space.named[rule.recipe]
        elif rule.try_ == "keep":
            yield from ((recipe, trial.base) for recipe in self.space.variants(trial.base))
        elif rule.try_ == "plain":
            yield trial.base, trial.base
        else:
            near = self.space.by_size(trial.base, larger=rule.try_ == "larger")
            yield from ((recipe, recipe) for recipe in near)

    def _finish(self, trace: Trace, alive: list[Trial]) -> None:
        """The finalists, smallest first: those whose measured loss is within the margin go before all others."""
        ranked = sorted(rank(alive), key=lambda trial: trial.last.event != WITHIN)  # stable: rank within each part
        chosen = ranked[: self.space.finalists]
        for trial in ranked:
            after = len(trial.rungs)
            trial.ended = "finalist" if trial in chosen else f"screened out after rung {after}"
        trace.finalists = tuple(trial.recipe.name for trial in sorted(chosen, key=_size))


def undominated(trials: Sequence[Trial]) -> list[Trial]:
    """The front in size and loss on the first rung, the only samples that every candidate answered."""
    first = [
        replace(trial, rungs=trial.rungs[:1]) for trial in trials if trial.rungs and trial.rungs[0].loss is not None
    ]
    kept = {one.recipe.name for one in first if not any(dominates(other, one) for other in first)}
    return [trial for trial in trials if trial.recipe.name in kept]


def rank(trials: Sequence[Trial]) -> list[Trial]:
    """Best first: by layers that no other dominates in size and loss; in a layer those within the margin, the smallest
    first, then by how far beyond it they are."""
    left, found = list(trials), list[Trial]()
    while left:
        layer = [trial for trial in left if not any(dominates(other, trial) for other in left)]
        found += sorted(layer, key=lambda trial: (max(_loss(trial) - 1, 0.0), *_size(trial)))
        left = [trial for trial in left if trial not in layer]
    return found


def dominates(one: Trial, other: Trial) -> bool:
    """Whether one is as small and loses as little, and is better in one of the two."""
    a, b = (_size(one)[0], _loss(one)), (_size(other)[0], _loss(other))
    return a != b and a[0] <= b[0] and a[1] <= b[1]


def _loss(trial: Trial) -> float:
    return math.inf if trial.last.loss is None else trial.last.loss


def _size(trial: Trial) -> tuple[float, float, str]:
    size = trial.last.bytes
    return (math.inf if size is None else float(size)), _loss(trial), trial.recipe.name
