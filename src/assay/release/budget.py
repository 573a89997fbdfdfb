"""Whether a release's budget reaches for one more candidate: from the records of what was done, so the same again."""

from __future__ import annotations

from collections.abc import Mapping

from assay.release.spec import ReleaseBudget
from assay.release.stages.base import Record

_ASKING = ("evaluate", "screen")


def spent(budget: ReleaseBudget, records: Mapping[str, Record], name: str, begun: str | None = None) -> str | None:
    """Why there is nothing left for a candidate that was not begun; None where there is.

    `begun`: the key of the stage that shows that it was, of a candidate that comes back; by default any of its stages.
    """
    if begun in records or (begun is None and any(record.point == name for record in records.values())):
        return None
    seconds = sum(record.seconds for record in records.values())
    if budget.seconds is not None and seconds >= budget.seconds:
        return f"the budget of {budget.seconds:g} seconds is spent"
    asked = [int(record.facts.get("attempts", 0)) for record in records.values() if record.stage in _ASKING]
    one = max(asked, default=0)
    if budget.attempts is not None and sum(asked) + one > budget.attempts:
        return f"{sum(asked):,} of the budget of {budget.attempts:,} attempts are spent, and it takes {one:,} more"
    return None
