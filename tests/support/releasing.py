"""A release whose stages are stand-ins: they write small files at once, and fail, or wait, as a script says.

As a program, `python -m support.releasing SPEC DIR`, it conducts such a release in processes that can be killed.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import yaml

from assay.errors import AssayError, ConfigError, FailureClass, MachineError, ModelUnavailable
from assay.files import pretty, read_json, write_atomic
from assay.gates.result import GateResult, Verdict
from assay.release.conductor import Conductor, Stages
from assay.release.folder import ReleaseFolder, digest
from assay.release.resolve import Release, resolved
from assay.release.spec import parse
from assay.release.stages.base import Context, Output, Product, Silent, Stage, keep
from assay.release.stages.evaluate import keyed

BASIC: dict[str, Any] = {
    "schema": "assay.release.v1",
    "name": "stood-in",
    "source": "nowhere",
    "candidates": ["Q8_0", "Q4_0", "Q2_K"],
    "tasks": [{"task": "arc_easy", "limit": 10}],
    "policy": {"schema": "assay.policy.v1", "defaults": {"margin": 0.02}},
}
SIZES = {"Q8_0": 140, "Q6_K": 130, "Q4_K_M": 110, "Q4_0": 90, "Q3_K_M": 80, "Q2_K": 70}
KINDS: Mapping[str, type[AssayError]] = {"USER_CONFIG_ERROR": ConfigError}


def asked(**changes: Any) -> Release:
    """The release that the basic spec asks for, with changes."""
    found = resolved(parse({**BASIC, **changes}))
    rules = {
        name: rule.model_copy(update={"wait_s": None}) for name, rule in found.rules.rules.items()
    }  # nobody waits in a test
    return replace(found, rules=found.rules.model_copy(update={"rules": rules}))


class _StandIn(Stage):
    """Writes one file; before that, does what the script says of it."""

    kind = ""

    def __init__(self, first: Any, *more: Any) -> None:
        context: Context = getattr(first, "context", first)
        point = getattr(first, "name", None) if first is not context else None
        if more and self.kind in ("quantize", "ptq"):
            point = more[0].name
        elif more and self.kind in ("run", "compare"):
            point = more[0]
        rounds = [part for part in more if isinstance(part, int)]
        super().__init__(context, point, rounds[0] if rounds else 1)
        self.name = self.kind

    @property
    def needs(self) -> tuple[str, ...]:
        point, number = str(self.point), self.round
        both = tuple(keyed(name, one, number) for one in ("baseline", point) for name in ("evaluate", "run"))
        made = (f"quantize-{point}", f"ptq-{point}") if point != "baseline" else ("prepare",)
        return {
            "prepare": (),
            "quantize": ("prepare",),
            "ptq": ("prepare", f"quantize-{point}"),
            "deploy": made,
            "evaluate": (f"deploy-{point}",),
            "run": (keyed("evaluate", point, number),),
            "compare": both,
        }[self.kind]

    @property
    def gates(self) -> str | None:
        return self.needs[0] if self.kind == "run" else None

    @property
    def file(self) -> Path:
        folder = self.folder.point(self.point) if self.point else self.folder.source
        return folder / f"{self.kind}.{self.round}.txt"

    @property
    def places(self) -> tuple[Path, ...]:
        if self.kind == "prepare":
            return (self.folder.source, self.folder.point("baseline"), self.folder.path / "candidates")
        return (self.place,) if self.kind == "quantize" else (self.file, self.file.with_suffix(".json"))

    def inputs(self) -> dict[str, str]:
        if self.kind == "prepare":
            return {"asked": self.context.release.digest}
        store = self.folder.stages
        found = {}
        for need in self.needs:
            path = next(store.glob(f"*-{need}.json"))
            outputs = orjson.loads(path.read_bytes())["outputs"]
            found[need] = digest(self.folder.at(outputs[0]["path"]))
        return found

    def work(self) -> Product:
        scripted = _script(self.folder, self.key)
        if scripted.get("sleep"):
            time.sleep(scripted["sleep"])
        if edited := scripted.get("edits"):
            self.folder.at(edited).write_text("changed meanwhile")
        write_atomic(self.file, f"{self.key}\n".encode())
        output = Output(self.folder.relative(self.file), "file", digest(self.file))
        if kind := scripted.get("raises"):
            raise _error(kind, self.key)
        gate, more = self._gate(scripted)
        return Product((output, *more), gate, self._facts())

    def _gate(self, scripted: Mapping[str, Any]) -> tuple[Any, tuple[Output, ...]]:
        if self.kind in ("quantize", "evaluate"):
            return None, ()
        good = Verdict.ACCEPT if self.kind == "compare" else Verdict.PASS
        verdict = Verdict(scripted.get("verdict", good))
        kind = FailureClass(scripted["class"]) if "class" in scripted else None
        numbers = {"tasks": [_task(scripted)]} if self.kind == "compare" else {}
        result = GateResult(self.kind, verdict, (f"{self.key} says {verdict}",), kind, (), numbers)
        gate, output = keep(self.folder, result, self.file.with_suffix(".json"))
        return gate, (output,)

    def _facts(self) -> dict[str, Any]:
        if self.kind == "prepare":
            return {"source": {"digest": "0" * 64, "bytes": 270}}
        size = SIZES.get(str(self.point), 100)
        sizes = {"bytes": size, "source_bytes": 270, "linear_bytes": size, "source_linear_bytes": 270}
        return {
            "ptq": sizes,
            "quantize": {"bytes": size},
            "deploy": {"tokens_per_s": 100.0},
            "evaluate": {"attempts": 10},
            "compare": {"run": "run-0"},
        }.get(self.kind, {})


def _task(scripted: Mapping[str, Any]) -> dict[str, Any]:
    delta = scripted.get("delta", -0.01)
    measured = {"delta": delta, "low": delta - 0.02, "high": delta + 0.02, "pairs": 10, "margin": {"allowed": 0.02}}
    known = {"task": "arc_easy", "kind": "pass", "gated": True, "direction": "higher_is_better", "verdict": "ACCEPT"}
    return {**known, **measured, **scripted.get("task", {})}


def _script(folder: ReleaseFolder, key: str) -> dict[str, Any]:
    """What to do in a stage: the next entry of its list, of which the last holds for good."""
    path = folder.path.with_suffix(".script")
    steps = orjson.loads(path.read_bytes()) if path.exists() else {}
    entry = steps.get(key, {})
    if not isinstance(entry, list):
        return dict(entry)
    first, rest = entry[0], entry[1:]
    if rest:
        write_atomic(path, orjson.dumps({**steps, key: rest}))
    return dict(first)


def _error(kind: str, key: str) -> AssayError:
    if kind == "MODEL_UNSUPPORTED":
        return ModelUnavailable(f"{key} cannot be had", layer="test")
    if kind == "SYSTEMIC":
        return MachineError(f"{key} is broken", layer="test")
    found = KINDS.get(kind, AssayError)(f"{key} failed")
    found.failure_class = FailureClass(kind)
    return found


def _stage(name: str) -> type[Stage]:
    return type(name.title(), (_StandIn,), {"kind": name})


STAGES = Stages(
    **{name: _stage(name) for name in ("prepare", "quantize", "ptq", "deploy", "evaluate", "run", "compare")}
)


def conduct(path: Path, release: Release, script: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Conduct the release with stand-ins; returns the decision."""
    if script is not None:
        path.with_suffix(".script").write_text(json.dumps(script))
    return Conductor(release, ReleaseFolder(path), Silent(), stages=STAGES).run()


