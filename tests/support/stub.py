"""A stub of an OpenAI-compatible server: fast, deterministic, and faulty on demand.

Covered: `GET /v1/models`, `POST /v1/chat/completions`, `POST /v1/completions` (with `echo` and `logprobs`),
`GET /stats`, keep-alive. Not covered: streaming, tools, more than one choice a prompt. It speaks HTTP/1.1
straight on asyncio's protocols, so that it is never what a benchmark measures: over 8,000 requests/s a core.

An answer depends on the prompt and the seed alone, never on order, time or an earlier try. Which fault a
request meets depends on the stub's own seed and the request, and for how many tries on the fault:

    with Stub(faults=[Fault("rate_limit", 0.1, tries=1), Fault("refusal", 0.02)]) as stub:
        ...  # stub.url, stub.stats()

From a shell: `python tests/support/stub.py --latency 0.01 --fault reset:0.1:1`; one JSON line on stdout says
where it listens, and it ends when the process that started it does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import struct
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from socket import SO_LINGER, SOL_SOCKET
from types import TracebackType
from typing import Any, Literal, NamedTuple, get_args

import orjson

Kind = Literal[
    "rate_limit",  # 429 with Retry-After
    "unavailable",  # 503
    "error",  # 500
    "denied",  # 401
    "bad_request",  # 400
    "reset",  # the connection is reset without an answer
    "cut",  # the connection closes in the middle of the body
    "stall",  # no answer at all
    "broken_json",  # 200, and half of a JSON document
    "no_choices",  # 200, and an empty list of choices
    "refusal",  # the model declines, in the field the protocol has for it
    "filter",  # finish_reason: content_filter
    "length",  # finish_reason: length
    "empty",  # an empty answer that stopped by itself
]
ANSWERED = frozenset({"refusal", "filter", "length", "empty"})
"""The faults that are the model's doing: the request was served."""

