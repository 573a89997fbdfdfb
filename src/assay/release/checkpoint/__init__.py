"""Checkpoints: what a GGUF file, a safetensors file or a Hugging Face folder holds, read from its own headers.

    from assay.release.checkpoint import inspect, view
    found = inspect(Path("checkpoints/llama-fp8"))
    found.tensors, found.total_bytes, found.linear_bytes

Nothing of a checkpoint is run or unpickled, and of its weights nothing is read but the bounded samples of `health`.
"""

from assay.release.checkpoint.inspection import inspect
from assay.release.checkpoint.record import Checkpoint, Shards, Tensor
from assay.release.checkpoint.view import view

__all__ = ["Checkpoint", "Shards", "Tensor", "inspect", "view"]
