"""Near duplicates: is this sample almost word for word one of the demonstrations?

Two texts are compared by the Jaccard similarity of their sets of word 3-shingles (Broder 1997, "On the
resemblance and containment of documents"), words taken as in `assay.data.content`. At 0.8 a question of fifty
words with one number changed is a near duplicate; "the capital of France" and "the capital of Spain" are not.
Not covered: paraphrases and translations.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

from assay.data.content import asked, beside, words
from assay.records import Sample

THRESHOLD = 0.8
_LENGTH = 3

Shingles = frozenset[tuple[str, ...]]


def shingles(found: Sequence[str]) -> Shingles:
    """The set of runs of three words; fewer words are one run of all of them."""
    if len(found) < _LENGTH:
        return frozenset((tuple(found),))
    return frozenset(zip(found, found[1:], found[2:], strict=False))


def resemblance(a: Shingles, b: Shingles) -> float:
    """The share of shingles in common, from 0 to 1 (Jaccard)."""
    common = len(a & b)
    return common / (len(a) + len(b) - common)


def near(a: str, b: str) -> bool:
    """Whether two texts are nearly identical. Symmetric, and true of a text and itself."""
    return resemblance(shingles(words(a)), shingles(words(b))) >= THRESHOLD


def size(parts: Iterable[Sequence[str]]) -> int:
    """How many shingles a sample has, from what it asks."""
    return len(shingles(list(chain.from_iterable(parts))))


class Neighbourhood:
    """A few demonstrations, to be asked about many samples.

    A sample is near a demonstration when what it asks is nearly identical and so are its shown fields.
    """

    def __init__(self, demonstrations: Iterable[Sample], shown: Sequence[str] = ()) -> None:
        self._shown = tuple(shown)
        self._known = [(_asked(sample), self._beside(sample)) for sample in demonstrations]
        self._sizes = [(THRESHOLD * len(known), len(known) / THRESHOLD) for known, _ in self._known]
        self._witnesses = frozenset(chain.from_iterable(_witnesses(known) for known, _ in self._known))

    def _beside(self, sample: Sample) -> Shingles:
        return shingles(beside(sample, self._shown))

    def possible(self, size: int) -> bool:
        """Whether a sample of `size` shingles can be near at all: other sizes cannot overlap enough."""
        return any(low <= size <= high for low, high in self._sizes)

    def near(self, sample: Sample) -> bool:
        """Whether the sample is nearly identical to one of the demonstrations."""
        own = _asked(sample)
        if own.isdisjoint(self._witnesses):
            return False
        return any(
            resemblance(own, known) >= THRESHOLD and resemblance(self._beside(sample), other) >= THRESHOLD
            for known, other in self._known
        )


def _asked(sample: Sample) -> Shingles:
    return shingles(list(chain.from_iterable(asked(sample))))


def _witnesses(known: Shingles) -> Iterable[tuple[str, ...]]:
    """Shingles of which a near duplicate has at least one.

    It lacks at most a share of 1 - THRESHOLD of them, so one more than that cannot all be lacking.
    """
    return sorted(known)[: int((1 - THRESHOLD) * len(known) + 1e-9) + 1]
