"""Answers judged in pairs: which of two answers to the same question is better, asked in both orders.

A judge that prefers a place, first or second, contradicts itself when the answers change places: such a pair is a tie,
and counted as inconsistent. What was said stands in `judgements/pairs/*.jsonl`, one segment a batch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

from assay.document import nearest
from assay.errors import ConfigError, JournalCorrupt, MachineError, Problem
from assay.files import canonical, digest_of, write_atomic
from assay.judging.auto import SELF_PREFERENCE, Asked, Ballots
from assay.judging.candidates import Candidate, content_digest
from assay.judging.judgements import MAX_SEGMENTS
from assay.judging.judgements import place as judgements_place
from assay.judging.rubric import Rubric
from assay.judging.votes import Vote, winner
from assay.plan.plan import Plan, attempt_id
from assay.records import Sample
from assay.run import journal
from assay.run.folder import RunFolder
from assay.run.results import rounded
from assay.run.state import State
from assay.stats.intervals import clustered_mean

SCHEMA = "assay.pairs.v1"
SUMMARY = "assay.pairs_summary.v1"
CONFIDENCE = 0.95
By = Literal["model", "prompt"]
ORDERS = (0, 1)
"""In order 0 the first answer stands first, in order 1 the second."""

_ORIGIN = ("index", "attempt", "cell", "revision")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to one question that differ in their model, or in their prompt. `id` says which; sorted by entry."""

    id: str
    first: Candidate
    second: Candidate
    entries: tuple[str, str]


def pairs_of(plan: Plan, found: Iterable[Candidate], by: By, against: str | None = None) -> Iterator[Pair]:
    """Every pair of candidates to the same sample of the same task, in the same repetition, with all else equal.

    `against`: only pairs with this entry. Raises ConfigError where there is no such entry, or nothing to compare.
    """
    groups: dict[tuple[str, int, int, str], dict[str, Candidate]] = {}
    for one in found:
        number, position, epoch = plan.locate(one.index)
        cell = plan.cells[number]
        entry, other = (cell.model, cell.prompt) if by == "model" else (cell.prompt, cell.model)
        groups.setdefault((cell.task, position, epoch, other), {})[entry] = one
    _check_entries({entry for group in groups.values() for entry in group}, by, against)
    for _, group in sorted(groups.items()):
        for entries in combinations(sorted(group), 2):
            if against is None or against in entries:
                first, second = (group[entry] for entry in entries)
                name = digest_of([first.attempt, first.revision, second.attempt, second.revision])[:16]
                yield Pair(f"p{name}", first, second, entries)


def _check_entries(entries: Collection[str], by: By, against: str | None) -> None:
    listed = ", ".join(sorted(entries))
    if against is not None and against not in entries:
        message, close = f"the run has no {by} {against!r} to compare with", nearest(against, sorted(entries))
        raise ConfigError(Problem(message, "--against", allowed=listed, nearest=close))
    if len(entries) < 2:
        allowed = "--by prompt" if by == "model" else "--by model"
        raise ConfigError(Problem(f"there is one {by} only, {listed}: nothing to compare", "--by", allowed=allowed))


def pair_samples(asked: Asked, pair: Pair, flags: Sequence[str] = ()) -> Iterator[Sample]:
    """A pair as two samples of the judge run, one for each order."""
    reference = pair.first.reference if asked.reference else ""
    for order in ORDERS:
        first, second = (pair.first, pair.second) if order == 0 else (pair.second, pair.first)
        metadata = {
            "kind": "pair",
            "pair": pair.id,
            "order": order,
            "entries": list(pair.entries),
            "a": _origin(pair.first, reference),
            "b": _origin(pair.second, reference),
        }
        shown = asked.quoted(pair.first.input, reference, first=first.text, second=second.text)
        more = {"flags": list(flags)} if flags else {}
        yield Sample(id=f"{pair.id}.{order}", metadata=metadata | more, **shown)


def _origin(one: Candidate, reference: str) -> dict[str, Any]:
    known = {name: getattr(one, name) for name in _ORIGIN}
    return known | {"digest": content_digest(one.input, one.text, reference)}


def place(folder: RunFolder) -> Path:
    """Where a run's judged pairs are."""
    return judgements_place(folder) / "pairs"


