"""Carrying a plan out: models in turn, the journal open, events told, Ctrl-C heard."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from assay.errors import BackendError, ConfigError
from assay.home import home
from assay.models.base import Model
from assay.models.memory import check
from assay.plan.plan import Plan
from assay.records import Attempt, Outcome
from assay.run import journal
from assay.run.budget import Budget
from assay.run.cache import ResponseCache, wanted
from assay.run.engine import Job
from assay.run.events import EventLog, started_before
from assay.run.folder import RunFolder
from assay.run.interruption import interruptible
from assay.run.requests import Requests
from assay.run.state import State
from assay.spec.schema import Prices, Spec

PROGRESS_SECONDS = 1.0


class Watch(Protocol):
    """Who is shown how a run goes; called from the engine's thread, so it must be quick."""

    def begin(self, plan: Plan, state: State) -> None:
        """The run starts, or goes on from `state`."""

    def loading(self, model: str) -> None:
        """A model is being loaded, or its endpoint asked whether it is there."""

    def finished(self, attempt: Attempt, outcome: Outcome, tokens_out: int | None) -> None:
        """An attempt has ended."""

    def retried(self, attempt: Attempt, error: BackendError, wait_s: float) -> None:
        """A request failed and will be tried again."""

    def end(self) -> None:
        """No more attempts will end."""

    def stage(self, text: str) -> None:
        """What comes after the attempts: scoring, summing up, sealing."""

    def executed(self, task: str, done: int, total: int) -> None:
        """So many of a task's programs have been executed."""

    def looked(self, text: str) -> None:
        """A run that is evaluated until it is decided was looked at."""


class Pace(Protocol):
    """Who says what is asked next, where that is not the whole plan at once."""

    def next(self, cells: list[int], /) -> Iterator[Attempt] | None:
        """The next attempts of one model's cells; None where there are to be no more. Called when all before have
        ended, in a thread of its own: it may take its time."""


