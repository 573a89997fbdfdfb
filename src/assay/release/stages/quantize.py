"""`quantize`: one candidate's checkpoint is made. `ptq`: the gate reads it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assay.errors import EvidenceError
from assay.files import pretty, read_json, write_atomic
from assay.gates.recipe import Recipe
from assay.release.folder import digest
from assay.release.stages.base import Context, Output, Product, Stage
from assay.release.stages.prepare import source_of


def made_at(context: Context, recipe: Recipe) -> Path:
    """Where a candidate's checkpoint goes."""
    folder = context.folder.point(recipe.name) / "checkpoint"
    return folder / (f"{recipe.name}.gguf" if recipe.format == "gguf" else recipe.name)


def digest_of_recipe(recipe: Recipe) -> str:
    """What tells it from any other recipe."""
    return str(recipe.to_json()["digest"])


class Quantize(Stage):
    """Make the candidate's checkpoint, in a process and an environment of its own."""

    name = "quantize"

    def __init__(self, context: Context, recipe: Recipe) -> None:
        super().__init__(context, recipe.name)
        self.recipe = recipe
        self.text = f"quantizing to {recipe.name}"

    @property
    def needs(self) -> tuple[str, ...]:
        """The source."""
        return ("prepare",)

    @property
    def places(self) -> tuple[Path, ...]:
        """All that is the candidate's."""
        return (self.place,)

    @property
    def log(self) -> Path:
        """What the quantizer writes."""
        return self.place / "quantize.log"

    def inputs(self) -> dict[str, str]:
        """The source and the recipe."""
        return {"source": source_of(self.context).digest, "recipe": digest_of_recipe(self.recipe)}

    def work(self) -> Product:
        """Run the quantizer."""
        from assay.release.quantizers.registry import find

        out = made_at(self.context, self.recipe)
        out.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(self.place / "recipe.json", pretty(self.recipe.to_json()))
        source = source_of(self.context).path
        made = find(self.recipe.quantizer).quantize(source, self.recipe, out, self.log, self.context.watch.progress)
        lock = self.place / "environment.json"
        write_atomic(lock, pretty({"schema": "assay.environment.v1", **made.environment}))
        outputs = [self._output(out, "tree" if out.is_dir() else "file"), self._output(lock, "file")]
        facts = {"bytes": made.bytes, "seconds": round(made.seconds, 3), "notes": list(made.notes)}
        return Product((*outputs, self._output(self.place / "recipe.json", "file")), None, facts)

    def _output(self, path: Path, kind: str) -> Output:
        return Output(self.folder.relative(path), "tree" if kind == "tree" else "file", digest(path))


class Ptq(Stage):
    """Hold the checkpoint that was made against its recipe and the source: headers, not summaries."""

    name = "ptq"
    text = "gate ptq"

    def __init__(self, context: Context, recipe: Recipe) -> None:
        super().__init__(context, recipe.name)
        self.recipe = recipe
        self.text = f"gate ptq on {recipe.name}"

    @property
    def needs(self) -> tuple[str, ...]:
        """The source and the checkpoint."""
        return ("prepare", f"quantize-{self.point}")

    @property
    def places(self) -> tuple[Path, ...]:
        """The gate's result."""
        return (self.place / "gates" / "ptq.json", self.place / "gates" / "view.json")

    def inputs(self) -> dict[str, str]:
        """Both checkpoints and the recipe."""
        checkpoint = digest(made_at(self.context, self.recipe))
        source = source_of(self.context).digest
        return {"source": source, "checkpoint": checkpoint, "recipe": digest_of_recipe(self.recipe)}

    def work(self) -> Product:
        """Read the headers, ask the gate."""
        from assay.gates.checkpoint import from_json
        from assay.gates.ptq import ptq
        from assay.release.checkpoint import view

        source = from_json(read_json(self.folder.source / "view.json"))
        made = view(made_at(self.context, self.recipe))
        seen = self.place / "gates" / "view.json"
        write_atomic(seen, pretty(made.to_json()))
        gate, output = self.kept(ptq(source, made, self.recipe), self.place / "gates" / "ptq.json")
        return Product((output, Output(self.folder.relative(seen), "file", digest(seen))), gate, self._sizes())

    def _sizes(self) -> dict[str, int]:
        """Bytes of both checkpoints; none of one whose headers cannot be read."""
        from assay.release.checkpoint import inspect

        try:
            made, source = inspect(made_at(self.context, self.recipe)), inspect(source_of(self.context).path)
        except EvidenceError:
            return {}
        sizes = {"bytes": made.total_bytes, "source_bytes": source.total_bytes}
        return {**sizes, "linear_bytes": made.linear_bytes, "source_linear_bytes": source.linear_bytes}


def recipe_of(value: Mapping[str, Any]) -> Recipe:
    """The recipe that a document describes. Raises EvidenceError where it is none."""
    content: dict[str, Any] = {
        key: tuple(part) if isinstance(part, list) else part
        for key, part in value.items()
        if key not in ("schema", "digest")
    }
    try:
        recipe = Recipe(**content)
    except TypeError as error:
        raise EvidenceError(f"not a recipe ({error})") from None
    if recipe.to_json() != value:
        raise EvidenceError(f"the recipe {recipe.name} was changed: its digest is not that of its content")
    return recipe
