"""Stored responses, so that asking the very same thing again costs nothing.

The key covers everything that shapes the answer: the model's identity, the whole request with its seed, and the
epoch. Off for sampling runs unless asked for, and on its own initiative used only for models pinned by a digest: an
endpoint may serve other weights tomorrow under the same name.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Literal

import orjson

from assay.errors import MachineError
from assay.files import canonical, digest, digest_of
from assay.models.base import Model
from assay.plan.plan import Plan
from assay.records import Completion, Request

COMMIT_EVERY = 256


class ResponseCache:
    """A key-value file; several runs may share it. Closing commits."""

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, timeout=30, isolation_level=None)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS responses (key TEXT PRIMARY KEY, response BLOB NOT NULL) WITHOUT ROWID"
            )
        except (OSError, sqlite3.Error) as error:
            raise MachineError(f"cannot open the response cache {path}: {error}", layer="cache") from error
        self._identities: dict[int, str] = {}
        self._waiting: dict[str, bytes] = {}

    def key(self, model: Model, request: Request, epoch: int) -> str:
        """The digest of all that shapes the answer."""
        identity = self._identities.get(id(model))
        if identity is None:
            identity = self._identities[id(model)] = digest_of(dict(model.identity))
        return digest(identity.encode() + canonical(request.to_json()) + str(epoch).encode())

    def get(self, key: str) -> Completion | None:
        """The stored answer, if there is one."""
        if (waiting := self._waiting.get(key)) is not None:
            return Completion.from_json(orjson.loads(waiting))
        row = self._database.execute("SELECT response FROM responses WHERE key = ?", (key,)).fetchone()
        return Completion.from_json(orjson.loads(row[0])) if row else None

    def put(self, key: str, completion: Completion) -> None:
        """Store an answer; written in groups."""
        self._waiting[key] = canonical(completion.to_json())
        if len(self._waiting) >= COMMIT_EVERY:
            self._commit()

    def _commit(self) -> None:
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany("INSERT OR REPLACE INTO responses VALUES (?, ?)", self._waiting.items())
        self._waiting.clear()

    def close(self) -> None:
        """Commit and close."""
        if self._waiting:
            self._commit()
        self._database.close()


def wanted(setting: Literal["auto", "on", "off"], plan: Plan, model: Model) -> bool:
    """Whether a model's responses are to be reused under a spec's `cache` setting."""
    if setting != "auto":
        return setting == "on"
    sampled = [cell.sampling for cell in plan.cells if cell.model == model.name]
    greedy = all(sampling is not None and sampling.temperature == 0 for sampling in sampled)
    return greedy and "digest" in model.identity and model.capabilities.determinism == "bitwise"
