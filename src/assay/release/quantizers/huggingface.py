"""What the quantizers of Hugging Face folders share: the source in that format, names of modules, calibration."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from assay.release import sources
from assay.release.checkpoint import inspect
from assay.release.quantizers import fitting
from assay.release.quantizers.base import Job, Option, Quantizer
from assay.release.quantizers.calibration import texts

if TYPE_CHECKING:
    from assay.gates.recipe import Recipe
    from assay.release.checkpoint import Checkpoint
    from assay.release.environments import Environment

CALIBRATION: Mapping[str, Option] = {
    "calibration": Option(str, "the task whose inputs the tool looks at"),
    "calibration_samples": Option(int, "how many of them"),
    "calibration_length": Option(int, "tokens of each that are used"),
}
SAMPLES, LENGTH = 64, 512
TOKENIZER = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "tokenizer.model",
    "spiece.model", "tekken.json", "vocab.json", "vocab.txt", "merges.txt", "chat_template.jinja", "chat_template.json",
    "processor_config.json", "preprocessor_config.json",
)  # fmt: skip
"""What turns inputs into tokens, and tokens into text, in a folder."""


class HuggingFace(Quantizer):
    """A quantizer of folders. A GGUF file is converted first, in the same environment."""

    def misfits(self, source: Checkpoint, recipe: Recipe) -> list[str]:
        """Targets that are not there, rows that groups do not divide, a checkpoint that is quantized already."""
        found = fitting.quantized_already(source) + fitting.missing_targets(source, recipe)
        group = recipe.options.get("group_size", recipe.group)
        return found + (fitting.uneven(source, recipe, int(group)) if group else [])

    def warnings(self, source: Checkpoint, recipe: Recipe) -> list[str]:
        """That a GGUF file is converted, and is not the source that a gate compares with."""
        if source.format == "safetensors":
            return []
        return ["the GGUF file is turned into safetensors in BF16 first; compare the result with that"]

    def needs(self, source: Checkpoint, recipe: Recipe) -> int:
        """The result, its unquantized part in 16 bits, and the source converted where it is a GGUF file."""
        values = source.parameters
        return 2 * values + int(values * recipe.bits / 8) + (64 << 20)


def folder(job: Job, environment: Environment) -> Path:
    """The source as a folder: itself, or the GGUF file converted."""
    if job.source.format == "safetensors":
        return job.source.path.absolute()
    job.notes.append("the source is a GGUF file; it was turned into safetensors in BF16 first")
    return sources.safetensors(job.source.path, environment, job.log, job.progress)


def keep_tokenizer(source: Path, out: Path) -> None:
    """Give the result the source's own tokenizer, to the byte: one that a tool wrote anew has in it what the tool did
    with it, such as cutting texts off for calibration.
    """
    for name in TOKENIZER:
        (out / name).unlink(missing_ok=True)
        if (source / name).is_file():
            shutil.copyfile(source / name, out / name)


def ignored(folder: Path, recipe: Recipe) -> list[str]:
    """The modules that must stay as they are, by their names in the folder. A head that is tied to the embedding is in
    no file, and is a linear layer to the tools all the same.
    """
    found = {one.layer for one in fitting.kept(inspect(folder), recipe)}
    return sorted(found if recipe.wants("lm_head", "head") else found | {"lm_head"})


def calibration(job: Job, default: str | None) -> dict[str, Any]:
    """What a script needs to calibrate: a file of texts beside it; empty where neither recipe nor tool asks for it."""
    task = job.option("calibration", default)
    if task is None:
        return {}
    found = texts(str(task), int(job.option("calibration_samples", SAMPLES)), job.progress)
    path = job.scratch / "calibration.jsonl"
    path.write_bytes(b"".join(orjson.dumps({"text": text}) + b"\n" for text in found.texts))
    job.notes.append(f"calibrated on {len(found.texts)} inputs of {found.task} (digest {found.digest[:16]})")
    return {"calibration": str(path), "length": int(job.option("calibration_length", LENGTH))}
