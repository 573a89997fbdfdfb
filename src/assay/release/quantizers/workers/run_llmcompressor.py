"""Quantizes a Hugging Face folder with llmcompressor, in one shot; its tokenizer is not written.

Job: `source`, `out` (folders), `scheme` (a preset of compressed-tensors), `targets` and `ignore` (names of modules or
classes, `re:` before a pattern), `group_size` (instead of the preset's), `calibration` (a file of JSON lines with a
`text`), `length` (tokens of a text that are used).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from compressed_tensors.quantization import preset_name_to_scheme
from llmcompressor import oneshot
from llmcompressor.modifiers.quantization import QuantizationModifier
from transformers import AutoModelForCausalLM, AutoTokenizer


def main(job: dict[str, Any]) -> None:
    """Write the folder that the job asks for."""
    model = AutoModelForCausalLM.from_pretrained(job["source"], dtype="auto", local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(job["source"], local_files_only=True)
    with torch.no_grad():
        oneshot(model=model, recipe=_recipe(job), **_data(job, tokenizer))
    model.save_pretrained(job["out"], save_compressed=True)


def _recipe(job: dict[str, Any]) -> QuantizationModifier:
    targets, ignore = list(job["targets"]), list(job["ignore"])
    if not job.get("group_size"):
        return QuantizationModifier(targets=targets, scheme=job["scheme"], ignore=ignore)
    scheme = preset_name_to_scheme(job["scheme"], targets)
    scheme.weights.group_size = job["group_size"]
    return QuantizationModifier(config_groups={"group_0": scheme}, ignore=ignore)


def _data(job: dict[str, Any], tokenizer: Any) -> dict[str, Any]:
    if not job.get("calibration"):
        return {}
    from datasets import Dataset

    texts = [json.loads(line)["text"] for line in Path(job["calibration"]).read_text().splitlines()]
    rows = [tokenizer(text, truncation=True, max_length=job["length"], add_special_tokens=False) for text in texts]
    data = Dataset.from_list([dict(row) for row in rows if row["input_ids"]])
    return {"dataset": data, "max_seq_length": job["length"], "num_calibration_samples": len(data)}


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
