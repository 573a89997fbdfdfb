"""What a task is. The built-in ones and those of other packages come through the same door:
the entry-point group `assay.tasks`, each naming a Task or a function that returns one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from assay.data.sources import Source


@dataclass(frozen=True, slots=True)
class Task:
    """A data set, how it becomes a prompt, and its default scorer.

    `sources` are tried in order; each knows how to turn its own rows into Samples. `prompt` names the default
    template (a file in `assay/prompts/builtin`). `scorers` lists the scoring modes it supports, the default
    first. `version` changes whenever a sample or the default prompt changes meaning. `cluster` names the
    metadata key whose values are not independent (MMLU's subject), where there is one.
    """

    name: str
    version: str
    kind: Literal["choice", "generate", "code"]
    summary: str
    sources: tuple[Source, ...]
    prompt: str
    scorers: tuple[str, ...]
    few_shot: int = 0
    max_tokens: int = 256
    stop: tuple[str, ...] = ()
    cluster: str | None = None
