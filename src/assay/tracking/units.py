"""A run cut into what becomes MLflow runs: a unit a cell, or a unit a scenario, with the texts that go with each.

One pass over the journal. The texts are written to a temporary folder as they come, so that a large run does not have
to fit into memory; of each unit the first 2,000 candidates are kept, and the file says of how many.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay.errors import ConfigError, Problem
from assay.files import canonical, digest_file, read_json
from assay.judging import derived, values
from assay.judging.library import carried
from assay.plan.plan import Plan
from assay.report.entry import Entry, outcome_of
from assay.run.folder import RunFolder
from assay.run.state import State
from assay.session import Run
from assay.tracking import layout
from assay.tracking.layout import Unit
from assay.tracking.target import Granularity

MOST_CANDIDATES = 2_000
MOST_SCENARIOS = 5_000
"""MLflow takes some 20 runs a second: more than these would take minutes, and nobody could look at them."""

_PARTS = ("system", "body", "answer")
CANDIDATES, PROMPT, RAW = "candidates.json", "prompt.txt", "raw.txt"


@dataclass
class Content:
    """A run as it will be logged: the parent, its children, and each child's files by name."""

    parent: Unit
    units: list[Unit]
    files: dict[str, dict[str, Path]] = field(default_factory=dict)

    def digest(self, unit: Unit, further: Mapping[str, str] | None = None) -> str:
        """What a child's content comes to."""
        files = {name: digest_file(path) for name, path in self.files.get(unit.key, {}).items()}
        return unit.digest(files, further or {})


@dataclass
class _Texts:
    """One unit's candidates and raw answers, as they come."""

    folder: Path
    count: int = 0
    total: int = 0

    def add(self, candidate: Mapping[str, Any], raw: str) -> None:
        self.total += 1
        if self.count == MOST_CANDIDATES:
            return
        with (self.folder / "candidates.part").open("ab") as file:
            file.write((b",\n" if self.count else b"") + canonical(candidate))
        with (self.folder / RAW).open("a", encoding="utf-8", errors="replace", newline="\n") as text:
            text.write(f"=== {candidate['sample']} {candidate['epoch']} ({candidate['outcome']})\n{raw}\n")
        self.count += 1

    def close(self, head: Mapping[str, Any]) -> None:
        part = self.folder / "candidates.part"
        known = canonical({**head, "schema": "assay.candidates.v1", "shown": self.count, "of": self.total})
        with (self.folder / CANDIDATES).open("wb") as file:
            file.write(known[:-1] + b',"candidates":[\n')
            if self.count:
                file.write(part.read_bytes())
            file.write(b"\n]}\n")
        part.unlink(missing_ok=True)
        (self.folder / RAW).touch()


@dataclass
class _Scenario:
    """Sums over one scenario's attempts."""

    planned: int
    outcomes: dict[str, int] = field(default_factory=dict)
    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=lambda: {"in": 0, "out": 0, "unknown": 0})
    cost: float | None = None

    def add(self, name: str, value: Any) -> None:
        """One attempt's value; a label is counted by itself."""
        if isinstance(value, str):
            name, value = f"{name}.{value}", 1.0
            self.counts[name] = 1  # a count is no mean
            self.sums[name] = self.sums.get(name, 0.0) + value
            return
        self.sums[name] = self.sums.get(name, 0.0) + float(value)
        self.counts[name] = self.counts.get(name, 0) + 1

    def entry(self, entry: Entry) -> None:
        """Count one finished attempt."""
        record, outcome = entry.attempt, outcome_of(entry)
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        for score in entry.scores:
            for name, value in (score.get("metrics") or {}).items():
                self.add(name, value)
        if "latency_s" in record:
            self.add("latency_s.mean", record["latency_s"])
        if "cost" in record:
            self.cost = (self.cost or 0.0) + record["cost"]
        if completion := record.get("completion"):
            known = completion.get("tokens_in"), completion.get("tokens_out")
            self.tokens["in"] += known[0] or 0
            self.tokens["out"] += known[1] or 0
            self.tokens["unknown"] += None in known

    def metrics(self) -> dict[str, float]:
        """Means over the attempts, counts of outcomes, sums of tokens and cost."""
        found: dict[str, Any] = {name: total / self.counts[name] for name, total in self.sums.items()}
        found |= {"planned": self.planned, "finished": sum(self.outcomes.values())}
        found |= {f"outcome.{name}": count for name, count in self.outcomes.items()}
        found |= {f"tokens.{name}": count for name, count in self.tokens.items()}
        return layout.numbers({**found, **({"cost": self.cost} if self.cost is not None else {})})


