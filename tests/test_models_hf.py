"""The backend `hf`, with a tiny model made here: real torch, real transformers, no download."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import ConfigError, MissingExtra, ModelUnavailable, Rejected
from assay.models import hf
from assay.models.base import Model, Size
from assay.models.hf import place_of
from assay.models.registry import make
from assay.models.safetensors_header import parameters_in, tensors_in
from assay.records import Completion, Message, Request, Sampling
from assay.spec.schema import ModelSpec

T = TypeVar("T")
real = pytest.mark.hf
TEMPLATE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant: "
CONTEXT = "the cat sat on"
CHOICES = (" the mat", " a dog and a hat", " the mat")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of random weights and a tokeniser of bytes, saved as a checkpoint."""
    torch = pytest.importorskip("torch", reason="needs the extra `hf`")
    transformers = pytest.importorskip("transformers", reason="needs the extra `hf`")
    tokenizers = pytest.importorskip("tokenizers", reason="needs the extra `hf`")
    path = tmp_path_factory.mktemp("hf") / "tiny"
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate(["<end>", *alphabet])}
    words = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=[]))
    words.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = tokenizers.decoders.ByteLevel()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<end>")
    fast.chat_template = TEMPLATE
    fast.save_pretrained(path)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        bos_token_id=None,
        eos_token_id=0,
        initializer_range=0.3,
        tie_word_embeddings=False,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(path)
    return path


def run(folder: Path | str, work: Callable[[Model], Coroutine[Any, Any, T]], **spec: Any) -> T:
    async def inside() -> T:
        model = make(ModelSpec(model=f"hf:{folder}", options={"device": "cpu"} | spec.pop("options", {}), **spec))
        await model.start()
        try:
            return await work(model)
        finally:
            await model.stop()
            await model.stop()

    return asyncio.run(inside())


def write(text: str, seed: int = 1, max_tokens: int = 12, **sampling: Any) -> Request:
    return Request(Sampling(max_tokens=max_tokens, **sampling), seed, text=text)


@real
def test_a_seed_decides_what_is_drawn(folder: Path):
    asked = [write("once upon a time" * n, seed, temperature=1.0, top_p=0.9) for n in (1, 3) for seed in (1, 2, 1)]

    async def work(model: Model) -> tuple[list[Completion], list[Completion]]:
        return [await model.complete(item) for item in asked], list(await asyncio.gather(*map(model.complete, asked)))

    alone, together = run(folder, work)
    assert alone == together
    assert alone[0] == alone[2] != alone[1]


@real
def test_a_cold_draw_is_the_greedy_one(folder: Path):
    async def work(model: Model) -> list[Completion]:
        asked = [
            write("once", temperature=0.0),
            write("once", temperature=1e-4),
            write("once", top_p=1e-6, temperature=1.0),
        ]
        return [await model.complete(item) for item in asked]

    greedy, cold, narrow = run(folder, work)
    assert greedy == cold == narrow
    assert (greedy.finish, greedy.tokens_in, greedy.tokens_out) == ("length", 4, 12)


@real
def test_chat_goes_through_the_template(folder: Path):
    chat = Request(Sampling(max_tokens=5), 1, messages=(Message("user", "hi"),))

    async def work(model: Model) -> tuple[Completion, Completion]:
        return await model.complete(chat), await model.complete(write("user: hi\nassistant: ", max_tokens=5))

    through, by_hand = run(folder, work)
    assert through == by_hand


@real
def test_text_ends_at_a_stop(folder: Path):
    async def work(model: Model) -> tuple[Completion, Completion, list[Completion]]:
        whole = await model.complete(write("once", max_tokens=20, temperature=1.0))
        stop = whole.text[6:8]
        asked = [write(text, max_tokens=20, temperature=1.0, stop=(stop,)) for text in ("once", "another time")]
        return whole, Completion(stop), list(await asyncio.gather(*map(model.complete, asked)))

    whole, stop, (found, _) = run(folder, work)
    assert found.text == whole.text[: whole.text.index(stop.text)]
    assert found.finish == "stop"
    assert found.tokens_out is not None
    assert found.tokens_out < 20


@real
def test_choices_agree_with_teacher_forcing(folder: Path):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    context = tokenizer(CONTEXT)["input_ids"]
    expected = []
    for choice in CHOICES:
        ids = tokenizer(CONTEXT + choice)["input_ids"]
        with torch.no_grad():
            steps = torch.log_softmax(model(torch.tensor([ids])).logits[0], -1)
        expected.append(sum(float(steps[at - 1, ids[at]]) for at in range(len(context), len(ids))))

    async def work(model: Model) -> Completion:
        return await model.complete(Request(Sampling(), 0, text=CONTEXT, choices=CHOICES))

    found = run(folder, work)
    assert [score.logprob for score in found.choices] == pytest.approx(expected, abs=1e-4)
    assert [score.tokens for score in found.choices] == [len(choice) for choice in CHOICES]


@real
@pytest.mark.parametrize(
    "request_",
    [
        write("word " * 60),
        Request(Sampling(), 0, text="", choices=("a",)),
        Request(Sampling(), 0, text="a", choices=("",)),
    ],
)
def test_one_bad_request_spoils_no_other(folder: Path, request_: Request):
    async def work(model: Model) -> list[Any]:
        others = [write("once"), Request(Sampling(), 0, text=CONTEXT, choices=CHOICES)]
        return await asyncio.gather(*map(model.complete, [request_, *others]), return_exceptions=True)

    bad, text, choices = run(folder, work)
    assert isinstance(bad, Rejected)
    assert isinstance(text, Completion)
    assert isinstance(choices, Completion)


