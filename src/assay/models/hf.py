"""`hf:` a Hugging Face checkpoint in this process, through transformers (extra `hf`).

Covered: a folder, or a model id of the hub at a revision; chat through the checkpoint's template, raw text, the
likelihood of choices; requests in batches. Code that comes with a checkpoint is never run, and weights are only read
from safetensors. Not covered: adapters, encoder-decoder models, several GPUs.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.errors import ConfigError, ConnectionLost, MissingExtra, Problem
from assay.models.backend import Backend, Option, what
from assay.models.base import Capabilities, Model, Size
from assay.models.batching import Batcher
from assay.models.hf_files import BYTES, folder_digest, folder_size, has_template
from assay.models.sizes import size_by_name
from assay.records import Completion, Request

if TYPE_CHECKING:
    from assay.models.hf_engine import Engine
    from assay.spec.schema import ModelSpec

DEFAULT_BATCH = 8
_OPTIONS = {
    "device": Option(
        str, "where to compute; auto takes a GPU where there is one", values=("auto", "cpu", "cuda", "mps")
    ),
    "dtype": Option(str, "number format; auto takes the checkpoint's", values=("auto", *BYTES)),
    "batch": Option(int, "requests answered together", 1, 1024),
}
_ID = re.compile(r"^[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?$")


class HFModel(Model):
    """One checkpoint. Nothing of it is read before `start` but headers of a folder."""

    local = True

    def __init__(self, spec: ModelSpec) -> None:
        self._place, self._revision = place_of(what(spec))
        self._folder = Path(self._place).expanduser() if self._revision is None else None
        self.name = spec.name or (self._folder.resolve().name if self._folder else self._place)
        self._spec = spec
        self.parallel = self._batch = int(spec.options.get("batch", DEFAULT_BATCH))
        self._device = str(spec.options.get("device", "auto"))
        self._dtype = str(spec.options.get("dtype", "auto"))
        self._worker: ThreadPoolExecutor | None = None
        self._batcher: Batcher | None = None
        self._engine: Engine | None = None

    @property
    def identity(self) -> Mapping[str, Any]:
        """A folder by its files' digest, a hub's model by its revision; the number format; the runtime."""
        identity: dict[str, Any] = {"backend": "hf", "model": self.name if self._folder else self._place}
        if self._folder:
            identity["digest"] = folder_digest(self._folder)
        else:
            identity["revision"] = self._revision
        parts = {"device": self._device, "dtype": self._dtype, "runtime": _runtime() or "auto"}
        return identity | {key: part for key, part in parts.items() if part != "auto"}

    @property
    def capabilities(self) -> Capabilities:
        """Chat where a folder's tokeniser has a template; a hub's model is taken to have one, and `start` looks."""
        chat = self._spec.api != "completion" and (self._folder is None or has_template(self._folder))
        return Capabilities(chat=chat, completion=True, choices=True, seed=True, determinism="seeded")

    def size(self) -> Size | None:
        """Of a folder, from its headers; of a hub's model, from the tag in its name."""
        if self._folder is None:
            return size_by_name(self._place)
        return folder_size(self._folder, self._dtype, self._batch)

    async def start(self) -> None:
        """Load in the worker thread. Raises MissingExtra, or ModelUnavailable where it cannot be had or loaded."""
        for package in ("torch", "transformers"):
            if _version(package) is None:
                raise MissingExtra(package, "hf")
        from assay.models.hf_engine import Engine

        self._worker = ThreadPoolExecutor(1, "hf")
        loop = asyncio.get_running_loop()
        wanted = (self._place, self._revision, self._device, self._dtype, self._spec.api != "completion")
        try:
            self._engine = await loop.run_in_executor(self._worker, Engine, *wanted)
        except BaseException:
            await self.stop()
            raise
        self._batcher = Batcher(self._engine.answer, self._batch, _kind, self._worker)

    async def complete(self, request: Request) -> Completion:
        """Wait for a batch to take the request along."""
        if self._batcher is None:
            raise ConnectionLost(f"{self.name} is not loaded")
        return await self._batcher.ask(request)

    async def stop(self) -> None:
        """Free the weights, after what is being computed."""
        batcher, self._batcher = self._batcher, None
        if batcher is not None:
            await batcher.close()
        worker, self._worker = self._worker, None
        engine, self._engine = self._engine, None
        if worker is not None:
            freed = worker.submit(engine.free) if engine is not None else worker.submit(lambda: None)
            await asyncio.shield(asyncio.wrap_future(freed))
            worker.shutdown(wait=False)

    def environment(self) -> Mapping[str, str]:
        """Library versions, the device and the number format in use, the commit of a hub's model."""
        return {"runtime": _runtime() or "", **(self._engine.facts if self._engine else {})}


def _kind(request: Request) -> Hashable:
    """What may be computed together: choices with choices, and texts with the same way of decoding."""
    return bool(request.choices) or request.sampling


def place_of(text: str) -> tuple[str, str | None]:
    """A folder and None, or a hub's model id and its revision. Raises ConfigError for neither."""
    if Path(text).expanduser().is_dir():
        return text, None
    name, _, revision = text.partition("@")
    if not _ID.match(name) or ".." in name or text.endswith("@"):
        message = f"{text!r} is neither a folder nor a model id of the hub"
        raise ConfigError(Problem(message, allowed="hf:FOLDER, hf:OWNER/NAME, hf:OWNER/NAME@REVISION"))
    return name, revision or "main"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _runtime() -> str | None:
    found = [f"{package} {number}" for package in ("torch", "transformers") if (number := _version(package))]
    return ", ".join(found) or None


BACKEND = Backend(
    name="hf",
    usage="hf:FOLDER_OR_ID[@REVISION]",
    summary="a Hugging Face checkpoint in this process, through transformers",
    build=HFModel,
    extra="hf",
    options=_OPTIONS,
)
