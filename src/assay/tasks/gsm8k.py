"""GSM8K (Cobbe et al. 2021): grade-school word problems with a worked solution and a number."""

from __future__ import annotations

from assay.data.sources import Folder, Row, Skip, Source
from assay.records import Sample
from assay.tasks.base import Task
from assay.tasks.places import hub

_LICENCE = "MIT"


def parse(row: Row, index: int) -> Sample | Skip:
    """{question, answer}; the answer is the solution, its last line `#### NUMBER`."""
    if "#### " not in row["answer"]:
        return Skip("the answer has no `####` line")
    return Sample(id=f"gsm8k/{index}", input=row["question"].strip(), target=row["answer"].strip())


TASK = Task(
    name="gsm8k",
    version="1",
    kind="generate",
    summary="grade-school mathematics in words: the 1,319 test problems; the last number counts",
    sources=(
        Source(
            Folder("gsm8k/test.jsonl"),
            "jsonl",
            parse,
            "3730d312f6e3440559ace48831e51066acaca737f6eabec99bccb9e4b3c39d14",
            origin="https://github.com/openai/grade-school-math, commit 3101c7d5072418e28b9008a6636bde82a006892c",
            licence=_LICENCE,
        ),
        hub(
            "openai/gsm8k",
            "740312add88f781978c0658806c59bc2815b9866",
            "main/test-00000-of-00001.parquet",
            "ee7b8da9e381df27b9e3f7758a159ab2bdaa4dbaa910546cbbc47e0cb44e4f59",
            parse,
            origin="GSM8K test set, https://huggingface.co/datasets/openai/gsm8k",
            licence=_LICENCE,
        ),
    ),
    prompt="gsm8k",
    scorers=("numeric",),
    max_tokens=400,
    stop=("\nQuestion:",),
)