@dataclass
class PairBatch:
    """What a judge run over pairs comes to: records to append, and the orders that got no majority of valid votes."""

    rubric: Rubric
    judge: Mapping[str, Any]
    plan: str
    at: str
    by: By
    ballots: Ballots
    records: list[dict[str, Any]] = field(default_factory=list)
    failed: list[tuple[Sample, list[str]]] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.id = f"b{digest_of([self.judge['identity'], self.judge['manifest'], self.plan])[:12]}"

    def fold(self, gone: Collection[str] = ()) -> None:
        """Make a record of each pair of which both orders have a majority of valid votes. `gone`: pairs that are none
        any more.
        """
        both: dict[str, list[tuple[Sample, list[Vote]]]] = {}
        for sample, votes in self.ballots:
            both.setdefault(str(sample.metadata["pair"]), []).append((sample, votes))
        for pair, orders in both.items():
            if pair in gone:
                self.stale.append(pair)
                continue
            found = [winner(votes) for _, votes in orders]
            if any(one is None for one in found):
                lost = (order for order, one in zip(orders, found, strict=True) if one is None)
                self.failed += [(sample, [vote.failure or "valid" for vote in votes]) for sample, votes in lost]
                continue
            self.records.append(self._record(orders, [one for one in found if one is not None]))

    def _record(self, orders: Sequence[tuple[Sample, list[Vote]]], found: Sequence[tuple[str, str]]) -> dict[str, Any]:
        metadata = orders[0][0].metadata
        won = [_entry(place, order) for order, (place, _) in enumerate(found)]
        return {
            "id": f"j{digest_of([self.id, metadata['pair']])[:15]}",
            "judge": self.judge["name"],
            "at": self.at,
            "rubric": self.rubric.digest,
            **{key: metadata[key] for key in ("pair", "entries", "a", "b", "flags") if key in metadata},
            "winner": won[0] if won[0] == won[1] else "tie",
            "consistent": won[0] == won[1],
            "orders": [[vote.winner for vote in votes if vote.failure is None] for _, votes in orders],
            "rationales": [rationale for _, rationale in found],
        }

    def flagged(self) -> int:
        """How many of the records have an answer of the judge's own family."""
        return sum(SELF_PREFERENCE in record.get("flags", ()) for record in self.records)

    def header(self) -> dict[str, Any]:
        """The first line of the segment."""
        return {
            "schema": SCHEMA,
            "batch": self.id,
            "judge": dict(self.judge),
            "rubric": {"label": self.rubric.label, **self.rubric.named},
            "plan": self.plan,
            "by": self.by,
            "created": self.at,
            "votes": self.ballots.counts(),
            "failed": len({sample.metadata["pair"] for sample, _ in self.failed}),
            "stale": self.stale,
            "synthetic": self.ballots.synthetic,
            "self_preference": self.flagged(),
        }


def _entry(place: str, order: int) -> str:
    """Which answer, `a` or `b`, stood in the place that won."""
    return "tie" if place == "tie" else "ab"[(place == "2") != bool(order)]


def append(folder: RunFolder, header: Mapping[str, Any], records: Iterable[Mapping[str, Any]]) -> Path:
    """Add a batch as a new segment, whole or not at all. Raises MachineError where the disk refuses."""
    number = len(journal.segments(place(folder)))
    path = place(folder) / f"{number:04d}.jsonl"
    if number >= MAX_SEGMENTS:
        raise MachineError(f"{place(folder)} holds {number} batches, and takes no more", layer="journal")
    try:
        write_atomic(path, (canonical(record) + b"\n" for record in (header, *records)))
    except OSError as error:
        raise MachineError(f"cannot write {path}", layer="journal", errno=error.errno) from error
    return path


def read(folder: RunFolder) -> Iterator[tuple[Path, int, Mapping[str, Any], Mapping[str, Any]]]:
    """(segment, line number, header, record) of every judged pair, oldest first. Raises JournalCorrupt."""
    header: Mapping[str, Any] = {}
    for path, number, record in journal.read(place(folder)):
        if number > 1:
            yield path, number, header, record
        elif record.get("schema") != SCHEMA:
            raise JournalCorrupt(path, 1, f"schema is {record.get('schema')!r}, expected {SCHEMA!r}")
        else:
            header = record


def headers(folder: RunFolder) -> Iterator[dict[str, Any]]:
    """The header of every batch of pairs, oldest first."""
    for path in journal.segments(place(folder)):
        yield journal.parse(path, 1, journal.first_line(path))


@dataclass
class _Board:
    """What one judge said by one rubric: pairs of entries, and how often each place was given the win."""

    header: Mapping[str, Any]
    by: str
    entries: dict[tuple[str, str], list[tuple[tuple[str, int], str, bool]]] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("1", "2", "tie"), 0))
    flagged: int = 0
    stale: int = 0


