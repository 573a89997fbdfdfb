"""A real MLflow server for tests, what it holds as MLflow's own client reads it, and runs to log there."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import assay
from support.evals import spec
from support.stub import Stub

needs_mlflow = pytest.mark.skipif(find_spec("alembic") is None, reason="needs the extra mlflow-server")

PROMPT = "---\nid: {id}\nversion: 1\ndescription: A {id} one.\n---\n{head}{{{{ input }}}}\n"


def free_port() -> int:
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


@contextmanager
def server(folder: Path, *options: str) -> Iterator[str]:
    """A server on SQLite, and its address; by default it serves its artifacts."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"]
    command += options or ["--artifacts-destination", str(folder / "artifacts"), "--serve-artifacts"]
    settings = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, env={**os.environ, **settings}, start_new_session=True
        )
    try:
        wait(f"http://127.0.0.1:{port}", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait(uri: str, process: subprocess.Popen[bytes], seconds: float = 180) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{uri}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"no MLflow server at {uri}")


def client(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(uri)


def logged(uri: str, experiment: str) -> tuple[Any, dict[str, Any]]:
    """The one parent run in an experiment, and its children by name."""
    seen = client(uri)
    number = seen.get_experiment_by_name(experiment).experiment_id
    found = seen.search_runs([number], max_results=1000)
    parents = [run for run in found if "mlflow.parentRunId" not in run.data.tags]
    assert len(parents) == 1
    children = [run for run in found if run.data.tags.get("mlflow.parentRunId") == parents[0].info.run_id]
    assert len(children) == len(found) - 1
    return parents[0], {run.info.run_name: run for run in children}


def traces(uri: str, experiment: str) -> Any:
    """The traces of an experiment by id. The public method would look for spans in another store."""
    seen = client(uri)
    number = seen.get_experiment_by_name(experiment).experiment_id
    found, _ = seen._tracking_client.store.search_traces(locations=[number], max_results=100)
    return sorted(found, key=lambda info: info.trace_id)


def history(uri: str, experiment: str) -> Any:
    """All that an experiment holds, to compare before and after."""
    parent, children = logged(uri, experiment)
    return [run.to_dictionary() for run in (parent, *(children[name] for name in sorted(children)))]


def artifact(uri: str, run: Any, path: str) -> bytes:
    from urllib.parse import quote

    with urllib.request.urlopen(f"{uri}/get-artifact?run_uuid={run.info.run_id}&path={quote(path)}", timeout=30) as got:
        return bytes(got.read())


def document(uri: str, run: Any, path: str) -> Any:
    return json.loads(artifact(uri, run, path))


def made(folder: Path, stub: Stub, count: int = 6, name: str = "made", **more: Any) -> assay.Run:
    """A sealed run of one model and two prompts."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rude.md").write_text(PROMPT.format(id="rude", head=""))
    (folder / "kind.md").write_text(PROMPT.format(id="kind", head="Please. "))
    prompts = {"prompts": [str(folder / "rude.md"), str(folder / "kind.md")]}
    return assay.evaluate(spec(folder, stub.url, count, **prompts, **{"name": name, **more}), out=folder / name)
