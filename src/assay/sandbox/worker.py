"""One worker from outside: start it, give it programs, read what became of them, end it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from assay.errors import MachineError
from assay.sandbox import protocol
from assay.sandbox.execution import WALL_FACTOR, Execution, Failure, Limits, Program, Settings, Status
from assay.sandbox.judgement import judged, read_report
from assay.sandbox.messages import anonymous_file, contents, pair, send

Key = tuple[str, str, str]
"""Programs of equal key are judged by the same checker."""

_START_S = 60.0
_NO_LAYER = "sandbox"
_ROOT = str(Path(__file__).resolve().parents[2])
_BOOT = (
    "import sys; sys.path.insert(0, {root!r}); from assay.sandbox.preload import preload; preload(); "
    "from assay.sandbox.zygote import main; "
    "sys.path.remove({root!r}); main({template}, {nursery})"
)


class WorkerLost(Exception):
    """The worker, or its checker, ended in the middle of an attempt: nobody's score."""


def key_of(program: Program) -> Key:
    """What decides which checker judges a program."""
    return program.tests, program.support, program.entry_point


@dataclass(slots=True)
class _Job:
    program: Program
    future: asyncio.Future[Execution]
    out: int
    err: int
    report: int

    def settle(self, execution: Execution) -> None:
        if not self.future.done():
            self.future.set_result(execution)

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)

    def close(self) -> None:
        for descriptor in (self.out, self.err, self.report):
            os.close(descriptor)


