"""Reading a rubric's file: front matter and guide, with every problem by its line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from assay import document
from assay.document import Document, Path, nearest
from assay.errors import ConfigError, Problem
from assay.judging.formula import Formula, FormulaError
from assay.judging.formula import parse as parse_formula
from assay.judging.rubric import Dimension, Example, Number, Rubric

RESERVED = ("id", "export", "rubric", "digest", "input", "text", "reference", "comment")
"""The other columns of a file to fill in: no dimension may be called so."""

MAX_DIMENSIONS = 20
MAX_LEVELS = 101
_LARGE = 1e6

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_DIMENSION = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,49}")
_KEYS = ("id", "version", "description", "dimensions", "examples", "composite", "pass_mark")
_DIMENSION_KEYS = ("kind", "scale", "integer", "metric", "help", "anchors")
_ANCHOR_KEYS = ("level", "text")
_EXAMPLE_KEYS = ("input", "text", "reference", "scores", "why")
_KINDS = ("judged", "measured")


def parse(text: str, where: str) -> Rubric:
    """The rubric that a file's text is. Raises ConfigError with every problem found, by line."""
    head, guide = _split(text, where)
    found = document.parse(head, where, first_line=2)
    if not isinstance(found.value, dict):
        raise ConfigError([*found.problems, found.problem((), "the front matter is not a mapping")])
    problems = [*found.problems, *_shape_problems(found)]
    if not problems:
        problems = list(_sense_problems(found))
    if problems:
        raise ConfigError(sorted(problems, key=lambda problem: problem.line or 0))
    return _made(found.value, guide, text, where)


def _split(text: str, where: str) -> tuple[str, str]:
    """Front matter and guide."""
    lines = text.split("\n")
    allowed = "a line '---', the front matter, a line '---', the guide for judges"
    if lines[0].rstrip() != "---":
        raise ConfigError(Problem("a rubric starts with front matter", where, 1, allowed=allowed))
    end = next((number for number, line in enumerate(lines[1:], 1) if line.rstrip() == "---"), None)
    if end is None:
        raise ConfigError(Problem("the front matter has no end", where, 1, allowed="a second line '---'"))
    guide = "\n".join(lines[end + 1 :]).strip()
    if not guide:
        raise ConfigError(Problem("the guide for judges is empty", where, end + 1))
    return "\n".join(lines[1:end]), guide


def _shape_problems(found: Document) -> Iterator[Problem]:
    values = found.value
    yield from _unknown(found, (), values, _KEYS)
    name, version = values.get("id"), values.get("version")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        yield found.problem(("id",), "must be a name (letters, digits, '.', '_' and '-'; at most 100)")
    if type(version) is not int or not 1 <= version <= 10**9:
        yield found.problem(("version",), "must be a whole number ≥ 1")
    for key in ("description", "composite"):
        if not isinstance(values.get(key, ""), str) or (key == "composite" and not values.get(key)):
            yield found.problem((key,), "must be text")
    if "pass_mark" in values and not _is_number(values["pass_mark"]):
        yield found.problem(("pass_mark",), "must be a number")
    yield from _dimensions_shape(found, values.get("dimensions"))
    yield from _examples_shape(found, values.get("examples", []))


def _unknown(found: Document, path: Path, value: Mapping[str, Any], keys: tuple[str, ...]) -> Iterator[Problem]:
    for key in value:
        if key not in keys:
            close = nearest(key, keys)
            yield found.problem((*path, key), "unknown key", allowed=", ".join(keys), nearest=close)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGE


def _dimensions_shape(found: Document, dimensions: Any) -> Iterator[Problem]:
    path: Path = ("dimensions",)
    if not isinstance(dimensions, dict) or not dimensions:
        yield found.problem(path, "must be a mapping of names to dimensions")
        return
    if len(dimensions) > MAX_DIMENSIONS:
        yield found.problem(path, f"{len(dimensions)} dimensions", allowed=f"at most {MAX_DIMENSIONS}")
    for name, value in dimensions.items():
        if not _DIMENSION.fullmatch(name):
            yield found.problem((*path, name), "not a name for a dimension", allowed="letters, digits and '_'")
        elif name in RESERVED:
            yield found.problem((*path, name), "this name is taken", allowed=f"any but {', '.join(RESERVED)}")
        if isinstance(value, dict):
            yield from _dimension_shape(found, (*path, name), value)
        else:
            yield found.problem((*path, name), "must be a mapping", allowed=", ".join(_DIMENSION_KEYS))


