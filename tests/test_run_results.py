"""Results are a fold: of outcomes, of scores with intervals, of time, tokens and money."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from assay.errors import JournalCorrupt
from assay.plan.plan import Plan
from assay.records import Sample
from assay.run.folder import RunFolder
from assay.run.journal import Writer
from assay.run.results import results, rounded
from assay.run.scores import Scoring, planned
from assay.run.state import State
from support.plans import plan


def line(made: Plan, index: int, outcome: str = "ok", text: str | None = "yes", **more: Any) -> dict[str, Any]:
    attempt = made.attempt(index)
    record = {
        "attempt": attempt.id,
        "index": index,
        "cell": attempt.cell,
        "sample": attempt.sample,
        "epoch": attempt.epoch,
        "seed": attempt.seed,
        "revision": 0,
        "session": 0,
        "outcome": outcome,
        "tries": 1,
        "finished": 1000.0 + index,
        "latency_s": 0.5,
    }
    if text is not None:
        record["completion"] = {"text": text, "tokens_in": 10, "tokens_out": 2}
    return {**record, **more}


def folded(path: Path, made: Plan, lines: Sequence[dict[str, Any]], targets: str = "yes") -> dict[str, Any]:
    folder = RunFolder(path)
    samples = [Sample(name, "?", targets) for name in made.tasks["t"].samples]
    folder.create(made, [("t", samples, ())])
    writer = Writer(folder.attempts / "0000.jsonl")
    for record in lines:
        writer.append(record)
    writer.close()
    state = State.read(folder, made)
    Scoring(folder, made, state, planned(made)).run()
    return results(folder, made, state)


def test_a_rate_has_its_interval_and_counts(tmp_path: Path) -> None:
    made = plan(40)
    row = folded(tmp_path, made, [line(made, n, text="yes" if n < 30 else "no") for n in range(40)])["cells"][0]
    metric = row["metrics"][0]
    assert (metric["value"], metric["n"], metric["method"]) == (0.75, 40, "wilson")
    assert metric["low"] == pytest.approx(0.598, abs=1e-3)
    assert metric["high"] == pytest.approx(0.858, abs=1e-3)
    assert row["tokens"] == {"in": 400, "out": 80, "unknown": 0}
    assert row["latency_s"]["p50"] == 0.5


def test_an_infrastructure_error_is_missing_and_not_wrong(tmp_path: Path) -> None:
    made = plan(4)
    lines = [line(made, 0), line(made, 1), line(made, 2, "infra_error", None), line(made, 3, "timeout", None)]
    found = folded(tmp_path, made, lines)
    metric = found["cells"][0]["metrics"][0]
    assert (metric["value"], metric["n"]) == (1.0, 2)
    assert found["cells"][0]["rates"] == {"ok": 0.5, "timeout": 0.25, "infra_error": 0.25}
    assert {flag["code"] for flag in found["flags"]} == {"timeout_rate", "infra_error_rate"}


def test_nothing_scored_is_not_zero(tmp_path: Path) -> None:
    made = plan(2)
    metric = folded(tmp_path, made, [line(made, 0, "infra_error", None)])["cells"][0]["metrics"][0]
    assert (metric["value"], metric["low"], metric["high"], metric["n"]) == (None, None, None, 0)


def test_only_the_newest_line_of_an_attempt_counts(tmp_path: Path) -> None:
    made = plan(2)
    lines = [line(made, 0, "infra_error", None), line(made, 1), line(made, 0, revision=1, session=1)]
    found = folded(tmp_path, made, lines)
    assert found["cells"][0]["outcomes"] == {"ok": 2}
    assert found["cells"][0]["tries"] == 3
    assert found["complete"]


def test_epochs_of_a_sample_are_one_cluster(tmp_path: Path) -> None:
    made = plan(40, epochs=5)
    lines = [line(made, n, text="yes" if made.locate(n)[1] < 20 else "no") for n in range(200)]
    metric = folded(tmp_path, made, lines)["cells"][0]["metrics"][0]
    assert (metric["n"], metric["clusters"]) == (200, 40)
    assert "clustered" in metric["method"]
    assert metric["high"] - metric["low"] > 0.28  # as 40 samples, not as 200


def test_samples_tried_differently_often_are_planned_and_clustered_as_they_are(tmp_path: Path) -> None:
    made = plan(3, counts=(1, 3, 2))
    found = folded(tmp_path, made, [line(made, n, text="yes" if n else "no") for n in range(5)])
    row = found["cells"][0]
    assert (row["planned"], row["finished"], found["complete"]) == (6, 5, False)
    assert (row["metrics"][0]["n"], row["metrics"][0]["clusters"]) == (5, 3)


def test_an_unscorable_answer_is_its_own_outcome(tmp_path: Path) -> None:
    made = plan(2)
    found = folded(tmp_path, made, [line(made, 0), line(made, 1)], targets="")
    assert found["cells"][0]["outcomes"] == {"scorer_error": 2}
    assert found["cells"][0]["metrics"][0]["n"] == 0


def test_a_token_count_that_is_missing_is_not_zero(tmp_path: Path) -> None:
    made = plan(1)
    row = folded(tmp_path, made, [line(made, 0, completion={"text": "yes"})])["cells"][0]
    assert row["tokens"]["unknown"] == 1


def test_a_skipped_revision_is_refused(tmp_path: Path) -> None:
    made = plan(2)
    with pytest.raises(JournalCorrupt, match=r"0000\.jsonl:1: attempt \w+ skips revision 1"):
        folded(tmp_path, made, [line(made, 0, revision=1)])


def test_an_attempt_of_another_plan_is_refused(tmp_path: Path) -> None:
    made = plan(2)
    with pytest.raises(JournalCorrupt, match="does not belong to the plan"):
        folded(tmp_path, made, [line(plan(2, cells=2), 1) | {"sample": "s7"}])


def test_numbers_are_rounded_to_what_every_machine_agrees_on() -> None:
    assert rounded({"a": [1 / 3, 2], "b": 0.1 + 0.2}) == {"a": [0.333333333333, 2], "b": 0.3}
