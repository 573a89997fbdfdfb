"""`contains`: certain texts occur in the completion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from assay.records import Completion, Sample, Score
from assay.scoring.answers import cut, references, unanswered
from assay.scoring.base import Metric, Scorer
from assay.scoring.options import Options, shown


@dataclass(frozen=True, slots=True)
class Contains:
    """Right where one of `some` and every one of `every` occurs; with neither, the target must."""

    revision: str
    some: tuple[str, ...]
    every: tuple[str, ...]
    case: bool
    name: ClassVar[str] = "contains"
    needs: ClassVar[Literal["text"]] = "text"
    metrics: ClassVar[tuple[Metric, ...]] = (Metric("accuracy", help="the wanted texts occur in the answer"),)

    def score(self, sample: Sample, completion: Completion) -> Score:
        """Look for the wanted texts. The sample's target is read only where no option names any."""
        some = self.some if self.some or self.every else references(sample)
        if why := unanswered(completion):
            return Score({"accuracy": False}, None, why)
        text = self._folded(completion.text)
        found = next((wanted for wanted in some if self._folded(wanted) in text), None)
        wrong = [f"no {_listed(some)} in the answer"] if some and found is None else []
        wrong += [f"no {shown(every)} in the answer" for every in self.every if self._folded(every) not in text]
        if wrong:
            return Score({"accuracy": False}, None, "; ".join(wrong) + cut(completion))
        return Score({"accuracy": True}, found, f"{shown(found)} occurs" if found else "all texts occur")

    def _folded(self, text: str) -> str:
        return text if self.case else text.casefold()


def _listed(texts: tuple[str, ...]) -> str:
    return " or ".join(shown(text) for text in texts)


def contains(options: Mapping[str, Any]) -> Scorer:
    """Options: `any` (one must occur), `all` (every one must), `case` (false): whether case matters."""
    given = Options("contains", options)
    some, every, case = given.texts("any"), given.texts("all"), given.flag("case", False)
    return Contains(given.done("1"), some, every, case)
