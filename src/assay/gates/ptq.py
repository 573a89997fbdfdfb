"""`gate ptq`: is this checkpoint what the recipe says, and otherwise the same model? By its tensors, not its labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from assay.errors import AssayError, EvidenceError, FailureClass
from assay.gates import checkpoint as views
from assay.gates import recipe as recipes
from assay.gates.changes import changes
from assay.gates.checkpoint import CheckpointView
from assay.gates.coverage import Coverage, covered, layers
from assay.gates.keeping import Keeping
from assay.gates.recipe import PLAIN, Recipe
from assay.gates.result import Check, GateResult, Verdict

GATE = "ptq"
PRECEDENCE = (
    FailureClass.MODEL_UNSUPPORTED,
    FailureClass.EVIDENCE_INVALID,
    FailureClass.QUANT_COVERAGE_FAILURE,
    FailureClass.USER_CONFIG_ERROR,
)
"""Which kind of failure names the result where there are several. Bytes that cannot be believed go before what they
would say of coverage."""
MOST_ZERO = 0.01
"""The largest share of sampled scales that may be 0: rows of zeros are rare, and a scale that underflowed is one."""
_SHOWN = 3
_LONGEST = 120
_COVERAGE = FailureClass.QUANT_COVERAGE_FAILURE
_CONFIG = FailureClass.USER_CONFIG_ERROR


def ptq(source: Any, candidate: Any, recipe: Any) -> GateResult:
    """PASS, FAIL, or INFEASIBLE where the recipe does not fit the model. Takes views, or JSON, and a recipe or its
    name; never raises.
    """
    try:
        held = recipe if isinstance(recipe, Recipe) else recipes.named(recipe)
    except AssayError as error:
        return GateResult(GATE, Verdict.INFEASIBLE, (f"the recipe: {error.message}",), _CONFIG)
    read: list[CheckpointView] = []
    for role, value in (("source", source), ("candidate", candidate)):
        try:
            read.append(value if isinstance(value, CheckpointView) else views.from_json(value))
        except EvidenceError as error:
            reason = f"{role}: {error.message}"
            return GateResult(GATE, Verdict.FAIL, (reason,), error.failure_class, policy=held.to_json())
    return _decided(read[0], read[1], held)


def _decided(source: CheckpointView, candidate: CheckpointView, recipe: Recipe) -> GateResult:
    checks = [*_readable(source, candidate)]
    if all(check.ok for check in checks):
        checks += _fitting(source, candidate, recipe)
    numbers: dict[str, Any] = {}
    if all(check.ok for check in checks):
        found = covered(source, candidate, recipe)
        checks += _checks(source, candidate, recipe, found)
        numbers = _numbers(source, candidate, recipe, found)
    failed = [check for check in checks if check.ok is not True]
    worst = min(failed, key=lambda check: PRECEDENCE.index(check.failure_class or _CONFIG)) if failed else None
    ordered = sorted(failed, key=lambda check: PRECEDENCE.index(check.failure_class or _CONFIG))
    reasons = [f"{check.where}: {check.reason}" if check.where else check.reason for check in ordered]
    return GateResult(
        gate=GATE,
        verdict=(worst.forces or Verdict.FAIL) if worst else Verdict.PASS,
        reasons=tuple(reasons) or (_praise(numbers, recipe),),
        failure_class=worst.failure_class if worst else None,
        checks=tuple(checks),
        numbers=numbers,
        inputs=(source.identity("source"), candidate.identity("candidate")),
        policy=recipe.to_json(),
    )


def _check(
    name: str, ok: bool, observed: Any, limit: Any, reason: str, kind: FailureClass = _COVERAGE, where: str = ""
) -> Check:
    forces = Verdict.FAIL if kind in (_COVERAGE, FailureClass.EVIDENCE_INVALID) else Verdict.INFEASIBLE
    return Check(name, ok, where, observed, limit, _printable(reason), forces, kind)


def _printable(text: str) -> str:
    """What is shown to people has names in it that strangers chose."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def _readable(source: CheckpointView, candidate: CheckpointView) -> Iterator[Check]:
    for role, view in (("source", source), ("candidate", candidate)):
        ok = view.state == "read" and bool(view.tensors)
        reason = view.why or "there is no tensor in it"
        yield _check("readable", ok, view.state, "read", reason, FailureClass.EVIDENCE_INVALID, role)


