"""`scenario:FILE`: a task whose inputs are built from factors, which a person writes down in YAML, with no code.

The file's form is that of `assay.data.factors`. Each combination of factors is a sample: its input is the file's
template, its fields the factors and parameters, so that prompts can use them; its metadata the factors' labels, so that
breakdowns and clusters can.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.data.factors import Factors, Level, parsed
from assay.data.sources import BuiltIn, File, Row, Skip, Source
from assay.document import nearest, read_text
from assay.errors import ConfigError, Problem
from assay.files import digest_of
from assay.prompts.sandbox import TemplateError
from assay.prompts.template import Template
from assay.records import Sample
from assay.tasks.base import Task

Options = Mapping[str, bool | int | float | str]
"""What a spec says a parameter is, instead of the file's own value."""

_WHOLE = re.compile(r"\{\{ *([A-Za-z_][A-Za-z0-9_]*) *\}\}")
_SCORERS = ("structured", "json_schema", "regex", "contains")
_FREE = ("regex", "contains", "json_schema")


def task(path: str, options: Options | None = None) -> Task:
    """The task that a file of the user's own describes. Raises ConfigError with every problem of the file, by line."""
    where = Path(path).expanduser()
    text = read_text(where)
    origin = f"the user's file {where.name}"
    return made(f"scenario:{path}", text, path, File(path), options, origin=origin, licence="the user's own")


def made(
    name: str,
    text: str,
    where: str,
    place: File | BuiltIn,
    options: Options | None,
    *,
    origin: str,
    licence: str,
    sha256: str | None = None,
) -> Task:
    """The task of a scenario file's text. Raises ConfigError."""
    found = parsed(text, where)
    parse = _Parser.of(found, _parameters(found, options or {}))
    shape = {"text": text, "parameters": dict(parse.parameters)}
    source = Source(
        place,
        "scenario",
        parse,
        sha256,
        origin=origin,
        licence=licence,
        revision=f"1-{digest_of(shape)[:16]}",
        shown=(*found.levels, *found.parameters),
        strict=True,
    )
    return Task(
        name=name,
        version=str(found.version),
        kind="generate",
        summary=found.description,
        sources=(source,),
        prompt=found.prompt,
        scorers=_SCORERS if found.answer else _FREE,
        max_tokens=found.max_tokens,
        cluster=found.cluster,
    )


def _parameters(found: Factors, options: Options) -> dict[str, Any]:
    """The file's parameters, with what the spec says instead. A value keeps the kind that the file gives it."""
    problems = []
    for name, value in options.items():
        if name not in found.parameters:
            allowed, close = ", ".join(found.parameters) or "none", nearest(name, found.parameters)
            problems.append(Problem(f"no parameter {name!r}", key="options", allowed=allowed, nearest=close))
        elif not _same_kind(found.parameters[name], value):
            kind = type(found.parameters[name]).__name__
            problems.append(Problem(f"{value!r} is no value for it", key=f"options.{name}", allowed=f"a {kind}"))
    if problems:
        raise ConfigError(problems)
    return {**found.parameters, **options}


def _same_kind(default: Any, value: Any) -> bool:
    if isinstance(default, float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(default) is type(value)


@dataclass(frozen=True, slots=True)
class _Parser:
    """Makes a sample of a combination."""

    template: Template
    parameters: Mapping[str, Any]
    category: str | None
    answer: Mapping[str, Any] | None

    @classmethod
    def of(cls, found: Factors, parameters: Mapping[str, Any]) -> _Parser:
        """The parser of one file. Raises ConfigError where its template or its schema cannot be used."""
        where = found.document.where
        template = Template(found.input, where, found.line)
        known = (*found.levels, *parameters)
        if problems := [
            Problem(
                f"no factor or parameter {name!r}",
                where,
                found.line + line - 1,
                "input",
                ", ".join(known),
                nearest(name, known),
            )
            for name, line in template.names.items()
            if name not in known
        ]:
            raise ConfigError(problems)
        return cls(template, parameters, found.category, _answer(found, parameters))

    def __call__(self, row: Row, index: int) -> Sample | Skip:
        levels: Mapping[str, Level] = row["levels"]
        values = {name: value for name, (_, value) in levels.items()}
        labels = {name: label for name, (label, _) in levels.items()}
        try:
            text = self.template.render({**self.parameters, **values}).strip()
        except TemplateError as error:
            return Skip(f"the input cannot be made: {error.message}", key="input")
        if not text:
            return Skip("the input is empty", key="input")
        fields = {**self.parameters, **values}
        if self.answer is not None:
            fields["answer_format"] = dict(self.answer)
        metadata = {**labels, **({"category": labels[self.category]} if self.category else {})}
        return Sample(id="/".join(labels.values()), input=text, fields=fields, metadata=metadata)


def _answer(found: Factors, parameters: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What answers must look like, with the parameters in place: schema, and the longest text in characters."""
    if found.answer is None:
        return None
    problems: list[Problem] = []

    def filled(value: Any, path: tuple[str | int, ...]) -> Any:
        if isinstance(value, dict):
            return {key: filled(part, (*path, key)) for key, part in value.items()}
        if isinstance(value, list):
            return [filled(part, (*path, place)) for place, part in enumerate(value)]
        match = _WHOLE.fullmatch(value) if isinstance(value, str) else None
        if match and match[1] not in parameters:
            allowed = ", ".join(parameters) or "none"
            problems.append(found.document.problem(path, f"no parameter {match[1]!r}", allowed=allowed))
        return parameters.get(match[1]) if match else value

    answer = filled(dict(found.answer), ("answer",))
    problems += _unusable(found, answer) if not problems else []
    if problems:
        raise ConfigError(problems)
    return {key: answer[key] for key in ("schema", "longest") if key in answer}


def _unusable(found: Factors, answer: Mapping[str, Any]) -> list[Problem]:
    import jsonschema

    problems = []
    try:
        jsonschema.Draft202012Validator.check_schema(answer["schema"])
    except jsonschema.SchemaError as error:
        message = f"no JSON Schema: at {error.json_path}: {error.message[:200]}"
        problems.append(found.document.problem(("answer", "schema"), message))
    longest = answer.get("longest", 1)
    if isinstance(longest, bool) or not isinstance(longest, int) or longest < 1:
        problems.append(
            found.document.problem(("answer", "longest"), "must be a whole number of characters, at least 1")
        )
    return problems
