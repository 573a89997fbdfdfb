"""Whether a text can be somebody's answer: printable, made of words, not going round in circles. Pure functions."""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Sequence

ORDER = 4
_TOKEN = re.compile(r"\w+|[^\w\s]|\n")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_FEW = 12

_COMMON = """
a about after all also always an and any are as at be because been before but by can could day did do does each
even every find first for from get give go good great had has have he help her here him his how i if in into is
it its just know like little long look made make many may me more most much must my new no not now of often on
one only or other our out over own people place put say see she should small so some such take than that the
their them then there these they thing things this those three time to too two up us use used very was water way
we well were what when where which while who why will with word would year you your
"""
COMMON_WORDS = frozenset(_COMMON.split())
"""Words that hold English sentences together: in plain prose close to half of all words."""


def printable(text: str) -> float | None:
    """The share of characters that are letters, marks, numbers, punctuation, symbols or spaces; None without any."""
    if not text:
        return None
    bad = sum(mark == "\ufffd" or (unicodedata.category(mark)[0] == "C" and mark not in "\n\t\r") for mark in text)
    return 1 - bad / len(text)


def known(texts: Sequence[str]) -> tuple[int, int]:
    """How many words of the texts are common English ones, and how many words there are."""
    words = [word.casefold() for text in texts for word in _WORD.findall(text)]
    return sum(word in COMMON_WORDS for word in words), len(words)


def repetition(text: str) -> float | None:
    """The share of runs of four words, signs or ends of line that were there before.

    After seq-rep-4 of Welleck et al. (2020), arXiv:1908.04319.

    0 says everything once, 1 the same for ever. Where there are hardly any words (one sign over and over, or a script
    without spaces) characters stand for words. None for a text too short to repeat itself.
    """
    parts: Sequence[str] = _TOKEN.findall(text)
    if len(parts) < _FEW:
        parts = [mark for mark in text if not mark.isspace()]
    if len(parts) < _FEW:
        return None
    runs = [tuple(parts[at : at + ORDER]) for at in range(len(parts) - ORDER + 1)]
    return 1 - len(set(runs)) / len(runs)


def compression(text: str) -> float | None:
    """The size of the text compressed by zlib, as a share of itself: about 0.6 for short prose; None without any."""
    data = text.encode(errors="replace")
    return len(zlib.compress(data, 9)) / len(data) if data else None
