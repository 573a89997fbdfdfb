"""A made-up run for the tests of the report: models × prompts × tasks with every kind of outcome and metric.

The results are folded from the entries, so that what the page says can be checked against them.
"""

from __future__ import annotations

import hashlib
import math
import random
from dataclasses import dataclass, field
from typing import Any

from assay.report.entry import Entry, outcome_of, primary_names, verdict

HOSTILE = (
    "</script><script>window.owned=1</script><img src=x onerror='window.owned=2'>"
    "<svg onload=window.owned=3> <!-- <script> \u2028\u2029 \u202egnp.exe ]]> {{7*7}} &lt;b&gt; \u0000"
)
GOOD_PROMPTS = {"default@1": "Answer the question.", "terse@2": "Answer with one word."}
TASKS = {"piqa": 0.5, "boolq": 0.5, "gsm8k": None, "humaneval": None}
ENDS = ("failed", "failed", "error", "compile_error", "timeout", "crashed", "no_tests_executed")
EDGES = [10 ** (step / 10) for step in range(-30, 20)]


@dataclass
class MadeUp:
    """What `assay.report` is given."""

    results: dict[str, Any]
    plan: dict[str, Any]
    entries: list[Entry]
    rendered: list[str] = field(default_factory=list)

    def render(self, entry: Entry) -> dict[str, Any]:
        self.rendered.append(entry.attempt["attempt"])
        return prompt_of(entry, self.results["cells"][entry.attempt["cell"]])


def made_up(
    *,
    models: tuple[str, ...] = ("smollm2-135m",),
    prompts: tuple[str, ...] = ("default@1", "terse@2"),
    tasks: tuple[str, ...] = ("piqa", "boolq", "gsm8k"),
    samples: int = 40,
    seed: int = 7,
    bad: float = 0.06,
    hostile: bool = False,
    unfinished: int = 0,
    synthetic: bool = False,
    given: bool = False,
) -> MadeUp:
    """A run of len(models) × len(prompts) × len(tasks) cells with `samples` attempts each."""
    draw = random.Random(seed)
    names = [(model, prompt, task) for model in models for prompt in prompts for task in tasks]
    entries, cells = [], []
    for number, (model, prompt, task) in enumerate(names):
        ability = draw.uniform(0.35, 0.8)
        own = [attempt(draw, number, index, task, ability, bad, hostile) for index in range(samples - unfinished)]
        for entry in own if given else ():
            as_given(entry.attempt)
        entries += own
        cells.append(cell(number, model, prompt, task, own, samples))
    for index, entry in enumerate(entries):
        entry.attempt["index"] = index  # type: ignore[index]
    return MadeUp(results(cells, samples * len(names), synthetic), plan(models, prompts, tasks), entries)


def as_given(line) -> None:
    """The line of a completion that a file gave: nobody here knows how long it took, nor its tokens."""
    line |= {"latency_s": None, "seed": None, "tries": 0, "demos": []}
    for key in ("tokens_in", "tokens_out"):
        line.get("completion", {}).pop(key, None)


def attempt(draw, cell, index, task, ability, bad, hostile) -> Entry:
    outcome = draw.choice(["truncated", "truncated", "empty", "refused", "infra_error", "timeout", "scorer_error"])
    outcome = outcome if draw.random() < bad else "ok"
    right = draw.random() < (ability if outcome == "ok" else 0.1)
    line: dict[str, Any] = {
        "attempt": hashlib.sha256(f"{cell}/{index}".encode()).hexdigest()[:16],
        "index": 0,
        "cell": cell,
        "sample": f"{task}/{index}",
        "epoch": 0,
        "seed": draw.getrandbits(63),
        "outcome": outcome,
        "latency_s": round(draw.lognormvariate(-1.4, 0.5), 4),
        "tries": 1 + (draw.random() < 0.04),
        "demos": [f"{task}/{900 + k}" for k in range(3)] if task != "piqa" else [],
    }
    if outcome in ("infra_error", "timeout"):
        line["error"] = {"type": "ServerError", "message": "500 from the server: worker died"}
        return Entry(line)
    line["completion"] = completion(draw, task, outcome, right)
    if hostile and index == 0:
        line |= {
            "sample": f"{task}/0 {HOSTILE}",
            "completion": {"text": HOSTILE, "finish": "stop"},
            "outcome": "ok",
        }
    if outcome == "scorer_error":
        line["outcome"] = "ok"  # the journal was written before the scorer failed
        return Entry(line, [{"scorer": "numeric", "revision": "1", "error": "no number in the target"}])
    return Entry(line, [score(task, right, line["completion"], index)])


