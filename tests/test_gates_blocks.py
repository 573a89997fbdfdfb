import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from assay.gates.blocks import LEAST, MOST_LOOKS, block_of, cut, order, planned
from assay.gates.policy import parse
from support.gated import policy

sizes = st.dictionaries(st.sampled_from("abc"), st.integers(1, 5000), min_size=1)


def ids(n):
    return [f"s{number}" for number in range(n)]


def test_the_order_is_a_permutation_that_the_seed_draws_also_where_it_is_0():
    for seed in (0, 1):
        assert sorted(order(ids(50), seed, "t")) == list(range(50))
        assert order(ids(50), seed, "t") != list(range(50))
    assert order(ids(50), 0, "t") != order(ids(50), 1, "t") != order(ids(50), 1, "u")


def test_the_order_has_nothing_to_do_with_the_places_in_the_file():
    """A file that begins with what is easy: the first block has as much of either half as chance gives it."""
    firsts = [np.mean(np.array(order(ids(400), seed, "t")[:40]) < 200) for seed in range(200)]
    assert abs(np.mean(firsts) - 0.5) < 3 * 0.5 / np.sqrt(200 * 40)


def test_the_order_does_not_depend_on_which_samples_there_are():
    few, many = ids(30), ids(300)
    assert [few[place] for place in order(few, 7, "t")] == [
        many[place] for place in order(many, 7, "t") if many[place] in set(few)
    ]


@given(sizes, st.integers(1, 6000))
def test_blocks_only_ever_grow_and_end_together_at_the_end_of_the_plan(sizes, block):
    looks = planned(sizes, block)
    before = cut(sizes, block, 0)
    assert set(before.values()) == {0}
    for number in {1, 2, looks // 2, looks - 1} - {0, -1}:
        if number < looks:
            now = cut(sizes, block, number)
            assert all(0 < now[task] <= size for task, size in sizes.items())
            assert max(now.values()) == number * block
    assert cut(sizes, block, looks) == sizes


def test_how_large_a_block_is():
    bare, given_ = parse(policy()), parse(policy(sequential={"block": 7}))
    assert block_of({"a": 12032, "b": 10}, bare) == 301
    assert planned({"a": 12032}, 301) == MOST_LOOKS
    assert block_of({"a": 164}, bare) == LEAST
    assert block_of({"a": 164}, given_) == 7
