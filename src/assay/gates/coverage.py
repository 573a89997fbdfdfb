"""Layer by layer: what a recipe asks of the source's layers, and what the candidate holds in their place."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from assay.gates import keeping as keepings
from assay.gates.checkpoint import CheckpointView, TensorView
from assay.gates.keeping import Keeping
from assay.gates.layers import OTHERS, SCALES, WEIGHTS, role
from assay.gates.recipe import PLAIN, Recipe, Shape

BITS: Mapping[str, int] = {"float8": 8, "int8": 8, "int4": 4, "float4": 4}
"""Bits of a packed number, by what a recipe declares."""
_MADE = frozenset((*SCALES, *OTHERS)) - {"bias"}
"""Parts that a quantizer adds to a layer."""


@dataclass(slots=True)
class Layer:
    """The tensors of one layer by their parts; `` for a tensor whose name has none."""

    name: str
    parts: dict[str, TensorView] = field(default_factory=dict)

    @property
    def weight(self) -> TensorView | None:
        """The tensor that holds its numbers."""
        return next((self.parts[part] for part in (*WEIGHTS, "") if part in self.parts), None)

    @property
    def dtype(self) -> str:
        """The number format of its weight."""
        return self.weight.dtype if self.weight else "nothing"

    @property
    def role(self) -> str:
        """What it is, as its weight tells."""
        return role(self.name, len(self.weight.shape)) if self.weight else "other"

    @property
    def bytes(self) -> int:
        """Of its weight and all that was added to it; a bias is none of it."""
        return sum(one.bytes or 0 for part, one in self.parts.items() if part != "bias")


@dataclass(slots=True)
class Coverage:
    """What was found. Lists hold names of tensors or layers.

    `uncovered` has the type of each targeted layer that is of none of the recipe's; `types` counts the types of the
    targeted layers, `kept` of those that have a type of their own, and `wider` has the values and the wanted type of
    these. `unasked` are quantized, or cast, though the recipe leaves them alone. `bits` is the average over the
    targeted weights, scales counted.
    """

    wanted: int = 0
    values: int = 0
    bytes: int = 0
    source_bytes: int = 0
    fallback_values: int = 0
    types: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    wider: list[tuple[int, str]] = field(default_factory=list)
    quantized: set[str] = field(default_factory=set)
    uncovered: dict[str, str] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    reshaped: list[str] = field(default_factory=list)
    unasked: list[str] = field(default_factory=list)
    unscaled: list[str] = field(default_factory=list)
    misscaled: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)

    @property
    def bits(self) -> float:
        """Bits a targeted weight in the candidate."""
        return 8 * self.bytes / self.values

    @property
    def source_bits(self) -> float:
        """Bits a targeted weight in the source."""
        return 8 * self.source_bytes / self.values

    def expected(self, recipe: Recipe) -> tuple[float, float, float]:
        """Bits a targeted weight that the recipe comes to for this model: nominal, lowest and highest.

        The mean over the layers, each at the bits of its own type and weighed by its values.
        """
        rest = (recipe.bits, *recipe.band)
        if not self.wider:
            return rest
        kept = [(values, keepings.band(kind)) for values, kind in self.wider]
        left = self.values - sum(values for values, _ in kept)
        low, nominal, high = (
            (left * rest[place] + sum(values * bits[place] for values, bits in kept)) / self.values
            for place in (1, 0, 2)
        )
        return nominal, low, high


def layers(view: CheckpointView) -> dict[str, Layer]:
    """The layers of a checkpoint by name."""
    found: dict[str, Layer] = {}
    for tensor in view.tensors:
        found.setdefault(tensor.layer, Layer(tensor.layer)).parts[tensor.part] = tensor
    return found


@dataclass(frozen=True, slots=True)
class _Pair:
    """A layer of the source and of the candidate, both with their weights."""

    before: Layer
    source: TensorView
    after: Layer
    made: TensorView

    @property
    def name(self) -> str:
        return self.before.name

    @property
    def plain(self) -> bool:
        """Whether the candidate's weight is not quantized."""
        return self.made.dtype in PLAIN


