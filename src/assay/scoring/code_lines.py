"""What single lines of a completion look like: code, prose, the end of a turn. Linear in the text, no parser."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from keyword import kwlist

from assay.scoring.fences import fence_of

_TOKEN = re.compile(
    r"<\|(?:endoftext|end_of_text|im_end|im_start|eot_id|eom_id|end|user|assistant|system|file_sep|fim_\w{1,20})\|>"
    r"|<(?:eos|end_of_turn|start_of_turn|file_sep|\uff5cend\u2581of\u2581sentence\uff5c)>|</s>\s*\Z"
)
_DEFINITION = re.compile(r"(?:async[ \t]+def|def|class)[ \t]+\w|@\w|import[ \t]+\w|from[ \t]+[\w.]+[ \t]+import\b")
_TOP_LEVEL = re.compile(rf"(?:{_DEFINITION.pattern})|#|if[ \t]+__name__")
_LEAVES = re.compile(r"(?:return|yield)\b")
_CONTINUES = re.compile(r"[)\]}]|(?:else|elif|except|finally)\b")
_FUTURE = re.compile(r"from[ \t]+__future__[ \t]+import[ \t]+[\w, \t]+\r?")
_HEADING = re.compile(r"\*\*[A-Z][^*]*\*\*.*|[A-Z][A-Za-z]*(?: [A-Za-z]+)*:\s*")
_CAPITAL = re.compile(r"[A-Z][a-z]*(?:['\u2019][a-z]+)?,?")
_WORD = re.compile(r"[A-Za-z]+[.,:;!?]?")
_KEYWORDS = frozenset(kwlist)
_READ = 200
"""Characters of a line that are read to tell prose from code."""


def before_token(text: str) -> str:
    """The text up to the first mark of a chat template that ends a turn: nothing after it is an answer."""
    for match in _TOKEN.finditer(text):
        if text[: match.start()].strip():
            return text[: match.start()]
    return text


def defines(code: str, name: str) -> bool:
    """Whether a line of the code, not indented, defines `name`."""
    escaped = re.escape(name)
    pattern = rf"^(?:(?:async[ \t]+def|def|class)[ \t]+{escaped}\b|{escaped}[ \t]*(?::[^=\n]*)?=(?!=))"
    return re.search(pattern, code, re.MULTILINE) is not None


def has_definition(lines: Iterable[str]) -> bool:
    """Whether some line begins a function or a class, or imports."""
    return any(_DEFINITION.match(line) for line in lines)


def indentation(line: str) -> int:
    """Columns before the first character that is no white space."""
    return len(line[: len(line) - len(line.lstrip(" \t"))].expandtabs(4))


def first_of(lines: Sequence[str]) -> str:
    """The first line that is not blank; empty where all are."""
    return next((line for line in lines if line.strip()), "")


def is_prose(line: str) -> bool:
    """Whether a line is plainly English and no Python: a heading, or a capital first and then two words side by
    side that no operator joins."""
    head = line[:_READ].strip()
    if _HEADING.fullmatch(head):
        return True
    words = head.split()
    if not words or not _CAPITAL.fullmatch(words[0]) or words[0] in _KEYWORDS:
        return False
    plain = [_WORD.fullmatch(word) is not None and word not in _KEYWORDS for word in [words[0].strip(","), *words[1:]]]
    return any(one and other for one, other in pairwise(plain))


def without_prose(lines: Sequence[str]) -> list[str]:
    """Without the prose before the first definition and from the first prose after code on."""
    start = 0
    if is_prose(first_of(lines)):
        start = next((number for number, line in enumerate(lines) if _DEFINITION.match(line)), 0)
    kept: list[str] = []
    seen = False
    for line, quoted in zip(lines[start:], _quoted(lines[start:]), strict=True):
        if seen and not quoted and is_prose(line) and not indentation(line):
            break
        kept.append(line)
        seen = seen or bool(line.strip())
    return kept


def before_fence(lines: Sequence[str]) -> list[str]:
    """The lines before the first fence that is not indented like code."""
    end = next((number for number, line in enumerate(lines) if (f := fence_of(line)) and f.column < 4), len(lines))
    return list(lines[:end])


def without_last_statement(lines: Sequence[str]) -> list[str]:
    """Without the last statement that is not indented, which a token limit cut; all lines where there is no other
    code before it."""
    starts = [
        number
        for number, (line, quoted) in enumerate(zip(lines, _quoted(lines), strict=True))
        if line.strip() and not quoted and not indentation(line) and not _CONTINUES.match(line)
    ]
    if not starts:
        return list(lines)
    end = starts.pop()
    while starts and lines[starts[-1]].startswith("@"):
        end = starts.pop()
    return list(lines[:end]) if any(line.strip() for line in lines[:end]) else list(lines)


def _quoted(lines: Iterable[str]) -> Iterator[bool]:
    """For each line, whether it begins inside a string of three quotes, by their number so far."""
    double = single = 0
    for line in lines:
        yield bool(double % 2 or single % 2)
        double += 0 if single % 2 else line.count('"""')
        single += 0 if double % 2 else line.count("'''")


def indented(lines: Sequence[str], width: int) -> list[str]:
    """A function's body with the indentation that it lost: of its first line, which many servers strip, or of all.

    Only what could not be Python without it is touched: a first line that the next ones do not fit, and a
    `return` outside any function.
    """
    begin = next((number for number, line in enumerate(lines) if line.strip()), len(lines))
    if begin == len(lines) or indentation(lines[begin]) or _TOP_LEVEL.match(lines[begin]):
        return list(lines)
    end = next((n for n in range(begin + 1, len(lines)) if _TOP_LEVEL.match(lines[n])), len(lines))
    body = [line for line in lines[begin:end] if line.strip()]
    space = " " * width
    if _first_lost(body, width):
        return [*lines[:begin], space + lines[begin], *lines[begin + 1 :]]
    if any(_LEAVES.match(line) for line in body):
        return [*lines[:begin], *(space + line if line.strip() else line for line in lines[begin:end]), *lines[end:]]
    return list(lines)


def _first_lost(body: Sequence[str], width: int) -> bool:
    rest = [indentation(line) for line in body[1:]]
    if not rest or min(rest) < width:
        return False
    return rest[0] > width or not body[0].rstrip().endswith(":")


def hoisted(lines: Sequence[str]) -> tuple[list[str], list[str]]:
    """The imports from `__future__`, which must come first in a program, and the other lines."""
    first = [line for line in lines if _FUTURE.fullmatch(line)]
    return first, [line for line in lines if not _FUTURE.fullmatch(line)] if first else list(lines)
