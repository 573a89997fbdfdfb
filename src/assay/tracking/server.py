"""A local MLflow server: on SQLite in WAL mode with the artifacts beside it, started once and ended only by us.

What runs is remembered in `$ASSAY_HOME/services/mlflow.json`: its process by number and start, so that `down` never
ends another process that got the number since.
"""

from __future__ import annotations

import fcntl
import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from http.client import HTTPConnection, HTTPException
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from assay.errors import ConfigError, EvidenceError, MachineError, MissingExtra, Problem
from assay.files import pretty, read_json, write_atomic
from assay.home import home
from assay.tracking.process import end_group, started

SCHEMA = "assay.service.v1"
PORT = 5000
WAIT_S = 180.0
"""A busy machine needs up to a minute for the first start, which makes the tables."""

_STARTED: list[subprocess.Popen[bytes]] = []
"""Held for as long as we run: Python would warn that a child goes on without us, which is what it is for."""

_KEYS = {"schema", "uri", "host", "port", "pid", "started", "dir", "log"}


@dataclass(frozen=True, slots=True)
class Service:
    """A server that was started from here: where it answers, which process it is, where its files are."""

    uri: str
    host: str
    port: int
    pid: int
    started: str
    dir: str
    log: str

    @property
    def alive(self) -> bool:
        """Whether that very process runs."""
        return started(self.pid) == self.started


@dataclass(frozen=True, slots=True)
class Wanted:
    """How to start one. `dir`: None is `mlflow` here. `port`: None takes 5000, or any free one. `allowed_hosts`: names
    that its host check lets in.
    """

    dir: Path | None = None
    port: int | None = None
    host: str = "127.0.0.1"
    allowed_hosts: str | None = None


def place() -> Path:
    """Where the running server is remembered."""
    return home() / "services" / "mlflow.json"


def running() -> Service | None:
    """The server that `up` started and that still runs; None where there is none."""
    path = place()
    if not path.exists():
        return None
    value = read_json(path, SCHEMA)
    kinds = {"port": int, "pid": int}
    if set(value) != _KEYS or not all(isinstance(value[key], kinds.get(key, str)) for key in _KEYS):
        raise EvidenceError(f"{path}: not what assay keeps of a server; remove it where no such server runs")
    found = Service(**{key: item for key, item in value.items() if key != "schema"})
    return found if found.alive else None


def up(wanted: Wanted, say: Callable[[str], None], wait_s: float = WAIT_S) -> tuple[Service, bool]:
    """A server that answers, and whether it was started now; a running one is found and not started again.

    Raises ConfigError where another one of ours runs or the port is taken, MissingExtra without the package,
    MachineError where it does not come up.
    """
    with _lock():
        if (found := running()) is not None:
            _check_same(found, wanted)
            _wait(found, None, wait_s)
            return found, False
        _check_installed()
        return _start(wanted, say, wait_s), True


def _check_installed() -> None:
    """Raise MissingExtra where the server's package is not here: the client's has the same name to import."""
    try:
        distribution("mlflow")
    except PackageNotFoundError:
        raise MissingExtra("mlflow", "mlflow-server") from None


def down(say: Callable[[str], None]) -> Service | None:
    """End the server that `up` started, and nothing else; returns what ran, None where nothing did."""
    with _lock():
        found = running()
        if found is not None:
            say(f"ending the server at {found.uri} (process {found.pid})")
            _end(found.pid)
            if found.alive:
                raise MachineError(f"process {found.pid} does not end", layer="mlflow")
        place().unlink(missing_ok=True)
        return found


def _end(pid: int) -> None:
    end_group(pid)
    for child in _STARTED:
        child.poll()


def _check_same(found: Service, wanted: Wanted) -> None:
    """Raise ConfigError where the server that runs is not the one that is asked for."""
    asked = {"dir": str(wanted.dir.resolve()) if wanted.dir else None, "port": wanted.port}
    for name, value in asked.items():
        if value is not None and value != getattr(found, name):
            message = f"a server runs already with --{name} {getattr(found, name)}, at {found.uri}"
            raise ConfigError(Problem(message, f"--{name}"), hint="'assay down' ends it")


