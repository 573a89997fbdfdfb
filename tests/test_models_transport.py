"""Every way an HTTP request can fail becomes the error that says what may be done about it."""

from __future__ import annotations

import asyncio
import errno
import gzip
import socket
import time
from email.utils import formatdate
from typing import Any

import pytest

from assay.errors import (
    BackendError,
    BadResponse,
    ConnectionLost,
    Denied,
    NotFound,
    RateLimited,
    Rejected,
    ServerError,
)
from assay.models import transport as module
from assay.models.transport import AiohttpTransport, errno_of, loopback, proxy_for, retry_after
from support.raw import Raw, http


def ask(url: str, secret: str | None = None, times: int = 1) -> Any:
    async def send() -> Any:
        transport = AiohttpTransport(url, secret)
        try:
            return [await transport.post("/x", {"a": 1}) for _ in range(times)][-1]
        finally:
            await transport.close()
            await transport.close()

    return asyncio.run(send())


def failure(answer: bytes | None, secret: str | None = None) -> BackendError:
    with Raw(lambda asked: answer) as server, pytest.raises(BackendError) as caught:
        ask(server.url, secret)
    return caught.value


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, Rejected),
        (401, Denied),
        (403, Denied),
        (404, NotFound),
        (408, ServerError),
        (422, Rejected),
        (429, RateLimited),
        (500, ServerError),
        (502, ServerError),
        (503, RateLimited),
        (504, ServerError),
    ],
)
def test_each_status_has_its_error(status: int, expected: type[BackendError]):
    error = failure(http(status, {"error": {"message": "in the server's words"}}))
    assert type(error) is expected
    assert error.message.endswith(f"answered {status}: in the server's words")


def test_the_connection_is_kept():
    with Raw(lambda asked: http(200, {"n": 1})) as server:
        assert ask(server.url, times=3) == {"n": 1}
    assert (server.connections, len(server.asked)) == (1, 3)


def test_what_is_sent():
    with Raw(lambda asked: http(200, {}, Set_Cookie="a=b")) as server:
        ask(server.url + "/", "s3cret", times=2)
    asked = server.asked[1]
    assert (asked.method, asked.path, asked.body) == ("POST", "/x", {"a": 1})
    assert asked.headers["authorization"] == "Bearer s3cret"
    assert "cookie" not in asked.headers


@pytest.mark.parametrize("body", [b'{"a": ', b"<html>", b"", b"\xff\xfe", b"NaN"])
def test_what_is_not_json_is_a_bad_response(body: bytes):
    assert type(failure(http(200, body))) is BadResponse


def test_a_reset_connection_is_lost():
    error = failure(None)
    assert type(error) is ConnectionLost


def test_a_connection_closed_in_the_body_is_lost():
    whole = http(200, {"text": "x" * 100})
    assert type(failure(whole[:-20])) is ConnectionLost


def test_a_connection_closed_in_the_head_is_lost():
    assert type(failure(b"HTTP/1.1 200 OK\r\nContent-Le")) is ConnectionLost


def test_what_is_not_http_is_lost():
    assert type(failure(b"220 mail.example ESMTP\r\n\r\n")) is ConnectionLost


def test_nobody_listening_names_the_errno():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and not listening
        with pytest.raises(ConnectionLost, match="errno") as caught:
            ask(f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert errno_of(caught.value) == errno.ECONNREFUSED


def test_redirects_are_not_followed():
    error = failure(http(307, None, Location="http://elsewhere.example/"))
    assert type(error) is Rejected
    assert "not followed" in error.message


def test_answers_are_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MOST_BYTES", 1000)
    assert type(failure(http(200, b"[" + b" " * 2000 + b"]"))) is BadResponse
    bomb = gzip.compress(b"[" + b" " * 100_000 + b"]")
    assert len(bomb) < 1000
    assert type(failure(http(200, bomb, Content_Encoding="gzip"))) is BadResponse


def test_the_key_is_in_no_message():
    secret = "sk-very-secret"
    error = failure(http(400, {"error": {"message": "x" * 490 + f" your key {secret} is bad"}}), secret)
    assert "sk-" not in error.message
    assert len(error.message) < 600
    assert secret not in repr(AiohttpTransport("http://h", secret))


def test_cancelling_a_request_leaves_the_transport_usable():
    def reply(asked: Any) -> bytes | None:
        if asked.body == "slow":
            time.sleep(0.5)
        return http(200, asked.body)

    async def run(url: str) -> Any:
        transport = AiohttpTransport(url)
        try:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await transport.post("/", "slow")
            return await transport.post("/", "quick")
        finally:
            await transport.close()

    with Raw(reply) as server:
        assert asyncio.run(run(server.url)) == "quick"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, None), ("", None), ("3", 3.0), ("0.5", 0.5), ("-4", 0.0), ("soon", None), ("inf", None), ("nan", None)],
)
def test_retry_after(header: str | None, seconds: float | None):
    assert retry_after(header) == seconds


def test_retry_after_may_be_a_date():
    assert retry_after(formatdate(time.time() + 100, usegmt=True)) == pytest.approx(100, abs=2)
    assert retry_after(formatdate(time.time() - 100, usegmt=True)) == 0
    assert retry_after("Wed, 99 Foo 9999 99:99:99 GMT") is None


def test_retry_after_reaches_the_engine():
    error = failure(http(429, None, Retry_After="7"))
    assert isinstance(error, RateLimited)
    assert error.retry_after == 7


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://localhost:1/v1", True),
        ("http://127.9.9.9", True),
        ("http://[::1]:80", True),
        ("http://127.example.org", False),
        ("http://10.0.0.1", False),
    ],
)
def test_loopback(url: str, here: bool):
    assert loopback(url) is here


def test_proxies_come_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", "direct.example")
    assert proxy_for("http://far.example/v1") == "http://proxy:3128"
    assert proxy_for("http://direct.example/v1") is None
    assert proxy_for("http://localhost:8000/v1") is None


def test_a_request_goes_through_the_proxy(monkeypatch: pytest.MonkeyPatch):
    with Raw(lambda asked: http(200, {})) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        ask("http://far.example/v1")
    assert proxy.asked[0].path == "http://far.example/v1/x"
