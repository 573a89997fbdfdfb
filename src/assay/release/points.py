"""What a release's stages came to, read back from their files: the only things that its decision rests on.

Used when a release is decided, and again when it is verified: the same files give the same decision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from assay.errors import EvidenceError
from assay.files import read_json
from assay.gates.result import Verdict
from assay.release.answers import screened
from assay.release.decision import Asked, Levels, Point
from assay.release.folder import BASELINE, ReleaseFolder
from assay.release.stages.base import Gate, Record
from assay.release.stages.compare import tasks_of
from assay.release.stages.evaluate import keyed

_VERDICTS = {"infeasible": Verdict.INFEASIBLE, "anomalous": Verdict.ANOMALOUS, "patch": Verdict.INFEASIBLE}


def asked_of(folder: ReleaseFolder, records: Mapping[str, Record], levels: Levels) -> Asked:
    """What the decision is on; and what ended the release, where it was not a candidate."""
    content = folder.content()
    prepared = records.get("prepare")
    if prepared is None:
        raise EvidenceError(f"{folder.path}: nothing was prepared: there is nothing to decide")
    source = dict(prepared.facts["source"])
    return Asked(content["name"], content["digest"], source, _baseline(records), levels, _ended(records))


def _baseline(records: Mapping[str, Record]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ("deploy", "evaluate", "run"):
        if (record := records.get(f"{name}-{BASELINE}")) is not None:
            found[name] = record.status
            found |= {key: record.facts[key] for key in ("reused", "manifest", "tokens_per_s") if key in record.facts}
    return found


def _ended(records: Mapping[str, Record]) -> tuple[Verdict, str | None, tuple[str, ...]] | None:
    """What ended the release as a whole: an ask that cannot be met, or a baseline that failed."""
    for key, record in records.items():
        if record.status == "failed" and record.point in (None, BASELINE):
            failure, after = record.failure or {}, record.after or {}
            verdict = _VERDICTS.get(after.get("do", ""), Verdict.ANOMALOUS)
            message = str(failure.get("message"))
            rest = [reason for reason in _reasons(record) if reason != message]
            return verdict, failure.get("class"), (f"{key}: {message}", *rest)
    return None


def _reasons(record: Record) -> tuple[str, ...]:
    return tuple(record.gate.reasons) if record.gate else ()


def points_of(
    folder: ReleaseFolder,
    recipes: Sequence[Mapping[str, Any]],
    records: Mapping[str, Record],
    regated: Mapping[str, Gate],
    untried: Mapping[str, str],
) -> list[Point]:
    """Every candidate in order, patched ones included.

    `regated`: comparisons made again at a wider level, by candidate; `untried`: why a candidate was not tried.
    """
    return [_point(folder, recipe, records, regated, untried) for recipe in recipes]


def _point(
    folder: ReleaseFolder,
    recipe: Mapping[str, Any],
    records: Mapping[str, Record],
    regated: Mapping[str, Gate],
    untried: Mapping[str, str],
) -> Point:
    name = str(recipe["name"])
    own = [record for record in records.values() if record.point == name]
    brief = {key: recipe[key] for key in ("name", "quantizer", "scheme", "bits", "digest")}
    if not own:
        return Point(name, brief, None, "", reasons=(untried.get(name, "it was not its turn"),))
    last, size = own[-1], _size(records.get(f"ptq-{name}"), records.get(f"quantize-{name}"))
    speed = _fact(records.get(f"deploy-{name}"), "tokens_per_s")
    evidence = tuple(record.gate.file for record in own if record.gate)
    if last.status == "failed":
        failure, after = last.failure or {}, last.after or {}
        verdict = _VERDICTS.get(after.get("do", ""), Verdict.ANOMALOUS)
        reasons = (str(failure.get("message")), *_reasons(last))
        told = tuple(dict.fromkeys(reasons))
        instead = {key: after[key] for key in ("candidate", "why") if key in after}
        return Point(
            name, brief, verdict, last.stage, failure.get("class"), told, *size, speed, (), None, evidence, instead
        )
    if last.stage != "compare" or last.gate is None:
        why, seen = untried.get(name, "stopped before it was compared"), tuple(screened(records, name))
        return Point(name, brief, None, last.stage, None, (why,), *size, speed, seen)
    gate = regated.get(name, last.gate)
    document = read_json(folder.inside(gate.file))
    evidence = tuple(dict.fromkeys((*evidence, gate.file)))
    run = str(last.facts.get("run"))
    verdict, kind = Verdict(gate.verdict), gate.failure_class
    tasks = tasks_of(document)
    return Point(name, brief, verdict, "compare", kind, gate.reasons, *size, speed, tasks, run, evidence)


def _size(ptq: Record | None, made: Record | None) -> tuple[int | None, float | None, float | None]:
    """Bytes of the weights, over the source's, and of the linear layers over the source's."""
    if ptq is None or "bytes" not in ptq.facts:
        return (int(made.facts["bytes"]) if made and "bytes" in made.facts else None), None, None
    facts = ptq.facts
    linear = facts["linear_bytes"] / facts["source_linear_bytes"] if facts["source_linear_bytes"] else None
    return facts["bytes"], facts["bytes"] / facts["source_bytes"], linear


def _fact(record: Record | None, name: str) -> Any:
    return record.facts.get(name) if record else None


def rounds_of(records: Mapping[str, Record], point: str) -> int:
    """The last round in which a candidate was compared."""
    return max((number for number in range(1, 6) if keyed("compare", point, number) in records), default=1)
