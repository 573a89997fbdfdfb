"""From a sample to a request: the prompt's text for it, after the demonstrations.

In mode `chat` each demonstration is a user turn and an assistant turn. In modes `completion` and `choices`
all is one text, that ends where the model is to go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from assay.document import nearest
from assay.errors import ConfigError, Problem
from assay.prompts.prompt import Prompt
from assay.prompts.sandbox import TemplateError
from assay.prompts.template import Template
from assay.records import Message, Sample

Mode = Literal["chat", "completion", "choices"]
_BETWEEN = "\n\n"
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def letters(count: int) -> list[str]:
    """`count` labels: A to Z, then AA, AB and so on."""
    labels = list(_ALPHABET[:count])
    for number in range(len(labels), count):
        labels.append(labels[number // 26 - 1] + _ALPHABET[number % 26])
    return labels


def variables(sample: Sample, mode: Mode) -> dict[str, Any]:
    """What a template may use for `sample`: its fields, and input, choices, letters and mode before them."""
    return {
        **sample.fields,
        "input": sample.input,
        "choices": list(sample.choices),
        "letters": letters(len(sample.choices)),
        "mode": mode,
    }


def answer_variables(sample: Sample, mode: Mode) -> dict[str, Any]:
    """As `variables`, and what is right: target; letter and choice where the sample has a right choice."""
    known = variables(sample, mode) | {"target": sample.target}
    if sample.gold:
        first = sample.gold[0]
        known |= {"letter": known["letters"][first], "choice": sample.choices[first]}
    return known


class Renderer:
    """One prompt with its demonstrations, for one mode. `system` is the model's own, put before the prompt's.

    Raises ConfigError where a demonstration cannot be rendered.
    """

    def __init__(
        self, prompt: Prompt, demos: Sequence[Sample] = (), mode: Mode = "chat", system: str | None = None
    ) -> None:
        self.prompt = prompt
        self.mode = mode
        self._own_system = (system or "").strip()
        self._system_template = prompt.template("system")
        self._body = prompt.template("body")
        self._answer = prompt.template("answer")
        self._last: tuple[Sample, str] | None = None
        shown = [(self._text(self._body, demo), self._answered(demo), demo) for demo in demos]
        self._turns = tuple(turn for text, answer, _ in shown for turn in _turns(text, answer))
        self._shown = _BETWEEN.join(_continued(text, answer) for text, answer, _ in shown)

    def request_parts(self, sample: Sample) -> tuple[tuple[Message, ...], str | None]:
        """The messages of a chat and None, or no messages and the text to continue.

        Raises ConfigError where the template does not fit the sample.
        """
        body = self._text(self._body, sample)
        system = self._system(sample)
        if self.mode == "chat":
            first = (Message("system", system),) if system else ()
            return (*first, *self._turns, Message("user", body.strip())), None
        parts = [part for part in (system, self._shown) if part]
        return (), _BETWEEN.join([*parts, body.rstrip()])

    def continuations(self, sample: Sample) -> tuple[str, ...]:
        """What is scored after the text in mode `choices`: each choice, after what stands between."""
        body = self._text(self._body, sample)
        return tuple(_gap(body, choice) + choice for choice in sample.choices)

    def _system(self, sample: Sample) -> str:
        text = self._text(self._system_template, sample).strip()
        return _BETWEEN.join(part for part in (self._own_system, text) if part)

    def _text(self, template: Template, sample: Sample) -> str:
        if template.constant:
            return template.render({})
        if template is not self._body:
            return _render(template, variables(sample, self.mode), sample)
        # A request in mode `choices` asks for the same sample's text twice.
        if self._last is None or self._last[0] is not sample:
            self._last = sample, _render(template, variables(sample, self.mode), sample)
        return self._last[1]

    def _answered(self, demo: Sample) -> str:
        """What a demonstration answers: in mode `choices` the right choice, as it is scored."""
        if self.mode != "choices":
            return _render(self._answer, answer_variables(demo, self.mode), demo)
        if not demo.gold:
            message = f"the demonstration {demo.id!r} has no right choice"
            raise ConfigError(Problem(message, self.prompt.origin.where))
        return demo.choices[demo.gold[0]]


def _turns(text: str, answer: str) -> tuple[Message, Message]:
    return Message("user", text.strip()), Message("assistant", answer.strip())


def _gap(text: str, answer: str) -> str:
    """What stands between a text and its continuation: the text's own trailing white space, or one space."""
    return text[len(text.rstrip()) :] or ("" if answer[:1].isspace() else " ")


def _continued(text: str, answer: str) -> str:
    return text.rstrip() + _gap(text, answer) + answer.rstrip()


def _render(template: Template, known: dict[str, Any], sample: Sample) -> str:
    try:
        return template.render(known)
    except TemplateError as error:
        error.message = f"{error.message} (sample {sample.id!r})"
        raise ConfigError(template.problem(error)) from None


def check(prompt: Prompt, sample: Sample, mode: Mode) -> list[Problem]:
    """Why `prompt` does not fit `sample`: every missing variable, or what rendering stumbles over."""
    known = variables(sample, mode)
    problems: list[Problem] = []
    for part in ("system", "body"):
        problems += _stumbles(prompt.template(part), known)
    if mode == "choices" and not sample.choices:
        message = f"the sample {sample.id!r} has no choices to score"
        problems.append(Problem(message, prompt.origin.where))
    return problems


def _stumbles(template: Template, known: dict[str, Any]) -> list[Problem]:
    """Nothing where rendering works: a variable that only another branch uses is not missed."""
    try:
        template.render(known)
    except TemplateError as error:
        missing = {name: line for name, line in template.names.items() if name not in known}
        return [_missing(name, line, template, known) for name, line in missing.items()] or [template.problem(error)]
    return []


def _missing(name: str, line: int, template: Template, known: dict[str, Any]) -> Problem:
    return Problem(
        f"the task has no variable {name!r}",
        template.where,
        template.first_line + line - 1,
        allowed=", ".join(sorted(known)),
        nearest=nearest(name, known),
    )
