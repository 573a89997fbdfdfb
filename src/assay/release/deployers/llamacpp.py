"""`llamacpp`: a GGUF file on llama.cpp's server, through xllamacpp (extra `local`), in a process of its own.

It is loaded just as the backend `llamacpp:` loads it, so that the numbers are the same; it listens on loopback behind
a key that was made for it alone, and logs what goes wrong.
"""

from __future__ import annotations

import sys
from pathlib import Path

from assay.errors import MissingExtra, ModelUnavailable
from assay.files import canonical
from assay.models.deployment import Deployed
from assay.models.digests import cached_digest
from assay.models.gguf_header import read_header
from assay.models.llama_server import PACKAGE, runtime
from assay.models.llama_server import Settings as Loading
from assay.models.llamacpp import cores, size_of
from assay.models.memory import check
from assay.release.deployers import llamacpp_server
from assay.release.deployers.base import Settings
from assay.release.deployers.process import LAYER, Process
from assay.release.deployers.server import Launch, ServerDeployer, local, new_key


class LlamaCpp(ServerDeployer):
    """GGUF files; chat, raw text, exact likelihood of choices."""

    name = "llamacpp"
    formats = ("gguf",)
    understands = frozenset({"threads", "gpu_layers"})

    def look(self, settings: Settings) -> None:
        """Raises MissingExtra without xllamacpp."""
        if runtime() is None:
            raise MissingExtra(PACKAGE, "local")

    def describe(self, checkpoint: Path, settings: Settings) -> Deployed:
        """From the file's header and digest."""
        self.check(settings)
        file = gguf_file(checkpoint)
        header = read_header(file)
        return Deployed(
            name=settings.name or file.stem,
            digest=cached_digest(file),
            format="gguf",
            deployer=self.name,
            api="llamacpp",
            context=min(settings.context, header.context or settings.context),
            slots=settings.slots,
            chat=header.chat_template,
            choices=True,
            structured=True,
            shaping={"gpu_layers": settings.gpu_layers} if settings.gpu_layers else {},
            runtime=runtime() or "",
            parameters=header.parameters,
            vocabulary=header.vocabulary,
            special=tuple(sorted(header.special)),
        )

    def launch(self, checkpoint: Path, settings: Settings, model: Deployed, process: Process) -> Launch:
        """Our own small program around xllamacpp; what it needs to know is in a file, and the key too."""
        file = gguf_file(checkpoint)
        context = model.context or settings.context
        loading = Loading(settings.slots, context, settings.threads or cores(), settings.gpu_layers)
        check(size_of(read_header(file), loading, "GGUF header"), model.name)
        _, key_file = new_key(process)
        port, url = local(settings)
        wanted = {"model": str(file.resolve()), "port": port, "alias": model.served_as, "key_file": str(key_file)}
        wanted |= {
            "slots": loading.slots,
            "context": context,
            "threads": loading.threads,
            "gpu_layers": loading.gpu_layers,
        }
        config = process.folder / "server.json"
        config.write_bytes(canonical(wanted))
        command = [sys.executable, "-m", llamacpp_server.__name__, str(config)]
        return Launch(command, url, model.served_as, {"GOMP_SPINCOUNT": "1000"}, key_file)


def gguf_file(checkpoint: Path) -> Path:
    """The file itself, or the only one of a folder. Raises ModelUnavailable where that is not clear."""
    if not checkpoint.is_dir():
        return checkpoint
    found = sorted(checkpoint.glob("*.gguf"))
    if len(found) != 1:
        raise ModelUnavailable(f"{checkpoint} holds {len(found)} *.gguf files, not one", layer=LAYER)
    return found[0]


DEPLOYER = LlamaCpp()
