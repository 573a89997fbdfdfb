"""Frames on a channel: four bytes of length, big-endian, then so many bytes."""

from __future__ import annotations

import os

from assay.sandbox.protocol import FRAME, MOST_FRAME
from assay.sandbox.wire import WireError

_FIRST = 1 << 13
"""Bytes asked for first: most frames are smaller, and a buffer far larger costs a mapping of its own."""

_MORE = 1 << 20


class Closed(Exception):
    """The other end is gone."""


def send(descriptor: int, body: bytes) -> None:
    """Write one frame. Raises Closed."""
    raw = FRAME.pack(len(body)) + body
    try:
        sent = os.write(descriptor, raw)
        while sent < len(raw):
            sent += os.write(descriptor, memoryview(raw)[sent:])
    except OSError:
        raise Closed from None


def receive(descriptor: int) -> bytes:
    """Read one frame; the other end speaks only when it is asked, so that nothing may follow it.

    Raises Closed at the end of the stream and WireError on a frame that is too long or not alone.
    """
    raw = _read(descriptor, _FIRST)
    while len(raw) < FRAME.size:
        raw += _read(descriptor, _FIRST)
    (size,) = FRAME.unpack_from(raw)
    if size > MOST_FRAME:
        raise WireError("a frame is too long")
    size += FRAME.size
    if len(raw) < size:
        parts, have = [raw], len(raw)
        while have < size:
            parts.append(_read(descriptor, min(size - have + 1, _MORE)))
            have += len(parts[-1])
        raw = b"".join(parts)
    if len(raw) != size:
        raise WireError("something follows a frame")
    return raw[FRAME.size :]


def _read(descriptor: int, most: int) -> bytes:
    try:
        raw = os.read(descriptor, most)
    except OSError:
        raise Closed from None
    if not raw:
        raise Closed
    return raw
