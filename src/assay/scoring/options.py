"""Reads a scorer's options: every key known, every value of the right type, all mistakes told at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from assay.errors import ConfigError, Problem
from assay.files import digest_of


def nearest(name: str, known: tuple[str, ...]) -> str | None:
    """The known name that looks most like `name`, if any is close."""
    import difflib

    return next(iter(difflib.get_close_matches(name, known, n=1)), None)


class Options:
    """The options a user gave to one scorer. Ask for each known key once, then call `done`."""

    def __init__(self, scorer: str, given: Mapping[str, Any]) -> None:
        self.scorer = scorer
        self._given = given
        self._defaults: dict[str, Any] = {}
        self._values: dict[str, Any] = {}
        self._problems: list[Problem] = []

    def value(self, key: str, default: Any, fits: Callable[[Any], bool], allowed: str) -> Any:
        """The option `key`, or `default` where it was not given; `allowed` says what `fits` accepts."""
        self._defaults[key] = self._values[key] = default
        if key in self._given:
            if fits(self._given[key]):
                self._values[key] = self._given[key]
            else:
                self.reject(key, f"{shown(self._given[key])} is not a value for it", allowed)
        return self._values[key]

    def flag(self, key: str, default: bool) -> bool:
        """A true or false."""
        return bool(self.value(key, default, lambda given: isinstance(given, bool), "true, false"))

    def one_of(self, key: str, default: str, allowed: tuple[str, ...]) -> str:
        """One of a few words."""
        fits = lambda given: isinstance(given, str) and given in allowed  # noqa: E731
        return str(self.value(key, default, fits, ", ".join(allowed)))

    def texts(self, key: str) -> tuple[str, ...]:
        """One non-empty text or a list of them; empty where the option was not given."""
        given = self.value(key, (), _is_texts, "a text or a list of texts, not empty")
        return (given,) if isinstance(given, str) else tuple(given)

    def require(self, key: str) -> None:
        """Say that `key` must be given."""
        if key not in self._given:
            self.reject(key, f"the scorer {self.scorer!r} needs this option")

    def reject(self, key: str, message: str, allowed: str | None = None) -> None:
        """Note one mistake; `done` tells them all."""
        self._problems.append(Problem(message, key=f"scoring_mode.options.{key}", allowed=allowed))

    def fail(self, key: str, message: str, allowed: str | None = None) -> NoReturn:
        """Note one mistake that leaves nothing to go on with, and tell them all."""
        self.reject(key, message, allowed)
        raise ConfigError([*self._problems, *self._unknown()])

    def done(self, revision: str) -> str:
        """The scorer's revision with these options: `revision`, and a digest where an option is not the
        default.

        Raises ConfigError with every mistake found, unknown keys among them.
        """
        if problems := [*self._problems, *self._unknown()]:
            raise ConfigError(problems)
        changed = {key: value for key, value in self._values.items() if value != self._defaults[key]}
        return f"{revision}+{digest_of(changed)[:8]}" if changed else revision

    def _unknown(self) -> list[Problem]:
        known = tuple(self._values)
        return [
            Problem(
                f"the scorer {self.scorer!r} has no such option",
                key=f"scoring_mode.options.{key}",
                allowed=", ".join(known) or "none",
                nearest=nearest(str(key), known),
            )
            for key in self._given
            if key not in self._values
        ]


def _is_texts(given: Any) -> bool:
    items = [given] if isinstance(given, str) else given
    return isinstance(items, list | tuple) and bool(items) and all(isinstance(item, str) and item for item in items)


def shown(value: Any, limit: int = 80) -> str:
    """A value as a person reads it in a message: quoted, on one line, and not too long."""
    text = repr(value[: limit + 1] if isinstance(value, str) else value)
    return text if len(text) <= limit + 2 else f"{text[:limit]}…"
