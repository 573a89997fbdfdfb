"""What a judge is shown of others, quoted so that it stays data: a candidate is whatever a model wrote.

Two ways out of a quotation are closed. The fence around it is a digest over all that it encloses, so no text can hold
the fence that encloses it. And the marks by which chat templates divide turns are broken up, since a server takes them
for the real thing wherever they stand.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from assay.files import digest_of

BREAK = "\u200b"
"""A space of no width, put inside a mark: a person sees the same, a tokeniser sees no mark."""

_MARKS = re.compile(
    r"<(?=[|｜])|(?<=[|｜])(?=>)"
    r"|<(?=/?(?:s|bos|eos|pad|unk|start_of_turn|end_of_turn|start_of_image|think|tool_call|tool_response|im_start|im_end)>)"
    r"|<(?=<?/?SYS>>)|\[(?=/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\])",
    re.IGNORECASE,
)


def inert(text: str) -> str:
    """The text with every mark of a chat template broken up."""
    return _MARKS.sub(lambda mark: f"{mark[0]}{BREAK}", text)


def fence(seed: Sequence[object], texts: Sequence[str]) -> str:
    """A mark that none of these texts holds: `DATA-` and 16 hexadecimal digits.

    It is a digest over the texts: to hold its own fence, a text would have to be a fixed point of SHA-256.
    """
    number = 0
    while True:
        found = f"DATA-{digest_of([number, list(seed), list(texts)])[:16]}"
        if not any(found in text for text in texts):
            return found
        number += 1
