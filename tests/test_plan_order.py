from __future__ import annotations

from collections.abc import Iterable, Mapping

from hypothesis import given
from hypothesis import strategies as st

from assay.plan.order import order, select

IDS = st.lists(st.text(min_size=1), unique=True, max_size=60)


class Data:
    """Samples whose content is a number; equal numbers say the same."""

    def __init__(self, contents: list[int]) -> None:
        self.contents = contents

    def keys(self) -> Iterable[tuple[str, bytes]]:
        return ((f"s{number}", bytes([content])) for number, content in enumerate(self.contents))

    def duplicates(self, demonstrations: Iterable[int]) -> Mapping[int, str]:
        shown = {self.contents[position] for position in demonstrations}
        return {number: "said" for number, content in enumerate(self.contents) if content in shown}


DATA = st.lists(st.integers(0, 9), max_size=40).map(Data)


@given(IDS)
def test_seed_zero_keeps_the_order_of_the_file(ids: list[str]) -> None:
    assert list(order(ids, 0, "t")) == list(range(len(ids)))


@given(IDS, st.integers(1, 2**62))
def test_every_seed_gives_a_permutation(ids: list[str], seed: int) -> None:
    assert sorted(order(ids, seed, "t")) == list(range(len(ids)))


@given(IDS, st.text(min_size=1), st.integers(1, 2**62))
def test_a_new_sample_does_not_reshuffle_the_old_ones(ids: list[str], new: str, seed: int) -> None:
    if new in ids:
        return
    before = [ids[position] for position in order(ids, seed, "t")]
    grown = [*ids, new]
    after = [grown[position] for position in order(grown, seed, "t") if grown[position] != new]
    assert after == before


def test_the_order_is_the_same_on_every_machine() -> None:
    assert list(order([f"s{number}" for number in range(12)], 42, "gsm8k")) == [
        1,
        2,
        11,
        8,
        3,
        4,
        6,
        7,
        10,
        9,
        5,
        0,
    ]


@given(DATA, st.integers(0, 100), st.integers(0, 5), st.integers(1, 50) | st.none())
def test_nothing_shown_is_scored(data: Data, seed: int, few_shot: int, limit: int | None) -> None:
    chosen = select(data, seed=seed, name="t", few_shot=few_shot, limit=limit)
    shown = [data.contents[position] for position in chosen.demos]
    assert len(set(shown)) == len(shown) == min(few_shot, len(set(data.contents)))
    assert not set(shown) & {data.contents[position] for position in chosen.scored}


@given(DATA, st.integers(0, 100), st.integers(0, 5), st.integers(1, 50))
def test_the_limit_comes_after_exclusion(data: Data, seed: int, few_shot: int, limit: int) -> None:
    every = select(data, seed=seed, name="t", few_shot=few_shot, limit=None)
    some = select(data, seed=seed, name="t", few_shot=few_shot, limit=limit)
    assert some.demos == every.demos
    assert some.scored == every.scored[:limit]
    assert len(every.scored) + len(every.excluded) == len(data.contents)
