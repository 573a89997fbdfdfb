"""Pools that are closed or killed, and workers that are lost, in the middle of their work."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from assay.sandbox.execution import Execution, Program, Settings
from assay.sandbox.pool import Pool
from assay.sandbox.probes import best_tier
from support.gauntlet import descendants

TIER = best_tier()
TESTS = "assert candidate(1) == 2\nassert candidate(20) == 21\n"
RIGHT = "def f(x):\n    return x + 1\n"
LOOPS = "def f(x):\n    while True:\n        pass\n"
SLEEPS = "import time\ndef f(x):\n    time.sleep(0.6)\n    return x + 1\n"

pytestmark = pytest.mark.skipif(TIER != "full", reason="the tier `full` cannot be had on this machine")


def program(solution: str, tests: str = TESTS) -> Program:
    return Program(solution, tests, "f")


@pytest.mark.parametrize("tier", ["full", "reduced", "none"])
def test_a_pool_that_is_closed_while_busy_leaves_nothing(tier: Any):
    async def close() -> list[asyncio.Task[Execution]]:
        async with Pool(Settings(tier), 2) as pool:
            tasks = [asyncio.create_task(pool.run(program(LOOPS, TESTS + f"# {number}"))) for number in range(6)]
            await asyncio.sleep(0.3)
            assert len(descendants(os.getpid())) > before
        return tasks

    before = len(descendants(os.getpid()))
    tasks = asyncio.run(close())
    assert all(task.cancelled() for task in tasks)
    assert len(descendants(os.getpid())) == before


def _children(parent: int) -> list[int]:
    below = set(descendants(parent))
    return sorted(below.difference(*(descendants(child) for child in below)))


def _part(tier: str, name: str) -> int:
    """The process of the only worker that plays this part."""
    (outermost,) = _children(os.getpid())
    (janitor,) = _children(outermost) if tier == "full" else (outermost,)
    template, nursery = _children(janitor)
    parts = {"launcher": outermost, "janitor": janitor, "template": template, "nursery": nursery}
    return _children(nursery)[0] if name == "checker" else parts[name]


PARTS = [
    *(("full", name) for name in ("launcher", "janitor", "template", "nursery", "checker")),
    *(("reduced", name) for name in ("janitor", "template", "nursery", "checker")),
]


async def _lose(tier: Any, name: str, times: int, solution: str) -> tuple[Execution, Execution]:
    """What becomes of a program while one of the worker's processes is killed so many times, and of the next."""
    async with Pool(Settings(tier), 1) as pool:
        assert (await pool.run(program(RIGHT))).passed
        task = asyncio.create_task(pool.run(program(solution)))
        for _ in range(times):
            await asyncio.sleep(0.5)
            if not task.done():
                with contextlib.suppress(ValueError, IndexError):  # not all of it runs at the moment
                    os.kill(_part(tier, name), signal.SIGKILL)
        return await asyncio.wait_for(task, 60), await pool.run(program(RIGHT))


@pytest.mark.parametrize(("tier", "name"), PARTS)
def test_a_worker_is_lost_in_the_middle_of_an_attempt(tier: str, name: str):
    """Whichever of its processes ends: nobody's score. The attempt is tried again."""
    execution, after = asyncio.run(_lose(tier, name, 1, SLEEPS))
    assert (execution.status, execution.retried) == ("passed", False)
    assert after.passed
    assert descendants(os.getpid()) == []


def test_a_worker_that_is_lost_again_and_again():
    execution, after = asyncio.run(_lose(TIER, "template", 20, "import time\ndef f(x):\n    time.sleep(9)\n"))
    assert (execution.status, execution.passed) == ("sandbox_error", False)
    assert execution.failure is not None
    assert execution.failure.kind == "WorkerLost"
    assert after.passed
    assert descendants(os.getpid()) == []


@pytest.mark.parametrize(("tier", "name"), PARTS)
def test_a_worker_that_is_lost_while_nothing_runs(tier: Any, name: str):
    async def lose() -> list[Execution]:
        async with Pool(Settings(tier), 1) as pool:
            assert (await pool.run(program(RIGHT))).passed
            os.kill(_part(tier, name), signal.SIGKILL)
            return [await pool.run(program(RIGHT, tests)) for tests in (TESTS, TESTS + "# another")]

    assert [execution.status for execution in asyncio.run(lose())] == ["passed", "passed"]


def test_an_assay_that_is_killed_takes_its_workers_along(tmp_path: Path):
    code = (
        "import asyncio, sys\nfrom assay.sandbox.pool import Pool\nfrom assay.sandbox.execution import *\n"
        "async def main():\n"
        f"    async with Pool(Settings({TIER!r}, limits=Limits(cpu_s=2, wall_s=3)), 1) as pool:\n"
        f"        task = asyncio.create_task(pool.run(Program({LOOPS!r}, {TESTS!r}, 'f')))\n"
        "        await asyncio.sleep(0.5)\n        print('busy', flush=True)\n        await task\n"
        "asyncio.run(main())\n"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "busy\n"
        below = descendants(process.pid)
        assert len(below) >= 4
        process.kill()
    assert _gone(below, 20.0)


def _gone(processes: list[int], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not any(_alive(pid) for pid in processes):
            return True
        time.sleep(0.05)
    return False


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
