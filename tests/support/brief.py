"""A look at health that asks little: two questions, two passages, short answers. The whole one, some thousand tokens a
deployment, is in test_release_health.py; the tests that use this one are about something else.

As a program, `python -m support.brief ARGUMENTS`, it is the command `assay` with it.
"""

from __future__ import annotations

import sys

import pytest

from assay.files import digest_of
from assay.release import health, health_text

PROMPTS, PASSAGES, TOKENS = health_text.PROMPTS[:2], health_text.PASSAGES[:2], 24


def shortened(patch: pytest.MonkeyPatch) -> None:
    """Until the patch is undone, a deployment is asked only these; what is seen carries their digest."""
    patch.setattr(health_text, "PROMPTS", PROMPTS)
    patch.setattr(health_text, "PASSAGES", PASSAGES)
    patch.setattr(health_text, "DIGEST", digest_of({"brief": [PROMPTS, PASSAGES, TOKENS]}))
    patch.setattr(health, "ANSWER_TOKENS", TOKENS)


if __name__ == "__main__":
    from assay.cli.main import run

    shortened(pytest.MonkeyPatch())
    sys.exit(run(sys.argv[1:]))
