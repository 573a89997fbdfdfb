"""What a quantizer is: it turns a checkpoint into a smaller one, in a process and an environment of its own.

Others come through the same door, the entry-point group `assay.quantizers`. What they all share is here: what does not
fit is refused before anything is started, the result is written aside and put in place whole, and a process that is
killed leaves nothing that looks finished.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import orjson

from assay.data.sources import Progress
from assay.document import nearest
from assay.errors import ConfigError, ModelUnavailable, Problem
from assay.gates.recipe import Recipe, of
from assay.release.child import OFFLINE, run
from assay.release.environments import room
from assay.release.placing import aside, put, size

if TYPE_CHECKING:
    from assay.release.checkpoint import Checkpoint
    from assay.release.environments import Environment

TIMEOUT_S = 24 * 3600.0
WORKERS = Path(__file__).with_name("workers")


@dataclass(frozen=True, slots=True)
class Option:
    """A number or text that a recipe may set: its type, what it means, the lowest value or the only ones."""

    type: type[int] | type[str]
    meaning: str
    lowest: int = 1
    values: tuple[str, ...] = ()

    def problem(self, value: Any) -> str | None:
        """What would be right, where `value` is not."""
        if type(value) is not self.type:
            return "a whole number" if self.type is int else "text"
        if self.values and value not in self.values:
            return ", ".join(self.values)
        return f"at least {self.lowest}" if isinstance(value, int) and value < self.lowest else None


@dataclass(frozen=True, slots=True)
class Made:
    """What came of it. `seconds`: of quantizing, without setting the environment up; `environment`: its lock."""

    path: Path
    seconds: float
    bytes: int
    environment: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As a document; the path is as it was asked for."""
        value: dict[str, Any] = {"path": str(self.path), "seconds": round(self.seconds, 3), "bytes": self.bytes}
        return {**value, "environment": dict(self.environment), "notes": list(self.notes)}


@dataclass(frozen=True, slots=True)
class Job:
    """One quantization on its way: what of, how, and where things go. `scratch` is removed at its end."""

    source: Checkpoint
    recipe: Recipe
    out: Path
    scratch: Path
    log: Path
    progress: Progress | None
    python: Path | None
    notes: list[str] = field(default_factory=list)

    def option(self, name: str, default: Any) -> Any:
        """What the recipe says, or the default."""
        return self.recipe.options.get(name, default)

    def work(self, environment: Environment, script: str, job: Mapping[str, Any]) -> float:
        """Run one of the scripts in `workers` inside an environment; the seconds it took. Raises MachineError."""
        path = self.scratch / f"{script}.json"
        path.write_bytes(orjson.dumps(job))
        command = [str(environment.python), "-I", str(WORKERS / f"{script}.py"), str(path)]
        what = f"{self.recipe.name} with {environment.name}"
        return self.command(command, what)

    def command(self, command: list[str], what: str) -> float:
        """Run a command; the seconds it took. Raises MachineError."""
        return run(
            command,
            self.log,
            what,
            layer="quantize",
            progress=self.progress,
            timeout_s=TIMEOUT_S,
            environment=OFFLINE,
        )


class Quantizer(ABC):
    """A tool that quantizes. Only `misfits` and `make` are its own."""

    name: ClassVar[str]
    summary: ClassVar[str]
    options: ClassVar[Mapping[str, Option]] = {}
    """What a recipe's `options` may say to it."""

    def recipes(self) -> tuple[Recipe, ...]:
        """The recipes that are for it."""
        return of(self.name)

    @abstractmethod
    def misfits(self, source: Checkpoint, recipe: Recipe) -> list[str]:
        """Why this recipe cannot work for this checkpoint, told from its tensors' shapes; empty where nothing is known.

        Nothing is started, nothing of the weights is read.
        """

    def warnings(self, source: Checkpoint, recipe: Recipe) -> list[str]:
        """What will not be as the recipe's name says, though it works."""
        return []

    @abstractmethod
    def make(self, job: Job) -> tuple[float, Mapping[str, Any]]:
        """Write `job.out`; the seconds it took, and the lock of the environment. Raises MachineError."""

    @abstractmethod
    def needs(self, source: Checkpoint, recipe: Recipe) -> int:
        """Bytes of disk that the work takes beside the source, about."""

    def quantize(
        self,
        source: Path,
        recipe: Recipe,
        out: Path,
        log: Path,
        progress: Progress | None = None,
        *,
        python: Path | None = None,
    ) -> Made:
        """Make `out`, a GGUF file or a folder, of the checkpoint at `source`; it must not be there yet.

        `log` gets all that the tool writes; `python` is used instead of an environment of assay's. Raises ConfigError
        for an option or a path that cannot be meant, ModelUnavailable where the recipe does not fit the checkpoint,
        MachineError where the tool fails or this machine cannot run it; then `out` is not there.
        """
        from assay.release.checkpoint import inspect

        self.check(recipe, out)
        checkpoint = inspect(source)
        if misfits := self.misfits(checkpoint, recipe):
            hint = "`assay checkpoint recipes SOURCE` says which recipes fit"
            raise ModelUnavailable(
                f"{recipe.name} does not fit {source}: {'; '.join(misfits)}", layer="quantize", hint=hint
            )
        room(out.absolute().parent, self.needs(checkpoint, recipe), f"quantizing {source.name}")
        with aside(out) as scratch:
            part = scratch / out.name
            job = Job(checkpoint, recipe, part, scratch, log, progress, python)
            began = time.monotonic()
            seconds, lock = self.make(job)
            put(part, out)
        return Made(out, min(seconds, time.monotonic() - began), size(out), lock, tuple(job.notes))

    def check(self, recipe: Recipe, out: Path) -> None:
        """Raises ConfigError with everything that is wrong with a recipe's options and the place of its result."""
        problems = [*self._option_problems(recipe)]
        if out.exists() or out.is_symlink():
            problems.append(Problem(f"{out} is there already", "--out", allowed="a path that is not there yet"))
        if recipe.format == "gguf" and out.suffix != ".gguf":
            problems.append(Problem(f"{out} is to be a GGUF file", "--out", allowed="a name that ends in .gguf"))
        if problems:
            raise ConfigError(problems)

    def _option_problems(self, recipe: Recipe) -> Iterator[Problem]:
        if recipe.quantizer != self.name:
            yield Problem(f"{recipe.name} is a recipe for {recipe.quantizer}, not for {self.name}", "--recipe")
        for name, value in recipe.options.items():
            if name not in self.options:
                allowed, close = ", ".join(self.options) or "none", nearest(name, self.options)
                yield Problem(f"no option {name!r} of {self.name}", key="options", allowed=allowed, nearest=close)
            elif allowed_ := self.options[name].problem(value):
                yield Problem(f"{value!r} is no value for it", key=f"options.{name}", allowed=allowed_)
