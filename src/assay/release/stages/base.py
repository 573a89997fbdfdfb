"""A stage: typed inputs with their digests, work, outputs with theirs, and what its gate said.

Stages do the work and know nothing of order, retries or what comes next: that is the conductor's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from assay.errors import EvidenceError, FailureClass
from assay.files import digest_file, digest_of, pretty, write_atomic
from assay.gates.result import GateResult, Verdict
from assay.release.folder import ReleaseFolder, digest

if TYPE_CHECKING:
    from assay.release.resolve import Release
    from assay.run.execute import Watch as RunWatch

SCHEMA = "assay.stage.v1"
Kind = Literal["file", "tree", "seal"]


@dataclass(frozen=True, slots=True)
class Output:
    """Something that a stage made: a file, a folder, or a sealed run, for which its manifest speaks.

    `path` is inside the release, or a full one for a source that lies elsewhere.
    """

    path: str
    kind: Kind
    digest: str

    def problem(self, folder: ReleaseFolder) -> str | None:
        """Why it is not what the stage made; None where it is."""
        try:
            found = digest_at(folder.at(self.path), self.kind)
        except EvidenceError as error:
            return error.message
        return None if found == self.digest else f"{self.path} was changed"


def digest_at(path: Path, kind: Kind) -> str:
    """The digest of an output. Raises EvidenceError where it is missing or, of a run, not as it was sealed."""
    if kind != "seal":
        return digest(path)
    from assay.errors import ConfigError
    from assay.evidence.verify import subject_of

    try:
        return digest_file(subject_of(path))
    except ConfigError as error:
        raise EvidenceError(error.message) from None


@dataclass(frozen=True, slots=True)
class Gate:
    """What a stage's gate said, and in which file the whole of it is."""

    file: str
    gate: str
    verdict: str
    failure_class: str | None
    reasons: tuple[str, ...]

    @property
    def failed(self) -> bool:
        """Whether nothing may follow for this candidate."""
        return self.verdict not in (Verdict.PASS, Verdict.ACCEPT)


@dataclass(frozen=True, slots=True)
class Product:
    """What a stage's work came to."""

    outputs: tuple[Output, ...] = ()
    gate: Gate | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Record:
    """One finished stage, as its file keeps it.

    `needs`: the stages it stands on, each with the id of its record. `places`: what it wrote. `failure`: the class
    and words of what ended it, and `after`: what the rules said then, where it failed.
    """

    stage: str
    point: str | None
    key: str
    status: Literal["done", "failed"]
    needs: Mapping[str, str]
    inputs: Mapping[str, str]
    outputs: tuple[Output, ...]
    places: tuple[str, ...]
    gate: Gate | None
    facts: Mapping[str, Any]
    failure: Mapping[str, str] | None
    after: Mapping[str, str] | None
    tries: int
    started: float
    seconds: float
    log: str | None

    def to_json(self) -> dict[str, Any]:
        """As its file holds it, with an id that is the digest of all else."""
        content = {"schema": SCHEMA, **asdict(self)}
        return {**content, "id": digest_of(content)[:16]}

    @property
    def id(self) -> str:
        """16 hex digits of the digest of its content."""
        return str(self.to_json()["id"])


def from_json(value: Mapping[str, Any]) -> Record:
    """The record in a JSON object. Raises EvidenceError where it is none, or was changed."""
    try:
        content = {key: part for key, part in value.items() if key not in ("schema", "id")}
        content["outputs"] = tuple(Output(**output) for output in content["outputs"])
        content["places"] = tuple(content["places"])
        gate = content["gate"]
        content["gate"] = Gate(**{**gate, "reasons": tuple(gate["reasons"])}) if gate else None
        record = Record(**content)
        _shaped(record)
        whole = value.get("schema") == SCHEMA and value.get("id") == record.id
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise EvidenceError(f"not a stage's record ({error!r})") from None
    if not whole:
        raise EvidenceError("it was changed: its id is not the digest of its content")
    return record


