"""Which attempts the page carries: a few hundred out of any number, chosen to be worth reading.

One pass, bounded memory, no randomness of its own. Attempt ids are digests, so that "the k smallest ids" of
a group is a uniform draw from it which any machine repeats. Groups are (cell, outcome or verdict); wrong
answers and odd outcomes come first, cells take turns.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, zip_longest
from typing import Any

from assay.records import Outcome
from assay.report.entry import Entry, outcome_of, verdict

TEXT_LIMIT = 12_000
"""Longest text shown in full, in characters; of a longer one the beginning and the end are shown."""

_TAIL = 3_000


@dataclass(slots=True)
class _Group:
    """The `room` entries with the smallest ids of all that were offered, by id."""

    room: int
    kept: list[tuple[str, int, Entry]] = field(default_factory=list)

    def offer(self, identity: str, number: int, entry: Entry) -> None:
        if len(self.kept) == self.room and identity >= self.kept[-1][0]:
            return
        insort(self.kept, (identity, number, shortened(entry)))
        del self.kept[self.room :]


@dataclass(slots=True)
class Selection:
    """At most `limit` entries out of `total`, in the order in which to take them where space runs out."""

    entries: list[Entry]
    total: int


def select(entries: Iterable[Entry], primaries: Mapping[int, str], cells: Iterable[int], limit: int) -> Selection:
    """Choose from a stream. `primaries` names each cell's primary metric; see the module for the rule."""
    groups: dict[tuple[int, str], _Group] = {}
    share = -(-limit // max(1, len(list(cells)))) if limit else 0
    total = 0
    for entry in entries:
        total += 1
        if share:
            key = (entry.attempt["cell"], kind(entry, primaries))
            group = groups.get(key)
            if group is None:
                group = groups[key] = _Group(share if key[1] in _ANSWERED else -(-share // 4))
            group.offer(entry.attempt["attempt"], total, entry)
    return Selection(list(_in_turn(groups))[:limit], total)


_ANSWERED = frozenset({"right", "wrong", "measured", "unscored"})


def kind(entry: Entry, primaries: Mapping[int, str]) -> str:
    """The group of an entry within its cell: its verdict where the outcome is ok, else the outcome."""
    outcome = outcome_of(entry)
    if outcome != Outcome.OK:
        return outcome
    return verdict(entry, primaries.get(entry.attempt["cell"]))[0]


def _in_turn(groups: Mapping[tuple[int, str], _Group]) -> Iterator[Entry]:
    """One entry of each cell after another; within a cell, wrong ones and odd ones before right ones."""
    cells = sorted({cell for cell, _ in groups})
    queues = [list(_of_cell({kind: g for (at, kind), g in groups.items() if at == cell})) for cell in cells]
    return (entry for turn in zip_longest(*queues) for entry in turn if entry is not None)


def _of_cell(groups: Mapping[str, _Group]) -> Iterator[Entry]:
    """Two wrong, one odd, one right, and so on; what one of them lacks, the others make up for."""

    def entries(name: str) -> Iterator[Entry]:
        return (entry for _, _, entry in groups[name].kept) if name in groups else iter(())

    odd_turns = zip_longest(*(entries(name) for name in Outcome if name != Outcome.OK))
    odd = (entry for turn in odd_turns for entry in turn if entry is not None)
    wrong = chain(entries("wrong"), entries("unscored"))
    right = chain(entries("right"), entries("measured"))
    while batch := [entry for queue in (wrong, odd, wrong, right) if (entry := next(queue, None)) is not None]:
        yield from batch


def shortened(entry: Entry) -> Entry:
    """The same entry with an overlong completion cut, so that what is kept stays small."""
    completion = entry.attempt.get("completion")
    if not completion or len(completion.get("text", "")) <= TEXT_LIMIT:
        return entry
    short = {**completion, "text": cut(completion["text"])}
    return replace(entry, attempt={**entry.attempt, "completion": short})


def cut(text: str) -> str:
    """At most about TEXT_LIMIT characters: the beginning and the end, and how much is left out between."""
    if len(text) <= TEXT_LIMIT:
        return text
    left_out = len(text) - TEXT_LIMIT
    return f"{text[: TEXT_LIMIT - _TAIL]}\n\n[… {left_out:,} characters left out …]\n\n{text[-_TAIL:]}"


def view(
    entry: Entry, shown: Mapping[str, Any], primary: str | None, judgements: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """What the page's script needs of one entry; texts stay texts, whatever is in them. `judgements`: what was said of
    it, as `assay.report.judged.Judged` holds it.
    """
    attempt = entry.attempt
    result, value = verdict(entry, primary)
    seed = attempt.get("seed")
    keys = ("attempt", "index", "cell", "sample", "epoch", "latency_s", "tries")
    return {
        **{key: attempt.get(key) for key in keys},
        "seed": None if seed is None else str(seed),  # more digits than a number in JavaScript keeps
        "outcome": outcome_of(entry),
        "result": result,
        "value": value,
        "cached": bool(attempt.get("cached")),
        "demos": list(attempt.get("demos") or ()),
        "error": attempt.get("error"),
        "completion": _completion(attempt.get("completion")),
        "scores": [_score(score) for score in entry.scores],
        **({"judgements": [{**one, "text": cut(str(one["text"]))} for one in judgements]} if judgements else {}),
        **_prompt(shown),
    }


def _completion(completion: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if completion is None:
        return None
    keys = ("finish", "tokens_in", "tokens_out", "first_token_s", "choices")
    return {"text": cut(completion.get("text", "")), **{key: completion.get(key) for key in keys}}


def _score(score: Mapping[str, Any]) -> dict[str, Any]:
    texts = {key: cut(str(score[key])) for key in ("extracted", "why") if score.get(key) is not None}
    keys = ("scorer", "revision", "metrics", "error")
    execution = {"execution": _cut_all(score["execution"])} if score.get("execution") else {}
    return {**{key: score[key] for key in keys if key in score}, **texts, **execution}


def _cut_all(execution: Mapping[str, Any]) -> dict[str, Any]:
    """An execution with its texts (output, what failed) cut as completions are."""
    return {
        key: cut(value) if isinstance(value, str) else _cut_all(value) if isinstance(value, Mapping) else value
        for key, value in execution.items()
    }


def _prompt(shown: Mapping[str, Any]) -> dict[str, Any]:
    prompt: dict[str, Any] = {
        key: cut(str(shown[key])) for key in ("text", "target", "missing") if shown.get(key) is not None
    }
    if shown.get("messages"):
        prompt["messages"] = [
            {"role": str(turn["role"]), "content": cut(str(turn["content"]))} for turn in shown["messages"]
        ]
    if shown.get("choices"):
        prompt["choices"] = [cut(str(choice)) for choice in shown["choices"]]
        prompt["gold"] = list(shown.get("gold") or ())
    return prompt
