"""Regular expressions that cannot hang a run.

Python's `re` cannot be stopped: `(a+)+$` against forty letters runs for hours, holds the interpreter lock,
and the text it runs on is whatever a model wrote. The third-party `regex` package takes the same patterns and
a time limit. A search that reaches the limit has no result, so it ends as a ScorerError and never as a wrong
answer.
"""

from __future__ import annotations

import functools
import re
from collections import deque
from typing import TYPE_CHECKING

from assay.errors import ScorerError
from assay.scoring.options import shown

if TYPE_CHECKING:
    from regex import Match, Pattern

SECONDS = 0.25
"""How long one search may take. An honest one takes microseconds."""

LONGEST_TEXT = 200_000
LONGEST_PATTERN = 2_000
LARGEST = 100_000
"""How large a pattern may be with its counted repetitions written out, as `regex` does when it compiles."""

_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*+\]|\{(?P<count>\d{1,9})(?:,(?P<most>\d{0,9}))?\}|.", re.DOTALL)
FLAGS = {"i": "IGNORECASE", "m": "MULTILINE", "s": "DOTALL", "x": "VERBOSE"}


@functools.lru_cache(maxsize=256)
def compiled(pattern: str, flags: str = "") -> Pattern[str]:
    """The pattern, ready for `search`. Raises ValueError that says why it is no pattern."""
    import regex

    if len(pattern) > LONGEST_PATTERN:
        raise ValueError(f"longer than {LONGEST_PATTERN} characters")
    if _size(pattern) > LARGEST:
        raise ValueError(f"its repetitions multiply to more than {LARGEST:,} steps")
    try:
        options = [getattr(regex, FLAGS[flag]) for flag in flags]
        return regex.compile(pattern, functools.reduce(lambda one, other: one | other, options, regex.VERSION0))
    except (regex.error, RecursionError, OverflowError) as error:
        raise ValueError(str(error)) from None


def _size(pattern: str) -> int:
    """How many parts the pattern has when each `{n}` is written out."""
    sizes, last = [0], 1
    for token in _TOKEN.finditer(pattern):
        if token[0] == "(":
            sizes.append(0)
        elif token["count"]:
            times = int(token["most"] or token["count"])
            sizes[-1] += last * (times - 1)
            last *= times
        else:
            last = max(1, sizes.pop()) if token[0] == ")" and len(sizes) > 1 else 1
            sizes[-1] += last
    return sum(sizes)


def search(pattern: Pattern[str], text: str, *, last: bool = False) -> Match[str] | None:
    """The first (or last) match of a compiled pattern, or None. Raises ScorerError at a limit."""
    if len(text) > LONGEST_TEXT:
        raise ScorerError(f"a text of {len(text):,} characters is too long to search; at most {LONGEST_TEXT:,}")
    try:
        if not last:
            return pattern.search(text, timeout=SECONDS)
        found = deque(pattern.finditer(text, timeout=SECONDS), maxlen=1)
        return found[0] if found else None
    except TimeoutError:
        raise ScorerError(
            f"the pattern {shown(pattern.pattern)} took over {SECONDS} s on {len(text):,} characters"
        ) from None
