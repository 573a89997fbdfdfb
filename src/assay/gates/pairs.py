"""Two cells joined by sample and epoch. What has no partner is named, never dropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.gates.evidence import CellEvidence, Floats, Whole


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Attempts of two cells at the same sample in the same epoch, in order of sample id.

    `left` and `right` are the places of a pair's two attempts in the baseline's and the candidate's arrays; `label`
    numbers its cluster. `only_left` and `only_right` are the ids of samples of which one side has attempts that the
    other has not.
    """

    baseline: CellEvidence
    candidate: CellEvidence
    left: Whole
    right: Whole
    label: Whole
    clustered: bool
    only_left: tuple[str, ...]
    only_right: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.left)

    @property
    def cluster(self) -> Whole | None:
        """The cluster of each pair; None where each pair is one."""
        return self.label if self.clustered else None

    def values(self, metric: str) -> tuple[Floats, Floats]:
        """A metric's values, one a pair; NaN where a side has none."""
        return _taken(self.baseline, metric, self.left), _taken(self.candidate, metric, self.right)

    def sample(self, place: int) -> str:
        """The sample id of a pair."""
        return self.baseline.samples[int(self.baseline.position[self.left[place]])]

    def epoch(self, place: int) -> int:
        """The epoch of a pair."""
        return int(self.baseline.epoch[self.left[place]])

    def categories(self) -> NDArray[np.str_] | None:
        """The category of each pair; None where the samples have none."""
        if self.baseline.categories is None:
            return None
        return np.array(self.baseline.categories)[self.baseline.position[self.left]]


def _taken(cell: CellEvidence, metric: str, places: Whole) -> Floats:
    values = cell.values.get(metric)
    return np.full(len(places), np.nan) if values is None else values[places]


def join(baseline: CellEvidence, candidate: CellEvidence) -> Pairs:
    """Pair up what both have. An attempt that is there twice is taken once; the accounting checks name it."""
    known = {sample: number for number, sample in enumerate(dict.fromkeys((*baseline.samples, *candidate.samples)))}
    left, right = _keys(baseline, known), _keys(candidate, known)
    sorted_left, sorted_right = (np.sort(keys) for keys in (left, right))
    once = np.argsort(left, kind="stable")[np.r_[True, sorted_left[1:] != sorted_left[:-1]][: len(left)]]
    at_left = once[_held(sorted_right, left[once])]
    order = np.argsort(right, kind="stable")
    at_right = order[np.searchsorted(sorted_right, left[at_left])]
    names = list(known)
    lonely = (left[~_held(sorted_right, left)], right[~_held(sorted_left, right)])
    missing = [tuple(names[number] for number in np.unique(keys % len(known)).tolist()) for keys in lonely]
    order = _by_name(baseline, at_left)
    at_left, at_right = at_left[order], at_right[order]
    label, clustered = _labels(baseline, at_left)
    return Pairs(baseline, candidate, at_left, at_right, label, clustered, missing[0], missing[1])


def _held(ordered: Whole, keys: Whole) -> NDArray[np.bool_]:
    """Which of `keys` are among the ordered ones."""
    if not len(ordered):
        return np.zeros(len(keys), dtype=bool)
    places = np.minimum(np.searchsorted(ordered, keys), len(ordered) - 1)
    return np.asarray(ordered[places] == keys)


def _keys(cell: CellEvidence, known: dict[str, int]) -> Whole:
    """One number for each attempt: of its epoch and its sample."""
    numbers = np.array([known[sample] for sample in cell.samples], dtype=np.int64)
    if not cell.finished:
        return np.zeros(0, dtype=np.int64)
    found: Whole = cell.epoch * len(known) + numbers[cell.position]
    return found


def _by_name(cell: CellEvidence, places: Whole) -> Whole:
    """By sample id and epoch, so that the order in which samples stand in a file decides nothing."""
    rank = np.empty(len(cell.samples), dtype=np.int64)
    rank[sorted(range(len(cell.samples)), key=cell.samples.__getitem__)] = np.arange(len(cell.samples))
    return np.lexsort((cell.epoch[places], rank[cell.position[places]])) if len(places) else places


def _labels(cell: CellEvidence, places: Whole) -> tuple[Whole, bool]:
    """The cluster of each pair, and whether any holds more than one."""
    position = cell.position[places]
    label = position if cell.clusters is None else _numbered(cell.clusters)[position]
    return label, bool(np.bincount(label, minlength=1).max() > 1)


def _numbered(labels: Sequence[str]) -> Whole:
    known: dict[str, int] = {}
    return np.array([known.setdefault(label, len(known)) for label in labels], dtype=np.int64)
