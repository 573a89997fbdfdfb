"""Judgements by models derived again: from the votes in the judge run that they name, and of the answers here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from assay.files import digest_of
from assay.judging import judgements, pairs
from assay.judging.auto import TASK, Ballots, Batch
from assay.judging.candidates import Candidate, candidates, judgeable
from assay.judging.checks import Tolerance
from assay.judging.library import carried
from assay.judging.pairs import PairBatch
from assay.judging.quoted import inert
from assay.judging.rubric import Rubric
from assay.plan.plan import Plan
from assay.run import journal
from assay.run.folder import RunFolder, SampleFile
from assay.run.state import State


class Shown(NamedTuple):
    """An answer that a judge was shown: by which batch, of which revision, and a digest of question and answer."""

    name: str
    revision: int
    text: str


def problems(folder: RunFolder, plan: Plan, state: State) -> Iterator[tuple[str, str]]:
    """(file, what is wrong) for each batch by a model that is not what its judge run comes to, or whose judge was shown
    something else than the answers of this run. Raises KeyError or TypeError for what is no batch, JournalCorrupt for
    what is no journal.
    """
    rubrics = {rubric.digest: rubric for rubric in carried(folder)}
    shown: dict[int, list[Shown]] = {}
    for path, compared in _segments(folder):
        header, *records = (record for _, record in _lines(path))
        if header["judge"]["kind"] != "model" or not (folder.path / header["judge"]["run"] / "plan.json").is_file():
            continue  # of a judge run that is not here, verifying tells by its seal
        name = path.relative_to(folder.path).as_posix()
        if header["rubric"]["digest"] not in rubrics:
            yield name, "judged by a rubric that the run does not carry"
            continue
        batch = _again(folder, header, rubrics[header["rubric"]["digest"]], compared=compared)
        if batch.header() != header or batch.records != records:
            yield name, f"is not what the votes in {header['judge']['run']} come to"
        for index, quoted in _quotations(name, RunFolder(folder.path / header["judge"]["run"])):
            shown.setdefault(index, []).append(quoted)
    yield from _other_texts(candidates(folder, plan, state, judgeable(plan)) if shown else (), shown)


def _segments(folder: RunFolder) -> Iterator[tuple[Path, bool]]:
    """Every segment, and whether it holds pairs."""
    yield from ((path, False) for path in journal.segments(judgements.place(folder)))
    yield from ((path, True) for path in journal.segments(pairs.place(folder)))


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with journal.opened(path) as file:
        for number, line in enumerate(file, 1):
            yield number, journal.parse(path, number, line)


def _again(folder: RunFolder, header: Mapping[str, Any], rubric: Rubric, *, compared: bool) -> Batch | PairBatch:
    ballots = Ballots.read(RunFolder(folder.path / header["judge"]["run"]), None if compared else rubric)
    said = (rubric, header["judge"], header["plan"], header["created"])
    batch = (
        PairBatch(*said, header["by"], ballots)
        if compared
        else Batch(*said, ballots, Tolerance(**header["checks"]["tolerance"]))
    )
    batch.fold(header["stale"])
    return batch


def _quotations(name: str, inner: RunFolder) -> Iterator[tuple[int, Shown]]:
    """Each answer that a judge was shown, with its index in the judged run."""
    file = SampleFile(inner.sample_path(TASK))
    try:
        for position in range(len(file)):
            sample = file[position]
            for origin, field in _answers(sample.metadata):
                text = digest_of([sample.input, sample.fields[field]])
                yield origin["index"], Shown(name, origin["revision"], text)
    finally:
        file.close()


def _answers(found: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Where an answer comes from, and in which field of the sample it stands; of an example, nowhere."""
    if found["kind"] == "candidate":
        yield found, "candidate"
    elif found["kind"] == "pair":
        first, second = ("a", "b") if found["order"] == 0 else ("b", "a")
        yield found[first], "first"
        yield found[second], "second"


def _other_texts(found: Iterable[Candidate], shown: Mapping[int, Sequence[Shown]]) -> Iterator[tuple[str, str]]:
    """Where a judge was shown another text than the run's. An answer that was given anew since is not compared."""
    for one in found:
        text = digest_of([inert(one.input), inert(one.text)])
        for quoted in shown.get(one.index, ()):
            if quoted.revision == one.revision and quoted.text != text:
                yield quoted.name, f"the judge was shown another text than the answer of attempt {one.attempt}"
