"""The AI2 Reasoning Challenge (Clark et al. 2018): grade-school science questions with choices."""

from __future__ import annotations

from assay.data.sources import Folder, Parse, Row, Skip, Source
from assay.records import Sample
from assay.tasks.base import Task
from assay.tasks.choices import labelled_parser, sample
from assay.tasks.places import hub

_REVISION = "210d026faf9955653af8916fad021475a3f00453"
_LICENCE = "CC-BY-SA-4.0"
_PREFIX = "Question: "


def task(name: str, config: str, summary: str, sha256: str, hub_sha256: str) -> Task:
    """One of the two test sets. `sha256` pins the JSON lines, `hub_sha256` the Parquet file."""
    origin = (
        "AI2 ARC test set, as in mosaicml/llm-foundry (scripts/eval/local_data/world_knowledge), "
        "commit 8c8dd48f72168c5d51e2f7b151595892a8fba43d"
    )
    folder = Source(Folder(f"arc/{name}.jsonl"), "jsonl", _parser(name), sha256, origin, _LICENCE)
    file = f"{config}/test-00000-of-00001.parquet"
    remote = hub(
        "allenai/ai2_arc",
        _REVISION,
        file,
        hub_sha256,
        labelled_parser(name),
        origin="AI2 ARC test set, https://huggingface.co/datasets/allenai/ai2_arc",
        licence=_LICENCE,
    )
    return Task(
        name=name,
        version="1",
        kind="choice",
        summary=summary,
        sources=(folder, remote),
        prompt="choice",
        scorers=("multiple_choice",),
        max_tokens=16,
        stop=("\nQuestion:",),
    )


def _parser(name: str) -> Parse:
    def parse(row: Row, index: int) -> Sample | Skip:
        question = row["query"].removeprefix(_PREFIX)
        return sample(f"{name}/{index}", question, row["choices"], row["gold"])

    return parse
