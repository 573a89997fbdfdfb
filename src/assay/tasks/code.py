"""What code tasks have in common.

A sample's `input` is what the model is given and `target` the reference solution. Its fields say how a
completion is judged, the same way for every code task:

    entry_point   the function that is tested
    setup         code to run before the tests (imports), perhaps empty
    tests         code that raises where the solution is wrong
    complete      true: the program is input + completion; false: the completion alone
    cpu_s         CPU seconds that a solution needs at most, where it is more than usual
"""

from __future__ import annotations

import re

STOP = ("\nif __name__", "\ndef main(", "\nprint(")
"""Where a model has gone past the function, in raw text and in a chat's fenced block alike: a stop such as
`\\ndef ` would cut a fenced answer before its first line."""

PLUS_CPU_S = 10.0
"""CPU seconds for tests with many and large inputs: the reference solutions need up to three."""

_DEFINED = re.compile(r"^(?:async )?(?:def|class)\s+(\w+)", re.MULTILINE)
_CALLED = re.compile(r"\b(\w+)\s*\(")


def unix(text: str) -> str:
    """With plain newlines: MBPP was written on Windows."""
    return text.replace("\r\n", "\n")


def entry_point(code: str, tests: str) -> str | None:
    """The first thing the tests call that the solution defines; None where there is none."""
    defined = set(_DEFINED.findall(code))
    return next((name for name in _CALLED.findall(tests) if name in defined), None)
