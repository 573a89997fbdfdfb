from __future__ import annotations

import random
import tracemalloc
from collections import Counter

from assay.report.entry import Entry, outcome_of, primary_names, verdict
from assay.report.samples import TEXT_LIMIT, cut, kind, select, view
from test_report_inputs import made_up


def chosen(run, entries, limit):
    primaries = primary_names(run.results)
    return select(entries, primaries, [cell["cell"] for cell in run.results["cells"]], limit)


def ids(selection):
    return [entry.attempt["attempt"] for entry in selection.entries]


def test_everything_is_shown_where_there_is_room():
    run = made_up(samples=20)
    selection = chosen(run, run.entries, 1000)
    assert selection.total == len(run.entries) == len(selection.entries)
    assert sorted(ids(selection)) == sorted(entry.attempt["attempt"] for entry in run.entries)


def test_the_choice_depends_neither_on_order_nor_on_chance():
    run = made_up(samples=200)
    shuffled = random.Random(3).sample(run.entries, len(run.entries))
    assert ids(chosen(run, run.entries, 60)) == ids(chosen(run, shuffled, 60))


def test_cells_have_equal_shares_and_wrong_and_odd_ones_come_first():
    run = made_up(samples=300, bad=0.1)
    selection = chosen(run, run.entries, 240)
    assert set(Counter(entry.attempt["cell"] for entry in selection.entries).values()) == {40}
    primaries = primary_names(run.results)
    kinds = Counter(kind(entry, primaries) for entry in selection.entries)
    assert kinds["wrong"] > kinds["right"] > 0
    assert {"truncated", "empty", "refused", "timeout", "infra_error", "scorer_error"} <= set(kinds)


def test_one_frequent_failure_does_not_crowd_out_the_rest():
    run = made_up(samples=50, prompts=("default@1",), tasks=("boolq",), bad=0.0)
    down = [
        Entry({**entry.attempt, "attempt": f"z{index}", "outcome": "infra_error"})
        for index, entry in enumerate(run.entries * 20)
    ]
    kinds = Counter(kind(entry, primary_names(run.results)) for entry in chosen(run, down + run.entries, 40).entries)
    assert kinds["right"] and kinds["wrong"]
    assert kinds["infra_error"] <= 10


def test_memory_does_not_grow_with_the_run():
    run = made_up(samples=40)

    def peak(number):
        def stream():
            for index in range(number):
                attempt = run.entries[index % len(run.entries)].attempt
                completion = {"text": f"{index} " * 2000}
                yield Entry({**attempt, "attempt": f"{index:x}"[::-1].ljust(8, "0"), "completion": completion})

        tracemalloc.start()
        selection = chosen(run, stream(), 30)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert selection.total == number and len(selection.entries) == 30
        return used

    assert peak(8000) < 2 * peak(1000)


def test_a_scorer_that_failed_is_an_outcome_of_its_own():
    run = made_up(samples=200, bad=0.3)
    failed = [entry for entry in run.entries if entry.scores and "error" in entry.scores[0]]
    assert failed and {entry.attempt["outcome"] for entry in failed} == {"ok"}
    assert {outcome_of(entry) for entry in failed} == {"scorer_error"}
    assert {verdict(entry, "correct")[0] for entry in failed} == {"unscored"}


def test_numbers_and_labels_are_measured_not_right_or_wrong():
    entry = Entry({"outcome": "ok"}, [{"scorer": "s", "metrics": {"loss": 0.0, "form": "####"}}])
    assert verdict(entry, "loss") == ("measured", 0.0)
    assert verdict(entry, "form") == ("measured", "####")
    assert verdict(entry, None) == ("unscored", None)


def test_a_long_text_keeps_its_beginning_and_its_end():
    text = "a" * TEXT_LIMIT + "b" * TEXT_LIMIT
    short = cut(text)
    assert short.startswith("aaa") and short.endswith("bbb") and len(short) < TEXT_LIMIT + 100
    assert f"{TEXT_LIMIT:,} characters left out" in short
    assert cut("a" * TEXT_LIMIT) == "a" * TEXT_LIMIT


def test_seeds_keep_all_their_digits():
    run = made_up(samples=1)
    seed = run.entries[0].attempt["seed"]
    assert seed > 2**53
    assert view(run.entries[0], {}, None)["seed"] == str(seed)
