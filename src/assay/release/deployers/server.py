"""Deployers that start a server here: only the command, and what the server is asked, differ between them."""

from __future__ import annotations

import http.client
import json
import secrets
import subprocess
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from assay.errors import MachineError, ModelUnavailable
from assay.models.deployed import names_in
from assay.models.deployment import Deployed, Now
from assay.models.hf_files import folder_digest, has_template, read_config, weights
from assay.models.safetensors_header import parameters_in
from assay.release.deployers import lock
from assay.release.deployers.base import Deployer, Deployment, Settings
from assay.release.deployers.process import LAYER, Process, free_port

_ASK_S = 5.0
_MOST = 4 << 20


@dataclass(frozen=True, slots=True)
class Launch:
    """How a server is started: its command, what it finds in its environment, its URL, and what it calls the model."""

    command: Sequence[str]
    url: str
    served: str
    environment: Mapping[str, str]
    key_file: Path | None = None
    listed: bool = True


class ServerDeployer(Deployer):
    """A deployer that starts a process of its own, and ends it."""

    def deploy(self, checkpoint: Path, settings: Settings, log: Path) -> Deployment:
        """Take the lock, start the server, wait until it has the model."""
        self.check(settings)
        self.look(settings)
        model = self.describe(checkpoint, settings)
        held = lock.acquire(f"{self.name} {model.name}", settings.wait_s) if settings.alone else None
        process = Process(log)
        deployment = Deployment(model, Now("", model.served_as), checkpoint, process, held=held)
        try:
            launch = self.launch(checkpoint, settings, model, process)
            keep = () if held is None else (held,)
            process.start(launch.command, launch.environment, keep)
            key_file = str(launch.key_file) if launch.key_file else None
            deployment.now = Now(launch.url, launch.served, key_file, group=process.group, listed=launch.listed)
            what = f"the server of {model.name} ({self.name})"
            deployment.seconds = process.wait_until(lambda: self.ready(deployment.now), settings.deadline_s, what)
        except BaseException:
            deployment.close()
            raise
        deployment.facts = _facts(deployment.model, settings)
        return deployment

    def look(self, settings: Settings) -> None:
        """Raises MachineError where the server is not installed here."""

    @abstractmethod
    def launch(self, checkpoint: Path, settings: Settings, model: Deployed, process: Process) -> Launch:
        """How to start the server; secrets and configuration may be put into `process.folder`."""

    def ready(self, now: Now) -> bool:
        """Whether the server answers and lists the model."""
        return now.served in names_in(get(now.url, "/v1/models", now.key()))


def _facts(model: Deployed, settings: Settings) -> Mapping[str, str]:
    """What the evidence says of the server."""
    facts = {"deployer": model.deployer, "runtime": model.runtime, "slots": str(model.slots)}
    facts |= {"context": str(settings.context), "threads": str(settings.threads or "")}
    return {key: part for key, part in facts.items() if part}


def new_key(process: Process) -> tuple[str, Path]:
    """A key for one server, in a file that nobody else may read and that goes with the server."""
    key = secrets.token_hex(16)
    path = process.folder / "key"
    path.touch(mode=0o600)
    path.write_text(key)
    return key, path


def local(settings: Settings) -> tuple[int, str]:
    """The port to listen on, and the URL that it makes."""
    port = settings.port or free_port()
    return port, f"http://127.0.0.1:{port}"


def get(url: str, path: str, key: str | None = None, timeout_s: float = _ASK_S) -> Any:
    """The JSON at a page of a server; None where there is none, whatever the reason. Proxies are not used."""
    place = urlsplit(url)
    kind = http.client.HTTPSConnection if place.scheme == "https" else http.client.HTTPConnection
    connection = kind(place.hostname or "", place.port, timeout=timeout_s)
    try:
        connection.request("GET", place.path + path, headers={"Authorization": f"Bearer {key}"} if key else {})
        answer = connection.getresponse()
        content = answer.read(_MOST)
        return json.loads(content) if answer.status == 200 else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()


def describe_folder(deployer: str, checkpoint: Path, settings: Settings, **known: Any) -> Deployed:
    """A Hugging Face checkpoint as it would be served. Raises ModelUnavailable where the folder holds none."""
    if not checkpoint.is_dir():
        raise ModelUnavailable(f"{checkpoint} is no folder with a Hugging Face checkpoint", layer=LAYER)
    read_config(checkpoint)
    return Deployed(
        name=settings.name or checkpoint.resolve().name,
        digest=folder_digest(checkpoint),
        format="safetensors",
        deployer=deployer,
        api="openai",
        context=settings.context,
        slots=settings.slots,
        chat=has_template(checkpoint),
        parameters=parameters_in(weights(checkpoint)),
        **known,
    )


@cache
def versions(python: str, packages: tuple[str, ...]) -> Mapping[str, str]:
    """The versions of packages in the environment of an interpreter; what is not there is left out.

    Raises MachineError where the interpreter does not run.
    """
    ask = (
        "import importlib.metadata as m, json, sys\nfound = {}\nfor name in sys.argv[1:]:\n"
        "    try: found[name] = m.version(name)\n    except m.PackageNotFoundError: pass\nprint(json.dumps(found))"
    )
    try:
        done = subprocess.run([python, "-c", ask, *packages], capture_output=True, timeout=60, check=True)  # noqa: S603
        found: Mapping[str, str] = json.loads(done.stdout)
    except OSError as error:
        raise MachineError(f"{python}: {error.strerror}", layer=LAYER, errno=error.errno) from error
    except (subprocess.SubprocessError, ValueError) as error:
        raise MachineError(f"{python} does not run: {error}", layer=LAYER) from error
    return found
