"""What a prompt's template may do. The file may come from anybody.

A template may print variables, branch and loop, and nothing else: no assignments, macros, includes or calls
beyond a few methods of text. That is narrower than Jinja2's sandbox, on which it is built, because that keeps
a template from the interpreter but not from eating memory: here text can only grow where a filter checks its
length, and loops draw on one budget.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from assay.document import nearest
from assay.errors import Problem

if TYPE_CHECKING:
    import jinja2

MAX_SOURCE = 100_000
MAX_OUTPUT = 1_000_000
MAX_ITERATIONS = 10_000
MAX_RANGE = 1_000
MAX_INDENT = 100

BUDGET = "\0budget"
"""Where a rendering keeps its budget of iterations; not an identifier, so that no template can name it."""

_NODES = re.compile(
    "Template|Output|TemplateData|Name|Const|If|For|Filter|Test|Getattr|Getitem|Slice|Compare|Operand|And|Or|Not"
    "|CondExpr|Add|Sub|FloorDiv|Neg|Pos|Concat|List|Tuple|Call|Keyword"
)
_METHODS = re.compile(
    "strip|lstrip|rstrip|upper|lower|title|capitalize|split|splitlines|startswith|endswith|removeprefix"
    "|removesuffix|items|keys|values|get"
)
_FILTERS = re.compile(
    "abs|capitalize|count|d|default|first|float|int|items|last|length|list|lower|max|min|reverse|round|sort|string"
    "|sum|title|trim|unique|upper|wordcount"
)
_NAMES = {
    "Assign": "{% set %}",
    "AssignBlock": "{% set %}",
    "Block": "{% block %}",
    "CallBlock": "{% call %}",
    "FilterBlock": "{% filter %}",
    "Include": "{% include %}",
    "Import": "{% import %}",
    "FromImport": "{% import %}",
    "Extends": "{% extends %}",
    "Macro": "{% macro %}",
    "With": "{% with %}",
    "Mul": "*",
    "Pow": "**",
    "Mod": "%",
    "Div": "/",
}


class TemplateError(Exception):
    """A template cannot be rendered; `line` counts from the template's own first line, 0 where unknown."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


@functools.cache
def environment() -> jinja2.Environment:
    """The Jinja2 environment of prompts: undefined variables are errors, and nothing is loaded from files."""
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    made = ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # prompts are plain text, not HTML
        cache_size=0,
    )
    kept = {name: filter for name, filter in made.filters.items() if _FILTERS.fullmatch(name)}
    made.filters = {**kept, **_own_filters()}
    made.globals = {"range": _range}
    return made


def _own_filters() -> dict[str, Callable[..., Any]]:
    """Filters whose results could grow, with a bound; and `tojson` without HTML escapes."""
    from jinja2 import pass_context

    @pass_context
    def counted(context: Any, items: Iterable[Any]) -> Iterator[Any]:
        budget = context[BUDGET]
        for item in items:
            budget[0] -= 1
            if budget[0] < 0:
                raise TemplateError(f"more than {MAX_ITERATIONS:,} turns of loops")
            yield item

    return {"_counted": counted, "join": _join, "replace": _replace, "indent": _indent, "tojson": _tojson}


def _printable(value: Any) -> Any:
    """What `{{ … }}` may print: text and numbers. A list or a null in a prompt is nearly always a mistake."""
    from jinja2 import Undefined

    if isinstance(value, str | int | float | Undefined):
        return value
    shown = "null" if value is None else f"a {type(value).__name__}"
    raise TemplateError(f"{shown} cannot be printed; use a loop, `join` or `tojson`")


def _range(*bounds: int) -> range:
    found = range(*bounds)
    if len(found) > MAX_RANGE:
        raise TemplateError(f"range() of more than {MAX_RANGE:,}")
    return found


def _join(items: Iterable[Any], separator: str = "") -> str:
    found: list[str] = []
    length = 0
    for item in items:
        found.append(str(_printable(item)))
        length += len(found[-1]) + len(separator)
        if length > MAX_OUTPUT:
            raise TemplateError(f"join() of more than {MAX_OUTPUT:,} characters")
    return str(separator).join(found)


def _replace(text: str, old: str, new: str) -> str:
    if len(text) + text.count(old) * len(new) > MAX_OUTPUT:
        raise TemplateError(f"replace() to more than {MAX_OUTPUT:,} characters")
    return text.replace(old, new)


def _indent(text: str, width: int = 4, first: bool = False) -> str:
    if not 0 <= width <= MAX_INDENT:
        raise TemplateError(f"indent() by more than {MAX_INDENT}")
    pad = " " * width
    return (pad if first else "") + text.replace("\n", "\n" + pad)


def _tojson(value: Any, indent: int | None = None) -> str:
    if indent is not None and not 0 <= indent <= MAX_INDENT:
        raise TemplateError(f"tojson() indented by more than {MAX_INDENT}")
    return json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False)


def forbidden(tree: Any, where: str, first_line: int) -> Iterator[Problem]:
    """Every node that a prompt has no business with."""
    stack = [tree]
    while stack:
        node = stack.pop()
        if message := _objection(node):
            yield Problem(message, where, first_line + node.lineno - 1)
        stack.extend(node.iter_child_nodes())


def _objection(node: Any) -> str | None:
    kind = type(node).__name__
    if not _NODES.fullmatch(kind):
        return f"{_NAMES.get(kind, kind)} is not allowed in a prompt"
    if kind == "Call":
        return _call_objection(node)
    if kind == "Getattr" and node.attr.startswith("_"):
        return f"the attribute {node.attr} is not allowed in a prompt"
    if kind == "For" and node.recursive:
        return "a recursive loop is not allowed in a prompt"
    return None


def _call_objection(node: Any) -> str | None:
    callee = node.node
    kind = type(callee).__name__
    if node.dyn_args is not None or node.dyn_kwargs is not None:
        return "* and ** in calls are not allowed in a prompt"
    if kind == "Name" and callee.name == "range":
        return None
    if kind == "Getattr" and _METHODS.fullmatch(callee.attr):
        return None
    name = getattr(callee, "attr", None) or getattr(callee, "name", None) or "this"
    close = nearest(str(name), _METHODS.pattern.split("|"))
    return f"calling {name}() is not allowed in a prompt" + (f"; did you mean {close}()?" if close else "")
