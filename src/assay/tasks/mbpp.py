"""MBPP (Austin et al. 2021): short Python problems in one sentence, with three assertions each.

The task is the published test split, problems 11 to 510, as in lm-evaluation-harness and on the hub; the
other problems of the file were meant for prompts, training and validation and are skipped, which the origin
shows. The model sees the sentence and the first assertion, without which it could not know the function's
name.
"""

from __future__ import annotations

from assay.data.sources import Folder, Row, Skip, Source
from assay.records import Sample
from assay.tasks import code
from assay.tasks.base import Task
from assay.tasks.places import hub

_TEST_SPLIT = range(11, 511)

SHA256 = "ccf64ceae9c5403bf50a044cb6d505bfd2a2963ee58338ba268fd65beab92a9f"
ORIGIN = "https://github.com/google-research/google-research/tree/master/mbpp, mbpp.jsonl"
LICENCE = "CC-BY-4.0"


def parse(row: Row, index: int) -> Sample | Skip:
    """A problem of the test split."""
    if row["task_id"] not in _TEST_SPLIT:
        return Skip("not in the test split (problems 11 to 510)")
    return parse_any(row, index)


def parse_any(row: Row, index: int) -> Sample | Skip:
    """{task_id, text, code, test_list, test_setup_code, challenge_test_list}."""
    solution, tests = code.unix(row["code"]), [code.unix(test) for test in row["test_list"]]
    name = code.entry_point(solution, "\n".join(tests))
    if name is None:
        return Skip("the tests call nothing that the solution defines")
    return Sample(
        id=f"Mbpp/{row['task_id']}",
        input=f"{row['text'].strip()}\n{tests[0]}",
        target=solution,
        fields={
            "entry_point": name,
            "setup": code.unix(row["test_setup_code"]),
            "tests": "\n".join(tests) + "\n",
            "complete": False,
            "test_list": tests,
            "challenge_tests": [code.unix(test) for test in row["challenge_test_list"]],
        },
    )


TASK = Task(
    name="mbpp",
    version="1",
    kind="code",
    summary="short Python problems, judged by three assertions: the 500 of the test split (11 to 510)",
    sources=(
        Source(
            Folder("mbpp/mbpp.jsonl"),
            "jsonl",
            parse,
            SHA256,
            origin=ORIGIN,
            licence=LICENCE,
        ),
        hub(
            "google-research-datasets/mbpp",
            "4bb6404fdc6cacfda99d4ac4205087b89d32030c",
            "full/test-00000-of-00001.parquet",
            "566fd53060ffba5766dace1d1e2f4c38906781526de222b0dfbdbc325b696c77",
            parse,
            origin="MBPP, https://huggingface.co/datasets/google-research-datasets/mbpp",
            licence=LICENCE,
        ),
    ),
    prompt="mbpp",
    scorers=("pass_at_1",),
    max_tokens=512,
    stop=code.STOP,
)
