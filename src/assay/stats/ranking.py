"""Ranking cells of a board: who may be best, which cells cannot be told apart, how much of the best is luck.

Every cell has answered the same clusters (scenarios, or whatever is independent). Only sums and counts by cluster
enter, so that millions of scores cost no more than their clusters. All comparisons are paired: they rest on the
clusters that every cell has scores in (`shared`); others are counted as `excluded`, never filled in.

- A cell's score is its mean over the shared clusters, as in assay.stats.intervals.clustered_mean.
- Two cells differ if a paired, clustered t test says so, Holm-adjusted over all ordered pairs (Holm 1979).
- The interval of a rank follows from those tests: 1 + cells that are better, to all - cells that are worse. All ranks
  lie in theirs at once with the confidence given (Mogstad, Romano, Shaikh and Wilhelm 2024, *Inference for ranks*; the
  bootstrap's own quantiles of a rank fail where cells are nearly equal: Hall and Miller 2009).
- The probability of being best is the share of bootstrap resamples of clusters in which the cell leads, ties shared. It
  describes and does not decide: where one cell leads in every cluster it is 1, however few they are.
- The best of many is so by luck, too (the winner's curse). Its estimate is corrected by what the leader of a resample
  gains on its own mean (the bootstrap estimate of bias: Efron and Tibshirani 1993, chapter 10; for the best of
  several: Tibshirani and Tibshirani 2009). That takes off most of the bias, not all. Its interval is simultaneous over
  all cells (the largest deviation of any, in standard errors), so that it holds whichever is picked: the projection
  interval of Andrews, Kitagawa and McCloskey 2024, *Inference on winners*. Their conditional one is shorter, but breaks
  down where the best two are equal, which rates of few samples often are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from assay.stats.bootstrap import RESAMPLES, Units, check
from assay.stats.multiple import holm
from assay.stats.special import normal_quantile, t_tail, t_two_sided

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Whole = NDArray[np.int64]

Table = Sequence[Sequence[float]] | Any
"""One row a cell, one column a cluster; or an array of that shape."""

MOST_DRAWN = 2000
"""Of more clusters than this, random groups are resampled: as many, and of equal size but for one cluster."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One cell's place. `rank` counts from 1 (equal scores share the better one) and may be any from `rank_low` to
    `rank_high`; `best` is the probability of leading; `groups` are the numbers of the groups that it belongs to;
    `value` is its mean over the shared clusters.
    """

    cell: int
    value: float
    rank: int
    rank_low: int
    rank_high: int
    best: float
    groups: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Winner:
    """The best of `cells`: its mean as measured, and corrected for having been picked as the best.

    `low` and `high` hold the true mean of the cell that was picked with the confidence given; `corrected`,
    `low` and `high` are None where its scores do not vary. `statement` says so in words.
    """

    cell: int
    cells: int
    value: float
    corrected: float | None
    low: float | None
    high: float | None
    confidence: float
    statement: str


@dataclass(frozen=True, slots=True)
class Ranking:
    """`standings` from the best to the worst, ties in the order of cells; `groups` of cells no two of which can be told
    apart, such that any two that cannot share at least one; p-values of "row is better than column", Holm-adjusted.
    """

    standings: tuple[Standing, ...]
    groups: tuple[tuple[int, ...], ...]
    better: tuple[tuple[float, ...], ...]
    winner: Winner
    shared: int
    excluded: int
    confidence: float


def cluster_sums(
    cell: Sequence[int] | Any, cluster: Sequence[int] | Any, score: Sequence[float] | Any, cells: int, clusters: int
) -> tuple[Floats, Floats]:
    """The sums and the counts of scores by cell and cluster, each of shape (cells, clusters), from one entry a score.

    What is missing is simply not there. Raises ValueError where a score is not finite or an index out of range.
    """
    import numpy as np

    rows, columns, values = np.asarray(cell), np.asarray(cluster), np.asarray(score, dtype=np.float64)
    if not rows.shape == columns.shape == values.shape or rows.ndim != 1:
        raise ValueError("cell, cluster and score are rows of one length")
    if not np.isfinite(values).all():
        raise ValueError("a score is not finite; leave out what is missing")
    for index, size, what in ((rows, cells, "cell"), (columns, clusters, "cluster")):
        if len(index) and (index.dtype.kind not in "iu" or index.min() < 0 or index.max() >= size):
            raise ValueError(f"a {what} is a whole number from 0 to {size - 1}")
    place = rows.astype(np.int64) * clusters + columns.astype(np.int64)
    sums: Floats = np.bincount(place, weights=values, minlength=cells * clusters).astype(np.float64)
    counts: Floats = np.bincount(place, minlength=cells * clusters).astype(np.float64)
    return sums.reshape(cells, clusters), counts.reshape(cells, clusters)


def rank_cells(
    sums: Table, counts: Table, *, confidence: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> Ranking:
    """Rank cells by their means; higher is better. `sums[cell][cluster]` adds up `counts[cell][cluster]` scores.

    A count of 0 is a missing cluster. Raises ValueError for fewer than two cells, fewer than two clusters that
    all cells share, and sums or counts that are none.
    """
    import numpy as np

    check(confidence, resamples)
    totals, sizes, excluded = _shared(sums, counts)
    means = totals.sum(axis=1) / sizes.sum(axis=1)
    influence = _influence(totals, sizes, means)
    better = _holm(_p_values(means, influence))
    decided = better <= 1 - confidence
    groups = _groups(means, decided)
    errors = np.sqrt((influence**2).sum(axis=1))
    draws = _draws(*_in_groups(totals, sizes, seed), errors, confidence, resamples, seed)
    standings = _standings(means, decided, draws.leads, groups)
    winner = _winner(means, errors, draws, confidence)
    table = tuple(tuple(row) for row in better.tolist())
    return Ranking(standings, groups, table, winner, totals.shape[1], excluded, confidence)


def _shared(sums: Table, counts: Table) -> tuple[Floats, Floats, int]:
    import numpy as np

    totals, sizes = np.asarray(sums, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    if totals.ndim != 2 or totals.shape != sizes.shape or len(totals) < 2:
        raise ValueError(f"sums and counts have one shape of at least two cells, not {totals.shape} and {sizes.shape}")
    if not ((np.abs(totals) <= 1e100).all() and (sizes >= 0).all() and (sizes <= 1e100).all()):
        raise ValueError("a sum or count is not finite (or beyond 1e100), or a count is negative")
    if (totals[sizes == 0] != 0).any():
        raise ValueError("a cluster without scores has a sum")
    kept = (sizes > 0).all(axis=0)
    if kept.sum() < 2:
        raise ValueError(f"all cells share {kept.sum()} clusters; ranks need at least two")
    return totals[:, kept], sizes[:, kept], int((~kept).sum())


def _influence(totals: Floats, sizes: Floats, means: Floats) -> Floats:
    """What each cluster adds to the error of each mean, scaled so that I @ I.T is the means' covariance."""
    clusters = totals.shape[1]
    found: Floats = (totals - means[:, None] * sizes) / sizes.sum(axis=1, keepdims=True)
    found *= math.sqrt(clusters / (clusters - 1))
    return found


