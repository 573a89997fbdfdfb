"""The backend `deployed:`: the identity is the model's, the address is of the moment, the numbers as in process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from assay.errors import BackendUnreachable, BudgetExhausted, ConfigError, EvidenceError
from assay.files import read_lines
from assay.models.base import Model
from assay.models.deployment import Deployed, Now, read, write
from assay.models.named import SMOLLM2_FILE
from assay.models.registry import make
from assay.plan.build import build
from assay.records import Message, Request, Sampling
from assay.release.deployers.base import Settings, find
from assay.release.deployers.process import free_port
from assay.spec.load import parse
from assay.spec.schema import ModelSpec
from support.stub import Fault, Stub

T = TypeVar("T")
MODEL = Deployed(
    "tiny",
    "d" * 64,
    "safetensors",
    "vllm",
    "openai",
    context=2048,
    slots=3,
    choices=True,
    structured=True,
    runtime="v 1",
)
GGUF = replace(MODEL, deployer="llamacpp", api="llamacpp", format="gguf", vocabulary=49152, special=(0, 1, 2))


@pytest.fixture(scope="module")
def path(downloads: Path) -> Path:
    """The model's file, fetched into the shared downloads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASSAY_HOME", str(downloads.parent))
        return SMOLLM2_FILE.fetch()


def run(model: Model, work: Callable[[Model], Coroutine[Any, Any, T]]) -> T:
    async def inside() -> T:
        await model.start()
        try:
            return await work(model)
        finally:
            await model.stop()
            await model.stop()

    return asyncio.run(inside())


def made(file: Path, **more: Any) -> Model:
    return make(ModelSpec(model=f"deployed:{file}", **more))


def spec(file: Path) -> Any:
    task = {"task": "arc_easy", "limit": 6}
    return parse({"models": [f"deployed:{file}"], "tasks": [task]})


# The file


def test_a_file_is_read_as_it_was_written(tmp_path: Path):
    now = Now("http://127.0.0.1:8000", "tiny@d", key_file="/k", group=7)
    for model in (MODEL, GGUF, replace(MODEL, shaping={"extra": "--x", "gpu_layers": 3})):
        for where in (now, None):
            write(tmp_path / "d.json", model, where)
            assert read(tmp_path / "d.json") == (model, where)


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("model", "digest", "xyz"),
        ("model", "slots", 0),
        ("model", "api", "grpc"),
        ("model", "shaping", {"a": [1]}),
        ("model", "special", ["1"]),
        ("model", "more", 1),
        ("now", "url", "file:///etc/passwd"),
        ("now", "group", -1),
        ("now", "password", "x"),
    ],
)
def test_a_file_that_is_none_names_the_key(tmp_path: Path, part: str, key: str, value: Any):
    file = tmp_path / "d.json"
    write(file, MODEL, Now("http://127.0.0.1:8000", "tiny"))
    content = json.loads(file.read_text())
    content[part][key] = value
    file.write_text(json.dumps(content))
    with pytest.raises(EvidenceError, match=f"{part}.{key}"):
        read(file)
    with pytest.raises(ConfigError, match=key):
        made(file)


def test_no_file_and_no_json(tmp_path: Path):
    with pytest.raises(ConfigError, match="no such file"):
        made(tmp_path / "none.json")
    (tmp_path / "d.json").write_text("{")
    with pytest.raises(ConfigError, match="not JSON"):
        made(tmp_path / "d.json")


# The identity


def test_the_identity_knows_no_port_and_no_process(tmp_path: Path):
    file = tmp_path / "d.json"
    identities = []
    for now in (None, Now("http://127.0.0.1:8000", "tiny"), Now("http://127.0.0.1:9000", "tiny", "/key", group=5)):
        write(file, GGUF, now)
        model = made(file)
        identities.append((dict(model.identity), model.capabilities, model.size()))
        assert (model.synthetic, model.local, model.parallel) == (False, False, 3)
    assert identities[0] == identities[1] == identities[2]
    assert not {"slots", "url", "port"} & set(identities[0][0])
    assert "8000" not in str(identities)


@pytest.mark.parametrize("change", [{"digest": "e" * 64}, {"context": 4096}, {"shaping": {"gpu_layers": 3}}])
def test_what_shapes_answers_is_in_the_identity(change: dict[str, Any]):
    assert replace(GGUF, **change).identity != GGUF.identity
    assert replace(GGUF, slots=9).identity == GGUF.identity


def test_what_it_can_do(tmp_path: Path):
    file = tmp_path / "d.json"
    write(file, GGUF, None)
    able = made(file).capabilities
    assert (able.chat, able.completion, able.choices, able.determinism, able.structured) == (
        *[True] * 3,
        "bitwise",
        True,
    )
    write(file, replace(GGUF, shaping={"gpu_layers": -1}, chat=False), None)
    able = made(file).capabilities
    assert (able.chat, able.determinism) == (False, "seeded")
    write(file, replace(MODEL, choices=False, structured=False), None)
    able = made(file).capabilities
    assert (able.chat, able.completion, able.choices, able.structured) == (True, True, False, False)
    assert not made(file, api="chat").capabilities.completion
    assert not made(file, api="completion").capabilities.chat