def _fitting(source: CheckpointView, candidate: CheckpointView, recipe: Recipe) -> Iterator[Check]:
    """Whether this recipe can be asked of this model at all."""
    wanted = {name: layer for name, layer in layers(source).items() if recipe.wants(name, layer.role)}
    reason = f"the recipe {recipe.name} targets no layer of this model ({', '.join(recipe.targets)})"
    yield _check("targeted", bool(wanted), len(wanted), 1, reason, FailureClass.MODEL_UNSUPPORTED)
    if recipe.keep:
        roles = {name: layer.role for name, layer in layers(source).items()}
        idle = Keeping.of(recipe, roles).unused(roles)
        reason = f"no layer of this model is one that {recipe.name} keeps by {_some(idle)}"
        yield _check("kept", not idle, len(idle), 0, reason, FailureClass.MODEL_UNSUPPORTED)
    for role, view in (("source", source), ("candidate", candidate)):
        reason = f"a {view.format} checkpoint, and the recipe {recipe.name} is of {recipe.quantizer}"
        yield _check("format", view.format == recipe.format, view.format, recipe.format, reason, _CONFIG, role)
    empty = sorted(name for name, layer in wanted.items() if layer.weight and not layer.weight.values * layer.bytes)
    reason = f"{len(empty)} of its targeted layers are of no known size: {_some(empty)}"
    yield _check("source_sized", not empty, len(empty), 0, reason, FailureClass.EVIDENCE_INVALID, "source")
    if recipe.quantizes and source.format == recipe.format:
        held = sorted({layer.dtype for layer in wanted.values()} - set(PLAIN))
        reason = f"the source's layers are of {', '.join(held)}: it is quantized already"
        yield _check("source_precision", not held, held, list(PLAIN), reason, _CONFIG, "source")


def _checks(source: CheckpointView, candidate: CheckpointView, recipe: Recipe, found: Coverage) -> Iterator[Check]:
    yield from _whole(candidate)
    yield from _coverage(found, recipe)
    yield from _scales(found)
    yield from _declared(candidate, recipe, found)
    yield from _sizes(source, candidate, recipe, found)
    yield from _samples(candidate)
    yield from _metadata(source, candidate, recipe)


def _whole(candidate: CheckpointView) -> Iterator[Check]:
    missing = f"{len(candidate.missing)} shards of the index are missing: {_some(candidate.missing)}"
    yield _check("shards", not candidate.missing, len(candidate.missing), 0, missing)
    extra = f"{len(candidate.extra)} files of weights are not in the index: {_some(candidate.extra)}"
    yield _check("extra_files", not candidate.extra, len(candidate.extra), 0, extra)
    yield _check("faults", not candidate.faults, len(candidate.faults), 0, "; ".join(candidate.faults))


def _coverage(found: Coverage, recipe: Recipe) -> Iterator[Check]:
    lost = f"{len(found.lost)} tensors of the source are not there: {_some(found.lost)}"
    yield _check("tensors_kept", not found.lost, len(found.lost), 0, lost)
    added = f"{len(found.added)} tensors are there that the source has not got: {_some(found.added)}"
    yield _check("tensors_added", not found.added, len(found.added), 0, added)
    shapes = f"{len(found.reshaped)} tensors hold another number of values than the source's: {_some(found.reshaped)}"
    yield _check("shapes", not found.reshaped, len(found.reshaped), 0, shapes)
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(Counter(found.uncovered.values()).items()))
    few = f"{len(found.uncovered)} of {found.wanted} targeted layers are not of the recipe's types ({kinds}), such as "
    few += _some(found.uncovered)
    yield _check("covered", not found.uncovered, found.wanted - len(found.uncovered), found.wanted, few)
    held = sum(found.types[kind] for kind in recipe.own)
    types = ", ".join(f"{kind} {count}" for kind, count in found.types.most_common())
    none = f"it holds no tensor of {' or '.join(recipe.own)}, whatever its label says: its layers are {types}"
    yield _check("scheme_held", held > 0, held, 1, none)
    wrong = f"{len(found.unasked)} tensors are quantized or cast that the recipe leaves alone: {_some(found.unasked)}"
    yield _check("excluded", not found.unasked, len(found.unasked), 0, wrong)


