"""The backend `llamacpp` and the built-in SmolLM2, with the real model: nothing is made up here."""

from __future__ import annotations

import asyncio
import gc
import math
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
import pytest

from assay.errors import ConfigError, ModelUnavailable, Rejected
from assay.files import digest_file
from assay.models import memory
from assay.models.base import Model
from assay.models.gguf_header import read_header
from assay.models.named import SMOLLM2_135M, SMOLLM2_FILE
from assay.models.registry import make
from assay.records import Completion, Message, Request, Sampling
from assay.spec.schema import ModelSpec

pytestmark = pytest.mark.local
T = TypeVar("T")

QUESTION = "Question: How do you keep a wooden spoon from drying out?\nAnswer:"
CHOICES = (" Rub it with oil now and then.", " Rub it with salt now and then.", " Freeze it.")
DEMOS = "".join(f"Question: What is {n} plus {n}?\nAnswer: It is {2 * n}.\n\n" for n in range(12))
"""Some 200 tokens: long enough that kernels for whole prompts are used, and not only those for single tokens."""


@pytest.fixture(scope="module")
def path(downloads: Path) -> Path:
    """The model's file, fetched into the shared downloads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASSAY_HOME", str(downloads.parent))
        return SMOLLM2_FILE.fetch()


def spec(path: Path, **options: Any) -> ModelSpec:
    return ModelSpec(model=f"llamacpp:{path}", options={"slots": 3, "threads": 1, "context": 512, **options})


def run(path: Path, work: Callable[[Model], Coroutine[Any, Any, T]], **options: Any) -> T:
    async def inside() -> T:
        model = make(spec(path, **options))
        await model.start()
        try:
            return await work(model)
        finally:
            await model.stop()
            await model.stop()

    return asyncio.run(inside())


def choose(context: str = QUESTION, choices: tuple[str, ...] = CHOICES) -> Request:
    return Request(Sampling(max_tokens=1), seed=0, text=context, choices=choices)


def write(text: str, max_tokens: int = 12, seed: int = 1, **sampling: Any) -> Request:
    return Request(Sampling(max_tokens=max_tokens, **sampling), seed=seed, text=text)


def test_what_is_declared_is_what_is_in_the_file(path: Path):
    header = read_header(path)
    assert (header.parameters, header.vocabulary) == (SMOLLM2_FILE.parameters, SMOLLM2_FILE.vocabulary)
    assert (header.file_bytes, header.context) == (SMOLLM2_FILE.bytes, SMOLLM2_FILE.context)
    assert header.cache_bytes(1) == SMOLLM2_FILE.cache_per_token
    assert header.chat_template
    assert header.architecture == "llama"
    named, plain = make(ModelSpec(model="smollm2-135m")), make(ModelSpec(model=f"llamacpp:{path}"))
    assert named.size() is not None
    assert named.size().memory == plain.size().memory  # type: ignore[union-attr]
    assert named.identity["digest"] == plain.identity["digest"] == digest_file(path)
    assert named.capabilities == plain.capabilities


def test_the_built_in_model_answers(path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    async def inside() -> Completion:
        model = make(ModelSpec(model="smollm2-135m", options={"slots": 1, "threads": 1, "context": 256}))
        before = dict(model.identity)
        await model.start()
        try:
            assert dict(model.identity) == before  # fetching the file changes no plan
            return await model.complete(Request(Sampling(max_tokens=8), 1, messages=(Message("user", "Say hello."),)))
        finally:
            await model.stop()

    monkeypatch.setenv("ASSAY_HOME", str(path.parent.parent.parent))
    assert SMOLLM2_135M.cached() == path
    completion = asyncio.run(inside())
    assert completion.text.strip()
    assert completion.tokens_in
    assert completion.tokens_out
    assert capfd.readouterr() == ("", "")  # llama.cpp keeps quiet


def test_generation_is_the_same_alone_and_in_a_batch(path: Path):
    requests = [write(DEMOS[: 250 * n + 20], 6, temperature=0.8 * (n % 2), top_p=0.95, seed=n) for n in range(4)]

    async def work(model: Model) -> tuple[list[Completion], list[Completion]]:
        alone = [await model.complete(request) for request in requests]
        return alone, list(await asyncio.gather(*map(model.complete, [*requests[::-1], *requests])))

    alone, together = run(path, work)
    assert together == [*alone[::-1], *alone]
    assert len({completion.text for completion in alone}) > 1


def test_choices_are_the_same_alone_and_beside_other_requests(path: Path):
    short, long = choose(), choose(DEMOS + QUESTION, CHOICES[2:])
    asked = [short, long, choose(QUESTION, CHOICES[::-1]), choose(DEMOS, (" Question", "No"))]

    async def work(model: Model) -> tuple[list[Completion], list[Completion]]:
        alone = [await model.complete(request) for request in asked]
        noise = [write(DEMOS[: 200 + n], 6) for n in range(4)]
        together = await asyncio.gather(*map(model.complete, [*noise[:2], *asked, *noise[2:]]))
        return alone, together[2:-2]

    alone, together = run(path, work)
    assert together == alone
    assert alone[2].choices == alone[0].choices[::-1]  # nor does their order matter, though beginnings are shared
    assert [score.tokens for score in alone[0].choices] == [8, 8, 4]


def test_choices_agree_with_asking_for_every_token(path: Path):
    """Teacher forcing: the probability of each token of the vocabulary, one request a token."""

    async def by_hand(model: Any, choice: str) -> float:
        transport, forced = model._transport, model._forced
        context = await forced.tokens(QUESTION)
        same = {"id_slot": 0, "cache_prompt": True, "temperature": 0}
        await transport.post("/completion", {"prompt": context, "n_predict": 0, "id_slot": 0, "cache_prompt": False})
        total = 0.0
        for token in (await forced.tokens(QUESTION + choice))[len(context) :]:
            body = {"prompt": context, "n_predict": 1, "n_probs": 50_000}
            answer = await transport.post("/completion", body | same)
            tops = {entry["id"]: entry["logprob"] for entry in answer["completion_probabilities"][0]["top_logprobs"]}
            assert sum(map(math.exp, tops.values())) == pytest.approx(1, abs=1e-3)
            total += tops[token]
            context = [*context, token]
        return total

    async def work(model: Model) -> tuple[Completion, list[float]]:
        return await model.complete(choose()), [await by_hand(model, choice) for choice in CHOICES[1:]]

    completion, expected = run(path, work)
    assert [score.logprob for score in completion.choices[1:]] == pytest.approx(expected, abs=1e-3)


def test_single_tokens_and_tokens_that_end_a_text(path: Path):
    choices = (" Paris", " Paris<|im_end|>", " London", " Paris", " Paris<|endoftext|> Paris")

    async def work(model: Model) -> tuple[Completion, Completion]:
        return await model.complete(choose("The capital of France is", choices)), await model.complete(choose())

    found, after = run(path, work)
    paris, ended, london, again, twice = found.choices
    assert (paris.tokens, ended.tokens, london.tokens, twice.tokens) == (1, 2, 1, 3)
    assert paris == again
    assert london.logprob < paris.logprob < 0
    assert ended.logprob < paris.logprob
    assert len(after.choices) == 3  # the slot is well after an ending


def test_a_merged_boundary_is_scored_from_where_all_agree(path: Path):
    async def work(model: Model) -> tuple[Completion, Completion]:
        merged = await model.complete(choose("The capital of France is ", ("Paris", "London")))
        return merged, await model.complete(choose("The capital of France is", (" Paris", " London")))

    merged, plain = run(path, work)
    assert merged.choices == plain.choices


@pytest.mark.parametrize("request_", [choose("", ("a", "b")), choose(QUESTION, ("", "b")), write("word " * 600)])
def test_what_cannot_be_asked_is_rejected(path: Path, request_: Request):
    async def work(model: Model) -> None:
        with pytest.raises(Rejected):
            await model.complete(request_)
        assert (await model.complete(write("Once"))).text

    run(path, work)


def test_stops_and_limits(path: Path):
    async def work(model: Model) -> tuple[Completion, Completion]:
        cut = await model.complete(write("Once upon a time", max_tokens=3))
        return cut, await model.complete(write("One, two, three, four,", stop=(" six",)))

    cut, stopped = run(path, work)
    assert (cut.finish, cut.tokens_out) == ("length", 3)
    assert stopped.finish == "stop"
    assert " six" not in stopped.text


def test_a_cancelled_request_frees_its_slot(path: Path):
    async def work(model: Model) -> Completion:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await asyncio.gather(*(model.complete(write("Once", max_tokens=480, seed=n)) for n in range(3)))
        return await model.complete(write("Once upon a time"))

    assert run(path, work, slots=1).tokens_out == 12


def test_nobody_else_may_use_the_server(path: Path):
    async def work(model: Any) -> tuple[int, int]:
        url = model._transport.base_url
        async with aiohttp.ClientSession() as session:
            async with session.post(f"{url}/completion", json={"prompt": "x", "n_predict": 1}) as answer:
                status = answer.status
            async with session.get(f"{url}/") as answer:
                page = answer.status
        host = urlsplit(url)
        with socket.create_connection((host.hostname, host.port), timeout=5) as made:
            assert made.getpeername()[0] == "127.0.0.1"
        return status, page

    assert run(path, work) == (401, 404)


def test_another_client_of_ours_speaks_to_its_server(path: Path, monkeypatch: pytest.MonkeyPatch):
    """The backend `openai` against a real server: llama.cpp's own."""

    async def work(local: Any) -> tuple[Completion, Completion, dict[str, str]]:
        monkeypatch.setenv("LLAMA_KEY", local._server._secret)
        url = f"{local._transport.base_url}/v1"
        remote = make(ModelSpec(model=f"openai:smol@{url}", api_key_env="LLAMA_KEY"))
        await remote.start()
        try:
            chat = Request(Sampling(max_tokens=10), 3, messages=(Message("user", "Count to ten."),))
            mine, theirs = await local.complete(chat), await remote.complete(chat)
            assert (mine.text, mine.finish) == (theirs.text, theirs.finish)
            return theirs, await remote.complete(write("One, two,", max_tokens=6)), dict(remote.environment())
        finally:
            await remote.stop()

    chat, text, _environment = run(path, work)
    assert (chat.tokens_out, chat.finish) == (10, "length")
    assert "three" in text.text


