"""`transformers`: `transformers serve` of a folder.

It runs from the environment of the interpreter that the settings name; else from assay's own where that has the
packages, else from one that assay makes for it once. It generates only: it takes `logprobs` and `echo` and ignores
them, so that likelihoods cannot be asked. It knows no key; it listens on loopback alone. Nothing is fetched: the hub is
switched off, and the folder is all that it sees.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from assay.errors import MachineError
from assay.models.deployment import Deployed, Now
from assay.release.deployers.base import Settings
from assay.release.deployers.process import LAYER, Process
from assay.release.deployers.server import Launch, ServerDeployer, describe_folder, get, local, versions
from assay.release.environments import Wanted, prepared
from assay.release.quantizers.environments import TORCH

SERVING = Wanted(
    "transformers",
    (TORCH, "transformers[serving]==5.17.0", "accelerate==1.15.0", "compressed-tensors==0.19.0", "requests==2.34.2"),
    disk=2 << 30,
)
"""What serves folders, those of `llmcompressor` too: the versions that wrote them. Its commands import requests, which
nothing of it asks for.
"""
_PACKAGES = ("transformers", "torch", "fastapi", "uvicorn", "compressed-tensors")
_NEEDED = ("transformers", "torch", "fastapi", "uvicorn", "pydantic", "openai", "requests")


class Transformers(ServerDeployer):
    """Hugging Face checkpoints on the CPU or a GPU; chat and raw text."""

    name = "transformers"
    formats = ("safetensors",)
    understands = frozenset({"python", "extra", "threads", "gpu_layers"})

    def look(self, settings: Settings) -> None:
        """Raises MachineError where the packages of the server are not in the environment."""
        found = versions(_python(settings), _NEEDED)
        if missing := [name for name in _NEEDED if name not in found]:
            hint = f"{_python(settings)} -m pip install 'transformers[serving]' torch requests"
            what = ", ".join(missing)
            raise MachineError(f"the environment to serve from lacks {what}", layer=LAYER, hint=hint)

    def describe(self, checkpoint: Path, settings: Settings) -> Deployed:
        """From the folder; the device and further arguments shape answers."""
        self.check(settings)
        found = versions(_python(settings), _PACKAGES)
        runtime = ", ".join(f"{name} {number}" for name, number in found.items() if name in ("transformers", "torch"))
        shaping = {"extra": " ".join(settings.extra)} if settings.extra else {}
        shaping |= {} if settings.gpu_layers == 0 else {"device": "auto"}
        return describe_folder(self.name, checkpoint, _as_served(settings), runtime=runtime, shaping=shaping)

    def launch(self, checkpoint: Path, settings: Settings, model: Deployed, process: Process) -> Launch:
        """The server calls the model by its path."""
        port, url = local(settings)
        served = str(checkpoint.resolve())
        command = [
            _python(settings), "-m", "transformers.cli.transformers", "serve", served,
            "--host", "127.0.0.1", "--port", str(port), *_device(settings), *settings.extra,
        ]  # fmt: skip
        hub = process.folder / "hub"
        hub.mkdir()
        environment = {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(hub), "TQDM_DISABLE": "1"}
        if settings.threads:
            environment["OMP_NUM_THREADS"] = str(settings.threads)
        return Launch(command, url, served, environment, listed=False)

    def ready(self, now: Now) -> bool:
        """Its page of models lists a cache that it does not use; `/health` answers once the model is loaded."""
        return get(now.url, "/health") is not None


def _python(settings: Settings) -> str:
    """The interpreter to serve from. Raises MachineError where none can be had."""
    if settings.python:
        return settings.python
    own = versions(sys.executable, _NEEDED)
    return sys.executable if all(name in own for name in _NEEDED) else str(prepared(SERVING).python)


def _as_served(settings: Settings) -> Settings:
    """Its one thread answers a request after the other, so that others would wait there until their time is up; only
    with batches does it take several at once.
    """
    return settings if "--continuous-batching" in settings.extra else replace(settings, slots=1)


def _device(settings: Settings) -> list[str]:
    """On the CPU, unless layers are to be on a GPU, or the further arguments say."""
    return [] if "--device" in settings.extra else ["--device", "cpu" if settings.gpu_layers == 0 else "auto"]


DEPLOYER = Transformers()
