"""Sending and receiving control messages with descriptors, and anonymous files for what they must not carry."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence

MOST_SETTINGS = 128 << 10
"""The longest message of all, bytes: the worker's settings."""

_MOST_MESSAGE = 4096
_MOST_DESCRIPTORS = 8

KIND = getattr(socket, "SOCK_SEQPACKET", socket.SOCK_DGRAM) if sys.platform == "linux" else socket.SOCK_DGRAM
"""Whole messages or nothing. macOS has no sequenced packets for local sockets; datagrams keep order there too."""


def pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of a control socket."""
    return socket.socketpair(socket.AF_UNIX, KIND)


def send(to: socket.socket, message: bytes, descriptors: Sequence[int] = ()) -> None:
    """Send one message and copies of these descriptors."""
    if descriptors:
        socket.send_fds(to, [message], descriptors)
    else:
        to.send(message)


def receive(source: socket.socket, most: int = _MOST_MESSAGE) -> tuple[bytes, list[int]]:
    """The next message and its descriptors, which are now ours; an empty message where the other end is closed."""
    try:
        message, descriptors, _, _ = socket.recv_fds(source, most, _MOST_DESCRIPTORS)
    except ConnectionError:
        return b"", []
    return message, descriptors


def anonymous_file(content: bytes = b"") -> int:
    """A file without a name, read from its start by whoever gets its descriptor; close it after use."""
    if sys.platform == "linux":
        descriptor = os.memfd_create("assay", os.MFD_CLOEXEC)
    else:
        import tempfile  # which brings more along than a worker should hold

        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    if content:
        os.write(descriptor, content)
        os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def contents(descriptor: int, limit: int) -> tuple[bytes, bool]:
    """The first `limit` bytes of an anonymous file, and whether there are more."""
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, min(size, limit), 0) if size else b"", size > limit


def read_all(descriptor: int) -> bytes:
    """All of an anonymous file, which is then closed."""
    size = os.fstat(descriptor).st_size
    content = b""
    while len(content) < size and (part := os.pread(descriptor, size - len(content), len(content))):
        content += part
    os.close(descriptor)
    return content