_STATUS = {"rate_limit": 429, "unavailable": 503, "error": 500, "denied": 401, "bad_request": 400}
_REASON = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 411: "Length Required"} | {
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
_TOKEN = re.compile(r"\s*\S+|\s+$")
_MODEL = "stub"


@dataclass(frozen=True, slots=True)
class Fault:
    """`share` of all requests meet `kind`, on their first `tries` tries; None: on every one."""

    kind: Kind
    share: float
    tries: int | None = None

    @classmethod
    def parse(cls, text: str) -> Fault:
        """`KIND:SHARE[:TRIES]`. Raises ValueError."""
        kind, share, *tries = text.split(":")
        if kind not in get_args(Kind):
            raise ValueError(f"{kind!r} is none of {', '.join(get_args(Kind))}")
        return cls(kind, float(share), int(tries[0]) if tries else None)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Ask:
    """What of a request shapes its answer."""

    prompts: tuple[str, ...]
    seed: int
    digest: int

    @classmethod
    def of(cls, body: dict[str, Any]) -> Ask:
        """From the body of a chat or a completion request."""
        if "messages" in body:
            prompts: tuple[str, ...] = ("\n".join(f"{m['role']}: {m['content']}" for m in body["messages"]),)
        else:
            prompt = body["prompt"]
            batch = isinstance(prompt, list) and not all(isinstance(item, int) for item in prompt)
            prompts = tuple(map(str, prompt)) if batch else (str(prompt),)
        seed = body.get("seed") or 0
        return cls(prompts, seed, digest("\0".join(prompts), seed))


def digest(*parts: Any) -> int:
    """64 bits of a hash over `parts`."""
    text = "\0".join(map(str, parts)).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big")


Answer = Callable[[str, int], str]
"""(prompt, seed) → the text of the completion."""


def chosen(answers: Iterable[str]) -> Answer:
    """One of `answers`, chosen by a hash of the prompt and the seed."""
    texts = tuple(answers)
    return lambda prompt, seed: texts[digest("answer", prompt, seed) % len(texts)]


def echo(prompt: str, seed: int) -> str:
    """The last line of the prompt."""
    return prompt.rpartition("\n")[2]


@dataclass(slots=True)
class Settings:
    """How a stub behaves. `latency`, `stall_s` and `retry_after` in seconds.

    `capacity`: how many requests in flight it bears before it answers 429. `record`: remember every request's
    digest and seed (faults do so anyway). `keep`: how many of the last bodies to keep.
    """

    answer: Answer = field(default_factory=lambda: chosen(("yes", "no")))
    latency: float = 0.0
    faults: tuple[Fault, ...] = ()
    seed: int = 0
    retry_after: float = 1
    stall_s: float = 3600.0
    capacity: int | None = None
    key: str | None = None
    record: bool = True
    keep: int = 100


class Server:
    """The stub's state: what it was told to do, and what it has seen."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.requests = self.in_flight = self.max_in_flight = self.connections = self.repeats = 0
        self.faults: Counter[str] = Counter()
        self.faulted: Counter[str] = Counter()
        self.models: Counter[str] = Counter()
        self.tries: Counter[int] = Counter()
        self.answered: set[int] = set()
        self.seeds: set[int] = set()
        self.bodies: deque[dict[str, Any]] = deque(maxlen=settings.keep)
        self.open: set[asyncio.Transport] = set()

    def stats(self) -> dict[str, Any]:
        """What was seen so far.

        `faults` counts answers, `faulted` distinct requests by fault; `repeats` counts requests that had
        already been answered when they came again.
        """
        names = ("requests", "in_flight", "max_in_flight", "connections", "repeats")
        counts: dict[str, Any] = {name: getattr(self, name) for name in names}
        for name in ("faults", "faulted", "models"):
            counts[name] = dict(getattr(self, name))
        counts |= {"distinct": len(self.tries), "answered": len(self.answered), "seeds": sorted(self.seeds)}
        return counts

    def fault_of(self, ask: Ask) -> Fault | None:
        """The fault that this request is bound to meet, whatever the try."""
        point = digest("fault", self.settings.seed, ask.digest) / 2**64
        for fault in self.settings.faults:
            if point < fault.share:
                return fault
            point -= fault.share
        return None

    def fault_now(self, ask: Ask) -> Kind | None:
        """The fault that this try meets; counts the try."""
        settings = self.settings
        tried = self._note(ask) if settings.record or settings.faults else 0
        if settings.capacity is not None and self.in_flight > settings.capacity:
            return "rate_limit"
        fault = self.fault_of(ask) if settings.faults else None
        if fault is None or (fault.tries is not None and tried >= fault.tries):
            return None
        self.faulted[fault.kind] += tried == 0
        return fault.kind

    def _note(self, ask: Ask) -> int:
        tried = self.tries[ask.digest]
        self.tries[ask.digest] += 1
        self.seeds.add(ask.seed)
        self.repeats += ask.digest in self.answered
        return tried


class Connection(asyncio.Protocol):
    """One client connection: takes whole requests off the buffer, one after the other."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.buffer = b""
        self.transport: asyncio.Transport
        self.busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.server.open.add(transport)
        self.server.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self.server.open.discard(self.transport)
        if self.busy:  # closed with a request still in flight, by the client or by a fault
            self._done()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if not self.busy:
            self._next()

    def _next(self) -> None:
        head, blank, rest = self.buffer.partition(b"\r\n\r\n")
        if not blank:
            return
        match = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
        size = int(match[1]) if match else 0
        if len(rest) < size:
            return
        self.buffer = rest[size:]
        self.busy = True
        self.server.in_flight += 1
        self.server.max_in_flight = max(self.server.max_in_flight, self.server.in_flight)
        method, path, _ = head.split(b" ", 2)
        self._route(method, path.partition(b"?")[0], head, rest[:size])

    def _route(self, method: bytes, path: bytes, head: bytes, body: bytes) -> None:
        settings = self.server.settings
        if path == b"/stats":
            self._reply(200, self.server.stats())
        elif settings.key is not None and f"bearer {settings.key}".encode() not in head:
            self._fail(401, "no valid key")
        elif path == b"/v1/models":
            self._reply(200, {"object": "list", "data": [{"id": _MODEL, "object": "model", "owned_by": "assay"}]})
        elif method == b"POST" and path in (b"/v1/chat/completions", b"/v1/completions"):
            self._complete(body, chat=path == b"/v1/chat/completions")
        else:
            self._fail(404, f"no such page: {path.decode('latin-1')}")

    def _complete(self, raw: bytes, *, chat: bool) -> None:
        server, settings = self.server, self.server.settings
        server.requests += 1
        try:
            body = orjson.loads(raw)
            ask = Ask.of(body)
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            self._fail(400, f"not a completion request: {error!r}")
            return
        server.models[body.get("model", "")] += 1
        if settings.keep:
            server.bodies.append(body)
        fault = server.fault_now(ask)
        if fault is not None:
            server.faults[fault] += 1
        if settings.record and (fault is None or fault in ANSWERED):
            server.answered.add(ask.digest)
        if settings.latency and fault not in _STATUS:
            asyncio.get_running_loop().call_later(settings.latency, self._finish, body, ask, chat, fault)
        else:
            self._finish(body, ask, chat, fault)

    def _finish(self, body: dict[str, Any], ask: Ask, chat: bool, fault: Kind | None) -> None:
        if self.transport.is_closing():
            return
        if fault in _STATUS:
            self._fail(_STATUS[fault], f"as told: {fault}")
        elif fault == "stall":
            asyncio.get_running_loop().call_later(self.server.settings.stall_s, self.transport.abort)
        elif fault == "reset":
            self._reset()
        else:
            self._answer(orjson.dumps(answer(body, ask, chat, self.server.settings.answer, fault)), fault)

    def _answer(self, document: bytes, fault: Kind | None) -> None:
        if fault == "broken_json":
            document = document[: len(document) // 2]
        self._send(200, document, cut=fault == "cut")

    def _reset(self) -> None:
        raw = self.transport.get_extra_info("socket")
        raw.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))  # close with RST, not FIN
        self.transport.abort()

    def _fail(self, status: int, message: str) -> None:
        self._reply(status, {"error": {"message": message, "type": "stub", "code": status}})

    def _reply(self, status: int, value: Any) -> None:
        self._send(status, orjson.dumps(value))

    def _send(self, status: int, document: bytes, *, cut: bool = False) -> None:
        extra = f"Retry-After: {self.server.settings.retry_after}\r\n" if status in (429, 503) else ""
        head = f"HTTP/1.1 {status} {_REASON[status]}\r\nContent-Type: application/json\r\n{extra}"
        document_out = document[: len(document) // 2] if cut else document
        self.transport.write(f"{head}Content-Length: {len(document)}\r\n\r\n".encode() + document_out)
        if cut:
            self.transport.close()
            return
        self._done()
        if self.buffer:
            self._next()

    def _done(self) -> None:
        self.busy = False
        self.server.in_flight -= 1


class Reply(NamedTuple):
    """What the made-up model says: the text, why it ended, and whether it declined."""

    text: str
    finish: str
    refused: bool = False


def answer(body: dict[str, Any], ask: Ask, chat: bool, text_of: Answer, fault: str | None) -> dict[str, Any]:
    """The JSON document that answers `body`."""
    replies = [_reply_to(body, prompt, ask.seed, text_of, fault) for prompt in ask.prompts]
    choices = [
        {"index": index, **(_chat_choice(reply) if chat else _text_choice(body, prompt, reply))}
        for index, (prompt, reply) in enumerate(zip(ask.prompts, replies, strict=True))
    ]
    read = sum(len(prompt.split()) for prompt in ask.prompts)
    used = sum(len(reply.text.split()) for reply in replies)
    return {
        "id": f"stub-{ask.digest:016x}",
        "object": "chat.completion" if chat else "text_completion",
        "created": 0,
        "model": body.get("model", _MODEL),
        "choices": [] if fault == "no_choices" else choices,
        "usage": {"prompt_tokens": read, "completion_tokens": used, "total_tokens": read + used},
    }


def _reply_to(body: dict[str, Any], prompt: str, seed: int, text_of: Answer, fault: str | None) -> Reply:
    if fault == "filter":
        return Reply("", "content_filter")
    if fault in ("refusal", "empty"):
        return Reply("", "stop", refused=fault == "refusal")
    text = text_of(prompt, seed)
    limit = body.get("max_completion_tokens", body.get("max_tokens"))
    cut = text if limit is None else "".join(_TOKEN.findall(text)[:limit])
    return Reply(cut, "length" if fault == "length" or cut != text else "stop")


def _chat_choice(reply: Reply) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text}
    if reply.refused:
        message |= {"content": None, "refusal": "I cannot help with that."}
    return {"message": message, "finish_reason": reply.finish, "logprobs": None}