def content(run: Run, granularity: Granularity, temporary: Path) -> Content:
    """Everything of a sealed run that is logged, its texts in a temporary folder.

    Raises ConfigError for one child a scenario where there are more than 5,000 of them.
    """
    plan, folder = run.plan, RunFolder(run.path)
    manifest, results = read_json(folder.manifest), run.results
    judged = _judged(folder, plan)
    made = Content(layout.parent(plan, manifest, results, judged, list(_verdicts(run.path))), [])
    made.parent.tags[layout.GRAIN] = granularity
    make = _Cells(run, results, judged) if granularity == "cell" else _Scenarios(run, judged)
    made.units = list(make.units())
    for unit in made.units:
        unit.tags |= layout.source_tags(manifest)
    made.files = _texts(run, made.units, make, temporary)
    return made


def _judged(folder: RunFolder, plan: Plan) -> dict[str, Any] | None:
    """What the judgements come to: as sealed, or folded now where an older seal does not hold it."""
    path = folder.path / derived.NAME
    if path.exists():
        return read_json(path, derived.SCHEMA)
    return derived.judged(folder, plan, State.read(folder, plan))


def _verdicts(path: Path) -> Iterator[dict[str, Any]]:
    for file in sorted(path.glob("verdicts/*.json")):
        if not file.name.endswith(".sig.json"):
            yield read_json(file, "assay.gate.v1")


class _Cells:
    """A unit a cell: its numbers are those of the results, with their bounds."""

    def __init__(self, run: Run, results: Mapping[str, Any], judged: Mapping[str, Any] | None) -> None:
        self._plan, self._results, self._judged = run.plan, results, judged

    def units(self) -> Iterator[Unit]:
        plan = self._plan
        for row in self._results["cells"]:
            number = row["cell"]
            cell = plan.cells[number]
            unit = Unit(
                layout.cell_key(plan, number), layout.cell_name(cell), {layout.CELL: cell.id, "assay.kind": "cell"}
            )
            unit.params = layout.cell_params(plan, number)
            unit.dataset = layout.dataset(plan, number)
            unit.metrics = layout.cell_metrics(row)
            for label, line in layout.judged_rows(self._judged, number):
                unit.metrics |= layout.judged_metrics(label, line)
            unit.tags |= layout.judged_tags(self._judged, number)
            yield unit

    def key(self, index: int) -> str:
        """The unit of an attempt."""
        return layout.cell_key(self._plan, self._plan.locate(index)[0])

    def add(self, entry: Entry) -> None:
        """The results have it already."""

    def close(self, units: Iterable[Unit]) -> None:
        """Nothing is left to do."""


class _Scenarios:
    """A unit a scenario of a cell: its numbers are means over its epochs, without bounds."""

    def __init__(self, run: Run, judged: Mapping[str, Any] | None) -> None:
        plan = run.plan
        self._run, self._plan, self._judged = run, plan, judged
        count = sum(len(plan.tasks[cell.task].samples) for cell in plan.cells)
        if count > MOST_SCENARIOS:
            message = f"{run.path} has {count} scenarios, each of which would be a run in MLflow"
            raise ConfigError(Problem(message, "--granularity", allowed=f"at most {MOST_SCENARIOS}, or cell"))
        self._sums: dict[str, _Scenario] = {}

    def units(self) -> Iterator[Unit]:
        plan = self._plan
        for number, cell in enumerate(plan.cells):
            task = plan.tasks[cell.task]
            tags = {layout.CELL: cell.id, "assay.kind": "scenario", **layout.judged_tags(self._judged, number)}
            tags.pop(layout.PENDING, None)
            for position, sample in enumerate(task.samples):
                key = f"{layout.cell_key(plan, number)}/{position}"
                self._sums[key] = _Scenario(task.counts[position] if task.counts else task.epochs)
                unit = Unit(key, f"{layout.cell_name(cell)} · {sample}"[:250], {**tags, "assay.sample": sample})
                unit.params = {**layout.cell_params(plan, number), "sample": layout.param(sample)}
                unit.dataset = layout.dataset(plan, number)
                yield unit

    def key(self, index: int) -> str:
        """The unit of an attempt."""
        number, position, _ = self._plan.locate(index)
        return f"{layout.cell_key(self._plan, number)}/{position}"

    def add(self, entry: Entry) -> None:
        """Count an attempt to its scenario."""
        self._sums[self.key(entry.attempt["index"])].entry(entry)

    def close(self, units: Iterable[Unit]) -> None:
        """Put the sums and what was judged into the units."""
        named = {unit.key: unit for unit in units}
        for key, sums in self._sums.items():
            named[key].metrics |= sums.metrics()
        folder, plan = RunFolder(self._run.path), self._plan
        state = State.read(folder, plan)
        for rubric in carried(folder):
            judged = values.judged(folder, plan, state, rubric)
            for key, numbers, pending in self._judged_units(folder, state, judged):
                named[key].metrics |= numbers
                before = named[key].tags.get(layout.PENDING) == "true"
                named[key].tags[layout.PENDING] = "true" if pending or before else "false"

    def _judged_units(
        self, folder: RunFolder, state: State, judged: values.Judged
    ) -> Iterator[tuple[str, dict[str, float], bool]]:
        """Of each scenario with candidates: the means of what they were judged, and whether any is pending."""
        sums: dict[str, _Scenario] = {}
        pending: dict[str, int] = {}
        plan, rubric = self._plan, judged.rubric
        for answer in values.answers(folder, plan, state, rubric, judged.standing, judged.tasks):
            key = self.key(answer.index)
            pending[key] = pending.get(key, 0) + (not answer.lines)
            value = values.value_of(answer, rubric)
            for name, number in value.values.items() if value else ():
                sums.setdefault(key, _Scenario(0)).add(name, number)
        for key, count in pending.items():
            found = sums.get(key, _Scenario(0))
            means = {name: total / found.counts[name] for name, total in found.sums.items()}
            yield key, layout.numbers({**means, f"{rubric.label}.pending": count}), count > 0


