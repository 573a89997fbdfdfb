"""Which letter a completion chooses, read by a ladder of rules; the first rule that finds one decides.

1. The first line is a letter alone or begins with one as its label: "B", "(B)", "B.", "B) Paris", "**B**";
   not where the lines after it have labels of their own, for then it repeats the choices.
2. The first line is the text of just one choice.
3. A letter after "answer is", "answer:" or in `\\boxed{…}`: "The answer is (B)".
4. A letter after "choose", "option" or "choice".
5. A capital in parentheses, brackets or braces: "… so (B) holds".
6. A capital as the label of a line.
7. A capital that stands alone; "A" and "I" not before a word, where they are words themselves.
8. The text of just one choice occurs in the answer.

A rule that finds two different letters decides that the answer is ambiguous: nothing is guessed.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from assay.scoring.normalized import normal

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class Ladder:
    """The rules for one number of choices, compiled."""

    opening: re.Pattern[str]
    label: re.Pattern[str]
    others: tuple[re.Pattern[str], ...]


@functools.cache
def _ladder(choices: int) -> Ladder:
    upper = f"[{LETTERS[:choices]}]"
    lower = upper.lower()
    either = f"(?:{upper}|{lower})"
    quote = r"[*_\"'“‘`]*+"
    bracketed = rf"[(\[]{quote}({either}){quote}[)\]]"
    bare = rf"({upper})(?![\w'’])|({lower})(?=[.,)]?[ \t]*$)"
    answer = r"\b(?i:answer)(?i:\s++is\b|\s++would\s++be\b)?\s*+:?\s*+(?i:option\s++|choice\s++)?"
    boxed = r"\\boxed\{(?:\\text\{)?"
    option = r"\b(?i:choose|option|choice)\s*+:?\s*+"
    more = rf"(?<!,)(?!\s*+(?:,|/|or\b|and\b)\s*+[(\[]?{upper}\b)|(?<=,)(?!\s*+{upper}\b)"
    label = re.compile(rf"(?m)^[ \t]*+{quote}({upper}){quote}(?:[.):]|[ \t]*+$)")
    return Ladder(
        re.compile(rf"{quote}(?:{bracketed}|({either}){quote}(?:[.):,](?=\s)|[.):,]?{quote}$))(?:{more})"),
        label,
        (
            re.compile(rf"(?m)(?:{answer}|{boxed}){quote}(?:{bracketed}|{bare})"),
            re.compile(rf"(?m){option}{quote}(?:{bracketed}|{bare})"),
            re.compile(rf"[(\[{{]{quote}({upper}){quote}[)\]}}]"),
            label,
            re.compile(rf"(?<![\w'’])({upper})(?![\w'’])(?!(?<=[AI])\s+(?!(?:or|and)\b)\w\w)"),
        ),
    )


def chosen(text: str, choices: tuple[str, ...]) -> tuple[int | None, str]:
    """The index of the choice that `text` names and the words that say so; None and the reason where none is."""
    ladder = _ladder(len(choices))
    text = text.strip()
    first = text.partition("\n")[0].strip()
    opening = ladder.opening.match(first)
    if opening and (opening.end() == len(first) or not _repeats_choices(ladder, text)):
        return _index(opening), opening[0].strip()
    if not opening and (index := _the_choice(first, choices)) is not None:
        return index, first
    for rule in ladder.others:
        found = {_index(match): match[0].strip() for match in rule.finditer(text)}
        if len(found) == 1:
            return next(iter(found.items()))
        if found:
            return None, f"it names {' and '.join(LETTERS[index] for index in sorted(found))}"
    return _by_text(normal(text), [normal(choice) for choice in choices])


def _the_choice(said: str, choices: tuple[str, ...]) -> int | None:
    """The only choice whose text is `said`; far longer answers are not worth a closer look."""
    if len(said) > 20 + 2 * max(map(len, choices)):
        return None
    normals = [normal(choice) for choice in choices]
    return normals.index(normal(said)) if normals.count(normal(said)) == 1 else None


def _repeats_choices(ladder: Ladder, text: str) -> bool:
    """Whether the first paragraph has lines with different labels."""
    paragraph = text.partition("\n\n")[0]
    return len({match[1] for match in ladder.label.finditer(paragraph)}) > 1


def _index(match: re.Match[str]) -> int:
    letter = next(group for group in match.groups() if group)
    return LETTERS.index(letter.upper())


def _by_text(said: str, normals: list[str]) -> tuple[int | None, str]:
    found = [index for index, choice in enumerate(normals) if f" {choice} " in f" {said} "]
    # A choice inside a longer one that was also said ("York" in "New York") was not said for itself.
    alone = [i for i in found if not any(i != j and f" {normals[i]} " in f" {normals[j]} " for j in found)]
    if len(alone) == 1:
        return alone[0], normals[alone[0]]
    return None, "it names several choices" if found else "it names no choice"
