"""The public door: programs in, executions out."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from assay.errors import MachineError
from assay.sandbox import pool as pools
from assay.sandbox import setup
from assay.sandbox.calibration import Calibration, calibrate
from assay.sandbox.execution import Execution, Limits, Program, Settings, Status
from assay.sandbox.pool import Pool, scaled, usable_cores
from assay.sandbox.probes import best_tier
from assay.sandbox.worker import key_of
from support.attacks_disturbing import HONEST_FORK
from support.gauntlet import descendants
from support.watching import memory

TIER = best_tier()
TESTS = "assert candidate(1) == 2\nassert candidate(20) == 21\n"
RIGHT = "def f(x):\n    return x + 1\n"
LOOPS = "def f(x):\n    while True:\n        pass\n"
SHORT = Limits(cpu_s=0.3, wall_s=20.0)  # on a busy machine CPU time can be slow to come

pytestmark = pytest.mark.skipif(TIER == "none", reason="no tier can be had on this machine")


def program(solution: str, tests: str = TESTS, **more: Any) -> Program:
    return Program(solution, tests, "f", **more)


async def run_all(programs: list[Program], settings: Settings | None = None, workers: int = 1) -> list[Execution]:
    async with Pool(settings or Settings(TIER), workers) as pool:
        return await asyncio.gather(*map(pool.run, programs))


def run(*programs: Program, settings: Settings | None = None, workers: int = 1) -> list[Execution]:
    return asyncio.run(run_all(list(programs), settings, workers))


BREAKS = """
import os
for descriptor in range(3, 64):
    try:
        os.write(descriptor, b"\\xff" * 9)
    except OSError:
        pass
"""
STATUSES = [
    ("passed", RIGHT, TESTS),
    ("failed", "def f(x):\n    return 2\n", TESTS),
    ("error", "def f(x):\n    raise ValueError('no')\n", "y = candidate(1)\nassert y == 2\n"),
    ("compile_error", "def f(x) return x\n", TESTS),
    ("load_error", "1 / 0\n", TESTS),
    ("missing_entry_point", "def g(x):\n    return x + 1\n", TESTS),
    ("no_tests_executed", RIGHT, "candidate(1)\n"),
    ("exited", "def f(x):\n    raise SystemExit(3)\n", TESTS),
    ("crashed", "import os\ndef f(x):\n    os.abort()\n", TESTS),
    ("out_of_memory", "def f(x):\n    return bytearray(1 << 40)\n", TESTS),
    (
        "violation",
        "import os\nfor d in range(3, 64):\n    try: os.write(d, b'\\xff' * 9)\n    except OSError: pass\n",
        TESTS,
    ),
    ("sandbox_error", RIGHT, "assert candidate(1) ==\n"),
]


def test_every_way_to_end():
    found = run(*(program(solution, tests) for _, solution, tests in STATUSES))
    assert [execution.status for execution in found] == [status for status, _, _ in STATUSES]
    assert [execution.passed for execution in found] == [status == "passed" for status, _, _ in STATUSES]
    assert {execution.tier for execution in found} == {TIER}
    assert not any(execution.forgeable or execution.retried for execution in found)
    by_status = {execution.status: execution for execution in found}
    passed, failed, crashed = (by_status[Status(name)] for name in ("passed", "failed", "crashed"))
    assert (passed.compiled, passed.loaded) == (True, True)
    assert (passed.tests_passed, passed.tests_run, passed.tests_total) == (2, 2, 2)
    assert (failed.tests_passed, failed.tests_run, failed.tests_total) == (1, 2, 2)
    assert failed.failure is not None
    assert (failed.failure.line, failed.failure.source, failed.failure.got) == (2, "assert candidate(20) == 21", "2")
    assert (crashed.signal, crashed.exit_code) == ("SIGABRT", None)
    assert by_status[Status.EXITED].exit_code == 3
    assert 0 < passed.cpu_s < 2
    assert 0 < passed.wall_s < 20
    assert 1 < passed.memory_mb < 100
    for execution in found:
        assert Execution.from_json(json.loads(json.dumps(execution.to_json()))) == execution


def test_the_last_way_to_end_is_too_late():
    late = "def f(x):\n    while x > 1:\n        pass\n    return 0\n"
    loops, failed = run(program(LOOPS), program(late), settings=Settings(TIER, limits=SHORT))
    assert (loops.status, loops.timeout, loops.retried) == ("timeout", "cpu", True)
    assert (failed.status, failed.timeout, failed.retried) == ("failed", "cpu", False)  # a test had failed by then
    assert loops.cpu_s >= 0.3 * 0.5
    sleeps = "import time\ndef f(x):\n    time.sleep(99)\n"
    (asleep,) = run(program(sleeps), settings=Settings(TIER, limits=Limits(wall_s=0.5)))
    assert (asleep.status, asleep.timeout, asleep.retried) == ("timeout", "wall", True)
    assert asleep.cpu_s < 0.5


def test_tests_that_never_end():
    tests = "assert candidate(1) == 2\nwhile True:\n    pass\n"
    settings = Settings(TIER, limits=Limits(cpu_s=0.2, wall_s=60))
    endless, after = run(program(RIGHT, tests), program(RIGHT), settings=settings)
    assert (endless.status, endless.timeout, endless.retried) == ("timeout", "checker", True)
    assert after.passed


def test_what_ran_out_of_time_is_tried_once_more_and_alone():
    async def attempt() -> list[Execution]:
        seen.clear()
        async with Pool(Settings(TIER, limits=SHORT), 2) as pool:
            judge = pool._judge

            async def judged(worker: Any, task: Any) -> None:
                seen.append((task.program.solution == LOOPS, task.retried, pool._running))
                await judge(worker, task)

            pool._judge = judged  # type: ignore[method-assign]
            return await asyncio.gather(*map(pool.run, [program(LOOPS), *[program(RIGHT)] * 40]))

    seen: list[tuple[bool, bool, int]] = []
    found = asyncio.run(attempt())
    assert [execution.status for execution in found] == ["timeout", *["passed"] * 40]
    assert [execution.retried for execution in found] == [True, *[False] * 40]
    assert seen[-1] == (True, True, 1)
    assert len(seen) == 42


def test_output_is_kept_in_part():
    solution = (
        "import sys\ndef f(x):\n    print('é' * 3000)\n    print('e' * 9, file=sys.stderr, end='')\n    return x + 1\n"
    )
    (long,) = run(program(solution), settings=Settings(TIER, limits=Limits(output_kb=4)))
    assert (long.status, long.output_cut) == ("passed", True)
    assert long.stdout == "é" * 2048
    assert long.stderr == "e" * 18
    (short,) = run(program("print('loaded')\ndef f(x):\n    print(x)\n    return x + 1\n"))
    assert (short.stdout, short.stderr, short.output_cut) == ("loaded\n1\n20\n", "", False)


def test_a_solution_may_print_more_than_its_file_holds_and_is_only_then_told():
    solution = "def f(x):\n    print('x' * (1 << 19))\n    return x + 1\n"
    (found,) = run(program(solution), settings=Settings(TIER, limits=Limits(file_mb=2, output_kb=1)))
    assert (found.status, found.output_cut, len(found.stdout)) == ("passed", True, 1024)


def test_memory_is_bounded():
    solution = "def f(x):\n    held = bytearray(100 << 20)\n    return x + 1\n"
    limits = [Limits(memory_mb=512), Limits(memory_mb=64)]
    found = [run(program(solution), settings=Settings(TIER, limits=limit))[0] for limit in limits]
    assert [execution.status for execution in found] == ["passed", "out_of_memory"]
    assert found[0].memory_mb > 100


FORGES = """
import gc
def f(x):
    for value in gc.get_objects():
        if type(value).__name__ == "Tally":
            value.passed()
    class Same:
        def __eq__(self, other):
            return True
    return Same()
