"""Which servers and experiments are taken, and how a run's target is remembered."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.errors import ConfigError, EvidenceError
from assay.tracking import memory
from assay.tracking.client import side_by_side
from assay.tracking.layout import bounded, safe_name
from assay.tracking.target import Target, checked_experiment, checked_uri, experiment_of, uri_of


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("sqlite:///mlflow.db", "is a store, not a server"),
        ("file:///mlruns", "is a store, not a server"),
        ("databricks", "not the address of a server"),
        ("http://", "not the address of a server"),
        ("http://host:port", "is not a URI"),
        ("http://[::1", "is not a URI"),
        ("http://ada:secret@host:5000", "carries a password"),
        ("http://host:5000/?a=b", "has a query"),
    ],
)
def test_what_is_no_server_is_refused(uri: str, why: str):
    with pytest.raises(ConfigError, match=why) as error:
        checked_uri(uri)
    assert "secret" not in str(error.value)


def test_servers_are_found_in_order(monkeypatch: pytest.MonkeyPatch, home: Path):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(ConfigError, match="no tracking server was named"):
        uri_of(None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://named:5000/")
    assert uri_of(None) == "http://named:5000"
    assert uri_of("https://given/mlflow/") == "https://given/mlflow"


def test_experiments_are_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    assert experiment_of(None, "plan") == "plan"
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "all")
    assert (experiment_of(None, "plan"), experiment_of("mine", "plan")) == ("all", "mine")
    for wrong in ("", "  ", "x" * 501, "a\nb"):
        with pytest.raises(ConfigError):
            checked_experiment(wrong)


def test_a_target_is_remembered_beside_the_run(tmp_path: Path):
    run = tmp_path / "runs" / "one"
    run.mkdir(parents=True)
    assert memory.recall(run) is None
    tracked = memory.Tracked(run, Target("http://host:5000", "all", "scenario", True), "run-1", "p", "stopped")
    memory.remember(tracked)
    assert memory.recall(run) == tracked
    assert list(run.iterdir()) == []
    assert list(memory.remembered([tmp_path / "runs"])) == []
    (run / "plan.json").touch()
    assert list(memory.remembered([tmp_path / "runs"])) == [tracked]


@pytest.mark.parametrize(
    "text",
    [
        "{",
        '{"schema": "assay.tracked.v1"}',
        '{"schema":"assay.tracked.v1","uri":"sqlite:///x","experiment":"a","granularity":"cell","traces":false,'
        '"manifest":null,"parent":null,"why":null}',
        '{"schema":"assay.tracked.v1","uri":"http://x","experiment":"a","granularity":"all","traces":false,'
        '"manifest":null,"parent":null,"why":null}',
    ],
)
def test_a_damaged_memory_is_an_error(tmp_path: Path, text: str):
    path = memory.place(tmp_path / "one")
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(EvidenceError, match=r"one\.json"):
        memory.recall(tmp_path / "one")


@pytest.mark.parametrize(
    ("name", "safe"),
    [("accuracy", "accuracy"), ("pass@1", "pass_1"), ("a/../b", "a/__/b"), ("/a//b/", "a/b"), ("é", "_"), ("", "_")],
)
def test_names_become_those_that_mlflow_takes(name: str, safe: str):
    from mlflow.utils.validation import _validate_metric_name

    assert safe_name(name) == safe
    _validate_metric_name(safe_name(name))


def test_a_long_text_is_cut_and_says_so():
    cut = bounded("x" * 9000, 8000)
    assert len(cut) == 8000 and "9000 characters" in cut


def test_batches_end_together():
    found = list(side_by_side(([1, 2, 3], 2), (["a"], 2), ([], 2)))
    assert found == [([1, 2], [], []), ([3], ["a"], [])]
    assert list(side_by_side(([], 2))) == []