def _p_values(means: Floats, influence: Floats) -> Floats:
    """One-sided p-values of "row is better than column", at least 2 to the minus (clusters - 1).

    That is the smallest a sign-flip test of so few clusters gives. It also answers for differences that are the same in
    every cluster, whose variance of zero would be taken for certainty.
    """
    import numpy as np

    size, clusters = influence.shape
    floor = 2.0 ** (1 - clusters)
    found = np.ones((size, size))
    covariance = influence @ influence.T
    for one in range(size):
        gaps = means[one] - means
        errors = np.sqrt(np.maximum(covariance[one, one] + covariance.diagonal() - 2 * covariance[one], 0.0))
        for other in np.flatnonzero(gaps > 1e-12 * max(float(np.abs(means).max()), 1e-300)).tolist():
            steady = errors[other] <= 1e-12 * gaps[other]
            tail = 0.0 if steady else t_tail(float(gaps[other] / errors[other]), clusters - 1)
            found[one, other] = max(floor, tail)
    return found


def _holm(p: Floats) -> Floats:
    """Adjusted over all ordered pairs,; the diagonal is 1."""
    import numpy as np

    off = ~np.eye(len(p), dtype=bool)
    found = np.ones(p.shape)
    found[off] = [one.adjusted for one in holm(p[off].tolist())]
    return found


