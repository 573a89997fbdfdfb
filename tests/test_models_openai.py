"""The backend `openai`, against the stub, and against answers that are no answers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from assay.errors import BackendUnreachable, BadResponse, ConfigError, Denied, Rejected
from assay.models.openai import HOSTED, parse
from assay.models.registry import make
from assay.records import Completion, Message, Request, Sampling
from assay.spec.schema import ModelSpec
from support.raw import Raw, http
from support.stub import Fault, Stub, chosen, echo, logprobs

CHAT = Request(Sampling(max_tokens=9, stop=("\n",)), seed=5, messages=(Message("user", "a b c"),))
TEXT = Request(Sampling(temperature=0.5, top_p=0.9), seed=5, text="a b c")


def complete(request: Request, model: str, **spec: Any) -> tuple[Completion, dict[str, str]]:
    async def run() -> tuple[Completion, dict[str, str]]:
        made = make(ModelSpec(model=model, **spec))
        await made.start()
        try:
            return await made.complete(request), dict(made.environment())
        finally:
            await made.stop()
            await made.stop()

    return asyncio.run(run())


def test_a_chat_sends_what_was_asked_for():
    with Stub(answer=echo) as stub:
        completion, environment = complete(CHAT, f"openai:stub@{stub.url}")
        body = stub.server.bodies[-1]
    assert completion == Completion("user: a b c", "stop", completion.tokens_in, completion.tokens_out)
    assert completion.tokens_out
    assert body == {
        "model": "stub",
        "messages": [{"role": "user", "content": "a b c"}],
        "temperature": 0.0,
        "top_p": 1.0,
        "max_tokens": 9,
        "seed": 5,
        "stop": ["\n"],
    }
    assert environment["server.owned_by"] == "assay"


def test_a_completion_sends_raw_text():
    with Stub(answer=echo) as stub:
        completion, _ = complete(TEXT, "openai:m", base_url=stub.url, api="completion")
        body = stub.server.bodies[-1]
    assert completion.text == "a b c"
    assert (body["prompt"], body["temperature"], body["top_p"]) == ("a b c", 0.5, 0.9)
    assert "messages" not in body


def test_fields_can_be_left_out_and_renamed():
    options = {"omit": "seed, top_p", "max_tokens_key": "max_completion_tokens"}
    with Stub() as stub:
        complete(CHAT, f"openai:m@{stub.url}", options=options)
        body = stub.server.bodies[-1]
    assert not {"seed", "top_p", "max_tokens"} & set(body)
    assert body["max_completion_tokens"] == 9
    model = make(ModelSpec(model="openai:m@http://h", options=options))
    assert (model.capabilities.seed, model.capabilities.determinism) == (False, "none")


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("filter", Completion("", "refusal")),
        ("refusal", Completion("I cannot help with that.", "refusal")),
        ("empty", Completion("", "stop")),
    ],
)
def test_refusals_and_empty_answers(fault: Any, expected: Completion):
    with Stub(faults=[Fault(fault, 1.0)]) as stub:
        completion, _ = complete(CHAT, f"openai:m@{stub.url}")
    assert (completion.text, completion.finish) == (expected.text, expected.finish)


def test_a_cut_answer_says_so():
    with Stub(answer=echo) as stub:
        request = Request(Sampling(max_tokens=2), seed=1, text="a b c d")
        completion, _ = complete(request, f"openai:m@{stub.url}", api="completion")
    assert (completion.text, completion.finish, completion.tokens_out) == ("a b", "length", 2)


def test_no_choices_is_a_bad_response():
    with Stub(faults=[Fault("no_choices", 1.0)]) as stub, pytest.raises(BadResponse):
        complete(CHAT, f"openai:m@{stub.url}")


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        "text",
        {},
        {"choices": None},
        {"choices": []},
        {"choices": [None]},
        {"choices": [{}]},
        {"choices": [{"text": 7}]},
        {"choices": [{"message": {"content": 7}}]},
        {"choices": [{"message": {"content": [{"type": "text"}]}}]},
        {"choices": [{"text": "x"}], "usage": 3},
        {"error": {"message": "with status 200"}},
    ],
)
def test_what_holds_no_completion_is_a_bad_response(answer: Any):
    with pytest.raises(BadResponse):
        parse(answer)


def test_reasoning_is_not_the_answer():
    message = {"content": "4", "reasoning_content": "2 and 2 make 4", "reasoning": "so"}
    assert parse({"choices": [{"message": message, "finish_reason": "stop"}]}).text == "4"


def test_content_may_come_in_parts():
    parts = [{"type": "thinking", "text": "hm"}, {"type": "text", "text": "4"}, {"type": "text", "text": "2"}]
    assert parse({"choices": [{"message": {"content": parts}}]}) == Completion("42", None)


def test_missing_counts_are_not_zero():
    completion = parse({"choices": [{"text": "x"}], "usage": {"prompt_tokens": -1, "completion_tokens": True}})
    assert (completion.tokens_in, completion.tokens_out) == (None, None)


def test_nobody_there(unused: str):
    with pytest.raises(BackendUnreachable) as caught:
        complete(CHAT, f"openai:m@{unused}")
    assert unused in str(caught.value)
    assert caught.value.errno


@pytest.fixture
def unused() -> str:
    with Raw(lambda asked: None) as server:
        url = server.url
    return url


def test_a_refused_key_is_told_at_the_start(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WRONG_KEY", "sk-wrong")
    with Stub(key="sk-right") as stub, pytest.raises(BackendUnreachable) as caught:
        complete(CHAT, f"openai:m@{stub.url}", api_key_env="WRONG_KEY")
    assert "401" in str(caught.value)
    assert "sk-wrong" not in str(caught.value)


def test_the_key_is_sent_and_shown_nowhere(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MY_KEY", " sk-right\n")

    async def run(url: str) -> list[str]:
        model = make(ModelSpec(model=f"openai:m@{url}", api_key_env="MY_KEY"))
        await model.start()
        shown = [repr(model), repr(vars(model)), repr(model.identity), repr(model.environment())]
        await model.complete(CHAT)
        await model.stop()
        return shown

    with Raw(lambda asked: http(200, {"choices": [{"text": "x"}], "data": []})) as server:
        shown = asyncio.run(run(server.url))
    assert {asked.headers["authorization"] for asked in server.asked} == {"Bearer sk-right"}
    assert not any("sk-right" in text for text in shown)


@pytest.mark.parametrize("spec", [{"model": "openai:gpt-4o"}, {"model": "openai:m@http://h", "api_key_env": "NO_SUCH"}])
def test_a_missing_key_is_told_before_anything_is_sent(spec: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "NO_SUCH"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(BackendUnreachable, match="holds no API key"):
        complete(CHAT, **spec)


def test_a_server_without_a_list_of_models_will_do():
    def reply(asked: Any) -> bytes:
        return http(404) if asked.method == "GET" else http(200, {"choices": [{"text": "x"}]})

    with Raw(reply) as server:
        assert complete(TEXT, f"openai:m@{server.url}") == (Completion("x", None), {})


def test_where_the_server_is(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    at = lambda **spec: make(ModelSpec(**spec)).identity  # noqa: E731
    assert at(model="openai:gpt-4o") == {"backend": "openai", "model": "gpt-4o", "endpoint": HOSTED}
    assert at(model="openai:@cf/m@http://h:1/v1/")["endpoint"] == "http://h:1/v1"
    assert at(model="openai:@cf/m@http://h:1/v1/")["model"] == "@cf/m"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://env:1/v1")
    assert at(model="openai:m")["endpoint"] == "http://env:1/v1"
    assert at(model="openai:m", base_url="http://spec:1")["endpoint"] == "http://spec:1"


@pytest.mark.parametrize(
    "spec",
    [
        {"model": "openai:m@http://user:pass@h/v1"},
        {"model": "openai:m", "base_url": "http://h/v1?key=secret"},
        {"model": "openai:m@http://a", "base_url": "http://b"},
        {"model": "openai:m@http://"},
        {"model": "openai:m", "base_url": "http://h:99999"},
        {"model": "openai:m", "options": {"omit": "model"}},
        {"model": "openai:"},
    ],
)
def test_bad_addresses_and_options(spec: dict[str, Any]):
    with pytest.raises(ConfigError) as caught:
        make(ModelSpec(**spec))
    assert "pass" not in str(caught.value).replace("password", "")
    assert "secret" not in str(caught.value)


# The likelihood of choices


CHOICES = Request(Sampling(), seed=0, text="The sky is", choices=(" blue", " a green cheese", " blue"))


def score(request: Request, url: str) -> Completion:
    return complete(request, f"openai:m@{url}", api="completion", choices=True)[0]


def expected(context: str, choice: str) -> tuple[float, int]:
    found = logprobs(context + choice)
    inside = [
        value
        for value, start, token in zip(found["token_logprobs"], found["text_offset"], found["tokens"], strict=True)
        if start + len(token) > len(context)
    ]
    return sum(inside), len(inside)


def test_choices_are_summed_over_their_own_tokens():
    with Stub(answer=chosen([" yes"])) as stub:
        completion = score(CHOICES, stub.url)
        asked = stub.server.requests
    for found, choice in zip(completion.choices, CHOICES.choices, strict=True):
        assert (found.logprob, found.tokens) == pytest.approx(expected("The sky is", choice))
    assert completion.choices[0] == completion.choices[2]
    assert completion.text == ""
    assert asked == 1  # all prompts in one list


def prompt_answer(body: dict[str, Any], **more: Any) -> dict[str, Any]:
    prompts = body["prompt"] if isinstance(body["prompt"], list) else [body["prompt"]]
    choices = [{"index": i, "text": text, "logprobs": logprobs(text)} | more for i, text in enumerate(prompts)]
    return {"choices": choices[::-1], "usage": {"prompt_tokens": 3}}


def server(make_answer: Any, *, lists: bool = True) -> Raw:
    def reply(asked: Any) -> bytes:
        if asked.method == "GET":
            return http(404)
        if not lists and isinstance(asked.body["prompt"], list):
            return http(422, {"detail": "prompt must be a string"})
        return http(200, make_answer(asked.body))

    return Raw(reply)


def test_a_server_that_takes_no_lists_is_asked_one_by_one():
    with server(prompt_answer, lists=False) as raw, server(prompt_answer) as lists:
        one = score(CHOICES, raw.url)
        assert one.choices == score(CHOICES, lists.url).choices
    assert one.tokens_in == 9
    assert len(raw.asked) == 5  # the models, the list, three prompts


def test_a_begin_of_text_token_does_not_shift_the_choice():
    def answer(body: dict[str, Any]) -> dict[str, Any]:
        value = prompt_answer(body)
        for choice in value["choices"]:
            found = choice["logprobs"]
            choice["logprobs"] = {
                "tokens": ["<s>", *found["tokens"]],
                "token_logprobs": [None, -1.0, *found["token_logprobs"][1:]],
                "text_offset": [0, *(start + 3 for start in found["text_offset"])],
            }
        return value

    with server(answer) as shifted, server(prompt_answer) as plain:
        assert score(CHOICES, shifted.url).choices == score(CHOICES, plain.url).choices


def test_a_token_across_the_boundary_belongs_to_the_choice():
    def answer(body: dict[str, Any]) -> dict[str, Any]:
        tokens = {"tokens": ["a", "b c", "d"], "token_logprobs": [None, -1.0, -2.0], "text_offset": [0, 1, 4]}
        return {"choices": [{"text": "ab cd", "logprobs": tokens}]}

    with server(answer) as raw:
        found = score(Request(Sampling(), 0, text="ab ", choices=("cd",)), raw.url).choices[0]
    assert (found.logprob, found.tokens) == (-3.0, 2)


def test_tokens_that_are_parts_of_a_character_are_placed_by_offset():
    def answer(body: dict[str, Any]) -> dict[str, Any]:
        tokens = ["hi", " bytes:\\xe2", "bytes:\\x82\\xac", "!"]
        found = {"tokens": tokens, "token_logprobs": [None, -1.0, -2.0, -4.0], "text_offset": [0, 2, 3, 4]}
        return {"choices": [{"text": "hi €!", "logprobs": found}]}

    with server(answer) as raw:
        found = score(Request(Sampling(), 0, text="hi", choices=(" €",)), raw.url).choices[0]
    assert (found.logprob, found.tokens) == (-3.0, 2)


@pytest.mark.parametrize("more", [{"text": "only what was new"}, {"logprobs": None}, {"logprobs": {"content": []}}])
def test_a_server_that_does_not_echo_is_refused_clearly(more: dict[str, Any]):
    with server(lambda body: prompt_answer(body, **more)) as raw, pytest.raises(Denied, match="echo"):
        score(CHOICES, raw.url)


def test_an_empty_context_is_refused():
    with server(prompt_answer) as raw, pytest.raises(Rejected, match="context"):
        score(Request(Sampling(), 0, text="", choices=("yes", "no")), raw.url)


@pytest.mark.parametrize("value", [None, "x", 0.5, 1e999])
def test_impossible_log_probabilities_are_refused(value: Any):
    def answer(body: dict[str, Any]) -> dict[str, Any]:
        tokens = {"tokens": ["a", "b", "c"], "token_logprobs": [None, -1.0, value], "text_offset": [0, 1, 2]}
        return {"choices": [{"text": "abc", "logprobs": tokens}]}

    with server(answer) as raw, pytest.raises(BadResponse):
        score(Request(Sampling(), 0, text="a", choices=("bc",)), raw.url)


def test_choices_are_offered_only_where_the_spec_says_so():
    assert not make(ModelSpec(model="openai:m@http://h")).capabilities.choices
    assert make(ModelSpec(model="openai:m@http://h", choices=True)).capabilities.choices
