"""`imported.json`: where the results of another tool come from, and which numbers that tool itself reports.

Results hold each reported number against the samples that stand beside it; where there are none, the reported number is
all there is, and the cell is marked so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

from assay.errors import EvidenceError
from assay.files import read_json
from assay.plan.plan import Plan, ScorerPlan

SCHEMA = "assay.imported.v1"
NAME = "imported.json"
_ROUNDED = 3
"""Fewer decimals than these are taken as the number itself, not as one that was rounded for showing."""

_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Reported:
    """A number that the tool reports of a metric of a cell, with its count and standard error where it gives them.

    `mean`: whether it is said to be the mean of the cell's values, so that they must give it again; `why` says why
    not. `counted` says how the count was found where the tool does not give it.
    """

    cell: int
    metric: str
    value: float
    n: int | None = None
    stderr: float | None = None
    mean: bool = True
    why: str = ""
    counted: str = ""


@dataclass(frozen=True, slots=True)
class Origin:
    """Which tool's results these are. `sources`: name, sha256 and bytes of each file that was read."""

    format: str
    tool: str
    version: str
    sources: tuple[Mapping[str, Any], ...]
    reported: tuple[Reported, ...]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The content of the file."""
        return {"schema": SCHEMA, **asdict(self)}

    @property
    def label(self) -> dict[str, Any]:
        """What results say of it."""
        sources = [{"name": source["name"], "sha256": source["sha256"]} for source in self.sources]
        return {"tool": self.tool, "version": self.version, "format": self.format, "sources": sources}


def read(folder: Path) -> Origin | None:
    """The origin of a run's results; None where they are the run's own. Raises EvidenceError that names the file."""
    path = folder / NAME
    if not path.exists():
        return None
    content = read_json(path, SCHEMA)
    try:
        known = {key: value for key, value in content.items() if key != "schema"}
        known["reported"] = tuple(Reported(**item) for item in known["reported"])
        return Origin(**{**known, "sources": tuple(known["sources"]), "notes": tuple(known["notes"])})
    except (KeyError, TypeError) as error:
        raise EvidenceError(f"{path}: not what an import writes ({error!r})") from None


def differs(reported: float, found: float) -> bool:
    """Whether two numbers are not the same one: beyond the last digits of a float, or of what was rounded."""
    decimals = len(repr(reported).partition("e")[0].partition(".")[2])
    rounded = 0.5000001 * 10.0**-decimals if decimals >= _ROUNDED else 0.0
    return abs(reported - found) > max(rounded, 1e-9 * max(1.0, abs(reported)))


def totals_only(plan: Plan, cell: int) -> bool:
    """Whether only totals are known of a cell."""
    return not plan.tasks[plan.cells[cell].task].samples


def aggregates(folder: Path, plan: Plan) -> dict[int, dict[str, tuple[float, int]]]:
    """For each cell of which only totals are known, its metrics' values and counts; a count of 0 is not known."""
    origin = read(folder)
    found: dict[int, dict[str, tuple[float, int]]] = {}
    for item in origin.reported if origin else ():
        if totals_only(plan, item.cell):
            found.setdefault(item.cell, {})[item.metric] = (item.value, item.n or 0)
    return found


def lines(origin: Origin, cell: int, scorer: ScorerPlan) -> list[dict[str, Any]]:
    """The metrics of a cell of which only totals are known, as results list them."""
    reported = {item.metric: item for item in origin.reported if item.cell == cell}
    listed = [(metric, reported[metric["name"]]) for metric in scorer.metrics if metric["name"] in reported]
    return [_line(metric, item, primary=not number) for number, (metric, item) in enumerate(listed)]


def _line(metric: Mapping[str, Any], item: Reported, *, primary: bool) -> dict[str, Any]:
    low, high = _interval(metric, item)
    return {
        **{key: metric[key] for key in ("name", "kind", "higher_is_better", "help")},
        "primary": primary,
        "value": item.value,
        "low": low,
        "high": high,
        "n": item.n,
        "clusters": None,
        "confidence": _CONFIDENCE,
        "method": "reported standard error" if low is not None else None,
    }


def _interval(metric: Mapping[str, Any], item: Reported) -> tuple[float | None, float | None]:
    """The normal interval of the reported standard error, cut to the metric's scale; none for an error of 0, which
    says that no value differed and not that the mean is known.
    """
    if not item.stderr:
        return None, None
    half = NormalDist().inv_cdf((1 + _CONFIDENCE) / 2) * item.stderr
    low, high = item.value - half, item.value + half
    ends = (0.0, 1.0) if metric["kind"] == "pass" else (metric["low"], metric["high"])
    return (
        low if ends[0] is None else max(low, ends[0]),
        high if ends[1] is None else min(high, ends[1]),
    )


def flags(origin: Origin, plan: Plan, rows: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """What a reader should know: cells with totals only, and reported numbers that the samples do not give."""
    for row in rows:
        if totals_only(plan, row["cell"]):
            message = f"only totals are known, as {origin.tool} reports them: samples cannot be paired"
            yield _flag("aggregate_only", message, row["cell"])
    for item in origin.reported:
        if totals_only(plan, item.cell):
            if item.counted:
                yield _flag(
                    "count_derived", f"the count of {item.metric} is {item.n}, {item.counted}", item.cell, "info"
                )
            continue
        yield from _held_against(origin, item, rows[item.cell])
    for note in origin.notes:
        yield {"level": "info", "code": "import_note", "message": note, "cell": None}


def _held_against(origin: Origin, item: Reported, row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    found = next((metric.get("value") for metric in row["metrics"] if metric["name"] == item.metric), None)
    said = f"{origin.tool} reports {item.metric} {item.value:.6g}"
    if not item.mean or found is None:
        why = item.why or "no sample has a value of it"
        yield _flag("not_recomputed", f"{said}, which was not computed again: {why}", row["cell"], "info")
    elif differs(item.value, found):
        yield _flag("reported_differs", f"{said}, its own samples give {found:.6g}", row["cell"])


def _flag(code: str, message: str, cell: int, level: str = "warning") -> dict[str, Any]:
    return {"level": level, "code": code, "message": message, "cell": cell}
