"""One compiled template, and the text it gives for some variables."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from assay.errors import ConfigError, Problem
from assay.prompts.sandbox import (
    BUDGET,
    MAX_ITERATIONS,
    MAX_OUTPUT,
    MAX_SOURCE,
    TemplateError,
    environment,
    forbidden,
)

if TYPE_CHECKING:
    import jinja2


class Template:
    """One compiled template. `names` are the variables it needs, each with the line of its first use.

    A variable that the template itself tests (`is defined`) or gives a default is not among them. Raises
    ConfigError, naming `where` and a line counted from `first_line`, where it is no template or does what a
    template may not.
    """

    def __init__(self, source: str, where: str, first_line: int = 1) -> None:
        self.where = where
        self.first_line = first_line
        self._template, self.names, self._text = _compile(source, where, first_line)

    @property
    def constant(self) -> bool:
        """Whether it says the same whatever it is given."""
        return self._text is not None

    def render(self, variables: Mapping[str, Any]) -> str:
        """The text for these variables. Raises TemplateError."""
        if self._text is not None:
            return self._text
        template = self._template
        try:
            context = template.new_context({**variables, BUDGET: [MAX_ITERATIONS]})
            return _joined(template.root_render_func(context))
        except TemplateError as error:
            error.line = error.line or _line(template, error.__traceback__)
            raise
        # Whatever a template stumbles over in its data is the template's error.
        except Exception as error:
            message = str(getattr(error, "message", None) or error)
            raise TemplateError(message, _line(template, error.__traceback__)) from None

    def problem(self, error: TemplateError) -> Problem:
        """`error` at its place in the file."""
        line = self.first_line + error.line - 1 if error.line else self.first_line
        return Problem(error.message, self.where, line)


def _joined(pieces: Iterable[str]) -> str:
    found, length = [], 0
    for piece in pieces:
        length += len(piece)
        if length > MAX_OUTPUT:
            raise TemplateError(f"the text is longer than {MAX_OUTPUT:,} characters")
        found.append(piece)
    return "".join(found)


def _line(template: jinja2.Template, traceback: TracebackType | None) -> int:
    """The template's line that was being rendered."""
    line = 0
    while traceback is not None:
        if traceback.tb_frame.f_globals.get("environment") is template.environment:
            line = template.get_corresponding_lineno(traceback.tb_lineno)
        traceback = traceback.tb_next
    return line


@functools.lru_cache(maxsize=64)
def _compile(source: str, where: str, first_line: int) -> tuple[jinja2.Template, dict[str, int], str | None]:
    import jinja2
    from jinja2 import nodes

    if len(source) > MAX_SOURCE:
        allowed = f"at most {MAX_SOURCE:,} characters"
        raise ConfigError(Problem("the template is too long", where, first_line, allowed=allowed))
    sandbox = environment()
    try:
        tree = sandbox.parse(source)
        problems = list(forbidden(tree, where, first_line))
        if problems:
            raise ConfigError(problems)
        names = _variables(tree)
        text = _constant(tree)
        for loop in tree.find_all(nodes.For):
            loop.iter = nodes.Filter(loop.iter, "_counted", [], [], None, None, lineno=loop.lineno)
        tree.set_environment(sandbox)
        code = sandbox.compile(tree)
    except jinja2.TemplateSyntaxError as error:
        raise ConfigError(_syntax(error, where, first_line)) from None
    except (RecursionError, SyntaxError, MemoryError):
        raise ConfigError(Problem("the template is nested too deeply", where, first_line)) from None
    return jinja2.Template.from_code(sandbox, code, sandbox.globals, None), names, text


def _syntax(error: jinja2.TemplateSyntaxError, where: str, first_line: int) -> Problem:
    message = (error.message or "cannot be read").rstrip(".")
    filters = sorted(name for name in environment().filters if not name.startswith("_"))
    allowed = ", ".join(filters) if message.startswith("No filter named") else None
    return Problem(f"not a template: {message}", where, first_line + error.lineno - 1, allowed=allowed)


def _variables(tree: Any) -> dict[str, int]:
    """The variables that must be given, with their first lines."""
    from jinja2 import meta, nodes

    used = meta.find_undeclared_variables(tree)
    optional = {
        node.node.name
        for node in tree.find_all((nodes.Test, nodes.Filter))
        if isinstance(node.node, nodes.Name) and node.name in ("defined", "undefined", "default", "d")
    }
    lines: dict[str, int] = {}
    for node in tree.find_all(nodes.Name):
        if node.name in used and node.name not in optional:
            lines[node.name] = min(node.lineno, lines.get(node.name, node.lineno))
    return lines


def _constant(tree: Any) -> str | None:
    """The text of a template that only consists of text."""
    from jinja2 import nodes

    found = []
    for node in tree.body:
        if not isinstance(node, nodes.Output):
            return None
        for part in node.nodes:
            if not isinstance(part, nodes.TemplateData):
                return None
            found.append(part.data)
    return "".join(found)