def _shaped(record: Record) -> None:
    """See that what others go by is of the kind that they take it for: anybody can write a record with a right id.

    Raises TypeError.
    """
    texts: list[object] = [record.stage, record.key, *record.places, *record.needs.items(), *record.inputs.items()]
    texts += [part for output in record.outputs for part in (output.path, output.digest)]
    texts += [] if record.gate is None else [record.gate.file, record.gate.verdict, *record.gate.reasons]
    parts = [part for text in texts for part in (text if isinstance(text, tuple) else (text,))]
    maps = [record.facts, *(one for one in (record.failure, record.after) if one is not None)]
    if not all(isinstance(part, str) for part in parts) or not all(isinstance(one, dict) for one in maps):
        raise TypeError("a text or an object is something else")
    if {output.kind for output in record.outputs} - {"file", "tree", "seal"} or record.status not in ("done", "failed"):
        raise ValueError("an output or a status of no known kind")


class Watch(Protocol):
    """Who is told how a release goes."""

    def began(self, key: str, text: str) -> None:
        """A stage begins."""

    def ended(self, record: Record) -> None:
        """A stage has ended."""

    def kept(self, record: Record) -> None:
        """A stage was finished before, and holds."""

    def said(self, text: str) -> None:
        """Something worth knowing."""

    def progress(self, text: str, size: int) -> None:
        """How far a download or a quantizer is."""

    def run(self) -> RunWatch | None:
        """Who is told how an evaluation goes."""


class Silent:
    """A watch that says nothing."""

    def began(self, key: str, text: str) -> None:
        """Say nothing."""

    def ended(self, record: Record) -> None:
        """Say nothing."""

    def kept(self, record: Record) -> None:
        """Say nothing."""

    def said(self, text: str) -> None:
        """Say nothing."""

    def progress(self, text: str, size: int) -> None:
        """Say nothing."""

    def run(self) -> None:
        """Nobody is told."""


@dataclass(frozen=True)
class Context:
    """What every stage has: the directory, what is asked, whom to tell, and where events go."""

    folder: ReleaseFolder
    release: Release
    watch: Watch
    emit: Callable[..., None]


class Stage(ABC):
    """One stage of one point. Made anew whenever it is asked for; what it came to is in its record."""

    name: str
    text: str = ""
    """What it does, to people."""

    def __init__(self, context: Context, point: str | None = None, round_: int = 1) -> None:
        self.context, self.point, self.round = context, point, round_

    @property
    def key(self) -> str:
        """What tells it from all others: `evaluate-Q8_0`, in a second round `evaluate-Q8_0.2`."""
        parts = [self.name, *([self.point] if self.point else [])]
        return "-".join(parts) + (f".{self.round}" if self.round > 1 else "")

    @property
    def folder(self) -> ReleaseFolder:
        """The release directory."""
        return self.context.folder

    @property
    def place(self) -> Path:
        """Where the point's files are."""
        return self.folder.point(self.point) if self.point else self.folder.path

    @property
    def needs(self) -> tuple[str, ...]:
        """The keys of the stages whose outputs go in."""
        return ()

    @property
    def places(self) -> tuple[Path, ...]:
        """What it writes: set aside where it is void."""
        return ()

    @property
    def gates(self) -> str | None:
        """The key of the stage whose work it only judges: doing it again means doing that one again."""
        return None

    @property
    def log(self) -> Path | None:
        """Where other programs' output goes."""
        return None

    @abstractmethod
    def inputs(self) -> dict[str, str]:
        """The digest of everything that goes in, by its name. Raises EvidenceError where something is missing."""

    @abstractmethod
    def work(self) -> Product:
        """Do it. Raises AssayError where it cannot be done."""

    def kept(self, result: GateResult, path: Path) -> tuple[Gate, Output]:
        """Write what a gate said to a file of its own."""
        return keep(self.folder, result, path)


def keep(folder: ReleaseFolder, result: GateResult, path: Path) -> tuple[Gate, Output]:
    """Write what a gate said, and name it."""
    write_atomic(path, pretty(result.to_json()))
    return gate_of(folder, result, path), Output(folder.relative(path), "file", digest(path))


def gate_of(folder: ReleaseFolder, result: GateResult, path: Path) -> Gate:
    """A gate's result as a record names it."""
    kind = result.failure_class.value if result.failure_class else None
    return Gate(folder.relative(path), result.gate, result.verdict.value, kind, tuple(result.reasons))


def class_of(gate: Gate) -> FailureClass:
    """The class of a gate's failure; UNKNOWN where it names none."""
    return FailureClass(gate.failure_class) if gate.failure_class else FailureClass.UNKNOWN
