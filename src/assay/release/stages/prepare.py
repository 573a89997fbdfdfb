"""`prepare`: the source is found, converted if asked, digested and inspected; what cannot be is told here."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from assay.errors import EvidenceError, MachineError
from assay.files import pretty, read_json, write_atomic
from assay.gates.result import Verdict
from assay.models import deployment as deployments
from assay.models.deployment import Deployed
from assay.release.feasible import Room, feasible
from assay.release.folder import BASELINE, digest
from assay.release.parts import cut, final_of
from assay.release.stages.base import Context, Output, Product, Stage

if TYPE_CHECKING:
    from assay.release.checkpoint import Checkpoint

SCHEMA = "assay.source.v1"
_ON_CPU = ("llamacpp", "transformers")


@dataclass(frozen=True, slots=True)
class Source:
    """The checkpoint that is released, as it lies here."""

    path: Path

    @property
    def digest(self) -> str:
        """SHA-256 of it, as it is now."""
        return digest(self.path)


def source_of(context: Context) -> Source:
    """The source that was prepared. Raises EvidenceError where none was."""
    value = read_json(context.folder.source / "source.json", SCHEMA)
    path = value.get("path")
    if not isinstance(path, str):
        raise EvidenceError(f"{context.folder.source}: source.json names no path")
    return Source(context.folder.at(path))


class Prepare(Stage):
    """Find the source and see whether what is asked can be decided."""

    name = "prepare"
    text = "preparing the source"

    @property
    def places(self) -> tuple[Path, ...]:
        """All there is: everything stands on the source."""
        return (self.folder.source, self.folder.point(BASELINE), self.folder.path / "candidates")

    @property
    def log(self) -> Path:
        """What a conversion writes."""
        return self.folder.source / "convert.log"

    def inputs(self) -> dict[str, str]:
        """What is asked, and the source as it was found."""
        release = self.context.release
        if self.folder.content() != release.content:
            raise EvidenceError("release.json is not what the spec asks for")
        return {"asked": release.digest, "source": digest(self._found())}

    def _found(self) -> Path:
        """The source before any conversion, fetched where it is not here."""
        from assay.release import sources

        asked = self.context.release.spec.source
        name = f"{asked.model}@{asked.revision}" if asked.revision else asked.model
        where = self.context.release.where.where or "source"
        return sources.resolve(name, self.context.watch.progress, where)

    def work(self) -> Product:
        """Resolve, convert, inspect, plan, and ask the gate."""
        from assay.release.checkpoint import inspect, view

        found = self._found()
        release, room = self.context.release, self._room(inspect(found))
        result = feasible(self._samples(), release.policy, release.levels, room)
        if result.verdict is Verdict.PASS and (lacking := room.lacking()):
            raise MachineError(lacking, layer="room", hint="free what it takes")
        path = self._converted(found) if result.verdict is Verdict.PASS else found.absolute()
        write_atomic(
            self.folder.source / "source.json",
            pretty(
                {"schema": SCHEMA, "path": self.folder.relative(path), "model": self.context.release.spec.source.model}
            ),
        )
        checkpoint = inspect(path)
        gate, output = self.kept(result, self.folder.source / "prepare.json")
        seen = self.folder.source / "view.json"
        write_atomic(seen, pretty(view(path).to_json()))
        made = Output(self.folder.relative(path), "tree" if path.is_dir() else "file", digest(path))
        files = (self.folder.source / "source.json", seen)
        named = (Output(self.folder.relative(file), "file", digest(file)) for file in files)
        return Product((made, *named, output), gate, {"source": self._facts(checkpoint, path)})

    def _facts(self, checkpoint: Checkpoint, path: Path) -> dict[str, object]:
        asked = self.context.release.spec.source
        return {
            "model": asked.model,
            "convert": asked.convert,
            "digest": digest(path),
            "format": checkpoint.format,
            "architecture": checkpoint.architecture,
            "parameters": checkpoint.parameters,
            "bytes": checkpoint.total_bytes,
            "linear_bytes": checkpoint.linear_bytes,
        }

    def _converted(self, found: Path) -> Path:
        """The source in the format that is asked for, made by the recipe of that name."""
        convert = self.context.release.spec.source.convert
        if convert is None:
            return found.absolute()
        from assay.release.quantizers.registry import find, recipe

        asked = recipe(convert, "source.convert")
        name = self.context.release.spec.source.model.rstrip("/").rpartition("/")[2].removesuffix(".gguf")
        out = self.folder.source / (f"{name}-{convert}.gguf" if asked.format == "gguf" else f"{name}-{convert}")
        if out.exists():
            shutil.rmtree(out) if out.is_dir() else out.unlink()  # of a process that was killed before it said so
        out.parent.mkdir(parents=True, exist_ok=True)
        find(asked.quantizer).quantize(found, asked, out, self.log, self.context.watch.progress)
        return out

    def _samples(self) -> dict[str, int]:
        """How many samples each task has in the last round."""
        from assay.plan.build import build
        from assay.release.stages.evaluate import spec_of

        release, file = self.context.release, self.folder.source / "planned.json"
        # No weights yet, so nothing is known of the model: it is taken for one that can do everything.
        model = Deployed(BASELINE, "0" * 64, "gguf", release.deployer.name, "llamacpp", context=1, choices=True)
        deployments.write(file, model, None)
        part = final_of(release.space)
        spec = spec_of(self.context, file, BASELINE, release.spec.samples.rounds, part)
        draft = cut(build(spec, release.where, self.context.watch.progress), part)
        file.unlink()
        return {name: len(task.samples) for name, task in draft.plan.tasks.items()}

    def _room(self, checkpoint: Checkpoint) -> Room:
        """What the largest weights take in memory, and all candidates together on the disk."""
        from assay.models.memory import available, installed
        from assay.release.quantizers.registry import find

        release = self.context.release
        each = [find(recipe.quantizer).needs(checkpoint, recipe) for recipe in release.recipes]
        disk = release.space.trials * max(each) if release.space else sum(each)
        there = shutil.disk_usage(self.folder.path)
        room = Room(disk_needed=disk, disk=there.total, disk_free=there.free)
        if release.deployer.name not in _ON_CPU or release.settings.gpu_layers:
            return room
        wide = 2 * checkpoint.parameters if release.spec.source.convert else 0
        needed = max(checkpoint.total_bytes, wide)
        return replace(room, memory_needed=needed, memory=installed(), memory_free=available())
