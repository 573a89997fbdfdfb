"""How backends speak HTTP: a small interface, one aiohttp implementation, and typed errors.

The engine limits time and concurrency; here every failure becomes the BackendError that says what may be done about
it. Answers are read up to a bound, redirects are not followed, and nothing secret gets into a message.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from assay.errors import BadResponse, ConnectionLost, Denied, RateLimited, Rejected, ServerError

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

MOST_BYTES = 64 << 20
"""The longest answer that is read."""

_SAID = 500


class Transport(Protocol):
    """Sends JSON and returns JSON. Raises BackendError subclasses, nothing else."""

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The answer to a POST."""

    async def get(self, path: str) -> Any:
        """The answer to a GET."""

    async def close(self) -> None:
        """Close every connection; safe to call twice."""


class AiohttpTransport:
    """Keeps connections open; opens as many as the engine has requests in flight."""

    def __init__(self, base_url: str, headers: Mapping[str, str] | None = None, secret: str | None = None) -> None:
        self.base_url = base_url.rstrip("/")
        self._headers = {"Content-Type": "application/json", **(headers or {})}
        self._secret = secret
        if secret:
            self._headers["Authorization"] = f"Bearer {secret}"
        self._session: ClientSession | None = None

    def __repr__(self) -> str:
        return f"AiohttpTransport({self.base_url!r})"

    def _open(self) -> ClientSession:
        if self._session is None:
            import aiohttp

            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300),
                timeout=aiohttp.ClientTimeout(total=None),
                headers=self._headers,
                trust_env=not _loopback(self.base_url),
                auto_decompress=True,
            )
        return self._session

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """POST a JSON body."""
        return await self._send("POST", path, orjson.dumps(body))

    async def get(self, path: str) -> Any:
        """GET a path."""
        return await self._send("GET", path, None)

    async def _send(self, method: str, path: str, data: bytes | None) -> Any:
        import aiohttp

        session = self._open()
        try:
            async with session.request(method, self.base_url + path, data=data, allow_redirects=False) as response:
                content = await _bounded(response)
                if response.status != 200:
                    raise self._refused(response, content)
        except aiohttp.ClientError as error:
            raise ConnectionLost(f"{self.base_url}: {_words(error)}") from error
        except (OSError, asyncio.IncompleteReadError) as error:
            raise ConnectionLost(f"{self.base_url}: {error}") from error
        try:
            return orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise BadResponse(f"the answer is not JSON: {error}") from None

    def _refused(self, response: ClientResponse, content: bytes) -> Exception:
        status = response.status
        said = content[:_SAID].decode(errors="replace").strip()
        if self._secret:
            said = said.replace(self._secret, "***")
        message = f"{self.base_url} answered {status}: {said}" if said else f"{self.base_url} answered {status}"
        if status in (429, 503):
            return RateLimited(message, retry_after=retry_after(response.headers.get("Retry-After")))
        if status >= 500 or status == 408:
            return ServerError(message)
        if status in (401, 403, 404):
            return Denied(message)
        return Rejected(message)

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None


async def _bounded(response: ClientResponse) -> bytes:
    length = response.content_length
    if length is not None and length <= MOST_BYTES:
        return await response.read()
    pieces = []
    size = 0
    async for piece in response.content.iter_any():
        size += len(piece)
        if size > MOST_BYTES:
            raise BadResponse(f"the answer is longer than {MOST_BYTES} bytes")
        pieces.append(piece)
    return b"".join(pieces)


def _words(error: Exception) -> str:
    cause = getattr(error, "os_error", None) or error
    number = getattr(cause, "errno", None)
    return f"{cause} (errno {number})" if number else str(cause) or type(cause).__name__


def _loopback(url: str) -> bool:
    from urllib.parse import urlsplit

    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def retry_after(value: str | None) -> float | None:
    """Seconds to wait from a Retry-After header, a number or an HTTP date; None where it says nothing usable."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return None
