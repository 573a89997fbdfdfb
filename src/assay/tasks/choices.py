"""Multiple-choice rows as the public question sets write them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from assay.data.sources import Parse, Row, Skip
from assay.records import Sample

_OPTION = re.compile(r"([A-Z])[.)][ \t]+(.*)", re.DOTALL)


def sample(
    id: str, question: str, choices: Sequence[str], gold: int, metadata: Mapping[str, Any] | None = None
) -> Sample | Skip:
    """A multiple-choice sample; white space around question and choices goes, the words stay as they are."""
    texts = tuple(choice.strip() for choice in choices)
    if len(texts) < 2 or not all(texts):
        return Skip("fewer than two choices, or an empty one")
    if not 0 <= gold < len(texts):
        return Skip("the right choice is not one of the choices")
    return Sample(
        id=id,
        input=question.strip(),
        target=texts[gold],
        choices=texts,
        gold=(gold,),
        metadata=metadata or {},
    )


def lettered(block: str) -> tuple[str, ...]:
    """The choices of a block such as `A. a marsh⏎B. a tundra`, in order.

    A line without the next letter goes on with the choice before it. Raises ValueError where the block does
    not start with A.
    """
    found: list[str] = []
    for line in block.strip().split("\n"):
        match = _OPTION.fullmatch(line)
        if match and match[1] == chr(ord("A") + len(found)):
            found.append(match[2])
        elif found:
            found[-1] += "\n" + line
        else:
            raise ValueError(f"the choices do not start with 'A. ': {line[:40]!r}")
    return tuple(found)


def lettered_parser(task: str) -> Parse:
    """For rows {question, options: `A. …⏎B. …`, answer: `B. …`}; ids are the task's name and the row's
    index."""

    def parse(row: Row, index: int) -> Sample | Skip:
        options = lettered(row["options"])
        answer = _OPTION.fullmatch(row["answer"])
        if answer is None:
            return Skip("the answer does not start with a letter")
        gold = ord(answer[1]) - ord("A")
        if gold >= len(options) or options[gold].strip() != answer[2].strip():
            return Skip("the answer is not one of the choices")
        return sample(f"{task}/{index}", row["question"], options, gold)

    return parse


def labelled_parser(task: str, question: str = "question") -> Parse:
    """For rows {id, question, choices: {text, label}, answerKey}, as the Hugging Face sets have them."""

    def parse(row: Row, index: int) -> Sample | Skip:
        labels = list(row["choices"]["label"])
        if row["answerKey"] not in labels:
            return Skip("the answer is not one of the choices")
        gold = labels.index(row["answerKey"])
        return sample(f"{task}/{row['id']}", row[question], row["choices"]["text"], gold)

    return parse
