"""`${NAME}` in a spec's text: only names listed under `env:` are read, and `$$` is a dollar sign."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

from assay.document import Path, Unread, nearest
from assay.errors import Problem
from assay.spec.locations import Locations

_REFERENCE = re.compile(r"\$\$|\$\{([^{}]*)\}?")


def expand(value: Any, locations: Locations) -> tuple[Any, dict[Path, Problem]]:
    """`value` with its references replaced, and the problem of each text that has a wrong one.

    Keys and the list `env` itself are left alone.
    """
    names = value.get("env") if isinstance(value, dict) else None
    declared = {name for name in names if isinstance(name, str)} if isinstance(names, list) else set()
    problems: dict[Path, Problem] = {}

    def walk(part: Any, path: Path) -> Any:
        if path == ("env",):
            return part
        if isinstance(part, dict):
            return {key: walk(item, (*path, key)) for key, item in part.items()}
        if isinstance(part, list):
            return [walk(item, (*path, index)) for index, item in enumerate(part)]
        return text(part, path) if isinstance(part, str) and "$" in part else part

    def text(part: str, path: Path) -> str:
        for name in _names(part):
            if problem := _check(name, declared, path, locations):
                problems[path] = problem
                return Unread(part)
        return _REFERENCE.sub(lambda found: "$" if found[0] == "$$" else os.environ[found[1]], part)

    return walk(value, ()), problems


def _names(text: str) -> Iterator[str]:
    """The names that `text` refers to; one that is not closed is given as it stands, with its `${`."""
    for found in _REFERENCE.finditer(text):
        if found[0] != "$$":
            yield found[1] if found[0].endswith("}") else found[0]


def _check(name: str, declared: set[str], path: Path, locations: Locations) -> Problem | None:
    if name.startswith("${"):
        return locations.problem(path, "'${' without '}'", allowed="${NAME}, or $${ for the text '${'")
    shown = f"${{{name[:60]}}}"
    if name not in declared:
        close = nearest(name, declared)
        names = ", ".join(sorted(declared)) or "none: this spec has no 'env:' list"
        message = f"{shown} is not declared in 'env:'"
        return locations.problem(path, message, allowed=names, nearest=close)
    if name not in os.environ:
        return locations.problem(path, f"{shown}: the environment variable {name[:60]} is not set")
    return None