def _texts(run: Run, units: list[Unit], make: _Cells | _Scenarios, temporary: Path) -> dict[str, dict[str, Path]]:
    """Each unit's files: its prompt, its candidates, its raw answers."""
    texts: dict[str, _Texts] = {}
    for number, unit in enumerate(units):
        folder = temporary / str(number)
        folder.mkdir(parents=True)
        texts[unit.key] = _Texts(folder)
    for entry in run:
        make.add(entry)
        held = texts[make.key(entry.attempt["index"])]
        candidate, raw = _candidate(run, entry, full=held.count < MOST_CANDIDATES)
        held.add(candidate, raw)
    make.close(units)
    for unit in units:
        held = texts[unit.key]
        held.close({"plan": run.plan.digest, "unit": unit.name, "cell": unit.tags[layout.CELL]})
        (held.folder / PROMPT).write_text(_prompt(run, unit), encoding="utf-8", errors="replace", newline="\n")
    return {key: {name: held.folder / name for name in (PROMPT, CANDIDATES, RAW)} for key, held in texts.items()}


def _candidate(run: Run, entry: Entry, *, full: bool) -> tuple[dict[str, Any], str]:
    """One answer with what was asked and how it was scored; only its names where it will not be kept."""
    record = entry.attempt
    known: dict[str, Any] = {"sample": record["sample"], "epoch": record["epoch"], "outcome": outcome_of(entry)}
    completion = record.get("completion") or {}
    if not full:
        return known, ""
    known |= {"attempt": record["attempt"], "revision": record["revision"], "asked": run.request(entry)["input"]}
    known["text"] = completion.get("text")
    if "choices" in completion:
        known["choices"] = completion["choices"]
    for score in entry.scores:
        known |= {key: score[key] for key in ("metrics", "extracted", "error") if key in score}
    return known, str(completion.get("text") or "")


def _prompt(run: Run, unit: Unit) -> str:
    """The prompt of a unit: the template as the plan pins it, then what was sent for its first attempt."""
    plan = run.plan
    key, _, position = unit.key.partition("/")
    number = int(key.partition("-")[0])
    cell = plan.cells[number]
    prompt = plan.prompts[cell.prompt]
    parts = [f"=== template {cell.prompt}: {name}\n{prompt[name]}" for name in _PARTS if prompt.get(name)]
    if cell.mode != "given":
        attempt = plan.attempt(plan.index(number, int(position or 0), 0))
        shown = run.request(Entry({"index": attempt.index}))  # what it asks follows from the plan alone
        turns = shown.get("messages", ())
        parts += [f"=== sent for {attempt.sample}: {turn['role']}\n{turn['content']}" for turn in turns]
        if "text" in shown:
            parts.append(f"=== sent for {attempt.sample}\n{shown['text']}")
    return "\n".join(parts) + "\n"
