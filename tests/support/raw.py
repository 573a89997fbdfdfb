"""A server that answers with exactly the bytes it is told to: for faults below HTTP, and for other protocols."""

from __future__ import annotations

import asyncio
import re
import struct
import threading
from collections.abc import Callable
from socket import SO_LINGER, SOL_SOCKET
from types import TracebackType
from typing import Any, NamedTuple

import orjson


class Asked(NamedTuple):
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


Reply = Callable[[Asked], bytes | None]
"""The bytes to answer with; None resets the connection."""


def http(status: int, value: Any = None, **headers: str) -> bytes:
    """A whole answer with a JSON body, or with bytes as they are."""
    body = value if isinstance(value, bytes) else b"" if value is None else orjson.dumps(value)
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {text}" for name, text in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


class Raw:
    """A running server in a thread: `with Raw(reply) as server`, then `server.url` and `server.asked`.

    A complete answer (as its Content-Length says) keeps the connection open; anything else closes it.
    """

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.asked: list[Asked] = []
        self.connections = 0
        self.port = 0

    @property
    def url(self) -> str:
        """The base URL, without a path."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Raw:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=30)

    def _run(self) -> None:
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        self._loop.run_until_complete(self._end())
        self._loop.close()

    async def _end(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                if not await self._one(head, reader, writer):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _one(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        first, *rest = head.decode().strip().split("\r\n")
        headers = {name.lower(): text for name, _, text in (line.partition(": ") for line in rest)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        method, path, _ = first.split(" ")
        asked = Asked(method, path, headers, orjson.loads(body) if body else None)
        self.asked.append(asked)
        answer = self._reply(asked)
        if answer is None:
            raw = writer.get_extra_info("socket")
            raw.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))  # close with RST, not FIN
            writer.transport.abort()
            return False
        writer.write(answer)
        await writer.drain()
        found = re.search(rb"Content-Length: (\d+)", answer)
        return found is not None and len(answer.partition(b"\r\n\r\n")[2]) == int(found[1])
