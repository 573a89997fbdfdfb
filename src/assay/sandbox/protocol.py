"""What the processes of a worker say to each other.

    assay ──control──▶ template ──fork──▶ solution ◀──channel──▶ checker ◀──fork── nursery ◀──control── assay
                          └──────────────────────tasks────────────▶┘

- The template forks solutions and the nursery forks checkers, so that no solution inherits anything of the tests.
- Control messages are small, fixed and carry no text of a program: text travels in anonymous files whose
  descriptors are passed along, so that the template, whose memory every later solution inherits, never holds any.
- The program file is the entry point's name, a newline and the solution; where the tests run in the solution's own
  process a JSON object (`ProgramFile`). The tests file is a JSON object (`Tests`). The report file is what the checker
  found (`Report`); assay alone reads it.
- The channel is a stream of frames between the checker and the solution: 4 bytes of length, big-endian, then that
  many bytes of JSON. The solution's side of it is hostile.
"""

from __future__ import annotations

import struct
from typing import Any, Literal, TypedDict

MOST_FRAME = 32 << 20
"""The longest frame that is read, in bytes."""

FRAME = struct.Struct(">I")

SETTINGS = b"S"
"""assay → zygote, once: JSON of the worker's settings follows."""
CHECKER = b"C"
"""assay → nursery, with the tests file and the checker's end of the tasks socket: fork a checker, the one before it
ends. assay → template, with the other end: the attempts that follow are judged there."""
JOB = b"J"
"""assay → template, with program, stdout, stderr and report files: run one attempt. `LIMITS` follows."""
READY = b"R"
"""template or nursery → assay: confined; JSON of the environment follows. checker → template: the tests are compiled;
`PID` follows."""
FAILED = b"E"
"""template or nursery → assay: a layer could not be applied; JSON {layer, errno, message} follows."""
DONE = b"D"
"""template → assay: the attempt is over; `RESULT` follows."""
GO = b"G"
"""template → checker, with the channel and the report file: judge one attempt."""
OVER = b"O"
"""checker → template: the report is written; one byte follows, 1 where the solution hung up."""
CLEAN = b"W"
"""template → janitor: give me a fresh work folder; the same letter answers."""
SWEEP = b"K"
"""template → janitor, where solutions may start processes: end everything in this worker, start template and
nursery anew, and then tell assay what follows this letter."""

LIMITS = struct.Struct(">ddB")
"""CPU seconds, wall seconds, and 1 where the tests run in the solution's process."""

RESULT = struct.Struct(">iddQdBBBB")
"""Wait status, user and system CPU seconds, peak resident KiB, wall seconds, which limit was hit (an index into
`TIMEOUTS`); then three flags: the solution was confined before it ran, it was killed by the template, the checker
still lives."""

PID = struct.Struct(">i")

TIMEOUTS: tuple[Literal["cpu", "wall", "checker"] | None, ...] = (None, "cpu", "wall", "checker")


class Tests(TypedDict):
    """The tests file."""

    tests: str
    support: str
    entry_point: str


class ProgramFile(TypedDict):
    """The program file where the tests run in the solution's own process."""

    solution: str
    tests: Tests


class Report(TypedDict, total=False):
    """The report file. `status` is one of `execution.Status`; the rest is as in `execution.Execution`."""

    status: str
    compiled: bool
    loaded: bool
    tests_passed: int
    tests_run: int
    tests_total: int | None
    failure: dict[str, Any] | None
