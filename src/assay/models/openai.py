"""`openai:` any OpenAI-compatible endpoint: vLLM, llama-server, TGI, Ollama's, hosted ones.

Covered: chat completions, completions, and the likelihood of choices where a server echoes its prompt with log
probabilities (`assay.models.echo`). Not covered: streaming, tools, more than one answer a request.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import orjson

from assay.errors import BadResponse, ConfigError, Problem
from assay.models.backend import Backend, Option
from assay.models.base import Capabilities, Model, Size
from assay.models.echo import Echo
from assay.models.endpoint import greet, key_of, name_and_url
from assay.models.sizes import size_by_name
from assay.models.transport import AiohttpTransport
from assay.records import Completion, Request

if TYPE_CHECKING:
    from assay.spec.schema import ModelSpec

HOSTED = "https://api.openai.com/v1"

_OMITTABLE = ("seed", "temperature", "top_p", "stop", "max_tokens", "response_format")
_OPTIONS = {
    "omit": Option(str, f"fields not to send, separated by commas, of: {', '.join(_OMITTABLE)}"),
    "max_tokens_key": Option(
        str,
        "how the server calls the token limit of a chat",
        values=("max_tokens", "max_completion_tokens"),
    ),
}
_FINISH: dict[str, Literal["stop", "length", "refusal"]] = {
    "stop": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "tool_calls": "stop",
    "length": "length",
    "content_filter": "refusal",
}


class OpenAIModel(Model):
    """One model of one endpoint."""

    def __init__(self, spec: ModelSpec) -> None:
        default = os.environ.get("OPENAI_BASE_URL") or HOSTED
        self._model, self._url = name_and_url(spec, default)
        self.name = spec.name or self._model
        self._spec = spec
        self._omit = _omitted(spec)
        hosted = self._url == HOSTED
        chat_limit = str(spec.options.get("max_tokens_key") or ("max_completion_tokens" if hosted else "max_tokens"))
        self._limit_key = {"messages": chat_limit, "prompt": "max_tokens"}
        self._transport = AiohttpTransport(self._url)
        self._echo = Echo(self._transport, self._model)
        self._environment: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"OpenAIModel({self._model!r}, {self._url!r})"

    @property
    def identity(self) -> Mapping[str, Any]:
        """The model's name at its endpoint: a server may change what stands behind it."""
        identity: dict[str, Any] = {"backend": "openai", "model": self._model, "endpoint": self._url}
        if self._omit:
            identity["omit"] = sorted(self._omit)
        return identity

    @property
    def capabilities(self) -> Capabilities:
        """What was declared in the spec; the server is not asked."""
        seed = "seed" not in self._omit
        choices = bool(self._spec.choices)
        return Capabilities(
            chat=self._spec.api != "completion",
            completion=self._spec.api != "chat" or choices,
            choices=choices,
            seed=seed,
            determinism="seeded" if seed else "none",
            structured=self._spec.api != "completion" and "response_format" not in self._omit,
        )

    def size(self) -> Size | None:
        """The tag in its name is all there is."""
        return size_by_name(self._model)

    async def start(self) -> None:
        """Ask the server for its models. Raises BackendUnreachable where it does not answer or refuses the key."""
        variable = self._spec.api_key_env or "OPENAI_API_KEY"
        required = self._spec.api_key_env is not None or self._url == HOSTED
        self._transport = AiohttpTransport(self._url, key_of(variable, required=required, layer="openai"))
        self._echo = Echo(self._transport, self._model)
        try:
            answer = await greet(self._transport, "/models", url=self._url, layer="openai")
        except BaseException:
            await self.stop()
            raise
        self._environment = _served(answer, self._model)

    async def complete(self, request: Request) -> Completion:
        """One POST; choices go to the completions page, however many there are."""
        if request.choices:
            return await self._echo.score(request.text or "", request.choices)
        if request.messages:
            messages = [{"role": turn.role, "content": turn.content} for turn in request.messages]
            body = self._body(request, "messages", messages)
            return parse(await self._transport.post("/chat/completions", body))
        return parse(await self._transport.post("/completions", self._body(request, "prompt", request.text)))

    def _body(self, request: Request, kind: str, content: Any) -> dict[str, Any]:
        sampling = request.sampling
        body = {
            "model": self._model,
            kind: content,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            self._limit_key[kind]: sampling.max_tokens,
            "seed": request.seed,
        }
        if sampling.stop:
            body["stop"] = sampling.stop
        if sampling.json_schema is not None and kind == "messages":
            body["response_format"] = _format(sampling.json_schema, hosted=self._url == HOSTED)
        for key in self._omit:
            body.pop(self._limit_key[kind] if key == "max_tokens" else key, None)
        return body

    async def stop(self) -> None:
        """Close the connections."""
        await self._transport.close()

    def environment(self) -> Mapping[str, str]:
        """What the server said of the model: its id, owner, root and context length, where it did."""
        return self._environment


