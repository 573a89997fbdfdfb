"""An entry of the catalogue: a backend, or a built-in model, and what a person may tell it.

Built-in entries are of this class; an entry of another package may be any function that takes a ModelSpec and
returns a Model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from assay.document import nearest
from assay.errors import ConfigError, Problem
from assay.models.base import Model

if TYPE_CHECKING:
    from assay.spec.schema import ModelSpec

_OPTIONAL = ("base_url", "api_key_env", "choices")
"""The keys of a ModelSpec that only some backends understand."""

_WORDS: dict[type, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


@dataclass(frozen=True, slots=True)
class Option:
    """One key of `options`: its type, its bounds (inclusive) or its values, and what it does."""

    kind: type[bool] | type[int] | type[float] | type[str]
    help: str
    low: float | None = None
    high: float | None = None
    values: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        """What may be written, in words."""
        if self.values:
            return ", ".join(self.values)
        words = _WORDS[self.kind]
        if self.low is not None and self.high is not None:
            return f"{words} from {self.low:g} to {self.high:g}"
        return f"{words}, at least {self.low:g}" if self.low is not None else words

    def accepts(self, value: Any) -> bool:
        """Whether `value` may be written here. True is not a number."""
        if isinstance(value, bool) or self.kind is bool:
            return isinstance(value, bool) and self.kind is bool
        if not isinstance(value, (int, float) if self.kind is float else self.kind):
            return False
        if self.values:
            return value in self.values
        return not isinstance(value, int | float) or (
            (self.low is None or value >= self.low) and (self.high is None or value <= self.high)
        )


@dataclass(frozen=True, slots=True)
class Backend:
    """One line of `assay models list`; called with a ModelSpec it checks it and makes the Model.

    `usage`: what a person writes. `extra`: the optional packages it needs. `keys`: which of `base_url`,
    `api_key_env` and `choices` it understands.
    """

    name: str
    usage: str
    summary: str
    build: Callable[[ModelSpec], Model]
    extra: str | None = None
    options: Mapping[str, Option] = field(default_factory=dict)
    keys: frozenset[str] = frozenset()

    def __call__(self, spec: ModelSpec) -> Model:
        """The model. Raises ConfigError with all that is wrong with the spec."""
        problems = [*self._stray_keys(spec), *self._bad_options(spec)]
        if self.usage != self.name and not what(spec):
            problems.append(Problem(f"{spec.model!r} does not say which model", allowed=self.usage))
        if problems:
            raise ConfigError(problems)
        return self.build(spec)

    def _stray_keys(self, spec: ModelSpec) -> list[Problem]:
        written = [key for key in _OPTIONAL if getattr(spec, key) is not None and key not in self.keys]
        return [Problem(f"{key!r} means nothing to {self.name}", key=key) for key in written]

    def _bad_options(self, spec: ModelSpec) -> list[Problem]:
        problems = []
        for key, value in spec.options.items():
            option = self.options.get(key)
            if option is None:
                known = ", ".join(self.options) or "none"
                near = nearest(key, self.options)
                message = f"{self.name} has no option {key!r}"
                problems.append(Problem(message, key=f"options.{key}", allowed=known, nearest=near))
            elif not option.accepts(value):
                message = f"option {key!r} of {self.name} cannot be {value!r}"
                problems.append(Problem(message, key=f"options.{key}", allowed=option.allowed))
        return problems


def what(spec: ModelSpec) -> str:
    """What stands after `backend:` in a spec's model."""
    return spec.model.partition(":")[2]
