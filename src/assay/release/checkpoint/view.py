"""A checkpoint as `gate ptq` reads it: its tensors, its metadata in plain values, and samples of its numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from assay.errors import EvidenceError
from assay.gates.checkpoint import CheckpointView, TensorView
from assay.gates.recipe import Format
from assay.release.checkpoint.digests import digest, span_digest
from assay.release.checkpoint.health import sampled
from assay.release.checkpoint.inspection import inspect
from assay.release.checkpoint.record import Checkpoint
from assay.release.checkpoint.tokenizer import id_of, special, tokens

_MOST_KEYS = 20_000
_LONGEST = 2_000
_LARGEST_ID = 2**31


def view(path: Path, *, samples: bool = True, hashed: bool = True) -> CheckpointView:
    """The checkpoint at `path` for the gate; one that cannot be believed is a view that says so.

    `samples`: look at some of its numbers; `hashed`: work out its digest, which reads all of it once. Raises
    ConfigError where there is no checkpoint, and MachineError where it cannot be read.
    """
    try:
        found = inspect(path)
        made = viewed(found)
        made = replace(made, samples=tuple(sampled(found))) if samples else made
    except EvidenceError as error:
        kind: Format = "gguf" if path.suffix == ".gguf" else "safetensors"
        return CheckpointView(path.name, kind, "broken", why=error.message.replace(str(path), path.name))
    return replace(made, digest=digest(found)) if hashed else made


def viewed(found: Checkpoint) -> CheckpointView:
    """The view of a checkpoint, without samples and digest. Raises EvidenceError where metadata cannot be believed."""
    return CheckpointView(
        name=found.path.name,
        format=found.format,
        tensors=tuple(TensorView(one.name, one.dtype, one.shape, one.bytes) for one in found.tensors),
        total_bytes=found.total_bytes,
        files=found.shards.files,
        missing=found.shards.missing,
        extra=found.shards.extra,
        faults=found.faults,
        architecture=found.architecture,
        tied=_tied(found),
        declared=found.declared,
        metadata=_gguf(found) if found.format == "gguf" else _folder(found),
        eos=dict(_eos(found)),
    )


def _tied(found: Checkpoint) -> bool | None:
    tied = found.config.get("tie_word_embeddings")
    return tied if isinstance(tied, bool) else None


def _gguf(found: Checkpoint) -> dict[str, dict[str, Any]]:
    """Every key; what is long or large by the digest of its bytes."""
    values = {key: _plain(found.metadata[key]) if key in found.metadata else None for key in found.spans}
    long = {key: span for key, span in found.spans.items() if _long(found.metadata.get(key))}
    return {"gguf": {**values, **{key: f"sha256:{span_digest(found.path, span)}" for key, span in long.items()}}}


def _long(value: Any) -> bool:
    """Whether a value is left out of the header's record, or is no plain value."""
    return value is None or isinstance(value, list) or (isinstance(value, str) and len(value) > _LONGEST)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**53:
        return str(value)
    if isinstance(value, str) and len(value) > _LONGEST:
        import hashlib

        return f"sha256:{hashlib.sha256(value.encode(errors='replace')).hexdigest()}"
    return value if isinstance(value, bool | int | float | str) or value is None else str(value)[:_LONGEST]


def _folder(found: Checkpoint) -> dict[str, dict[str, Any]]:
    if not found.path.is_dir():
        return {}
    tokenizer = {key: value for key, value in found.tokenizer.items() if key != "chat_template"}
    names = special(found.path, found.tokenizer)
    return {
        "config": dict(_flat(found.config)),
        "generation": dict(_flat(found.generation)),
        "tokenizer": {key: value for key, value in _flat(tokenizer) if key.partition(".")[0] not in names} | names,
        "tokens": tokens(found.path),
        "template": {"sha256": found.template} if found.template else {},
    }


def _flat(value: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Dotted keys and plain values; a list is its JSON. Raises EvidenceError where there are too many."""
    left: list[tuple[str, Any]] = list(value.items())
    for _ in range(_MOST_KEYS):
        if not left:
            return
        key, item = left.pop()
        if isinstance(item, Mapping) and item:
            left += [(f"{key}.{inner}", part) for inner, part in item.items()]
        else:
            listed = isinstance(item, list | dict)
            yield key, _plain(json.dumps(item, sort_keys=True, separators=(",", ":")) if listed else item)
    raise EvidenceError(f"a configuration of more than {_MOST_KEYS} keys")


def _eos(found: Checkpoint) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The ids that end a text, by where they are said."""
    if found.format == "gguf":
        yield from _ids("tokenizer", found.metadata.get("tokenizer.ggml.eos_token_id"))
        return
    yield from _ids("config", found.config.get("eos_token_id"))
    yield from _ids("generation", found.generation.get("eos_token_id"))
    text = special(found.path, found.tokenizer).get("eos_token") if found.path.is_dir() else None
    if text is not None:
        yield from _ids("tokenizer", id_of(found.path, found.tokenizer, text))


def _ids(place: str, value: Any) -> Iterator[tuple[str, tuple[int, ...]]]:
    listed = value if isinstance(value, list) else [value]
    ids = tuple(sorted({one for one in listed if type(one) is int and 0 <= one < _LARGEST_ID}))
    if ids:
        yield place, ids
