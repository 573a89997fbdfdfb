"""Quantizes a GGUF file with llama.cpp's own code, through the package `cyllama`.

Job: `source` (F16, BF16 or F32), `out`, `ftype` (llama.cpp's code of the file's type), `threads`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from cyllama.llama.llama_cpp import LlamaModelQuantizeParams, model_quantize


def main(job: dict[str, Any]) -> None:
    """Write the file that the job asks for."""
    settings = LlamaModelQuantizeParams()
    settings.ftype = job["ftype"]
    settings.nthread = job["threads"]
    model_quantize(job["source"], job["out"], settings)


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