@dataclass
class Execution:
    """Runs what is pending. Remote models run beside each other, local ones in turn: never two sets of weights."""

    folder: RunFolder
    plan: Plan
    spec: Spec
    models: Mapping[str, Model]
    state: State
    events: EventLog
    watch: Watch | None = None
    pace: Pace | None = None
    environment: dict[str, dict[str, str]] = field(default_factory=dict)
    _told: float = 0.0
    _retries: int = 0
    _tokens: int = 0
    _began: float = field(default_factory=time.monotonic)
    _before: int = 0

    async def run(self) -> None:
        """Run to the end. Raises Interrupted on Ctrl-C, and what the engine raises; the journal is whole then."""
        sealed = frozenset(Path(name).name for name in self.folder.sealed() if name.startswith("attempts/"))
        writer = journal.Writer(journal.next_segment(self.folder.attempts, sealed))
        self._writer = writer
        self._began, self._before = time.monotonic(), self.state.finished
        for name in self.models:  # a session that has nothing left to ask of a model still seals its answers
            for before in started_before(self.folder.path, name):
                self.environment[name] = {key: str(value) for key, value in before.items()}
        self.events.emit("run_started", session=self.state.sessions, finished=self.state.finished)
        if self.watch:
            self.watch.begin(self.plan, self.state)
        syncing = asyncio.create_task(writer.keep_synced())
        try:
            with interruptible(self.folder.path):
                await self._all()
        finally:
            syncing.cancel()
            await asyncio.gather(syncing, return_exceptions=True)
            writer.close()
            if self.watch:
                self.watch.end()
            self._tell()
        self.events.emit("run_finished", finished=self.state.finished)

    async def _all(self) -> None:
        requests = Requests(self.plan, self.folder)
        budget = Budget(self.spec.budget, self.state.spent)
        cache = self._cache()
        try:
            remote = [model for model in self.models.values() if not model.local]
            local = [model for model in self.models.values() if model.local]
            await _together([self._model(model, requests, budget, cache) for model in remote])
            for model in local:
                await self._model(model, requests, budget, cache)
        finally:
            requests.close()
            if cache:
                cache.close()

    def _cache(self) -> ResponseCache | None:
        if any(wanted(self.spec.cache, self.plan, model) for model in self.models.values()):
            return ResponseCache(home() / "responses.sqlite")
        return None

    async def _model(self, model: Model, requests: Requests, budget: Budget, cache: ResponseCache | None) -> None:
        cells = self.plan.cells_of(model.name)
        pending = await self._next(cells)
        if pending is None:
            return
        if model.local and (size := model.size()):
            check(size, model.name)
        if self.watch:
            self.watch.loading(model.name)
        try:
            await model.start()
            self.environment[model.name] = dict(model.environment())
            self._refuse_another_runtime(model.name)
            self.events.emit("model_started", model=model.name, environment=self.environment[model.name])
            job = self._job(model, pending, requests, budget, cache)
            while pending is not None:
                job.pending = pending
                await job.run()
                pending = await self._next(cells) if self.pace else None
        finally:
            await model.stop()
            self.events.emit("model_stopped", model=model.name)

    async def _next(self, cells: list[int]) -> Iterator[Attempt] | None:
        """What to ask first, or next; None where there is nothing."""
        if self.pace is None:
            left = next(self.state.pending(cells, retry_errors=True), None)
            return None if left is None else self.state.pending(cells, retry_errors=True)
        self._writer.sync()
        return await asyncio.to_thread(self.pace.next, cells)

    def _refuse_another_runtime(self, name: str) -> None:
        """One run, one runtime: half of its answers from another version would be two runs under one seal."""
        runtime = self.environment[name].get("runtime")
        for before in started_before(self.folder.path, name):
            if (known := before.get("runtime")) != runtime:
                raise ConfigError(
                    f"{self.folder.path}: {name} was run with {known} so far, here it is {runtime}",
                    hint="resume where that version is installed, or start over with --fresh",
                )

    def _job(
        self, model: Model, pending: Iterator[Attempt], requests: Requests, budget: Budget, cache: ResponseCache | None
    ) -> Job:
        prices = self.plan.models[model.name].prices
        return Job(
            plan=self.plan,
            model=model,
            pending=pending,
            request=requests.request,
            revision=self.state.revision,
            sink=self,
            watch=self,
            budget=budget,
            concurrency=self.spec.concurrency,
            retry=self.spec.retry,
            session=self.state.sessions,
            prices=Prices(**prices) if prices else None,
            cache=cache if wanted(self.spec.cache, self.plan, model) else None,
        )

    def append(self, record: Mapping[str, Any], /) -> None:
        """Keep a finished attempt."""
        self._writer.append(record)
        self.state.add(record["index"], record["outcome"])

    def finished(self, attempt: Attempt, outcome: Outcome, tokens_out: int | None) -> None:
        """Pass it on, and put the totals into the events once a second."""
        self._tokens += tokens_out or 0
        if self.watch:
            self.watch.finished(attempt, outcome, tokens_out)
        if time.monotonic() - self._told >= PROGRESS_SECONDS:
            self._tell()

    def retried(self, attempt: Attempt, error: BackendError, wait_s: float) -> None:
        """Pass it on."""
        self._retries += 1
        if self.watch:
            self.watch.retried(attempt, error, wait_s)

    def _tell(self) -> None:
        """One event with what the display shows: totals, rates over this session, time left, outcomes, cells."""
        self._told = time.monotonic()
        seconds = max(self._told - self._began, 1e-9)
        finished = self.state.finished
        rate = (finished - self._before) / seconds
        self.events.emit(
            "progress",
            finished=finished,
            planned=len(self.plan),
            attempts_per_s=round(rate, 3),
            tokens_per_s=round(self._tokens / seconds, 3),
            seconds_left=round((len(self.plan) - finished) / rate, 1) if rate else None,
            outcomes=self.state.outcomes(),
            cells=self.state.by_cell(),
            retries=self._retries,
        )


async def _together(work: list[Any]) -> None:
    """Run all of it; the first failure stops the rest, which end cleanly before it is raised."""
    tasks = [asyncio.create_task(item) for item in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