def _format(schema: str, *, hosted: bool) -> dict[str, Any]:
    """A JSON Schema as the protocol has it. The hosted service refuses a schema that bounds the length of texts."""
    value = orjson.loads(schema)
    if hosted:
        value = _without(value, "maxLength")
    return {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": value}}


def _without(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        return {name: _without(part, key) for name, part in value.items() if name != key}
    return [_without(part, key) for part in value] if isinstance(value, list) else value


def _omitted(spec: ModelSpec) -> frozenset[str]:
    text = str(spec.options.get("omit", ""))
    omitted = frozenset(part.strip() for part in text.split(",") if part.strip())
    if unknown := sorted(omitted - set(_OMITTABLE)):
        raise ConfigError(Problem(f"option 'omit' cannot name {unknown[0]!r}", allowed=", ".join(_OMITTABLE)))
    return omitted


def _served(answer: Mapping[str, Any] | None, model: str) -> dict[str, str]:
    entries = (answer or {}).get("data")
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and entry.get("id") == model:
            known = {key: entry.get(key) for key in ("id", "owned_by", "root", "created", "max_model_len")}
            return {f"server.{key}": str(part)[:200] for key, part in known.items() if part is not None}
    return {}


def parse(answer: Any) -> Completion:
    """The completion in an answer of either page. Raises BadResponse where there is none."""
    try:
        choice = answer["choices"][0]
        usage = answer.get("usage") or {}
        message = choice.get("message")
        refusal = message.get("refusal") if message else None
        text = _text(message.get("content") if message else choice["text"])
        finish = "refusal" if refusal else _FINISH.get(choice.get("finish_reason") or "")
        return Completion(
            _text(refusal) or text, finish, count(usage.get("prompt_tokens")), count(usage.get("completion_tokens"))
        )
    except (KeyError, IndexError, TypeError, AttributeError):
        raise BadResponse(f"the answer holds no completion: {_excerpt(answer)}") from None


def _text(content: Any) -> str:
    """A message's content: text, nothing, or a list of parts of which only the text is the answer."""
    if isinstance(content, str):
        return content
    if content is None:
        return ""
    return "".join(part["text"] for part in content if part.get("type") == "text")


def count(value: Any) -> int | None:
    """A number of tokens, None where there is none: missing is never zero."""
    return value if type(value) is int and value >= 0 else None


def _excerpt(answer: Any) -> str:
    text = repr(answer)
    return text if len(text) <= 200 else f"{text[:200]}…"


BACKEND = Backend(
    name="openai",
    usage="openai:NAME[@BASE_URL]",
    summary="any OpenAI-compatible endpoint: vLLM, llama-server, TGI, Ollama, hosted",
    build=OpenAIModel,
    options=_OPTIONS,
    keys=frozenset({"base_url", "api_key_env", "choices"}),
)
