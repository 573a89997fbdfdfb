"""What every test has: a home of its own, the stub server, the public data."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from support.stub import Stub

settings.register_profile("assay", deadline=None)
settings.load_profile("assay")

_SHARED = os.environ.get("ASSAY_HOME")
"""The home that the caller named: tests share the downloads in it, and nothing else."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What needs gigabytes of tools runs only where it is asked for by its marker; what shares a server runs last, so
    that the server is no child of this process yet when other tests count its children.
    """
    items.sort(key=lambda item: "mlflow" in getattr(item, "fixturenames", ()))
    if "ptq" in (config.option.markexpr or ""):
        return
    skipped = pytest.mark.skip(reason="run `make test-hf`: it sets up 5 GB of environments")
    for item in items:
        if item.get_closest_marker("ptq"):
            item.add_marker(skipped)


@pytest.fixture(scope="session")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for fetched wheels, kept between runs where the caller named a home, else for this run."""
    base = Path(_SHARED) if _SHARED else tmp_path_factory.mktemp("downloads")
    folder = base.resolve() / "wheels"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, downloads: Path) -> Path:
    """An empty ASSAY_HOME of the test's own, but for the wheels, which all tests share."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "wheels").symlink_to(downloads, target_is_directory=True)
    monkeypatch.setenv("ASSAY_HOME", str(folder))
    return folder


@pytest.fixture
def data() -> Path:
    """The public data under ASSAY_DATA; skips the test where that is not set."""
    named = os.environ.get("ASSAY_DATA")
    if not named:
        pytest.skip("ASSAY_DATA is not set: the public data sets are not here")
    folder = Path(named).resolve()
    if not folder.is_dir():
        pytest.fail(f"ASSAY_DATA is {named}, which is not a folder")
    return folder


@pytest.fixture(scope="session")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real MLflow server, which all tests share: each takes an experiment of its own."""
    from support.tracking import server

    with server(tmp_path_factory.mktemp("mlflow")) as uri:
        yield uri


@pytest.fixture
def stub() -> Iterator[Stub]:
    """A running stub server without faults; for others use `Stub(...)` as a context manager."""
    with Stub() as server:
        yield server
