"""TruthfulQA (Lin et al. 2022) as multiple choice with one right answer (MC1).

The choices are the best answer and every incorrect one; other correct answers are left out, since picking one
of them would be right too. The file has the best answer first, so the choices are put in an order that
depends on their text and the sample's id alone.
"""

from __future__ import annotations

from hashlib import sha256

from assay.data.sources import Folder, Row, Skip, Source
from assay.records import Sample
from assay.tasks.base import Task
from assay.tasks.choices import sample
from assay.tasks.places import hub

_LICENCE = "Apache-2.0"


def shuffled(id: str, choices: list[str]) -> list[str]:
    """The choices without repeats, ordered by a digest of id and choice: the same everywhere, for ever."""
    return sorted(set(choices), key=lambda choice: (sha256(f"{id}\0{choice}".encode()).digest(), choice))


def _parsed(index: int, question: str, best: str, wrong: list[str], about: dict[str, str]) -> Sample | Skip:
    id, best = f"truthfulqa_mc/{index}", best.strip()
    others = [answer for text in wrong if (answer := text.strip())]
    if best in others:
        return Skip("the best answer is among the incorrect ones")
    choices = shuffled(id, [best, *others])
    return sample(id, question, choices, choices.index(best), about)


def parse_csv(row: Row, index: int) -> Sample | Skip:
    """The published CSV: answers are separated by semicolons."""
    about = {"type": row["Type"], "category": row["Category"]}
    return _parsed(index, row["Question"], row["Best Answer"], row["Incorrect Answers"].split(";"), about)


def parse_hub(row: Row, index: int) -> Sample | Skip:
    """The `generation` configuration on the hub: answers are lists."""
    about = {"type": row["type"], "category": row["category"]}
    return _parsed(index, row["question"], row["best_answer"], list(row["incorrect_answers"]), about)


TASK = Task(
    name="truthfulqa_mc",
    version="1",
    kind="choice",
    summary="questions that people answer wrongly by habit: 817, the best answer among incorrect ones (MC1)",
    sources=(
        Source(
            Folder("truthfulqa/TruthfulQA.csv"),
            "csv",
            parse_csv,
            "99d6ae7755e3b435eade956068c9de7c0c474770344237aeb66b56519ba4b697",
            origin="https://github.com/sylinrl/TruthfulQA, TruthfulQA.csv, first version",
            licence=_LICENCE,
        ),
        hub(
            "truthfulqa/truthful_qa",
            "741b8276f2d1982aa3d5b832d3ee81ed3b896490",
            "generation/validation-00000-of-00001.parquet",
            None,
            parse_hub,
            origin="TruthfulQA, https://huggingface.co/datasets/truthfulqa/truthful_qa",
            licence=_LICENCE,
        ),
    ),
    prompt="choice",
    scorers=("multiple_choice",),
    max_tokens=32,
    stop=("\nQuestion:",),
)
