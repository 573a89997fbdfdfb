"""Scorers by name. The built-in ones and those of other packages come from the entry-point group
`assay.scorers`; a scorer's module is imported when it is made, not before.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from assay.errors import AssayError, ConfigError, MachineError, Problem
from assay.scoring.base import Scorer
from assay.scoring.options import nearest

GROUP = "assay.scorers"


@cache
def _installed() -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        other = found.setdefault(point.name, point)
        if other.value != point.value:
            raise ConfigError(f"two packages offer a scorer named {point.name!r}: {other.value}, {point.value}")
    return found


def names() -> tuple[str, ...]:
    """Every scorer that is installed, in alphabetical order."""
    return tuple(sorted(_installed()))


def make(mode: str, options: Mapping[str, Any]) -> Scorer:
    """The scorer named `mode` with these options.

    Raises ConfigError for an unknown name, an unknown option or a bad value, and MachineError where the
    scorer cannot be had on this machine.
    """
    point = _installed().get(mode)
    if point is None:
        raise ConfigError(
            Problem(
                f"there is no scorer named {mode!r}",
                key="scoring_mode",
                allowed=", ".join(names()),
                nearest=nearest(mode, names()),
            )
        )
    scorer = _load(point)(options)
    if not isinstance(scorer, Scorer):
        raise MachineError(f"{point.value} returned no scorer but {type(scorer).__name__}", layer="plug-in")
    return scorer


def _load(point: EntryPoint) -> Any:
    try:
        return point.load()
    except AssayError:
        raise
    except Exception as error:
        raise MachineError(
            f"the scorer {point.name!r} ({point.value}) cannot be loaded: {error}", layer="plug-in"
        ) from error
