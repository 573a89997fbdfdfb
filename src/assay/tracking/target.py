"""Where a run is tracked: the server's URI, the experiment, and in how fine a grain."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal, get_args
from urllib.parse import urlsplit

from assay.errors import ConfigError, Problem

Granularity = Literal["cell", "scenario"]
GRANULARITIES: tuple[Granularity, ...] = get_args(Granularity)
_LONGEST_NAME = 500


@dataclass(frozen=True, slots=True)
class Target:
    """A tracking server and an experiment there; one child run a `cell` or a `scenario`; whether with traces."""

    uri: str
    experiment: str
    granularity: Granularity = "cell"
    traces: bool = False


def checked_uri(uri: str, where: str = "--uri") -> str:
    """A server's URI without its trailing slash. Raises ConfigError for what is no server over HTTP."""
    allowed = "the address of an MLflow server, such as http://127.0.0.1:5000"
    try:
        parts = urlsplit(uri.strip())
        port = parts.port
    except ValueError as error:
        raise ConfigError(Problem(f"{uri!r} is not a URI ({error})", where, allowed=allowed)) from None
    if parts.scheme in ("sqlite", "file", "postgresql", "mysql", "mssql"):
        hint = "'assay up mlflow --dir DIR' starts a server on SQLite, and prints its address"
        raise ConfigError(Problem(f"{parts.scheme}: is a store, not a server", where, allowed=allowed), hint=hint)
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ConfigError(Problem(f"{uri!r} is not the address of a server", where, allowed=allowed))
    if parts.username or parts.password:
        hint = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        raise ConfigError(Problem("the URI carries a password, which would be stored", where), hint=hint)
    if parts.query or parts.fragment:
        raise ConfigError(Problem(f"{uri!r} has a query or a fragment", where, allowed=allowed))
    return uri.strip().rstrip("/")


def uri_of(given: str | None, where: str = "--uri") -> str:
    """The URI given, or that of MLFLOW_TRACKING_URI, or that of the server that `assay up mlflow` started.

    Raises ConfigError where there is none of them.
    """
    from assay.tracking.server import running

    if given:
        return checked_uri(given, where)
    if named := os.environ.get("MLFLOW_TRACKING_URI"):
        return checked_uri(named, "MLFLOW_TRACKING_URI")
    if (here := running()) is not None:
        return here.uri
    hint = "set MLFLOW_TRACKING_URI, or start a server here with 'assay up mlflow'"
    raise ConfigError(Problem("no tracking server was named", where, allowed="its address"), hint=hint)


def checked_experiment(name: str, where: str = "--experiment") -> str:
    """An experiment's name. Raises ConfigError for one that MLflow would not take."""
    if not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
        allowed = f"1 to {_LONGEST_NAME} printable characters"
        raise ConfigError(Problem(f"{name!r} is not a name for an experiment", where, allowed=allowed))
    return name


def experiment_of(given: str | None, plan: str) -> str:
    """The experiment given, or MLFLOW_EXPERIMENT_NAME, or the plan's name."""
    if given is not None:
        return checked_experiment(given)
    return checked_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME") or plan, "MLFLOW_EXPERIMENT_NAME")
