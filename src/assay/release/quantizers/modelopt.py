"""`modelopt`: Hugging Face folders through NVIDIA's modelopt, for vLLM and TensorRT-LLM.

transformers loads such a checkpoint with a warning and then talks nonsense: serve it with vLLM. Not covered: AWQ,
quantized caches, sparsity.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from assay.release.environments import prepared
from assay.release.quantizers.base import Job, Option
from assay.release.quantizers.calibration import DEFAULT
from assay.release.quantizers.environments import MODELOPT
from assay.release.quantizers.huggingface import CALIBRATION, HuggingFace, calibration, folder, ignored, keep_tokenizer

CONFIGURATIONS: Mapping[str, str] = {
    "FP8": "FP8_DEFAULT_CFG",
    "INT8": "INT8_DEFAULT_CFG",
    "NVFP4": "NVFP4_DEFAULT_CFG",
    "INT4_AWQ": "INT4_AWQ_CFG",
}
"""modelopt's own configuration for a scheme (`modelopt.torch.quantization`)."""


class Modelopt(HuggingFace):
    """Folders through modelopt."""

    name: ClassVar[str] = "modelopt"
    summary: ClassVar[str] = "Hugging Face folders through NVIDIA's modelopt, for vLLM and TensorRT-LLM"
    options: ClassVar[Mapping[str, Option]] = CALIBRATION

    def make(self, job: Job) -> tuple[float, Mapping[str, Any]]:
        """Calibrated on a task's inputs, then exported: its schemes have fixed scales for activations."""
        environment = prepared(MODELOPT, job.progress, job.python)
        source = folder(job, environment)
        what: dict[str, Any] = {"source": str(source), "out": str(job.out), "ignore": ignored(source, job.recipe)}
        what |= {"configuration": CONFIGURATIONS[job.recipe.scheme]}
        seconds = job.work(environment, "run_modelopt", what | calibration(job, DEFAULT))
        keep_tokenizer(source, job.out)
        return seconds, environment.lock()


QUANTIZER = Modelopt()
