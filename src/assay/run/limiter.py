"""How many requests may be in flight: a window that follows the server.

Additive increase, multiplicative decrease (Chiu and Jain 1989), as in TCP: each window's worth of successes adds
one slot; a 429, a 503 or a timeout halves the window, at most once per round trip so that one burst of refusals
counts once. A request that is told to wait waits (the engine sees to it); when several in a row are told so, it is the
server speaking to all, and every request is held.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque

SHRINK = 0.5
IN_A_ROW = 2


class Limiter:
    """Hands out slots, first come first served. `limit` is the ceiling, `start` the first window."""

    def __init__(self, limit: int, start: int | None = None) -> None:
        self.limit = limit
        self.window = float(min(limit, start or limit))
        self.in_flight = 0
        self.peak = 0
        self._held_until = 0.0
        self._last_shrink = 0.0
        self._refused_in_a_row = 0
        self._round_trip = 0.1
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def acquire(self) -> None:
        """Wait for a slot, and for the end of any hold."""
        while True:
            if (pause := self._held_until - time.monotonic()) > 0:
                await asyncio.sleep(pause)
            elif self.in_flight < int(self.window):
                break
            else:
                await self._queue()
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)

    async def _queue(self) -> None:
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            self._forget(place)
            raise

    def _forget(self, place: asyncio.Future[None]) -> None:
        if place in self._waiting:
            self._waiting.remove(place)
        else:
            self._wake()  # the slot offered to this waiter goes to the next

    def release(self) -> None:
        """Give a slot back."""
        self.in_flight -= 1
        self._wake()

    def _wake(self) -> None:
        free = int(self.window) - self.in_flight
        while free > 0 and self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                free -= 1

    def succeeded(self, seconds: float) -> None:
        """A request went well and took this long."""
        self._refused_in_a_row = 0
        self._round_trip += 0.1 * (seconds - self._round_trip)
        if self.window < self.limit:
            self.window = min(float(self.limit), self.window + 1.0 / self.window)
            self._wake()

    def overloaded(self, retry_after: float | None = None) -> None:
        """The server refused or stalled: shrink; after refusals in a row hold everything for `retry_after` seconds."""
        now = time.monotonic()
        self._refused_in_a_row += 1
        if now - self._last_shrink >= self._round_trip:
            self._last_shrink = now
            self.window = max(1.0, self.window * SHRINK)
        if retry_after and self._refused_in_a_row >= IN_A_ROW:
            self._held_until = max(self._held_until, now + retry_after)