def _groups(means: Floats, decided: Any) -> tuple[tuple[int, ...], ...]:
    """Cliques that cover every pair of cells that cannot be told apart, best cells first (a compact letter display;
    Piepho 2004; as a clique cover, Gramm and others 2007). Greedy: each uncovered pair opens a group that takes
    in, by rank, whoever cannot be told apart from all its members.
    """
    import numpy as np

    order = np.argsort(-means, kind="stable").tolist()
    alike = ~(decided | decided.T)
    open_ = alike.copy()
    found: list[tuple[int, ...]] = []
    for place, one in enumerate(order):
        for other in order[place:]:
            if not open_[one, other] or (one == other and alike[one].sum() > 1):
                continue
            members = {one, other}
            for cell in order:
                if alike[cell, [*members]].all():
                    members.add(cell)
            group = tuple(cell for cell in order if cell in members)
            open_[np.ix_(group, group)] = False
            found.append(group)
    return tuple(found)


def _in_groups(totals: Floats, sizes: Floats, seed: int) -> tuple[Floats, Floats]:
    """The sums as they are or, of very many clusters, of random groups of them, which vary as much and are fewer."""
    import numpy as np

    clusters = totals.shape[1]
    if clusters <= MOST_DRAWN:
        return totals, sizes
    order = np.random.default_rng(seed).permutation(clusters)
    starts = np.linspace(0, clusters, MOST_DRAWN, endpoint=False).astype(np.int64)
    return np.add.reduceat(totals[:, order], starts, axis=1), np.add.reduceat(sizes[:, order], starts, axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class _Draws:
    """What resampling clusters shows: how often each cell leads (ties share), by how much the leader of a resample
    flatters itself on average, and within how many standard errors all means lie at once.
    """

    leads: Floats
    optimism: float
    reach: float


def _draws(totals: Floats, sizes: Floats, errors: Floats, confidence: float, resamples: int, seed: int) -> _Draws:
    import numpy as np

    means = totals.sum(axis=1) / sizes.sum(axis=1)
    usable = errors > 1e-12 * max(float(np.abs(means).max()), 1e-300)
    leads, flattery, furthest = np.zeros(len(totals)), 0.0, []
    for drawn in Units.alone(totals.shape[1]).draws(resamples, seed):
        found = (drawn @ totals.T) / (drawn @ sizes.T)
        top = found.max(axis=1, keepdims=True)
        first = found >= top - 1e-12 * np.maximum(np.abs(top), 1e-300)
        shares = first / first.sum(axis=1, keepdims=True)
        leads += shares.sum(axis=0)
        flattery += float((shares * (found - means)).sum())
        apart = np.abs(found - means)[:, usable] / errors[usable]
        furthest.append(apart.max(axis=1, initial=0.0))
    ordered = np.sort(np.concatenate(furthest))
    reach = float(ordered[min(math.ceil(confidence * (resamples + 1)), resamples) - 1])
    # Resampling gives normal tails; few clusters have Student's.
    single, student = normal_quantile(0.5 + confidence / 2), t_two_sided(confidence, totals.shape[1] - 1)
    return _Draws(leads / resamples, flattery / resamples, max(student, reach * student / single))


def _standings(means: Floats, decided: Any, best: Floats, groups: tuple[tuple[int, ...], ...]) -> tuple[Standing, ...]:
    import numpy as np

    order = np.argsort(-means, kind="stable").tolist()
    return tuple(
        Standing(
            cell,
            float(means[cell]),
            1 + int((means > means[cell]).sum()),
            1 + int(decided[:, cell].sum()),
            len(means) - int(decided[cell].sum()),
            float(best[cell]),
            tuple(number for number, group in enumerate(groups, 1) if cell in group),
        )
        for cell in order
    )


def _winner(means: Floats, errors: Floats, draws: _Draws, confidence: float) -> Winner:
    import numpy as np

    cell, cells = int(np.argmax(means)), len(means)
    value, error = float(means[cell]), float(errors[cell])
    if error <= 1e-12 * max(abs(value), 1e-300):
        words = f"best of {cells}: {value:.4g} as measured; its scores do not vary, so no correction can be estimated"
        return Winner(cell, cells, value, None, None, None, confidence, words)
    low, high = value - draws.reach * error, value + draws.reach * error
    corrected = max(low, value - max(0.0, draws.optimism))
    words = (
        f"best of {cells}: {value:.4g} as measured, {corrected:.4g} corrected for having been picked as the best "
        f"(bootstrap); {100 * confidence:g} % interval that holds whichever is picked: {low:.4g} to {high:.4g}"
    )
    return Winner(cell, cells, value, corrected, low, high, confidence, words)