def _start(wanted: Wanted, say: Callable[[str], None], wait_s: float) -> Service:
    folder = (wanted.dir or Path("mlflow")).resolve()
    port = _port(wanted)
    log = folder / "mlflow.log"
    try:
        (folder / "artifacts").mkdir(parents=True, exist_ok=True)
        _prepare(folder / "mlflow.db")
        say(f"starting MLflow on port {port}; its files are in {folder}")
        with log.open("ab") as out:
            process = subprocess.Popen(  # noqa: S603
                _command(folder, port, wanted),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=folder,
                env=_environment(),
                start_new_session=True,
            )
            _STARTED.append(process)
    except OSError as error:
        raise MachineError(f"cannot start in {folder}", layer="mlflow", errno=error.errno) from error
    try:
        shown = "127.0.0.1" if wanted.host in ("0.0.0.0", "::") else wanted.host  # noqa: S104
        uri = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"
        begun = started(process.pid) or ""
        service = Service(uri, wanted.host, port, process.pid, begun, str(folder), str(log))
        write_atomic(place(), pretty({"schema": SCHEMA, **asdict(service)}))
        _wait(service, process, wait_s)
    except BaseException:
        _end(process.pid)
        place().unlink(missing_ok=True)
        raise
    return service


def _prepare(database: Path) -> None:
    """Turn WAL on, which the file remembers: readers and the writer do not wait for each other, 2.7 times as fast."""
    try:
        with closing(sqlite3.connect(database)) as connection:
            mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()
    except sqlite3.Error as error:
        raise MachineError(f"{database}: not a database that SQLite opens ({error})", layer="mlflow") from error
    if mode != ("wal",):
        raise MachineError(f"{database}: SQLite does not switch to WAL there", layer="mlflow")


def _command(folder: Path, port: int, wanted: Wanted) -> Sequence[str]:
    command = [sys.executable, "-m", "mlflow", "server"]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"]
    command += ["--artifacts-destination", str(folder / "artifacts"), "--serve-artifacts"]
    command += ["--host", wanted.host, "--port", str(port), "--workers", "1"]
    return [*command, "--allowed-hosts", wanted.allowed_hosts] if wanted.allowed_hosts else command


def _environment() -> dict[str, str]:
    """Ours, without what would point the server elsewhere; nothing is sent to anybody, and no jobs are run."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "_MLFLOW_"))}
    return {**kept, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


def _port(wanted: Wanted) -> int:
    """The port asked for, or 5000 or else any that is free. Raises ConfigError where it is taken."""
    if wanted.port is None:
        return PORT if _free(wanted.host, PORT) else _any(wanted.host)
    if not _free(wanted.host, wanted.port):
        message = f"port {wanted.port} is taken by another program, or not allowed"
        raise ConfigError(Problem(message, "--port", allowed="a free port, or none to have one chosen"))
    return wanted.port


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _free(host: str, port: int) -> bool:
    with socket.socket(_family(host)) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host, port))
        except OSError:
            return False
    return True


def _any(host: str) -> int:
    with socket.socket(_family(host)) as tried:
        try:
            tried.bind((host, 0))
        except OSError as error:
            problem = Problem(f"nothing can listen on {host!r} here", "--host", allowed="an address of this machine")
            raise ConfigError(problem) from error
        return int(tried.getsockname()[1])


def _wait(service: Service, process: subprocess.Popen[Any] | None, seconds: float) -> None:
    """Until it answers. Raises MachineError, with the end of its log, where it ends or does not."""
    until = time.monotonic() + seconds
    while not answers(service):
        ended = process.poll() is not None if process else not service.alive
        if ended or time.monotonic() > until:
            why = "ended" if ended else f"does not answer after {seconds:.0f} s"
            raise MachineError(f"the server {why}", layer="mlflow", hint=f"{service.log} ends:\n{_tail(service.log)}")
        time.sleep(0.1)


def answers(service: Service) -> bool:
    """Whether it says that it is well."""
    host = "127.0.0.1" if service.host == "0.0.0.0" else "::1" if service.host == "::" else service.host  # noqa: S104
    connection = HTTPConnection(host, service.port, timeout=5)
    try:
        connection.request("GET", "/health", headers={"Host": "localhost"})
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _tail(log: str, lines: int = 8) -> str:
    try:
        with Path(log).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 8000))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return "nothing"
    return "\n".join(f"  {line}" for line in text.splitlines()[-lines:])


@contextmanager
def _lock() -> Iterator[None]:
    """One `up` or `down` at a time: a second one waits for the first."""
    path = place().with_suffix(".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    except OSError as error:
        raise MachineError(f"cannot write {path}", layer="services", errno=error.errno) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