def _text_choice(body: dict[str, Any], prompt: str, reply: Reply) -> dict[str, Any]:
    text = prompt + reply.text if body.get("echo") else reply.text
    wanted = body.get("logprobs") is not None
    finish = "content_filter" if reply.refused else reply.finish  # completions have no field for a refusal
    return {"text": text, "finish_reason": finish, "logprobs": logprobs(text) if wanted else None}


def logprobs(text: str) -> dict[str, Any]:
    """Made-up log probabilities of the tokens of `text`.

    Each depends on the token and all that comes before it; the first has none.
    """
    tokens = _TOKEN.findall(text)
    offsets: list[int] = []
    values: list[float | None] = []
    state = at = 0
    for token in tokens:
        state = digest("logprob", state, token)
        offsets.append(at)
        values.append(-(state % 8000) / 1000 - 0.001 if at else None)
        at += len(token)
    top = [None if value is None else {token: value} for token, value in zip(tokens, values, strict=True)]
    return {"tokens": tokens, "token_logprobs": values, "top_logprobs": top, "text_offset": offsets}


class Stub:
    """A running stub, in a thread of this process: `with Stub(...) as stub`, then `stub.url`."""

    def __init__(self, *, port: int = 0, **settings: Any) -> None:
        settings["faults"] = tuple(settings.get("faults", ()))
        self.server = Server(Settings(**settings))
        self.port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="stub", daemon=True)
        self._ready = threading.Event()

    @property
    def url(self) -> str:
        """The base URL, as clients want it: with `/v1`."""
        return f"http://127.0.0.1:{self.port}/v1"

    def stats(self) -> dict[str, Any]:
        """What it has seen so far (see `Server.stats`)."""
        return self.server.stats()

    def __enter__(self) -> Stub:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=30)

    def _run(self) -> None:
        opened = self._loop.run_until_complete(listen(self._loop, self.server, self.port))
        self.port = opened.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        opened.close()
        for transport in list(self.server.open):
            transport.abort()
        self._loop.run_until_complete(opened.wait_closed())
        self._loop.close()


