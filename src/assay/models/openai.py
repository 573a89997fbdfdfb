"""`openai:`: any OpenAI-compatible endpoint, chat or completions (vLLM, llama-server, TGI, Ollama, hosted)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from assay.errors import BackendError, BackendUnreachable, BadResponse, Denied
from assay.models.base import Capabilities, Model
from assay.models.transport import AiohttpTransport
from assay.records import Completion, Request
from assay.spec.schema import ModelSpec

HOSTED = "https://api.openai.com/v1"


class OpenAIModel(Model):
    """One model of one endpoint."""

    def __init__(self, spec: ModelSpec) -> None:
        name, _, url = spec.model.removeprefix("openai:").partition("@")
        self.name = spec.name or name
        self._model = name
        self._url = (spec.base_url or url or os.environ.get("OPENAI_BASE_URL") or HOSTED).rstrip("/")
        self._chat = spec.api != "completion"
        key = os.environ.get(spec.api_key_env or "OPENAI_API_KEY")
        self._transport = AiohttpTransport(self._url, secret=key)

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"backend": "openai", "model": self._model, "endpoint": self._url}

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            chat=self._chat, completion=not self._chat, choices=False, seed=True, determinism="seeded"
        )

    async def start(self) -> None:
        try:
            await self._transport.get("/models")
        except Denied:
            return
        except BackendError as error:
            cause = error.__cause__
            number = getattr(getattr(cause, "os_error", cause), "errno", None)
            await self.stop()
            raise BackendUnreachable(f"{self.name}: {error.message}", layer="openai", errno=number) from error

    async def complete(self, request: Request) -> Completion:
        body = {
            "model": self._model,
            "temperature": request.sampling.temperature,
            "top_p": request.sampling.top_p,
            "max_tokens": request.sampling.max_tokens,
            "seed": request.seed,
        }
        if request.sampling.stop:
            body["stop"] = list(request.sampling.stop)
        if self._chat:
            body["messages"] = [{"role": turn.role, "content": turn.content} for turn in request.messages]
            return parse(await self._transport.post("/chat/completions", body))
        body["prompt"] = request.text
        return parse(await self._transport.post("/completions", body))

    async def stop(self) -> None:
        await self._transport.close()


FINISH = {"length": "length", "content_filter": "refusal"}


def parse(answer: Any) -> Completion:
    try:
        choice = answer["choices"][0]
        usage = answer.get("usage") or {}
        message = choice.get("message")
        refusal = message.get("refusal") if message else None
        text = (message["content"] or "") if message else choice["text"]
        finish = "refusal" if refusal else FINISH.get(choice.get("finish_reason"), "stop")
        return Completion(refusal or text, finish, usage.get("prompt_tokens"), usage.get("completion_tokens"))
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise BadResponse(f"not an answer: {error!r}") from None


def BACKEND(spec: ModelSpec) -> Model:
    return OpenAIModel(spec)
