"""Calibration data as a task: the inputs of its samples, which a tool looks at to choose scales. No answer is used."""

from __future__ import annotations

from dataclasses import dataclass

from assay.data.sources import Progress
from assay.files import digest_of
from assay.tasks import registry

DEFAULT = "tips"
"""It comes with assay. For a release take inputs that are like those of your users."""


@dataclass(frozen=True, slots=True)
class Texts:
    """What was taken of a task. `digest`: of the texts."""

    task: str
    texts: tuple[str, ...]
    digest: str


def texts(task: str, count: int, progress: Progress | None = None) -> Texts:
    """The first `count` inputs of a task, all where it has fewer; choices stand under their question.

    Raises ConfigError for a task that there is none of, DataUnavailable where its data cannot be had.
    """
    _, dataset = registry.load(task, progress=progress)
    samples = (dataset[index] for index in range(min(count, len(dataset))))
    found = tuple("\n".join([sample.input, *(sample.choices or ())]) for sample in samples)
    return Texts(task, found, digest_of(list(found)))