class Worker:
    """A process tree that runs programs one after the other.

    `content` is what `setup.worker_settings` made; `limits` are this machine's, `scale` times the reference machine's;
    `core` is the one it stays on, if any.
    """

    def __init__(
        self, settings: Settings, content: dict[str, Any], limits: Limits, scale: float, core: int | None = None
    ) -> None:
        self._settings = settings
        self._scale = scale
        self._core = core
        self._content = content
        self._limits = limits
        self._jobs: deque[_Job] = deque()
        self.key: Key | None = None
        self.starts = 0
        self._ended = False
        self._reviving = asyncio.Lock()
        self.environment: dict[str, Any] = {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def busy(self) -> int:
        """How many programs it has been given and has not answered."""
        return len(self._jobs)

    async def start(self) -> None:
        """Start the processes. Raises MachineError naming the layer and errno where one cannot be applied."""
        self.starts += 1
        self._ended = False
        self._launch()
        try:
            send(
                self._template, protocol.SETTINGS + json.dumps({**self._content["worker"], "core": self._core}).encode()
            )
            self.environment = await asyncio.wait_for(_all_ready(self._nursery, self._template), _START_S)
        except (TimeoutError, OSError) as error:
            await self.stop()
            raise MachineError("a worker of the sandbox does not start", layer="sandbox") from error
        except MachineError:
            await self.stop()
            raise
        asyncio.get_running_loop().add_reader(self._template, self._answered)

    def _launch(self) -> None:
        """Start the zygote with nothing but its two sockets. It must outlive no thread that starts it."""
        self._template, theirs = pair()
        self._nursery, others = pair()
        boot = _BOOT.format(root=_ROOT, template=theirs.fileno(), nursery=others.fileno())
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
                [*self._content["launch"], "-s", "-S", "-P", "-B", "-c", boot],
                env=self._content["environment"],
                pass_fds=(theirs.fileno(), others.fileno()),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                cwd="/",
            )
        finally:
            theirs.close()
            others.close()

    async def revive(self, starts: int) -> None:
        """Start anew if it has ended, unless somebody did since the worker had been started `starts` times."""
        async with self._reviving:
            if self.starts == starts and self._ended:
                await self.stop()
                await self.start()

    async def run(self, program: Program) -> Execution:
        """Run one program after those already given, which must have the same key. Raises WorkerLost."""
        if (key := key_of(program)) != self.key:
            self._hire(key)
        return await self._send(program)

    def _hire(self, key: Key) -> None:
        """Have a checker made for these tests; the one before it ends."""
        self.key = None
        ours, theirs = pair()
        file = anonymous_file(json.dumps(_tests_file(key)).encode())
        try:
            send(self._nursery, protocol.CHECKER, [file, theirs.fileno()])
            send(self._template, protocol.CHECKER, [ours.fileno()])
        except OSError:
            self._ended = True
            raise WorkerLost from None
        finally:
            os.close(file)
            ours.close()
            theirs.close()
        self.key = key

    def _send(self, program: Program) -> asyncio.Future[Execution]:
        cpu_s = max(self._limits.cpu_s, program.cpu_s * self._scale)
        wall_s = self._limits.wall_s if cpu_s == self._limits.cpu_s else WALL_FACTOR * cpu_s
        limits = protocol.LIMITS.pack(cpu_s, wall_s, program.shared)
        source = anonymous_file(_program_file(program))
        job = _Job(
            program, asyncio.get_running_loop().create_future(), anonymous_file(), anonymous_file(), anonymous_file()
        )
        try:
            send(self._template, protocol.JOB + limits, [source, job.out, job.err, job.report])
        except OSError:
            job.close()
            self._ended = True
            raise WorkerLost from None
        finally:
            os.close(source)
        self._jobs.append(job)
        return job.future

    def _answered(self) -> None:
        """The template has said something: the oldest job is over, or the worker is gone."""
        message = _read(self._template)
        if message[:1] != protocol.DONE:
            self._lose()
            return
        job = self._jobs.popleft()
        result = protocol.RESULT.unpack(message[1:])
        if not result[-1]:
            self.key = None
        try:
            execution = self._execution(job, result)
        except Exception as error:  # whoever waits must hear of it
            job.fail(error)
        else:
            job.fail(WorkerLost()) if execution is None else job.settle(execution)
        finally:
            job.close()

    def _lose(self) -> None:
        """Nothing more will come: every program that was given is lost."""
        self._ended = True
        asyncio.get_running_loop().remove_reader(self._template)
        self.key = None
        while self._jobs:
            job = self._jobs.popleft()
            job.close()
            job.fail(WorkerLost())

    def _execution(self, job: _Job, result: tuple[Any, ...]) -> Execution | None:
        """What became of a job; None where its checker was lost, which says nothing of it."""
        status, user, system, peak, wall, limit, confined, killed, checker = result
        report, fault = read_report(job.report)
        if report is None and not (fault or limit or checker or job.program.shared):
            return None
        out, out_cut = _text(job.out, self._limits.output_kb << 10)
        err, err_cut = _text(job.err, self._limits.output_kb << 10)
        measured = Execution(
            Status.SANDBOX_ERROR,
            timeout=protocol.TIMEOUTS[limit],
            stdout=out,
            stderr=err,
            output_cut=out_cut or err_cut,
            cpu_s=round(user + system, 6),
            wall_s=round(wall, 6),
            memory_mb=round(peak / 1024, 1),
            exit_code=os.WEXITSTATUS(status) if os.WIFEXITED(status) and not killed else None,
            signal=_signal(os.WTERMSIG(status)) if os.WIFSIGNALED(status) and not killed else None,
            tier=self._settings.tier,
            forgeable=job.program.shared or self._settings.tier == "none",
        )
        if not confined:
            return replace(measured, failure=Failure("NotConfined", f"the solution was not confined: {err.strip()}"))
        if fault and not limit:  # a solution that shares its tests' process can write a report itself
            status = Status.VIOLATION if job.program.shared else Status.SANDBOX_ERROR
            return replace(measured, status=status, failure=Failure("ReportError", fault))
        return judged(measured, report)

    async def stop(self) -> None:
        """End the worker and everything in it."""
        if self._process is None:
            return
        self._lose()
        self._template.close()
        self._nursery.close()
        process, self._process = self._process, None
        try:
            await asyncio.to_thread(process.wait, 5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _signal(number: int) -> str:
    """A signal's name; those for real time have none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"


def _text(descriptor: int, limit: int) -> tuple[str, bool]:
    content, cut = contents(descriptor, limit)
    return content.decode("utf-8", "replace"), cut


def _program_file(program: Program) -> bytes:
    if not program.shared:
        return f"{program.entry_point}\n{program.solution}".encode("utf-8", "surrogatepass")
    content: protocol.ProgramFile = {"solution": program.solution, "tests": _tests_file(key_of(program))}
    return json.dumps(content).encode()


def _tests_file(key: Key) -> protocol.Tests:
    tests, support, entry_point = key
    return {"tests": tests, "support": support, "entry_point": entry_point}


def _read(control: socket.socket) -> bytes:
    try:
        return control.recv(4096)
    except ConnectionError:
        return b""


async def _all_ready(*controls: socket.socket) -> dict[str, Any]:
    """Wait for every part of the worker; what the last one says. Raises MachineError: the one that says most, since
    the other parts merely see an end.
    """
    found = await asyncio.gather(*map(_ready, controls), return_exceptions=True)
    errors = [said for said in found if isinstance(said, BaseException)]
    if errors:
        raise next((error for error in errors if getattr(error, "layer", _NO_LAYER) != _NO_LAYER), errors[0])
    environment = found[-1]
    assert isinstance(environment, dict)  # noqa: S101  the others were raised
    return environment


async def _ready(control: socket.socket) -> dict[str, Any]:
    """Wait for a part of the worker to be confined. Raises MachineError where it is not."""
    control.setblocking(False)
    try:
        message = await asyncio.get_running_loop().sock_recv(control, 4096)
    except ConnectionError:
        message = b""
    control.setblocking(True)
    if message[:1] == protocol.READY:
        environment: dict[str, Any] = json.loads(message[1:])
        return environment
    if message[:1] == protocol.FAILED:
        failure = json.loads(message[1:])
        text = f"the sandbox cannot be set up: {failure['message']}"
        raise MachineError(text, layer=f"sandbox: {failure['layer']}", errno=failure["errno"])
    raise MachineError("a worker of the sandbox ended while it was being set up", layer=_NO_LAYER)
