"""A spec from a file: YAML or JSON, read safely, checked whole, with the place of every value."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path as File
from typing import Any

from assay import document
from assay.document import Document, Path
from assay.errors import ConfigError, Problem
from assay.spec.check import check
from assay.spec.environment import expand
from assay.spec.locations import Locations
from assay.spec.schema import Spec

__all__ = ["Locations", "load", "load_located", "parse"]


def load(path: File) -> Spec:
    """The spec in a file. Raises ConfigError with every problem of the file, by line."""
    return load_located(path)[0]


def load_located(path: File) -> tuple[Spec, Locations]:
    """As `load`, and where each value was written, for problems that are found later."""
    text = document.read(path)
    locations = Locations(where=str(path), lines=text.lines)
    if not isinstance(text.value, dict):
        raise ConfigError([*text.problems, _not_a_spec(text)])
    value, unset = expand(text.value, locations)
    known: dict[Path, Problem] = {("\0", index): problem for index, problem in enumerate(text.problems)}
    return check(value, locations, known=known | unset), locations


def _not_a_spec(text: Document) -> Problem:
    message = "the file is empty" if text.value is None else "a spec is a mapping of keys to values"
    return text.problem((), message, allowed="keys such as 'models:' and 'tasks:'")


def parse(value: Mapping[str, Any], where: str = "spec") -> tuple[Spec, Locations]:
    """The spec that a Python mapping or a stored one describes; `${NAME}` is left as it is.

    Raises ConfigError with every problem, by key.
    """
    locations = Locations(where=where)
    return check(value, locations), locations