def _scales(found: Coverage) -> Iterator[Check]:
    bare = f"{len(found.unscaled)} quantized weights lack a scale: {_some(found.unscaled)}"
    yield _check("scales", not found.unscaled, len(found.unscaled), 0, bare)
    odd = f"{len(found.misscaled)} scales do not fit their weights: {_some(found.misscaled)}"
    yield _check("scale_shapes", not found.misscaled, len(found.misscaled), 0, odd)
    alone = f"{len(found.orphans)} scales are of no quantized weight: {_some(found.orphans)}"
    yield _check("scales_used", not found.orphans, len(found.orphans), 0, alone)


def _declared(candidate: CheckpointView, recipe: Recipe, found: Coverage) -> Iterator[Check]:
    """What the checkpoint says of itself: servers go by it."""
    said = candidate.declared
    if recipe.format == "gguf":
        scheme = said.get("scheme") if said else None
        reason = f"it is labelled {scheme}, and the recipe is {recipe.scheme}"
        yield _check("declared", scheme in (None, *recipe.declared), scheme, list(recipe.declared), reason)
        return
    types = ", ".join(f"{kind} {count}" for kind, count in found.types.most_common()) or "none"
    numbers = said.get("numbers") if said else None
    reason = f"its configuration declares {_listed(numbers)}, the recipe is {_listed(recipe.declared)}"
    reason += f" and the layers are of {types}"
    yield _check("declared", numbers == list(recipe.declared), numbers, list(recipe.declared), reason)
    method = said.get("method") if said else None
    wanted = recipe.method
    reason = f"its configuration says that {method} made it, and the recipe is of {wanted}"
    yield _check("declared_method", wanted in (None, method), method, wanted, reason)
    groups = said.get("groups") if said else None
    sizes = [recipe.group] if recipe.group else []
    reason = f"its configuration declares scales over {_listed(groups)} values, and the recipe {_listed(sizes)}"
    yield _check("declared_group", not sizes or groups == sizes, groups, sizes, reason)
    names = said.get("ignore") if said else None
    left = sorted(set(names if isinstance(names, list) else ()) & found.quantized)
    reason = f"{len(left)} layers are quantized that its configuration says are not: {_some(left)}"
    yield _check("declared_ignore", not left, len(left), 0, reason)


def _listed(values: Any) -> str:
    return ", ".join(map(str, values)) if isinstance(values, list | tuple) and values else "nothing"


def _sizes(source: CheckpointView, candidate: CheckpointView, recipe: Recipe, found: Coverage) -> Iterator[Check]:
    nominal, low, high = found.expected(recipe)
    bits = found.bits
    reason = f"its targeted layers take {bits:.3f} bits a weight, outside the recipe's {low:g} to {high:g}"
    reason += f" (nominally {nominal:g})"
    yield _check("linear_bits", low <= bits <= high, bits, [low, high], reason)
    if recipe.bits >= found.source_bits:
        return
    reason = f"it is not smaller than its source: {candidate.total_bytes} of {source.total_bytes} bytes"
    smaller = 0 < candidate.total_bytes < source.total_bytes
    yield _check("size", smaller, candidate.total_bytes, source.total_bytes, reason)


