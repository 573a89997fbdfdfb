"""All 974 problems of MBPP (Austin et al. 2021): for measuring programs, not models.

Problems 1 to 10 were published as prompts and 511 to 974 for training and validation, so a model may have seen them
with their solutions; `mbpp` is the test split.
"""

from __future__ import annotations

from assay.data.sources import Folder, Source
from assay.tasks import code
from assay.tasks.base import Task
from assay.tasks.mbpp import LICENCE, ORIGIN, SHA256, parse_any

TASK = Task(
    name="mbpp_full",
    version="1",
    kind="code",
    summary="all 974 short Python problems of MBPP, prompts and training problems included",
    sources=(Source(Folder("mbpp/mbpp.jsonl"), "jsonl", parse_any, SHA256, origin=ORIGIN, licence=LICENCE),),
    prompt="mbpp",
    scorers=("pass_at_1",),
    max_tokens=512,
    stop=code.STOP,
)
