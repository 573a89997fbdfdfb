"""Whether a recipe fits a checkpoint, told from the names and shapes of its tensors alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.gates.keeping import BITS, BLOCK, Keeping
from assay.gates.recipe import PLAIN

if TYPE_CHECKING:
    from assay.gates.recipe import Recipe
    from assay.release.checkpoint import Checkpoint, Tensor

WEIGHT = ("", "weight")
"""The parts of a name under which a weight that is not quantized is found."""
_ALREADY = ("F8_E4M3", "F8_E5M2", "I8", "U8", "I32")


def wanted(source: Checkpoint, recipe: Recipe) -> list[Tensor]:
    """The weights that the recipe is to quantize."""
    return [one for one in source.tensors if one.part in WEIGHT and recipe.wants(one.layer, one.role)]


def kept(source: Checkpoint, recipe: Recipe) -> list[Tensor]:
    """The matrices that the recipe must leave as they are."""
    return [
        one
        for one in source.tensors
        if one.part in WEIGHT and len(one.shape) > 1 and not recipe.allows(one.layer, one.role)
    ]


def choices(source: Checkpoint, recipe: Recipe) -> dict[str, str]:
    """The matrices that the recipe keeps at a type of their own, by tensor."""
    held = [one for one in source.tensors if one.part in WEIGHT and len(one.shape) > 1] if recipe.keep else []
    keeping = Keeping.of(recipe, (one.layer for one in held))
    found = {one.name: keeping.type(one.layer, one.role) for one in held}
    return {name: kind for name, kind in found.items() if kind is not None}


def unkept(source: Checkpoint, recipe: Recipe) -> list[str]:
    """Choices that name no layer, or layers whose rows do not divide into the blocks of the type."""
    if not recipe.keep:
        return []
    roles = {one.layer: one.role for one in source.tensors if one.part in WEIGHT and len(one.shape) > 1}
    idle = Keeping.of(recipe, roles).unused(roles)
    found = [f"no layer of this model is one that it keeps by {', '.join(idle)}"] if idle else []
    kinds = choices(source, recipe)
    odd = [one for one in source.tensors if kinds.get(one.name) not in (None, *PLAIN) and one.shape[-1] % BLOCK]
    if odd:
        widths = ", ".join(str(width) for width in sorted({one.shape[-1] for one in odd}))
        found.append(f"{odd[0].name} has rows of {widths} values, which blocks of {BLOCK} do not divide")
    return found


def widest(recipe: Recipe) -> float:
    """The most bits a weight that the recipe asks of any layer."""
    return max(recipe.bits, *(BITS[kind] for kind in recipe.keep.values())) if recipe.keep else recipe.bits


def missing_targets(source: Checkpoint, recipe: Recipe) -> list[str]:
    """A recipe that targets layers of which the model has none, such as experts of a dense one."""
    if wanted(source, recipe):
        return []
    return [f"no layer of this model is one of its targets ({', '.join(recipe.targets)})"]


def uneven(source: Checkpoint, recipe: Recipe, group: int) -> list[str]:
    """Weights whose rows do not divide into groups that share a scale."""
    odd = [one for one in wanted(source, recipe) if one.shape[-1] % group]
    if not odd:
        return []
    widths = ", ".join(str(width) for width in sorted({one.shape[-1] for one in odd}))
    first = next((size for size in (128, 64, 32, 16) if not any(one.shape[-1] % size for one in odd)), None)
    advice = f"; groups of {first} would" if first and first < group else ""
    head = f"{len(odd)} weights, such as {odd[0].name}, have rows of {widths} values"
    return [f"{head}, which groups of {group} do not divide{advice}"]


def quantized_already(source: Checkpoint) -> list[str]:
    """A folder whose weights are quantized: its numbers are not the model's, and tools refuse or spoil it."""
    method = source.config.get("quantization_config")
    types = {one.dtype for one in source.tensors if one.dtype in _ALREADY and len(one.shape) > 1}
    if source.format != "safetensors" or not (method or types):
        return []
    named = method.get("quant_method") if isinstance(method, dict) else None
    return [f"the checkpoint is quantized already ({named or ', '.join(sorted(types))})"]
