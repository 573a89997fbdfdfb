"""What a model of pydantic's finds wrong with what somebody wrote, as problems in assay's words, by place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from assay.document import Path, nearest
from assay.errors import Problem
from assay.spec.locations import Locations
from assay.spec.words import expected, keys_at, literals_at


def at(value: Any, path: Path) -> Any:
    """What stands at a path; None where nothing does."""
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def problem(kind: type[BaseModel], path: Path, item: Mapping[str, Any], value: Any, where: Locations) -> Problem:
    """One error of pydantic's (`item`) about the part at `path` of `value`, which should be a `kind`."""
    names = tuple("schema_" if part == "schema" else part for part in path)
    if item["type"] == "missing":
        return where.problem(path, "missing", allowed=expected(kind, names))
    if item["type"] == "extra_forbidden":
        keys = [key.rstrip("_") for key in keys_at(kind, path[:-1])]
        return where.problem(path, "unknown key", allowed=", ".join(keys), nearest=nearest(str(path[-1]), keys))
    if item["type"] == "value_error" or "[key]" in item["loc"]:
        return where.problem(path, str(item.get("ctx", {}).get("error", item["msg"])))
    given = at(value, path)
    words = expected(kind, names) or item["msg"]
    close = nearest(given, literals_at(kind, names)) if isinstance(given, str) else None
    return where.problem(path, f"must be {words}, not {_shown(given)}", nearest=close)


def _shown(value: Any) -> str:
    if isinstance(value, Mapping | list | tuple):
        return "a mapping" if isinstance(value, Mapping) else "a list"
    text = "empty" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
