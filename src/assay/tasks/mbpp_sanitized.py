"""The 427 problems of MBPP that its authors verified by hand (Austin et al. 2021): clearer texts, corrected tests.

They come from all of MBPP: 257 are in the test split (problems 11 to 510), the others are not.
"""

from __future__ import annotations

from assay.data.sources import Folder, Row, Skip, Source
from assay.records import Sample
from assay.tasks import code
from assay.tasks.base import Task
from assay.tasks.mbpp import LICENCE


def parse(row: Row, index: int) -> Sample | Skip:
    """{task_id, prompt, code, test_imports, test_list}."""
    solution, tests = code.unix(row["code"]), [code.unix(test) for test in row["test_list"]]
    name = code.entry_point(solution, "\n".join(tests))
    if name is None:
        return Skip("the tests call nothing that the solution defines")
    return Sample(
        id=f"Mbpp/{row['task_id']}",
        input=f"{row['prompt'].strip()}\n{tests[0]}",
        target=solution,
        fields={
            "entry_point": name,
            "setup": "\n".join(row["test_imports"]),
            "tests": "\n".join(tests) + "\n",
            "complete": False,
            "test_list": tests,
        },
    )


TASK = Task(
    name="mbpp_sanitized",
    version="1",
    kind="code",
    summary="the 427 short Python problems of MBPP that were verified by hand",
    sources=(
        Source(
            Folder("mbpp/sanitized-mbpp.json"),
            "json",
            parse,
            "7fec016546acaee11dbe14f9f0bb670e59f41919f7b522a59fba34871da78551",
            origin="https://github.com/google-research/google-research/tree/master/mbpp, sanitized-mbpp.json",
            licence=LICENCE,
        ),
    ),
    prompt="mbpp",
    scorers=("pass_at_1",),
    max_tokens=512,
    stop=code.STOP,
)
