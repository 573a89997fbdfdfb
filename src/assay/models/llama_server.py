"""llama.cpp's server inside this process, through xllamacpp: started quietly, on loopback, behind a one-time key.

Its HTTP door is used rather than its Python one: it is as fast (measured with 1, 4 and 8 in flight), cancels a
request when its connection closes, and has the tokeniser, which the Python door lacks.
"""

from __future__ import annotations

import asyncio
import gc
import os
import secrets
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from assay.errors import MissingExtra, ModelUnavailable
from assay.models.transport import AiohttpTransport

PACKAGE = "xllamacpp"
_SPIN = "GOMP_SPINCOUNT"
UBATCH = 512
"""Tokens that are computed at once; the compute buffers grow with it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a model is loaded. `context`: tokens a slot; `gpu_layers`: 0 keeps all on the CPU, -1 moves all."""

    slots: int = 4
    context: int = 2048
    threads: int = 1
    gpu_layers: int = 0
    flash_attention: bool = False


def runtime() -> str | None:
    """The installed runtime and its version, without loading it; None where it is not installed."""
    try:
        return f"{PACKAGE} {version(PACKAGE)}"
    except PackageNotFoundError:
        return None


def _package() -> Any:
    """The runtime, loaded. Raises MissingExtra.

    Its threads wait for each other hundreds of times a token. By default they spin for a millisecond each time, which
    wastes most of a core whenever something else runs; a short spin costs nothing when nothing does (measured).
    """
    known = os.environ.get(_SPIN)
    os.environ[_SPIN] = known or "1000"  # read once, when the OpenMP library is loaded
    try:
        import xllamacpp
    except ImportError as error:
        raise MissingExtra(PACKAGE, "local") from error
    finally:
        if known is None:
            del os.environ[_SPIN]
    return xllamacpp


class LlamaServer:
    """One loaded model. `transport` speaks to it; `stop` frees its memory."""

    def __init__(self, path: Path, settings: Settings) -> None:
        self._path = path
        self._settings = settings
        self._secret = secrets.token_hex(16)
        self._worker: ThreadPoolExecutor | None = None
        self._server: Any = None
        self.transport: AiohttpTransport | None = None

    async def start(self) -> AiohttpTransport:
        """Load the model, away from the event loop. Raises ModelUnavailable or MissingExtra."""
        self._worker = ThreadPoolExecutor(1, "llama-load")
        url = await asyncio.wrap_future(self._worker.submit(self._load))
        self.transport = AiohttpTransport(url, self._secret)
        return self.transport

    def _load(self) -> str:
        xllamacpp = _package()
        try:
            self._server = xllamacpp.Server(self._parameters(xllamacpp))
        except (RuntimeError, ValueError, OSError) as error:
            raise ModelUnavailable(f"{self._path}: llama.cpp cannot load it: {error}", layer="llamacpp") from error
        return str(self._server.listening_address)

    def _parameters(self, xllamacpp: Any) -> Any:
        settings = self._settings
        wanted = xllamacpp.CommonParams()
        wanted.model.path = str(self._path)
        wanted.n_parallel = settings.slots
        wanted.n_ctx = settings.slots * settings.context
        wanted.n_ubatch = UBATCH
        wanted.n_gpu_layers = settings.gpu_layers
        wanted.cpuparams.n_threads = wanted.cpuparams_batch.n_threads = settings.threads
        # Waiting threads sleep: by default they spin, and one busy neighbour then slows generation tenfold.
        wanted.cpuparams.poll = wanted.cpuparams_batch.poll = 0
        self._make_repeatable(xllamacpp, wanted)
        self._close_up(wanted)
        return wanted

    def _make_repeatable(self, xllamacpp: Any, wanted: Any) -> None:
        """One cache a slot and plain attention: only then are a request's numbers the same alone and in a batch.

        Measured: with a cache shared between slots, or flash attention, log probabilities moved by up to 0.5.
        """
        kinds = xllamacpp.llama_flash_attn_type
        wanted.kv_unified = False
        wanted.flash_attn_type = kinds(1 if self._settings.flash_attention else 0)
        wanted.cache_ram_mib = 0  # no store of old prompts beside the slots: up to 8 GiB by default
        wanted.fit_params = False  # nothing is changed in silence to make the model fit

    def _close_up(self, wanted: Any) -> None:
        """Nothing on stdout or stderr, and nobody else on this machine may use or read the server."""
        wanted.verbosity = -1
        wanted.hostnames = ["127.0.0.1"]
        wanted.api_keys = [self._secret]
        wanted.cors_origins = ""
        wanted.ui = False
        wanted.endpoint_slots = False

    async def stop(self) -> None:
        """Close connections and free the weights; waits for a load that is still going on. Safe to call twice."""
        transport, self.transport = self.transport, None
        if transport is not None:
            await transport.close()
        worker, self._worker = self._worker, None
        if worker is not None:
            freed: Future[None] = worker.submit(self._free)
            await asyncio.shield(asyncio.wrap_future(freed))
            worker.shutdown(wait=False)

    def _free(self) -> None:
        self._server = None
        gc.collect()
