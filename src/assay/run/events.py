"""The run's progress as JSON lines: `{ts, event, fields}`, for `--follow`, the API and the pages.

Events tell what happened; no number in a result is computed from them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from assay.errors import MachineError
from assay.files import canonical


class EventLog:
    """Appends events; a lost tail after a power cut is acceptable here, so nothing is synced."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise MachineError(f"cannot write {path}", layer="events", errno=error.errno) from error

    def emit(self, event: str, **fields: Any) -> None:
        """Write one event; a full disk is for the journal to report, so it passes silently here."""
        line = canonical({"ts": round(time.time(), 3), "event": event, "fields": fields}) + b"\n"
        try:
            os.write(self._handle, line)
        except OSError:
            return

    def close(self) -> None:
        """Close the file; safe to call twice."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def next_log(folder: Path, sealed: frozenset[str]) -> Path:
    """Where to log: `events.jsonl`, or the next `events.N.jsonl` once that one is sealed."""
    path = folder / "events.jsonl"
    number = 0
    while path.name in sealed:
        number += 1
        path = folder / f"events.{number}.jsonl"
    return path


def started_before(folder: Path, model: str) -> Iterator[dict[str, Any]]:
    """The environment of a model in each earlier session of a run, as its events tell."""
    for path in sorted(folder.glob("events*.jsonl")):
        for line in path.read_bytes().splitlines():
            if b'"model_started"' not in line:
                continue
            with suppress(orjson.JSONDecodeError, KeyError, TypeError):
                fields = orjson.loads(line)["fields"]
                if fields["model"] == model:
                    yield dict(fields["environment"])