@real
def test_what_pins_it(folder: Path, tmp_path: Path):
    model = make(ModelSpec(model=f"hf:{folder}"))
    size = model.size()
    assert isinstance(size, Size)
    assert size.parameters == 257 * 32 * 2 + 2 * (32 * 32 * 2 + 32 * 16 * 2 + 3 * 32 * 64 + 64) + 32
    assert size.source == "safetensors headers"
    assert size.memory is not None
    copy = tmp_path / "tiny"
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    again = lambda: make(ModelSpec(model=f"hf:{copy}"))  # noqa: E731
    assert again().identity == model.identity
    (copy / "chat_template.jinja").write_text("another")
    assert again().identity["digest"] != model.identity["digest"]


@real
def test_environment_names_versions_and_device(folder: Path):
    async def work(model: Model) -> dict[str, str]:
        return dict(model.environment())

    known = run(folder, work, options={"dtype": "bfloat16"})
    assert (known["device"], known["dtype"]) == ("cpu", "bfloat16")
    assert "torch" in known["runtime"]


@real
def test_pickles_are_not_loaded(folder: Path, tmp_path: Path):
    import torch

    for path in folder.glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelUnavailable, match=r"no \*\.safetensors"):
        make(ModelSpec(model=f"hf:{tmp_path}")).size()

    async def work(model: Model) -> None:
        pytest.fail("it was loaded")

    with pytest.raises(ModelUnavailable):
        run(tmp_path, work)


@real
def test_code_of_a_checkpoint_is_not_run(folder: Path, tmp_path: Path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config", "AutoModelForCausalLM": "mine.Model"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")

    async def work(model: Model) -> None:
        pytest.fail("it was loaded")

    with pytest.raises(ModelUnavailable):
        run(tmp_path, work)
    assert not (tmp_path / "ran").exists()


@real
def test_a_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch):
    constants = pytest.importorskip("huggingface_hub.constants")
    pytest.importorskip("transformers", reason="needs the extra `hf`")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    async def work(model: Model) -> None:
        pytest.fail("it was loaded")

    with pytest.raises(ModelUnavailable, match="nobody/nothing"):
        run("nobody/nothing", work)


# Without torch


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hf, "_version", lambda package: None)
    model = make(ModelSpec(model="hf:owner/model-1b"))
    with pytest.raises(MissingExtra, match=r"assay\[hf\]"):
        asyncio.run(model.start())


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("owner/name", ("owner/name", "main")),
        ("owner/name@v1.0", ("owner/name", "v1.0")),
        ("gpt2", ("gpt2", "main")),
        ("/no/such/folder", None),
        ("owner/name@", None),
        ("../up", None),
        ("a/b/c", None),
        ("owner/..", None),
    ],
)
def test_places(text: str, place: tuple[str, str] | None):
    if place is not None:
        assert place_of(text) == place
        return
    with pytest.raises(ConfigError):
        place_of(text)


def test_a_models_revision_is_in_its_identity():
    model = make(ModelSpec(model="hf:owner/model-1b@abc", options={"dtype": "float16"}))
    known = {key: part for key, part in model.identity.items() if key != "runtime"}
    assert known == {"backend": "hf", "model": "owner/model-1b", "revision": "abc", "dtype": "float16"}
    assert model.size() == Size(10**9, None, "the tag in the name 'owner/model-1b'")


def safetensors(path: Path, header: bytes, length: int | None = None) -> Path:
    path.write_bytes(struct.pack("<Q", len(header) if length is None else length) + header)
    return path


def test_headers_are_counted(tmp_path: Path):
    header = {
        "__metadata__": {"a": "b"},
        "w": {"dtype": "BF16", "shape": [3, 4], "data_offsets": [0, 24]},
        "s": {"dtype": "F32", "shape": [], "data_offsets": [24, 28]},
    }
    text = json.dumps(header).encode()
    path = safetensors(tmp_path / "x.safetensors", text + bytes(28), len(text))
    assert tensors_in(path) == {"w": ("BF16", (3, 4)), "s": ("F32", ())}
    assert parameters_in([path, path]) == 2 * 13


@pytest.mark.parametrize(
    ("header", "length"),
    [
        (b"{}", 2**60),
        (b"{}", 3),
        (b"", 0),
        (b"{", None),
        (b"[]", None),
        (b'{"w": 1}', None),
        (b'{"w": {"dtype": "F32"}}', None),
        (b'{"w": {"dtype": "F32", "shape": [-1]}}', None),
        (b'{"w": {"dtype": "F32", "shape": [true]}}', None),
        (b'{"w": {"dtype": 7, "shape": [1]}}', None),
    ],
)
def test_broken_headers_are_refused(tmp_path: Path, header: bytes, length: int | None):
    with pytest.raises(ModelUnavailable, match=r"x\.safetensors"):
        tensors_in(safetensors(tmp_path / "x.safetensors", header, length))


@given(st.binary(max_size=100))
def test_noise_is_refused(tmp_path_factory: pytest.TempPathFactory, noise: bytes):
    path = tmp_path_factory.getbasetemp() / "noise.safetensors"
    path.write_bytes(noise)
    with contextlib.suppress(ModelUnavailable):
        tensors_in(path)
