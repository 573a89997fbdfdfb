import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from assay.stats.intervals import clustered_mean
from assay.stats.ranking import cluster_sums, rank_cells

tables = st.tuples(st.integers(2, 5), st.integers(2, 8)).flatmap(
    lambda shape: st.lists(
        st.lists(st.integers(0, 3), min_size=shape[1], max_size=shape[1]), min_size=shape[0], max_size=shape[0]
    )
)


def ranking(scores, **options):
    """Of one score a cell and cluster."""
    scores = np.asarray(scores, dtype=float)
    return rank_cells(scores, np.ones_like(scores), **{"resamples": 200, **options})


def by_cell(found):
    return {standing.cell: standing for standing in found.standings}


def drawn(generator, means, clusters, spread=0.7):
    """Scores of cells that share their clusters' difficulty."""
    shared = generator.normal(size=clusters)
    return np.asarray(means)[:, None] + shared + generator.normal(size=(len(means), clusters)) * spread


def test_sums_are_by_cell_and_cluster():
    sums, counts = cluster_sums([0, 1, 0, 1, 1], [2, 0, 2, 2, 0], [1.0, 0.5, 2.0, 3.0, 0.25], 2, 3)
    assert sums.tolist() == [[0, 0, 3], [0.75, 0, 3]]
    assert counts.tolist() == [[0, 0, 2], [2, 0, 1]]


def test_no_scores_are_no_sums():
    sums, counts = cluster_sums([], [], [], 2, 3)
    assert (sums.sum(), counts.sum(), sums.shape) == (0, 0, (2, 3))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([0], [0], [math.nan], 1, 1), "finite"),
        (([1], [0], [1.0], 1, 1), "cell"),
        (([0], [-1], [1.0], 1, 1), "cluster"),
        (([0.5], [0], [1.0], 1, 1), "whole number"),
        (([0, 0], [0], [1.0], 1, 1), "one length"),
    ],
)
def test_scores_out_of_place_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        cluster_sums(*arguments)


def test_p_values_are_those_of_paired_t_tests_holm_adjusted():
    scores = drawn(np.random.default_rng(2), [0, 0.3, 0.6, 0.6], 25)
    found = ranking(scores)
    ordered = list(itertools.permutations(range(4), 2))
    raw = [
        stats.ttest_rel(scores[a], scores[b], alternative="greater").pvalue
        if scores[a].mean() > scores[b].mean()
        else 1.0
        for a, b in ordered
    ]
    theirs = multipletests(raw, method="holm")[1]
    assert [found.better[a][b] for a, b in ordered] == pytest.approx(theirs)


def test_cells_are_means_over_all_scores_of_shared_clusters():
    sums, counts = [[3.0, 1.0, 9.0], [2.0, 2.0, 0.0]], [[4, 2, 9], [2, 4, 0]]
    found = rank_cells(sums, counts, resamples=200)
    assert (found.shared, found.excluded) == (2, 1)
    assert {cell: one.value for cell, one in by_cell(found).items()} == {0: 4 / 6, 1: 4 / 6}


def test_an_only_cell_ahead_in_every_cluster_is_best():
    found = ranking([[1, 2, 3, 4] * 5, [0, 1, 2.5, 3] * 5, [0, 1.5, 2, 3] * 5])
    first = found.standings[0]
    assert (first.cell, first.rank, first.rank_low, first.rank_high, first.best) == (0, 1, 1, 1, 1)
    assert found.groups == ((0,), (1, 2))
    assert [one.groups for one in found.standings] == [(1,), (2,), (2,)]
    assert [(one.rank, one.rank_low, one.rank_high) for one in found.standings[1:]] == [(2, 2, 3), (2, 2, 3)]


@pytest.mark.parametrize(("clusters", "told_apart"), [(2, False), (6, False), (7, True), (30, True)])
def test_a_difference_that_never_varies_is_as_certain_as_its_clusters_allow(clusters, told_apart):
    """One cell passes all, the other none: a sign-flip test of G clusters has p of 2^(1-G), times two pairs."""
    found = ranking([[1] * clusters, [0] * clusters])
    assert found.better[0][1] == pytest.approx(min(1, 2 * 2.0 ** (1 - clusters)))
    assert found.groups == (((0,), (1,)) if told_apart else ((0, 1),))
    assert (found.winner.corrected, found.winner.low) == (None, None)
    assert "do not vary" in found.winner.statement


