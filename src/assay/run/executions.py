"""Executing what models wrote: the part of scoring that is not a pure function.

Attempts are executed problem by problem, so that one checker serves all attempts of a problem, and each gets a score
line that holds its execution: everything after that (`verify`, results, exports) reads the line and executes nothing.
Before a task's attempts, a control: reference solutions must pass, or the run says more of the harness than of the
model.
"""

from __future__ import annotations

import asyncio
import random
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from assay.errors import ScorerError
from assay.records import Completion, Sample
from assay.run import journal
from assay.run.folder import RunFolder, SampleFile
from assay.run.interruption import interruptible
from assay.run.verdict import verdict
from assay.sandbox.execution import Execution
from assay.sandbox.pool import Pool
from assay.scoring.base import Candidate, CodeScorer

CONTROL_SAMPLES = 20
"""How many reference solutions a sampled control executes."""

IN_FLIGHT = 32
"""Programs waiting at the pool per worker: enough to keep it busy while some wait to be tried again."""

Progress = Callable[[str, int, int], None]
"""Told (task, executed, to execute)."""


@dataclass
class Todo:
    """The attempts of one task that have to be executed: where their journal lines are, and of which sample.

    `name` is the scorer's id (mode, revision and options).
    """

    task: str
    name: str
    scorer: CodeScorer
    places: array[int] = field(default_factory=lambda: array("Q"))
    positions: array[int] = field(default_factory=lambda: array("L"))

    def add(self, place: int, position: int) -> None:
        """One more attempt, whose line is at `place` (see `journal.Lines`), for the sample at `position`."""
        self.places.append(place)
        self.positions.append(position)

    def __len__(self) -> int:
        return len(self.places)

    def by_sample(self) -> Iterator[tuple[int, int]]:
        """(place, position), sample by sample; in the journal's order within one."""
        for number in sorted(range(len(self)), key=self.positions.__getitem__):
            yield self.places[number], self.positions[number]


@dataclass
class Executor:
    """Executes the attempts of a run. `keep` takes (journal record, task, what the scorer decided)."""

    folder: RunFolder
    seeds: Mapping[str, int]
    keep: Callable[[Mapping[str, Any], str, Mapping[str, Any]], None]
    sealed: frozenset[str] = frozenset()
    workers: int | None = None
    progress: Progress | None = None

    async def run(self, todos: list[Todo]) -> None:
        """Execute all of it. Raises MachineError where the sandbox cannot be had here, Interrupted on Ctrl-C;
        what was executed is kept."""
        writer = journal.Writer(self._next_controls())
        try:
            with interruptible(self.folder.path):
                for todo in todos:
                    await self._task(todo, writer)
        finally:
            writer.close()

    def _next_controls(self) -> Path:
        sealed = frozenset(Path(path).name for path in self.sealed if path.startswith("controls/"))
        return journal.next_segment(self.folder.controls, sealed)

    async def _task(self, todo: Todo, writer: journal.Writer) -> None:
        samples = SampleFile(self.folder.sample_path(todo.task))
        try:
            settings = todo.scorer.settings_for(samples[position] for position in range(len(samples)))
            async with Pool(settings, self.workers) as pool:
                writer.append({"task": todo.task, "scorer": todo.name, "sandbox": dict(pool.environment)})
                await self._control(todo, samples, pool, writer)
                await self._attempts(todo, samples, pool)
        finally:
            samples.close()

    async def _control(self, todo: Todo, samples: SampleFile, pool: Pool, writer: journal.Writer) -> None:
        """Execute reference solutions: all of them, or a few that the task's seed draws."""
        positions = controls(len(samples), todo.scorer.control, self.seeds[todo.task])
        with_reference = [position for position in positions if samples[position].target]

        async def one(position: int) -> None:
            sample = samples[position]
            candidate = todo.scorer.program(sample, reference(sample))
            execution = await pool.run(candidate.program)
            writer.append(
                {
                    "task": todo.task,
                    "scorer": todo.name,
                    "sample": sample.id,
                    "passed": execution.passed,
                    "known_broken": sample.metadata.get("known_broken", ""),
                    "execution": stored(execution, candidate),
                }
            )

        await _bounded((one(position) for position in with_reference), pool.size * IN_FLIGHT)

    async def _attempts(self, todo: Todo, samples: SampleFile, pool: Pool) -> None:
        lines = journal.Lines(self.folder.attempts)
        done = 0

        async def one(place: int, position: int) -> None:
            nonlocal done
            record = lines[place]
            self.keep(record, todo.task, await self._judge(todo.scorer, samples[position], record["completion"], pool))
            done += 1
            if self.progress:
                self.progress(todo.task, done, len(todo))

        try:
            work = (one(place, position) for place, position in todo.by_sample())
            await _bounded(work, pool.size * IN_FLIGHT)
        finally:
            lines.close()

    async def _judge(
        self, scorer: CodeScorer, sample: Sample, completion: Mapping[str, Any], pool: Pool
    ) -> dict[str, Any]:
        """Execute one completion: what its score line says."""
        try:
            candidate = scorer.program(sample, Completion.from_json(completion))
        except ScorerError as error:
            return {"error": error.message}
        execution = await pool.run(candidate.program)
        if scorer.check_determinism:
            execution = _compared(execution, await pool.run(candidate.program))
        kept = stored(execution, candidate)
        return {**verdict(scorer, sample, completion, kept), "execution": kept}


def stored(execution: Execution, candidate: Candidate) -> dict[str, Any]:
    """An execution as the evidence keeps it, with which program it was of and how that was found."""
    return {
        **execution.to_json(),
        "program": candidate.digest,
        "strategy": candidate.strategy,
        "form": candidate.form,
        "found": candidate.found,
    }


def controls(samples: int, mode: str, seed: int) -> list[int]:
    """The positions whose reference solutions are executed: all (`full`), or at most 20 drawn by the seed."""
    if mode == "full" or samples <= CONTROL_SAMPLES:
        return list(range(samples))
    return sorted(random.Random(f"control:{seed}").sample(range(samples), CONTROL_SAMPLES))


def reference(sample: Sample) -> Completion:
    """A sample's reference solution as if a model had written it."""
    return Completion(sample.target, form="completion" if sample.fields.get("complete") else "program")


def _compared(first: Execution, second: Execution) -> Execution:
    """The first of two executions of one program, saying whether the second was just like it."""
    return replace(first, deterministic=_timeless(first) == _timeless(second))


def _timeless(execution: Execution) -> Execution:
    return replace(execution, cpu_s=0.0, wall_s=0.0, memory_mb=0.0, retried=False)


async def _bounded(work: Iterator[Any], most: int) -> None:
    """Run coroutines, at most so many at a time; the first failure stops the rest and is raised."""
    running: set[asyncio.Task[None]] = set()
    try:
        for item in work:
            running.add(asyncio.create_task(item))
            if len(running) >= most:
                finished, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                _raise_first(finished)
        while running:
            finished, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            _raise_first(finished)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _raise_first(finished: set[asyncio.Task[None]]) -> None:
    for task in finished:
        task.result()
