"""`llamacpp:` a GGUF file in this process, through xllamacpp (extra `local`).

Covered: chat through the file's own template, raw text, the likelihood of choices; several requests at once, in
slots of one loaded model. Not covered: adapters, images, models split over several files.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from assay.errors import BadResponse, ConfigError, ConnectionLost, Problem
from assay.models.backend import Backend, Option, what
from assay.models.base import Capabilities, Determinism, Model, Size
from assay.models.digests import cached_digest
from assay.models.forced import Forced
from assay.models.gguf_header import Header, read_header
from assay.models.llama_server import UBATCH, LlamaServer, Settings, runtime
from assay.models.memory import check
from assay.models.openai import count
from assay.models.openai import parse as parse_chat
from assay.models.transport import AiohttpTransport
from assay.records import Completion, Request, Sampling

if TYPE_CHECKING:
    from assay.spec.schema import ModelSpec

DEFAULT_CONTEXT = 2048
DEFAULT_SLOTS = 4
_OVERHEAD = 64 << 20
_RANDOM = 0xFFFF_FFFF
"""The seed that means "take any" to llama.cpp."""

OPTIONS = {
    "slots": Option(int, "requests served at once", 1, 256),
    "context": Option(int, "tokens of prompt and answer together, for each slot", 16, 1 << 24),
    "threads": Option(int, "CPU threads", 1, 1024),
    "gpu_layers": Option(int, "layers on the GPU; -1 for all", -1, 10_000),
    "flash_attention": Option(bool, "flash attention: faster on a GPU, not the same numbers alone and in a batch"),
    "prompt_cache": Option(bool, "reuse the last prompt's common beginning: faster, not quite repeatable"),
}


class LlamaModel(Model):
    """One GGUF file. Made from its header; the weights are read by `start`."""

    local = True

    def __init__(self, spec: ModelSpec, path: Path, digest: str | None = None) -> None:
        self._header: Header | None = None
        self._path = path
        self._digest = digest
        self.name = spec.name or path.stem
        self._api = spec.api
        self._settings, self._prompt_cache = settings(spec, self._trained())
        self.parallel = self._settings.slots
        self._slots: asyncio.Queue[int] | None = None
        self._server: LlamaServer | None = None
        self._transport: AiohttpTransport | None = None
        self._forced: Forced | None = None

    @property
    def header(self) -> Header:
        """The file's header. Raises ModelUnavailable where it is not there or not a GGUF file."""
        if self._header is None:
            self._header = read_header(self._path)
        return self._header

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the file's header says of it; empty where the file is not here yet."""
        return self.header.metadata if self._path.is_file() else {}

    def _trained(self) -> int | None:
        return self.header.context

    def _has_template(self) -> bool:
        return self.header.chat_template

    @property
    def identity(self) -> Mapping[str, Any]:
        """The weights' digest, the runtime, and the settings that shape an answer (slots and threads do not)."""
        identity: dict[str, Any] = {
            "backend": "llamacpp",
            "model": self._path.name,
            "digest": self._digest or cached_digest(self._path),
            "context": self._settings.context,
        }
        if version := runtime():
            identity["runtime"] = version
        for key in ("gpu_layers", "flash_attention"):
            if setting := getattr(self._settings, key):
                identity[key] = setting
        return identity | ({"prompt_cache": True} if self._prompt_cache else {})

    @property
    def capabilities(self) -> Capabilities:
        """Chat where the file has a template. Repeatable to the bit on the CPU, unless told to be faster."""
        quick = self._settings.gpu_layers or self._settings.flash_attention or self._prompt_cache
        determinism: Determinism = "seeded" if quick else "bitwise"
        chat = self._has_template() and self._api != "completion"
        return Capabilities(chat, completion=True, choices=True, seed=True, determinism=determinism, structured=True)

    def size(self) -> Size:
        """Parameters counted over all tensors; memory for weights, the slots' caches and buffers."""
        return size_of(self.header, self._settings, "GGUF header")

    async def start(self) -> None:
        """Load the model. Raises ModelUnavailable where it would not fit, MissingExtra without xllamacpp."""
        check(size_of(self.header, self._settings, "GGUF header"), self.name)
        self._server = LlamaServer(self._path, self._settings)
        try:
            self._transport = await self._server.start()
        except BaseException:
            await self.stop()
            raise
        self._forced = Forced(self._transport, self.header.vocabulary, self.header.special)
        self._slots = asyncio.Queue()
        for number in range(self._settings.slots):
            self._slots.put_nowait(number)

    async def complete(self, request: Request) -> Completion:
        """Wait for a free slot and use it."""
        async with self._slot() as (transport, forced, slot):
            if request.choices:
                return await forced.score(request.text or "", request.choices, slot)
            body = self._body(request, slot)
            if request.messages:
                body["messages"] = [{"role": turn.role, "content": turn.content} for turn in request.messages]
                body["max_tokens"] = request.sampling.max_tokens
                return parse_chat(await transport.post("/v1/chat/completions", body))
            body["prompt"] = request.text
            body["n_predict"] = request.sampling.max_tokens
            return parse_text(await transport.post("/completion", body))

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[tuple[AiohttpTransport, Forced, int]]:
        if self._transport is None or self._forced is None or self._slots is None:
            raise ConnectionLost(f"{self.name} is not loaded")
        slots = self._slots
        slot = await slots.get()
        try:
            yield self._transport, self._forced, slot
        finally:
            slots.put_nowait(slot)

    def _body(self, request: Request, slot: int) -> dict[str, Any]:
        return {**decoding(request.sampling, request.seed), "cache_prompt": self._prompt_cache, "id_slot": slot}

    async def stop(self) -> None:
        """Free the weights."""
        server, self._server = self._server, None
        self._transport = self._forced = self._slots = None
        if server is not None:
            await server.stop()

    def environment(self) -> Mapping[str, str]:
        """The runtime's version and what the header says of the file."""
        header = self.header
        formats = sorted({tensor.format for tensor in header.tensors})
        return {
            "runtime": runtime() or "",
            "architecture": header.architecture,
            "formats": ", ".join(formats),
            "slots": str(self._settings.slots),
            "threads": str(self._settings.threads),
        }


