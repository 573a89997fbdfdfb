"""People and models who judged a run, as batches in its journal: for tests of agreement, admission and gates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from assay import judged
from assay.files import digest_of
from assay.judging import judgements, library
from assay.judging.candidates import candidates, judgeable
from assay.judging.rubric import Rubric
from support.judging import RUBRIC

Said = Callable[[int], Mapping[str, float] | None]
"""The scores of the candidate of that index in the plan; None for one that is not judged."""


def model(name: str = "auto", rubric: Rubric = RUBRIC, **more: Any) -> dict[str, Any]:
    """What the header of a model's batch says of the judge."""
    parts = {
        "model": {"name": "stub", "digest": "m" * 8},
        "prompt": {"id": "judge", "version": 1, "digest": "p" * 8},
        "rubric": rubric.digest,
        "votes": 3,
        "sampling": {"temperature": 0.0},
        **more,
    }
    return {
        "name": name,
        "kind": "model",
        "identity": digest_of(parts),
        **parts,
        "run": "judging/auto/x",
        "manifest": "m",
    }


def person(name: str) -> dict[str, Any]:
    """The same of a person's."""
    return {"name": name, "kind": "person"}


def judge(
    path: Path,
    who: Mapping[str, Any],
    said: Said,
    *,
    rubric: Rubric = RUBRIC,
    marked: tuple[str, ...] = (),
    flag: Callable[[int], bool] = lambda index: False,
) -> None:
    """Add a batch of judgements to a sealed run, through the journal's own door, and seal it anew."""
    run = judged.opened(path)
    header = {
        "schema": judgements.SCHEMA,
        "batch": f"b{digest_of([dict(who), sorted(marked), str(path)])[:12]}",
        "judge": dict(who),
        "rubric": rubric.named,
        "export": None,
        "plan": run.plan.digest,
        "created": "2026-01-01T00:00:00Z",
        "source": None,
        "checks": {"anchors": {}, "repeats": {}, "tolerance": {}, "marked": list(marked)},
    }
    found = list(candidates(run.folder, run.plan, run.state, judgeable(run.plan)))
    records = [_record(who, one, scores, rubric, flag) for one in found if (scores := said(one.index)) is not None]

    def write() -> None:
        library.carry(run.folder, rubric)
        judgements.append(run.folder, header, records)

    judged.new_layer(run, write, ["assay"])


def _record(who: Mapping[str, Any], one: Any, scores: Mapping[str, float], rubric: Rubric, flag: Any) -> dict[str, Any]:
    item = f"c{digest_of([who['name'], one.index])[:11]}"
    value = {
        "id": f"j{item}",
        "kind": "candidate",
        "item": item,
        "judge": who["name"],
        "at": "2026-01-01T00:00:00Z",
        "rubric": rubric.digest,
        "digest": "d",
        "scores": dict(scores),
        "attempt": one.attempt,
        "index": one.index,
        "cell": one.cell,
        "revision": one.revision,
    }
    if who["kind"] == "model":
        value |= {"votes": [dict(scores)] * 3, "spread": dict.fromkeys(scores, 0), "rationale": "Because."}
        value |= {"flags": ["self_preference"]} if flag(one.index) else {}
    return value


def judge_policy(path: Path, **more: Any) -> Path:
    """A judge policy's file."""
    value = {"schema": "assay.judge_policy.v1", "units": 10, "resamples": 200, **more}
    if "defaults" not in more and "dimensions" not in more:
        value["defaults"] = {"alpha": 0.6}
    path.write_text(yaml.safe_dump(value))
    return path
