"""The public door: a pool of workers that judge programs.

    async with Pool(Settings(tier="full"), workers=2) as pool:
        execution = await pool.run(Program(solution, tests, entry_point))

Programs of one problem should be given together: one checker then serves all of them.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

from assay.errors import MachineError
from assay.sandbox.calibration import Calibration, calibrate
from assay.sandbox.execution import Execution, Failure, Limits, Program, Settings, Status
from assay.sandbox.setup import worker_settings
from assay.sandbox.worker import Key, Worker, WorkerLost, key_of

LANES = 2
"""Programs that a worker has been given at a time: the next is there when one ends. It runs them one by one."""


_LOSSES = 2


@dataclass(eq=False, slots=True)
class _Task:
    program: Program
    future: asyncio.Future[Execution]
    retried: bool = False
    lost: int = 0


class Pool:
    """Workers, and the queue before them.

    `workers` defaults to the number of usable cores. `environment` says, for the evidence, how executions were
    confined and what a CPU second was taken to be. An attempt that ran out of time is tried once more while nothing
    else runs, before its timeout counts; so is one whose worker was lost, which ends as a `sandbox_error` when that
    happens to it twice alone.
    """

    def __init__(self, settings: Settings, workers: int | None = None) -> None:
        self.settings = settings
        self.size = workers or usable_cores()
        self.environment: Mapping[str, Any] = {}
        self._work: tempfile.TemporaryDirectory[str] | None = None
        self._workers: list[Worker] = []
        self._serving: list[asyncio.Task[None]] = []
        self._waiting: dict[Key, deque[_Task]] = {}
        self._again: deque[_Task] = deque()
        self._sleepers: deque[asyncio.Future[None]] = deque()
        self._running = 0
        self._alone = False
        self._closing = False

    async def __aenter__(self) -> Self:
        """Start the workers. Raises MachineError where the tier cannot be had here, naming the layer and errno."""
        calibration = calibrate()
        limits = scaled(self.settings.limits, calibration.scale)
        self._work = tempfile.TemporaryDirectory(prefix="assay-", ignore_cleanup_errors=True)
        try:
            content = worker_settings(self.settings, limits, os.path.realpath(self._work.name))  # noqa: ASYNC240
            self._workers = [
                Worker(self.settings, content, limits, calibration.scale, core) for core in cores_for(self.size)
            ]
            await asyncio.gather(*(worker.start() for worker in self._workers))
        except BaseException:
            await self._stop()
            raise
        self.environment = self._describe(calibration)
        lanes = LANES if self.settings.profile == "strict" else 1
        self._serving = [asyncio.create_task(self._serve(worker)) for worker in self._workers for _ in range(lanes)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the workers. Programs still waiting are cancelled."""
        self._closing = True
        for serving in self._serving:
            serving.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        for task in [*self._again, *(task for tasks in self._waiting.values() for task in tasks)]:
            task.future.cancel()
        await self._stop()

    async def _stop(self) -> None:
        await asyncio.gather(*(worker.stop() for worker in self._workers), return_exceptions=True)
        if self._work is not None:
            self._work.cleanup()

    def _describe(self, calibration: Calibration) -> dict[str, Any]:
        return {
            **self._workers[0].environment,
            "profile": self.settings.profile,
            "packages": list(self.settings.packages),
            "test_packages": list(self.settings.test_packages),
            "calibration_s": round(calibration.seconds, 6),
            "scale": round(calibration.scale, 3),
            "workers": self.size,
        }

    async def run(self, program: Program) -> Execution:
        """Judge one program. An execution whose status is `sandbox_error` says nothing of the program.

        Raises ValueError for a shared program where the settings allow none.
        """
        if program.shared and not self.settings.shared:
            raise ValueError("a program's tests may share its process only where the settings say so")
        task = _Task(program, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(key_of(program), deque()).append(task)
        self._wake()
        return await task.future

    def _wake(self) -> None:
        while self._sleepers:
            if not (sleeper := self._sleepers.popleft()).done():
                sleeper.set_result(None)
                return

    async def _serve(self, worker: Worker) -> None:
        while True:
            task = self._take(worker)
            if task is None:
                sleeper = asyncio.get_running_loop().create_future()
                self._sleepers.append(sleeper)
                await sleeper
                continue
            if self._waiting:
                self._wake()
            await self._judge(worker, task)
            self._running -= 1
            if self._alone or (self._again and not self._running):
                self._alone = False
                for _ in self._serving:
                    self._wake()

    def _take(self, worker: Worker) -> _Task | None:
        """The next program for a worker: of the problem it has a checker for, then of one that no other worker has.

        One that is busy can take no other problem's: its checker is needed. What is tried again waits until nothing
        else is waiting or running, and then runs alone.
        """
        if self._alone:
            return None
        if not self._waiting:
            if not self._again or self._running:
                return None
            self._alone = True
            self._running += 1
            return self._again.popleft()
        key = worker.key
        if key is None or key not in self._waiting:
            if worker.busy:
                return None
            taken = {other.key for other in self._workers}
            key = next((key for key in self._waiting if key not in taken), next(iter(self._waiting)))
        tasks = self._waiting[key]
        task = tasks.popleft()
        if not tasks:
            del self._waiting[key]
        self._running += 1
        return task

    async def _judge(self, worker: Worker, task: _Task) -> None:
        """Run one program and settle it, or put it aside to be tried again alone."""
        if task.future.done():
            return
        alone, starts = self._alone, worker.starts
        try:
            execution = await worker.run(task.program)
        except WorkerLost:
            await self._lost(worker, starts, task, alone=alone)
            return
        if execution.status is Status.TIMEOUT and not task.retried:
            task.retried = True
            self._again.append(task)
        elif not task.future.done():
            task.future.set_result(replace(execution, retried=task.retried))

    async def _lost(self, worker: Worker, starts: int, task: _Task, *, alone: bool) -> None:
        """Nobody's score: the loss may be a neighbour's doing, so that only what is lost alone, twice, is given up."""
        task.lost += alone
        try:
            await worker.revive(starts)
        except MachineError as error:
            if not task.future.done():
                task.future.set_exception(error)
            return
        if task.lost < _LOSSES:
            self._again.append(task)
        elif not task.future.done():
            failure = Failure("WorkerLost", "its worker or checker ended in the middle of the attempt, twice")
            task.future.set_result(Execution(Status.SANDBOX_ERROR, failure=failure, tier=self.settings.tier))


def cores_for(workers: int) -> list[int | None]:
    """The core that each worker stays on; none of them is bound to one where there are more cores than workers.

    Solution and checker take turns: on one core that is a switch, on two it is a wake-up, which costs several times
    as much, most of all in a virtual machine.
    """
    cores = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []
    if not cores or workers < len(cores):
        return [None] * workers
    return [cores[number % len(cores)] for number in range(workers)]


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def scaled(limits: Limits, scale: float) -> Limits:
    """Limits of the reference machine as limits of a machine that is `scale` times as slow."""
    return replace(limits, cpu_s=limits.cpu_s * scale, wall_s=limits.wall_s * scale)
