"""What a deployer is: it puts a checkpoint on a server, and takes it down again.

    with find("llamacpp").deploy(Path("model-Q8_0.gguf"), Settings(slots=4), Path("deploy.log")) as deployment:
        deployment.save(Path("deployment.json"))     # then: assay eval -m deployed:deployment.json …

Deployers come through the entry-point group `assay.deployers`; the built-in ones use the same door.
"""

from __future__ import annotations

import os
import shlex
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import TracebackType
from typing import Any

from assay.document import nearest
from assay.errors import ConfigError, Problem
from assay.models import deployment as record
from assay.models.deployment import Deployed, Now
from assay.plugins import Plugins
from assay.release.deployers.process import LAYER, Process

GROUP = "assay.deployers"


@dataclass(frozen=True, slots=True)
class Settings:
    """How to serve a checkpoint; a deployer refuses what it does not know.

    `name`: as tables show the model, by default the checkpoint's. `context`: tokens of prompt and answer together.
    `slots`: requests served at once. `threads`: CPU threads, by default all. `gpu_layers`: 0 keeps all on the CPU, -1
    moves all. `port`: by default a free one. `deadline_s`: how long the server may take to answer. `extra`: further
    arguments for the server, which are taken to shape answers. `python`: the interpreter of the environment that holds
    the server. `url`, `api_key_env`, `served`, `choices`: of a server that is there already, and what it can do.
    `alone`: only one deployment at a time on this machine, for which `wait_s` seconds are waited.
    """

    name: str | None = None
    context: int = 2048
    slots: int = 4
    threads: int | None = None
    gpu_layers: int = 0
    port: int | None = None
    deadline_s: float = 300.0
    extra: tuple[str, ...] = ()
    python: str | None = None
    url: str | None = None
    api_key_env: str | None = None
    served: str | None = None
    choices: bool | None = None
    alone: bool = True
    wait_s: float = 0.0


_BOUNDS: Mapping[str, tuple[float, float]] = {
    "context": (16, 1 << 24),
    "slots": (1, 256),
    "threads": (1, 1024),
    "gpu_layers": (-1, 10_000),
    "port": (1, 65_535),
    "deadline_s": (0.001, 86_400),
    "wait_s": (0, 86_400),
}
_COMMON = {"name", "context", "slots", "port", "deadline_s", "alone", "wait_s"}


@dataclass
class Deployment(AbstractContextManager["Deployment"]):
    """A model that is served now; leaving the block takes the server down with everything it started.

    `model`: what is served, as plans see it. `now`: where. `checkpoint`: the files. `seconds`: from the start to the
    first answer. `facts`: versions and settings of the server, for the evidence. `process` is None for a server that
    was there already; so is `log`.
    """

    model: Deployed
    now: Now
    checkpoint: Path | None
    process: Process | None = None
    seconds: float = 0.0
    facts: Mapping[str, str] = field(default_factory=dict)
    held: int | None = None
    _files: list[Path] = field(default_factory=list)

    @property
    def log(self) -> Path | None:
        """What the server writes."""
        return self.process.log if self.process else None

    def alive(self) -> bool | None:
        """Whether the server's process runs; None where it is not ours to know."""
        return self.process.alive() if self.process else None

    def save(self, file: Path) -> None:
        """Write the file that the backend `deployed:` reads; when the server goes down it says so there."""
        self.write(file)
        self._files.append(file)

    def write(self, file: Path) -> None:
        """The same, without a promise to keep it up to date."""
        record.write(file, self.model, self.now)

    def close(self) -> None:
        """Take the server down. Safe to call twice."""
        try:
            if self.process is not None:
                self.process.stop()
        finally:
            held, self.held = self.held, None
            if held is not None:
                os.close(held)
            files, self._files = self._files, []
            for file in files:
                record.write(file, self.model, None)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Deployer(ABC):
    """One kind of server. `name` is that of its entry point, `formats` the checkpoints that it serves."""

    name: str
    formats: tuple[str, ...] = ()
    serves: bool = True
    """Whether it serves the checkpoint that it is given; not so where a server is there already."""
    understands: frozenset[str] = frozenset()
    """The settings beyond the common ones that mean something to it."""

    def check(self, settings: Settings) -> None:
        """Raises ConfigError with every setting that is out of bounds or means nothing to this deployer."""
        if problems := [*_unbounded(settings), *self._strange(settings)]:
            raise ConfigError(problems)

    def _strange(self, settings: Settings) -> list[Problem]:
        known = _COMMON | self.understands
        changed = [part.name for part in fields(Settings) if getattr(settings, part.name) != part.default]
        allowed = ", ".join(sorted(known))
        return [
            Problem(f"{name!r} means nothing to the deployer {self.name}", key=f"serving.{name}", allowed=allowed)
            for name in changed
            if name not in known
        ]

    @abstractmethod
    def describe(self, checkpoint: Path, settings: Settings) -> Deployed:
        """What would be served, without starting anything: a plan can be made of it before it is deployed.

        Raises ConfigError, or ModelUnavailable where the checkpoint is not one that this deployer serves.
        """

    @abstractmethod
    def deploy(self, checkpoint: Path, settings: Settings, log: Path) -> Deployment:
        """Serve `checkpoint`; returns when the server answers and has the model.

        Raises ConfigError, MachineError where this machine cannot, DeploymentFailed where the server does not come up.
        """


