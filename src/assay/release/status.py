"""How far a release is, from its files alone: nothing is locked, nothing is changed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import orjson

from assay.errors import EvidenceError
from assay.files import read_json
from assay.release.decision import DECISION
from assay.release.folder import ReleaseFolder
from assay.release.stages.base import Record
from assay.release.stages.store import Store

SCHEMA = "assay.release_status.v1"
_PAUSE_S = 0.5


def status(folder: ReleaseFolder) -> dict[str, Any]:
    """The document `assay.release_status.v1`: every stage in the order in which it was done, and what is next."""
    store, content = Store(folder), folder.content()
    stages = [_stage(store, key) for key in store.files()]
    busy = folder.busy
    verdict = read_json(folder.decision, DECISION).get("verdict") if folder.decision.is_file() else None
    return {
        "schema": SCHEMA,
        "release": content["name"],
        "path": str(folder.path),
        "digest": content["digest"],
        "busy": busy,
        "sealed": folder.manifest.is_file(),
        "verdict": verdict,
        "stages": stages,
        "events": _last(folder),
        "next": _next(folder, stages, busy=busy),
    }


def _stage(store: Store, key: str) -> dict[str, Any]:
    value: dict[str, Any] = {"stage": key, "status": "damaged", "verdict": None, "seconds": 0.0, "message": None}
    try:
        record = store.read(key)
    except EvidenceError as error:
        return {**value, "void": [error.message]}
    if record is None:
        return {**value, "void": ["it is gone"]}
    value |= {
        "status": record.status,
        "seconds": record.seconds,
        "verdict": record.gate.verdict if record.gate else None,
    }
    value["message"] = record.failure["message"] if record.failure else None
    return {**value, "void": [*_other(store, record), *store.outputs(record)]}


def _other(store: Store, record: Record) -> Iterator[str]:
    """The stages it stands on that are others now."""
    for key, wanted in record.needs.items():
        try:
            found = store.read(key)
        except EvidenceError as error:
            yield f"the record of {key}: {error.message}"
            continue
        if found is None or found.id != wanted:
            yield f"{key} is another"


def _next(folder: ReleaseFolder, stages: list[dict[str, Any]], *, busy: bool) -> str:
    """What asking again would do, in words."""
    if void := [stage["stage"] for stage in stages if stage["void"]]:
        return f"{void[0]} is void and will be done again"
    if folder.manifest.is_file():
        return "nothing: the release is sealed"
    running = _running(folder)
    if busy:
        return f"{running} is being done" if running else "a process is at work"
    return f"{running} was begun and not finished" if running else "the stage after the last one"


def _running(folder: ReleaseFolder) -> str | None:
    """The stage that was begun last and has not ended."""
    begun = None
    for event in _events(folder):
        if event["event"] == "stage_started":
            begun = str(event["fields"]["stage"])
        elif event["event"] in ("stage_finished", "stage_void") and event["fields"].get("stage") == begun:
            begun = None
    return begun


def _events(folder: ReleaseFolder) -> Iterator[dict[str, Any]]:
    path = folder.path / "events.jsonl"
    if not path.exists():
        return
    for line in path.read_bytes().splitlines():
        try:
            yield orjson.loads(line)
        except orjson.JSONDecodeError:
            continue  # a torn last line of a process that was killed


def _last(folder: ReleaseFolder) -> list[dict[str, Any]]:
    return list(_events(folder))[-20:]


def follow(folder: ReleaseFolder) -> Iterator[dict[str, Any]]:
    """Events as they happen, those that there are first, until nobody is at work any more."""
    seen = 0
    while True:
        busy = folder.busy
        found = list(_events(folder))
        yield from found[seen:]
        seen = len(found)
        if not busy:
            return
        time.sleep(_PAUSE_S)
