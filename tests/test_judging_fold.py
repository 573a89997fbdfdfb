"""What judgements come to: means and composites by hand, clusters, several judges, and nothing for what is missing."""

from __future__ import annotations

from pathlib import Path
from statistics import mean

import orjson
import pytest

from assay import judged
from assay.errors import JournalCorrupt
from assay.judging import summary
from assay.run.folder import RunFolder
from assay.session import score
from assay.stats.intervals import clustered_mean
from support.judging import RUBRIC, export, fill, run
from support.stub import Fault, Stub


def folded(made):
    return summary(RunFolder(made.path), made.plan, RUBRIC)


def by_text(row):
    """A judgement that differs from candidate to candidate, and is known from the row alone."""
    number = int(row["digest"][1:], 16)
    return {"fit": 1 + number % 3, "ease": number % 5 / 4}


def expected(queue, made, said=by_text):
    """(sample, judged, composite) of every candidate, by hand from the key and the run's own scores."""
    right = {entry.attempt["index"]: entry.scores[0]["metrics"]["accuracy"] for entry in made}
    for item in queue.items:
        scores = said(item.row)
        index = item.candidate.index
        yield made.plan.locate(index)[1], scores, scores["fit"] + scores["ease"] + 2 * right[index]


def test_means_and_composites_are_those_by_hand(tmp_path: Path, stub: Stub):
    made = run(tmp_path, stub, 20)
    queue = export(made, tmp_path / "q.csv")
    judged.apply(fill(tmp_path / "q.csv", tmp_path / "a.csv", by_text), "ada", [made.path])
    (cell,) = folded(made)["cells"]
    known = list(expected(queue, made))
    assert (cell["state"], cell["candidates"], cell["judged"], cell["pending"], cell["unmeasured"]) == (
        "judged", 20, 20, 0, 0,
    )  # fmt: skip
    assert cell["dimensions"]["fit"]["value"] == pytest.approx(mean(scores["fit"] for _, scores, _ in known))
    assert cell["composite"]["value"] == pytest.approx(mean(composite for *_, composite in known))
    assert cell["composite"]["low"] < cell["composite"]["value"] < cell["composite"]["high"]
    assert cell["passed"]["value"] == pytest.approx(mean(composite >= 4 for *_, composite in known))
    measured = cell["dimensions"]["right"]
    assert (measured["n"], measured["value"]) == (20, made.results["cells"][0]["metrics"][0]["value"])


def test_the_pass_mark_itself_passes(tmp_path: Path, stub: Stub):
    made = run(tmp_path, stub, 20)
    export(made, tmp_path / "q.csv")
    file = fill(tmp_path / "q.csv", tmp_path / "a.csv", lambda row: {"fit": 2, "ease": 0})
    judged.apply(file, "ada", [made.path])
    accuracy = made.results["cells"][0]["metrics"][0]["value"]
    assert 0 < accuracy < 1
    assert folded(made)["cells"][0]["passed"]["value"] == accuracy


def test_a_judgement_of_an_attempt_made_again_stands_no_more(tmp_path: Path, stub: Stub):
    made = run(tmp_path, stub, 5)
    export(made, tmp_path / "q.csv")
    judged.apply(fill(tmp_path / "q.csv", tmp_path / "a.csv"), "ada", [made.path])
    path = made.path / "attempts" / "0000.jsonl"
    (made.path / "manifest.json").unlink()
    again = orjson.loads(path.read_bytes().splitlines()[0]) | {"revision": 1}
    path.write_bytes(path.read_bytes() + orjson.dumps(again, option=orjson.OPT_SORT_KEYS) + b"\n")
    cell = folded(made)["cells"][0]
    assert (cell["candidates"], cell["judged"], cell["pending"]) == (5, 4, 1)
    assert export(made, tmp_path / "new.csv").counts["candidate"] == 1
    judged.apply(fill(tmp_path / "new.csv", tmp_path / "b.csv"), "ada", [made.path])
    assert folded(made)["cells"][0]["pending"] == 0