def settings(values: Mapping[str, Any]) -> Settings:
    """Settings as people write them: `extra` is one text of arguments, as on a command line.

    Raises ConfigError with every key that is not known or of another type.
    """
    problems: list[Problem] = []
    found: dict[str, Any] = {}
    for key, value in values.items():
        kinds = _KINDS.get(key)
        if kinds is None:
            near = nearest(key, _KINDS)
            message = f"there is no setting {key!r} of a deployment"
            problems.append(Problem(message, key=f"serving.{key}", allowed=", ".join(_KINDS), nearest=near))
        elif not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            allowed = " or ".join(kind.__name__ for kind in kinds)
            problems.append(Problem(f"{key!r} cannot be {value!r}", key=f"serving.{key}", allowed=allowed))
        elif key == "extra":
            try:
                found[key] = tuple(shlex.split(str(value)))
            except ValueError as error:  # a quote that is not closed
                problems.append(Problem(f"{value!r} cannot be read: {error}", key="serving.extra", allowed="arguments"))
        else:
            found[key] = value
    if problems:
        raise ConfigError(problems)
    return Settings(**found)


_KINDS: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("name", "extra", "python", "url", "api_key_env", "served"), (str,)),
    **dict.fromkeys(("context", "slots", "threads", "gpu_layers", "port"), (int,)),
    **dict.fromkeys(("deadline_s", "wait_s"), (float, int)),
    **dict.fromkeys(("choices", "alone"), (bool,)),
}


def _unbounded(chosen: Settings) -> list[Problem]:
    problems = []
    for key, (low, high) in _BOUNDS.items():
        value = getattr(chosen, key)
        if value is not None and not low <= value <= high:
            allowed = f"from {low:g} to {high:g}"
            problems.append(Problem(f"{key!r} cannot be {value!r}", key=f"serving.{key}", allowed=allowed))
    return problems


# Deployer is abstract; what is asked for are its instances.
_PLUGINS: Plugins[Deployer] = Plugins(GROUP, Deployer, "deployer", LAYER)  # type: ignore[type-abstract]


def names() -> tuple[str, ...]:
    """Every deployer, in alphabetical order."""
    return _PLUGINS.names()


def find(name: str) -> Deployer:
    """The deployer of that name. Raises ConfigError naming the nearest one, MachineError where it does not load."""
    return _PLUGINS.find(name)
