from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import EvidenceError
from assay.files import canonical, pretty
from assay.plan.plan import Plan, attempt_seed
from support.plans import plan


def test_a_plan_reads_back_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(canonical(plan(cells=2).to_json()))
    assert canonical(Plan.read(path).to_json()) == path.read_bytes()


def test_a_changed_plan_is_refused(tmp_path: Path) -> None:
    content = plan().to_json()
    content["seed"] = 8
    (tmp_path / "plan.json").write_bytes(pretty(content))
    with pytest.raises(EvidenceError, match=r"plan.json: the plan's digest is"):
        Plan.read(tmp_path / "plan.json")


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(EvidenceError, match="mood"):
        Plan.from_json({**plan().to_json(), "mood": "good"})


@given(st.integers(1, 9), st.integers(1, 4), st.integers(1, 4))
def test_attempts_are_enumerated_once_each(samples: int, cells: int, epochs: int) -> None:
    made = plan(samples, cells, epochs)
    attempts = [attempt for number in range(cells) for attempt in made.attempts(number)]
    assert [attempt.index for attempt in attempts] == list(range(len(made)))
    assert len({attempt.id for attempt in attempts}) == samples * cells * epochs
    assert {(attempt.cell, attempt.position, attempt.epoch) for attempt in attempts} == {
        made.locate(index) for index in range(len(made))
    }


counted = st.lists(st.integers(1, 9), min_size=1, max_size=12).map(tuple)


@given(counted, st.integers(1, 3))
def test_samples_may_be_tried_differently_often(counts: tuple[int, ...], cells: int) -> None:
    made = plan(len(counts), cells, counts=counts)
    assert len(made) == cells * sum(counts)
    placed = [made.locate(index) for index in range(len(made))]
    assert placed == [
        (cell, position, epoch)
        for cell in range(cells)
        for position, count in enumerate(counts)
        for epoch in range(count)
    ]
    assert [made.index(*place) for place in placed] == list(range(len(made)))


@given(st.integers(1, 9), st.integers(1, 4), st.integers(1, 4))
def test_an_attempt_is_found_by_its_place(samples: int, cells: int, epochs: int) -> None:
    made = plan(samples, cells, epochs)
    assert [made.index(*made.locate(index)) for index in range(len(made))] == list(range(len(made)))


@pytest.mark.parametrize("place", [(0, 0, 2), (0, 1, 3), (0, 2, 0), (0, 0, -1), (0, -1, 0), (1, 0, 0)])
def test_there_is_no_attempt_at_another_place(place: tuple[int, int, int]) -> None:
    with pytest.raises(IndexError):
        plan(2, counts=(2, 3)).index(*place)


@given(counted)
def test_how_often_others_are_tried_does_not_change_an_attempt(counts: tuple[int, ...]) -> None:
    """Whatever the order of enumeration, an attempt's id and seed are those of its sample and epoch."""
    ragged, even = plan(len(counts), counts=counts), plan(len(counts), epochs=max(counts))
    known = {(a.sample, a.epoch): (a.id, a.seed) for a in even.attempts(0)}
    assert all(known[a.sample, a.epoch] == (a.id, a.seed) for a in ragged.attempts(0))


def test_counts_read_back_and_are_left_out_where_there_are_none(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(canonical(plan(3, counts=(1, 4, 2), mode="given").to_json()))
    assert Plan.read(path) == plan(3, counts=(1, 4, 2), mode="given")
    assert "counts" not in plan().to_json()["tasks"]["t"]


@pytest.mark.parametrize("counts", [[1], [1, 0], [1, 3], [1, True], [1, "2"], [1, 2.0], {"a": 2}, 2])
def test_counts_that_do_not_fit_are_refused(counts: object) -> None:
    content = plan(2, counts=(1, 2)).to_json()
    content["tasks"]["t"]["counts"] = counts
    with pytest.raises(EvidenceError, match="not a plan that this version reads"):
        Plan.from_json(content)


@pytest.mark.parametrize("index", [-1, 5])
def test_there_is_no_attempt_outside_the_plan(index: int) -> None:
    with pytest.raises(IndexError):
        plan(5).attempt(index)


def test_a_longer_plan_keeps_the_attempts_of_a_shorter_one() -> None:
    short, long = plan(3), plan(9)
    assert [(a.id, a.seed) for a in short.attempts(0)] == [(a.id, a.seed) for a in long.attempts(0)][:3]


@given(st.integers(0, 2**62), st.text(), st.text(), st.integers(0, 99))
def test_seeds_fit_every_backend(root: int, cell: str, sample: str, epoch: int) -> None:
    assert 0 <= attempt_seed(root, cell, sample, epoch) < 2**31


def test_epochs_and_root_seeds_differ_in_their_seeds() -> None:
    seeds = {attempt_seed(root, "c", "s", epoch) for root in range(10) for epoch in range(10)}
    assert len(seeds) == 100


@pytest.mark.parametrize("name", ["../t", "/etc/t", ".t", "t\n", ""])
def test_a_task_cannot_be_named_out_of_the_run(name: str) -> None:
    content = plan().to_json()
    content["tasks"] = {name: {**content["tasks"]["t"], "name": name}}
    for cell in content["cells"]:
        cell["task"] = name
    with pytest.raises(EvidenceError, match="not a name for a task"):
        Plan.from_json(content)


def test_a_cell_of_nothing_is_refused() -> None:
    content = plan().to_json()
    content["cells"][0]["model"] = "another"
    with pytest.raises(EvidenceError, match="not in the plan"):
        Plan.from_json(content)