def _dimension_shape(found: Document, path: Path, value: Mapping[str, Any]) -> Iterator[Problem]:
    yield from _unknown(found, path, value, _DIMENSION_KEYS)
    if value.get("kind") not in _KINDS:
        close = nearest(str(value.get("kind")), _KINDS)
        yield found.problem((*path, "kind"), "says who gives it", allowed=" or ".join(_KINDS), nearest=close)
    scale = value.get("scale")
    if not isinstance(scale, list) or len(scale) != 2 or not all(map(_is_number, scale)) or scale[0] >= scale[1]:
        yield found.problem((*path, "scale"), "must be [lowest, highest], two numbers, the first below the second")
    if not isinstance(value.get("integer", True), bool):
        yield found.problem((*path, "integer"), "must be true or false")
    for key in ("help", "metric"):
        if not isinstance(value.get(key, ""), str):
            yield found.problem((*path, key), "must be text")
    if "metric" in value and value.get("kind") == "judged":
        yield found.problem((*path, "metric"), "only a measured dimension has a metric")
    anchors = value.get("anchors", [])
    if not isinstance(anchors, list):
        yield found.problem((*path, "anchors"), "must be a list of levels with their texts")
        return
    for number, anchor in enumerate(anchors):
        yield from _anchor_shape(found, (*path, "anchors", number), anchor)


def _anchor_shape(found: Document, path: Path, anchor: Any) -> Iterator[Problem]:
    if not isinstance(anchor, dict):
        yield found.problem(path, "must be a mapping", allowed=", ".join(_ANCHOR_KEYS))
        return
    yield from _unknown(found, path, anchor, _ANCHOR_KEYS)
    if not _is_number(anchor.get("level")):
        yield found.problem((*path, "level"), "must be a number of the scale")
    if not isinstance(anchor.get("text"), str) or not anchor["text"].strip():
        yield found.problem((*path, "text"), "must say what this level means")


def _examples_shape(found: Document, examples: Any) -> Iterator[Problem]:
    if not isinstance(examples, list):
        yield found.problem(("examples",), "must be a list of examples")
        return
    for number, example in enumerate(examples):
        path: Path = ("examples", number)
        if not isinstance(example, dict):
            yield found.problem(path, "must be a mapping", allowed=", ".join(_EXAMPLE_KEYS))
            continue
        yield from _unknown(found, path, example, _EXAMPLE_KEYS)
        for key in ("input", "text", "reference", "why"):
            if not isinstance(example.get(key, ""), str) or (key == "text" and not example.get(key)):
                yield found.problem((*path, key), "must be text")
        if not isinstance(example.get("scores"), dict):
            yield found.problem((*path, "scores"), "must give a score for every judged dimension")


def _sense_problems(found: Document) -> Iterator[Problem]:
    """What is wrong with a rubric whose keys all have the right shape."""
    dimensions = _dimensions(found.value)
    if all(dimension.measured for dimension in dimensions):
        yield found.problem(("dimensions",), "nothing is judged: every dimension is measured")
    for dimension in dimensions:
        yield from _level_problems(found, dimension)
    for number, example in enumerate(found.value.get("examples", [])):
        yield from _example_problems(found, ("examples", number, "scores"), example["scores"], dimensions)
    yield from _formula_problems(found, dimensions)


