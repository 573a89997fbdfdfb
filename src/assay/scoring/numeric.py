"""`numeric`: the number that the completion gives as its answer is the target, as in GSM8K.

`accuracy` is lenient. It takes the first of these that the completion has:

1. the number right after the first `####` (GSM8K's mark);
2. the number in the last `\\boxed{…}`;
3. in the sentence after the last "answer is", "answer:" or "answer =": the number after its last "=", or else
   its first number;
4. the last number of the completion.

`accuracy_strict` takes only the first: without `####` it is wrong. `extracted` says whether `accuracy` found
a number at all. Where the token limit cut the completion, its last number is an interim result and not an
answer, and a number that touches the cut may lack digits: rule 4 does not apply then, nor does any rule to
such a number.

How numbers are written: `assay.scoring.quantity`. They compare exactly; 18, 18.0 and $18.00 are equal.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any, ClassVar, Literal

from assay.errors import ScorerError
from assay.records import Completion, Sample, Score
from assay.scoring import quantity
from assay.scoring.answers import cut, unanswered
from assay.scoring.base import Metric, Scorer
from assay.scoring.options import Options, shown
from assay.scoring.quantity import Exact, Quantity

_MARK = re.compile(r"####[ \t]*")
_BOXED = re.compile(r"\\boxed\{[ \t]*")
_CUE = re.compile(r"\banswer[ \t*_]*(?:is\b|[:=])[ \t\n*_:]*", re.IGNORECASE)
_SENTENCE_END = re.compile(r"\n|[.!?](?=\s|$)")


def _marked(text: str) -> Quantity | None:
    for mark in _MARK.finditer(text):
        if found := quantity.at(text, mark.end()):
            return found
    return None


def _boxed(text: str) -> Quantity | None:
    start = text.rfind("\\boxed{")
    mark = _BOXED.match(text, start) if start >= 0 else None
    return quantity.at(text, mark.end()) if mark else None


def _cued(text: str) -> Quantity | None:
    if "answer" not in text.lower():
        return None
    cues = deque(_CUE.finditer(text), maxlen=1)
    if not cues:
        return None
    cue = cues[0]
    end = _SENTENCE_END.search(text, cue.end())
    stop = end.start() if end else len(text)
    equals = text.rfind("=", cue.end(), stop)
    start = max(cue.end(), equals + 1)
    return next(quantity.all_in(text, start, stop), None) or next(quantity.all_in(text, cue.end(), stop), None)


def _whole(found: Quantity | None, text: str, was_cut: bool) -> Quantity | None:
    """`found`, unless the cut may have taken some of its digits."""
    return None if found and was_cut and not text[found.end :].strip(".,/") else found


def answers(text: str, was_cut: bool = False) -> tuple[Quantity | None, Quantity | None]:
    """The marked answer of a completion, and its answer by the lenient rules."""
    text = quantity.plain(text)
    marked = _whole(_marked(text), text, was_cut)
    if marked:
        return marked, marked
    found = _whole(_boxed(text), text, was_cut) or _whole(_cued(text), text, was_cut)
    return None, found or (None if was_cut else quantity.last(text))


@lru_cache(maxsize=4096)
def reference(target: str) -> Exact | None:
    """The number that a target gives: after `####`, or its only number. None where that is not just one."""
    text = quantity.plain(target)
    mark = _MARK.search(text)
    if mark:
        found = quantity.at(text, mark.end())
        return found.value if found else None
    values = {found.value for found in quantity.all_in(text)}
    return values.pop() if len(values) == 1 else None


@dataclass(frozen=True, slots=True)
class Numeric:
    """Compares numbers; `tolerance` is how far the answer may be from the target, ends included."""

    revision: str
    tolerance: Fraction
    name: ClassVar[str] = "numeric"
    needs: ClassVar[Literal["text"]] = "text"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("accuracy", help="the answer's number, wherever it stands, is the target's"),
        Metric("accuracy_strict", help="the number after #### is the target's"),
        Metric("extracted", help="a number was found to judge"),
    )

    def score(self, sample: Sample, completion: Completion) -> Score:
        """Raises ScorerError where the sample's target does not give exactly one number."""
        wanted = reference(sample.target)
        if wanted is None:
            raise ScorerError(f"sample {sample.id!r}: the target {shown(sample.target)} does not give one number")
        if why := unanswered(completion):
            return _score(None, False, False, why)
        marked, found = answers(completion.text, completion.finish == "length")
        if found is None or found.value is None:
            return _score(None, False, False, f"no number was found as the answer{cut(completion)}")
        right = self._same(found.value, wanted)
        relation = "is" if right else "is not"
        how = "" if marked else " (found without ####)"
        why = f"{found.text} {relation} {wanted}{how}" + ("" if right else cut(completion))
        return _score(found.text, right, right and marked is not None, why)

    def _same(self, found: Exact, wanted: Exact) -> bool:
        return found == wanted or abs(Fraction(found - wanted)) <= self.tolerance


def _score(extracted: str | None, right: bool, strict: bool, why: str) -> Score:
    metrics = {"accuracy": right, "accuracy_strict": strict, "extracted": extracted is not None}
    return Score(metrics, extracted, why)


def _is_tolerance(given: Any) -> bool:
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        return False
    try:
        return Fraction(str(given)) >= 0
    except (ValueError, ZeroDivisionError):
        return False


def numeric(options: Mapping[str, Any]) -> Scorer:
    """Options: `tolerance` (0): a number; "0.01" and 0.01 are the same and mean exactly one hundredth."""
    given = Options("numeric", options)
    tolerance = given.value("tolerance", 0, _is_tolerance, "a number that is not negative")
    return Numeric(given.done("1"), Fraction(str(tolerance)))
