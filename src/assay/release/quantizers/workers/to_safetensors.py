"""Writes a GGUF file as a Hugging Face folder in BF16, through transformers.

Job: `source` (a GGUF file), `out` (a folder that is not there yet). The tokenizer that transformers makes of a GGUF
file may have another end of text than the file names, and no padding: both are set from the file's metadata, and the
configuration's likewise.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from gguf import GGUFReader
from transformers import AutoModelForCausalLM, AutoTokenizer


def main(job: dict[str, Any]) -> None:
    """Write the folder that the job asks for."""
    source = Path(job["source"])
    known = _ids(source)
    place, name = str(source.parent), source.name
    model = AutoModelForCausalLM.from_pretrained(place, gguf_file=name, dtype=torch.bfloat16)
    model.hf_quantizer = None  # it was read from a quantized file and is none any more
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    tokenizer = AutoTokenizer.from_pretrained(place, gguf_file=name)
    _set(model, tokenizer, known)
    model.save_pretrained(job["out"])
    tokenizer.save_pretrained(job["out"])


def _ids(source: Path) -> dict[str, int]:
    """Ids of the tokens with a role, as the file has them."""
    fields = GGUFReader(source).fields
    names = {"bos": "bos_token_id", "eos": "eos_token_id", "pad": "padding_token_id", "unk": "unknown_token_id"}
    keys = {role: f"tokenizer.ggml.{name}" for role, name in names.items()}
    return {role: int(fields[key].contents()) for role, key in keys.items() if key in fields}


def _set(model: Any, tokenizer: Any, known: dict[str, int]) -> None:
    if "eos" in known:
        known.setdefault("pad", known["eos"])
    for role, number in known.items():
        setattr(tokenizer, f"{role}_token", tokenizer.convert_ids_to_tokens(number))
        if role != "unk":
            setattr(model.config, f"{role}_token_id", number)
            setattr(model.generation_config, f"{role}_token_id", number)


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
