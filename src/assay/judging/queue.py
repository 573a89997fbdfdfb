"""What judges are given: candidates without their origin, in an order and under ids that say nothing.

The ids, the order and the checks among the candidates all derive from a seed. What unblinds them, the key, stays with
the run: `judging/exports/<export>.json`. What a judge is given holds nothing of it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay.errors import ConfigError, EvidenceError
from assay.files import canonical, digest_of, read_json, write_atomic
from assay.judging.candidates import Candidate, content_digest
from assay.judging.rubric import Rubric
from assay.run.folder import RunFolder

KEY_SCHEMA = "assay.judging_key.v1"
_KEY = frozenset(("schema", "export", "rubric", "seed", "part", "parts", "blind"))
_KEY |= {"plans", "plan", "tasks", "rows", "items"}
_EXPORT = re.compile(r"x[0-9a-f]{12}")
"""A judge hands the name in, and it names a file: nothing else may be one."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a queue is made: `repeat` and `overlap` are shares of the candidates, `parts` the number of judges.

    `anchors`: the rubric's examples among the candidates; `reference`: show the reference answers; `blind`: leave
    model, prompt and task out.
    """

    seed: int = 0
    repeat: float = 0.0
    anchors: bool = False
    parts: int = 1
    overlap: float = 0.2
    reference: bool = False
    blind: bool = True


@dataclass(frozen=True, slots=True)
class Source:
    """A run's part of what is to judge: its candidates, and for each cell what would unblind it."""

    plan: str
    cells: Sequence[Mapping[str, str]]
    candidates: Sequence[Candidate]
    tasks: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Item:
    """One row of a queue: `run` numbers its source, `example` the rubric's, `of` is the id of what it repeats."""

    id: str
    kind: str
    row: Mapping[str, Any]
    run: int | None = None
    candidate: Candidate | None = None
    example: int | None = None
    of: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Its entry in the key."""
        value: dict[str, Any] = {"id": self.id, "kind": self.kind, "digest": self.row["digest"]}
        if self.candidate is not None:
            value |= {name: getattr(self.candidate, name) for name in ("index", "attempt", "cell", "revision")}
        return value | {name: part for name in ("example", "of") if (part := getattr(self, name)) is not None}


@dataclass(frozen=True)
class Queue:
    """What one judge is given: `items` in their order, under the id `export`. `part` counts from 1."""

    export: str
    rubric: Rubric
    options: Options
    part: int
    plans: tuple[str, ...]
    items: tuple[Item, ...]
    tasks: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """How many rows of each kind there are."""
        kinds = [item.kind for item in self.items]
        return {kind: kinds.count(kind) for kind in ("candidate", "repeat", "anchor")}

    def key(self, run: int) -> dict[str, Any]:
        """What unblinds the part of the queue that comes from one run, and the checks on whoever judges it."""
        own = [item.to_json() for item in self.items if item.run in (run, None)]
        return {
            "schema": KEY_SCHEMA,
            "export": self.export,
            "rubric": self.rubric.named,
            "seed": self.options.seed,
            "part": self.part,
            "parts": self.options.parts,
            "blind": self.options.blind,
            "plans": list(self.plans),
            "plan": self.plans[run],
            "tasks": list(self.tasks[self.plans[run]]),
            "rows": len(self.items),
            "items": own,
        }


def build(sources: Sequence[Source], rubric: Rubric, options: Options) -> list[Queue]:
    """One queue a judge. The same sources, rubric and options give the same queues.

    Raises ConfigError where there is nothing to judge, or the rubric has no examples to insert.
    """
    pool = [(number, one) for number, source in enumerate(sources) for one in source.candidates]
    pool.sort(key=lambda pair: (sources[pair[0]].plan, pair[1].index))
    if not pool:
        raise ConfigError("nothing is pending: every candidate is judged by this rubric")
    if options.anchors and not options.blind:
        raise ConfigError("anchors are checks, and a file that names models shows which rows are none of theirs")
    if options.anchors and not rubric.examples:
        raise ConfigError(f"{rubric.label} has no examples to insert as checks")
    # Of all that is handed out, so that no two exports have ids in common.
    seed = digest_of([options.seed, rubric.digest, [(sources[run].plan, one.index, one.revision) for run, one in pool]])
    random.Random(seed).shuffle(pool)
    return [
        _queue(part, seed, number, sources, rubric, options) for number, part in enumerate(_parts(pool, options), 1)
    ]


def _parts(pool: list[tuple[int, Candidate]], options: Options) -> list[list[tuple[int, Candidate]]]:
    """The shuffled candidates dealt out: the first ones to everybody, the others to one judge each."""
    shared = round(options.overlap * len(pool)) if options.parts > 1 else 0
    dealt = [pool[:shared] + pool[shared + part :: options.parts] for part in range(options.parts)]
    if not all(dealt):
        raise ConfigError(f"{len(pool)} candidates are too few for {options.parts} judges")
    return dealt


def _queue(
    dealt: list[tuple[int, Candidate]],
    seed: str,
    part: int,
    sources: Sequence[Source],
    rubric: Rubric,
    options: Options,
) -> Queue:
    said = [seed, part, options.parts, options.repeat, options.overlap, options.anchors, options.blind]
    chance = random.Random(digest_of(said))
    ids = _ids(chance)
    items = [_candidate(next(ids), run, one, sources[run], options) for run, one in dealt]
    if options.anchors:
        items += [_anchor(next(ids), number, rubric, options) for number in range(len(rubric.examples))]
    chance.shuffle(items)
    items = _with_repeats(items, round(options.repeat * len(dealt)), chance, ids)
    plans = tuple(source.plan for source in sources)
    tasks = {source.plan: source.tasks for source in sources}
    export = f"x{digest_of([said, [item.to_json() for item in items]])[:12]}"
    return Queue(export, rubric, options, part, plans, tuple(items), tasks)


def _ids(chance: random.Random) -> Iterator[str]:
    """Ids that begin with a letter: a spreadsheet takes 12 hexadecimal digits for a number now and then."""
    seen: set[str] = set()
    while True:
        found = f"c{chance.getrandbits(44):011x}"
        if found not in seen:
            seen.add(found)
            yield found


def _candidate(id: str, run: int, candidate: Candidate, source: Source, options: Options) -> Item:
    shown: dict[str, Any] = {} if options.blind else dict(source.cells[candidate.cell])
    reference = candidate.reference if options.reference else ""
    row = _row(id, candidate.input, candidate.text, reference, options, shown)
    return Item(id, "candidate", row, run, candidate)


def _anchor(id: str, number: int, rubric: Rubric, options: Options) -> Item:
    example = rubric.examples[number]
    reference = example.reference if options.reference else ""
    return Item(id, "anchor", _row(id, example.input, example.text, reference, options, {}), example=number)


def _row(id: str, input: str, text: str, reference: str, options: Options, shown: Mapping[str, str]) -> dict[str, Any]:
    row = {"id": id, **shown, "input": input, "text": text}
    if options.reference:
        row["reference"] = reference
    return {**row, "digest": content_digest(input, text, reference)}


def _with_repeats(items: list[Item], count: int, chance: random.Random, ids: Iterator[str]) -> list[Item]:
    """The same with `count` of the candidates a second time: what comes early is repeated late."""
    middle = (len(items) + 1) // 2
    early = [item for item in items[:middle] if item.kind == "candidate"]
    chosen = chance.sample(early, min(count, len(early)))
    late = items[middle:] + [_again(item, next(ids)) for item in chosen]
    chance.shuffle(late)
    return items[:middle] + late


def _again(item: Item, id: str) -> Item:
    return Item(id, "repeat", {**item.row, "id": id}, item.run, item.candidate, of=item.id)


def keys_of(folder: RunFolder) -> Path:
    """Where a run keeps the keys of what was exported from it."""
    return folder.path / "judging" / "exports"


def keep_key(folder: RunFolder, key: Mapping[str, Any]) -> None:
    """Write a key into its run."""
    write_atomic(keys_of(folder) / f"{key['export']}.json", canonical(key) + b"\n")


def has_key(folder: RunFolder, key: Mapping[str, Any]) -> bool:
    """Whether the run holds this very key."""
    path = keys_of(folder) / f"{key['export']}.json"
    return path.is_file() and path.read_bytes() == canonical(key) + b"\n"


def read_key(folder: RunFolder, export: str) -> dict[str, Any] | None:
    """The key of an export, None where the run has none. Raises EvidenceError where it is damaged."""
    path = keys_of(folder) / f"{export}.json"
    if not _EXPORT.fullmatch(export) or not path.is_file():
        return None
    key = read_json(path, KEY_SCHEMA)
    if set(key) != _KEY or key["export"] != export or not isinstance(key["items"], list):
        raise EvidenceError(f"{path}: not the key of the export {export}")
    return key


def keys(folder: RunFolder) -> Iterator[dict[str, Any]]:
    """Every key of a run, in order of export. Raises EvidenceError where one is damaged."""
    for path in sorted(keys_of(folder).glob("*.json")):
        if (key := read_key(folder, path.stem)) is not None:
            yield key


def tasks_judged(folder: RunFolder, rubric: Rubric) -> list[str]:
    """The tasks whose candidates were ever exported for this rubric; none where nothing was."""
    found = (key["tasks"] for key in keys(folder) if key["rubric"]["digest"] == rubric.digest)
    return sorted({str(task) for tasks in found for task in tasks})