def _level_problems(found: Document, dimension: Dimension) -> Iterator[Problem]:
    path: Path = ("dimensions", dimension.name)
    if dimension.integer and any(value != int(value) for value in (dimension.low, dimension.high)):
        yield found.problem((*path, "scale"), "an integer scale begins and ends with whole numbers")
        return
    seen: set[Number] = set()
    for number, (level, _) in enumerate(dimension.anchors):
        here = (*path, "anchors", number, "level")
        if wrong := dimension.wrong(level):
            yield found.problem(here, f"{level:g} {wrong}", allowed=dimension.scale)
        if level in seen:
            yield found.problem(here, f"{level:g} has an anchor already")
        seen.add(level)
    if dimension.measured:
        return
    if dimension.integer and dimension.high - dimension.low >= MAX_LEVELS:
        yield found.problem((*path, "scale"), "too many levels for anchors", allowed=f"at most {MAX_LEVELS} levels")
        return
    ends = (dimension.low, dimension.high)
    needed = range(int(ends[0]), int(ends[1]) + 1) if dimension.integer else ends
    if missing := [f"{level:g}" for level in needed if level not in seen]:
        place = (*path, "anchors") if dimension.anchors else path
        what = "the levels" if dimension.integer else "the ends of the scale:"
        yield found.problem(place, f"no anchor for {what} {', '.join(missing)}")


def _example_problems(
    found: Document, path: Path, scores: Mapping[str, Any], dimensions: tuple[Dimension, ...]
) -> Iterator[Problem]:
    judged = {dimension.name: dimension for dimension in dimensions if not dimension.measured}
    for name, value in scores.items():
        if name not in judged:
            allowed, close = ", ".join(judged), nearest(name, judged)
            yield found.problem((*path, name), "not a judged dimension", allowed=allowed, nearest=close)
        elif wrong := judged[name].wrong(value):
            yield found.problem((*path, name), f"{value!r} {wrong}", allowed=judged[name].scale)
    if missing := [name for name in judged if name not in scores]:
        yield found.problem(path, f"no score for {', '.join(missing)}")


def _formula_problems(found: Document, dimensions: tuple[Dimension, ...]) -> Iterator[Problem]:
    ranges = {dimension.name: (dimension.low, dimension.high) for dimension in dimensions}
    path: Path = ("composite",)
    try:
        formula = parse_formula(found.value["composite"])
        if unknown := [name for name in formula.names if name not in ranges]:
            allowed, close = ", ".join(ranges), nearest(unknown[0], ranges)
            yield found.problem(path, f"{unknown[0]!r} is not a dimension", allowed=allowed, nearest=close)
            return
        low, high = formula.bounds(ranges)
    except FormulaError as error:
        yield found.problem(path, str(error))
        return
    if not formula.names:
        yield found.problem(path, "no dimension is in it", allowed=", ".join(ranges))
    mark = found.value.get("pass_mark")
    if mark is not None and not low <= mark <= high:
        yield found.problem(("pass_mark",), f"{mark:g} is never reached or always", allowed=f"from {low:g} to {high:g}")


def _dimensions(values: Mapping[str, Any]) -> tuple[Dimension, ...]:
    return tuple(_dimension(name, value) for name, value in values["dimensions"].items())


def _dimension(name: str, value: Mapping[str, Any]) -> Dimension:
    measured = value["kind"] == "measured"
    return Dimension(
        name=name,
        low=value["scale"][0],
        high=value["scale"][1],
        integer=value.get("integer", True),
        measured=measured,
        metric=(value.get("metric") or name) if measured else "",
        help=value.get("help", "").strip(),
        anchors=tuple((anchor["level"], anchor["text"].strip()) for anchor in value.get("anchors", [])),
    )


def _made(values: Mapping[str, Any], guide: str, text: str, where: str) -> Rubric:
    formula: Formula = parse_formula(values["composite"])
    examples = (_example(value) for value in values.get("examples", []))
    return Rubric(
        id=values["id"],
        version=values["version"],
        description=values.get("description", "").strip(),
        dimensions=_dimensions(values),
        examples=tuple(examples),
        composite=formula,
        pass_mark=values.get("pass_mark"),
        guide=guide,
        text=text,
        where=where,
    )


def _example(value: Mapping[str, Any]) -> Example:
    texts = {key: value.get(key, "").strip() for key in ("input", "text", "why", "reference")}
    return Example(**texts, scores=value["scores"])
