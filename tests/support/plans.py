"""Small plans made by hand, for tests of what stands on a plan."""

from __future__ import annotations

from assay.plan.plan import Cell, Given, Mode, ModelPlan, Plan, ScorerPlan, TaskPlan
from assay.records import Sampling

METRIC = {"name": "accuracy", "kind": "pass", "higher_is_better": True, "low": None, "high": None, "help": ""}


def plan(
    samples: int = 5,
    cells: int = 1,
    epochs: int = 1,
    seed: int = 7,
    counts: tuple[int, ...] = (),
    mode: Mode | Given = "chat",
) -> Plan:
    """One task of `samples`, asked of `cells` models; with `counts`, each sample as often as its entry says."""
    models = [f"m{number}" for number in range(cells)]
    task = TaskPlan(
        name="t",
        task="t",
        version="1",
        kind="generate",
        dataset="d" * 64,
        origin={"licence": "MIT"},
        seed=seed,
        epochs=max(counts) if counts else epochs,
        few_shot=0,
        scorer=ScorerPlan("exact_match", {}, "1", (METRIC,)),
        code_exec_policy="disabled",
        samples=tuple(f"s{number}" for number in range(samples)),
        counts=counts,
    )
    return Plan(
        name="p",
        seed=seed,
        spec={"sampling": {"seed": None}},
        models={name: ModelPlan(name, f"stub:{name}", {"backend": "stub"}, {"chat": True}) for name in models},
        prompts={"text@1": {"id": "text", "version": 1}},
        tasks={"t": task},
        cells=tuple(
            Cell(f"c{name}", name, "text@1", "t", mode, None if mode == "given" else Sampling()) for name in models
        ),
    )