"""


def test_only_what_shares_the_tests_process_is_forgeable():
    mixed = Settings(TIER, shared=True, limits=SHORT)
    alone, shared = run(program(FORGES), program(FORGES, shared=True), settings=mixed)
    assert (alone.status, alone.forgeable) == ("failed", False)
    assert (shared.status, shared.forgeable) == ("passed", True)
    honest, wrong = run(program(RIGHT, shared=True), program(LOOPS, shared=True), settings=mixed)
    assert (honest.status, honest.tests_passed, honest.forgeable) == ("passed", 2, True)
    assert (wrong.status, wrong.timeout, wrong.retried, wrong.forgeable) == ("timeout", "cpu", True, True)

    with pytest.raises(ValueError, match="share"):
        run(program(RIGHT, shared=True))


def test_without_a_boundary_everything_is_forgeable():
    (found,) = run(program(RIGHT), settings=Settings("none"))
    assert (found.status, found.tier, found.forgeable) == ("passed", "none", True)


def test_the_environment_of_the_evidence():
    async def environment() -> dict[str, Any]:
        async with Pool(Settings(TIER, packages=("json",), limits=SHORT), 1) as pool:
            return dict(pool.environment)

    found = asyncio.run(environment())
    assert found["tier"] == TIER
    assert found["workers"] == 1
    assert found["profile"] == "strict"
    assert found["packages"] == ["json"]
    assert found["test_packages"] == []
    assert found["kernel"] == os.uname().release
    assert found["machine"] == os.uname().machine
    assert found["scale"] > 0
    assert found["calibration_s"] > 0
    assert len(found["filter"]) == 64
    assert found["landlock_abi"] >= 1
    json.dumps(found)


def test_the_environment_of_a_solution(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    solution = "import os, sys\nprint(sorted(os.environ))\nprint(sys.path)\n" + RIGHT
    tests = "import os\nassert 'OPENAI_API_KEY' not in os.environ\nassert candidate(1) == 2\n"
    (found,) = run(program(solution, tests))
    names, path = found.stdout.splitlines()
    assert found.passed
    assert set(eval(names)) == setup.ENVIRONMENT.keys()
    assert not any("site-packages" in entry or entry in ("", str(Path.cwd())) for entry in eval(path))

    async def environments() -> list[bytes]:
        async with Pool(Settings(TIER), 1) as pool:
            await pool.run(program(RIGHT))
            found = []
            for pid in descendants(os.getpid()):
                with contextlib.suppress(PermissionError):
                    found.append(Path(f"/proc/{pid}/environ").read_bytes())
            return found

    assert all(b"sk-secret" not in text for text in asyncio.run(environments()))


def test_programs_of_one_problem_share_a_checker():
    async def checkers() -> tuple[set[int], list[Execution]]:
        async with Pool(Settings(TIER), 1) as pool:
            hired = set()
            (worker,) = pool._workers
            hire = worker._hire

            def counted(key: Any) -> None:
                hired.add(len(keys))
                keys.append(key)
                hire(key)

            worker._hire = counted  # type: ignore[method-assign]
            programs = [program(RIGHT, TESTS + f"# {number % 3}") for number in range(30)]
            found = await asyncio.gather(*map(pool.run, programs))
            return hired, found

    keys: list[Any] = []
    hired, found = asyncio.run(checkers())
    assert all(execution.passed for execution in found)
    assert len(hired) == 3
    assert keys == list(dict.fromkeys(map(key_of, [program(RIGHT, TESTS + f"# {number}") for number in range(3)])))


def test_every_worker_takes_a_part():
    tests = [TESTS + f"# {number}" for number in range(8)]
    slow = "import time\ndef f(x):\n    time.sleep(0.02)\n    print(__import__('os').getppid())\n    return x + 1\n"
    found = run(*(program(slow, text) for text in tests for _ in range(2)), workers=3, settings=Settings("reduced"))
    assert {execution.status for execution in found} == {"passed"}
    assert len({execution.stdout.split()[0] for execution in found}) == 3


def test_a_call_can_be_given_up():
    async def attempt() -> tuple[Execution, bool]:
        async with Pool(Settings(TIER, limits=SHORT), 1) as pool:
            busy, waiting = (asyncio.create_task(pool.run(program(text))) for text in (LOOPS, RIGHT))
            await asyncio.sleep(0.1)
            for task in (busy, waiting):
                task.cancel()
            await asyncio.gather(busy, waiting, return_exceptions=True)
            return await pool.run(program(RIGHT)), busy.cancelled() and waiting.cancelled()

    execution, cancelled = asyncio.run(attempt())
    assert execution.passed
    assert cancelled


@pytest.mark.parametrize(
    ("limits", "layer", "code"),
    [
        (Limits(file_mb=-1), "work folder", errno.EINVAL),
        (Limits(open_files=2), "landlock", errno.EMFILE),
        (Limits(open_files=1 << 30), "limits", errno.EPERM),
        (Limits(memory_mb=1 << 60), "limits", errno.EPERM),
    ],
)
def test_a_layer_that_cannot_be_applied(limits: Limits, layer: str, code: int):
    """Asking for what no kernel gives is how one fails on demand."""
    if TIER != "full" and layer == "work folder":
        pytest.skip("only the tier `full` has a work folder")
    with pytest.raises(MachineError) as caught:
        run(program(RIGHT), settings=Settings(TIER, limits=limits))
    assert (caught.value.layer, caught.value.errno, caught.value.exit_code) == (f"sandbox: {layer}", code, 6)
    assert descendants(os.getpid()) == []


def test_a_tier_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch):
    def probes() -> tuple[Any, ...]:
        found = list(run_probes())
        for place, probe in enumerate(found):
            if probe.name == "user namespace":
                found[place] = type(probe)(probe.name, False, "unshare: Operation not permitted", errno.EPERM)
        return tuple(found)

    run_probes = setup.run_probes
    monkeypatch.setattr(setup, "run_probes", probes)  # a kernel that forbids it is not to be had on demand
    with pytest.raises(MachineError) as caught:
        setup.require("full")
    assert caught.value.layer == "sandbox: user namespace"
    assert caught.value.errno == errno.EPERM
    assert "'reduced'" in str(caught.value)


def test_a_tier_with_processes_needs_namespaces():
    with pytest.raises(MachineError) as caught:
        run(program(RIGHT), settings=Settings("reduced", profile="fork-allowed"))
    assert caught.value.layer == "sandbox: processes"


@pytest.mark.skipif(TIER != "full", reason="processes are for the tier `full` alone")
def test_solutions_may_be_allowed_to_start_processes():
    allowed = Settings("full", profile="fork-allowed")
    strict, *forked = (run(program(HONEST_FORK), settings=settings)[0] for settings in (Settings("full"), allowed))
    assert strict.status == "failed"
    assert [(execution.status, execution.forgeable) for execution in forked] == [("passed", False)]


def test_a_package_that_is_not_installed():
    with pytest.raises(MachineError) as caught:
        run(program(RIGHT), settings=Settings(TIER, packages=("no_such_package",)))
    assert "no_such_package" in str(caught.value)
    assert "pip install no_such_package" in str(caught.value)


def test_packages_are_for_whom_they_were_allowed():
    solution = "import numpy\ndef f(x):\n    return int(numpy.int64(x) + 1)\n"
    tests = "import numpy\nassert numpy.allclose(candidate(1), 2)\n"
    allowed, refused = (
        run(program(solution, tests), settings=Settings(TIER, packages=packages, test_packages=("numpy",)))[0]
        for packages in (("numpy",), ())
    )
    assert allowed.status == "passed", allowed
    assert (refused.status, refused.failure and refused.failure.kind) == ("load_error", "ModuleNotFoundError")


def test_limits_are_scaled_to_the_machine(monkeypatch: pytest.MonkeyPatch):
    assert scaled(Limits(cpu_s=2, wall_s=6), 1.5) == Limits(cpu_s=3, wall_s=9)
    assert 0.5 <= calibrate().scale <= 20
    monkeypatch.setattr(pools, "calibrate", lambda: Calibration(0.1, 0.05))  # a machine twenty times as fast
    (found,) = run(program(LOOPS), settings=Settings(TIER, limits=Limits(cpu_s=4, wall_s=100)))
    assert (found.status, found.timeout) == ("timeout", "cpu")
    assert found.cpu_s < 2


def test_a_program_may_need_more_time_than_the_others():
    works = "import time\ndef f(x):\n    while time.process_time() < 0.4:\n        pass\n    return x + 1\n"
    tests = "assert candidate(1) == 2\n"
    settings = Settings(TIER, limits=Limits(cpu_s=0.2, wall_s=20))
    more, less = run(program(works, tests, cpu_s=3.0), program(works, tests), settings=settings)
    assert (more.status, less.status) == ("passed", "timeout")


def test_pools_in_threads_and_many_in_turn():
    found: list[str] = []

    def in_thread() -> None:
        found.append(run(program(RIGHT))[0].status)

    for _ in range(3):
        threads = [threading.Thread(target=in_thread) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        in_thread()
    assert found == ["passed"] * 11
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
    assert descendants(os.getpid()) == []


def test_two_pools_at_once():
    async def both() -> list[Execution]:
        async with Pool(Settings(TIER), 1) as one, Pool(Settings("reduced"), 1) as two:
            return list(await asyncio.gather(*(pool.run(program(RIGHT)) for pool in (one, two, one, two))))

    assert [execution.tier for execution in asyncio.run(both())] == [TIER, "reduced", TIER, "reduced"]


@pytest.mark.parametrize("packages", [(), ("numpy",)])
def test_a_worker_is_small(packages: tuple[str, ...]):
    async def measured() -> float:
        async with Pool(Settings(TIER, packages=packages, test_packages=packages), 2) as pool:
            await asyncio.gather(*(pool.run(program(RIGHT, TESTS + f"# {number}")) for number in range(8)))
            return memory(os.getpid(), itself=False) / pool.size

    if os.geteuid() != 0:
        pytest.skip("only root can look at the workers' memory")
    size = asyncio.run(measured())
    print(f"{size:.1f} MiB a worker with {packages or 'the standard library'}")
    assert 1 < size <= 60


def test_the_pool_loads_little():
    code = "import sys, assay.sandbox.pool\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert loaded.isdisjoint({"numpy", "click", "pydantic", "yaml", "jinja2", "duckdb", "assay.cli", "assay.session"})
    assert {name.split(".")[1] for name in loaded if name.startswith("assay.")} == {"errors", "sandbox", "version"}


def test_how_many_workers_there_are():
    assert usable_cores() >= 1
    assert Pool(Settings("none")).size == usable_cores()


def test_numpy_is_seeded_where_solutions_may_import_it() -> None:
    program = Program(
        "import numpy\ndef f(n):\n    print(numpy.random.rand(n).tolist())\n    return n\n", "assert f(3) == 3\n", "f"
    )

    async def twice() -> list[Execution]:
        async with Pool(Settings(packages=("numpy",)), 2) as pool:
            return [await pool.run(program), await pool.run(program)]

    first, second = asyncio.run(twice())
    assert first.passed and second.passed
    assert first.stdout == second.stdout != ""
