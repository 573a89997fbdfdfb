"""`gguf`: GGUF files, of any type that can be read, into another.

Types with blocks of 32 values are written by the package `gguf` alone. K-quants are llama.cpp's: through `llama-
quantize` where it is on the PATH, else through `cyllama` in an environment of its own. Both start from 16 bits: a
source that is quantized itself is turned into F16 first, which is then the model that its candidates are variants of.
Not covered: Hugging Face folders (convert them with llama.cpp's `convert_hf_to_gguf.py`), importance matrices.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from assay.errors import MachineError
from assay.files import digest_file, digest_of
from assay.models.llamacpp import cores
from assay.release.environments import Environment, prepared
from assay.release.quantizers import fitting
from assay.release.quantizers.base import Job, Option, Quantizer
from assay.release.quantizers.environments import GGUF, cyllama

if TYPE_CHECKING:
    from assay.gates.recipe import Recipe
    from assay.release.checkpoint import Checkpoint

FLOAT = ("F32", "F16", "BF16")
SIMPLE = (*FLOAT, "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "MXFP4")
"""What the package `gguf` writes."""
FTYPES: Mapping[str, int] = {
    "Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q5_0": 8, "Q5_1": 9, "Q2_K": 10, "Q3_K_M": 12, "Q4_K_M": 15, "Q5_K_M": 17,
    "Q6_K": 18,
}  # fmt: skip
"""llama.cpp's codes for types of files (`enum llama_ftype` in llama.h)."""
FALLBACKS: Mapping[str, str] = {
    "Q2_K": "Q4_0 or IQ4_NL", "Q3_K": "Q4_0 or IQ4_NL", "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0",
}  # fmt: skip
"""What llama.cpp takes instead of a type with blocks of 256 (`tensor_type_fallback` in llama-quant.cpp, by version)."""
K_BLOCK = 256


class GGUFQuantizer(Quantizer):
    """GGUF to GGUF."""

    name: ClassVar[str] = "gguf"
    summary: ClassVar[str] = "GGUF files: types with blocks of 32 in Python alone, K-quants through llama.cpp"
    options: ClassVar[Mapping[str, Option]] = {
        "engine": Option(str, "what quantizes", values=("auto", "gguf", "llama-quantize", "cyllama")),
        "threads": Option(int, "CPU threads of llama.cpp"),
    }

    def misfits(self, source: Checkpoint, recipe: Recipe) -> list[str]:
        """A source that is no GGUF file; targets that this model has none of; an engine that cannot write the type."""
        if source.format != "gguf":
            return [f"{source.path.name} is no GGUF file; convert it with llama.cpp's convert_hf_to_gguf.py"]
        found, engine = fitting.missing_targets(source, recipe), recipe.options.get("engine", "auto")
        found += fitting.unkept(source, recipe)
        if engine == "gguf" and recipe.scheme not in SIMPLE:
            found.append(f"the engine gguf writes {', '.join(SIMPLE)}, and not {recipe.scheme}")
        if engine in ("llama-quantize", "cyllama") and recipe.scheme not in FTYPES:
            found.append(f"the engine {engine} is used for {', '.join(FTYPES)}, and not for {recipe.scheme}")
        return found

    def warnings(self, source: Checkpoint, recipe: Recipe) -> list[str]:
        """K-quants have blocks of 256: for rows that do not divide into those llama.cpp takes another type."""
        every = fitting.wanted(source, recipe)
        odd = [one for one in every if one.shape[-1] % K_BLOCK] if recipe.scheme not in SIMPLE else []
        if not odd:
            return []
        widths = ", ".join(str(width) for width in sorted({one.shape[-1] for one in odd}))
        taken = ", ".join(f"{new} for {old}" for old, new in FALLBACKS.items() if old in recipe.types)
        head = f"{len(odd)} of {len(every)} weights have rows of {widths} values, no multiple of {K_BLOCK}"
        return [f"{head}: llama.cpp takes {taken} there"]

    def needs(self, source: Checkpoint, recipe: Recipe) -> int:
        """The result, and what is made on the way to it: F16, and a file without what is kept."""
        values = source.parameters
        result = int(values * max(fitting.widest(recipe), 8) / 8)
        return result + (0 if recipe.scheme in SIMPLE else 4 * values) + (64 << 20)

    def make(self, job: Job) -> tuple[float, Mapping[str, Any]]:
        """Through the engine that the recipe names, or the first that can."""
        kept = [one.name for one in fitting.kept(job.source, job.recipe)]
        engine = str(job.option("engine", "auto"))
        if engine == "gguf" or (engine == "auto" and job.recipe.scheme in SIMPLE):
            python = plain(job)
            chosen = fitting.choices(job.source, job.recipe)
            seconds = write(job, python, job.source.path, job.out, job.recipe.scheme, kept, chosen)
            return seconds, python.lock()
        return _llama(job, engine, kept)


