"""A rubric's composite: numbers, names, + − × ÷ and parentheses, read by a parser of its own and nothing else.

    sum     = product {("+" | "-") product}
    product = factor {("*" | "/") factor}
    factor  = ("-" | "+") factor | "(" sum ")" | number | name

`−`, `×`, `·` and `÷` may be written for `-`, `*`, `*` and `/`. A formula is kept as a postfix program, so that it is
evaluated without recursion, over numbers and arrays alike.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import add, mul, sub, truediv
from typing import Any

MAX_LENGTH = 1000
MAX_DEPTH = 32

_TOKEN = re.compile(r"\s*(?:([0-9]+(?:\.[0-9]+)?|[A-Za-z_][A-Za-z0-9_]*|[-+*/()])|(\S))")
_SPELT = str.maketrans({"−": "-", "×": "*", "·": "*", "⋅": "*", "÷": "/"})
_NEGATE = "neg()"
"""No name is spelt so."""

Range = tuple[float, float]
Operators = Mapping[str, Callable[[Any, Any], Any]]


class FormulaError(ValueError):
    """Not a formula, or not a safe one: says what is wrong."""


@dataclass(frozen=True, slots=True)
class Formula:
    """A parsed formula: `text` as written, `steps` as a postfix program of numbers, names and signs."""

    text: str
    steps: tuple[float | str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names that it needs, each once, in the order of their first use."""
        used = (step for step in self.steps if isinstance(step, str) and step not in _NUMBERS)
        return tuple(dict.fromkeys(name for name in used if name != _NEGATE))

    def value(self, values: Mapping[str, Any]) -> Any:
        """What it comes to for these values, numbers or arrays. Raises KeyError for a name without one,
        ZeroDivisionError for a division by zero, which `bounds` excludes beforehand.
        """
        return self._run(values, _NUMBERS, lambda value: -value, lambda number: number)

    def bounds(self, ranges: Mapping[str, Range]) -> Range:
        """The least and the largest value over these ranges of its names; where a name is used twice the bounds may
        be wider than what is reached. Raises FormulaError where it may divide by zero or leave the numbers, KeyError
        for a name without a range.
        """
        low, high = self._run(ranges, _RANGES, lambda span: (-span[1], -span[0]), lambda number: (number, number))
        if not (math.isfinite(low) and math.isfinite(high)):
            raise FormulaError("the value can be too large for a number")
        return low, high

    def _run(
        self,
        values: Mapping[str, Any],
        operators: Operators,
        negate: Callable[[Any], Any],
        constant: Callable[[float], Any],
    ) -> Any:
        stack: list[Any] = []
        for step in self.steps:
            if not isinstance(step, str):
                stack.append(constant(step))
            elif step == _NEGATE:
                stack.append(negate(stack.pop()))
            elif step in operators:
                right = stack.pop()
                stack.append(operators[step](stack.pop(), right))
            else:
                stack.append(values[step])
        return stack.pop()


def parse(text: str) -> Formula:
    """The formula that a text is. Raises FormulaError that says what is wrong and at which character."""
    if len(text) > MAX_LENGTH:
        raise FormulaError(f"longer than {MAX_LENGTH} characters")
    parser = _Parser(text.translate(_SPELT))
    parser.sum(0)
    if parser.sign:
        parser.fail(f"unexpected {parser.sign!r}")
    return Formula(text.strip(), tuple(parser.steps))


class _Parser:
    """Recursive descent, one token (`sign`) ahead; `steps` grows in postfix order."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.end = 0
        self.start = 0
        self.sign = ""
        self.steps: list[float | str] = []
        self.next()

    def next(self) -> str:
        """Go on to the next token; returns the one before."""
        before = self.sign
        found = _TOKEN.match(self.text, self.end)
        self.sign = (found.group(1) or found.group(2)) if found else ""
        self.start = found.start(found.lastindex or 0) if found else len(self.text)
        self.end = found.end() if found else len(self.text)
        if found and found.group(2):
            self.fail(f"{self.sign!r} has no place in a formula: numbers, names, + - * / and parentheses do")
        return before

    def fail(self, message: str) -> None:
        raise FormulaError(f"{message} at character {self.start + 1}")

    def sum(self, depth: int) -> None:
        self.product(depth)
        while self.sign in ("+", "-"):
            sign = self.next()
            self.product(depth)
            self.steps.append(sign)

    def product(self, depth: int) -> None:
        self.factor(depth)
        while self.sign in ("*", "/"):
            sign = self.next()
            self.factor(depth)
            self.steps.append(sign)

    def factor(self, depth: int) -> None:
        if depth > MAX_DEPTH:
            self.fail(f"nested more than {MAX_DEPTH} deep")
        if self.sign in ("-", "+"):
            sign = self.next()
            self.factor(depth + 1)
            self.steps += [_NEGATE] if sign == "-" else []
        elif self.sign == "(":
            self.next()
            self.sum(depth + 1)
            if self.sign != ")":
                self.fail("expected ')'")
            self.next()
        elif self.sign[:1].isdigit():
            self.steps.append(self._number(self.next()))
        elif self.sign and self.sign not in ("*", "/", ")"):
            self.steps.append(self.next())
        else:
            self.fail(f"expected a number, a name or '(', found {self.sign!r}" if self.sign else "it ends too early")

    def _number(self, text: str) -> float:
        if len(text) > 25:
            self.fail("too long a number")
        return float(text)


def _times(left: Range, right: Range) -> Range:
    ends = [one * other for one in left for other in right]
    return min(ends), max(ends)


def _over(left: Range, right: Range) -> Range:
    if right[0] <= 0 <= right[1]:
        raise FormulaError("it may divide by zero")
    return _times(left, (1 / right[1], 1 / right[0]))


_NUMBERS: Operators = {"+": add, "-": sub, "*": mul, "/": truediv}
_RANGES: Operators = {
    "+": lambda left, right: (left[0] + right[0], left[1] + right[1]),
    "-": lambda left, right: (left[0] - right[1], left[1] - right[0]),
    "*": _times,
    "/": _over,
}
