"""Which part of a model a tensor is, told from its name and its number of dimensions.

Covered: the names of Hugging Face checkpoints and of GGUF files, and the parts that compressed-tensors, modelopt, GPTQ
and AWQ make of one weight. A name that is not known is `linear` where it is a matrix and `other` where it is not, so
that a new architecture's matrices are asked to be quantized rather than passed over.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

Role = Literal["attention", "mlp", "expert", "linear", "head", "router", "embedding", "norm", "vision", "other"]
LINEAR: frozenset[str] = frozenset({"attention", "mlp", "expert", "linear"})
"""The roles whose weights are matrices of a linear layer of the text model, its head left out."""
ROLES: tuple[str, ...] = (*sorted(LINEAR), "head", "router", "embedding", "norm", "vision", "other")

WEIGHTS = ("weight", "weight_packed", "qweight")
"""The parts that hold a layer's numbers."""
SCALES = (
    "weight_scale", "weight_scale_2", "weight_scale_inv", "weight_global_scale", "input_scale", "input_global_scale",
    "activation_scale", "output_scale", "pre_quant_scale", "scales", "k_scale", "v_scale", "q_scale",
)  # fmt: skip
"""The parts that hold scales: of compressed-tensors, of modelopt, of GPTQ and AWQ, and of quantized caches."""
OTHERS = (
    "weight_shape", "weight_zero_point", "input_zero_point", "weight_g_idx", "g_idx", "qzeros", "bias",
)  # fmt: skip
_PARTS = frozenset((*WEIGHTS, *SCALES, *OTHERS))

_KINDS: tuple[tuple[Role, re.Pattern[str]], ...] = (
    ("vision", re.compile(r"^(v|mm|a)\.|(^|\.)(vision\w*|visual|image_\w+|audio_\w+|multi_modal\w*|mm_projector)\.")),
    ("norm", re.compile(r"norm|(^|\.)ln_\w+$")),
    ("router", re.compile(r"\.router(\.|$)|(mlp|moe|feed_forward)\.gate$|(^|\.)shared_expert_gate$|ffn_gate_inp")),
    ("embedding", re.compile(r"embd|embed_|embeddings|(^|\.)(wte|wpe|shared|embed)$|token_types")),
    ("head", re.compile(r"(^|\.)(lm_head|embed_out)$|^output$")),
    ("other", re.compile(r"conv|ssm_[ad]$|rope_freqs|(^|\.)A_log$")),
    ("expert", re.compile(r"\.experts(\.|$)|_c?h?exps$")),
    (
        "mlp",
        re.compile(r"(^|\.)(mlp|feed_forward|ffn|shared_experts?|block_sparse_moe)\.|ffn_(gate|up|down)|\.fc[12]$"),
    ),
    ("attention", re.compile(r"attn|attention")),
)


def split(name: str) -> tuple[str, str]:
    """The layer that a tensor belongs to and which part of it this is; the part is `` where the name has none."""
    layer, _, part = name.rpartition(".")
    return (layer, part) if layer and part in _PARTS else (name, "")


_NUMBER = re.compile(r"(?<=\.)\d+(?=\.|$)")


def role(layer: str, dimensions: int) -> Role:
    """What the layer of that name is, its weight having so many dimensions."""
    # Layers and experts are counted in their names: what is asked a hundred thousand times is the same few names.
    return _role(_NUMBER.sub("0", layer), dimensions)


@lru_cache(maxsize=4096)
def _role(layer: str, dimensions: int) -> Role:
    found: Role = next((kind for kind, pattern in _KINDS if pattern.search(layer)), "linear")
    if found in LINEAR and dimensions != 2 and not (found == "expert" and dimensions == 3):
        return "other"
    return found
