"""Judging and ranking in the large: 10,000 candidates handed out and taken in, a board over a million scored attempts.

What is judged and ranked comes from the stub; how long that took is not measured.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import figures
import prompts
from process import Cost, measure, stub
from tools import Assay

TIPS: dict[str, Any] = {"prompts": ["tips-plain", "tips-mentor", "tips-few-shot"], "epochs": 139}
"""24 scenarios × 3 prompts × 139 epochs: 10,008 candidates."""

CELLS, QUESTIONS, EPOCHS = 10, 1_000, 100

Command = Sequence[str | Path]


def figure(options: figures.Options) -> dict[str, Any]:
    """Seconds of the whole commands `judge export`, `judge apply` and `board`, and of `assay --version` beside them."""
    work = figures.WORK / "judging"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    command = Path(Assay().python).with_name("assay")
    with stub() as server:
        judged = _run(command, work / "tips", server.url, tasks=["tips"], **TIPS)
        asked = prompts.write(work / "prompts.jsonl", QUESTIONS)
        task = {"task": f"file:{asked}", "scoring_mode": "exact_match", "max_tokens": 16}
        names = [f"model-{number}" for number in range(CELLS)]
        ranked = _run(command, work / "many", server.url, names, tasks=[task], epochs=EPOCHS)
    found = _judging(options, command, judged)
    found["board"] = _repeat(options, lambda: [command, "board", ranked, "--json"], work / "log")
    found["start"] = _repeat(options, lambda: [command, "--version"], work / "log")
    shutil.rmtree(work)
    return {"candidates": 72 * TIPS["epochs"], "attempts": CELLS * QUESTIONS * EPOCHS, **found}


def _run(command: Path, folder: Path, url: str, names: Sequence[str] = ("stub",), **parts: Any) -> Path:
    """A sealed run of what the stub answers. JSON is YAML."""
    models = [{"model": f"openai:stub@{url}", "name": name, "api": "chat"} for name in names]
    spec = {"name": folder.name, "models": models, "concurrency": {"limit": 64, "start": 64}, "cache": "off", **parts}
    folder.mkdir()
    (folder / "spec.yaml").write_text(json.dumps(spec))
    cost = measure([command, "eval", folder / "spec.yaml", "--out", folder / "run"], folder=folder)
    figures.say(f"a run to work on, {folder.name}: {cost}")
    return folder / "run"


def _judging(options: figures.Options, command: Path, run: Path) -> dict[str, Any]:
    """Export for a judge of each round, and take in what they say."""
    out, back = [], []
    for number in range(options.rounds):
        file = run.parent / f"queue-{number}.json"
        name = f"judge-{number}"
        export: Command = [command, "judge", "export", run, "--rubric", "tip-v1", "--judge", name, "--out", file]
        out.append(measure([*export, "--seed", str(number)], folder=run.parent / "log", pin=False))
        _fill(file)
        apply: Command = [command, "judge", "apply", file, "--run", run, "--judge", name]
        back.append(measure(apply, folder=run.parent / "log", pin=False))
        figures.say(f"export {out[-1]}; apply {back[-1]}")
    return {"export": _middle(out), "apply": _middle(back)}


def _fill(file: Path) -> None:
    """Some score for everything."""
    queue = json.loads(file.read_text())
    for number, row in enumerate(queue["rows"]):
        row["scores"] = {name: 1 + (number + place) % 5 for place, name in enumerate(row["scores"])}
    file.write_text(json.dumps(queue))


def _repeat(options: figures.Options, command: Callable[[], Command], log: Path) -> dict[str, Any]:
    costs = [measure(command(), folder=log, pin=False) for _ in range(options.rounds)]
    figures.say(f"{command()[1]}: {costs[-1]}")
    return _middle(costs)


def _middle(costs: list[Cost]) -> dict[str, Any]:
    parts = {part: round(median(getattr(cost, part) for cost in costs), 3) for part in ("wall_s", "cpu_s", "peak_mb")}
    return parts | {"rounds": [cost.to_json() for cost in costs]}
