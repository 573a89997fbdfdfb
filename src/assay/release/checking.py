"""Whether the gates of a release are all there, of its own runs, and by the policy of its spec.

Whoever writes a release by hand can leave a stage out, gate another run, or widen a margin, and seal that: so what a
gate says counts only with what it was asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from assay.errors import EvidenceError
from assay.evidence.manifest import read_manifest
from assay.evidence.verify import Finding
from assay.files import read_json
from assay.gates.policy import Policy
from assay.release.folder import BASELINE, ReleaseFolder
from assay.release.resolve import at_level, fitting
from assay.release.stages.base import Gate, Record
from assay.release.stages.evaluate import keyed

_ON_RUNS = ("run", "rung", "compare")
_ONCE, _EACH_ROUND = ("quantize", "ptq", "deploy"), ("evaluate", "run")


def problems(folder: ReleaseFolder, records: Mapping[str, Record]) -> Iterator[Finding]:
    """What is wrong with the gates of a release."""
    policy = Policy.model_validate(folder.content()["spec"]["policy"])
    for key, record in records.items():
        if record.stage == "compare":
            yield from _left_out(key, record, records)
        if record.stage in _ON_RUNS and record.gate is not None:
            yield from _asked(folder, record.stage, str(record.point), record.gate, policy)
    decided = records.get("decide")
    for name, gate in (decided.facts.get("regated") or {}).items() if decided else ():
        yield from _asked(folder, "compare", name, Gate(**{**gate, "reasons": tuple(gate["reasons"])}), policy)


def _left_out(key: str, record: Record, records: Mapping[str, Record]) -> Iterator[Finding]:
    """Stages and gates without which nothing may be compared."""
    point, tail = str(record.point), key.rpartition(".")[2]
    number = 1 if key == keyed("compare", point, 1) else int(tail)
    wanted = ["prepare", f"deploy-{BASELINE}", *(f"{name}-{point}" for name in _ONCE)]
    wanted += [keyed(name, one, number) for one in (BASELINE, point) for name in _EACH_ROUND]
    for name in wanted:
        found = records.get(name)
        if found is None:
            yield Finding(f"stages/{key}", f"compared without the stage {name}")
        elif found.status != "done" or (found.gate is not None and found.gate.failed):
            yield Finding(f"stages/{key}", f"compared though {name} failed")


def _asked(folder: ReleaseFolder, stage: str, point: str, gate: Gate, policy: Policy) -> Iterator[Finding]:
    """A gate that was asked by another policy, but for its level, or of other runs."""
    path = folder.inside(gate.file)
    stored = read_json(path, "assay.gate.v1")
    held = stored["policy"]["content"]
    wanted = at_level(policy, held["alpha"]) if stage == "compare" else fitting(policy, point)
    if held != wanted.content:
        yield Finding(gate.file, "was asked by another policy than the spec's")
    own = path.parent.parent
    runs = [folder.point(BASELINE) / own.name, own] if stage == "compare" else [own]
    named = [item.get("manifest") for item in stored["inputs"]]
    if own.parent != folder.point(point) or named != [_id(run) for run in runs]:
        yield Finding(gate.file, f"is not of the runs of {point} and what it is held against")


def _id(run: Path) -> str:
    """The seal of a run. Raises EvidenceError where there is none."""
    if not (run / "manifest.json").is_file():
        raise EvidenceError(f"{run}: not sealed")
    return str(read_manifest(run / "manifest.json")["id"])
