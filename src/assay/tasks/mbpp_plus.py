"""MBPP+ (Liu et al. 2023): 378 MBPP problems that are well put, with about thirty-five times the tests."""

from __future__ import annotations

from assay.data.sources import Folder, Row, Skip, Source
from assay.records import Sample
from assay.tasks import code
from assay.tasks.base import Task
from assay.tasks.places import hub

_LICENCE = "Apache-2.0"


_CPU_S = {599: 60.0}
"""Problems whose reference solution needs more CPU time than others: this one sums a hundred million numbers."""

_TOO_LARGE = {255: "one right answer holds 1.7 million tuples: too large to cross to the checker"}
"""Problems that can only be judged where the tests share the solution's process (the scorer's option `shared`)."""


_FOUND = "        exact_match = exp == (out is not None)\n"


def _asserted(program: str) -> str:
    """The test program; three of them (737, 787, 794) compare and never assert what they found."""
    if "assert exact_match" not in program:
        program = program.replace(_FOUND, f"{_FOUND}    assert exact_match\n", 1)
    return f"{program.rstrip()}\n"


def parse(row: Row, index: int) -> Sample | Skip:
    """{task_id, prompt, code, test_imports, test_list, test}; `test` is the whole test program."""
    tests = list(row["test_list"])
    name = code.entry_point(row["code"], "\n".join(tests))
    if name is None:
        return Skip("the tests call nothing that the solution defines")
    return Sample(
        id=f"Mbpp/{row['task_id']}",
        input=f"{row['prompt'].strip()}\n{tests[0]}",
        target=row["code"],
        fields={
            "entry_point": name,
            "setup": "\n".join(row["test_imports"]),
            "tests": _asserted(row["test"]),
            "complete": False,
            "cpu_s": _CPU_S.get(row["task_id"], code.PLUS_CPU_S),
            "test_list": tests,
            **({"shared": True, "memory_mb": 8192} if row["task_id"] in _TOO_LARGE else {}),
        },
        metadata={"known_broken": _TOO_LARGE[row["task_id"]]} if row["task_id"] in _TOO_LARGE else {},
    )


TASK = Task(
    name="mbpp_plus",
    version="2",
    kind="code",
    summary="378 short Python problems, judged by many more tests",
    sources=(
        Source(
            Folder("mbppplus/MbppPlus-OriginFmt.jsonl.gz"),
            "jsonl.gz",
            parse,
            "7a5aec547b134fa297ee6c45f829298aa3f58de02547b8d8a5c3d85d9cb10efc",
            origin="https://github.com/evalplus/mbppplus_release, commit dadf43da556a00f7bacd71cb154f2932757d9144",
            licence=_LICENCE,
        ),
        hub(
            "evalplus/mbppplus",
            "b2d74c91837c3f2a20c1299ae98133cbe7cfa077",
            "data/test-00000-of-00001-d5781c9c51e02795.parquet",
            "dc20030b3788fccf617444edcb34138ef13d7e4fafd17bfcb8c1279dbb12399b",
            parse,
            origin="MBPP+, https://huggingface.co/datasets/evalplus/mbppplus",
            licence=_LICENCE,
        ),
    ),
    prompt="mbpp",
    scorers=("pass_at_1",),
    max_tokens=512,
    stop=code.STOP,
)