# The server


def test_a_server_that_speaks_openai_answers_under_another_port_each_time(tmp_path: Path):
    file = tmp_path / "d.json"
    answers = []
    for _ in range(2):
        with Stub() as stub:
            write(file, MODEL, Now(stub.url.removesuffix("/v1"), "stub"))
            ask = Request(Sampling(max_tokens=8), 3, messages=(Message("user", "Hello?"),))
            choose = Request(Sampling(max_tokens=1), 3, text="The sky is", choices=(" blue", " green grass"))
            model = made(file)
            answers.append(run(model, lambda m: asyncio.gather(m.complete(ask), m.complete(choose))))  # noqa: B023
            assert model.environment()["runtime"] == "v 1"
    assert answers[0] == answers[1]
    assert [len(choices.choices) for _, choices in answers] == [2, 2]


def test_a_server_that_serves_another_model_is_refused(tmp_path: Path):
    with Stub() as stub:
        write(tmp_path / "d.json", MODEL, Now(stub.url.removesuffix("/v1"), "tiny@dddd"))
        with pytest.raises(BackendUnreachable, match=r"serves 'stub', not 'tiny@dddd'"):
            asyncio.run(made(tmp_path / "d.json").start())


@pytest.mark.parametrize("kind", ["denied", "error", "bad_request"])
def test_a_server_that_does_not_list_its_model_is_asked_for_a_token(tmp_path: Path, kind: Any):
    async def nothing(model: Model) -> None:
        pass

    with Stub() as stub:
        write(tmp_path / "d.json", MODEL, Now(stub.url.removesuffix("/v1"), "tiny", listed=False))
        run(made(tmp_path / "d.json"), nothing)
    with Stub(faults=[Fault(kind, 1.0)]) as stub:
        write(tmp_path / "d.json", MODEL, Now(stub.url.removesuffix("/v1"), "tiny", listed=False))
        with pytest.raises(BackendUnreachable):
            asyncio.run(made(tmp_path / "d.json").start())


@pytest.mark.parametrize("model", [MODEL, GGUF])
def test_where_no_server_is_start_says_so(tmp_path: Path, model: Deployed):
    file = tmp_path / "d.json"
    write(file, model, None)
    backend = made(file)
    with pytest.raises(BackendUnreachable, match="not deployed now"):
        asyncio.run(backend.start())
    write(file, model, Now(f"http://127.0.0.1:{free_port()}", "tiny"))
    with pytest.raises(BackendUnreachable, match="127"):
        asyncio.run(backend.start())
    write(file, model, Now("http://127.0.0.1:1", "tiny", key_file=str(tmp_path / "gone")))
    with pytest.raises(BackendUnreachable, match="key is gone"):
        asyncio.run(backend.start())
    write(file, replace(model, digest="e" * 64), Now("http://127.0.0.1:1", "tiny"))
    with pytest.raises(BackendUnreachable, match="another model than it did"):
        asyncio.run(backend.start())
    file.unlink()
    with pytest.raises(BackendUnreachable, match="no such file"):
        asyncio.run(backend.start())


@pytest.mark.local
@pytest.mark.data
def test_the_numbers_are_those_in_process_and_a_run_resumes_on_another_port(path: Path, tmp_path: Path, data: Path):
    """ARC questions by likelihood: half on one server, the rest on the next, all against the backend `llamacpp`."""
    from assay.session import Options, carry_out

    file, log = tmp_path / "d.json", tmp_path / "log"
    served = Settings(slots=2, context=512, threads=1, name="smol")
    write(file, find("llamacpp").describe(path, served), None)
    asked, where = spec(file)
    planned = build(asked, where).plan.digest
    urls = set()
    for budget in (3, 1000):
        with find("llamacpp").deploy(path, served, log) as deployment:
            deployment.save(file)
            urls.add(deployment.now.url)
            some = asked.model_copy(update={"budget": asked.budget.model_copy(update={"requests": budget})})
            draft = build(some, where)
            assert draft.plan.digest == planned
            with nullcontext() if budget > 3 else pytest.raises(BudgetExhausted):
                carry_out(draft, some, Options(out=tmp_path / "deployed"))
    assert len(urls) == 2
    inside, places = parse(
        {
            "models": [{"model": f"llamacpp:{path}", "options": {"slots": 2, "context": 512, "threads": 1}}],
            "tasks": [{"task": "arc_easy", "limit": 6}],
        }
    )
    carry_out(build(inside, places), inside, Options(out=tmp_path / "inside"))
    found, expected = (choices(tmp_path / name) for name in ("deployed", "inside"))
    assert len(found) == 6
    assert found == expected


def choices(folder: Path) -> dict[str, Any]:
    lines = [json.loads(line) for file in (folder / "attempts").glob("*.jsonl") for line in read_lines(file)]
    return {line["sample"]: line["completion"]["choices"] for line in lines}
