"""Models by name (provisional)."""

from __future__ import annotations

from assay.models.base import Model
from assay.spec.schema import ModelSpec


def make(spec: ModelSpec) -> Model:
    from assay.models.openai import BACKEND

    return BACKEND(spec)
