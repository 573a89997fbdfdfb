"""A spec's one JSON form, for the plan: every key, defaults included, and never a secret."""

from __future__ import annotations

from typing import Any

from assay.errors import ConfigError
from assay.spec.load import parse
from assay.spec.schema import Spec


def to_json(spec: Spec) -> dict[str, Any]:
    """`spec` as a JSON object; `load.parse` reads it back.

    Raises ConfigError where a spec that was made in Python holds a secret or what JSON cannot say.
    """
    try:
        value: dict[str, Any] = spec.model_dump(mode="json")
    except ValueError as error:
        raise ConfigError(f"this spec has no JSON form: {error}") from None
    for task in value["tasks"]:
        if not task["options"]:  # a key that came later: plans of tasks without options keep their digests
            del task["options"]
    parse(value)
    return value
