"""A Hugging Face checkpoint on disk: which files make it up, their digest, the model's size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from assay.errors import ModelUnavailable
from assay.files import digest_of
from assay.models.base import Size
from assay.models.digests import cached_digest
from assay.models.safetensors_header import parameters_in

_SHAPING = ("*.safetensors", "*.json", "*.jinja", "*.model", "merges.txt", "vocab.txt")
"""What shapes an answer: weights, configuration, tokeniser, templates."""
_OVERHEAD = 512 << 20
BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


def weights(folder: Path) -> list[Path]:
    """The safetensors files of a folder. Raises ModelUnavailable where there is none: pickles are not loaded."""
    found = sorted(folder.glob("*.safetensors"))
    if not found:
        hint = "convert the checkpoint to safetensors; files that run code when loaded are not opened"
        raise ModelUnavailable(f"{folder} holds no *.safetensors file", layer="hf", hint=hint)
    return found


def folder_digest(folder: Path) -> str:
    """The digest of all files that shape an answer, by name and SHA-256."""
    paths = sorted({path for pattern in _SHAPING for path in folder.glob(pattern) if path.is_file()})
    return digest_of({path.name: cached_digest(path) for path in paths})


def folder_size(folder: Path, dtype: str | None, batch: int) -> Size:
    """Counted over the safetensors headers; memory for weights in `dtype`, and caches of a batch."""
    count = parameters_in(weights(folder))
    config = read_config(folder)
    held = BYTES.get(dtype or "") or BYTES.get(str(config.get("dtype") or config.get("torch_dtype")), 4)
    return Size(count, count * held + cache_bytes(config, batch, held) + _OVERHEAD, "safetensors headers")


def read_config(folder: Path) -> Mapping[str, Any]:
    """`config.json`. Raises ModelUnavailable where it is missing or broken."""
    path = folder / "config.json"
    try:
        value = orjson.loads(path.read_bytes())
    except OSError as error:
        raise ModelUnavailable(f"{path}: {error.strerror}", layer="hf", errno=error.errno) from None
    except orjson.JSONDecodeError as error:
        raise ModelUnavailable(f"{path}: not JSON ({error})", layer="hf") from None
    if not isinstance(value, dict):
        raise ModelUnavailable(f"{path}: not a JSON object", layer="hf")
    return value


def cache_bytes(config: Mapping[str, Any], batch: int, held: int) -> int:
    """Bytes of the key-value cache of `batch` prompts of the usual 2,048 tokens; 0 where the config does not say."""
    layers, heads = _positive(config, "num_hidden_layers"), _positive(config, "num_attention_heads")
    length = _positive(config, "head_dim") or _positive(config, "hidden_size") // max(heads, 1)
    grouped = _positive(config, "num_key_value_heads") or heads
    return 2 * layers * grouped * length * held * batch * 2048


def _positive(config: Mapping[str, Any], key: str) -> int:
    value = config.get(key)
    return value if type(value) is int and value > 0 else 0


def has_template(folder: Path) -> bool:
    """Whether the checkpoint's tokeniser has a chat template."""
    if (folder / "chat_template.jinja").is_file():
        return True
    try:
        return "chat_template" in orjson.loads((folder / "tokenizer_config.json").read_bytes())
    except (OSError, orjson.JSONDecodeError, TypeError):
        return False
