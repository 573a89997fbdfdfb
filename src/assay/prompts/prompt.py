"""A prompt: a template with a name and a version, read from a Markdown file with YAML front matter.

    ---
    id: mentor
    version: 1
    description: A patient teacher's voice.
    system: You are a patient teacher.
    answer: "{{ letter }}"
    ---
    Question: {{ input }}

`system`, `answer` and the body are templates; `answer` is what a demonstration answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from assay import document
from assay.document import Document, nearest
from assay.errors import ConfigError, EvidenceError, Problem
from assay.files import digest_of
from assay.prompts.template import Template

ENGINE = "assay.prompt.v1"
"""Part of every digest: changes whenever the same files would give other requests."""

ANSWER = "{{ target }}"
LETTER_ANSWER = "{{ letter if choices else target }}"
ANSWER_NAMES = frozenset({"target", "letter", "choice"})
"""What `answer` may use besides the variables of a body."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_KEYS = ("id", "version", "description", "variables", "system", "answer")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a prompt was read from: the file, and the first line of each of its templates."""

    where: str = "prompt"
    lines: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A named, versioned template. `variables` are the names that the templates may use, None for any."""

    id: str
    version: int
    description: str
    body: str
    system: str = ""
    answer: str = ANSWER
    variables: tuple[str, ...] | None = None
    origin: Origin = field(default=Origin(), compare=False, repr=False)

    @property
    def digest(self) -> str:
        """SHA-256 of what shapes a request: the three templates. Name, version and description do not."""
        return digest_of({"answer": self.answer, "body": self.body, "engine": ENGINE, "system": self.system})

    def template(self, part: str) -> Template:
        """The compiled `body`, `system` or `answer`. Raises ConfigError where it is not one."""
        text: str = getattr(self, part)
        return Template(text, self.origin.where, self.origin.lines.get(part, 1))

    def to_json(self) -> dict[str, Any]:
        """The whole prompt, for the plan; its place on this machine is left out."""
        return {
            "id": self.id,
            "version": self.version,
            "description": self.description,
            "variables": list(self.variables) if self.variables is not None else None,
            "system": self.system,
            "answer": self.answer,
            "body": self.body,
            "digest": self.digest,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Prompt:
        """The reverse of `to_json`. Raises EvidenceError where the prompt is not what its digest says."""
        texts = [value.get(key) for key in ("id", "description", "body", "system", "answer")]
        names, version = value.get("variables"), value.get("version")
        if not all(isinstance(text, str) for text in texts) or not isinstance(version, int):
            raise EvidenceError("a stored prompt lacks a part")
        if names is not None and not all(isinstance(name, str) for name in names):
            raise EvidenceError("a stored prompt's variables are not names")
        id, description, body, system, answer = map(str, texts)
        known = None if names is None else tuple(names)
        prompt = cls(id, version, description, body, system, answer, known)
        if prompt.to_json() != dict(value):
            label = f"the stored prompt {prompt.id}@{prompt.version}"
            raise EvidenceError(f"{label} has the digest {prompt.digest}, not {value.get('digest')}")
        return prompt


def parse(text: str, where: str) -> Prompt:
    """The prompt that a file's text describes. Raises ConfigError with every problem found, by line."""
    head, body, body_line = _split(text, where)
    found = document.parse(head, where, first_line=2)
    if not isinstance(found.value, dict):
        raise ConfigError([*found.problems, found.problem((), "the front matter is not a mapping")])
    problems = [*found.problems, *_head_problems(found)]
    if problems:
        raise ConfigError(problems)
    values = dict(found.value)
    names = values.pop("variables", None)
    lines = {part: found.line((part,)) or 1 for part in ("system", "answer")} | {"body": body_line}
    prompt = Prompt(
        **values,
        body=body,
        variables=None if names is None else tuple(names),
        origin=Origin(where, lines),
    )
    return _checked(prompt, answered="answer" in values)


def _split(text: str, where: str) -> tuple[str, str, int]:
    """Front matter, body, and the body's first line."""
    lines = text.split("\n")
    if lines[0].rstrip() != "---":
        allowed = "a line '---', the front matter, a line '---', the template"
        raise ConfigError(Problem("a prompt starts with front matter", where, 1, allowed=allowed))
    end = next((number for number, line in enumerate(lines[1:], 1) if line.rstrip() == "---"), None)
    if end is None:
        raise ConfigError(Problem("the front matter has no end", where, 1, allowed="a second line '---'"))
    first = end + 1
    while first < len(lines) and not lines[first].strip():
        first += 1
    if first == len(lines):
        raise ConfigError(Problem("the template is empty", where, end + 1))
    return "\n".join(lines[1:end]), "\n".join(lines[first:]), first + 1


def _head_problems(found: Document) -> Iterator[Problem]:
    values = found.value
    for key in values:
        if key not in _KEYS:
            close = nearest(key, _KEYS)
            yield found.problem((key,), "unknown key", allowed=", ".join(_KEYS), nearest=close)
    name, version = values.get("id"), values.get("version")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        yield found.problem(("id",), "must be a name (letters, digits, '.', '_' and '-'; at most 100)")
    elif name == "default":
        yield found.problem(("id",), "'default' stands for each task's own prompt and cannot be a name")
    if isinstance(version, bool) or not isinstance(version, int) or not 1 <= version <= 10**9:
        yield found.problem(("version",), "must be a whole number ≥ 1")
    for key in ("description", "system", "answer"):
        if not isinstance(values.get(key, ""), str) or (key == "description" and not values.get(key)):
            yield found.problem((key,), "must be text")
    names = values.get("variables", [])
    if not isinstance(names, list) or not all(isinstance(n, str) and _VARIABLE.fullmatch(n) for n in names):
        yield found.problem(("variables",), "must be a list of names (letters, digits and '_')")


def _checked(prompt: Prompt, *, answered: bool) -> Prompt:
    """`prompt` with its default answer; all of its templates compile and use only what they may."""
    problems: list[Problem] = []
    compiled: dict[str, Template] = {}
    for part in ("system", "answer", "body"):
        try:
            compiled[part] = prompt.template(part)
        except ConfigError as error:
            problems += error.problems
    for part, template in compiled.items():
        problems += _undeclared(prompt, part, template)
    if problems:
        raise ConfigError(problems)
    if not answered and "letters" in compiled["body"].names:
        return replace(prompt, answer=LETTER_ANSWER)
    return prompt


def _undeclared(prompt: Prompt, part: str, template: Template) -> Iterator[Problem]:
    """Names that `variables` does not list, where it lists any; and the answer, which only `answer` knows."""
    where = template.where
    for name, used in template.names.items():
        line = template.first_line + used - 1
        if name in ANSWER_NAMES:
            if part != "answer":
                message = f"{name!r} would tell the model the answer"
                yield Problem(message, where, line, allowed="only in 'answer:'")
        elif prompt.variables is not None and name not in prompt.variables:
            allowed, close = ", ".join(prompt.variables) or "none", nearest(name, prompt.variables)
            yield Problem(f"{name!r} is not in 'variables'", where, line, allowed=allowed, nearest=close)
