"""The program that a completion means: which part of the text is code, and what has to stand before it.

Rules on lines, never a parser: the text is hostile and may be megabytes long, and every rule takes linear time. They
are conservative. What may be code stays: without it, something would be judged that the model did not write.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from assay.scoring import code_lines
from assay.scoring.code_lines import defines, indentation
from assay.scoring.fences import blocks

Mode = Literal["auto", "fenced", "verbatim"]

Strategy = Literal["fenced", "head", "whole", "verbatim"]
"""Where the code was: in a fenced block; before the fence that ends it, having begun before the text did; all of the
text; the text exactly as it is, without asking."""

Form = Literal["completion", "program"]
"""What the code is: what goes on where the prompt ends, or a program of its own."""

LONGEST = 1_000_000
"""Characters; a longer text is taken as it is: it is no answer, and searching it would hold up others."""

_USUAL = 4


@dataclass(frozen=True, slots=True)
class Problem:
    """What the code is for. `prompt` is the beginning of a program that completions go on with, None where the model
    was only told what to write."""

    entry_point: str
    prompt: str | None = None

    @property
    def preamble(self) -> str:
        """What the prompt has before the function asked for: imports and helper functions. All of it where the
        prompt does not begin that function."""
        prompt = self.prompt or ""
        begins = re.compile(rf"(?:async[ \t]+)?def[ \t]+{re.escape(self.entry_point)}\b")
        lines = prompt.splitlines(keepends=True)
        start = max((number for number, line in enumerate(lines) if begins.match(line)), default=len(lines))
        while start and lines[start - 1].startswith("@"):
            start -= 1
        return "".join(lines[:start])

    @property
    def width(self) -> int:
        """How far the body of the prompt's function is indented."""
        last = next((line for line in reversed((self.prompt or "").split("\n")) if line.strip()), "")
        return indentation(last) or _USUAL


@dataclass(frozen=True, slots=True)
class Extraction:
    """`source` is the whole program and `code` the part of it that the model wrote; `found` says whether that looks
    like code for the problem, as far as can be told without running it."""

    source: str
    code: str
    strategy: Strategy
    form: Form
    found: bool


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of the text; `ended` where a fence ends it, so that no token limit cut it."""

    lines: Sequence[str]
    strategy: Strategy
    ended: bool = False

    @property
    def code(self) -> str:
        return "\n".join(self.lines)


def extract(
    text: str, problem: Problem, mode: Mode = "auto", form: Form | None = None, cut: bool = False
) -> Extraction:
    """The program in `text`.

    `form` says what the text is where it was given as code; it is then taken as it is, unless `mode` is `fenced` and
    it has a block. Without `form`, the mode `fenced` finds code in a block or nowhere. `cut` says that a token limit
    ended the text.
    """
    if mode == "verbatim" or (mode == "auto" and form is not None) or len(text) > LONGEST:
        return _verbatim(text, problem, form)
    text = code_lines.before_token(text)
    lines = text.split("\n")
    if mode == "fenced":
        part = _block(lines, problem)
        if part is None:
            return _verbatim(text, problem, form) if form else Extraction("", "", "fenced", "program", found=False)
    else:
        part = _chosen(lines, problem)
    return _program(_tidy(part, problem, cut), problem, form)


def _verbatim(text: str, problem: Problem, form: Form | None) -> Extraction:
    form = form or ("program" if problem.prompt is None else "completion")
    source = text if form == "program" or problem.prompt is None else problem.prompt + text
    return Extraction(source, text, "verbatim", form, found=bool(text.strip()))


def _chosen(lines: Sequence[str], problem: Problem) -> _Part:
    """The function's next lines, where the text begins with them; else a block that defines the function; else code
    that stands before the first fence; else the last block; else everything."""
    head = code_lines.before_fence(lines)
    before = _Part(head, "whole" if len(head) == len(lines) else "head", ended=len(head) < len(lines))
    if problem.prompt is not None and _goes_on(head):
        return before
    block = _block(lines, problem)
    if block is not None and (defines(block.code, problem.entry_point) or not code_lines.has_definition(head)):
        return block
    return before if code_lines.has_definition(head) else _Part(lines, "whole")


def _goes_on(lines: Sequence[str]) -> bool:
    """Whether the text begins inside the prompt's function: with an indented line of code."""
    first = code_lines.first_of(lines)
    return indentation(first) > 1 and not code_lines.is_prose(first)


def _block(lines: Sequence[str], problem: Problem) -> _Part | None:
    """The last block of Python that defines the function, else the last one that is not blank."""
    parts = [
        _Part(block.text(lines).split("\n"), "fenced", block.closed) for block in blocks(lines) if block.fence.is_python
    ]
    parts = [part for part in parts if not part.code.isspace() and part.code]
    defining = [part for part in parts if defines(part.code, problem.entry_point)]
    return next(reversed(defining or parts), None)


def _tidy(part: _Part, problem: Problem, cut: bool) -> _Part:
    """Without prose around it, and without a last statement that the token limit cut after the function was whole."""
    if part.strategy != "fenced":
        part = replace(part, lines=code_lines.without_prose(part.lines))
    if cut and not part.ended:
        shorter = replace(part, lines=code_lines.without_last_statement(part.lines))
        if defines(shorter.code, problem.entry_point) or not defines(part.code, problem.entry_point):
            return shorter
    return part


def _program(part: _Part, problem: Problem, form: Form | None) -> Extraction:
    own = defines(part.code, problem.entry_point)
    if form is None:
        form = "program" if own or problem.prompt is None else "completion"
    if form == "program" or problem.prompt is None:
        source = _alone(part.lines, problem.preamble)
        return Extraction(source, part.code, part.strategy, form, own or code_lines.has_definition(part.lines))
    lines = code_lines.indented(part.lines, problem.width)
    gap = "" if part.strategy != "fenced" or problem.prompt.endswith("\n") else "\n"
    code = "\n".join(lines)
    found = indentation(code_lines.first_of(lines)) > 0
    return Extraction(problem.prompt + gap + code, code, part.strategy, form, found)


def _alone(lines: Sequence[str], preamble: str) -> str:
    """A whole program: the prompt's imports and helper functions before what the model wrote."""
    if not preamble.strip():
        return "\n".join(lines)
    first, rest = code_lines.hoisted(lines)
    return "\n".join([*first, preamble.rstrip("\n"), "", *rest])
