"""JSON Schema validation (draft 2020-12) that neither fetches anything nor hangs on hostile JSON.

The keywords are those of the `jsonschema` package, with three differences: patterns are searched through
`assay.scoring.bounded`; `uniqueItems` takes linear time; and one validation has a limit of processor time,
beyond which it has no result (ScorerError), because recursive schemas can ask for exponentially many steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any

import jsonschema
from jsonschema.exceptions import SchemaError, ValidationError
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from assay.errors import ScorerError
from assay.scoring import bounded
from assay.scoring.options import shown

DRAFT = "https://json-schema.org/draft/2020-12/schema"
SECONDS = 1.0
"""Processor time for one validation; an ordinary one takes well under a millisecond."""

Errors = Iterator[ValidationError]
_deadline: ContextVar[float] = ContextVar("deadline")


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Errors:
    if isinstance(instance, str) and not bounded.search(bounded.compiled(pattern), instance):
        yield ValidationError(f"{shown(instance)} does not match {shown(pattern)}")


def _pattern_properties(validator: Any, patterns: Any, instance: Any, schema: Any) -> Errors:
    for pattern, subschema in patterns.items() if isinstance(instance, dict) else ():
        for key, value in instance.items():
            if bounded.search(bounded.compiled(pattern), key):
                yield from validator.descend(value, subschema, path=key, schema_path=pattern)


def _additional_properties(validator: Any, subschema: Any, instance: Any, schema: Any) -> Errors:
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for key, value in instance.items() if isinstance(instance, dict) else ():
        if key in known or any(bounded.search(bounded.compiled(pattern), key) for pattern in patterns):
            continue
        if subschema is False:
            yield ValidationError(f"{shown(key)} is a property that the schema does not have")
        else:
            yield from validator.descend(value, subschema, path=key)


def _unique_items(validator: Any, wanted: bool, instance: Any, schema: Any) -> Errors:
    if wanted and isinstance(instance, list) and len({_identity(item) for item in instance}) < len(instance):
        yield ValidationError("an item of the array occurs twice")


def _identity(value: Any) -> Any:
    """A hashable stand-in, equal where JSON values are: 1 is 1.0 but not true, and keys have no order."""
    if isinstance(value, dict):
        return "object", frozenset((key, _identity(item)) for key, item in value.items())
    if isinstance(value, list):
        return "array", tuple(_identity(item) for item in value)
    return isinstance(value, bool), value


def _timed(keyword: Callable[..., Errors | None], *args: Any) -> Errors:
    if time.thread_time() > _deadline.get():
        raise ScorerError(f"the schema asks for more than {SECONDS} s of work on this answer")
    yield from keyword(*args) or ()


_KEYWORDS = {
    **jsonschema.Draft202012Validator.VALIDATORS,
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "uniqueItems": _unique_items,
}
# Formats are annotations here; the metaschema's "regex" would be Python's `re`, which knows fewer patterns.
_NO_FORMATS = jsonschema.FormatChecker(formats=())
_extend: Any = jsonschema.validators.extend
_Validator = _extend(
    jsonschema.Draft202012Validator,
    validators={name: partial(_timed, keyword) for name, keyword in _KEYWORDS.items()},
)


def prepared(schema: Mapping[str, Any]) -> Any:
    """A validator for `first_error`. Raises ValueError that says what is wrong with the schema."""
    if schema.get("$schema", DRAFT).rstrip("#") != DRAFT:
        raise ValueError(f"$schema is {shown(schema['$schema'])}; only {DRAFT} is known")
    try:
        jsonschema.Draft202012Validator.check_schema(schema, format_checker=_NO_FORMATS)
        base = schema.get("$id", "")
        resource = DRAFT202012.create_resource(schema)
        registry: Any = Registry().with_resource(base, resource).crawl()
        keywords: set[str] = set()
        for part, resolver in _parts(resource, registry.resolver(base)):
            _check(part, resolver)
            keywords |= part.keys()
    except SchemaError as error:
        raise ValueError(f"at {error.json_path}: {_short(error.message)}") from None
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if {"unevaluatedProperties", "patternProperties"} <= keywords:
        raise ValueError("unevaluatedProperties beside patternProperties is not supported")
    return _Validator(schema, registry=registry)


def _parts(resource: Any, resolver: Any) -> Iterator[tuple[Mapping[str, Any], Any]]:
    """Every subschema that is an object, with what resolves its references."""
    if isinstance(resource.contents, Mapping):
        yield resource.contents, resolver
    for part in resource.subresources():
        yield from _parts(part, resolver.in_subresource(part))


def _check(part: Mapping[str, Any], resolver: Any) -> None:
    """Raises ValueError for what the metaschema lets pass: dangling references, bad patterns."""
    for key in part.keys() & {"$ref", "$dynamicRef"}:
        try:
            resolver.lookup(part[key])
        except Unresolvable:
            raise ValueError(f"{key} {shown(part[key])} is not in the schema; nothing is fetched") from None
    patterns = [part["pattern"]] if "pattern" in part else []
    for pattern in [*patterns, *part.get("patternProperties", ())]:
        try:
            bounded.compiled(pattern)
        except ValueError as error:
            raise ValueError(f"{shown(pattern)} is not a regular expression: {error}") from None


def first_error(validator: Any, value: Any) -> str | None:
    """Where and why the first keyword refuses `value`, for a person; None where the schema accepts it.

    Raises ScorerError at a limit of time or depth.
    """
    _deadline.set(time.thread_time() + SECONDS)
    try:
        error = next(validator.iter_errors(value), None)
    except RecursionError:
        raise ScorerError("the JSON in the answer is nested too deep for the schema") from None
    return f"at {error.json_path}: {_short(error.message)}" if error else None


def _short(message: str, limit: int = 200) -> str:
    return message if len(message) <= limit else f"{message[:limit]}…"
