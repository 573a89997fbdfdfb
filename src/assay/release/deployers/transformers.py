"""`transformers`: `transformers serve` of a folder, from the environment of an interpreter (by default ours).

It generates only: it takes `logprobs` and `echo` and ignores them, so that likelihoods cannot be asked. It knows no
key; it listens on loopback alone. Nothing is fetched: the hub is switched off, and the folder is all that it sees.
"""

from __future__ import annotations

import sys
from pathlib import Path

from assay.errors import MachineError
from assay.models.deployment import Deployed, Now
from assay.release.deployers.base import Settings
from assay.release.deployers.process import LAYER, Process
from assay.release.deployers.server import Launch, ServerDeployer, describe_folder, get, local, versions

_PACKAGES = ("transformers", "torch", "fastapi", "uvicorn", "compressed-tensors")
_NEEDED = ("transformers", "torch", "fastapi", "uvicorn")


class Transformers(ServerDeployer):
    """Hugging Face checkpoints on the CPU or a GPU; chat and raw text."""

    name = "transformers"
    formats = ("safetensors",)
    understands = frozenset({"python", "extra", "threads", "gpu_layers"})

    def look(self, settings: Settings) -> None:
        """Raises MachineError where the packages of the server are not in the environment."""
        found = versions(_python(settings), _PACKAGES)
        if missing := [name for name in _NEEDED if name not in found]:
            hint = f"{_python(settings)} -m pip install 'transformers[serving]' torch"
            what = ", ".join(missing)
            raise MachineError(f"the environment to serve from lacks {what}", layer=LAYER, hint=hint)

    def describe(self, checkpoint: Path, settings: Settings) -> Deployed:
        """From the folder; the device and further arguments shape answers."""
        self.check(settings)
        found = versions(_python(settings), _PACKAGES)
        runtime = ", ".join(f"{name} {number}" for name, number in found.items() if name in ("transformers", "torch"))
        shaping = {"extra": " ".join(settings.extra)} if settings.extra else {}
        shaping |= {} if settings.gpu_layers == 0 else {"device": "auto"}
        return describe_folder(self.name, checkpoint, settings, runtime=runtime, shaping=shaping)

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
    return settings.python or sys.executable


def _device(settings: Settings) -> list[str]:
    """On the CPU, unless layers are to be on a GPU, or the further arguments say."""
    return [] if "--device" in settings.extra else ["--device", "cpu" if settings.gpu_layers == 0 else "auto"]


DEPLOYER = Transformers()
