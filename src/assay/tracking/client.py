"""Talking to an MLflow server: what assay needs of its client, with errors in words and limits on what is read.

Nothing that a server says is trusted: texts are bounded, files are read up to a size that is known beforehand.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from assay.errors import BackendUnreachable, ConfigError, EvidenceError, MachineError, MissingExtra, Problem

TAG_LENGTH = 8000
"""Characters that a tag holds; the server cuts off the rest without a word."""

PARAM_LENGTH = 6000
DIGEST_LENGTH = 36
_TAGS, _METRICS, _PARAMS = 100, 1000, 100
"""At most so many in one request."""

_PAGE = 100
_MOST_RUNS = 100_000
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for a server: seconds for one request, and how often it is sent again."""

    timeout_s: int
    retries: int


PATIENT = Patience(60, 3)
HASTY = Patience(10, 1)
"""After an evaluation, which must not wait for a server that does not answer."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A run as the server has it."""

    id: str
    name: str
    status: str
    artifact_uri: str
    started: int
    tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    datasets: tuple[tuple[str, str], ...] = ()


class Client:
    """A connection to one server. Every method raises BackendUnreachable or MachineError where it refuses."""

    def __init__(self, uri: str, patience: Patience = PATIENT) -> None:
        _settle(patience)
        try:
            from mlflow import MlflowClient
        except ImportError as error:
            raise MissingExtra("mlflow", "mlflow") from error
        self.uri = uri
        self._client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        self._repositories: dict[str, Any] = {}

    def check(self) -> None:
        """Whether an MLflow server answers there and lets us in. Raises BackendUnreachable that says what to do."""
        with translated(self.uri):
            answer = self._get("/api/2.0/mlflow/experiments/search", {"max_results": 1})
            status, text = answer.status_code, answer.text[:2000]
        if status == 403:
            raise _refused(self.uri, text)
        if status == 401:
            hint = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
            raise BackendUnreachable(f"{self.uri} wants to know who asks (401)", layer="mlflow", hint=hint)
        if status != 200 or not text.lstrip().startswith("{"):
            message = f"{self.uri} does not answer as an MLflow server does (HTTP {status})"
            raise BackendUnreachable(message, layer="mlflow", hint="is that its address, with its path if it has one?")

    def _get(self, endpoint: str, params: Mapping[str, Any], **options: Any) -> Any:
        from mlflow.utils.credentials import get_default_host_creds
        from mlflow.utils.rest_utils import http_request

        creds = get_default_host_creds(self.uri)
        return http_request(creds, endpoint, "GET", params=params, raise_on_status=False, **options)

    def experiment(self, name: str, *, create: bool = False) -> str:
        """An experiment's id. Raises ConfigError where there is none and none is to be made, or it was deleted."""
        with translated(self.uri):
            found = self._client.get_experiment_by_name(name)
            if found is None and create:
                return self._make_experiment(name)
        if found is None:
            allowed = ", ".join(self._experiments()) or "none yet"
            problem = Problem(f"{self.uri} has no experiment {name!r}", "--experiment", allowed=allowed)
            raise ConfigError(problem)
        if found.lifecycle_stage != "active":
            hint = "restore it with 'mlflow experiments restore', or choose another name"
            raise ConfigError(Problem(f"the experiment {name!r} was deleted there", "--experiment"), hint=hint)
        return str(found.experiment_id)

    def _make_experiment(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        try:
            return str(self._client.create_experiment(name))
        except MlflowException:
            found = self._client.get_experiment_by_name(name)  # another process was quicker
            if found is None:
                raise
            return str(found.experiment_id)

    def _experiments(self) -> list[str]:
        with translated(self.uri):
            return [str(found.name)[:100] for found in self._client.search_experiments(max_results=20)]

    def runs(self, experiment: str, tags: Mapping[str, str]) -> Iterator[Seen]:
        """The runs with all of these tags, oldest first."""
        wanted = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
        token, count = None, 0
        while True:
            with translated(self.uri):
                page = self._client.search_runs(
                    [experiment], wanted, max_results=_PAGE, order_by=["attributes.start_time ASC"], page_token=token
                )
            for found in page:
                yield _seen(found)
            count, token = count + len(page), page.token
            if not token or count >= _MOST_RUNS:
                return

    def run(self, id: str) -> Seen:
        """One run, as it is now."""
        with translated(self.uri):
            return _seen(self._client.get_run(id))

    def create(self, experiment: str, name: str, tags: Mapping[str, str], started_ms: int | None) -> Seen:
        """A new run."""
        with translated(self.uri):
            return _seen(self._client.create_run(experiment, start_time=started_ms, tags=dict(tags), run_name=name))

    def log(
        self,
        id: str,
        metrics: Mapping[str, float],
        params: Mapping[str, str],
        tags: Mapping[str, str],
        at_ms: int,
        step: int = 0,
    ) -> None:
        """Metrics, params and tags in as few requests as the server takes; the last tag comes with the last request."""
        from mlflow.entities import Metric, Param, RunTag

        numbers = [Metric(key, value, at_ms, step) for key, value in metrics.items()]
        texts = [Param(key, value) for key, value in params.items()]
        labels = [RunTag(key, value) for key, value in tags.items()]
        batches = side_by_side((numbers, _METRICS - _TAGS - _PARAMS), (texts, _PARAMS), (labels, _TAGS))
        for some, other, further in batches:
            with translated(self.uri):
                self._client.log_batch(id, metrics=some, params=other, tags=further)

    def drop_tag(self, id: str, key: str) -> None:
        """Remove a tag."""
        with translated(self.uri):
            self._client.delete_tag(id, key)

    def dataset(self, id: str, name: str, digest: str, source: str) -> None:
        """Name the data that a run read."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        known = Dataset(name[:500], digest[:DIGEST_LENGTH], "assay", source[:60_000])
        with translated(self.uri):
            self._client.log_inputs(id, [DatasetInput(known, [InputTag("mlflow.data.context", "eval")])])

    def finish(self, id: str, ended_ms: int | None) -> None:
        """Mark a run as finished."""
        with translated(self.uri):
            self._client.set_terminated(id, "FINISHED", ended_ms)

    def delete(self, id: str) -> None:
        """Delete a run."""
        with translated(self.uri):
            self._client.delete_run(id)

    def upload(self, run: Seen, file: Path, folder: str = "") -> None:
        """Put a file into a run's artifacts, in a folder of them."""
        if run.artifact_uri not in self._repositories:
            from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

            with translated(self.uri):
                self._repositories[run.artifact_uri] = get_artifact_repository(run.artifact_uri, self.uri)
        with translated(self.uri):
            self._repositories[run.artifact_uri].log_artifact(str(file), folder or None)

    def listed(self, id: str, folder: str = "") -> dict[str, int]:
        """The plain files in a folder of a run's artifacts, as the server itself sees them: name and bytes."""
        with translated(self.uri):
            answer = self._get("/api/2.0/mlflow/artifacts/list", {"run_id": id, "path": folder})
            content = answer.json() if answer.status_code == 200 else {}
        files = content.get("files", []) if isinstance(content, dict) else []
        return {
            posixpath.basename(str(file.get("path", ""))): int(file.get("file_size") or 0)
            for file in files
            if isinstance(file, dict) and not file.get("is_dir")
        }

    def fetch(self, id: str, path: str, into: BinaryIO, most: int) -> int:
        """Read an artifact into a file; returns its bytes. Raises EvidenceError where it is longer than `most`."""
        count = 0
        with translated(self.uri):
            answer = self._get("/get-artifact", {"run_uuid": id, "path": path}, stream=True)
            with closing(answer):
                if answer.status_code != 200:
                    raise EvidenceError(f"{self.uri} does not give {path} (HTTP {answer.status_code})")
                for piece in answer.iter_content(_PIECE):
                    count += len(piece)
                    if count > most:
                        raise EvidenceError(f"{path} at {self.uri} is larger than the {most} bytes it should be")
                    into.write(piece)
        return count

    @property
    def store(self) -> Any:
        """The client's own store, for what its public methods do not offer: traces with ids of ours."""
        return self._client._tracking_client.store


def side_by_side(*parts: tuple[Sequence[Any], int]) -> Iterator[tuple[list[Any], ...]]:
    """Lists cut into pieces of their sizes, side by side so that all end together; nothing where all are empty."""
    cut = [[list(items[start : start + size]) for start in range(0, len(items), size)] for items, size in parts]
    count = max(map(len, cut))
    yield from zip(*([[]] * (count - len(pieces)) + pieces for pieces in cut), strict=True)


def _seen(run: Any) -> Seen:
    inputs = run.inputs.dataset_inputs if run.inputs else []
    return Seen(
        id=str(run.info.run_id),
        name=str(run.info.run_name or ""),
        status=str(run.info.status),
        artifact_uri=str(run.info.artifact_uri or ""),
        started=int(run.info.start_time or 0),
        tags=dict(run.data.tags),
        params=dict(run.data.params),
        metrics=dict(run.data.metrics),
        datasets=tuple((str(one.dataset.name), str(one.dataset.digest)) for one in inputs),
    )


_SETTLED: dict[str, str] = {}
"""What was set here, and may be set anew: all else is the user's own."""


def _settle(patience: Patience) -> None:
    """Settings that MLflow reads from the environment, where the user has not made others.

    It tells nobody else of its use, prints nothing of its own, and does not wait for minutes.
    """
    for name, value in (
        ("MLFLOW_DISABLE_TELEMETRY", "true"),
        ("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true"),
        ("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false"),
        ("MLFLOW_HTTP_REQUEST_TIMEOUT", str(patience.timeout_s)),
        ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", str(patience.retries)),
        ("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1"),
    ):
        if os.environ.get(name) in (None, _SETTLED.get(name)):
            os.environ[name] = _SETTLED[name] = value


@contextmanager
def translated(uri: str) -> Iterator[None]:
    """Turn what MLflow's client raises into errors of ours."""
    import requests
    from mlflow.exceptions import MlflowException, RestException

    try:
        yield
    except RestException as error:
        raise MachineError(f"{uri} refuses: {_short(error)}", layer="mlflow") from error
    except MlflowException as error:
        raise _unreachable(uri, error) from error
    except requests.HTTPError as error:
        raise MachineError(f"{uri} refuses: {_short(error)}", layer="mlflow") from error
    except requests.RequestException as error:
        raise _unreachable(uri, error) from error


def _unreachable(uri: str, error: Exception) -> BackendUnreachable:
    hint = "is it running, and reachable from here? 'assay up mlflow' starts one on this machine"
    return BackendUnreachable(f"{uri} does not answer: {_short(error)}", layer="mlflow", hint=hint)


def _refused(uri: str, text: str) -> BackendUnreachable:
    from urllib.parse import urlsplit

    host = urlsplit(uri).netloc
    own = "Invalid Host header" in text
    why = f"its host check does not know the name {host!r}" if own else "403"
    hint = (
        f"start the server with --allowed-hosts {host!r} ('assay up mlflow --allowed-hosts ...' passes it on), "
        "or use an address that it lets in: localhost, 127.0.0.1, a private address"
    )
    if not own:
        hint = f"either its host check does not know {host!r}: {hint}; or these credentials may not read there"
    return BackendUnreachable(f"{uri} refuses us: {why}", layer="mlflow", hint=hint)


def _short(error: Exception) -> str:
    """What went wrong, in one line of bounded length that a terminal can show."""
    text = " ".join(str(error).split())
    return "".join(letter for letter in text if letter.isprintable())[:300]
