"""How a run looks in MLflow: one parent run a plan, one child run a cell or a scenario; names, values, tags.

Pure: from what the run directory holds to texts and numbers. Nothing that is missing becomes a zero: it is left out.
"""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from assay.files import canonical, digest_of
from assay.plan.plan import Cell, Plan
from assay.tracking.client import PARAM_LENGTH, TAG_LENGTH

VERSION = "1"
PLAN, ROOT, MANIFEST, CELL = "assay.plan", "assay.root", "assay.manifest", "assay.cell"
KEY, CONTENT, STORE, GRAIN = "assay.key", "assay.content", "assay.store", "assay.granularity"
PENDING = "judge_pending"
PARENT_KEY = "plan"
_BOUNDS = ("low", "high")


@dataclass
class Unit:
    """One MLflow run to be: `key` names it under its parent; `artifacts` are the texts that go with it."""

    key: str
    name: str
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    dataset: tuple[str, str, str] | None = None
    """Name, digest and source of the data."""

    def digest(self, files: Mapping[str, str], further: Mapping[str, str]) -> str:
        """A digest of all that is logged of it: by this, what is there already is told from what is not."""
        content = [VERSION, self.name, self.tags, self.params, self.metrics, self.dataset, files, further]
        return digest_of([list(item) if isinstance(item, tuple) else item for item in content])[:32]


def safe_name(name: str) -> str:
    """A name that MLflow takes for a metric, a param or a tag: of what it allows, and a plain path."""
    plain = re.sub(r"[^\w.\-: /]", "_", name, flags=re.ASCII)
    parts = [part if part.strip(".") else part.replace(".", "_") for part in plain.split("/") if part]
    return posixpath.join(*parts)[:250] if parts else "_"


def bounded(text: str, length: int) -> str:
    """A text that fits; a longer one is cut, and says so with its digest."""
    if len(text) <= length:
        return text
    tail = f"… ({len(text)} characters, SHA-256 {digest_of(text)[:16]})"
    return text[: length - len(tail)] + tail


def param(value: Any) -> str:
    """A value as a param: texts as they are, the rest as JSON."""
    text = value if isinstance(value, str) else canonical(value).decode()
    return bounded(text, PARAM_LENGTH)


def tag(value: str) -> str:
    """A text as a tag."""
    return bounded(value, TAG_LENGTH)


def numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """Those that are finite numbers, under names that MLflow takes."""
    return {
        safe_name(name): float(value)
        for name, value in values.items()
        if isinstance(value, bool | int | float) and math.isfinite(value)
    }


def cell_name(cell: Cell) -> str:
    """A cell as tables call it."""
    return f"{cell.model} · {cell.prompt} · {cell.task}"


def cell_key(plan: Plan, number: int) -> str:
    """What names a cell within its plan: its number too, since one model under two names gives cells of one id."""
    return f"{number}-{plan.cells[number].id}"


def cell_params(plan: Plan, number: int) -> dict[str, str]:
    """What a cell was: its names, its prompt's version, how it was asked and decoded, how it is scored, its data."""
    cell = plan.cells[number]
    task, prompt, model = plan.tasks[cell.task], plan.prompts[cell.prompt], plan.models[cell.model]
    sampling = cell.sampling
    known = {
        "model": cell.model,
        "model.source": model.model,
        "prompt": cell.prompt,
        "prompt.version": prompt.get("version"),
        "prompt.digest": prompt.get("digest"),
        "task": cell.task,
        "task.source": task.task,
        "task.version": task.version,
        "mode": cell.mode,
        "temperature": sampling.temperature if sampling else None,
        "top_p": sampling.top_p if sampling else None,
        "max_tokens": sampling.max_tokens if sampling else None,
        "stop": list(sampling.stop) if sampling and sampling.stop else None,
        "few_shot": task.few_shot,
        "epochs": task.epochs,
        "seed": plan.seed,
        "samples": len(task.samples),
        "scorer": task.scorer.mode if task.scorer else None,
        "dataset": task.dataset,
    }
    return {name: param(value) for name, value in known.items() if value is not None}


def dataset(plan: Plan, number: int) -> tuple[str, str, str]:
    """A cell's data: its name, digest and where it comes from."""
    task = plan.tasks[plan.cells[number].task]
    return task.task, task.dataset, canonical({"digest": task.dataset, "origin": dict(task.origin)}).decode()


def cell_metrics(row: Mapping[str, Any]) -> dict[str, float]:
    """A line of the results as metrics: scores with their bounds, outcomes as counts and rates, times, tokens, cost."""
    found: dict[str, Any] = {name: row[name] for name in ("planned", "finished", "scored", "tries", "cached")}
    for metric in row["metrics"]:
        found |= _metric(metric)
    found |= {f"outcome.{name}": count for name, count in row["outcomes"].items()}
    found |= {f"outcome_rate.{name}": share for name, share in row["rates"].items()}
    found |= {f"latency_s.{name}": value for name, value in (row["latency_s"] or {}).items()}
    found |= _tokens(row["tokens"])
    found |= {name: row[name] for name in ("tokens_per_s", "requests_per_s", "seconds")}
    if row["cost"]:
        found["cost"] = row["cost"]["amount"]
    return numbers(found)


def _tokens(tokens: Mapping[str, int]) -> dict[str, Any]:
    """Tokens in and out, and of how many answers nobody knows."""
    return {f"tokens.{name}": tokens[name] for name in ("in", "out", "unknown")}


def _metric(metric: Mapping[str, Any]) -> dict[str, Any]:
    name = metric["name"]
    if metric["kind"] == "label":
        return {f"{name}.{label}": count for label, count in metric["counts"].items()} | {f"{name}.n": metric["n"]}
    if not metric["n"]:
        return {f"{name}.n": 0}
    return {name: metric["value"], f"{name}.n": metric["n"], **{f"{name}.{end}": metric[end] for end in _BOUNDS}}


