"""`deploy`: a checkpoint is served, and the health gate looks at the server before anything rests on its answers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from assay.files import digest_of, pretty, read_json, write_atomic
from assay.gates import health
from assay.gates.health_view import Observation, from_json
from assay.gates.recipe import Recipe
from assay.gates.result import GateResult, plain
from assay.release.folder import BASELINE, ReleaseFolder, digest
from assay.release.stages.base import Context, Output, Product, Stage
from assay.release.stages.prepare import source_of
from assay.release.stages.quantize import made_at

if TYPE_CHECKING:
    from assay.models.deployment import Deployed
    from assay.release.deployers.base import Deployment, Settings

OBSERVATION = "observation.json"


@dataclass(frozen=True)
class Served:
    """The baseline or a candidate as something to serve. `recipe` is None for the baseline."""

    context: Context
    recipe: Recipe | None

    @property
    def name(self) -> str:
        """What it is called."""
        return self.recipe.name if self.recipe else BASELINE

    @property
    def checkpoint(self) -> Path:
        """Its weights."""
        return made_at(self.context, self.recipe) if self.recipe else source_of(self.context).path

    @property
    def needs(self) -> tuple[str, ...]:
        """The stages that its checkpoint comes from; a candidate's must have passed its gate."""
        return (f"quantize-{self.name}", f"ptq-{self.name}") if self.recipe else ("prepare",)

    @property
    def settings(self) -> Settings:
        """How it is served."""
        return replace(self.context.release.settings, name=self.name)

    @property
    def limits(self) -> health.Limits:
        """What the health gate holds it to."""
        return self.context.release.limits(self.recipe)

    @property
    def file(self) -> Path:
        """The file that the backend `deployed:` reads."""
        return self.context.folder.point(self.name) / "deploy" / "deployed.json"

    def describe(self) -> Deployed:
        """What is served, as plans see it; nothing is started."""
        return self.context.release.deployer.describe(self.checkpoint, self.settings)


class Server:
    """The one deployment that there is at a time. A process that is new is looked at before it is used."""

    def __init__(self, emit: Callable[..., None]) -> None:
        self._emit = emit
        self._open: tuple[str, Deployment] | None = None

    def serving(self, name: str) -> bool:
        """Whether this point is served now."""
        return self._open is not None and self._open[0] == name and self._open[1].alive() is not False

    def open(self, served: Served, log: Path) -> Deployment:
        """Serve it, and nothing else. Raises what the deployer does."""
        if self._open is not None and self.serving(served.name):
            return self._open[1]
        self.close()
        log.parent.mkdir(parents=True, exist_ok=True)
        deployment = served.context.release.deployer.deploy(served.checkpoint, served.settings, log)
        self._open = (served.name, deployment)
        deployment.save(served.file)
        self._emit("server_started", point=served.name, seconds=round(deployment.seconds, 3))
        return deployment

    def close(self) -> None:
        """Take it down. Safe to call twice."""
        if self._open is not None:
            name, deployment = self._open
            self._open = None
            deployment.close()
            self._emit("server_stopped", point=name)


class Deploy(Stage):
    """Serve a checkpoint; its gate is that of health."""

    name = "deploy"

    def __init__(self, served: Served, server: Server) -> None:
        super().__init__(served.context, served.name)
        self.served, self.server = served, server
        self.text = f"serving {served.name}"

    @property
    def needs(self) -> tuple[str, ...]:
        """Its checkpoint; of a candidate also the baseline's health, which it is held against."""
        return (*self.served.needs, *([f"deploy-{BASELINE}"] if self.served.recipe else []))

    @property
    def places(self) -> tuple[Path, ...]:
        """The folder of the deployment, and the gate's result."""
        return (self.place / "deploy", *(self.place / "gates" / name for name in ("health.json", OBSERVATION)))

    @property
    def log(self) -> Path:
        """What the server writes."""
        return self.place / "deploy" / "server.log"

    def inputs(self) -> dict[str, str]:
        """The checkpoint, all that shapes answers, and the limits; of a candidate also what was seen of the source."""
        limits = str(self.served.limits.to_json()["digest"])
        found = {"checkpoint": digest(self.served.checkpoint), "limits": limits}
        found["model"] = digest_of(self.served.describe().identity)
        if self.served.recipe is not None:
            found["source"] = digest(self.folder.point(BASELINE) / "gates" / OBSERVATION)
        return found

    def work(self) -> Product:
        """Serve it, and look at its health."""
        deployment = self.server.open(self.served, self.log)
        seen = observed(deployment, self.context.watch.progress)
        path = self.place / "gates" / OBSERVATION
        write_atomic(path, pretty(seen.to_json()))
        gate, output = self.kept(judged(self.served, seen), self.place / "gates" / "health.json")
        if gate.failed:
            self.server.close()
        facts = {"tokens_per_s": seen.tokens_per_s, "perplexity": math.exp(seen.loss) if seen.loss else None}
        facts["seconds_to_answer"] = round(deployment.seconds, 3)
        return Product((output, Output(self.folder.relative(path), "file", digest(path))), gate, plain(facts))


def observed(deployment: Deployment, progress: Callable[[str, int], None]) -> Observation:
    """What is seen of a server."""
    from assay.release.health import observe

    return observe(deployment, progress)


def judged(served: Served, seen: Observation) -> GateResult:
    """What the health gate says: of a candidate, against what was seen of the source."""
    source = None
    if served.recipe is not None:
        source = from_json(read_json(served.context.folder.point(BASELINE) / "gates" / OBSERVATION))
    return health.gate(seen, source, served.limits)


def judged_again(folder: ReleaseFolder, point: str, limits: health.Limits) -> GateResult:
    """The same from the files of a release."""
    paths = [folder.point(name) / "gates" / OBSERVATION for name in (point, BASELINE)]
    source = read_json(paths[1]) if point != BASELINE else None
    return health.gate(read_json(paths[0]), source, limits)
