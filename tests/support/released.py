"""A small decided release: real runs against the stub, real gates on them, a real seal; weights that are stand-ins."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import assay
from assay.files import pretty, write_atomic
from assay.release.conductor import Conductor
from assay.release.folder import ReleaseFolder
from assay.release.stages.base import Output, Product, Silent, digest_at
from assay.release.stages.compare import Compare
from assay.release.stages.evaluate import RunGate
from support.evals import questions
from support.releasing import STAGES, asked
from support.stub import Stub

COUNT = 80
HOSTILE = "` </pre><script>window.owned=1</script><img src=x onerror='window.owned=2'> \u202egnp.exe {{7*7}} | ``x \x00"
"""What a model may answer, and a spec may be called."""

Wrong = Mapping[str, Collection[int]]


def released(path: Path, wrong: Wrong, script: Mapping[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """Conduct a release of `COUNT` questions; returns the decision. `wrong`: what each candidate answers wrongly.

    `script` is of the stand-ins (see `support.releasing`), `changes` go into the spec.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    task = {"task": f"file:{questions(path.with_suffix('.jsonl'), COUNT)}", "name": "parity"}
    policy = {"schema": "assay.policy.v1", "name": "strict", "defaults": {"margin": 0.2, "max_gain": 0.9}}
    spec = {"candidates": list(wrong), "tasks": [task], "policy": policy, **changes}
    path.with_suffix(".script").write_text(json.dumps(script or {}))
    stages = replace(STAGES, evaluate=_evaluating(wrong), run=RunGate, compare=Compare)
    return Conductor(asked(**spec), ReleaseFolder(path), Silent(), stages=stages, command=["assay", "release"]).run()


def _evaluating(wrong: Wrong) -> Callable[..., Any]:
    """The stage that evaluates: a real run, of a stub that answers these numbers wrongly."""

    class Evaluate(STAGES.evaluate):  # type: ignore[name-defined,misc]
        @property
        def places(self) -> tuple[Path, ...]:
            return (self.folder.run(self.point, self.round),)

        def work(self) -> Product:
            out = self.folder.run(self.point, self.round)
            spec = self.context.release.spec
            with Stub(answer=_answer(wrong.get(self.point, ()))) as stub:
                models = [{"model": "openai:stub", "name": self.point, "base_url": stub.url}]
                tasks = [task.model_dump(mode="json") for task in spec.tasks]
                assay.evaluate({"name": "release", "models": models, "tasks": tasks}, out=out)
            output = Output(self.folder.relative(out), "seal", digest_at(out, "seal"))
            return Product((output,), None, {"reused": False, "attempts": COUNT})

    return Evaluate


def _answer(wrong: Collection[int]) -> Callable[[str, int], str]:
    def answer(prompt: str, seed: int) -> str:
        number = int(re.findall(r"Is (\d+) even", prompt)[-1])
        return HOSTILE if number in wrong else ("no", "yes")[number % 2 == 0]

    return answer


def rewritten(path: Path, **changes: Any) -> None:
    """Change a JSON file of a release, as whoever sends one might."""
    from assay.files import read_json

    write_atomic(path, pretty({**read_json(path), **changes}))
