"""What each quantizer's own environment holds: versions that were seen to work together."""

from __future__ import annotations

import shutil
import sys

from assay.release.environments import Wanted

TORCH = "torch==2.13.0"
"""Exactly this, so that an index that has a build for the CPU gives it; a plain `torch` pulls gigabytes for GPUs."""

GGUF = Wanted("gguf", ("gguf==0.19.0", "numpy==2.4.6"), disk=200 << 20)
"""GGUF files in Python alone, without K-quants."""

LLMCOMPRESSOR = Wanted(
    "llmcompressor",
    (TORCH, "transformers==5.17.0", "llmcompressor==0.14.0.1", "compressed-tensors==0.19.0", "gguf==0.19.0"),
    disk=3 << 30,
)
MODELOPT = Wanted(
    "modelopt",
    (TORCH, "transformers==5.14.1", "nvidia-modelopt==0.47.0", "accelerate==1.15.0", "gguf==0.19.0"),
    disk=3 << 30,
)

_CYLLAMA = {"3.11": "0.2.18", "3.12": "0.7.0"}
"""The release that has a wheel for a Python; there is none for others."""


def cyllama() -> Wanted:
    """llama.cpp's quantizer as a Python package, in the release that fits a Python that is here."""
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    here = [name for name in _CYLLAMA if name == running] or [
        name for name in _CYLLAMA if shutil.which(f"python{name}")
    ]
    pythons = (here[0],) if here else tuple(_CYLLAMA)
    return Wanted("cyllama", (f"cyllama=={_CYLLAMA[pythons[-1]]}",), disk=400 << 20, pythons=pythons)
