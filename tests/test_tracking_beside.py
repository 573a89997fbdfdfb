"""After an evaluation: a server that is away, slow, or lost half-way costs a bounded time and never the run."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from assay.tracking import memory
from assay.tracking.beside import logged
from assay.tracking.push import Pushed, unfinished
from assay.tracking.target import Target
from support.stub import Stub
from support.tracking import free_port, made, needs_mlflow

pytestmark = needs_mlflow


@contextmanager
def silent() -> Iterator[str]:
    """A server that takes every connection and never says a word."""
    held = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def take() -> None:
            while True:
                try:
                    held.append(listening.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()
    for one in held:
        one.close()


def nobody(done: int, total: int) -> None:
    """No progress is shown."""


def test_it_is_logged(tmp_path: Path, stub: Stub, mlflow: str):
    run = made(tmp_path, stub, 3)
    found = logged(run.path, Target(mlflow, "beside"), nobody)
    assert isinstance(found, Pushed) and found.created == 3
    assert unfinished(memory.recall(run.path)) is None


def test_a_slow_server_is_not_waited_for(tmp_path: Path, stub: Stub):
    run = made(tmp_path, stub, 3)
    with silent() as uri:
        assert logged(run.path, Target(uri, "slow"), nobody, seconds=0.5) == "not done after 0 s"
    assert unfinished(memory.recall(run.path)) is not None
    assert run.verify() == []


def test_a_server_that_is_away_is_told(tmp_path: Path, stub: Stub):
    run = made(tmp_path, stub, 3)
    found = logged(run.path, Target(f"http://127.0.0.1:{free_port()}", "away"), nobody)
    assert isinstance(found, str) and "does not answer" in found
    assert run.verify() == []


def test_whatever_goes_wrong_is_told(tmp_path: Path, stub: Stub, mlflow: str):
    run = made(tmp_path, stub, 3)

    def broken(done: int, total: int) -> None:
        raise ValueError("a bug")

    assert logged(run.path, Target(mlflow, "broken"), broken) == "internal error: ValueError: a bug"


def test_where_nothing_can_be_remembered_it_is_told(tmp_path: Path, stub: Stub, mlflow: str):
    run = made(tmp_path, stub, 3)
    (tmp_path / ".tracked").write_text("in the way")
    found = logged(run.path, Target(mlflow, "unwritable"), nobody)
    assert isinstance(found, str) and "cannot write" in found


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9/mlflow"])
def test_the_run_is_listed_as_pending(tmp_path: Path, stub: Stub, uri: str):
    run = made(tmp_path, stub, 3)
    logged(run.path, Target(uri, "listed"), nobody)
    assert [one.run.name for one in memory.remembered([tmp_path])] == [run.path.name]
