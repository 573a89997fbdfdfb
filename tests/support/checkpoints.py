"""Checkpoints for tests: safetensors and GGUF files written byte by byte, a tiny model in many schemes, and one of 70
billion parameters whose data are a hole in the file. As a script it writes the large ones: `checkpoints.py FOLDER`.
"""

from __future__ import annotations

import json
import math
import struct
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

BITS = {"F32": 32, "F16": 16, "BF16": 16, "F8_E4M3": 8, "I8": 8, "U8": 8, "I32": 32, "I64": 64}
Tensors = Mapping[str, tuple[str, tuple[int, ...], bytes | None]]
"""Number format, shape and data of each tensor; None for a hole."""


def size(dtype: str, shape: tuple[int, ...]) -> int:
    return math.prod(shape) * BITS[dtype] // 8


def safetensors(path: Path, tensors: Tensors, metadata: Mapping[str, str] | None = None) -> Path:
    """One file; tensors in the order given."""
    header: dict[str, Any] = {"__metadata__": dict(metadata or {"format": "pt"})}
    at = 0
    for name, (dtype, shape, _) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + size(dtype, shape)]}
        at += size(dtype, shape)
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for dtype, shape, data in tensors.values():
            if data is None:
                file.seek(size(dtype, shape), 1)
            else:
                assert len(data) == size(dtype, shape)
                file.write(data)
        file.truncate(8 + len(text) + at)
    return path


GGUF_TYPES = {
    "F32": (0, 1, 4),
    "F16": (1, 1, 2),
    "Q8_0": (8, 32, 34),
    "Q4_0": (2, 32, 18),
    "Q5_0": (6, 32, 22),
    "Q4_K": (12, 256, 144),
}


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def value(item: Any) -> bytes:
    if isinstance(item, bool):
        return struct.pack("<I?", 7, item)
    if isinstance(item, int):
        return struct.pack("<II", 4, item)
    if isinstance(item, float):
        return struct.pack("<If", 6, item)
    if isinstance(item, str):
        return struct.pack("<I", 8) + text(item)
    return struct.pack("<IIQ", 9, 8, len(item)) + b"".join(map(text, item))