@pytest.mark.parametrize("seed", range(6))
def test_groups_hold_no_pair_that_is_told_apart_and_cover_all_others(seed):
    found = ranking(drawn(np.random.default_rng(seed), np.linspace(0, 1.5, 9), 40))
    decided = np.array(found.better) <= 0.05
    alike = {frozenset(pair) for pair in itertools.combinations(range(9), 2)}
    alike -= {frozenset(pair) for pair in np.argwhere(decided).tolist()}
    shared = {frozenset(pair) for group in found.groups for pair in itertools.combinations(group, 2)}
    assert shared == alike
    assert 2 <= len(found.groups) < len(alike)
    assert not any(set(one) < set(other) for one in found.groups for other in found.groups)
    assert all(standing.cell in found.groups[number - 1] for standing in found.standings for number in standing.groups)


def test_equal_cells_share_everything():
    found = ranking([[1, 0, 1, 0], [1, 0, 1, 0], [1, 0, 1, 0]])
    assert found.groups == ((0, 1, 2),)
    assert {(one.rank, one.rank_low, one.rank_high) for one in found.standings} == {(1, 1, 3)}
    assert [one.best for one in found.standings] == pytest.approx([1 / 3] * 3)
    assert found.winner.corrected == found.winner.value


@given(tables)
@settings(max_examples=60)
def test_what_always_holds(scores):
    found = ranking(scores)
    assert sorted(one.cell for one in found.standings) == [*range(len(scores))]
    assert math.fsum(one.best for one in found.standings) == pytest.approx(1)
    decided = np.array(found.better) <= 0.05
    for one in found.standings:
        assert 1 <= one.rank_low <= one.rank <= one.rank_high <= len(scores)
        assert one.groups
    for a, b in itertools.combinations(range(len(scores)), 2):
        together = any(a in group and b in group for group in found.groups)
        assert together is not bool(decided[a, b] or decided[b, a])
    winner = found.winner
    assert winner.value == max(one.value for one in found.standings)
    if winner.low is not None:
        assert winner.low <= winner.corrected <= winner.value <= winner.high


@given(tables, st.randoms())
@settings(max_examples=40)
def test_the_order_of_cells_does_not_matter(scores, shuffle):
    order = [*range(len(scores))]
    shuffle.shuffle(order)
    found, moved = by_cell(ranking(scores)), by_cell(ranking([scores[cell] for cell in order]))
    for place, cell in enumerate(order):
        one, other = found[cell], moved[place]
        assert (one.rank, one.rank_low, one.rank_high) == (other.rank, other.rank_low, other.rank_high)
        assert (one.value, one.best) == (pytest.approx(other.value), pytest.approx(other.best))


@given(tables)
@settings(max_examples=40)
def test_the_unit_of_scores_does_not_matter(scores):
    found, scaled = ranking(scores), ranking(np.array(scores) * 100 - 7)
    assert [one.rank_low for one in found.standings] == [one.rank_low for one in scaled.standings]
    assert [one.best for one in found.standings] == pytest.approx([one.best for one in scaled.standings])
    if found.winner.low is not None:
        assert scaled.winner.low == pytest.approx(found.winner.low * 100 - 7)
        assert scaled.winner.corrected == pytest.approx(found.winner.corrected * 100 - 7)


def test_with_two_clusters_being_best_is_what_enumeration_says():
    """Resamples are (a,a), (a,b) twice, (b,b): the first cell leads one, ties two, loses one."""
    best = by_cell(ranking([[1, 0], [0, 1]], resamples=20000))[0].best
    assert best == pytest.approx(0.5, abs=0.015)
    best = by_cell(ranking([[3, 0], [0, 1]], resamples=20000))[0].best
    assert best == pytest.approx(0.75, abs=0.015)


def test_one_seed_gives_one_answer():
    scores = drawn(np.random.default_rng(3), [0, 0.1, 0.2], 15)
    assert ranking(scores, seed=1) == ranking(scores, seed=1)
    assert ranking(scores, seed=1).winner != ranking(scores, seed=2).winner


