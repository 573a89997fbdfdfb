"""A small assembler for seccomp's classic BPF: conditions and returns over a call's number and arguments.

A program is a list of `Step`s. Jumps name labels; BPF jumps only forward, so assembling from the end back knows every
distance, and one that does not fit in 8 bits goes through an unconditional jump.
"""

from __future__ import annotations

import struct

INSTRUCTION = struct.Struct("=HBBI")

_LOAD, _JUMP, _RETURN, _AND = 0x20, 0x05, 0x06, 0x54
EQUAL, GREATER, AT_LEAST = 0x15, 0x25, 0x35

NUMBER_AT, ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16

ALLOW, KILL_PROCESS, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000

_FARTHEST = 255

Step = tuple[int, int, str, str]
"""Code, constant, and the labels to go on at where a condition holds and where it does not ("" for the next step).
A label is a step with code `LABEL`; its name stands third."""

LABEL = -1


def refuse(errno: int) -> int:
    """The verdict that makes a call fail with `errno`."""
    return _ERRNO | errno


def label(name: str) -> Step:
    """The place that jumps to `name` go to."""
    return (LABEL, 0, name, "")


def load(offset: int) -> Step:
    """Take the 32 bits at `offset` of the call's data."""
    return (_LOAD, offset, "", "")


def low(argument: int) -> Step:
    """Take the lower half of an argument, counted from 0 (both architectures are little-endian)."""
    return load(_ARGUMENTS_AT + 8 * argument)


def high(argument: int) -> Step:
    """Take the upper half of an argument."""
    return load(_ARGUMENTS_AT + 8 * argument + 4)


def masked(bits: int) -> Step:
    """Keep only these bits of what was taken."""
    return (_AND, bits, "", "")


def when(condition: int, constant: int, then: str = "", otherwise: str = "") -> Step:
    """Go to `then` where what was taken is EQUAL, GREATER, AT_LEAST to the constant (unsigned), else to `otherwise`."""
    return (condition, constant, then, otherwise)


def give(verdict: int) -> Step:
    """End with a verdict."""
    return (_RETURN, verdict, "", "")


def assemble(steps: list[Step]) -> bytes:
    """The program as the kernel takes it. Raises KeyError for a jump backwards or to no label."""
    backwards: list[bytes] = []
    places: dict[str, int] = {}
    for code, constant, then, otherwise in reversed(steps):
        places[""] = len(backwards)  # the next step, whatever comes between
        if code == LABEL:
            places[then] = len(backwards)
            continue
        for name in (then, otherwise):
            if len(backwards) - places[name] >= _FARTHEST:  # one short, since the other jump may need one too
                backwards.append(INSTRUCTION.pack(_JUMP, 0, 0, len(backwards) - places[name]))
                places[name] = len(backwards)
        jumps = (len(backwards) - places[then], len(backwards) - places[otherwise])
        backwards.append(INSTRUCTION.pack(code, *jumps, constant))
    return b"".join(reversed(backwards))
