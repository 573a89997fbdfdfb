"""`ollama:` Ollama's own API, which says more of a model than its OpenAI-compatible one and can unload it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import orjson

from assay.errors import BackendError, BackendUnreachable, BadResponse, ModelUnavailable, NotFound
from assay.models.backend import Backend, Option
from assay.models.base import Capabilities, Model, Size
from assay.models.endpoint import greet, key_of, name_and_url
from assay.models.openai import count
from assay.models.sizes import parameters_in, size_by_name
from assay.models.transport import AiohttpTransport, loopback
from assay.records import Completion, Request

if TYPE_CHECKING:
    from assay.spec.schema import ModelSpec

PORT = 11434
UNLOAD_WITHIN_S = 10.0
ASK_WITHIN_S = 2.0

_OPTIONS = {"context": Option(int, "tokens of prompt and answer together (num_ctx)", 16, 1 << 24)}


class OllamaModel(Model):
    """One model of one Ollama. On this machine it counts as local: it holds memory here while it runs."""

    def __init__(self, spec: ModelSpec) -> None:
        self._model, self._url = name_and_url(spec, default_url())
        self._tag = self._model if ":" in self._model.rpartition("/")[2] else f"{self._model}:latest"
        self.name = spec.name or self._model
        self.local = loopback(self._url)
        self._spec = spec
        self._context = spec.options.get("context")
        self._transport = AiohttpTransport(self._url)
        self._environment: dict[str, str] = {}
        self._started = False

    @property
    def identity(self) -> Mapping[str, Any]:
        """The model's name at its server; its digest is known once the server is asked, and in the environment."""
        identity: dict[str, Any] = {"backend": "ollama", "model": self._tag, "endpoint": self._url}
        return identity | ({"context": self._context} if self._context is not None else {})

    @property
    def capabilities(self) -> Capabilities:
        """Chat through the model's template, raw text without it; no log probabilities of given text."""
        chat = self._spec.api != "completion"
        return Capabilities(chat=chat, completion=True, choices=False, seed=True, determinism="seeded", structured=True)

    def size(self) -> Size | None:
        """The tag in its name, else what an Ollama on this machine says within two seconds."""
        named = size_by_name(self._model)
        if named is not None or not self.local:
            return named
        parameters = _parameters(_ask(f"{self._url}/api/show", {"model": self._tag}))
        return Size(parameters, None, "Ollama's /api/show") if parameters else None

    async def start(self) -> None:
        """Ask for the version and the model. Raises BackendUnreachable, or ModelUnavailable where it is not pulled."""
        key = key_of(self._spec.api_key_env or "OLLAMA_API_KEY", required=False, layer="ollama")
        self._transport = AiohttpTransport(self._url, key)
        try:
            version = await greet(self._transport, "/api/version", url=self._url, layer="ollama")
            self._environment = {"ollama": str((version or {}).get("version", "")), **await self._describe()}
        except BaseException:
            await self._transport.close()
            raise
        self._started = True

    async def _describe(self) -> dict[str, str]:
        try:
            shown = await self._transport.post("/api/show", {"model": self._tag})
            tags = await self._transport.get("/api/tags")
        except NotFound:
            hint = f"ollama pull {self._model}"
            raise ModelUnavailable(f"{self._url} has no model {self._tag!r}", layer="ollama", hint=hint) from None
        except BackendError as error:
            raise BackendUnreachable(error.message, layer="ollama") from error
        return _description(shown, tags, self._tag)

    async def complete(self, request: Request) -> Completion:
        """One POST, to /api/chat for messages and to /api/generate, past any template, for raw text."""
        body = {
            "model": self._tag,
            "stream": False,
            "truncate": False,  # a prompt that does not fit is an error, not a shorter prompt
            "shift": False,
            "options": self._decoding(request),
        }
        if request.sampling.json_schema is not None:
            body["format"] = orjson.loads(request.sampling.json_schema)
        if request.messages:
            body["messages"] = [{"role": turn.role, "content": turn.content} for turn in request.messages]
            return parse(await self._transport.post("/api/chat", body))
        return parse(await self._transport.post("/api/generate", {**body, "prompt": request.text, "raw": True}))

    def _decoding(self, request: Request) -> dict[str, Any]:
        sampling = request.sampling
        options: dict[str, Any] = {
            "seed": request.seed,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "num_predict": sampling.max_tokens,
            # What was asked for, and nothing besides: Ollama's own cuts are switched off.
            "top_k": 0,
            "min_p": 0.0,
            "repeat_penalty": 1.0,
        }
        if sampling.stop:
            options["stop"] = sampling.stop
        return options | ({"num_ctx": self._context} if self._context is not None else {})

    async def stop(self) -> None:
        """Have the model unloaded (`keep_alive` 0), so that the next one finds the memory free; then hang up."""
        if self._started:
            self._started = False
            with suppress(BackendError, TimeoutError):
                async with asyncio.timeout(UNLOAD_WITHIN_S):
                    await self._transport.post("/api/generate", {"model": self._tag, "keep_alive": 0})
        await self._transport.close()

    def environment(self) -> Mapping[str, str]:
        """Ollama's version; the model's digest, size and quantization."""
        return self._environment