def judged_metrics(label: str, row: Mapping[str, Any]) -> dict[str, float]:
    """A cell's judged numbers by one rubric, under its label such as `tip-v1`."""
    parts = {"composite": row["composite"], "passed": row["passed"], **row["dimensions"]}
    found: dict[str, Any] = {f"{label}.{name}": row[name] for name in ("candidates", "judged", "pending", "unmeasured")}
    for name, interval in parts.items():
        if interval and interval["n"]:
            found[f"{label}.{name}"] = interval["value"]
            found[f"{label}.{name}.n"] = interval["n"]
            found |= {f"{label}.{name}.{end}": interval[end] for end in _BOUNDS}
    return numbers(found)


def judged_tags(judged: Mapping[str, Any] | None, cell: int | None = None) -> dict[str, str]:
    """The rubrics that the answers are judged by, and whether any of them is pending; nothing where there is none."""
    rubrics = judged["rubrics"] if judged else []
    if not rubrics:
        return {}
    rows = [row for rubric in rubrics for row in rubric["cells"] if cell is None or row["cell"] == cell]
    if not rows:
        return {}
    named = {
        "rubric": ", ".join(rubric["rubric"]["label"] for rubric in rubrics),
        "rubric.digest": ", ".join(rubric["rubric"]["digest"] for rubric in rubrics),
        "assay.judges": ", ".join(sorted({judge["judge"] for rubric in rubrics for judge in rubric["judges"]})),
    }
    pending = any(row["pending"] for row in rows)
    return {**{name: tag(text) for name, text in named.items() if text}, PENDING: "true" if pending else "false"}


def parent(
    plan: Plan,
    manifest: Mapping[str, Any],
    results: Mapping[str, Any],
    judged: Mapping[str, Any] | None,
    verdicts: Sequence[Mapping[str, Any]],
) -> Unit:
    """The parent run: what the plan was, what the whole run came to, where it comes from and what was decided on it."""
    unit = Unit(PARENT_KEY, f"{plan.name}-{plan.digest[:8]}")
    known = {
        "plan": plan.digest,
        "name": plan.name,
        "models": list(plan.models),
        "prompts": list(plan.prompts),
        "tasks": list(plan.tasks),
        "seed": plan.seed,
        "attempts": len(plan),
        "cells": len(plan.cells),
        "samples": sum(len(task.samples) for task in plan.tasks.values()),
    }
    unit.params = {name: param(value) for name, value in known.items()}
    unit.metrics = _totals(results)
    unit.tags = {
        PLAN: plan.digest,
        "assay.name": tag(plan.name),
        "assay.kind": manifest["kind"],
        "assay.version": manifest["tool"]["version"],
        "assay.synthetic": str(plan.synthetic).lower(),
        "assay.complete": str(bool(results["complete"])).lower(),
        "mlflow.source.name": "assay",
        "mlflow.source.type": "LOCAL",
        **source_tags(manifest),
        **judged_tags(judged),
        **verdict_tags(verdicts),
    }
    for rubric in judged["rubrics"] if judged else ():
        label = rubric["rubric"]["label"]
        unit.metrics |= numbers({f"{label}.{name}": rubric[name] for name in ("candidates", "pending")})
    return unit


def _totals(results: Mapping[str, Any]) -> dict[str, float]:
    made = results["attempts"]
    found: dict[str, Any] = {"planned": made["planned"], "finished": made["finished"], "seconds": results["seconds"]}
    found |= {f"outcome.{name}": count for name, count in made["outcomes"].items()}
    for name in ("in", "out", "unknown"):
        found[f"tokens.{name}"] = sum(row["tokens"][name] for row in results["cells"])
    costs = [row["cost"] for row in results["cells"] if row["cost"]]
    if len({cost["currency"] for cost in costs}) == 1:
        found["cost"] = sum(cost["amount"] for cost in costs)
    return numbers(found)


def source_tags(manifest: Mapping[str, Any]) -> dict[str, str]:
    """The code revision, where the run was made in a git work tree."""
    source = manifest["source"]
    if not source or not source["revision"]:
        return {}
    dirty = {"assay.source.dirty": str(bool(source["dirty"])).lower()}
    return {"mlflow.source.git.commit": tag(str(source["revision"])), **dirty}


def verdict_tags(verdicts: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """What gates decided: every verdict by gate; and all of them in one tag."""
    found: dict[str, set[str]] = {}
    for verdict in verdicts:
        found.setdefault(str(verdict["gate"]), set()).add(str(verdict["verdict"]))
    if not found:
        return {}
    by_gate = {safe_name(f"verdict.{gate}"): tag(", ".join(sorted(said))) for gate, said in sorted(found.items())}
    return {**by_gate, "verdict": tag(", ".join(sorted({word for said in found.values() for word in said})))}


def times(results: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """When a run began and ended, in milliseconds since 1970; None where nothing was asked."""
    if not results["started"]:
        return None, None
    begun = datetime.fromisoformat(str(results["started"]).replace("Z", "+00:00"))
    if begun.tzinfo is None:
        begun = begun.replace(tzinfo=UTC)
    first = int(begun.timestamp() * 1000)
    return first, first + int(float(results["seconds"] or 0) * 1000)


def judged_rows(judged: Mapping[str, Any] | None, cell: int) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """A cell's line by each rubric, with the rubric's label."""
    for rubric in judged["rubrics"] if judged else ():
        yield from ((rubric["rubric"]["label"], row) for row in rubric["cells"] if row["cell"] == cell)
