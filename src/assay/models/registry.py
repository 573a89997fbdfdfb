"""Models by name: the entry-point group `assay.models`, where built-in backends and those of others meet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from assay.document import nearest
from assay.errors import ConfigError, MachineError, Problem
from assay.models.backend import Backend
from assay.models.base import Model

if TYPE_CHECKING:
    from assay.spec.schema import ModelSpec

GROUP = "assay.models"


@cache
def _entries() -> Mapping[str, EntryPoint]:
    """The first entry of a name wins, so that no package can take a built-in name over."""
    found: dict[str, EntryPoint] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: not entry.value.startswith("assay.")):
        found.setdefault(entry.name, entry)
    return found


def _load(name: str) -> Any:
    entry = _entries()[name]
    try:
        return entry.load()
    except (ImportError, AttributeError) as error:
        hint = "reinstall the package that provides it"
        message = f"the backend {name!r} ({entry.value}) does not load: {error}"
        raise MachineError(message, layer="models", hint=hint) from error


def catalogue() -> list[Backend]:
    """Every backend and built-in model, by name; built-in models are those whose usage is their name."""
    return [_described(name, _load(name)) for name in sorted(_entries())]


def _described(name: str, entry: Callable[[ModelSpec], Model]) -> Backend:
    if isinstance(entry, Backend):
        return entry
    summary = (entry.__doc__ or "").strip().partition("\n")[0]
    return Backend(name, f"{name}:WHAT", summary, entry)


def backends() -> list[str]:
    """The names that may stand before a colon."""
    return [item.name for item in catalogue() if item.usage != item.name]


def names() -> list[str]:
    """The built-in models, written without a colon."""
    return [item.name for item in catalogue() if item.usage == item.name]


def make(spec: ModelSpec) -> Model:
    """The model that a spec names: cheap, nothing is downloaded, connected to or loaded.

    Raises ConfigError for an unknown backend, model or option, with the nearest name; MachineError where the
    package behind a name does not load.
    """
    prefix, colon, _ = spec.model.partition(":")
    if prefix not in _entries():
        raise ConfigError(_unknown(spec.model, prefix if colon else spec.model))
    entry = _load(prefix)
    if colon and isinstance(entry, Backend) and entry.usage == entry.name:
        raise ConfigError(Problem(f"{prefix} is a model, not a backend", allowed=prefix))
    model: Model = entry(spec)
    return model


def _unknown(model: str, name: str) -> Problem:
    allowed = ", ".join([*names(), *(f"{backend}:…" for backend in backends())])
    if name == model and model.lower().endswith(".gguf"):
        return Problem(f"there is no model {model!r}", allowed=allowed, nearest=f"llamacpp:{model}")
    kind = "model" if name == model else "backend"
    return Problem(f"there is no {kind} {name!r}", allowed=allowed, nearest=nearest(name, _entries()))
