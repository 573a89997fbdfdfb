"""A Hugging Face folder as a checkpoint: its configuration, its index, and the headers of its shards."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from assay.errors import EvidenceError, ModelUnavailable
from assay.release.checkpoint.declared import declared
from assay.release.checkpoint.record import Checkpoint, Shards, Tensor
from assay.release.checkpoint.safetensors import tensors_of
from assay.release.checkpoint.small import inside, read_bytes, read_object

INDEX = "model.safetensors.index.json"
PICKLES = frozenset((".bin", ".pt", ".pth", ".pkl", ".ckpt", ".pickle"))
_MOST_FILES = 1 << 14
_LARGEST_INDEX = 64 << 20
_PLAIN = re.compile(r"[^/\\\0]+\.safetensors")
_SHARD = re.compile(r"-(\d+)-of-(\d+)\.safetensors$")


def from_folder(folder: Path) -> Checkpoint:
    """What the folder holds. Raises ModelUnavailable or EvidenceError that says what is wrong with it."""
    names = _names(folder)
    there = sorted(name for name in names if name.endswith(".safetensors"))
    pickles = sorted(name for name in names if Path(name).suffix in PICKLES)
    if not there:
        _refuse(folder, names, pickles)
    index = read_object(folder, INDEX, _LARGEST_INDEX)
    wanted, faults = _wanted(folder, index)
    needed = sorted(set(wanted.values())) or there
    shards = Shards(len(there), tuple(sorted(set(needed) - set(there))), tuple(sorted(set(there) - set(needed))))
    read = [name for name in needed if name in there]
    tensors = [tensor for name in read for tensor in tensors_of(inside(folder, folder / name))]
    config = read_object(folder, "config.json")
    faults += [] if config else ["there is no config.json"]
    faults += _disagreements(wanted, tensors, shards) if wanted else _without_index(there, tensors)
    tokenizer = read_object(folder, "tokenizer_config.json")
    return Checkpoint(
        path=folder,
        format="safetensors",
        tensors=tuple(tensors),
        shards=shards,
        total_bytes=sum((folder / name).stat().st_size for name in there),
        config=config,
        generation=read_object(folder, "generation_config.json"),
        tokenizer=tokenizer,
        template=_template(folder, tokenizer),
        declared=declared(config, read_object(folder, "hf_quant_config.json")),
        faults=tuple(faults),
        unread=tuple(pickles),
    )


def _names(folder: Path) -> list[str]:
    try:
        names = [path.name for path in islice(folder.iterdir(), _MOST_FILES + 1)]
    except OSError as error:
        raise ModelUnavailable(f"{folder}: {error.strerror}", layer="files", errno=error.errno) from None
    if len(names) > _MOST_FILES:
        raise EvidenceError(f"{folder}: more than {_MOST_FILES} files")
    return names


def _refuse(folder: Path, names: Iterable[str], pickles: list[str]) -> None:
    if pickles:
        raise EvidenceError(
            f"{folder}: the weights are pickles ({', '.join(pickles[:3])}), which run code when they are loaded; "
            "they are not opened",
            hint="convert the checkpoint to safetensors where you trust it",
        )
    found = [name for name in names if name.endswith(".gguf")]
    hint = f"name the file: {folder / found[0]}" if found else None
    raise EvidenceError(f"{folder}: no *.safetensors file in it", hint=hint)


def _wanted(folder: Path, index: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """Which file each tensor should be in, by the index. A name that leads out of the folder is refused."""
    if not index:
        return {}, []
    named = index.get("weight_map")
    if not isinstance(named, dict) or not named:
        return {}, [f"{INDEX} has no weight_map"]
    for name, file in named.items():
        if not isinstance(file, str) or not _PLAIN.fullmatch(file):
            raise EvidenceError(f"{folder / INDEX}: {str(name)[:100]!r} is said to be in {str(file)[:100]!r}")
    return named, []


def _disagreements(wanted: Mapping[str, str], tensors: list[Tensor], shards: Shards) -> list[str]:
    """What the index says and the shards do not bear out."""
    found: dict[str, str] = {}
    faults: list[str] = []
    twice = [one.name for one in tensors if found.setdefault(one.name, one.file) != one.file]
    there = {name: file for name, file in wanted.items() if file not in shards.missing}
    lost = [name for name in there if name not in found]
    wrong = [name for name, file in there.items() if name in found and found[name] != file]
    unnamed = [name for name in found if name not in wanted]
    faults += _told(twice, "are in two shards")
    faults += _told(lost, "are in the index and in no shard")
    faults += _told(wrong, "are in another shard than the index says")
    faults += _told(unnamed, "are in a shard and not in the index")
    return faults


def _told(names: list[str], what: str) -> list[str]:
    return [f"{len(names)} tensors {what}, such as {names[0]!r}"] if names else []


def _without_index(files: list[str], tensors: list[Tensor]) -> list[str]:
    faults = []
    numbered = [match for match in map(_SHARD.search, files) if match]
    if numbered and len(numbered) != int(numbered[0][2]):
        faults.append(f"{len(numbered)} of {int(numbered[0][2])} shards are there")
    if len(files) > 1:
        faults.append(f"{len(files)} files of weights and no {INDEX}")
    seen: dict[str, str] = {}
    twice = [one.name for one in tensors if seen.setdefault(one.name, one.file) != one.file]
    return faults + _told(twice, "are in two files")


def _template(folder: Path, tokenizer: Mapping[str, Any]) -> str | None:
    """SHA-256 of the chat template, wherever the checkpoint keeps it."""
    data = read_bytes(folder, "chat_template.jinja")
    if data is None:
        kept = read_object(folder, "chat_template.json").get("chat_template") or tokenizer.get("chat_template")
        if kept is None:
            return None
        data = kept.encode() if isinstance(kept, str) else repr(kept).encode()
    # Tools differ in whether the last line is ended.
    return hashlib.sha256(data.rstrip(b"\n")).hexdigest()
