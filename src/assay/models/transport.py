"""How backends speak HTTP: a small interface, one aiohttp implementation, and typed errors.

The engine limits time and concurrency; here every failure becomes the BackendError that says what may be done about
it. Answers are read up to a bound, redirects are not followed, and nothing secret gets into a message.
"""

from __future__ import annotations

import os
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Protocol

import orjson

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
from assay.version import __version__

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession
    from yarl import URL

MOST_BYTES = 64 << 20
"""The longest answer that is read, after decompression."""

_SAID = 500
"""How much of a server's own words is kept, in characters."""


class Transport(Protocol):
    """Sends JSON and returns JSON. Raises BackendError subclasses, nothing else; a cancelled call leaves nothing."""

    async def post(self, path: str, body: Any) -> Any:
        """The answer to a POST."""

    async def get(self, path: str) -> Any:
        """The answer to a GET."""

    async def close(self) -> None:
        """Close every connection; safe to call twice."""


class AiohttpTransport:
    """Keeps connections open, and opens as many as the engine has requests in flight.

    `base_url` is put before every path. `secret` goes out as a bearer token and is cut from whatever comes back.
    A proxy is taken from the environment (`HTTPS_PROXY`, `NO_PROXY`), never for this machine itself.
    """

    def __init__(self, base_url: str, secret: str | None = None) -> None:
        self.base_url = base_url.rstrip("/")
        self._secret = secret
        self._session: ClientSession | None = None
        self._urls: dict[str, URL] = {}

    def __repr__(self) -> str:
        return f"AiohttpTransport({self.base_url!r})"

    def _open(self) -> ClientSession:
        import aiohttp

        headers = {
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"assay/{__version__}",
        }
        if self._secret:
            headers["Authorization"] = f"Bearer {self._secret}"
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300),
            timeout=aiohttp.ClientTimeout(total=None),
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            # Not trust_env: that would also put a password from ~/.netrc in the place of the key.
            proxy=proxy_for(self.base_url),
        )

    def _url(self, path: str) -> URL:
        url = self._urls.get(path)
        if url is None:
            from yarl import URL

            url = self._urls[path] = URL(self.base_url + path)
        return url

    async def post(self, path: str, body: Any) -> Any:
        """POST a JSON body."""
        return await self._send("POST", path, orjson.dumps(body))

    async def get(self, path: str) -> Any:
        """GET a path."""
        return await self._send("GET", path, None)

    async def _send(self, method: str, path: str, data: bytes | None) -> Any:
        import aiohttp

        session = self._session = self._session or self._open()
        try:
            async with session.request(method, self._url(path), data=data, allow_redirects=False) as response:
                content = await _bounded(response)
                if response.status != 200:
                    raise self._refused(response, content)
        except (aiohttp.ClientError, OSError, EOFError) as error:
            raise ConnectionLost(self._hide(f"{self.base_url}: {_words(error)}")) from error
        try:
            return orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise BadResponse(f"{self.base_url}: the answer is not JSON: {error}") from None

    def _refused(self, response: ClientResponse, content: bytes) -> BackendError:
        status = response.status
        message = f"{self.base_url} answered {status}"
        if said := self._hide(_said(content)):
            message += f": {said}"
        if status in (429, 503):
            return RateLimited(message, retry_after=retry_after(response.headers.get("Retry-After")))
        if status >= 500 or status == 408:
            return ServerError(message)
        if status == 404:
            return NotFound(message)
        if status in (401, 403):
            return Denied(message)
        return Rejected(f"{message} (redirects are not followed)" if 300 <= status < 400 else message)

    def _hide(self, text: str) -> str:
        """Bounded, and without the key; hidden before it is cut, so that no half of it is left."""
        return (text.replace(self._secret, "***") if self._secret else text)[:_SAID]

    async def close(self) -> None:
        """Close every connection."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


async def _bounded(response: ClientResponse) -> bytes:
    length = response.content_length
    if length is not None and length <= MOST_BYTES and "Content-Encoding" not in response.headers:
        return await response.read()
    pieces = []
    size = 0
    async for piece in response.content.iter_any():
        size += len(piece)
        if size > MOST_BYTES:
            raise BadResponse(f"the answer is longer than {MOST_BYTES >> 20} MiB")
        pieces.append(piece)
    return b"".join(pieces)


def _said(content: bytes) -> str:
    """The server's own words: the message of a JSON error, else the body as it is."""
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError:
        return content.decode(errors="replace").strip()
    error = value.get("error", value) if isinstance(value, dict) else value
    words = error.get("message") if isinstance(error, dict) else error
    return words if isinstance(words, str) else content.decode(errors="replace").strip()


def errno_of(error: BaseException | None) -> int | None:
    """The operating system's number behind a failed connection, where there is one."""
    while error is not None:
        for cause in (getattr(error, "os_error", None), error):
            if isinstance(cause, OSError) and isinstance(cause.errno, int):
                return cause.errno if cause.errno > 0 else None
        error = error.__cause__
    return None


def _words(error: Exception) -> str:
    number = errno_of(error)
    if number:
        return f"{os.strerror(number)} (errno {number})"
    return str(error) or type(error).__name__


def host_of(url: str) -> str:
    """The host of a URL, without port and brackets."""
    from urllib.parse import urlsplit

    return urlsplit(url).hostname or ""


def loopback(url: str) -> bool:
    """Whether a URL points at this machine itself."""
    from ipaddress import ip_address

    host = host_of(url)
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def proxy_for(url: str) -> str | None:
    """The proxy that the environment names for a URL; none for this machine and for hosts in `NO_PROXY`."""
    from urllib.request import getproxies, proxy_bypass

    if loopback(url) or proxy_bypass(host_of(url)):
        return None
    proxies = getproxies()
    proxy = proxies.get(url.partition(":")[0]) or proxies.get("all")
    return proxy if proxy and proxy.startswith(("http://", "https://")) else None


def retry_after(value: str | None) -> float | None:
    """Seconds to wait from a Retry-After header, a number or an HTTP date; None where it says nothing usable."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        seconds = _until(value)
    return max(0.0, seconds) if seconds < float("inf") else None


def _until(date: str) -> float:
    try:
        return parsedate_to_datetime(date).timestamp() - time.time()
    except (TypeError, ValueError, OverflowError):
        return float("nan")
