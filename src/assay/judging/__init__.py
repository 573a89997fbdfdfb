"""Judging against a pinned rubric: the rubric, the queue that judges fill in, what they said, and what it comes to.

Covered: people (and agents that people supervise), who judge from a file. Sealing the layers that judging adds is a
floor above (`assay.judged`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["summary"]

if TYPE_CHECKING:
    from assay.judging.fold import summary


def __getattr__(name: str) -> Any:
    """Load the fold when first asked for: reading a rubric needs nothing of it."""
    if name == "summary":
        from assay.judging.fold import summary

        return summary
    raise AttributeError(f"module 'assay.judging' has no attribute {name!r}")