def test_a_damaged_file_is_refused(path: Path, tmp_path: Path):
    cut = tmp_path / "cut.gguf"
    with path.open("rb") as source:
        cut.write_bytes(source.read(5_000_000))
    with pytest.raises(ModelUnavailable, match="cut"):
        make(spec(cut))


def test_a_model_that_does_not_fit_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(memory, "available", lambda: 100_000_000)
    with pytest.raises(ModelUnavailable, match=r"needs 0\.\d+ GB .* 0\.10 GB are free"):
        run(path, lambda model: model.complete(write("x")))


@pytest.mark.parametrize(
    ("options", "allowed"),
    [({"slot": 3}, "slots"), ({"slots": 0}, "from 1"), ({"slots": True}, "whole"), ({"context": 9000}, "8192")],
)
def test_bad_options(path: Path, options: dict[str, Any], allowed: str):
    with pytest.raises(ConfigError, match=allowed):
        make(ModelSpec(model=f"llamacpp:{path}", options=options))


def test_what_shapes_an_answer_is_in_the_identity(path: Path):
    plain = make(spec(path))
    assert plain.identity == make(spec(path, slots=7, threads=2)).identity
    assert plain.capabilities.determinism == "bitwise"
    for option in ({"flash_attention": True}, {"gpu_layers": 1}, {"prompt_cache": True}):
        other = make(spec(path, **option))
        assert other.identity != plain.identity
        assert other.capabilities.determinism == "seeded"
    assert not make(spec(path).model_copy(update={"api": "completion"})).capabilities.chat


def test_slots_and_threads_shape_no_answer(path: Path):
    asked = [choose(QUESTION, CHOICES[2:]), write(DEMOS[:300], max_tokens=4), write("Once", max_tokens=4)]

    async def work(model: Model) -> list[Completion]:
        return list(await asyncio.gather(*map(model.complete, asked)))

    found = [run(path, work, **options) for options in ({"slots": 1}, {"slots": 4}, {"threads": 2})]
    assert found[0] == found[1] == found[2]


def test_weights_are_freed(path: Path):
    def resident() -> int:
        gc.collect()
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) >> 10

    async def work(model: Model) -> int:
        await model.complete(write("x"))
        return resident()

    before = resident()
    during = run(path, work, slots=8, context=2048)
    assert during - before > 300
    assert resident() - before < (during - before) / 3
