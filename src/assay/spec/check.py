"""A plain value against the schema: every problem at once, each in our own words and at its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from assay.document import Path, Unread, Word, nearest
from assay.errors import ConfigError, Problem
from assay.spec.locations import Locations
from assay.spec.schema import Spec
from assay.spec.secrets import find_under, mask
from assay.spec.words import expected, keys_at, literals_at

_SHOWN = 60


def check(value: Mapping[str, Any], locations: Locations, *, known: Mapping[Path, Problem] | None = None) -> Spec:
    """The Spec that `value` describes. Raises ConfigError with all problems, `known` ones included.

    A path that has a known problem is not complained of twice.
    """
    problems = dict(known or {})
    problems |= {path: problem for path, problem in _secrets(value, (), locations) if path not in problems}
    problems |= dict(_words_in_options(value, locations))
    try:
        spec = Spec.model_validate(value)
    except ValidationError as error:
        problems = _schema(error, value, locations) | problems
    if problems:
        # One option can be wrong at many paths, and is still one problem.
        once = dict.fromkeys(problems.values())
        raise ConfigError(sorted(once, key=lambda problem: problem.line or 0))
    return spec


def _secrets(value: Any, path: Path, locations: Locations) -> Iterator[tuple[Path, Problem]]:
    """Every text that looks like a secret, and every key."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _secrets(item, (*path, key), locations)
            if find_under("", str(key)):
                yield (*path, key), _secret((*path, key), "this key looks like a secret", locations)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _secrets(item, (*path, index), locations)
    elif isinstance(value, str):
        name = next((part for part in reversed(path) if isinstance(part, str)), "")
        if kind := find_under(name, value):
            message = f"this looks like {kind} ({len(value)} characters, not shown)"
            yield path, _secret(path, message, locations)


def _secret(path: Path, message: str, locations: Locations) -> Problem:
    allowed = "no secrets in a spec; name the environment variable that holds it: 'api_key_env: NAME'"
    return locations.problem(path, message, allowed=allowed)


def _words_in_options(value: Any, locations: Locations) -> Iterator[tuple[Path, Problem]]:
    """`yes` and `no` where the schema takes anything, so that nobody can know whether a bool was meant."""
    for path, word in _find_words(value, ()):
        if "options" in path:
            message = f"{word} is true or false for some readers of YAML, and text for others"
            yield path, locations.problem(path, message, allowed=f"true, false, or '{word}' in quotes")


def _find_words(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _find_words(item, (*path, key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _find_words(item, (*path, index))
    elif isinstance(value, Word):
        yield path, value


def _schema(error: ValidationError, value: Any, locations: Locations) -> dict[Path, Problem]:
    """pydantic's findings as ours: one a path, the innermost where a union gives several."""
    found: dict[Path, dict[str, Any]] = {}
    for item in error.errors(include_url=False, include_input=False):
        found.setdefault(_path(item["loc"], item["type"], value), dict(item))
    inner = {path[:end] for path in found for end in range(len(path))}
    return {
        path: _problem(path, item, value, locations)
        for path, item in found.items()
        if (path not in inner or item["type"] == "value_error") and not isinstance(_at(value, path), Unread)
    }


def _path(loc: tuple[str | int, ...], kind: str, value: Any) -> Path:
    """`loc` without the names of union members, which pydantic puts between."""
    path: Path = ()
    for index, part in enumerate(loc):
        here = _at(value, path)
        inside = isinstance(here, Mapping) and (part in here or (kind == "missing" and index == len(loc) - 1))
        if inside or (isinstance(here, list | tuple) and isinstance(part, int)):
            path = (*path, part)
    return path


def _at(value: Any, path: Path) -> Any:
    """The value at `path`, None where there is none."""
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _problem(path: Path, item: dict[str, Any], value: Any, locations: Locations) -> Problem:
    if item["type"] == "missing":
        return locations.problem(path, "missing", allowed=expected(Spec, path))
    if item["type"] == "extra_forbidden":
        return _unknown(path, locations)
    if item["type"] == "value_error":
        return locations.problem(path, str(item["ctx"]["error"]))
    return _wrong(path, _at(value, path), locations)


def _unknown(path: Path, locations: Locations) -> Problem:
    keys = keys_at(Spec, path[:-1])
    close = nearest(str(path[-1]), keys)
    return locations.problem(path, "unknown key", allowed=", ".join(keys), nearest=close)


def _wrong(path: Path, value: Any, locations: Locations) -> Problem:
    words = expected(Spec, path) or "something else"
    message = f"must be {words}, not {_shown(value)}{_hint(words, value)}"
    close = nearest(value, literals_at(Spec, path)) if isinstance(value, str) else None
    return locations.problem(path, message, nearest=close)


def _shown(value: Any) -> str:
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    text = mask(value) if isinstance(value, str) else str(value)
    text = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    return repr(text) if isinstance(value, str) else text


def _hint(words: str, value: Any) -> str:
    """What to write instead, where that is plain."""
    if "whole number" in words and isinstance(value, float) and value.is_integer():
        return f"; write {int(value)}"
    if "true or false" in words and isinstance(value, Word):
        return f"; write {'true' if value.lower() in ('yes', 'on') else 'false'}"
    if words.startswith("a list") and isinstance(value, str):
        return f"; write [{_shown(value)}]"
    return ""
