"""What a folder's tokenizer comes to, whatever files it is in: digests of its parts, and the ids of special tokens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assay.errors import EvidenceError
from assay.files import digest, digest_of
from assay.release.checkpoint.small import parsed, read_bytes, read_object

LARGEST = 256 << 20
_PARTS = ("normalizer", "pre_tokenizer", "post_processor", "decoder", "truncation", "padding")
_FILES = ("tokenizer.model", "vocab.json", "merges.txt", "vocab.txt", "spiece.model", "tekken.json")
_SPECIAL = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token")


def tokens(folder: Path) -> dict[str, Any]:
    """The parts of tokenizer.json by their digests; other files of tokens by theirs where there is none.

    Two libraries' ways to write the same merges are the same. Raises EvidenceError where a file cannot be believed.
    """
    found = _whole(folder)
    if not found:
        files = {name: read_bytes(folder, name, LARGEST) for name in _FILES}
        return {name: digest(data) for name, data in files.items() if data is not None}
    model = found.get("model")
    model = dict(model) if isinstance(model, dict) else {}
    merges = model.pop("merges", None)
    merges = [_merge(pair) for pair in merges] if isinstance(merges, list) else merges
    parts: dict[str, Any] = {
        "model.vocab": _digest(folder, model.pop("vocab", None)),
        "model.merges": _digest(folder, merges),
        "model": _digest(folder, {key: value for key, value in model.items() if value not in (None, False)}),
        "added_tokens": _digest(folder, found.get("added_tokens")),
    }
    return parts | {name: _digest(folder, found[name]) for name in _PARTS if found.get(name) is not None}


def _merge(pair: Any) -> Any:
    """A pair as the older text of two words."""
    texts = isinstance(pair, list) and all(isinstance(part, str) for part in pair)
    return " ".join(pair) if texts else pair


def _whole(folder: Path) -> dict[str, Any]:
    data = read_bytes(folder, "tokenizer.json", LARGEST)
    value = parsed(data, folder / "tokenizer.json") if data is not None else {}
    if not isinstance(value, dict):
        raise EvidenceError(f"{folder / 'tokenizer.json'}: not a JSON object")
    return value


def _digest(folder: Path, value: Any) -> str:
    try:
        return digest_of(value)
    except (TypeError, ValueError) as error:
        raise EvidenceError(f"{folder / 'tokenizer.json'}: {error}") from None


def special(folder: Path, tokenizer: Mapping[str, Any]) -> dict[str, str]:
    """The special tokens' texts by their roles, from tokenizer_config.json or special_tokens_map.json."""
    other = read_object(folder, "special_tokens_map.json")
    found = {name: tokenizer.get(name) or other.get(name) for name in _SPECIAL}
    texts = {name: value.get("content") if isinstance(value, dict) else value for name, value in found.items()}
    return {name: text for name, text in texts.items() if isinstance(text, str)}


def id_of(folder: Path, tokenizer: Mapping[str, Any], text: str) -> int | None:
    """The id of a special token; None where no file says it."""
    decoder = tokenizer.get("added_tokens_decoder")
    for key, entry in decoder.items() if isinstance(decoder, dict) else ():
        if isinstance(entry, dict) and entry.get("content") == text and str(key).isdecimal():
            return int(str(key)[:12])
    found = _whole(folder)
    added = found.get("added_tokens")
    for entry in added if isinstance(added, list) else ():
        if isinstance(entry, dict) and entry.get("content") == text and type(entry.get("id")) is int:
            return int(entry["id"])
    model = found.get("model")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    known = vocabulary.get(text) if isinstance(vocabulary, dict) else None
    return known if type(known) is int else None
