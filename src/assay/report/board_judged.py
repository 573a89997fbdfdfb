"""What a board knows of judgements: which metrics they give, what is pending of them, and who stands behind them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from assay.errors import ConfigError, Problem
from assay.records import Outcome
from assay.report.board_entries import Entry, Part, named
from assay.run.sums import JudgedSums, RunSums

SCORABLE = tuple(outcome.value for outcome in Outcome if outcome.scorable)
_COMPOSITE = 0
"""The place of the composite among a rubric's metrics."""


class Rubrics:
    """The rubrics that the tasks of these parts are judged by, in whichever run; empty for runs that carry none.

    Raises ConfigError where two runs mean different rubrics by one name.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self._of: dict[str, dict[str, JudgedSums]] = {}
        known: dict[str, tuple[JudgedSums, RunSums]] = {}
        for part in parts:
            for judged in part.run.judged:
                first, run = known.setdefault(judged.label, (judged, part.run))
                if first.digest != judged.digest:
                    message = f"{judged.label} of {part.run.name} is another rubric than {judged.label} of {run.name}"
                    raise ConfigError(Problem(message, "RUN", allowed="runs judged by the same rubric"))
                if part.task in judged.tasks:
                    self._of.setdefault(part.task, {}).setdefault(judged.label, judged)

    def of(self, task: str) -> list[JudgedSums]:
        """The rubrics of a task."""
        return list(self._of.get(task, {}).values())

    def names(self, task: str) -> list[str]:
        """Every judged metric of a task by its full name."""
        return [str(metric["name"]) for judged in self.of(task) for metric in judged.metrics]

    def usual(self, task: str) -> tuple[Mapping[str, Any], JudgedSums] | None:
        """The composite that a task is ranked by where nothing else is asked; None where it is not judged."""
        found = self.of(task)
        if len(found) > 1:
            allowed = ", ".join(str(judged.metrics[_COMPOSITE]["name"]) for judged in found)
            message = f"{task} is judged by several rubrics, and --metric does not say by which it is ranked"
            raise ConfigError(Problem(message, "--metric", allowed=allowed))
        return (found[0].metrics[_COMPOSITE], found[0]) if found else None

    def find(self, task: str, wanted: str) -> tuple[Mapping[str, Any], JudgedSums] | None:
        """A judged metric by its name, or by its short one where one rubric alone has it."""
        known = [(metric, judged) for judged in self.of(task) for metric in judged.metrics]
        if whole := [pair for pair in known if pair[0]["name"] == wanted]:
            return whole[0]
        found = [(metric, judged) for metric, judged in known if metric["name"] == f"{judged.label}.{wanted}"]
        if len(found) > 1:
            allowed = ", ".join(str(metric["name"]) for metric, _ in found)
            raise ConfigError(Problem(f"several rubrics give {wanted!r}", "--metric", allowed=allowed))
        return found[0] if found else None


def answered(part: Part) -> int:
    """How many attempts of a cell have an answer."""
    return sum(part.row["outcomes"].get(name, 0) for name in SCORABLE)


def pending(part: Part, digest: str) -> int:
    """How many answers of a cell nobody has judged by a rubric: all where the run never handed its task out."""
    judged = part.run.judged_by(digest)
    return answered(part) if judged is None or part.task not in judged.tasks else judged.pending.get(part.cell, 0)


def unmeasured(part: Part, digest: str) -> int:
    """How many judged answers of a cell lack a measure that the composite needs."""
    judged = part.run.judged_by(digest)
    return judged.unmeasured.get(part.cell, 0) if judged else 0


def judges(entry: Entry, digests: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Who judged an entry by these rubrics: each one's kind and number of judgements, by name."""
    kinds: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for part in entry.parts:
        for judged in part.run.judged:
            if judged.digest in digests:
                kinds |= judged.judges
                counts.update(judged.judged.get(part.cell, {}))
    return {name: {"kind": kinds[name], "judgements": counts[name]} for name in sorted(counts)}


def described(rubrics: Iterable[JudgedSums]) -> list[dict[str, Any]]:
    """The rubrics that the ranks rest on: what each is called, its digest and its dimensions."""
    return [
        {
            "label": judged.label,
            "digest": judged.digest,
            "metrics": [dict(metric) for metric in judged.metrics],
            "measured": list(judged.measured),
        }
        for judged in rubrics
    ]


def notes(entries: Sequence[Entry], rubrics: Sequence[JudgedSums]) -> Iterator[str]:
    """Who stands behind judged numbers, where entries differ in that, and what to know of their batches."""
    digests = [judged.digest for judged in rubrics]
    by = [judges(entry, digests) for entry in entries]
    told: dict[str, tuple[str, int]] = {}
    for found in by:
        for name, judge in found.items():
            told[name] = (judge["kind"], told.get(name, ("", 0))[1] + judge["judgements"])
    for judged in rubrics:
        said = [f"{name} ({kind}, {count:,} judgements)" for name, (kind, count) in sorted(told.items())]
        yield f"judged by {judged.label} ({judged.digest[:12]}): {named(said) or 'nobody yet'}"
    groups = {tuple(found) for found in by if found}
    if len(groups) > 1:
        shown = [f"{entry.label}: {', '.join(found) or 'nobody'}" for entry, found in zip(entries, by, strict=True)]
        yield f"not every entry is judged by the same judges ({named(shown)})"
    runs = {id(part.run): part.run for entry in entries for part in entry.parts}
    for run in runs.values():
        yield from _of_batches(run, digests)


def _of_batches(run: RunSums, digests: Sequence[str]) -> Iterator[str]:
    for judged in (judged for judged in run.judged if judged.digest in digests):
        for batch in judged.marked:
            yield (
                f"{run.name}: the batch {batch['batch']} by {batch['judge']} ({batch['judgements']:,} judgements) is "
                f"marked: {named(batch['why'], 3)}"
            )
        for flag, count in judged.flags.items():
            yield f"{run.name}: {count:,} judgements by {judged.label} are flagged {flag}"


def waiting(entry: Entry, of: Mapping[str, str]) -> tuple[int, int, int]:
    """Answers, those not judged, and those without a composite though judged, over the judged tasks of an entry; `of`
    names the rubric's digest of each judged task.
    """
    parts = [part for part in entry.parts if part.task in of]
    return (
        sum(answered(part) for part in parts),
        sum(pending(part, of[part.task]) for part in parts),
        sum(unmeasured(part, of[part.task]) for part in parts),
    )
