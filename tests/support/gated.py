"""Evidence and policies for tests of gates: sound by default, with every hole to be had by one argument."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

METRIC = {"name": "accuracy", "kind": "pass"}
GRADE = {"name": "grade", "kind": "measure", "low": 0.0, "high": 1.0}


def policy(margin: float = 0.01, **more: Any) -> dict[str, Any]:
    """A policy with one margin for every task."""
    defaults = {"margin": margin, **more.pop("defaults", {})}
    return {"schema": "assay.policy.v1", "defaults": defaults, **more}


def cell(scores: Sequence[Any], task: str = "t", metric: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A cell with one attempt at each sample `s0`, `s1`, …; `more` replaces any part of it or of its attempts."""
    metric = metric or METRIC
    n = len(scores)
    attempts: dict[str, Any] = {
        "position": list(range(n)),
        "epoch": [0] * n,
        "outcome": ["ok"] * n,
        "values": {metric["name"]: list(scores)},
        "tokens": [10] * n,
        "latency": [0.5] * n,
    }
    attempts |= {key: more.pop(key) for key in list(more) if key in attempts}
    samples = [f"s{number}" for number in range(n)]
    names = {"model": "m", "prompt": "p@1", "task": task}
    return {**names, "samples": samples, "planned": n, "attempts": attempts, "metrics": [dict(metric)], **more}


def evidence(*cells: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A sealed run of these cells."""
    head = {"schema": "assay.evidence.v1", "run": "r", "state": "sealed", "manifest": "run-0123456789abcdef"}
    return {**head, "cells": list(cells), **more}


def scored(right: int, of: int, **more: Any) -> dict[str, Any]:
    """A run of one cell whose first `right` of `of` samples are right."""
    return evidence(cell([number < right for number in range(of)], **more))


def flipped(n: int, lost: int = 0, won: int = 0, right: int | None = None, **more: Any) -> tuple[Any, Any]:
    """Baseline and candidate: `right` (by default three quarters) of the baseline's n samples are right, `lost` of
    those are wrong for the candidate, and `won` of the others right."""
    right = 3 * n // 4 if right is None else right
    base = [number < right for number in range(n)]
    other = [number >= lost if number < right else number < right + won for number in range(n)]
    return evidence(cell(base, **more)), evidence(cell(other, **more))