def events(path: Path) -> list[tuple[str, str]]:
    """(event, stage) of all that happened, in order."""
    lines = [orjson.loads(line) for line in (path / "events.jsonl").read_bytes().splitlines()]
    return [(line["event"], str(line["fields"].get("stage", ""))) for line in lines]


def finished(path: Path) -> list[str]:
    """The stages that were finished, each as often as it was."""
    return [stage for event, stage in events(path) if event == "stage_finished"]


def stored(path: Path, key: str) -> dict[str, Any]:
    """The record of a stage."""
    return read_json(next((path / "stages").glob(f"*-{key}.json")))


def edit(path: Path, **changes: Any) -> None:
    """Change a record, as somebody might who wants another decision."""
    path.write_bytes(pretty({**read_json(path), **changes}))


def _serve(spec: Path, path: Path) -> None:
    """For each line of input, the name of a stage, conduct the release in a process of its own that stops for good in
    that stage, or at the end. Its number is told, and then how it ended.

    The children are forked, so that Python and assay are loaded but once.
    """
    release = asked(**yaml.safe_load(spec.read_text()))
    for name in sys.stdin:
        child = os.fork()
        if child == 0:
            conduct(path, release, {name.strip(): {"sleep": 600}})
            time.sleep(600)  # whoever asked for it kills it
            os._exit(1)
        print(child, flush=True)
        print(os.waitpid(child, 0)[1], flush=True)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), Path(sys.argv[2]))
