"""`assay up` and `assay down`: one real server, found again, ended by us alone; and its host check explained."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from assay.cli.main import run as cli
from assay.errors import BackendUnreachable, EvidenceError
from assay.tracking import process, server
from assay.tracking.client import Client
from assay.tracking.target import uri_of
from support.tracking import free_port, needs_mlflow

pytestmark = needs_mlflow


def test_up_finds_its_server_again_and_down_ends_it(tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]):
    port = free_port()
    arguments = ["up", "mlflow", "--dir", str(tmp_path / "kept"), "--port", str(port), "--allowed-hosts", "gpu.example"]
    try:
        assert cli([*arguments, "--json"]) == 0
        first = json.loads(capsys.readouterr().out)
        assert (first["started"], first["uri"]) == (True, f"http://127.0.0.1:{port}")
        with closing(sqlite3.connect(tmp_path / "kept" / "mlflow.db")) as database:
            assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert uri_of(None) == first["uri"]
        with pytest.raises(BackendUnreachable, match="refuses us") as refused:
            Client(first["uri"]).check()
        assert "--allowed-hosts '127.0.0.1" in str(refused.value)
        assert "its host check does not know the name" in str(refused.value)
        assert cli([*arguments, "--json"]) == 0
        again = json.loads(capsys.readouterr().out)
        assert (again["started"], again["pid"]) == (False, first["pid"])
        assert cli(["up", "mlflow", "--port", str(free_port())]) == 2
        assert "a server runs already" in capsys.readouterr().err
    finally:
        assert cli(["down", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ended"] is True
    assert process.started(first["pid"]) is None
    assert not (home / "services" / "mlflow.json").exists()
    assert (tmp_path / "kept" / "mlflow.db").exists()
    assert cli(["down"]) == 0
    assert "nothing that assay started is running" in capsys.readouterr().err


def test_another_process_with_its_number_is_left_alone(home: Path):
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    try:
        service = {"schema": server.SCHEMA, "uri": "http://127.0.0.1:1", "host": "127.0.0.1", "port": 1}
        service |= {"pid": other.pid, "started": "another boot 12", "dir": "x", "log": "y"}
        server.place().parent.mkdir(parents=True)
        server.place().write_bytes(orjson.dumps(service))
        assert server.running() is None
        assert cli(["down"]) == 0
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_process_is_known_by_its_start():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    begun = process.started(child.pid)
    assert begun is not None and begun != process.started(os.getpid())
    process.end_group(child.pid)
    assert process.started(child.pid) is None
    process.end_group(child.pid)
    child.wait()


def test_a_taken_port_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert cli(["up", "mlflow", "--port", str(port), "--dir", str(tmp_path)]) == 2
    assert f"port {port} is taken" in capsys.readouterr().err
    assert server.running() is None


def test_a_server_that_does_not_come_up_shows_its_log(tmp_path: Path, capsys: pytest.CaptureFixture[str], home: Path):
    folder = tmp_path / "old"
    folder.mkdir()
    with closing(sqlite3.connect(folder / "mlflow.db")) as database:
        database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        database.execute("INSERT INTO alembic_version VALUES ('from_the_future')")
        database.commit()
    assert cli(["up", "mlflow", "--dir", str(folder), "--port", str(free_port())]) == 6
    told = capsys.readouterr().err
    assert "the server ended" in told and "from_the_future" in told
    assert server.running() is None


def test_a_file_that_is_no_database_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "mlflow.db").write_text("not a database, and longer than a header of one hundred bytes" * 4)
    assert cli(["up", "mlflow", "--dir", str(tmp_path), "--port", str(free_port())]) == 6
    assert "not a database" in capsys.readouterr().err


def test_a_damaged_memory_is_an_error(home: Path):
    server.place().parent.mkdir(parents=True)
    server.place().write_text('{"schema": "assay.service.v1", "pid": "all"}')
    with pytest.raises(EvidenceError, match=r"mlflow\.json"):
        server.running()
