"""`evaluate`: the served model answers the plan. `run`: the gate says whether the run is fit to be compared.

Plans of the baseline and of candidates differ in the model alone, and name no path and no port: so that a release may
be moved, a run goes on at another port, and a baseline's run is found again by its plan.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.errors import DeploymentFailed, EvidenceError
from assay.models import deployment as deployments
from assay.release import reused
from assay.release.folder import BASELINE
from assay.release.parts import Part, cut, final_of
from assay.release.stages.base import Context, Output, Product, Stage, digest_at, gate_of
from assay.release.stages.serve import Served, Server, judged, observed

if TYPE_CHECKING:
    from assay.evidence.deciding import Until
    from assay.plan.build import Draft
    from assay.spec.schema import Spec

PLAN = "release"
"""The name of every plan of a release: the model tells them apart."""


def drafted(served: Served, round_: int = 1, part: Part | None = None) -> tuple[Draft, Spec]:
    """The plan of one point, and the spec it is of. Raises ConfigError by the lines of the release's spec."""
    from assay.plan.build import build

    described(served)
    part = part or final_of(served.context.release.space)
    spec = spec_of(served.context, served.file, served.name, round_, part)
    draft = cut(build(spec, served.context.release.where, served.context.watch.progress), part)
    return replace(draft, plan=placeless(draft.plan, served)), spec


def described(served: Served) -> None:
    """See that the file of the deployment describes this model; where a server runs is left as it is."""
    model = served.describe()
    try:
        known, _ = deployments.read(served.file)
    except EvidenceError:
        known = None
    if known is None or known.identity != model.identity:
        deployments.write(served.file, model, None)


def spec_of(context: Context, file: Path, name: str, round_: int = 1, part: Part | None = None) -> Spec:
    """The evaluation of one model, on `growth` times the samples in every later round; of a search, up to the end of a
    part of them."""
    from assay.spec.schema import ModelSpec, Spec

    asked = context.release.spec
    factor = asked.samples.growth ** (round_ - 1)
    ends = part or Part()
    tasks = tuple(task.model_copy(update={"limit": ends.limit(_grown(task.limit, factor))}) for task in asked.tasks)
    return Spec(
        name=PLAN,
        models=(ModelSpec(model=f"deployed:{file}", name=name),),
        prompts=asked.prompts,
        tasks=tasks,
        seed=asked.seed,
        few_shot=asked.few_shot,
        limit=ends.limit(_grown(asked.limit, factor)),
        epochs=asked.epochs,
        sampling=asked.sampling,
        concurrency=asked.concurrency,
        retry=asked.retry,
        cache=asked.cache,
    )


def _grown(limit: int | None, factor: float) -> int | None:
    return None if limit is None else round(limit * factor)


def placeless(plan: Any, served: Served) -> Any:
    """The plan without the path of the deployment's file: what the model is stands in its identity."""
    word = f"deployed:{served.describe().served_as}"
    models = {name: replace(model, model=word) for name, model in plan.models.items()}
    spec = {**plan.spec, "models": [{**model, "model": word} for model in plan.spec["models"]]}
    return replace(plan, models=models, spec=spec)


