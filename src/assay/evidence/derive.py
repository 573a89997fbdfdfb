"""A stored verdict derived again: the evidence it names is found by its seals, and the gate is asked once more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from assay.errors import AssayError, EvidenceError
from assay.evidence import admission
from assay.evidence.manifest import layers, read_manifest
from assay.evidence.read import read
from assay.gates import aa, compare, run, sequential
from assay.gates.evidence import Evidence
from assay.gates.judges import Admission
from assay.gates.result import GateResult
from assay.run.folder import RunFolder


def derive(document: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """What the gate says now of the evidence that a verdict names, with the verdict's own policy.

    `path` is the verdict's file: runs are looked for in the run it lies in, and beside that. Raises EvidenceError where
    one of them is not there, or the verdict is not one.
    """
    try:
        policy, numbers = document["policy"]["content"], document["numbers"]
        found = [_evidence(item, path) for item in document["inputs"] if item["role"] != "admission"]
        admissions = [_admission(item, path) for item in document["inputs"] if item["role"] == "admission"]
        return _again(str(document["gate"]), found, policy, numbers, admissions).to_json()
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise EvidenceError(f"{path}: not a verdict that this version derives ({error!r})") from None


def _again(
    gate: str, found: list[Evidence], policy: Any, numbers: Mapping[str, Any], admissions: list[Admission]
) -> GateResult:
    if gate == run.GATE:
        return run.gate(found[0], policy, admissions)
    if gate == compare.GATE:
        return compare.gate(found[0], found[1], policy, admissions)
    if gate == sequential.GATE:
        return sequential.gate(found[0], found[1], policy)
    if gate == aa.GATE:
        return aa.gate(found, policy, numbers["resamples"], numbers["seed"])
    raise EvidenceError(f"this version has no gate {gate!r}")


def _evidence(item: Mapping[str, Any], path: Path) -> Evidence:
    """The evidence of one input, as its seal had it."""
    if item["state"] != "sealed":
        raise EvidenceError(f"{item['run']} was {item['state']} when it was gated: there is no seal to find it by")
    wanted, chosen = str(item["manifest"]), item.get("chosen", {})
    for folder in _places(path):
        if wanted in _seals(folder):
            found = read(folder, wanted).only(chosen.get("model"), chosen.get("prompt"))
            return _named(found, str(item["run"]))
    raise EvidenceError(f"the run {item['run']} (seal {wanted}) is not here")


def _admission(item: Mapping[str, Any], path: Path) -> Admission:
    """The admission of one input: looked for where runs are, and in `admissions` beside the folder of the runs."""
    if item["state"] != "sealed":
        raise EvidenceError(
            f"the admission {item['run']} did not hold when it was given: there is no seal to find it by"
        )
    return replace(admission.read(admission.find(path.parent.parent, str(item["manifest"]))), name=str(item["run"]))


def _named(evidence: Evidence, name: str) -> Evidence:
    """Under the name that the verdict knows it by: a folder may be renamed, a seal may not."""
    return replace(evidence, run=name)


def _places(path: Path) -> Iterator[Path]:
    """The run that a verdict lies in, then the runs beside it; of a release's candidate also the baseline's runs."""
    home = path.resolve().parent.parent
    yield home
    for folder in sorted(home.parent.iterdir()):
        if folder != home and (folder / "manifest.json").is_file():
            yield folder
    for parent in list(home.parents)[:3]:
        if (parent / "release.json").is_file():
            yield from sorted(parent.glob("baseline/run*"))


def _seals(folder: Path) -> set[str]:
    """The ids of a run's seals; none where they cannot be read."""
    try:
        run_folder = RunFolder(folder)
        return {read_manifest(run_folder.manifest)["id"], *(layer["id"] for layer in layers(run_folder).values())}
    except (AssayError, OSError):
        return set()