def gguf(path: Path, metadata: Mapping[str, Any], tensors: Tensors) -> Path:
    """A GGUF file; shapes are slowest dimension first, as everywhere but in the file."""
    parts = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(metadata))]
    parts += [text(key) + value(item) for key, item in metadata.items()]
    at, places = 0, []
    for name, (dtype, shape, _) in tensors.items():
        code, block, width = GGUF_TYPES[dtype]
        parts.append(text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *reversed(shape), code, at))
        places.append(at)
        at += -(-(math.prod(shape) // block * width) // 32) * 32
    head = b"".join(parts)
    start = -(-len(head) // 32) * 32
    with path.open("wb") as file:
        file.write(head)
        for place, (_, _, data) in zip(places, tensors.values(), strict=True):
            if data is not None:
                file.seek(start + place)
                file.write(data)
        file.truncate(start + at)
    return path


def llama(
    layers: int, width: int, inner: int, keys: int, words: int, *, tied: bool = True
) -> dict[str, tuple[int, ...]]:
    """The weights of a Llama: names and shapes."""
    found: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (words, width)}
    for number in range(layers):
        here = f"model.layers.{number}"
        found |= {f"{here}.self_attn.{name}_proj.weight": (width, width) for name in "qo"}
        found |= {f"{here}.self_attn.{name}_proj.weight": (keys, width) for name in "kv"}
        found |= {f"{here}.mlp.{name}_proj.weight": (inner, width) for name in ("gate", "up")}
        found[f"{here}.mlp.down_proj.weight"] = (width, inner)
        found |= {f"{here}.{name}_layernorm.weight": (width,) for name in ("input", "post_attention")}
    found["model.norm.weight"] = (width,)
    return found if tied else {**found, "lm_head.weight": (words, width)}


CONFIG: Mapping[str, Any] = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "num_attention_heads": 4,
    "num_hidden_layers": 2, "dtype": "bfloat16", "eos_token_id": 2, "bos_token_id": 1, "tie_word_embeddings": True,
    "rope_theta": 10000.0, "transformers_version": "4.56.0", "vocab_size": 96,
}  # fmt: skip
GENERATION: Mapping[str, Any] = {"eos_token_id": [2], "transformers_version": "4.56.0"}
TOKENIZER_CONFIG: Mapping[str, Any] = {"eos_token": "<|im_end|>", "tokenizer_class": "PreTrainedTokenizerFast"}
TOKENIZER: Mapping[str, Any] = {
    "version": "1.0",
    "truncation": None,
    "added_tokens": [{"id": 1, "content": "<|im_start|>"}, {"id": 2, "content": "<|im_end|>"}],
    "model": {"type": "BPE", "vocab": {"a": 3, "b": 4, "ab": 5}, "merges": [["a", "b"]]},
}
TINY = llama(2, 64, 128, 32, 96)
LINEAR = tuple(name.removesuffix(".weight") for name in TINY if "_proj" in name)


def numbers(dtype: str, shape: tuple[int, ...], seed: int = 0) -> bytes:
    """Small random numbers, none of them 0 and none broken."""
    random = np.random.default_rng(seed)
    if dtype in ("F32", "BF16"):
        found = random.uniform(0.5, 1.5, math.prod(shape)).astype("<f4")
        return found.tobytes() if dtype == "F32" else (found.view("<u4") >> 16).astype("<u2").tobytes()
    if dtype == "F16":
        return random.uniform(0.5, 1.5, math.prod(shape)).astype("<f2").tobytes()
    return random.integers(1, 100, size(dtype, shape), dtype=np.uint8).tobytes()


def group(type_: str, bits: int, size: int | None = None) -> dict[str, Any]:
    weights = {"type": type_, "num_bits": bits, "group_size": size, "strategy": "group" if size else "channel"}
    groups = {"group_0": {"weights": weights, "targets": ["Linear"]}}
    return {"quant_method": "compressed-tensors", "config_groups": groups, "ignore": ["lm_head"], "format": "x"}


def source(folder: Path, **config: Any) -> Path:
    """The tiny model in BF16."""
    tensors = {name: ("BF16", shape, numbers("BF16", shape)) for name, shape in TINY.items()}
    return written(folder, tensors, {**CONFIG, **config})


def written(folder: Path, tensors: Tensors, config: Mapping[str, Any]) -> Path:
    """A folder with the tensors in one file, and the tiny model's small files."""
    folder.mkdir(parents=True, exist_ok=True)
    safetensors(folder / "model.safetensors", tensors)
    files = {"config": config, "generation_config": GENERATION, "tokenizer_config": TOKENIZER_CONFIG}
    for name, content in {**files, "tokenizer": TOKENIZER}.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    return folder


def parts(scheme: str, shape: tuple[int, int]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """What becomes of one weight: compressed-tensors' and modelopt's layouts, read off real checkpoints."""
    rows, columns = shape
    one: tuple[int, ...] = ()
    return {
        "FP8_DYNAMIC": {"weight": ("F8_E4M3", shape), "weight_scale": ("BF16", (rows, 1))},
        "W8A8": {"weight": ("I8", shape), "weight_scale": ("BF16", (rows, 1))},
        "W4A16-g64": {
            "weight_packed": ("I32", (rows, columns // 8)),
            "weight_scale": ("BF16", (rows, columns // 64)),
            "weight_shape": ("I64", (2,)),
        },
        "NVFP4A16": {
            "weight_packed": ("U8", (rows, columns // 2)),
            "weight_scale": ("F8_E4M3", (rows, columns // 16)),
            "weight_global_scale": ("F32", (1,)),
        },
        "FP8": {"weight": ("F8_E4M3", shape), "weight_scale": ("F32", one), "input_scale": ("F32", one)},
        "NVFP4": {
            "weight": ("U8", (rows, columns // 2)),
            "weight_scale": ("F8_E4M3", (rows, columns // 16)),
            "weight_scale_2": ("F32", one),
            "input_scale": ("F32", one),
        },
    }[scheme]


DECLARED: Mapping[str, Mapping[str, Any]] = {
    "FP8_DYNAMIC": group("float", 8),
    "W8A8": group("int", 8),
    "W4A16-g64": group("int", 4, 64),
    "NVFP4A16": group("float", 4, 16),
    "FP8": {"quant_method": "modelopt", "quant_algo": "FP8", "ignore": ["lm_head"]},
    "NVFP4": {"quant_method": "modelopt", "quant_algo": "NVFP4", "group_size": 16, "ignore": ["lm_head"]},
}


def quantized(scheme: str, *, only: tuple[str, ...] = LINEAR) -> dict[str, tuple[str, tuple[int, ...], bytes | None]]:
    """The tiny model's tensors in a scheme; layers that are not in `only` stay as they are."""
    made: dict[str, tuple[str, tuple[int, ...], bytes | None]] = {}
    for name, shape in TINY.items():
        layer = name.removesuffix(".weight")
        if layer in only:
            assert len(shape) == 2
            for part, (dtype, held) in parts(scheme, (shape[0], shape[1])).items():
                made[f"{layer}.{part}"] = (dtype, held, numbers(dtype, held))
        else:
            made[name] = ("BF16", shape, numbers("BF16", shape))
    return made


def candidate(folder: Path, scheme: str, tensors: Tensors | None = None, **config: Any) -> Path:
    """The tiny model, quantized, with what a quantizer writes of it; `tensors` in the place of its own."""
    changed = {**CONFIG, "transformers_version": "5.17.0", "quantization_config": DECLARED[scheme], **config}
    return written(folder, tensors or quantized(scheme), changed)


def large(folder: Path) -> Path:
    """A model of 70 billion parameters in FP8, in 15 shards: 70 GB, all of it holes."""
    folder.mkdir(parents=True, exist_ok=True)
    shapes = llama(80, 8192, 28672, 1024, 128256, tied=False)
    tensors: dict[str, tuple[str, tuple[int, ...], bytes | None]] = {}
    for name, shape in shapes.items():
        linear = "_proj" in name
        tensors[name] = ("F8_E4M3" if linear else "BF16", shape, None)
        if linear:
            tensors[name.replace(".weight", ".weight_scale")] = ("BF16", (shape[0], 1), None)
    names = list(tensors)
    files = {
        name: f"model-{number * 15 // len(names) + 1:05}-of-00015.safetensors" for number, name in enumerate(names)
    }
    for file in sorted(set(files.values())):
        safetensors(folder / file, {name: tensors[name] for name in names if files[name] == file})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": files}))
    config = {**CONFIG, "tie_word_embeddings": False, "quantization_config": DECLARED["FP8_DYNAMIC"]}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def many(folder: Path) -> Path:
    """A mixture of 256 experts in 61 layers, in FP8 with scales: some 94,000 tensors in 163 shards, 690 GB of holes."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, tuple[str, tuple[int, ...], bytes | None]] = {}
    for layer in range(61):
        for expert in range(256):
            for name, shape in (("gate", (2048, 7168)), ("up", (2048, 7168)), ("down", (7168, 2048))):
                here = f"model.layers.{layer}.mlp.experts.{expert}.{name}_proj"
                tensors[f"{here}.weight"] = ("F8_E4M3", shape, None)
                tensors[f"{here}.weight_scale_inv"] = ("F32", (shape[0] // 128, shape[1] // 128), None)
    names = list(tensors)
    files = {
        name: f"model-{number * 163 // len(names) + 1:05}-of-00163.safetensors" for number, name in enumerate(names)
    }
    for file in sorted(set(files.values())):
        safetensors(folder / file, {name: tensors[name] for name in names if files[name] == file})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return folder


def large_gguf(path: Path) -> Path:
    """The same model in GGUF, Q8_0, with a vocabulary of 128,256 and 280,000 merges: 75 GB."""
    shapes = llama(80, 8192, 28672, 1024, 128256, tied=False)
    tensors: dict[str, tuple[str, tuple[int, ...], bytes | None]] = {}
    for number, (name, shape) in enumerate(shapes.items()):
        kind = "Q8_0" if len(shape) == 2 else "F32"
        tensors[name.replace("model.layers", "blk")[:60] + str(number)] = (kind, shape, None)
    words = [f"word{number}" for number in range(128256)]
    merges = [f"a{number} b{number}" for number in range(280_000)]
    keys = {"general.architecture": "llama", "llama.context_length": 8192, "general.file_type": 7}
    return gguf(path, {**keys, "tokenizer.ggml.tokens": words, "tokenizer.ggml.merges": merges}, tensors)


if __name__ == "__main__":
    root = Path(sys.argv[1])
    root.mkdir(parents=True, exist_ok=True)
    large(root / "safetensors")
    large_gguf(root / "large.gguf")
    many(root / "experts")
