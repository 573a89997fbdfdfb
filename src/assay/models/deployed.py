"""`deployed:FILE` a model behind a server that assay deployed, as a file describes it (`assay.models.deployment`).

What shapes answers is the identity in a plan, the same however often the model is deployed again. Where the server
is at this moment is read by `start`, and part of nothing: so a run resumes on another port.

Covered: llama.cpp's server with its exact likelihood of choices, and whatever else speaks OpenAI's protocol. Not
covered: starting and stopping servers (`assay.release.deployers`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from assay.errors import BackendError, BackendUnreachable, ConfigError, EvidenceError, Problem
from assay.models.backend import Backend, what
from assay.models.base import Capabilities, Model, Size
from assay.models.deployment import Deployed, Now, read
from assay.models.echo import Echo
from assay.models.endpoint import ANSWER_WITHIN_S, checked, greet
from assay.models.forced import Forced
from assay.models.llamacpp import LlamaModel
from assay.models.openai import OpenAIModel
from assay.models.transport import AiohttpTransport, errno_of
from assay.spec.schema import ModelSpec

LAYER = "deployment"
_AGAIN = "deploy it again; a run that was interrupted goes on where it stopped"


class DeployedLlama(LlamaModel):
    """A GGUF file on a llama.cpp server: all that the in-process backend can do, and the same numbers."""

    local = False

    def __init__(self, spec: ModelSpec, file: Path, model: Deployed) -> None:
        self._file, self._model = file, model
        options = {"slots": model.slots, "context": model.context or 1}
        super().__init__(spec.model_copy(update={"options": options}), Path(model.name), model.digest)
        self.name = spec.name or model.name

    def _trained(self) -> int | None:
        return None

    def _has_template(self) -> bool:
        return self._model.chat

    @property
    def identity(self) -> Mapping[str, Any]:
        """The file's: never a port."""
        return self._model.identity

    @property
    def capabilities(self) -> Capabilities:
        """Repeatable to the bit where nothing faster was asked for."""
        quick = any(self._model.shaping.values())
        chat = self._model.chat and self._api != "completion"
        return Capabilities(
            chat=chat,
            completion=True,
            choices=True,
            seed=True,
            determinism="seeded" if quick else "bitwise",
            structured=True,
        )

    def size(self) -> Size:
        """Its parameters; the memory is the server's."""
        return Size(self._model.parameters, None, "the deployment's file")

    async def start(self) -> None:
        """Find the server, and see that it serves this model. Raises BackendUnreachable."""
        now = _now(self._file, self._model)
        self._transport = AiohttpTransport(checked(now.url), now.key())
        try:
            await _recognise(self._transport, "/v1/models", now)
        except BaseException:
            await self.stop()
            raise
        self._forced = Forced(self._transport, self._model.vocabulary, self._model.special)
        self._slots = asyncio.Queue()
        for number in range(self._model.slots):
            self._slots.put_nowait(number)

    async def stop(self) -> None:
        """Close the connections; the server goes on."""
        transport = self._transport
        await super().stop()
        if transport is not None:
            await transport.close()

    def environment(self) -> Mapping[str, str]:
        """The server's version, and how many requests it takes at once."""
        return _environment(self._model)


class DeployedOpenAI(OpenAIModel):
    """A checkpoint on a server that speaks OpenAI's protocol."""

    def __init__(self, spec: ModelSpec, file: Path, model: Deployed) -> None:
        self._file, self._deployed = file, model
        nowhere = {"model": f"openai:{model.served_as}", "base_url": "http://127.0.0.1/v1", "choices": model.choices}
        super().__init__(spec.model_copy(update=nowhere))
        self.name = spec.name or model.name
        self.parallel = model.slots

    @property
    def identity(self) -> Mapping[str, Any]:
        """The file's: never a port."""
        return self._deployed.identity

    @property
    def capabilities(self) -> Capabilities:
        """What the deployer knows of its server."""
        model = self._deployed
        return Capabilities(
            chat=model.chat and self._spec.api != "completion",
            completion=model.completion and (self._spec.api != "chat" or model.choices),
            choices=model.choices,
            seed=True,
            determinism="seeded",
            structured=model.structured and self._spec.api != "completion",
        )

    def size(self) -> Size:
        """Its parameters; the memory is the server's."""
        return Size(self._deployed.parameters, None, "the deployment's file")

    async def start(self) -> None:
        """Find the server, and see that it serves this model. Raises BackendUnreachable."""
        now = _now(self._file, self._deployed)
        self._url, self._model = f"{checked(now.url)}/v1", now.served
        self._transport = AiohttpTransport(self._url, now.key())
        self._echo = Echo(self._transport, self._model)
        try:
            await _recognise(self._transport, "/models", now)
        except BaseException:
            await self.stop()
            raise

    def environment(self) -> Mapping[str, str]:
        """The server's version, and how many requests it takes at once."""
        return _environment(self._deployed)


def _environment(model: Deployed) -> Mapping[str, str]:
    return {"runtime": model.runtime, "deployer": model.deployer, "slots": str(model.slots)}


def _now(file: Path, model: Deployed) -> Now:
    """Where the server is. Raises BackendUnreachable where none runs, or another model was deployed meanwhile."""
    try:
        found, now = read(file)
    except EvidenceError as error:
        raise BackendUnreachable(error.message, layer=LAYER, hint=_AGAIN) from error
    if found.identity != model.identity:
        raise BackendUnreachable(f"{file} describes another model than it did", layer=LAYER, hint=_AGAIN)
    if now is None:
        raise BackendUnreachable(f"{file}: the model is not deployed now", layer=LAYER, hint=_AGAIN)
    return now


async def _recognise(transport: AiohttpTransport, page: str, now: Now) -> None:
    """Raises BackendUnreachable where the server does not answer, or serves other models only."""
    if not now.listed:
        return await _try(transport, now)
    answer = await greet(transport, page, url=now.url, layer=LAYER)
    names = list(names_in(answer))
    if now.served not in names:
        shown = ", ".join(map(repr, names[:5])) or "none"
        raise BackendUnreachable(f"{now.url} serves {shown}, not {now.served!r}", layer=LAYER, hint=_AGAIN)


async def _try(transport: AiohttpTransport, now: Now) -> None:
    """One token of the model under its name: a server that is pinned to another refuses."""
    body = {"model": now.served, "prompt": "The", "max_tokens": 1, "temperature": 0}
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            await transport.post("/completions", body)
    except TimeoutError:
        message = f"{now.url} did not answer within {ANSWER_WITHIN_S:g} s"
        raise BackendUnreachable(message, layer=LAYER, hint=_AGAIN) from None
    except BackendError as error:
        raise BackendUnreachable(error.message, layer=LAYER, errno=errno_of(error), hint=_AGAIN) from error


def names_in(answer: Any) -> Iterable[str]:
    """The models that a server lists, by the names it gives them."""
    entries = answer.get("data") if isinstance(answer, Mapping) else None
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and isinstance(entry.get("id"), str):
            yield entry["id"][:4096]


def _build(spec: ModelSpec) -> Model:
    file = Path(what(spec)).expanduser()
    try:
        model, _ = read(file)
    except EvidenceError as error:
        raise ConfigError(Problem(error.message, allowed="deployed: and the file that a deployment wrote")) from error
    return (DeployedLlama if model.api == "llamacpp" else DeployedOpenAI)(spec, file, model)


BACKEND = Backend(
    name="deployed",
    usage="deployed:FILE",
    summary="a checkpoint on a server that assay deployed, as its file describes it",
    build=_build,
)