def _samples(candidate: CheckpointView) -> Iterator[Check]:
    broken = [one.tensor for one in candidate.samples if one.broken]
    reason = f"{len(broken)} tensors hold numbers that are infinite or none at all: {_some(broken)}"
    yield _check("finite", not broken, len(broken), 0, reason)
    scales = [one for one in candidate.samples if one.scales and one.looked]
    dead = [one.tensor for one in scales if one.zero == one.looked]
    reason = f"of {len(dead)} tensors every sampled scale is 0: {_some(dead)}"
    yield _check("scales_alive", not dead, len(dead), 0, reason)
    looked, zero = sum(one.looked for one in scales), sum(one.zero for one in scales)
    reason = f"{zero} of {looked} sampled scales are 0"
    yield _check("scales_zero", zero <= MOST_ZERO * looked, zero, MOST_ZERO, reason)


def _metadata(source: CheckpointView, candidate: CheckpointView, recipe: Recipe) -> Iterator[Check]:
    found = changes(source, candidate, recipe.expected)
    blocking = [one for one in found if one.kind == "blocking"]
    told = [f"{one.section} {one.key}" for one in blocking]
    observed = [one.to_json() for one in blocking[:20]]
    reason = f"{len(blocking)} settings differ from the source's that quantizing does not change: {_some(told)}"
    yield _check("metadata", not blocking, observed, 0, reason)
    apart = _apart(candidate.eos)
    reason = f"its files disagree about the token that ends a text: {_places(candidate.eos)}"
    yield _check("eos", not apart or candidate.eos == source.eos, {k: list(v) for k, v in candidate.eos.items()},
                 None, reason)  # fmt: skip


def _apart(eos: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether two places name no id in common."""
    known = [set(ids) for ids in eos.values() if ids]
    return any(not one & other for one in known for other in known)


def _places(eos: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{place} {'/'.join(map(str, ids))}" for place, ids in sorted(eos.items()))


def _some(names: Sequence[str] | Mapping[str, Any]) -> str:
    """The first few names."""
    listed = [name if len(name) <= _LONGEST else f"{name[:_LONGEST]}…" for name in sorted(names)]
    return ", ".join(listed[:_SHOWN]) + (" …" if len(listed) > _SHOWN else "")


def _numbers(source: CheckpointView, candidate: CheckpointView, recipe: Recipe, found: Coverage) -> dict[str, Any]:
    fallbacks = {kind: count for kind, count in sorted(found.types.items()) if kind not in recipe.own}
    nominal, low, high = (bits / found.source_bits for bits in found.expected(recipe))
    kept = {"kept": dict(sorted(found.kept.items()))} if recipe.keep else {}
    return {
        **kept,
        "targeted": found.wanted,
        "covered": found.wanted - len(found.uncovered),
        "types": dict(sorted(found.types.items())),
        "fallbacks": fallbacks,
        "fallback_share": found.fallback_values / found.values,
        "linear_bits": found.bits,
        "linear_bytes": found.bytes,
        "source_linear_bytes": found.source_bytes,
        "linear_ratio": found.bytes / found.source_bytes,
        "linear_ratio_band": {"nominal": nominal, "low": low, "high": high},
        "total_bytes": candidate.total_bytes,
        "source_total_bytes": source.total_bytes,
        "total_ratio": candidate.total_bytes / source.total_bytes if source.total_bytes else None,
        "samples": sum(one.looked for one in candidate.samples),
        "changes": [one.to_json() for one in changes(source, candidate, recipe.expected)],
    }


def _praise(numbers: Mapping[str, Any], recipe: Recipe) -> str:
    fallen = sum(numbers["fallbacks"].values())
    said = f"all {numbers['targeted']} targeted layers are quantized, at {numbers['linear_bits']:.2f} bits a weight"
    said = said if recipe.quantizes else f"all {numbers['targeted']} layers are in {recipe.scheme}"
    if fallen:
        kinds = ", ".join(f"{kind} {count}" for kind, count in numbers["fallbacks"].items())
        said += f"; {fallen} of them in a fallback type ({kinds})"
    if kept := numbers.get("kept"):
        said += f"; kept: {', '.join(f'{kind} {count}' for kind, count in kept.items())}"
    return said
