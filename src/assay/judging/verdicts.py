"""Verdicts on pairs: how often a judge says what people say, and whether it says the same with the order swapped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from assay.judging.recorded import ORDERS, VERDICTS, Orders
from assay.stats.intervals import clustered_rate, rate


@dataclass(frozen=True, slots=True)
class Merged:
    """One rater's word on a pair from all orders it was shown in: a tie where they contradict each other."""

    verdict: str | None
    inconsistent: bool = False


def merge(orders: Orders) -> Merged:
    """The verdict over the orders; those without one are left out."""
    said = {value for value in orders.values() if isinstance(value, str)}
    if len(said) > 1:
        return Merged("tie", inconsistent=True)
    return Merged(next(iter(said), None))


def majority(said: Sequence[str]) -> str | None:
    """What more people say than anything else; None where nothing is."""
    ranked = Counter(said).most_common(2)
    if not ranked or (len(ranked) > 1 and ranked[0][1] == ranked[1][1]):
        return None
    return ranked[0][0]


def share(hits: Sequence[bool], clusters: Sequence[str] | None, confidence: float) -> dict[str, Any]:
    """A rate with its interval."""
    if clusters is None:
        found = rate(sum(hits), len(hits), confidence)
    else:
        counts, passes = Counter(clusters), Counter(label for label, hit in zip(clusters, hits, strict=True) if hit)
        found = clustered_rate([*counts.values()], [passes[label] for label in counts], confidence)
    return {"value": found.value, "low": found.low, "high": found.high, "n": len(hits), "method": found.method}


def classes(people: Sequence[str], judge: Sequence[str]) -> dict[str, Any]:
    """Precision, recall and F1 of each verdict that anybody gave, and their means (macro); 0 where undefined."""
    found = {}
    for name in [name for name in VERDICTS if name in {*people, *judge}]:
        hit = sum(one == other == name for one, other in zip(people, judge, strict=True))
        given, wanted = judge.count(name), people.count(name)
        f1 = 2 * hit / (given + wanted)
        found[name] = {
            "precision": hit / given if given else 0.0,
            "recall": hit / wanted if wanted else 0.0,
            "f1": f1,
            "people": wanted,
            "judge": given,
        }
    parts = ("precision", "recall", "f1")
    macro = {part: sum(one[part] for one in found.values()) / len(found) for part in parts} if found else {}
    return {"classes": found, "macro": macro}


def orders(
    given: Sequence[Orders], people: Sequence[str | None], clusters: Sequence[str] | None, confidence: float
) -> dict[str, Any] | None:
    """What the order does: accuracy in each, their mean, the pairs that were shown in both and how many of these have
    a verdict that contradicts the other; how often the answer shown first wins. None where no order is known.
    """
    if not any(order in one for one in given for order in ORDERS):
        return None
    by_order = {}
    for order in ORDERS:
        hits = [one[order] == said for one, said in zip(given, people, strict=True) if said and one.get(order)]
        by_order[order] = {"accuracy": sum(hits) / len(hits) if hits else None, "n": len(hits)}
    known = [one["accuracy"] for one in by_order.values() if one["accuracy"] is not None]
    both = [place for place, one in enumerate(given) if all(one.get(order) for order in ORDERS)]
    apart = [merge(given[place]).inconsistent for place in both]
    labels = None if clusters is None else [clusters[place] for place in both]
    decided = [(order, value) for one in given for order, value in one.items() if order and value in ("a", "b")]
    return {
        "by_order": by_order,
        "mean_accuracy": sum(known) / len(known) if known else None,
        "inconsistent": {"count": sum(apart), **share(apart, labels, confidence)},
        "first_wins": {"value": sum(order[0] == value for order, value in decided) / len(decided)} | {"n": len(decided)}
        if decided
        else None,
    }