def test_epochs_of_a_sample_are_one_cluster(tmp_path: Path, stub: Stub):
    made = run(tmp_path, stub, 8, epochs=3, sampling={"temperature": 1.0})
    queue = export(made, tmp_path / "q.csv")
    judged.apply(fill(tmp_path / "q.csv", tmp_path / "a.csv", by_text), "ada", [made.path])
    found = folded(made)["cells"][0]["composite"]
    sums = [0.0] * 8
    for sample, _, composite in expected(queue, made):
        sums[sample] += composite
    right = clustered_mean([3] * 8, sums)
    assert (found["n"], found["clusters"], found["method"]) == (24, 8, "t-clustered")
    assert (found["low"], found["high"]) == pytest.approx((right.low, right.high))


def test_what_is_not_judged_is_pending_and_no_zero(tmp_path: Path, stub: Stub):
    made = run(tmp_path, stub, 10)
    export(made, tmp_path / "q.csv")
    empty = folded(made)["cells"][0]
    assert (empty["state"], empty["pending"], empty["composite"]["value"]) == ("pending", 10, None)
    kept = {"n": 0}

    def said(row):
        kept["n"] += 1
        return {"fit": 3, "ease": 1} if kept["n"] <= 6 else {"fit": "", "ease": ""}

    judged.apply(fill(tmp_path / "q.csv", tmp_path / "a.csv", said), "ada", [made.path], partial=True)
    cell = folded(made)["cells"][0]
    assert cell["state"] == "pending"
    assert cell["dimensions"]["fit"]["value"] == 3
    assert cell["dimensions"]["fit"]["n"] == cell["judged"] == 10 - cell["pending"]


def test_answers_that_were_not_given_are_no_candidates(tmp_path: Path):
    with Stub(faults=[Fault("error", 0.4)]) as stub:
        made = run(tmp_path, stub, 20, retry={"tries": 1, "base_s": 0.01, "max_s": 0.02})
    failed = made.results["cells"][0]["outcomes"]["infra_error"]
    queue = export(made, tmp_path / "q.csv")
    assert 0 < failed < 20 and queue.counts["candidate"] == 20 - failed
    cell = folded(made)["cells"][0]
    assert (cell["unanswered"], cell["candidates"]) == (failed, 20 - failed)


def test_several_judges_count_as_their_mean_and_repeats_not_at_all(tmp_path: Path, stub: Stub):
    made = run(tmp_path, stub, 10)
    export(made, tmp_path / "q.csv", repeat=0.3, anchors=True)
    for judge, fit in (("ada", 1), ("bob", 3)):
        file = fill(tmp_path / "q.csv", tmp_path / f"{judge}.csv", lambda row, fit=fit: {"fit": fit, "ease": 0})
        judged.apply(file, judge, [made.path])
    found = folded(made)
    cell = found["cells"][0]
    assert (cell["dimensions"]["fit"]["value"], cell["dimensions"]["fit"]["n"]) == (2, 10)
    assert cell["judges"] == {"ada": 10, "bob": 10}
    assert [(batch["judge"], batch["judgements"]) for batch in found["marked"]] in (
        [("ada", 10), ("bob", 10)], [("bob", 10), ("ada", 10)],
    )  # fmt: skip


def test_a_correction_counts_in_the_place_of_what_it_corrects(tmp_path: Path, stub: Stub):
    made = run(tmp_path, stub, 6)
    export(made, tmp_path / "q.csv")
    for fit in (1, 2, 3):
        file = fill(tmp_path / "q.csv", tmp_path / "a.csv", lambda row, fit=fit: {"fit": fit, "ease": 0})
        judged.apply(file, "ada", [made.path], correct=True)
    cell = folded(made)["cells"][0]
    assert (cell["dimensions"]["fit"]["value"], cell["dimensions"]["fit"]["n"]) == (3, 6)
    assert made.verify() == []