class Evaluate(Stage):
    """Ask the served model everything, or go on where an earlier process stopped."""

    name = "evaluate"

    def __init__(self, served: Served, server: Server, round_: int = 1, until: Until | None = None) -> None:
        super().__init__(served.context, served.name, round_)
        self.served, self.server, self.until = served, server, until
        self.text = f"evaluating {served.name}"
        self._drafted: tuple[Draft, Spec] | None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """A server that is fit; of a candidate that is decided while it runs, the baseline's run."""
        baseline = [keyed("evaluate", BASELINE, self.round)] if self.until else []
        chosen = ["select"] if self.context.release.space else []  # of a search: what made it a finalist
        return (f"deploy-{self.point}", *chosen, *baseline)

    @property
    def path(self) -> Path:
        """The run directory."""
        return self.folder.run(self.served.name, self.round)

    @property
    def places(self) -> tuple[Path, ...]:
        """The run directory."""
        return (self.path,)

    @property
    def draft(self) -> tuple[Draft, Spec]:
        """The plan, made once."""
        if self._drafted is None:
            self._drafted = drafted(self.served, self.round)
        return self._drafted

    def inputs(self) -> dict[str, str]:
        """The plan, which has the model's digest in it, and the health that was found."""
        found = {"plan": self.draft[0].plan.digest}
        return found | ({"policy": self.until.policy.digest} if self.until else {})

    def work(self) -> Product:
        """Reuse a sealed run of this very plan, or run it."""
        found = self._known() if self.served.recipe is None else None
        if found is not None:
            self.context.emit("run_reused", point=self.point, run=found.name)
            reused.copy(found, self.path)
        else:
            self._run()
        output = Output(self.folder.relative(self.path), "seal", digest_at(self.path, "seal"))
        return Product((output,), None, {"reused": found is not None, "attempts": len(self.draft[0].plan)})

    def _run(self) -> None:
        from assay.session import Options, carry_out

        if not self.server.serving(self.served.name):
            self._serve_again()
        draft, spec = self.draft
        options = Options(out=self.path, until=self.until)
        carry_out(draft, spec, options, self.context.watch.run(), self.context.watch.progress)

    def _serve_again(self) -> None:
        """Another process than the one whose health was found: it is looked at as the first one was."""
        log = self.place / "deploy" / "server.log"
        deployment = self.server.open(self.served, log)
        result = judged(self.served, observed(deployment, self.context.watch.progress))
        if result.verdict.exit_code:
            self.server.close()
            raise DeploymentFailed("; ".join(result.reasons), hint=f"its log: {log}")

    def _known(self) -> Path | None:
        """A sealed run of this plan, in the folders that the spec names or where it is tracked, that verifies."""
        if self.path.exists() or self.until is not None:
            return None
        return reused.find(self.context.release.spec, self.draft[0].plan.digest, self.context.watch.said)


def keyed(name: str, point: str, round_: int) -> str:
    """A stage's key."""
    return f"{name}-{point}" + (f".{round_}" if round_ > 1 else "")


class RunGate(Stage):
    """Whether the run is fit to be compared."""

    name = "run"

    def __init__(self, context: Context, point: str, round_: int = 1) -> None:
        super().__init__(context, point, round_)
        self.text = f"gate run on {point}"

    @property
    def needs(self) -> tuple[str, ...]:
        """The run."""
        return (keyed("evaluate", str(self.point), self.round),)

    @property
    def places(self) -> tuple[Path, ...]:
        """What the gate said."""
        return tuple(sorted((self.path / "verdicts").glob("run-*.json")))

    @property
    def path(self) -> Path:
        """The run directory."""
        return self.folder.run(str(self.point), self.round)

    @property
    def gates(self) -> str:
        """The evaluation."""
        return self.needs[0]

    def inputs(self) -> dict[str, str]:
        """The run's seal, and the policy."""
        return {"run": digest_at(self.path, "seal"), "policy": self.context.release.policy_for(str(self.point)).digest}

    def work(self) -> Product:
        """Ask the gate, and keep what it says in the run."""
        from assay.evidence.read import read
        from assay.evidence.verdict_files import keep
        from assay.gates.run import gate as decide

        path = self.path
        evidence = replace(read(path), run=str(self.point))
        result = decide(evidence, self.context.release.policy_for(str(self.point)))
        kept = keep(result.to_json(), path, evidence)
        if kept is None:
            raise EvidenceError(f"{path}: {evidence.why or 'not sealed'}")
        output = Output(self.folder.relative(kept), "file", digest_at(kept, "file"))
        return Product((output,), gate_of(self.folder, result, kept), {"manifest": evidence.manifest})