async def listen(loop: asyncio.AbstractEventLoop, server: Server, port: int) -> asyncio.Server:
    """Open the listening socket on the loopback address; port 0 takes a free one."""
    return await loop.create_server(lambda: Connection(server), "127.0.0.1", port, backlog=4096)


async def _serve(settings: Settings, port: int) -> None:
    parent = os.getppid()
    opened = await listen(asyncio.get_running_loop(), Server(settings), port)
    bound = opened.sockets[0].getsockname()[1]
    print(json.dumps({"port": bound, "url": f"http://127.0.0.1:{bound}/v1", "pid": os.getpid()}), flush=True)
    while os.getppid() == parent:
        await asyncio.sleep(0.5)


def main(argv: list[str] | None = None) -> int:
    """Serve until the parent process is gone."""
    parser = argparse.ArgumentParser(description="A stub of an OpenAI-compatible server.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0, metavar="S")
    parser.add_argument("--answers", default="yes|no", help="separated by '|'; or 'echo'")
    parser.add_argument("--fault", action="append", type=Fault.parse, default=[], metavar="KIND:SHARE[:TRIES]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--capacity", type=int)
    parser.add_argument("--record", action="store_true", help="remember every request, for /stats")
    options = parser.parse_args(argv)
    settings = Settings(
        answer=echo if options.answers == "echo" else chosen(options.answers.split("|")),
        latency=options.latency,
        faults=tuple(options.fault),
        seed=options.seed,
        capacity=options.capacity,
        record=options.record,
        keep=0,
    )
    asyncio.run(_serve(settings, options.port))
    return 0


if __name__ == "__main__":
    sys.exit(main())
