"""`llmcompressor`: Hugging Face folders in formats of compressed-tensors, which vLLM and transformers read.

Round to nearest, in one shot. Not covered: GPTQ, SmoothQuant, quantized caches.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from assay.gates.recipe import Recipe, of
from assay.release.environments import prepared
from assay.release.quantizers.base import Job, Option
from assay.release.quantizers.environments import LLMCOMPRESSOR
from assay.release.quantizers.huggingface import CALIBRATION, HuggingFace, calibration, folder, ignored, keep_tokenizer

if TYPE_CHECKING:
    from assay.release.checkpoint import Checkpoint

CONVERTED = Recipe(
    name="BF16-safetensors",
    quantizer="llmcompressor",
    scheme="BF16",
    bits=16.0,
    band=(15.84, 16.16),
    types=("BF16",),
    own=("BF16",),
    free=("role:embedding", "role:head", "role:router", "role:norm", "role:other", "role:vision"),
    source="transformers reads the GGUF file and writes its numbers in BF16",
)
"""Not a quantization: a GGUF file as the folder that these quantizers start from, to compare candidates with."""


class LLMCompressor(HuggingFace):
    """Folders through llmcompressor."""

    name: ClassVar[str] = "llmcompressor"
    summary: ClassVar[str] = "Hugging Face folders as compressed-tensors, for vLLM and transformers"
    options: ClassVar[Mapping[str, Option]] = {
        **CALIBRATION,
        "group_size": Option(int, "values that share a scale, instead of the scheme's own"),
    }

    def recipes(self) -> tuple[Recipe, ...]:
        """The built-in ones, and the conversion of a GGUF file."""
        return (CONVERTED, *of(self.name))

    def misfits(self, source: Checkpoint, recipe: Recipe) -> list[str]:
        """As of all folders; only a GGUF file is converted."""
        if recipe.scheme != CONVERTED.scheme:
            return super().misfits(source, recipe)
        return [] if source.format == "gguf" else [f"{source.path.name} is no GGUF file: there is nothing to convert"]

    def warnings(self, source: Checkpoint, recipe: Recipe) -> list[str]:
        """As of all folders."""
        return [] if recipe.scheme == CONVERTED.scheme else super().warnings(source, recipe)

    def make(self, job: Job) -> tuple[float, Mapping[str, Any]]:
        """One shot over the whole model; calibrated only where the recipe asks for it: its schemes need none."""
        environment = prepared(LLMCOMPRESSOR, job.progress, job.python)
        if job.recipe.scheme == CONVERTED.scheme:
            what = {"source": str(job.source.path.absolute()), "out": str(job.out)}
            return job.work(environment, "to_safetensors", what), environment.lock()
        source = folder(job, environment)
        task: dict[str, Any] = {"source": str(source), "out": str(job.out), "scheme": job.recipe.scheme}
        task |= {"ignore": ignored(source, job.recipe), "group_size": job.option("group_size", None)}
        seconds = job.work(environment, "run_llmcompressor", task | {"targets": ["Linear"]} | calibration(job, None))
        keep_tokenizer(source, job.out)
        return seconds, environment.lock()


QUANTIZER = LLMCompressor()
