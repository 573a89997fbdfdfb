"""The records that cross packages: plain, frozen, and with one JSON form each.

They are dataclasses rather than pydantic models because a run makes one of each per attempt; what people write
(specs, policies) is parsed by pydantic in `assay.spec`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Literal

Value = bool | float | str
"""A score says by its type what it is: a bool passes or fails, a number measures, a string labels."""

Role = Literal["system", "user", "assistant"]


class Outcome(StrEnum):
    """How an attempt ended. Only the first four are the model's doing and may be scored."""

    OK = "ok"
    EMPTY = "empty"
    TRUNCATED = "truncated"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    INFRA_ERROR = "infra_error"
    SCORER_ERROR = "scorer_error"
    SKIPPED = "skipped"

    @property
    def scorable(self) -> bool:
        """Whether the model answered, so that right or wrong is its own doing."""
        return self in _SCORABLE


_SCORABLE = frozenset({Outcome.OK, Outcome.EMPTY, Outcome.TRUNCATED, Outcome.REFUSED})


@dataclass(frozen=True, slots=True)
class Sample:
    """One item of a data set.

    `input` is the question as text and `target` the reference answer as text (empty where there is none).
    A multiple-choice sample has `choices` and `gold`, the indices of the right ones. `fields` are further
    variables that templates and scorers read (`passage`, `entry_point`, `tests`); `metadata` is for people and
    breakdowns (`subject`, `category`) and shapes nothing.
    """

    id: str
    input: str
    target: str = ""
    choices: tuple[str, ...] = ()
    gold: tuple[int, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As a JSON object; empty parts are left out."""
        return {key: value for key, value in asdict(self).items() if value or key in ("id", "input")}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Sample:
        """The reverse of `to_json`. Raises TypeError on an unknown key."""
        known = dict(value)
        known["choices"] = tuple(known.get("choices", ()))
        known["gold"] = tuple(known.get("gold", ()))
        return cls(**known)


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the model is to decode. Temperature 0 asks for greedy decoding, which is not always deterministic.

    `json_schema`: the JSON Schema, as canonical JSON, that decoding is confined to; its keys come in the order of their
    names. Only for backends whose capabilities say `structured`.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 256
    stop: tuple[str, ...] = ()
    json_schema: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As a JSON object, without a schema where there is none: what never had one keeps its digests."""
        value = asdict(self)
        if self.json_schema is None:
            del value["json_schema"]
        return value


@dataclass(frozen=True, slots=True)
class Request:
    """What one attempt asks of a model; exactly one of `messages` and `text` is set.

    `messages`: a chat, for the server's own chat template. `text`: raw text to continue. With `choices` nothing
    is generated: the model says how likely each choice is as the continuation of `text`. `key` names the attempt
    (`task/sample/epoch`) for backends that look answers up; it is never sent.
    """

    sampling: Sampling
    seed: int
    messages: tuple[Message, ...] = ()
    text: str | None = None
    choices: tuple[str, ...] = ()
    key: str = ""

    def to_json(self) -> dict[str, Any]:
        """Everything that shapes the answer, as JSON; its digest keys the response cache."""
        value = {name: part for name, part in asdict(self).items() if name != "key"}
        return {**value, "sampling": self.sampling.to_json()}


@dataclass(frozen=True, slots=True)
class ChoiceScore:
    """How likely one choice is: the sum of its tokens' natural log probabilities, and how many tokens."""

    logprob: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model returned for one request.

    `finish` is the backend's reason in our words: `stop`, `length` (cut by the token limit), `refusal` (a
    content filter or an explicit refusal), or None where the backend does not say. `choices` answers a request
    that had choices, one entry each, in order. Token counts are None where the backend does not say: missing is
    never zero. `first_token_s` is the time to the first token where it was measured. `form` says what `text` is
    where it was given as code: a `completion` of the problem's prompt, or a whole `program`; None for an answer in
    which the code is still to be found.
    """

    text: str = ""
    finish: Literal["stop", "length", "refusal"] | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    choices: tuple[ChoiceScore, ...] = ()
    first_token_s: float | None = None
    form: Literal["completion", "program"] | None = None

    def to_json(self) -> dict[str, Any]:
        """As a JSON object, with what is absent left out."""
        value: dict[str, Any] = {"text": self.text}
        for key in ("finish", "tokens_in", "tokens_out", "first_token_s", "form"):
            if (part := getattr(self, key)) is not None:
                value[key] = part
        if self.choices:
            value["choices"] = [[choice.logprob, choice.tokens] for choice in self.choices]
        return value

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Completion:
        """The reverse of `to_json`. Raises TypeError on an unknown key."""
        known = dict(value)
        known["choices"] = tuple(ChoiceScore(*pair) for pair in known.get("choices", ()))
        return cls(**known)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request of a plan: the `index`-th of all, for sample `sample` of cell `cell`, repetition `epoch`.

    `id` is a digest of cell, sample and epoch; `seed` derives from the root seed and the same three, so neither
    depends on order, concurrency, resumption or machine.
    """

    id: str
    index: int
    cell: int
    sample: str
    position: int
    epoch: int
    seed: int


@dataclass(frozen=True, slots=True)
class Score:
    """What one scorer says of one attempt.

    `metrics` maps each of the scorer's metrics to its value, the first being the primary one. `extracted` is the
    part of the completion that was judged, None where none was found. `why` explains the value to a person.
    """

    metrics: Mapping[str, Value]
    extracted: str | None = None
    why: str = ""