def completion(draw, task, outcome, right) -> dict[str, Any]:
    if task == "piqa":
        gaps = sorted((-draw.uniform(20, 40) for _ in range(2)), reverse=right)
        return {"text": "", "tokens_in": 61, "choices": [[round(gap, 4), 14] for gap in gaps]}
    text = {
        "boolq": "Yes" if right else "No",
        "gsm8k": f"She sells 16 − 3 − 4 = 9 eggs and earns 9 × 2 = $18.\n#### {18 if right else 26}",
        "humaneval": f"    return sorted(values{'' if right else '[1:]'})\n",
    }[task]
    text = {"empty": "", "refused": "I cannot help with that.", "truncated": text[: len(text) // 2]}.get(outcome, text)
    finish = {"truncated": "length", "refused": "refusal"}.get(outcome, "stop")
    return {"text": text, "finish": finish, "tokens_in": 310, "tokens_out": len(text) // 4 + 1}


def score(task, right, given, index) -> dict[str, Any]:
    if task == "piqa":
        return {
            "scorer": "multiple_choice",
            "revision": "1",
            "metrics": {"accuracy": right, "accuracy_per_token": right},
            "why": f"choice 1 has {given.get('choices', [[0]])[0][0]}, choice 2 less",
        }
    if task == "boolq":
        return {
            "scorer": "normalized_exact_match",
            "revision": "1",
            "metrics": {"exact": right},
            "extracted": given["text"],
            "why": "“yes” is expected" + (HOSTILE if given["text"] == HOSTILE else ""),
        }
    if task == "humaneval":
        return code_score(right, given["text"], index)
    return {
        "scorer": "numeric",
        "revision": "2",
        "metrics": {
            "correct": right,
            "extracted": "####" in given["text"],
            "error": 0.0 if right else 8.0,
            "form": "####",
        },
        "extracted": "18" if right else None,
        "why": "18 = 18" if right else "no number after ####",
    }


def code_score(right, text, index) -> dict[str, Any]:
    end = "passed" if right else ENDS[index % len(ENDS)]
    failed = {"kind": "AssertionError", "message": "", "line": 7, "source": "assert f([2, 1]) == [1, 2]", "got": "[1]"}
    said = {"failure": failed, "stdout": "Ordnung \x1b[31m", "stderr": HOSTILE} if end == "failed" else {}
    if text == HOSTILE:
        said = {
            "failure": dict.fromkeys(("kind", "message", "source", "got"), HOSTILE) | {"line": 1},
            "stdout": HOSTILE,
        }
    return {
        "scorer": "pass_at_1",
        "revision": "2",
        "metrics": {"pass_at_1": right, "compiled": end != "compile_error", "timed_out": end == "timeout"},
        "extracted": text,
        "why": "passed 3 tests" if right else "`assert f([2, 1]) == [1, 2]`, line 7: got [1]; 2 of 3 tests passed",
        "execution": {
            "status": end,
            "tests_passed": 3 if right else 2,
            "tests_run": 3,
            "tests_total": 3,
            "cpu_s": 0.0021,
            "wall_s": 0.0044,
            "memory_mb": 12.5,
            "signal": "SIGSEGV" if end == "crashed" else None,
            "tier": "full",
            "forgeable": end == "error",
            "program": "c0ffee00c0ffee00",
            "strategy": "fenced",
            "form": "completion",
            "found": True,
            **said,
        },
    }


def prompt_of(entry: Entry, cell: dict[str, Any]) -> dict[str, Any]:
    sample = entry.attempt["sample"]
    if cell["task"] == "piqa":
        return {
            "text": f"Question: How do I keep a chopping board from slipping? ({sample})\nAnswer:",
            "choices": [" Put a damp cloth under it.", " Put a dry glass plate under it."],
            "gold": [0],
            "target": "Put a damp cloth under it.",
        }
    question = {
        "boolq": "A tide pool is a pool of sea water on a rocky shore.\n\nIs a tide pool by the sea?",
        "humaneval": 'def f(values):\n    """Sort."""\n',
        "gsm8k": "Ann has 16 eggs. She eats 3, bakes with 4 and sells the rest at $2. What does she earn?",
    }[cell["task"]]
    turns = [{"role": "system", "content": GOOD_PROMPTS.get(cell["prompt"], "Answer.")}]
    for demo in entry.attempt["demos"]:
        turns += [
            {"role": "user", "content": f"A demonstration, {demo}: is water wet?"},
            {"role": "assistant", "content": "Yes"},
        ]
    return {"messages": [*turns, {"role": "user", "content": f"{question} ({sample})"}], "target": "yes"}


def wilson(right: int, n: int) -> tuple[float, float]:
    z, p = 1.959964, right / n
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


def metric(name: str, values: list[Any], primary: bool) -> dict[str, Any]:
    head = {
        "name": name,
        "primary": primary,
        "n": len(values),
        "clusters": len(values),
        "help": f"what {name} is",
    }
    if values and isinstance(values[0], str):
        return head | {
            "kind": "label",
            "counts": {label: values.count(label) for label in sorted(set(values))},
        }
    mean = sum(values) / len(values) if values else None
    more = {"value": mean, "low": None, "high": None, "confidence": 0.95, "higher_is_better": name != "error"}
    if not values or not isinstance(values[0], bool):
        return head | more | {"kind": "measure", "method": "bootstrap"}
    low, high = wilson(sum(values), len(values))
    return head | more | {"kind": "pass", "low": low, "high": high, "method": "wilson"}


def cell(number, model, prompt, task, own: list[Entry], planned: int) -> dict[str, Any]:
    outcomes: dict[str, int] = {}
    for entry in own:
        outcomes[outcome_of(entry)] = outcomes.get(outcome_of(entry), 0) + 1
    scored = [entry for entry in own if entry.scores and "metrics" in entry.scores[0]]
    names = list(scored[0].scores[0]["metrics"]) if scored else []
    values = {name: [entry.scores[0]["metrics"][name] for entry in scored] for name in names}
    times = sorted(entry.attempt["latency_s"] for entry in own if entry.attempt["latency_s"] is not None)
    tokens = [entry.attempt.get("completion", {}) for entry in own]
    return {
        "cell": number,
        "model": model,
        "prompt": prompt,
        "task": task,
        "mode": "chat" if times or not own else "given",
        "planned": planned,
        "finished": len(own),
        "scored": len(scored),
        "outcomes": outcomes,
        "rates": {name: number / len(own) for name, number in outcomes.items()},
        "one_token": 0,
        "metrics": [metric(name, found, place == 0) for place, (name, found) in enumerate(values.items())],
        "executions": executions(scored) if task == "humaneval" else None,
        "chance": TASKS[task],
        "tokens": {
            "in": sum(each.get("tokens_in", 0) for each in tokens),
            "out": sum(each.get("tokens_out", 0) for each in tokens),
            "unknown": sum("tokens_in" not in each for each in tokens),
        },
        "tokens_per_s": 88.123,
        "requests_per_s": 9.25,
        "latency_s": latencies(times) if times else None,
        "latency_histogram": histogram(times),
        "tries": sum(entry.attempt["tries"] for entry in own),
        "cached": 0,
        "seconds": 10.1,
        "cost": {"amount": 0.0123, "currency": "USD"} if "gpt" in model else None,
    }


def executions(scored: list[Entry]) -> dict[str, Any] | None:
    found = [entry.scores[0]["execution"] for entry in scored]
    statuses = [each["status"] for each in found]
    return found and {
        "statuses": {name: statuses.count(name) for name in sorted(set(statuses))},
        "forgeable": sum(each["forgeable"] for each in found),
        "extraction": {"fenced": {"tried": len(found), "found": len(found)}},
    }


def executed() -> dict[str, Any]:
    """What the results say of one task's sandbox and control."""
    sandbox = {
        "tier": "full",
        "profile": "strict",
        "landlock_abi": 7,
        "filter": "f1" * 32,
        "kernel": "6.18.1",
        "machine": "x86_64",
        "uid": 1_879_061_667,
        "scale": 0.91,
        "packages": [],
        "test_packages": ["numpy"],
        "workers": 2,
    }
    control = {"executed": 20, "passed": 20, "failed": {}, "known_broken": {}}
    return {"sandboxes": [sandbox], "control": control}


def latencies(times: list[float]) -> dict[str, float]:
    at = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
    found = {name: times[min(len(times) - 1, int(share * len(times)))] for name, share in at.items()}
    return {"mean": sum(times) / len(times), **found, "max": times[-1]}


def histogram(times: list[float]) -> list[list[float]]:
    counted, low = [], 0.0
    for edge in EDGES:
        counted.append([edge, sum(low < time <= edge for time in times)])
        low = edge
    filled = [index for index, (_, number) in enumerate(counted) if number]
    return counted[filled[0] : filled[-1] + 1] if filled else []


def results(cells: list[dict[str, Any]], planned: int, synthetic: bool) -> dict[str, Any]:
    outcomes: dict[str, int] = {}
    for each in cells:
        for name, number in each["outcomes"].items():
            outcomes[name] = outcomes.get(name, 0) + number
    finished = sum(each["finished"] for each in cells)
    draw = random.Random(1)
    pace, done = [], 0.0
    for step in range(60):
        done += draw.uniform(0.5, 1.5) * min(1.0, (step + 1) / 10)
        pace.append(done)
    return {
        "schema": "assay.results.v1",
        "executed": {"humaneval": executed()} if any(each["task"] == "humaneval" for each in cells) else {},
        "anomalies": [],
        "name": "quickstart",
        "plan": "5e" * 32,
        "complete": finished == planned,
        "synthetic": synthetic,
        "started": "2031-05-04T10:11:12Z",
        "seconds": 72.3,
        "attempts": {"planned": planned, "finished": finished, "outcomes": outcomes},
        "cells": cells,
        "throughput": [
            [72.3 * (step + 1) / 60, round(finished * level / done), round(5000 * level / done)]
            for step, level in enumerate(pace)
        ],
        "flags": [
            {
                "level": "warning",
                "code": "truncated_high",
                "message": "5.0% of the answers were cut at the token limit",
                "cell": 1,
            },
            {
                "level": "info",
                "code": "small_n",
                "message": "40 samples tell differences of 30 points or more",
                "cell": None,
            },
        ],
    }


def plan(models, prompts, tasks) -> dict[str, Any]:
    sampling = {"temperature": 0.0, "top_p": 1.0, "max_tokens": 256, "stop": []}
    names = [(model, prompt, task) for model in models for prompt in prompts for task in tasks]
    return {
        "schema": "assay.plan.v1",
        "name": "quickstart",
        "digest": "5e" * 32,
        "seed": 42,
        "spec": {"name": "quickstart", "seed": 42, "models": [{"model": name} for name in models]},
        "models": {name: {"name": name, "identity": {"backend": "x", "digest": "c0" * 32}} for name in models},
        "prompts": {name: prompt_plan(name) for name in prompts},
        "tasks": {task: task_plan(task) for task in tasks},
        "cells": [
            {"model": model, "task": task, "prompt": prompt, "mode": mode, "sampling": sampling}
            for model, prompt, task in names
            for mode in ["choices" if task == "piqa" else "chat"]
        ],
    }


def prompt_plan(name: str) -> dict[str, Any]:
    return {
        "id": name,
        "digest": "ab" * 32,
        "system": GOOD_PROMPTS.get(name),
        "user": "Question:\n{{ input }}",
    }


def task_plan(task: str) -> dict[str, Any]:
    origin = {
        "where": "a wheel",
        "sha256": "d1" * 32,
        "origin": f"the authors of {task}",
        "licence": "CC BY 4.0",
    }
    return {
        "name": task,
        "task": task,
        "version": "1",
        "dataset": "e2" * 32,
        "origin": origin,
        "seed": 42,
        "few_shot": 3,
        "demos": [f"{task}/{900 + k}" for k in range(3)],
        "samples": [f"{task}/{k}" for k in range(40)],
        "excluded": [{"id": f"{task}/903", "reason": "equals a demonstration"}],
    }


def test_the_made_up_results_agree_with_their_entries():
    run = made_up(samples=30)
    primaries = primary_names(run.results)
    for each in run.results["cells"]:
        own = [entry for entry in run.entries if entry.attempt["cell"] == each["cell"]]
        right = sum(verdict(entry, primaries[each["cell"]])[0] == "right" for entry in own)
        assert each["finished"] == len(own) == sum(each["outcomes"].values())
        assert each["metrics"][0]["value"] == right / each["scored"]
