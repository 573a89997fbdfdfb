"""Numbers as people read them, the same on the terminal and on the page. What is missing is a dash, not 0."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MISSING = "–"


def percent(value: float | None) -> str:
    """A share between 0 and 1 as `62.5%`."""
    return MISSING if value is None else f"{100 * value:.1f}%"


def count(value: float | None) -> str:
    """A whole number with thousands set apart."""
    return MISSING if value is None else f"{value:,.0f}"


def figure(value: float | None) -> str:
    """Any number, to three significant digits."""
    if value is None:
        return MISSING
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def latency(value: float | None) -> str:
    """A short time in seconds, with the unit that suits it."""
    if value is None:
        return MISSING
    if value < 0.9995:
        return f"{1000 * value:.3g} ms"
    return f"{value:.3g} s" if value < 99.5 else duration(value)


def duration(value: float | None) -> str:
    """A long time in seconds as `2 min 5 s`, `3 h 10 min`."""
    if value is None:
        return MISSING
    if value < 60:
        return f"{value:.1f} s"
    minutes, seconds = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def money(cost: Mapping[str, Any] | None) -> str:
    """A cost as `0.0132 USD`: cents, and finer where it is less than a few cents."""
    if cost is None:
        return MISSING
    amount = cost["amount"]
    return f"{amount:.4f} {cost['currency']}" if 0 < amount < 0.1 else f"{amount:,.2f} {cost['currency']}"


def value_of(metric: Mapping[str, Any]) -> str:
    """A metric's value: a rate as per cent, a mean as a number, labels as their counts."""
    if metric["kind"] == "label":
        return ", ".join(f"{label} {count(number)}" for label, number in metric["counts"].items()) or MISSING
    value = metric.get("value")
    return percent(value) if metric["kind"] == "pass" else figure(value)


def interval_of(metric: Mapping[str, Any]) -> str:
    """A metric's interval as `46.2–75.1%`, or nothing where it has none."""
    low, high = metric.get("low"), metric.get("high")
    if low is None or high is None:
        return ""
    if metric["kind"] == "pass":
        return f"{100 * low:.1f}–{100 * high:.1f}%"
    return f"{figure(low)} to {figure(high)}"


def primary_of(cell: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """A cell's primary metric; None where nothing was scored."""
    return next((metric for metric in cell["metrics"] if metric.get("primary")), None)


def tokens(cell: Mapping[str, Any], key: str) -> int | None:
    """A cell's tokens `in` or `out`; None where no attempt's are known."""
    found = cell["tokens"]
    nothing = not found[key] and found.get("unknown") and found["unknown"] >= cell["finished"]
    return None if nothing else found[key]


def untimed(results: Mapping[str, Any]) -> bool:
    """Whether all completions were given by a file that says nothing of how long they took."""
    cells = results["cells"]
    return bool(cells) and all(cell.get("mode") == "given" and not cell.get("latency_s") for cell in cells)


def words(name: str) -> str:
    """A machine's name for people: `infra_error` as `infra error`, `pass_at_10` as `pass@10`."""
    return name.replace("pass_at_", "pass@").replace("_", " ")