def test_copies_of_a_score_in_its_cluster_add_no_certainty():
    scores = drawn(np.random.default_rng(4), [0, 0.2, 0.5], 20)
    once, tenfold = rank_cells(scores, np.ones_like(scores)), rank_cells(scores * 10, np.full_like(scores, 10))
    assert tenfold.better == tuple(pytest.approx(row) for row in once.better)
    assert tenfold.winner.low == pytest.approx(once.winner.low)


def test_the_winners_interval_is_wider_than_that_of_a_cell_picked_beforehand():
    scores = drawn(np.random.default_rng(5), [0] * 8, 40)
    winner = ranking(scores).winner
    alone = clustered_mean([1] * 40, scores[winner.cell].tolist())
    assert winner.cells == 8
    assert winner.low < alone.low < alone.high < winner.high
    assert f"{winner.value:.4g} as measured" in winner.statement


def test_many_clusters_are_drawn_in_groups_and_answer_alike(monkeypatch):
    scores = drawn(np.random.default_rng(6), [0, 0.02, 0.05], 1500)
    one = ranking(scores, resamples=2000)
    monkeypatch.setattr("assay.stats.ranking.MOST_DRAWN", 300)
    other = ranking(scores, resamples=2000)
    assert other.better == one.better
    assert [standing.best for standing in other.standings] == pytest.approx(
        [standing.best for standing in one.standings], abs=0.06
    )
    assert other.winner.low == pytest.approx(one.winner.low, abs=0.15 * (one.winner.value - one.winner.low))


@pytest.mark.parametrize(
    ("sums", "counts", "words"),
    [
        ([[1, 2]], [[1, 1]], "two cells"),
        ([[1, 2], [1, 2]], [[1, 1]], "one shape"),
        ([[1, 2], [1, math.nan]], [[1, 1], [1, 1]], "finite"),
        ([[1, 2], [1, 2]], [[1, 1], [1, -1]], "negative"),
        ([[1, 2], [1, 2]], [[1, 1], [1, 0]], "without scores"),
        ([[1, 2], [1, 0]], [[1, 1], [1, 0]], "share 1 clusters"),
    ],
)
def test_what_cannot_be_ranked_is_refused(sums, counts, words):
    with pytest.raises(ValueError, match=words):
        rank_cells(sums, counts)


@pytest.mark.parametrize(("means", "clusters"), [([0.0] * 5, 20), ([0, 0, 0.3, 0.6], 60)])
def test_all_ranks_lie_in_their_intervals_at_once_as_often_as_promised(means, clusters):
    generator, runs, held = np.random.default_rng(clusters), 250, 0
    truth = [(1 + sum(other > one for other in means), sum(other >= one for other in means)) for one in means]
    for run in range(runs):
        found = by_cell(ranking(drawn(generator, means, clusters), seed=run, resamples=100))
        held += all(
            found[cell].rank_low <= low and high <= found[cell].rank_high for cell, (low, high) in enumerate(truth)
        )
    assert held / runs >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / runs)


def test_few_clusters_widen_the_winners_interval_as_student_has_it():
    generator, runs, held = np.random.default_rng(21), 500, 0
    for run in range(runs):
        winner = ranking(drawn(generator, [0] * 3, 5), seed=run, resamples=100).winner
        held += winner.low <= 0 <= winner.high
    assert held / runs >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / runs)


@pytest.mark.parametrize(("cells", "clusters"), [(5, 15), (10, 60)])
def test_the_winners_interval_covers_and_its_correction_takes_off_most_of_the_bias(cells, clusters):
    """Equal cells of passes and failures, where picking flatters the most."""
    generator, runs, held, naive, corrected = np.random.default_rng(cells), 250, 0, 0.0, 0.0
    for run in range(runs):
        scores = (drawn(generator, [0] * cells, clusters) > 0).astype(float)
        winner = ranking(scores, seed=run).winner
        held += winner.low <= 0.5 <= winner.high
        naive += (winner.value - 0.5) / runs
        corrected += (winner.corrected - 0.5) / runs
    assert held / runs >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / runs)
    assert abs(corrected) < 0.45 * naive
