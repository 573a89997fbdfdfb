"""Tracking in MLflow: 48 cells with their artifacts to a local server, and an evaluation with and without it.

The server is the one that `assay up mlflow` starts. Rounds are interleaved. What counts for an evaluation is the time
until its run is sealed: logging begins after that, and its own time is given beside it.
"""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import figures
import prompts
from process import Cost, NotDoneError, measure, stub
from tools import Assay

MODELS, PROMPTS, QUESTIONS = 16, 3, 40
CELLS = MODELS * PROMPTS
_PROMPT = "---\nid: p{number}\nversion: 1\ndescription: A prompt.\n---\n{head}{{{{ input }}}}\n"


def figure(options: figures.Options) -> dict[str, Any]:
    """Seconds to log 48 cells, to find them unchanged, and to a run's seal with and without `--track`."""
    work = figures.WORK / "tracking"
    shutil.rmtree(work, ignore_errors=True)
    env = {"ASSAY_HOME": str(work / "home")}
    command = Path(Assay().python).with_name("assay")
    with stub("--latency", "0.02") as server:
        spec = _spec(work, server.url)
        measure([command, "up", "mlflow", "--dir", work / "mlflow"], folder=work / "up", env=env, pin=False)
        try:
            uri = json.loads((work / "home" / "services" / "mlflow.json").read_text())["uri"]
            found = _sides(options, command, spec, uri, work, env)
            return {**found, **_logging(options, command, uri, work, env)}
        finally:
            measure([command, "down"], folder=work / "down", env=env, pin=False)


def _spec(work: Path, url: str) -> Path:
    """16 models by 3 prompts over 40 questions. JSON is YAML."""
    work.mkdir(parents=True)
    files = []
    for number in range(PROMPTS):
        files.append(work / f"p{number}.md")
        files[-1].write_text(_PROMPT.format(number=number, head="Please. " * number))
    asked = prompts.write(work / "prompts.jsonl", QUESTIONS)
    fields = {"input": "input", "target": "target", "id": "id"}
    spec = {
        "name": "tracked",
        "models": [{"model": f"openai:stub@{url}", "name": f"model-{number}"} for number in range(MODELS)],
        "prompts": [str(path) for path in files],
        "tasks": [{"task": f"file:{asked}", "fields": fields, "scoring_mode": "exact_match", "max_tokens": 40}],
        "cache": "off",
    }
    path = work / "spec.yaml"
    path.write_text(json.dumps(spec))
    return path


def _sides(
    options: figures.Options, command: Path, spec: Path, uri: str, work: Path, env: Mapping[str, str]
) -> dict[str, Any]:
    """The same evaluation without tracking, with it, and with a server that is not there."""
    further: dict[str, list[str]] = {
        "without": [],
        "with": ["--track", uri],
        "away": ["--track", "http://127.0.0.1:9"],
    }
    sealed: dict[str, list[float]] = {name: [] for name in further}
    whole: dict[str, list[float]] = {name: [] for name in further}
    for number in range(options.rounds):
        for name, more in further.items():
            out = work / "runs" / f"{name}-{number}"
            until, cost = _timed([command, "eval", spec, "--out", out, *more], out, work / "log", env)
            sealed[name].append(until)
            whole[name].append(cost.wall_s)
        figures.say(f"sealed after {', '.join(f'{name} {each[-1]:.2f} s' for name, each in sealed.items())}")
    return {
        "eval": {
            name: {
                "sealed_s": round(median(sealed[name]), 3),
                "whole_s": round(median(whole[name]), 3),
                "rounds": [round(value, 3) for value in sealed[name]],
            }
            for name in further
        }
    }


def _timed(command: list[str | Path], run: Path, log: Path, env: Mapping[str, str]) -> tuple[float, Cost]:
    """Seconds until the run's seal is there, and the cost of the whole command."""
    found: list[float] = []
    over = threading.Event()

    def watch() -> None:
        while not over.is_set() and not (run / "manifest.json").exists():
            time.sleep(0.005)
        found.append(time.perf_counter() - begun)

    begun = time.perf_counter()
    thread = threading.Thread(target=watch)
    thread.start()
    try:
        cost = measure(command, folder=log, env=env, pin=False)
    finally:
        over.set()
        thread.join()
    if not (run / "manifest.json").exists():
        raise NotDoneError(f"{run}: the run is not sealed")
    return found[0], cost


def _logging(
    options: figures.Options, command: Path, uri: str, work: Path, env: Mapping[str, str]
) -> dict[str, Any]:  # fmt: skip
    """The whole command that logs a run of 48 cells, and the same again."""
    first: list[Cost] = []
    again: list[Cost] = []
    for number in range(options.rounds):
        run = work / "runs" / f"without-{number}"
        given: list[str | Path] = [command, "track", run, "--uri", uri, "--experiment", f"round {number}", "--json"]
        first.append(measure(given, folder=work / "log", env=env, pin=False))
        _check(work / "log" / "log.txt", "created", run)
        again.append(measure(given, folder=work / "log", env=env, pin=False))
        _check(work / "log" / "log.txt", "unchanged", run)
        figures.say(f"{CELLS} cells logged: {first[-1]}; again: {again[-1]}")
    return {
        "cells": CELLS,
        "attempts": CELLS * QUESTIONS,
        "track": {"wall_s": round(median(cost.wall_s for cost in first), 3), "rounds": _rounds(first)},
        "again": {"wall_s": round(median(cost.wall_s for cost in again), 3), "rounds": _rounds(again)},
    }


def _check(log: Path, what: str, run: Path) -> None:
    """Raises NotDoneError where not every cell was logged, or found, with its artifacts."""
    text = log.read_text()
    told = json.loads(text[text.index("{") : text.rindex("}") + 1])["runs"][0]
    if told[what] != CELLS + 1 or told["store"] != "artifacts" or told["notes"]:
        raise NotDoneError(f"{run}: {told}")


def _rounds(costs: list[Cost]) -> list[dict[str, float]]:
    return [cost.to_json() for cost in costs]
