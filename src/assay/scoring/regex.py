"""`regex`: a pattern occurs in the completion, or what it captures is the target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from assay.records import Completion, Sample, Score
from assay.scoring import bounded
from assay.scoring.answers import cut, references, unanswered
from assay.scoring.base import Metric, Scorer
from assay.scoring.options import Options, shown

if TYPE_CHECKING:
    from regex import Pattern


@dataclass(frozen=True, slots=True)
class Regex:
    """With a `group`, what it captures is compared with the target; without one, a match is enough."""

    revision: str
    pattern: Pattern[str]
    group: int | str | None
    last: bool
    name: ClassVar[str] = "regex"
    needs: ClassVar[Literal["text"]] = "text"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("accuracy", help="the pattern matches, and captures the target where a group is named"),
        Metric("extracted", help="the pattern matches"),
    )

    def score(self, sample: Sample, completion: Completion) -> Score:
        """Raises ScorerError where the pattern takes too long or, with a group, the sample has no target."""
        wanted = () if self.group is None else tuple(text.strip() for text in references(sample))
        if why := unanswered(completion):
            return Score({"accuracy": False, "extracted": False}, None, why)
        match = bounded.search(self.pattern, completion.text, last=self.last)
        found = match[self.group or 0] if match else None
        if found is None:
            why = f"nothing matches {shown(self.pattern.pattern)}{cut(completion)}"
            return Score({"accuracy": False, "extracted": False}, None, why)
        if self.group is None:
            return Score({"accuracy": True, "extracted": True}, found, f"{shown(found)} matches")
        right = found.strip() in wanted
        why = f"{shown(found)} is {'right' if right else f'not {shown(wanted[0])}'}"
        return Score({"accuracy": right, "extracted": True}, found, why)


def _flags(given: Any) -> bool:
    return isinstance(given, str) and set(given) <= set(bounded.FLAGS) and len(set(given)) == len(given)


def regex(options: Mapping[str, Any]) -> Scorer:
    """Options: `pattern`; `group` (number or name) to compare with the target; `flags`; `match`: first or last."""
    given = Options("regex", options)
    given.require("pattern")
    pattern = given.value("pattern", "", lambda text: isinstance(text, str) and text != "", "a pattern")
    group = given.value("group", None, _is_group, "a group's number or name")
    flags = given.value("flags", "", _flags, "letters out of i, m, s, x, each once")
    last = given.one_of("match", "first", ("first", "last")) == "last"
    try:
        ready = bounded.compiled(pattern, flags)
    except ValueError as error:
        given.fail("pattern", f"{shown(pattern)} is not a regular expression: {error}")
    if pattern and group is not None and not _has(ready, group):
        given.reject("group", f"the pattern has no group {group!r}", _groups(ready))
    return Regex(given.done("1"), ready, group, last)


def _is_group(given: Any) -> bool:
    return isinstance(given, int | str) and not isinstance(given, bool)


def _has(pattern: Pattern[str], group: int | str) -> bool:
    return 0 <= group <= pattern.groups if isinstance(group, int) else group in pattern.groupindex


def _groups(pattern: Pattern[str]) -> str:
    return ", ".join([*(str(number) for number in range(pattern.groups + 1)), *pattern.groupindex])