def test_without_the_measure_there_is_no_composite(tmp_path: Path, stub: Stub):
    made = run(tmp_path, stub, 5)
    export(made, tmp_path / "q.csv")
    judged.apply(fill(tmp_path / "q.csv", tmp_path / "a.csv"), "ada", [made.path])
    for segment in (made.path / "scores").glob("*"):
        header, *lines = map(orjson.loads, segment.read_bytes().splitlines())
        blank = [{**line, "metrics": {}} for line in lines]
        segment.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in (header, *blank)))
    cell = folded(made)["cells"][0]
    assert (cell["unmeasured"], cell["composite"]["value"], cell["composite"]["n"]) == (5, None, 0)
    assert cell["dimensions"]["fit"]["n"] == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": {"fit": 9, "ease": 1}}, "not on the rubric's scales"),
        ({"scores": {"fit": 1}}, "not on the rubric's scales"),
        ({"index": 99}, "not a judgement of this plan"),
        ({"attempt": "0" * 16}, "does not belong to the plan"),
        ({"kind": "guess"}, "the kind is 'guess'"),
        ({"corrects": "j000"}, "which does not stand"),
        ({"flags": {"self_preference": 1}}, "not a list of texts"),
        ({}, "corrects nothing"),
    ],
)
def test_a_journal_that_was_forged_is_corrupt(tmp_path: Path, stub: Stub, change, message):
    made = run(tmp_path, stub, 3)
    export(made, tmp_path / "q.csv")
    judged.apply(fill(tmp_path / "q.csv", tmp_path / "a.csv"), "ada", [made.path])
    path = made.path / "judgements" / "0000.jsonl"
    line = orjson.loads(path.read_bytes().splitlines()[1])
    item = {"item": line["item"]} if not change or "corrects" in change else {"item": "c1", "id": "j1"}
    path.write_bytes(path.read_bytes() + orjson.dumps({**line, **item, **change}) + b"\n")
    with pytest.raises(JournalCorrupt, match=message):
        folded(made)


def stored(made):
    return orjson.loads((made.path / "judged.json").read_bytes())


def test_a_run_keeps_what_it_comes_to_with_every_layer(tmp_path: Path, stub: Stub):
    made = run(tmp_path, stub, 8)
    assert made.judged is None and not (made.path / "judged.json").exists()
    export(made, tmp_path / "q.csv")
    (rubric,) = stored(made)["rubrics"]
    assert (rubric["rubric"]["label"], rubric["pending"], rubric["judges"]) == ("fit-v1", 8, [])
    judged.apply(fill(tmp_path / "q.csv", tmp_path / "a.csv"), "ada", [made.path])
    assert stored(made) == made.judged == {"schema": "assay.judged.v1", "rubrics": [folded(made)]}
    assert folded(made)["judges"] == [{"judge": "ada", "kind": "person", "judgements": 8}]
    assert [path.name for path in made.path.glob("sealed/*/judged.json")] == ["judged.json"]
    before = stored(made)
    score(made.path)
    assert stored(made) == before
    assert made.verify() == []


def test_flags_of_a_judgement_are_counted(tmp_path: Path, stub: Stub):
    made = run(tmp_path, stub, 4)
    export(made, tmp_path / "q.csv")
    judged.apply(fill(tmp_path / "q.csv", tmp_path / "a.csv"), "ada", [made.path])
    path = made.path / "judgements" / "0000.jsonl"
    header, first, *rest = map(orjson.loads, path.read_bytes().splitlines())
    flagged = [header, first | {"flags": ["self_preference"]}, *rest]
    path.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in flagged))
    assert folded(made)["cells"][0]["flags"] == {"self_preference": 1}


@pytest.mark.parametrize("change", [{"judge": "ada"}, {"checks": {}}, {"checks": {"marked": [1]}}, {"rubric": None}])
def test_a_header_that_is_none_is_corrupt(tmp_path: Path, stub: Stub, change):
    made = run(tmp_path, stub, 3)
    export(made, tmp_path / "q.csv")
    judged.apply(fill(tmp_path / "q.csv", tmp_path / "a.csv"), "ada", [made.path])
    path = made.path / "judgements" / "0000.jsonl"
    header, *rest = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(orjson.dumps(orjson.loads(header) | change) + b"\n" + b"".join(rest))
    with pytest.raises(JournalCorrupt, match="not the header of a batch"):
        folded(made)
