"""How many parameters a model has, as its name says."""

from __future__ import annotations

import re

from assay.models.base import Size

_TAG = re.compile(r"(?<![A-Za-z0-9.])(?:(\d{1,3})x)?(\d{1,4}(?:\.\d{1,3})?)([bmt])(?![A-Za-z0-9])", re.IGNORECASE)
_UNIT = {"m": 10**6, "b": 10**9, "t": 10**12}


def parameters_in(name: str) -> int | None:
    """The parameters that a name's tag says: `-7B`, `:0.5b`, `135M`, `8x7B` (56 billion: an upper bound).

    None where the name has no tag. Of several, the largest: `32B-A3B` needs the memory of 32.
    """
    counts = [
        round(int(times or 1) * float(number) * _UNIT[unit.lower()]) for times, number, unit in _TAG.findall(name)
    ]
    return max(counts, default=None)


def size_by_name(name: str) -> Size | None:
    """The size that a name's tag says, where it has one; what it needs in memory is not known."""
    count = parameters_in(name)
    return None if count is None else Size(count, None, f"the tag in the name {name!r}")
