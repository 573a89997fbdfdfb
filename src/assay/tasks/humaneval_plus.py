"""HumanEval+ (Liu et al. 2023): HumanEval with about eighty times the tests.

The reference solution of HumanEval/32 does not pass its own test, so no model can reach 164 of 164.
"""

from __future__ import annotations

from dataclasses import replace

from assay.data.sources import Folder, Row, Source
from assay.records import Sample
from assay.tasks import code, humaneval
from assay.tasks.base import Task
from assay.tasks.places import hub

_LICENCE = "Apache-2.0"
_BROKEN = {"HumanEval/32": "its published test raises TypeError on the reference solution"}


def parse(row: Row, index: int) -> Sample:
    """As HumanEval's, with more time, and with what is known of the tests themselves."""
    sample = humaneval.parse(row, index)
    known = {"known_broken": _BROKEN[sample.id]} if sample.id in _BROKEN else {}
    return replace(sample, fields={**sample.fields, "cpu_s": code.PLUS_CPU_S}, metadata=known)


TASK = Task(
    name="humaneval_plus",
    version="2",
    kind="code",
    summary="164 Python functions to finish, judged by many more tests (HumanEval/32's own test is broken)",
    sources=(
        Source(
            Folder("humanevalplus/HumanEvalPlus-OriginFmt.jsonl.gz"),
            "jsonl.gz",
            parse,
            "daa7661c8189924068069b0872a440b491edb60f8bdf431d5957adc88d18bae5",
            origin="https://github.com/evalplus/humanevalplus_release, commit 200defce9e3429d28ca215b6dd061c0f7f31c18b",
            licence=_LICENCE,
        ),
        hub(
            "evalplus/humanevalplus",
            "d32357cf319e50e9c8d8dab5ea876c72b0fd321b",
            "data/test-00000-of-00001-5973903632b82d40.parquet",
            "4436f5c03d77c17e0cbc57543b90665b5c1266f55a43992a5ed7922cd34a7558",
            parse,
            origin="HumanEval+, https://huggingface.co/datasets/evalplus/humanevalplus",
            licence=_LICENCE,
        ),
    ),
    prompt="code",
    scorers=("pass_at_1",),
    max_tokens=512,
    stop=code.STOP,
)
