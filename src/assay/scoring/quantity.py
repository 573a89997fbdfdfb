"""Numbers as people write them, read exactly: `$1,234.50`, `−3`, `3/4`, `2 1/2`, `½`, `50%`, `1.5e3`.

Currency and per cent signs are units and set aside, so 50% is 50. A minus counts as a sign where nothing
stands before it that it could be subtracted from: "5-3" holds 5 and 3, "= -3" holds -3. Values are int or
Fraction and never float, so that a comparison does not depend on rounding. Not read: number words, powers
such as 10^3, roots.
"""

from __future__ import annotations

import re
import unicodedata
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

Exact = int | Fraction

LONGEST = 400
"""Longer numerals have no value here: none is an answer, and reading them takes time quadratic in their
length."""

_NUMBER = re.compile(
    r"(?:(?<![\w.)\]}%])(?P<sign>[-+−﹣－–]))?"
    r"(?:[$€£¥₹][ ]?(?P<inner>[-−])?)?"
    r"(?<![^\W_])(?<!\d\.)"
    r"(?:(?P<whole>\d+)[ ](?=\d+/\d))?"
    r"(?:(?P<digits>\d{1,3}(?:,\d{2,3}){0,40},\d{3}(?!\d)|\d+)(?P<decimals>\.\d+)?|(?P<point>\.\d+))"
    r"(?P<power>[eE][-+]?\d{1,3}(?!\w))?"
    r"(?P<below>/\d+(?![\w/]))?"
)
_VULGAR = re.compile(r"[¼½¾⅐-⅞]")
_THIN_SPACE = re.compile(r"(?<=\d)[\u00a0\u2009\u202f](?=\d{3}(?!\d))")
_LATEX_SPACE = re.compile(r"\\[,!;: ]|(?<=\d)\{(?=,\})|(?<=,)\}(?=\d)")
_LATEX_FRACTION = re.compile(r"\\[dt]?frac\{(\d{1,50})\}\{(\d{1,50})\}")
_MINUS = "-−﹣－–"


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number found in a text: as written, its exact value (None where it has none), and where it ends."""

    text: str
    value: Exact | None
    end: int


def plain(text: str) -> str:
    """`text` with the numbers that need it rewritten in plain digits: ½, 1 000 with thin spaces, LaTeX."""
    if "\\" in text:
        text = _LATEX_FRACTION.sub(r"\1/\2", _LATEX_SPACE.sub("", text)).replace("\\$", "$")
    if not text.isascii():
        text = _VULGAR.sub(_vulgar, _THIN_SPACE.sub("", text))
    return text


def _vulgar(match: re.Match[str]) -> str:
    fraction = unicodedata.normalize("NFKC", match[0]).replace("⁄", "/")
    return f" {fraction}" if match.start() and match.string[match.start() - 1].isdigit() else fraction


def all_in(text: str, start: int = 0, stop: int | None = None) -> Iterator[Quantity]:
    """Every number in `text[start:stop]`, in order. Time is linear in the text."""
    for match in _NUMBER.finditer(text, start, len(text) if stop is None else stop):
        yield _read(match)


def at(text: str, start: int) -> Quantity | None:
    """The number that begins exactly at `start`."""
    match = _NUMBER.match(text, start)
    return _read(match) if match else None


def last(text: str) -> Quantity | None:
    """The last number of a text, found from its end."""
    stop = len(text)
    while stop > 0:
        start = text.rfind("\n", 0, stop) + 1
        found = deque(_NUMBER.finditer(text, start, stop), maxlen=1)
        if found:
            return _read(found[0])
        stop = start - 1
    return None


def _read(match: re.Match[str]) -> Quantity:
    written = match[0].rstrip()
    return Quantity(written, _value(match) if len(written) <= LONGEST else None, match.end())


def _value(match: re.Match[str]) -> Exact | None:
    digits, decimals, power = match["digits"], match["decimals"], match["power"]
    numeral = (digits or "").replace(",", "") + (decimals or match["point"] or "") + (power or "")
    value: Exact = int(numeral) if numeral.isdigit() else Fraction(numeral)
    if match["below"]:
        below = int(match["below"][1:])
        if below == 0:
            return None
        value = Fraction(value) / below
    if match["whole"]:
        value += int(match["whole"])
    return -value if (match["sign"] or match["inner"] or "+") in _MINUS else value
