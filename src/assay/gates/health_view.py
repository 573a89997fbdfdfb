"""What the health gate reads: an observation of one deployment, with a JSON form (`assay.health.v1`) both ways."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from assay.errors import EvidenceError, FailureClass
from assay.spec.schema import Strict

SCHEMA = "assay.health.v1"
Severity = Literal["blocking", "note"]


@dataclass(frozen=True, slots=True)
class Generation:
    """One answer to a fixed prompt, decoded greedily; `error` in its place where there is none."""

    prompt: str
    text: str = ""
    tokens: int | None = None
    finish: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Passage:
    """How likely a fixed passage was found: the sum of natural log probabilities of its tokens, or an error."""

    name: str
    logprob: float | None = None
    tokens: int = 0
    error: str | None = None

    @property
    def loss(self) -> float | None:
        """Nats a token."""
        return None if self.logprob is None or self.tokens < 1 else -self.logprob / self.tokens


@dataclass(frozen=True, slots=True)
class Finding:
    """Lines of the log that a known pattern fits: which, what kind of failure it tells of, where first, how often."""

    pattern: str
    failure_class: FailureClass
    severity: Severity
    line: int
    count: int
    excerpt: str


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen of one deployment.

    `model`: what it should be, with `digest`. `texts`: digest of the prompts and passages. `alive`: its process runs;
    None for a server that is not ours. `answers`: it lists (or takes) the model under `served`; `why` it does not.
    `digest`: of the checkpoint's files as they are now; None where they are not ours to see. `mapped`: the process has
    those very files in its memory; None where that cannot be seen. `unmeasured` says why there are no passages.
    `scanned`: bytes of the log that were looked at, of `logged`; None where there is none. `seconds` of generating.
    """

    model: Mapping[str, Any]
    texts: str
    alive: bool | None
    answers: bool
    served: str
    why: str = ""
    digest: str | None = None
    mapped: bool | None = None
    generations: tuple[Generation, ...] = ()
    passages: tuple[Passage, ...] = ()
    unmeasured: str = ""
    findings: tuple[Finding, ...] = ()
    scanned: int | None = None
    logged: int | None = None
    seconds: float | None = None
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def loss(self) -> float | None:
        """Nats a token over all passages; None where one is missing or none was measured."""
        losses = [passage.loss for passage in self.passages]
        if not losses or None in losses:
            return None
        return -math.fsum(passage.logprob or 0.0 for passage in self.passages) / sum(p.tokens for p in self.passages)

    @property
    def tokens_per_s(self) -> float | None:
        """Generated tokens a second, all slots together, as far as the server counts them."""
        counts = [one.tokens for one in self.generations]
        if not self.seconds or not counts or None in counts:
            return None
        return sum(count or 0 for count in counts) / self.seconds

    def to_json(self) -> dict[str, Any]:
        """As the document, which `from_json` reads back."""
        value = asdict(self)
        for finding in value["findings"]:
            finding["failure_class"] = finding["failure_class"].value
        return {
            "schema": SCHEMA,
            **{key: list(part) if isinstance(part, tuple) else part for key, part in value.items()},
        }


_Text = Annotated[str, Field(max_length=100_000)]
_Count = Annotated[int, Field(ge=0, lt=2**53)]
_Number = Annotated[float, Field(allow_inf_nan=False)]


class _Generation(Strict):
    prompt: _Text
    text: _Text = ""
    tokens: _Count | None = None
    finish: _Text | None = None
    error: _Text | None = None


class _Passage(Strict):
    name: _Text
    logprob: _Number | None = None
    tokens: _Count = 0
    error: _Text | None = None


class _Finding(Strict):
    pattern: _Text
    failure_class: Annotated[FailureClass, Field(strict=False)]
    severity: Severity
    line: _Count
    count: _Count
    excerpt: _Text


class _Observation(Strict):
    schema_: Literal["assay.health.v1"] = Field(alias="schema")
    model: dict[str, Any]
    texts: _Text
    alive: bool | None
    answers: bool
    served: _Text
    why: _Text = ""
    digest: _Text | None = None
    mapped: bool | None = None
    generations: Annotated[list[_Generation], Field(max_length=1000)]
    passages: Annotated[list[_Passage], Field(max_length=1000)]
    unmeasured: _Text = ""
    findings: Annotated[list[_Finding], Field(max_length=1000)]
    scanned: _Count | None = None
    logged: _Count | None = None
    seconds: _Number | None = None
    facts: dict[str, _Text] = Field(default_factory=dict)


def from_json(value: Any) -> Observation:
    """The observation that a JSON value describes. Raises EvidenceError that names the first thing wrong with it."""
    try:
        parsed = _Observation.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise EvidenceError(f"not an observation of a deployment: {place}: {first['msg']}") from None
    except RecursionError:
        raise EvidenceError("not an observation of a deployment: nested too deeply") from None
    content = {name: getattr(parsed, name) for name in _Observation.model_fields if name != "schema_"}
    content["generations"] = tuple(Generation(**dict(one)) for one in parsed.generations)
    content["passages"] = tuple(Passage(**dict(one)) for one in parsed.passages)
    content["findings"] = tuple(Finding(**dict(one)) for one in parsed.findings)
    return Observation(**content)
