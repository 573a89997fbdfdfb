from __future__ import annotations

from pathlib import Path

import assay
from support.evals import spec
from support.stub import Fault, Stub


def test_one_row_an_attempt_with_typed_columns(tmp_path: Path) -> None:
    with Stub(faults=[Fault("bad_request", 0.3)]) as stub:
        run = assay.evaluate(spec(tmp_path, stub.url, 30), out=tmp_path / "run")
    frame = run.frame()
    rows = frame.project("model, task, sample, outcome, accuracy, error_type").fetchall()
    assert len(rows) == 30
    assert {row[0] for row in rows} == {"stub"}
    by_sample = {entry.attempt["sample"]: entry for entry in run}
    for _, _, sample, outcome, accuracy, error in rows:
        entry = by_sample[sample]
        assert outcome == entry.attempt["outcome"]
        assert accuracy == (entry.scores[0]["metrics"]["accuracy"] if entry.scores else None)
        assert (error is None) == (outcome == "ok")


def test_it_speaks_arrow(tmp_path: Path, stub: Stub) -> None:
    run = assay.evaluate(spec(tmp_path, stub.url, 3), out=tmp_path / "run")
    assert "arrow_array_stream" in repr(run.frame().__arrow_c_stream__())


def test_a_retried_attempt_is_one_row(tmp_path: Path) -> None:
    with Stub(faults=[Fault("error", 0.5, tries=1)]) as stub:
        wanted = spec(tmp_path, stub.url, 20, retry={"tries": 1})
        assay.evaluate(wanted, out=tmp_path / "run")
        run = assay.evaluate(wanted, out=tmp_path / "run", retry_errors=True)
    assert run.frame().project("outcome").distinct().fetchall() == [("ok",)]
    assert len(run.frame().fetchall()) == 20