def standing(
    folder: RunFolder, plan: Plan, state: State
) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any], bool]]:
    """(header, record, stands): every judged pair; one of an attempt that was made again since stands no more.

    Raises JournalCorrupt for a pair that is not of this plan, or that the same judge judged twice.
    """
    seen: set[tuple[str, str, str]] = set()
    for path, number, header, record in read(folder):
        try:
            sides = [record["a"], record["b"]]
            if any(not _of_plan(side, plan) for side in sides) or record["winner"] not in ("a", "b", "tie"):
                raise JournalCorrupt(path, number, "this pair does not belong to the plan")
            key = (str(record["judge"]), str(record["rubric"]), str(record["pair"]))
            stands = all(side["revision"] == state.lines[side["index"]] - 1 for side in sides)
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise JournalCorrupt(path, number, f"not a judged pair of this plan: {error!r}") from None
        if key in seen:
            raise JournalCorrupt(path, number, "a second judgement of the same pair by the same judge")
        seen.add(key)
        yield header, record, stands


def _of_plan(side: Mapping[str, Any], plan: Plan) -> bool:
    number, position, epoch = plan.locate(side["index"])
    cell = plan.cells[number]
    return bool(side["attempt"] == attempt_id(cell.id, plan.tasks[cell.task].samples[position], epoch))


def pairs(folder: RunFolder, plan: Plan, state: State | None = None) -> dict[str, Any]:
    """What pairwise judging came to, for each judge and rubric: per pair of entries wins, losses, ties (of them those
    that came of contradiction), and the share of wins, a tie counting half, with a 95 % interval clustered by sample;
    of all votes, the share of those with a winner that chose the first place. Raises JournalCorrupt.
    """
    boards: dict[tuple[str, str, str], _Board] = {}
    for header, record, stands in standing(folder, plan, state or State.read(folder, plan)):
        key = (str(record["judge"]), str(record["rubric"]), str(header["by"]))
        board = boards.setdefault(key, _Board(header, key[2]))
        if not stands:
            board.stale += 1
            continue
        _count(board, record, plan)
    return {"schema": SUMMARY, "plan": plan.digest, "judges": [_judge(board) for _, board in sorted(boards.items())]}


def _count(board: _Board, record: Mapping[str, Any], plan: Plan) -> None:
    number, position, _ = plan.locate(record["a"]["index"])
    cluster = (plan.cells[number].task, position)
    one, two = (str(entry) for entry in record["entries"])
    said = (cluster, str(record["winner"]), bool(record["consistent"]))
    board.entries.setdefault((one, two), []).append(said)
    board.flagged += SELF_PREFERENCE in record.get("flags", ())
    for votes in record["orders"]:
        for vote in votes:
            board.places[vote] += 1


def _judge(board: _Board) -> dict[str, Any]:
    decided = board.places["1"] + board.places["2"]
    judge, rubric = board.header["judge"], board.header["rubric"]
    found: dict[str, Any] = rounded(
        {
            "judge": judge["name"],
            "identity": judge["identity"],
            "rubric": rubric,
            "by": board.by,
            "self_preference": board.flagged,
            "stale": board.stale,
            "position": {
                "first": board.places["1"],
                "second": board.places["2"],
                "tie": board.places["tie"],
                "first_share": board.places["1"] / decided if decided else None,
            },
            "pairs": [_row(one, two, said) for (one, two), said in sorted(board.entries.items())],
        }
    )
    return found


def _row(one: str, two: str, said: Sequence[tuple[tuple[str, int], str, bool]]) -> dict[str, Any]:
    counts: dict[tuple[str, int], int] = {}
    sums: dict[tuple[str, int], float] = {}
    for cluster, best, _ in said:
        counts[cluster] = counts.get(cluster, 0) + 1
        sums[cluster] = sums.get(cluster, 0.0) + {"a": 1.0, "tie": 0.5}.get(best, 0.0)
    won = [best for _, best, _ in said]
    share = clustered_mean(list(counts.values()), [sums[cluster] for cluster in counts], CONFIDENCE)
    return {
        "a": one,
        "b": two,
        "n": len(said),
        "wins": won.count("a"),
        "losses": won.count("b"),
        "ties": won.count("tie"),
        "inconsistent": sum(not consistent for _, _, consistent in said),
        "win_share": asdict(share),
    }