def plain(job: Job) -> Environment:
    """A Python with the package `gguf`: this one, where it has it (extra `local`), else an environment."""
    if find_spec("gguf") is not None:
        return Environment("gguf", Path(sys.executable), own=False)
    return prepared(GGUF, job.progress)


def write(
    job: Job,
    python: Environment,
    source: Path,
    out: Path,
    kind: str,
    kept: list[str],
    chosen: Mapping[str, str] = MappingProxyType({}),
) -> float:
    """Write `source` in another type, but for the tensors that are kept, or have a type of their own; the seconds it
    took."""
    what = {"source": str(source.absolute()), "out": str(out), "type": kind, "keep": kept, "types": dict(chosen)}
    return job.work(python, "write_gguf", what)


def _llama(job: Job, engine: str, kept: list[str]) -> tuple[float, Mapping[str, Any]]:
    """Through llama.cpp: from 16 bits; what must stay as it was, or has a type of its own, is put back afterwards.

    Types tensor by tensor are written by `gguf`, so that they are the same whatever the version of llama.cpp.
    """
    chosen = fitting.choices(job.source, job.recipe)
    program = shutil.which("llama-quantize") if engine in ("auto", "llama-quantize") and not job.python else None
    if engine == "llama-quantize" and program is None:
        raise MachineError("there is no llama-quantize on the PATH", layer="quantize", hint="or use engine: cyllama")
    seconds, source = 0.0, job.source.path.absolute()
    types = {one.dtype for one in job.source.tensors if len(one.shape) > 1}
    if types - set(FLOAT):
        source = job.scratch / "source-f16.gguf"
        seconds += write(job, plain(job), job.source.path, source, "F16", [])
        job.notes.append(f"the source holds {', '.join(sorted(types))}; it was turned into F16 first")
    made = job.scratch / "llama.gguf" if kept or chosen else job.out
    more, lock = _program(job, program, source, made) if program else _package(job, source, made)
    if kept or chosen:
        what = {"source": str(made), "kept_from": str(source), "out": str(job.out), "keep": kept}
        more += job.work(plain(job), "write_gguf", {**what, "type": None, "types": chosen})
    return seconds + more, lock


def _program(job: Job, program: str, source: Path, out: Path) -> tuple[float, Mapping[str, Any]]:
    """`llama-quantize`, whose version only its bytes say."""
    command = [program, str(source), str(out), job.recipe.scheme, str(_threads(job))]
    seconds = job.command(command, f"{job.recipe.name} with llama-quantize")
    lock: dict[str, Any] = {"name": "llama-quantize", "python": None, "packages": []}
    lock["sha256"] = digest_file(Path(program))
    return seconds, {**lock, "digest": digest_of(lock)}


def _package(job: Job, source: Path, out: Path) -> tuple[float, Mapping[str, Any]]:
    environment = prepared(cyllama(), job.progress, job.python)
    what = {"source": str(source), "out": str(out), "ftype": FTYPES[job.recipe.scheme], "threads": _threads(job)}
    return job.work(environment, "run_cyllama", what), environment.lock()


def _threads(job: Job) -> int:
    return int(job.option("threads", cores()))


QUANTIZER = GGUFQuantizer()
