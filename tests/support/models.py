"""Models for tests: the answers are scripted, so that every fault can be had on demand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from assay.models.base import Capabilities, Model
from assay.records import Completion, Request

Script = Callable[[Request, int], Completion]
"""Given a request and how many times it was asked before, answers it or raises a BackendError."""


class Scripted(Model):
    """Answers by a script; counts what it was asked."""

    def __init__(self, script: Script, name: str = "scripted", delay: float = 0.0) -> None:
        self.name = name
        self.script = script
        self.delay = delay
        self.asked: dict[str, int] = {}
        self.in_flight = 0
        self.peak = 0

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"backend": "scripted", "model": self.name}

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(chat=True, completion=True, choices=True, seed=True, determinism="bitwise")

    async def complete(self, request: Request) -> Completion:
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            await asyncio.sleep(self.delay)
            before = self.asked.get(request.key, 0)
            self.asked[request.key] = before + 1
            return self.script(request, before)
        finally:
            self.in_flight -= 1


def constant(text: str = "yes") -> Script:
    """Always the same answer."""
    return lambda request, before: Completion(text=text, finish="stop", tokens_in=5, tokens_out=1)
