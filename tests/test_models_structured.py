"""Decoding that is confined to a schema: what each backend sends, and that nothing changes where there is none."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from assay.files import canonical
from assay.models.llamacpp import decoding
from assay.models.openai import OpenAIModel
from assay.models.registry import make
from assay.plan.plan import Cell, Plan
from assay.records import Message, Request, Sampling
from assay.spec.schema import ModelSpec
from support.raw import Asked, Raw, http

FORM = {"type": "object", "properties": {"a": {"type": "string", "maxLength": 5}}, "required": ["a"]}
CONFINED = Sampling(json_schema=canonical(FORM).decode())
CHAT = Request(CONFINED, seed=1, messages=(Message("user", "hi"),))


def test_a_sampling_without_a_schema_has_the_json_that_it_always_had():
    assert Sampling().to_json() == {"temperature": 0.0, "top_p": 1.0, "max_tokens": 256, "stop": ()}
    request = Request(Sampling(), 1, text="x")
    assert "json_schema" not in orjson.dumps(request.to_json()).decode()
    assert orjson.loads(Request(CONFINED, 1, text="x").to_json()["sampling"]["json_schema"]) == FORM


def test_a_plan_keeps_the_schema_of_its_cells():
    cells = tuple(
        Cell(name, "m", "p", "t", "chat", sampling) for name, sampling in (("a", Sampling()), ("b", CONFINED))
    )
    plan = Plan("n", 0, {}, {}, {}, {}, cells)
    stored = [cell["sampling"] for cell in orjson.loads(orjson.dumps(plan.to_json()))["cells"]]
    assert "json_schema" not in stored[0] and orjson.loads(stored[1]["json_schema"]) == FORM
    assert Sampling(**{**stored[1], "stop": ()}) == CONFINED


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({"model": "openai:x"}, True),
        ({"model": "openai:x", "api": "completion"}, False),
        ({"model": "openai:x", "options": {"omit": "response_format"}}, False),
        ({"model": "ollama:x"}, True),
        ({"model": "smollm2-135m"}, True),
        ({"model": "hf:a/b"}, False),
    ],
)
def test_a_backend_says_whether_it_can(spec: dict[str, Any], wanted: bool):
    capabilities = make(ModelSpec(**spec)).capabilities
    assert capabilities.structured is wanted
    assert set(capabilities.to_json()) == {"chat", "completion", "choices", "seed", "determinism"}


def test_openai_gets_a_response_format():
    kept = OpenAIModel(ModelSpec(model="openai:x@http://127.0.0.1:1/v1"))._body(CHAT, "messages", [])
    assert kept["response_format"]["json_schema"] == {"name": "answer", "strict": True, "schema": FORM}
    hosted = OpenAIModel(ModelSpec(model="openai:x", base_url="https://api.openai.com/v1"))._body(CHAT, "messages", [])
    assert hosted["response_format"]["json_schema"]["schema"]["properties"]["a"] == {"type": "string"}
    plain = OpenAIModel(ModelSpec(model="openai:x"))._body(Request(Sampling(), 1, text="x"), "prompt", "x")
    assert "response_format" not in plain


def test_llama_cpp_gets_the_schema_itself():
    assert decoding(CONFINED, 1)["json_schema"] == FORM
    assert "json_schema" not in decoding(Sampling(), 1)


def test_ollama_gets_a_format():
    bodies: list[dict[str, Any]] = []

    def server(asked: Asked) -> bytes:
        if asked.path == "/api/version":
            return http(200, {"version": "1"})
        if asked.path == "/api/tags":
            return http(200, {"models": []})
        if asked.path == "/api/chat":
            bodies.append(asked.body)
            return http(200, {"done": True, "message": {"content": "{}"}, "done_reason": "stop"})
        return http(200, {})

    async def ask(url: str) -> None:
        model = make(ModelSpec(model=f"ollama:x@{url}"))
        await model.start()
        await model.complete(CHAT)
        await model.complete(Request(Sampling(), 1, messages=CHAT.messages))
        await model.stop()

    with Raw(server) as raw:
        asyncio.run(ask(raw.url))
    assert bodies[0]["format"] == FORM and "format" not in bodies[1]
