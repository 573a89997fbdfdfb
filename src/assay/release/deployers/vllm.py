"""`vllm`: `vllm serve`, where it is installed and there is a GPU for it.

Arguments: https://docs.vllm.ai/en/latest/cli/serve/. Answers depend on what else is in a batch (`seeded`).
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from assay.errors import MachineError
from assay.models.deployment import Deployed
from assay.release.deployers.base import Settings
from assay.release.deployers.process import LAYER, Process
from assay.release.deployers.server import Launch, ServerDeployer, describe_folder, local, new_key


class Vllm(ServerDeployer):
    """Hugging Face checkpoints; chat, raw text, and likelihoods by echo."""

    name = "vllm"
    formats = ("safetensors",)
    understands = frozenset({"extra"})

    def look(self, settings: Settings) -> None:
        """Raises MachineError where the program, or a GPU, is not there."""
        program()
        if shutil.which("nvidia-smi") is None and shutil.which("rocm-smi") is None:
            hint = "use the deployer transformers, or a machine with a GPU"
            raise MachineError("vllm needs a GPU, and none was found", layer=LAYER, hint=hint)

    def describe(self, checkpoint: Path, settings: Settings) -> Deployed:
        """From the folder."""
        self.check(settings)
        shaping = {"extra": " ".join(settings.extra)} if settings.extra else {}
        known = {"choices": True, "structured": True, "runtime": version(), "shaping": shaping}
        return describe_folder(self.name, checkpoint, settings, **known)

    def launch(self, checkpoint: Path, settings: Settings, model: Deployed, process: Process) -> Launch:
        """The key goes by the environment: a command line is everybody's to read."""
        key, key_file = new_key(process)
        port, url = local(settings)
        command = arguments(program(), checkpoint, settings, model, port)
        return Launch(command, url, model.served_as, {"VLLM_API_KEY": key, "VLLM_NO_USAGE_STATS": "1"}, key_file)


def arguments(vllm: str, checkpoint: Path, settings: Settings, model: Deployed, port: int) -> list[str]:
    """The command line. `--generation-config vllm`: what is asked counts, not the checkpoint's defaults of sampling."""
    return [
        vllm, "serve", str(checkpoint.resolve()),
        "--host", "127.0.0.1", "--port", str(port),
        "--served-model-name", model.served_as,
        "--max-model-len", str(settings.context), "--max-num-seqs", str(settings.slots),
        "--generation-config", "vllm", "--seed", "0", *settings.extra,
    ]  # fmt: skip


def program() -> str:
    """The path of `vllm`. Raises MachineError where there is none."""
    found = shutil.which("vllm")
    if found is None:
        hint = "install vllm in an environment of its own, and put its bin folder on PATH"
        raise MachineError("there is no program vllm on PATH", layer=LAYER, hint=hint)
    return found


def version() -> str:
    """Such as `vllm 0.11.0`; empty where it is not installed or does not say."""
    found = shutil.which("vllm")
    if found is None:
        return ""
    try:
        done = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=120)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return ""
    numbers = re.findall(r"\d+\.\d+[\w.+-]*", done.stdout)
    return f"vllm {numbers[-1]}" if numbers else ""


DEPLOYER = Vllm()
