"""The figures, one function each: what is run, how often, and what is read off."""

from __future__ import annotations

import shutil
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import prompts
from process import Cost, Endpoint, NotDoneError, measure, stub
from tools import HOME, Assay, Bare, Inspect, LmEval, Tool

WORK = HOME / "work"
Costs = dict[str, list[Cost]]


@dataclass(frozen=True, slots=True)
class Options:
    """How much to run: `rounds` of everything, `attempts` a small run, `many` a large one; which tools."""

    rounds: int
    attempts: int
    more: int
    many: int
    peers: bool
    core: bool


def say(text: str) -> None:
    """Progress, for the person who waits."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def contenders(options: Options) -> list[Tool]:
    """The tools side by side, installed."""
    tools: list[Tool] = [Bare()]
    tools += [Assay()] if options.core else []
    tools += [LmEval(), Inspect()] if options.peers else []
    for tool in tools:
        tool.install()
    return tools


def run_once(tool: Tool, server: Endpoint, count: int, *, keep: bool = False) -> Cost:
    """One whole command over `count` prompts in a fresh folder. Raises NotDoneError where it did less."""
    folder = WORK / f"{tool.name}-{count}"
    shutil.rmtree(folder, ignore_errors=True)
    before = server.stats()["requests"]
    file = prompts.write(WORK / f"prompts-{count}.jsonl", count)
    cost = measure(tool.command(server.url, file, folder), folder=folder, env=tool.env(folder))
    asked = server.stats()["requests"] - before
    if asked != count:
        raise NotDoneError(f"{tool.name} sent {asked} requests for {count} prompts")
    score = tool.score(folder)
    if not 0.4 < score < 0.6 and tool.name != Bare.name:
        raise NotDoneError(f"{tool.name} reports {score}, where a coin's odds are right")
    say(f"{tool.name}: {count} attempts, {cost}")
    if not keep:
        shutil.rmtree(folder)
    return cost


def interleaved(tools: Iterable[Tool], rounds: int, once: Callable[[Tool], Cost]) -> Costs:
    """Every tool once a round, so that what else the machine does hits all alike."""
    costs: Costs = defaultdict(list)
    for tool in [tool for _ in range(rounds) for tool in tools]:
        costs[tool.name].append(once(tool))
    return costs


def summary(costs: Costs) -> dict[str, Any]:
    """Medians by tool, and every single measurement."""
    return {name: middle(each) | {"rounds": [cost.to_json() for cost in each]} for name, each in costs.items()}


def middle(costs: list[Cost]) -> dict[str, Any]:
    """The median of each of the three."""
    parts = ("wall_s", "cpu_s", "peak_mb")
    return {part: round(median(getattr(cost, part) for cost in costs), 4) for part in parts}


def whole(options: Options) -> dict[str, Any]:
    """The whole command: start to exit, every attempt scored and on disk."""
    with stub() as server:
        tools = contenders(options)
        costs = interleaved(tools, options.rounds, lambda tool: run_once(tool, server, options.attempts))
    return {"attempts": options.attempts, "tools": summary(costs)}


def further(options: Options) -> dict[str, Any]:
    """CPU a further attempt, in milliseconds: the slope between a small and a larger run."""
    few, more = options.attempts, options.more
    with stub() as server:
        tools = contenders(options)
        small = interleaved(tools, options.rounds, lambda tool: run_once(tool, server, few))
        large = interleaved(tools, max(1, options.rounds // 2), lambda tool: run_once(tool, server, more))
    rise = {name: (middle(large[name])["cpu_s"] - middle(small[name])["cpu_s"]) / (more - few) for name in small}
    slopes = {name: round(value * 1000, 4) for name, value in rise.items()}
    return {"attempts": [few, more], "cpu_ms": slopes, "small": summary(small), "large": summary(large)}


def memory(options: Options) -> dict[str, Any]:
    """Peak memory of a small and a very large run, and how long a finished very large run takes to resume."""
    tool = Assay()
    with stub() as server:
        small = [run_once(tool, server, 1000) for _ in range(options.rounds)]
        large = run_once(tool, server, options.many, keep=True)
        again = [resume(tool, server, options.many) for _ in range(options.rounds)]
    shutil.rmtree(WORK / f"{tool.name}-{options.many}")
    return {
        "attempts": [1000, options.many],
        "small": middle(small),
        "large": middle([large]),
        "grows_mb": round(large.peak_mb - middle(small)["peak_mb"], 2),
        "resume": summary({tool.name: again})[tool.name],
    }


def resume(tool: Tool, server: Endpoint, count: int) -> Cost:
    """Ask for a finished run again. Raises NotDoneError where anything was asked of the model."""
    folder = WORK / f"{tool.name}-{count}"
    before = server.stats()["requests"]
    file = WORK / f"prompts-{count}.jsonl"
    cost = measure(tool.command(server.url, file, folder), folder=folder, env=tool.env(folder))
    if server.stats()["requests"] != before:
        raise NotDoneError("resuming a finished run asked the model again")
    say(f"resume of {count}: {cost}")
    return cost


def start(options: Options) -> dict[str, Any]:
    """What it costs to say one's version or to help, in CPU seconds."""
    commands = dict(_starts(options))
    costs: Costs = defaultdict(list)
    for name in [name for _ in range(2 * options.rounds + 1) for name in commands]:
        costs[name].append(measure(commands[name], folder=WORK / "start"))
    return summary(costs)


def _starts(options: Options) -> Iterator[tuple[str, list[str | Path]]]:
    yield "python -c pass", [Bare().python, "-c", "pass"]
    if options.core:
        yield "assay --version", [Assay().python.with_name("assay"), "--version"]
        yield "assay --help", [Assay().python.with_name("assay"), "--help"]
    if options.peers:
        for tool in (LmEval(), Inspect()):
            tool.install()
        yield "lm_eval --help", [LmEval().python.with_name("lm_eval"), "--help"]
        yield "inspect --version", [Inspect().python.with_name("inspect"), "--version"]