def decoding(sampling: Sampling, seed: int) -> dict[str, Any]:
    """What was asked for, and nothing besides: llama.cpp's own top-k and min-p are left out.

    Greedy is "the most likely one": taken by partial sorting, which spares a softmax over the vocabulary a token.
    """
    body: dict[str, Any] = {"temperature": sampling.temperature, "seed": seed % _RANDOM}
    if sampling.temperature == 0:
        body |= {"samplers": ["top_k"], "top_k": 1}
    else:
        body |= {"samplers": ["temperature", "top_p"], "top_p": sampling.top_p}
    if sampling.stop:
        body["stop"] = sampling.stop
    if sampling.json_schema is not None:
        body["json_schema"] = orjson.loads(sampling.json_schema)
    return body


def parse_text(answer: Any) -> Completion:
    """The completion in an answer to `/completion`. Raises BadResponse where there is none."""
    try:
        content, reason = answer["content"], answer["stop_type"]
        if not isinstance(content, str):
            raise BadResponse("the answer's content is not text")
        counts = count(answer["tokens_evaluated"]), count(answer["tokens_predicted"])
        return Completion(content, "length" if reason == "limit" else "stop", *counts)
    except (KeyError, TypeError):
        raise BadResponse("the answer holds no completion") from None


def settings(spec: ModelSpec, trained: int | None) -> tuple[Settings, bool]:
    """How to load the model, and whether prompts are cached. `trained`: the longest context it knows.

    Raises ConfigError for a context longer than that.
    """
    options = spec.options
    context = int(options.get("context", min(DEFAULT_CONTEXT, trained or DEFAULT_CONTEXT)))
    if trained is not None and context > trained:
        message = f"option 'context' is {context}, longer than the model was trained for"
        raise ConfigError(Problem(message, key="options.context", allowed=f"at most {trained}"))
    chosen = Settings(
        slots=int(options.get("slots", DEFAULT_SLOTS)),
        context=context,
        threads=int(options.get("threads", cores())),
        gpu_layers=int(options.get("gpu_layers", 0)),
        flash_attention=bool(options.get("flash_attention", False)),
    )
    return chosen, bool(options.get("prompt_cache", False))


def cores() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def size_of(header: Header, chosen: Settings, source: str) -> Size:
    """The size of a loaded file: its bytes, the caches of all slots, the buffers of one batch."""
    cache = header.cache_bytes(chosen.slots * chosen.context)
    return Size(header.parameters, memory(header.file_bytes, cache, header.vocabulary), source)


def memory(weights: int, cache: int, vocabulary: int) -> int:
    """Bytes in all. The largest buffer holds one number a vocabulary entry for each token of a batch."""
    return weights + cache + _OVERHEAD + 4 * UBATCH * vocabulary


def _build(spec: ModelSpec) -> Model:
    path = Path(what(spec)).expanduser()
    if not path.is_file():
        raise ConfigError(Problem(f"{path}: no such file", allowed="llamacpp: and the path of a GGUF file"))
    return LlamaModel(spec, path)


BACKEND = Backend(
    name="llamacpp",
    usage="llamacpp:FILE.gguf",
    summary="a GGUF file in this process, on the CPU or a GPU",
    build=_build,
    extra="local",
    options=OPTIONS,
)
