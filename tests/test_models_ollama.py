"""The backend `ollama`, against a stand-in that speaks its protocol: the real one cannot be installed by pip."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from assay.errors import BackendUnreachable, BadResponse, ConfigError, ModelUnavailable, Rejected
from assay.models.base import Model
from assay.models.ollama import default_url, parse
from assay.models.registry import make
from assay.records import Completion, Message, Request, Sampling
from assay.spec.schema import ModelSpec
from support.raw import Asked, Raw, http

CHAT = Request(Sampling(max_tokens=9, stop=("\n",)), seed=5, messages=(Message("user", "hi"),))
TEXT = Request(Sampling(temperature=0.5, top_p=0.9), seed=5, text="once")


def stand_in(asked: Asked) -> bytes:
    """What Ollama 0.12 answers, for the one model that it has."""
    if asked.path == "/api/version":
        return http(200, {"version": "0.12.3"})
    if asked.path == "/api/tags":
        return http(200, {"models": [{"name": "toy:latest", "model": "toy:latest", "digest": "abc123", "size": 9}]})
    if asked.body["model"] != "toy:latest":
        return http(404, {"error": f"model '{asked.body['model']}' not found"})
    if asked.path == "/api/show":
        details = {"parameter_size": "134.52M", "quantization_level": "F16", "family": "llama"}
        return http(200, {"details": details, "model_info": {"general.parameter_count": 134515008}})
    return http(200, _generated(asked.path, asked.body))


def _generated(path: str, body: dict[str, Any]) -> dict[str, Any]:
    base = {"model": "toy:latest", "created_at": "2026-01-01T00:00:00Z", "done": True}
    if "prompt" not in body and "messages" not in body:
        return {**base, "response": "", "done_reason": "unload" if body.get("keep_alive") == 0 else "load"}
    cut = body["options"]["num_predict"] < 5
    base |= {"done_reason": "length" if cut else "stop", "prompt_eval_count": 11, "eval_count": 3}
    base |= {"prompt_eval_duration": 250_000_000, "eval_duration": 1}
    if path == "/api/chat":
        return {**base, "message": {"role": "assistant", "content": "hello", "thinking": "hm"}}
    return {**base, "response": " upon a time"}


@pytest.fixture
def server() -> Iterator[Raw]:
    with Raw(stand_in) as raw:
        yield raw


def run(url: str, *requests: Request, name: str = "toy", **spec: Any) -> tuple[list[Completion], Model]:
    async def inside() -> tuple[list[Completion], Model]:
        model = make(ModelSpec(model=f"ollama:{name}@{url}", **spec))
        await model.start()
        try:
            return [await model.complete(request) for request in requests], model
        finally:
            await model.stop()
            await model.stop()

    return asyncio.run(inside())


def test_a_chat(server: Raw):
    (completion,), _ = run(server.url, CHAT)
    assert completion == Completion("hello", "stop", 11, 3, first_token_s=0.25)
    (body,) = [asked.body for asked in server.asked if asked.path == "/api/chat"]
    assert body["messages"] == [{"role": "user", "content": "hi"}]
    assert (body["model"], body["stream"], body["truncate"]) == ("toy:latest", False, False)
    options = body["options"]
    assert (options["seed"], options["temperature"], options["top_p"]) == (5, 0.0, 1.0)
    assert (options["num_predict"], options["stop"], "num_ctx" in options) == (9, ["\n"], False)


def test_raw_text_passes_the_template_by(server: Raw):
    (completion,), _ = run(server.url, TEXT, options={"context": 4096})
    assert completion.text == " upon a time"
    (body,) = [asked.body for asked in server.asked if asked.path == "/api/generate" and "prompt" in asked.body]
    assert (body["prompt"], body["raw"], body["options"]["num_ctx"]) == ("once", True, 4096)


def test_a_cut_answer_says_so(server: Raw):
    (completion,), _ = run(server.url, Request(Sampling(max_tokens=3), 1, text="once"))
    assert completion.finish == "length"


def test_the_model_is_unloaded_with_the_last_request(server: Raw):
    run(server.url, CHAT, TEXT)
    assert server.asked[-1].path == "/api/generate"
    assert server.asked[-1].body == {"model": "toy:latest", "keep_alive": 0}
    assert sum("keep_alive" in (asked.body or {}) for asked in server.asked) == 1


def test_what_the_server_says_of_the_model(server: Raw):
    _, model = run(server.url)
    assert model.environment() == {
        "ollama": "0.12.3",
        "digest": "abc123",
        "parameter_size": "134.52M",
        "quantization_level": "F16",
        "family": "llama",
    }
    assert model.identity == {"backend": "ollama", "model": "toy:latest", "endpoint": server.url}
    assert model.local
    assert not model.capabilities.choices


def test_the_size_is_asked_for_where_no_tag_says_it(server: Raw):
    made = make(ModelSpec(model=f"ollama:toy@{server.url}"))
    size = made.size()
    assert size is not None
    assert (size.parameters, size.source) == (134515008, "Ollama's /api/show")
    tagged = make(ModelSpec(model=f"ollama:toy:3b@{server.url}")).size()
    assert tagged is not None
    assert tagged.parameters == 3 * 10**9
    assert len(server.asked) == 1


def test_a_model_that_was_not_pulled(server: Raw):
    with pytest.raises(ModelUnavailable, match="ollama pull other"):
        run(server.url, name="other")
    assert not any("keep_alive" in (asked.body or {}) for asked in server.asked)


def test_nobody_there(server: Raw):
    with Raw(lambda asked: None) as gone:
        url = gone.url
    with pytest.raises(BackendUnreachable) as caught:
        run(url)
    assert url in str(caught.value)
    assert make(ModelSpec(model=f"ollama:toy@{url}")).size() is None


def test_a_prompt_that_does_not_fit_is_the_servers_to_refuse():
    def reply(asked: Asked) -> bytes:
        return http(400, {"error": "input too long"}) if asked.path == "/api/chat" else stand_in(asked)

    with Raw(reply) as raw, pytest.raises(Rejected, match="input too long"):
        run(raw.url, CHAT)


@pytest.mark.parametrize(
    "answer",
    [None, [], {}, {"message": {}}, {"message": None}, {"response": 7, "done": True}, {"response": "x", "done": False}],
)
def test_what_holds_no_completion_is_a_bad_response(answer: Any):
    with pytest.raises(BadResponse):
        parse(answer)


def test_missing_counts_are_not_zero():
    assert parse({"response": "x", "done": True}) == Completion("x")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        (None, "http://127.0.0.1:11434"),
        ("", "http://127.0.0.1:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("gpu.example:1234", "http://gpu.example:1234"),
        (":1234", "http://127.0.0.1:1234"),
        ("https://far.example/ollama/", "https://far.example:443/ollama"),
        ("[::1]:99", "http://[::1]:99"),
    ],
)
def test_the_address_comes_from_ollamas_own_variable(host: str | None, url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OLLAMA_HOST", raising=False)
    if host is not None:
        monkeypatch.setenv("OLLAMA_HOST", host)
    assert default_url() == url
    model = make(ModelSpec(model="ollama:m:1b"))
    assert model.identity["endpoint"] == url
    assert model.local is ("example" not in url)


def test_bad_options():
    with pytest.raises(ConfigError, match="context"):
        make(ModelSpec(model="ollama:m", options={"contxt": 9}))
