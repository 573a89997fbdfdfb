"""Quantizes a Hugging Face folder with NVIDIA's modelopt and exports it; its tokenizer is not written.

Job: `source`, `out` (folders), `configuration` (the name of one of modelopt's, such as "FP8_DEFAULT_CFG"), `ignore`
(names of modules that stay as they are), `calibration` (a file of JSON lines with a `text`), `length` (tokens of a
text that are used).
"""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import Any

import modelopt.torch.quantization as mtq
import torch
from modelopt.torch.export import export_hf_checkpoint
from transformers import AutoModelForCausalLM, AutoTokenizer


def main(job: dict[str, Any]) -> None:
    """Write the folder that the job asks for."""
    model = AutoModelForCausalLM.from_pretrained(job["source"], dtype="auto", local_files_only=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(job["source"], local_files_only=True)
    texts = [json.loads(line)["text"] for line in Path(job["calibration"]).read_text().splitlines()]

    def forward(run: Any) -> None:
        for number, text in enumerate(texts, 1):
            found = tokenizer(text, truncation=True, max_length=job["length"], return_tensors="pt")
            run(input_ids=found["input_ids"])
            sys.stdout.write(f"calibrating: {number} of {len(texts)}\n")
            sys.stdout.flush()

    with torch.no_grad():
        mtq.quantize(model, _configuration(job), forward)
        export_hf_checkpoint(model, export_dir=job["out"])


def _configuration(job: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = copy.deepcopy(getattr(mtq, job["configuration"]))
    found["quant_cfg"] += [{"quantizer_name": f"{name}.*", "enable": False} for name in job["ignore"]]
    return found


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
