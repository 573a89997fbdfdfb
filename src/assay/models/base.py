"""What a model backend is. The built-in ones and those of other packages come through the same door:
the entry-point group `assay.models`, each naming a function that takes a ModelSpec and returns a Model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from assay.records import Completion, Request

Determinism = Literal["bitwise", "seeded", "none", "recorded"]
"""`bitwise`: the same request gives the same bytes, batched or alone. `seeded`: it takes a seed but does not
promise that. `none`: no seed. `recorded`: a replay."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend can do with one model, declared without asking the network.

    `structured`: decoding can be confined to a JSON Schema (`Sampling.json_schema`) in the way it is asked by default.
    """

    chat: bool
    completion: bool
    choices: bool
    seed: bool
    determinism: Determinism
    structured: bool = False

    def to_json(self) -> dict[str, Any]:
        """As the plan has it. Whether decoding was confined stands in the plan's sampling, and not here too."""
        return {name: part for name, part in asdict(self).items() if name != "structured"}


@dataclass(frozen=True, slots=True)
class Size:
    """How large a model is, and where that was read from ("GGUF header", "config.json", "the name's tag").

    `parameters` is a count; `memory` the bytes its weights and cache need when loaded, None for a remote model.
    """

    parameters: int | None
    memory: int | None
    source: str


class Model(ABC):
    """One model behind one backend. Made cheaply at plan time; `start` is where anything heavy happens.

    Life: construct → (plan reads `capabilities`, `identity`, `size`) → start → complete, many at once → stop.
    """

    name: str
    """As the user calls it, and as tables show it."""

    local: bool = False
    """Whether its weights are loaded on this machine; such models run one after another."""

    synthetic: bool = False
    """Whether its answers are recorded or made up; such evidence passes no gate."""

    parallel: int | None = None
    """How many requests it can truly serve at once (its slots), where it knows."""

    @property
    @abstractmethod
    def identity(self) -> Mapping[str, Any]:
        """What pins the model, for the plan and the response cache: backend, model, file digest or endpoint.

        Never a secret. `digest` (SHA-256 of the weights or recording) is present where it is known.
        """

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What it can do."""

    def size(self) -> Size | None:
        """How large it is, where that can be known before any download; None where it cannot."""
        return None

    def fetch(self, progress: Callable[[str, int], None] | None = None) -> None:  # noqa: B027
        """Get what `start` needs and is not here yet, telling `progress` what and how many bytes so far.

        Raises MachineError (DataUnavailable) where it cannot be had, DigestMismatch where it is not the pinned one.
        """

    async def start(self) -> None:  # noqa: B027 - a backend may have nothing to open
        """Open the connection or load the weights.

        Raises MachineError (ModelUnavailable, BackendUnreachable, MissingExtra) where that cannot be done.
        """

    @abstractmethod
    async def complete(self, request: Request) -> Completion:
        """Answer one request; safe to call many times at once. Raises BackendError subclasses, nothing else.

        A backend that is not `structured` is never asked with a schema.
        """

    async def stop(self) -> None:  # noqa: B027 - nor anything to free
        """Free weights and connections. Safe to call twice, and after a failed start."""

    def environment(self) -> Mapping[str, str]:
        """What else shapes the answers and is known after `start`: library versions, server build."""
        return {}
