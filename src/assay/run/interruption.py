"""Waiting for a coroutine wherever one is called from, and hearing Ctrl-C while something must end cleanly."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from assay.errors import AssayError, Interrupted

T = TypeVar("T")


@contextmanager
def interruptible(path: Path) -> Iterator[None]:
    """Turn the first Ctrl-C (or SIGTERM) into a clean stop: what is in flight is dropped, the journal is whole.

    A second one ends the process at once. Outside the main thread signals are not ours to take.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    heard: list[int] = []

    def stop(number: int) -> None:
        heard.append(number)
        loop.remove_signal_handler(number)
        if task:
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    try:
        yield
    except asyncio.CancelledError:
        if not heard:
            raise
        if task:
            task.uncancel()
        raise Interrupted("interrupted", hint=f"what is finished is kept in {path}; ask again to resume") from None
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(ValueError, AssayError):
                loop.remove_signal_handler(number)


def wait_for(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, also from a notebook, where an event loop is running already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    outcome: list[T | BaseException] = []

    def body() -> None:
        try:
            outcome.append(asyncio.run(work))
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=body, name="assay")
    thread.start()
    thread.join()
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]