def covered(source: CheckpointView, candidate: CheckpointView, recipe: Recipe) -> Coverage:
    """The candidate's layers against the source's and the recipe."""
    found = Coverage()
    before, after = layers(source), layers(candidate)
    tied = bool(source.tied or candidate.tied)
    keeping = Keeping.of(recipe, before)
    for name, layer in before.items():
        other = after.get(name, Layer(name))
        _kept(layer, other, found, tied=tied)
        if layer.weight is None:
            continue
        kept = keeping.type(name, layer.role)
        wanted = kept is not None or recipe.wants(name, layer.role)
        if kept is not None:
            found.wider.append((layer.weight.values, kept))
        if wanted:
            found.wanted += 1
            found.values += layer.weight.values
            found.source_bytes += layer.bytes
        if other.weight is not None:
            pair = _Pair(layer, layer.weight, other, other.weight)
            if wanted:
                _targeted(pair, recipe, found, kept)
            else:
                _left(pair, recipe, found)
        elif wanted:
            found.uncovered[name] = "nothing"
    for name, layer in after.items():
        if name not in before and not (tied and layer.role == "head" and layer.dtype in PLAIN):
            found.added.append(name)
    return found


def _kept(layer: Layer, other: Layer, found: Coverage, *, tied: bool) -> None:
    """Weights and biases stay, and none comes; a head that is the embedding may be written or not."""
    if layer.weight is not None and other.weight is None and not (tied and layer.role == "head"):
        found.lost.append(layer.name)
    if ("bias" in layer.parts) > ("bias" in other.parts):
        found.lost.append(layer.parts["bias"].name)
    if ("bias" in other.parts) > ("bias" in layer.parts):
        found.added.append(other.parts["bias"].name)


def _targeted(pair: _Pair, recipe: Recipe, found: Coverage, kept: str | None) -> None:
    """A layer that must be quantized; `kept` is the type of one that is kept at a wider one."""
    dtype = pair.made.dtype
    found.bytes += pair.after.bytes
    (found.types if kept is None else found.kept)[dtype] += 1
    if kept is None and dtype not in recipe.own:
        found.fallback_values += pair.source.values
    if dtype not in ((kept,) if kept else recipe.types):
        found.uncovered[pair.name] = dtype
        found.orphans += [one.name for part, one in pair.after.parts.items() if part in SCALES and pair.plain]
        return
    if not pair.plain:
        found.quantized.add(pair.name)
    if not _holds(pair, recipe):
        found.reshaped.append(pair.name)
    _scaled(pair, recipe, found)


def _holds(pair: _Pair, recipe: Recipe) -> bool:
    """Whether the weight holds the source's values; packed ones may be filled up to whole words a row."""
    source, made = pair.source, pair.made
    if recipe.format == "gguf" or made.shape == source.shape:
        return made.shape == source.shape
    bits = min((BITS.get(kind, 0) for kind in recipe.declared), default=0)
    if not bits or made.bytes is None:
        return False
    held, word = 8 * made.bytes // bits, 32 // bits
    rows = max(math.prod(source.shape[:-1]), 1)
    return source.values <= held <= rows * -(-source.shape[-1] // word) * word


def _scaled(pair: _Pair, recipe: Recipe, found: Coverage) -> None:
    for part, shape in recipe.scales.items():
        scale = pair.after.parts.get(part)
        if scale is None:
            found.unscaled.append(f"{pair.name} ({part})")
        elif not _fits(scale, pair.source, shape, recipe.group):
            found.misscaled.append(scale.name)


def _fits(scale: TensorView, source: TensorView, shape: Shape, group: int | None) -> bool:
    """Whether there are as many scales as the recipe says."""
    rows, columns = max(math.prod(source.shape[:-1]), 1), source.shape[-1]
    experts = math.prod(source.shape[:-2]) if len(source.shape) > 2 else 1
    if shape == "any":
        return True
    if shape == "tensor":
        return scale.values in (1, experts)
    return scale.values == (rows if shape == "channel" else rows * -(-columns // (group or columns)))


def _left(pair: _Pair, recipe: Recipe, found: Coverage) -> None:
    """A layer that the recipe leaves alone keeps its type and gets no scales; a free one may be of any type."""
    if recipe.allows(pair.name, pair.before.role):
        return
    added = [one.name for part, one in pair.after.parts.items() if part in _MADE and part not in pair.before.parts]
    if pair.made.dtype != pair.source.dtype:
        found.unasked.append(f"{pair.name} ({pair.source.dtype} became {pair.made.dtype})")
    elif pair.made.shape != pair.source.shape:
        found.reshaped.append(pair.name)
    found.orphans += added if pair.plain else []
