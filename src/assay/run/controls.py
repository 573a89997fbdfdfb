"""How executions were confined and whether reference solutions passed: the fold of `controls/*.jsonl`.

A reference solution that fails says that the harness, not the model, is wrong: whatever was scored beside it is
anomalous. Those known to fail their own published tests are named in their sample and counted apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assay.files import canonical
from assay.run import journal
from assay.run.folder import RunFolder


def controls(folder: RunFolder, scorers: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """For each task that was executed by its scorer (task → scorer id) what `_Fold.to_json` says."""
    folds: dict[str, _Fold] = {}
    for _, _, record in journal.read(folder.controls):
        if record["scorer"] == scorers.get(record["task"]):
            folds.setdefault(record["task"], _Fold()).add(record)
    return {task: fold.to_json() for task, fold in sorted(folds.items())}


class _Fold:
    """One task's sandboxes and reference solutions, over all sessions."""

    def __init__(self) -> None:
        self._sandboxes: dict[bytes, Mapping[str, Any]] = {}
        self._passed: set[str] = set()
        self._failed: dict[str, str] = {}
        self._broken: dict[str, str] = {}

    def add(self, record: Mapping[str, Any]) -> None:
        """Count one line: a sandbox that was set up, or a reference solution that was executed."""
        if "sandbox" in record:
            self._sandboxes[canonical(record["sandbox"])] = record["sandbox"]
        elif record["passed"]:
            self._passed.add(record["sample"])
        elif record["known_broken"]:
            self._broken[record["sample"]] = record["known_broken"]
        else:
            self._failed[record["sample"]] = record["execution"]["status"]

    def to_json(self) -> dict[str, Any]:
        """Sandboxes, and the control: one that failed in any session has failed."""
        passed = self._passed - self._failed.keys()
        return {
            "sandboxes": [self._sandboxes[key] for key in sorted(self._sandboxes)],
            "control": {
                "executed": len(passed) + len(self._failed) + len(self._broken),
                "passed": len(passed),
                "failed": dict(sorted(self._failed.items())),
                "known_broken": dict(sorted(self._broken.items())),
            },
        }
