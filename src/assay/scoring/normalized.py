"""`normalized_exact_match`: the answer is the target once case, punctuation, articles and spacing are set
aside.

Which part of the completion is the answer (`answer: auto`, the default), the first that applies:

1. what follows the last "final answer", "the answer is" or "answer is", up to the end of that line;
2. the first line that is not blank, without a leading "Answer:", "A:" or "Output:".

`answer: whole` takes the whole completion, `answer: first_line` only rule 2, `answer: last_line` its last
line. Where the target is yes, no, true or false, one word counts ("Yes, because …" is yes): the first of the
first line, else the first of the answer by the rules above; "yes or no" and the like are no answer.

The normal form follows SQuAD's (Rajpurkar et al. 2016, arXiv 1606.05250): lower case, no punctuation, no
articles, single spaces. It differs where that form calls different answers equal: text is first brought to
Unicode NFKC and case-folded; signs and decimal points of numbers stay ("-5" is not "5", "3.14" is not "314")
while thousands commas go; and a text of which nothing would be left ("A", "the", "++") is only folded.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Literal

from assay.records import Completion, Sample, Score
from assay.scoring.answers import cut, references, unanswered, verdict
from assay.scoring.base import Metric, Scorer
from assay.scoring.options import Options, shown

_CUE = re.compile(r"\bfinal answer(?: is\b|\b)|\banswer is\b", re.IGNORECASE)
_AFTER_CUE = " \t\r\n:=*_\"'“”‘’`"
_LABEL = re.compile(r"[ \t*_]*(?:answer|a|output)[ \t*_]*:[ \t*_]*", re.IGNORECASE)
_PUNCTUATION = re.compile(r"\.(?!\d)|(?<=[^\W\d])\.|(?<=\w)-|-(?![\d.])|[^\w\s.-]|_")
_PIECE = re.compile(r"\s+|\S{1,1000}")
_ARTICLE = re.compile(r"\b(?:a|an|the)\b")
_POLAR = frozenset({"yes", "no", "true", "false"})
_BEFORE_WORD = " \t\"'“”‘’`*_([{<#>-.:"
_FIRST_WORD = re.compile(r"(\w+)(?:\W+(?:or|and)\W+(\w+)|/(\w+))?")
_DASHES = str.maketrans({"−": "-", "﹣": "-", "‐": "-", "‑": "-"})


def normal(text: str) -> str:
    """The normal form of `text`: what is left when case, punctuation, articles and spacing do not count."""
    folded = _fold(text)
    bare = _PUNCTUATION.sub(_dropped, folded)
    return " ".join(_ARTICLE.sub(" ", bare).split()) or " ".join(folded.split())


def _fold(text: str) -> str:
    if text.isascii():
        return text.lower()
    # Normalizing a run of combining marks takes time quadratic in its length: no run may be long.
    pieces = _PIECE.findall(text) if len(text) > 1000 else [text]
    return "".join(map(_fold_piece, pieces)).translate(_DASHES)


def _fold_piece(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def _dropped(match: re.Match[str]) -> str:
    """Nothing for punctuation and symbols; a combining mark is part of its letter and stays."""
    mark = match[0]
    return mark if unicodedata.category(mark)[0] == "M" else ""


_reference = lru_cache(maxsize=4096)(normal)


def answer_in(text: str, part: str = "auto") -> str:
    """The part of a completion that is its answer (see the module's text); empty where there is none."""
    if part == "whole":
        return text.strip()
    if part == "auto" and (cue := _last_cue(text)):
        return _line(text[cue:].lstrip(_AFTER_CUE))
    if part == "last_line":
        return text.strip().rpartition("\n")[2].strip()
    line = _line(text.lstrip())
    label = _LABEL.match(line)
    return line[label.end() :] if label and label.end() < len(line) else line


def _last_cue(text: str) -> int | None:
    """Where the last cue ends; the plain search spares most texts the slower pattern."""
    if "answer" not in text.lower():
        return None
    return max((match.end() for match in _CUE.finditer(text)), default=None)


def _line(text: str) -> str:
    return text.partition("\n")[0].strip()


def polar(answer: str) -> str | None:
    """The yes, no, true or false that an answer starts with; None where it starts otherwise or with both."""
    first = _FIRST_WORD.match(_fold(answer[:64]).lstrip(_BEFORE_WORD))
    if first is None or first[1] not in _POLAR:
        return None
    other = first[2] or first[3]
    return None if other in _POLAR and other != first[1] else first[1]


@dataclass(frozen=True, slots=True)
class NormalizedExactMatch:
    """Compares normal forms; an answer to a yes-or-no question is judged by its first word."""

    revision: str
    answer: str
    name: ClassVar[str] = "normalized_exact_match"
    needs: ClassVar[Literal["text"]] = "text"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("accuracy", help="the answer is the target, case, punctuation, articles and spacing set aside"),
    )

    def score(self, sample: Sample, completion: Completion) -> Score:
        """Right where the answer's normal form is that of the target (or of a right choice)."""
        wanted = references(sample)
        if why := unanswered(completion):
            return Score({"accuracy": False}, None, why)
        answer = answer_in(completion.text, self.answer)
        normals = [_reference(reference) for reference in wanted]
        if all(reference in _POLAR for reference in normals):
            first = answer_in(completion.text, "first_line") if self.answer == "auto" else answer
            return _score_polar(polar(first) or polar(answer), answer, normals, cut(completion))
        return verdict(normal(answer) in normals, answer, wanted, cut(completion))


def _score_polar(said: str | None, answer: str, wanted: list[str], tail: str) -> Score:
    if said is None:
        return Score({"accuracy": False}, None, f"{shown(answer)} starts with no clear yes or no{tail}")
    return verdict(said in wanted, said, tuple(wanted), tail)


def normalized_exact_match(options: Mapping[str, Any]) -> Scorer:
    """Options: `answer`: which part of the completion is the answer; see the module's text."""
    given = Options("normalized_exact_match", options)
    answer = given.one_of("answer", "auto", ("auto", "first_line", "last_line", "whole"))
    return NormalizedExactMatch(given.done("1"), answer)
