"""The stub itself: what tests and the benchmark stand on must be right."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from support import stub as stub_module
from support.stub import Fault, Stub, echo

SCRIPT = Path(stub_module.__file__)


def ask(url: str, path: str = "chat/completions", timeout: float = 5, **body: Any) -> tuple[int, Any]:
    """One request: the status and the JSON document."""

    async def send() -> tuple[int, Any]:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout)) as session,
            session.post(f"{url}/{path}", json={"model": "m", **body}) as response,
        ):
            return response.status, await response.json(content_type=None)

    return asyncio.run(send())


def chat(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


def test_answer_depends_on_prompt_and_seed_alone():
    with Stub() as first, Stub() as second:
        answers = [ask(s.url, **chat(f"q{i}"), seed=7)[1]["choices"] for i in range(8) for s in (first, second)]
    assert answers[::2] == answers[1::2]
    assert len({choices[0]["message"]["content"] for choices in answers}) == 2


def test_models_and_usage(stub: Stub):
    document = ask(stub.url, **chat("one two"))[1]
    assert document["usage"]["prompt_tokens"] == 3
    assert document["choices"][0]["finish_reason"] == "stop"


def test_max_tokens_cuts():
    with Stub(answer=echo) as stub:
        choice = ask(stub.url, **chat("a b c d"), max_tokens=2)[1]["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("user: a", "length")


def test_echo_returns_the_prompt_with_logprobs(stub: Stub):
    document = ask(stub.url, "completions", prompt=["Q: x A: yes", "Q: x A: no"], echo=True, logprobs=1, max_tokens=0)[
        1
    ]
    one, two = (choice["logprobs"] for choice in document["choices"])
    assert "".join(one["tokens"]) == "Q: x A: yes"
    assert one["token_logprobs"][0] is None
    assert one["token_logprobs"][1:3] == two["token_logprobs"][1:3]
    assert one["token_logprobs"][3] != two["token_logprobs"][3]


@pytest.mark.parametrize(
    ("kind", "status"),
    [("rate_limit", 429), ("unavailable", 503), ("error", 500), ("denied", 401), ("bad_request", 400)],
)
def test_fault_once_then_an_answer(kind: Any, status: int):
    with Stub(faults=[Fault(kind, 1.0, tries=1)]) as stub:
        assert [ask(stub.url, **chat("x"))[0] for _ in range(2)] == [status, 200]
        assert stub.stats()["faults"] == {kind: 1}


@pytest.mark.parametrize("kind", ["reset", "cut"])
def test_fault_breaks_the_connection(kind: Any):
    with Stub(faults=[Fault(kind, 1.0)]) as stub, pytest.raises(aiohttp.ClientError):
        ask(stub.url, **chat("x"))


def test_fault_stalls():
    with Stub(faults=[Fault("stall", 1.0)]) as stub, pytest.raises(TimeoutError):
        ask(stub.url, timeout=0.2, **chat("x"))


def test_fault_breaks_the_json():
    with Stub(faults=[Fault("broken_json", 1.0)]) as stub, pytest.raises(json.JSONDecodeError):
        ask(stub.url, **chat("x"))


@pytest.mark.parametrize(
    ("kind", "finish", "content"),
    [("refusal", "stop", None), ("filter", "content_filter", ""), ("empty", "stop", "")],
)
def test_fault_is_the_models_doing(kind: Any, finish: str, content: str | None):
    with Stub(faults=[Fault(kind, 1.0)]) as stub:
        choice = ask(stub.url, **chat("x"))[1]["choices"][0]
    assert (choice["finish_reason"], choice["message"]["content"]) == (finish, content)


def test_fault_answers_with_length_or_without_choices():
    with Stub(faults=[Fault("length", 1.0)]) as stub:
        assert ask(stub.url, **chat("x"))[1]["choices"][0]["finish_reason"] == "length"
    with Stub(faults=[Fault("no_choices", 1.0)]) as stub:
        assert ask(stub.url, **chat("x"))[1]["choices"] == []


def test_shares_of_faults_are_kept_and_repeatable():
    seen = []
    for _ in range(2):
        with Stub(faults=[Fault("error", 0.3), Fault("empty", 0.2)], seed=3) as stub:
            for i in range(200):
                ask(stub.url, **chat(f"q{i}"))
            seen.append(stub.stats()["faulted"])
    assert seen[0] == seen[1]
    assert 40 <= seen[0]["error"] <= 80
    assert 20 <= seen[0]["empty"] <= 60


def test_stats_count_repeats_and_seeds(stub: Stub):
    for seed in (1, 1, 2):
        ask(stub.url, **chat("x"), seed=seed)
    stats = stub.stats()
    assert (stats["requests"], stats["distinct"], stats["repeats"], stats["seeds"]) == (3, 2, 1, [1, 2])


def test_capacity_refuses_the_rest():
    async def both(url: str) -> list[int]:
        async with aiohttp.ClientSession() as session:
            sent = [session.post(f"{url}/chat/completions", json=chat(f"q{i}")) for i in range(6)]
            return sorted(response.status for response in await asyncio.gather(*sent))

    with Stub(latency=0.3, capacity=2) as stub:
        assert asyncio.run(both(stub.url)) == [200, 200, 429, 429, 429, 429]
        assert stub.stats()["max_in_flight"] <= 6


def test_a_wrong_key_is_refused():
    with Stub(key="k") as stub:
        assert ask(stub.url, **chat("x"))[0] == 401


def test_not_a_request(stub: Stub):
    assert ask(stub.url, nothing=1)[0] == 400
    assert ask(stub.url, "nowhere")[0] == 404


def test_the_program_ends_with_its_parent():
    starter = f"import subprocess, sys, time; subprocess.Popen([sys.executable, {str(SCRIPT)!r}]); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", starter], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = json.loads(parent.stdout.readline())
        assert ask(child["url"], **chat("x"))[0] == 200
        parent.kill()
    end = time.monotonic() + 20
    while _alive(child["pid"]):
        assert time.monotonic() < end, "the stub outlived its parent"
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIG_DFL)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
