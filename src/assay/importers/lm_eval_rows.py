"""The rows of lm-evaluation-harness's logs of samples: what each asked, what came back, and which numbers it has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from assay.data.rows import BrokenFileError, rows
from assay.data.sources import Skip
from assay.importers.bounded import items, labels, number, refuse, shown
from assay.records import Outcome, Sample

NONE = "none"
"""The filter of a row that names none."""

_PLAIN = frozenset(
    {"doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics", "doc_hash", "prompt_hash"}
    | {"target_hash"}
)
"""The keys of a row that are no metrics."""


def read_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any] | Skip]]:
    """(line, row) of a log of samples. Raises ConfigError where the file cannot be opened."""
    try:
        yield from rows(path, "jsonl")
    except BrokenFileError as error:
        yield error.line, Skip(error.reason)
    except OSError as error:
        raise refuse(path, error.strerror or str(error)) from None


def malformed(row: Mapping[str, Any]) -> str | None:
    """What is wrong with a row; None for one that can be read."""
    if isinstance(row.get("doc_id"), bool) or not isinstance(row.get("doc_id"), int | str):
        return "doc_id is missing, or neither a number nor a text"
    if not isinstance(row.get("resps"), list):
        return "resps is missing, or no list"
    if not isinstance(row.get("filter", NONE), str):
        return "filter is no text"
    if missing := [name for name in metrics_of(row) if name not in row]:
        return f"the metric {missing[0]!r} is named, and has no value"
    return None


def filter_of(row: Mapping[str, Any]) -> str:
    """The filter that read the answer for this row."""
    return str(row.get("filter", NONE))


def metrics_of(row: Mapping[str, Any]) -> list[str]:
    """The metrics of a row: those it lists, or, before they were listed, every key that is nothing else."""
    if isinstance(row.get("metrics"), list):
        return [name for name in row["metrics"] if isinstance(name, str)]
    return [key for key in row if key not in _PLAIN]


def scalar(value: Any) -> bool | float | None:
    """A metric's value of one document; None for one that only a sum over all has (a list of parts)."""
    return value if isinstance(value, bool) else number(value)


class Asked:
    """What a row asked, and what came back."""

    def __init__(self, row: Mapping[str, Any], by_choice: bool) -> None:
        self.asked = _arguments(row.get("arguments"))
        responses = [item[0] if isinstance(item, list) and item else item for item in row["resps"]]
        self.more: dict[str, Any] = {}
        self.extracted: str | None = None
        self.outcome = Outcome.OK
        if _likelihoods(responses):
            self.text = self._likeliest(responses, by_choice)
        else:
            self._answered(row, responses)

    def _likeliest(self, responses: list[Any], by_choice: bool) -> str:
        """The continuation that the model finds likeliest: nothing was generated."""
        told = [item if isinstance(item, list) else [item] for item in responses]
        self.more["loglikelihoods"] = [shown(item[0]) for item in told]
        values = [_logprob(item[0]) for item in told]
        best = max(range(len(values)), key=values.__getitem__)
        return shown(self.asked[best][1]).strip() if by_choice and best < len(self.asked) else ""

    def _answered(self, row: Mapping[str, Any], responses: list[Any]) -> None:
        self.text = shown(responses[0]) if responses else ""
        self.outcome = Outcome.OK if self.text.strip() else Outcome.EMPTY
        all_of_it = row["resps"][0] if row["resps"] and isinstance(row["resps"][0], list) else row["resps"]
        if len(all_of_it) > 1:
            self.more["responses"] = [shown(item) for item in all_of_it]
        filtered = next(iter(items(row.get("filtered_resps"))), None)
        while isinstance(filtered, list) and filtered:
            filtered = filtered[0]
        if isinstance(filtered, str) and filtered not in (self.text, "[invalid]"):
            self.extracted = filtered

    def sample(self, name: str, row: Mapping[str, Any]) -> Sample:
        """The document as it was asked."""
        target, doc = shown(row.get("target", "")), row.get("doc")
        if not self.asked:
            return Sample(name, shown(doc), target, metadata=labels(doc))
        contexts = {shown(first) for first, _ in self.asked}
        choices: tuple[str, ...] = ()
        gold: tuple[int, ...] = ()
        if len(self.asked) > 1 and len(contexts) == 1 and all(isinstance(second, str) for _, second in self.asked):
            choices = tuple(second.strip() for _, second in self.asked)
            if target.isascii() and target.isdigit() and len(target) < 6 and int(target) < len(choices):
                gold, target = (int(target),), choices[int(target)]
        return Sample(name, shown(self.asked[0][0]), target, choices, gold, metadata=labels(doc))


def _arguments(value: Any) -> list[tuple[Any, Any]]:
    """(context, continuation or settings) of each request of a row, in either of the tool's forms."""
    listed = list(value.values()) if isinstance(value, dict) else items(value)
    found = []
    for each in listed:
        if isinstance(each, dict) and "arg_0" in each:
            found.append((each["arg_0"], each.get("arg_1")))
        elif isinstance(each, list) and each:
            found.append((each[0], each[1] if len(each) > 1 else None))
    return found


def _likelihoods(responses: list[Any]) -> bool:
    """Whether these are (log-likelihood, is greedy), which the log writes as two texts."""
    pairs = [item for item in responses if isinstance(item, list) and len(item) == 2]
    return bool(responses) and len(pairs) == len(responses) and all(str(pair[1]) in ("True", "False") for pair in pairs)


def _logprob(value: Any) -> float:
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return float("-inf")
    return found if found == found else float("-inf")
