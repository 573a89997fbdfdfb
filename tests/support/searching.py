"""A search whose stages are stand-ins, and the worlds that answer it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from assay.release.conductor import Conductor, Stages
from assay.release.folder import ReleaseFolder
from assay.release.resolve import Release, known_recipes
from assay.release.search import Answer, Answers, Ask, Search
from assay.release.space import Space, space_of
from assay.release.spec import SearchSpec
from assay.release.stages.base import Silent
from assay.release.stages.evaluate import keyed
from assay.spec.locations import Locations
from support import releasing

MARGIN = 0.02
LOSSES = {"Q8_0": 0.0, "Q5_0": 0.005, "Q4_0": 0.03, "Q4_0-keep-ffn_down": 0.01, "Q4_0-keep-attn_v": 0.05}
SIZES = {"Q8_0": 140, "Q5_0": 100, "Q4_0": 80, "Q4_0-keep-ffn_down": 90, "Q4_0-keep-attn_v": 85, "Q2_K": 70}


def space(**changes: Any) -> Space:
    """The space of a search spec."""
    value = {"recipes": ["Q8_0", "Q5_0", "Q4_0"], "keep": ["ffn_down", "attn_v"], **changes}
    return space_of(SearchSpec.model_validate(value), known_recipes().__getitem__, Locations("search"))


def everything(found: Space) -> list[str]:
    """The name of every candidate that a search of the space could propose."""
    variants = [recipe.name for base in (*found.bases, *found.named.values()) for recipe in found.variants(base)]
    return [*(base.name for base in found.bases), *found.named, *variants]


def answered(found: Space, losses: Mapping[str, float | str], sizes: Mapping[str, int] = SIZES) -> Answers:
    """What a world answers on every rung: a loss as a share of the margin, or the class of a failure."""
    return {
        (name, rung): _answer(found, losses.get(name, 0.5), sizes.get(name, 100), rung)
        for name in everything(found)
        for rung in range(1, found.rungs + 1)
    }


def _answer(found: Space, loss: float | str, size: int, rung: int) -> Answer:
    if isinstance(loss, str):
        return Answer(None, size, loss)
    asked = found.total(rung) - found.total(rung - 1)
    return Answer(loss, size, None, found.total(rung), asked)


def asked_of(search: Search, world: Answers) -> tuple[list[Ask], dict[tuple[str, int], Answer | None]]:
    """Everything that a search asks of a world, in order, and what it was told."""
    asks: list[Ask] = []
    told: dict[tuple[str, int], Answer | None] = {}
    while more := search.next(told):
        asks += more
        told |= {ask.key: world[ask.key] for ask in more}
    return asks, told


class _Screening(releasing._StandIn):
    """The stand-in of `screen` and of `rung`."""

    losses: Mapping[str, float]

    def __init__(self, first: Any, *more: Any) -> None:
        super().__init__(first, *more)
        if self.kind == "rung":
            self.point = str(more[0])

    @property
    def needs(self) -> tuple[str, ...]:
        point, number = str(self.point), self.round
        if self.kind == "screen":
            return (f"deploy-{point}",)
        baseline = () if point == "baseline" else (keyed("rung", "baseline", number),)
        return (keyed("screen", point, number), *baseline)

    @property
    def gates(self) -> str | None:
        return self.needs[0] if self.kind == "rung" else None

    @property
    def file(self) -> Path:
        return super().file.with_name(f"{self.kind}.{self.round}.txt")

    def _gate(self, scripted: Mapping[str, Any]) -> tuple[Any, tuple[Any, ...]]:
        return (None, ()) if self.kind == "screen" else super()._gate(scripted)

    def _facts(self) -> dict[str, Any]:
        added = 2 ** max(self.round - 2, 0) * 10
        if self.kind == "screen":
            return {"attempts": added}
        loss = self.losses.get(str(self.point), 0.01)
        task = {"task": "arc_easy", "metric": "accuracy", "gated": True, "pairs": added, "margin": MARGIN}
        return {"rung": self.round, "tasks": [{**task, "delta": -loss, "loss": loss}]}


class _Sized(releasing._StandIn):
    """The stand-in of `ptq`, with the sizes of variants."""

    def _facts(self) -> dict[str, Any]:
        size = SIZES[str(self.point)]
        return {**super()._facts(), "bytes": size, "linear_bytes": size}


def stages(losses: Mapping[str, float] = LOSSES) -> Stages:
    """Stand-ins for a search whose candidates lose so much."""
    made = {
        kind: type(kind.title(), (_Screening,), {"kind": kind, "losses": dict(losses)}) for kind in ("screen", "rung")
    }
    return replace(releasing.STAGES, ptq=type("Ptq", (_Sized,), {"kind": "ptq"}), **made)


def release(**changes: Any) -> Release:
    """A release that searches."""
    search = {"recipes": ["Q8_0", "Q5_0", "Q4_0"], "keep": ["ffn_down", "attn_v"], "samples": 10, "rungs": 2}
    search |= {"finalists": 2, **changes.pop("search", {})}
    return releasing.asked(candidates=(), search=search, **changes)


def conduct(path: Path, asked: Release, script: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Conduct it with stand-ins; returns the decision."""
    if script is not None:
        path.with_suffix(".script").write_bytes(orjson.dumps(script))
    return Conductor(asked, ReleaseFolder(path), Silent(), stages=stages(**more)).run()
