"""Whether a run's judgements are what they say: of this plan, of answers that are there, by rubrics that it carries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from assay.judging.candidates import candidates, content_digest, judgeable
from assay.judging.judgements import Line, Standing, read
from assay.judging.library import carried
from assay.judging.queue import keys
from assay.judging.rubric import Rubric
from assay.plan.plan import Plan
from assay.run.folder import RunFolder
from assay.run.state import State

JUDGES = ("person", "model")


def problems(folder: RunFolder, plan: Plan, state: State) -> Iterator[tuple[Line, str]]:
    """What is wrong with the judgements of a run, each with its line. Raises JournalCorrupt for what is none at all.

    Looked at are who judged by what, that a score is the one that its votes come to, that what was handed out is what
    was judged, and that what still stands is of a candidate, whose text is the judged one.
    """
    rubrics = {rubric.digest: rubric for rubric in carried(folder)}
    handed = {(str(item["id"]), str(item["kind"])): item for key in keys(folder) for item in key["items"]}
    for line in read(folder):
        try:
            yield from ((line, problem) for problem in _of_line(line, plan, rubrics, handed))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise line.corrupt(f"not a judgement as assay writes it: {error!r}") from None
    for rubric in rubrics.values():
        yield from _of_standing(folder, plan, state, Standing.read(folder, plan, state, rubric))


def _of_line(
    line: Line, plan: Plan, rubrics: Mapping[str, Rubric], handed: Mapping[tuple[str, str], Mapping[str, Any]]
) -> Iterator[str]:
    header, record = line.header, line.record
    if header["plan"] != plan.digest:
        yield f"its batch is of another plan: {str(header['plan'])[:16]}"
    if record["rubric"] not in rubrics:
        yield f"judged by a rubric that the run does not carry: {str(record['rubric'])[:16]}"
    if record["rubric"] != header["rubric"]["digest"]:
        yield "judged by another rubric than its batch says"
    if record["judge"] != header["judge"]["name"] or header["judge"]["kind"] not in JUDGES:
        yield "judged by another judge than its batch says"
    yield from _of_votes(record)
    if header.get("export") is not None:
        yield from _of_item(record, handed)


def _of_votes(record: Mapping[str, Any]) -> Iterator[str]:
    """A score of several votes is their median, the lower of the middle two."""
    votes = record.get("votes")
    if votes is None:
        return
    for name, score in record["scores"].items():
        said = sorted(vote[name] for vote in votes)
        if not said or said[(len(said) - 1) // 2] != score:
            yield f"{name} is {score:g}, which is not the median of its votes"


def _of_item(record: Mapping[str, Any], handed: Mapping[tuple[str, str], Mapping[str, Any]]) -> Iterator[str]:
    """What a person judged was handed out, as the same answer."""
    item = handed.get((str(record["item"]), str(record["kind"])))
    if item is None:
        yield f"{record['item']} was never handed out"
        return
    for name in ("index", "attempt", "cell", "example"):
        if item.get(name) != record.get(name):
            yield f"its {name} is not that of {record['item']} as it was handed out"


def _of_standing(folder: RunFolder, plan: Plan, state: State, standing: Standing) -> Iterator[tuple[Line, str]]:
    """What stands is of a candidate, and its text is what was judged, shown with its reference answer or without."""
    left = dict(standing.by_attempt)
    for one in candidates(folder, plan, state, judgeable(plan)) if left else ():
        digests = {content_digest(one.input, one.text), content_digest(one.input, one.text, one.reference)}
        for line in left.pop(one.index, {}).values():
            if line.record["cell"] != one.cell:
                yield line, "it names another cell than its attempt's"
            if line.record["digest"] not in digests:
                yield line, "the answer that was judged is not the one that the run holds"
    yield from ((line, "what it judges is no candidate: no model answered it") for line in _lines(left.values()))


def _lines(found: Iterable[Mapping[str, Line]]) -> Iterator[Line]:
    return (line for lines in found for line in lines.values())