def default_url() -> str:
    """The address in `OLLAMA_HOST`, in any of the forms that Ollama takes, else this machine's port 11434."""
    text = os.environ.get("OLLAMA_HOST", "").strip() or "127.0.0.1"
    parts = urlsplit(text if "://" in text else f"http://{text}")
    host = parts.hostname or "127.0.0.1"
    if host in ("0.0.0.0", "::"):  # noqa: S104 - where a server listens on everything, a client speaks to itself
        host = "127.0.0.1"
    standard = {"http": 80, "https": 443}.get(parts.scheme) if "://" in text else None
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}:{parts.port or standard or PORT}{parts.path.rstrip('/')}"


_FINISH: dict[str, Literal["stop", "length"]] = {"stop": "stop", "length": "length"}


def parse(answer: Any) -> Completion:
    """The completion in an answer; a model's thinking is not part of it. Raises BadResponse where there is none."""
    try:
        text = answer["message"]["content"] if "message" in answer else answer["response"]
        finish = _FINISH.get(answer.get("done_reason") or "")
        if not isinstance(text, str) or not answer.get("done"):
            raise BadResponse("the answer holds no finished completion")
        spent = answer.get("prompt_eval_duration")
        first = spent / 1e9 if isinstance(spent, int) and spent > 0 else None
        counts = count(answer.get("prompt_eval_count")), count(answer.get("eval_count"))
        return Completion(text, finish, *counts, first_token_s=first)
    except (KeyError, TypeError, AttributeError):
        raise BadResponse("the answer holds no completion") from None


def _description(shown: Any, tags: Any, tag: str) -> dict[str, str]:
    details = shown.get("details") if isinstance(shown, dict) else None
    known = {key: (details or {}).get(key) for key in ("parameter_size", "quantization_level", "family")}
    listed = tags.get("models") if isinstance(tags, dict) else None
    for entry in listed if isinstance(listed, list) else []:
        if isinstance(entry, dict) and entry.get("name") == tag:
            known["digest"] = entry.get("digest")
    return {key: str(value)[:200] for key, value in known.items() if value}


def _parameters(shown: Any) -> int | None:
    """The exact count, or the rounded one ("1.2B") of older versions."""
    if not isinstance(shown, dict):
        return None
    exact = count((shown.get("model_info") or {}).get("general.parameter_count"))
    return exact or parameters_in(str((shown.get("details") or {}).get("parameter_size", "")))


def _ask(url: str, body: Mapping[str, Any]) -> Any:
    """One short question outside any event loop: None where nobody answers. Only used for this machine."""
    from urllib.error import URLError
    from urllib.request import ProxyHandler, Request, build_opener

    asked = Request(url, orjson.dumps(body), {"Content-Type": "application/json"})  # noqa: S310 - http, checked
    try:
        with build_opener(ProxyHandler({})).open(asked, timeout=ASK_WITHIN_S) as answer:
            return orjson.loads(answer.read(1 << 24))
    except (URLError, OSError, orjson.JSONDecodeError):
        return None


BACKEND = Backend(
    name="ollama",
    usage="ollama:NAME[@BASE_URL]",
    summary="Ollama's own API; the model is unloaded after its last request",
    build=OllamaModel,
    options=_OPTIONS,
    keys=frozenset({"base_url", "api_key_env"}),
)
