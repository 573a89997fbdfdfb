"""The likelihood of choices from a completions endpoint that echoes its prompt with log probabilities (vLLM)."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

from assay.errors import BadResponse, Denied, Rejected
from assay.models.transport import Transport
from assay.records import ChoiceScore, Completion

_NO_ECHO = (
    "the server does not give the log probabilities of its prompt (echo with logprobs), so it cannot score choices: "
    "leave out 'choices: true' and they are asked by letter"
)


class Echo:
    """Sends context and choice as a prompt, and sums the choice's share of what comes back.

    All choices of a question go in one request where the server takes a list of prompts, else one request each.
    """

    def __init__(self, transport: Transport, model: str) -> None:
        self._transport = transport
        self._model = model
        self._lists = True

    async def score(self, context: str, choices: Sequence[str]) -> Completion:
        """How likely each choice is after `context`. Raises Denied where the server ignores `echo`."""
        prompts = [context + choice for choice in choices]
        answers, tokens_in = await self._ask(prompts)
        scores = [choice_score(answer, len(context), prompt) for answer, prompt in zip(answers, prompts, strict=True)]
        return Completion(tokens_in=tokens_in, choices=tuple(scores))

    async def _ask(self, prompts: list[str]) -> tuple[list[Mapping[str, Any]], int | None]:
        if self._lists and len(prompts) > 1:
            try:
                return _unpack(await self._post(prompts), len(prompts))
            except Denied:
                raise
            except (Rejected, BadResponse):
                self._lists = False
        parts = [_unpack(answer, 1) for answer in await asyncio.gather(*map(self._post, prompts))]
        counts = [count for _, count in parts]
        return [answers[0] for answers, _ in parts], None if None in counts else sum(filter(None, counts))

    async def _post(self, prompt: str | list[str]) -> Any:
        body = {"model": self._model, "prompt": prompt, "max_tokens": 1, "temperature": 0, "logprobs": 1, "echo": True}
        return await self._transport.post("/completions", body)


def _unpack(answer: Any, wanted: int) -> tuple[list[Mapping[str, Any]], int | None]:
    try:
        found = sorted(answer["choices"], key=lambda choice: choice.get("index", 0))
        tokens = (answer.get("usage") or {}).get("prompt_tokens")
    except (KeyError, TypeError, AttributeError):
        raise BadResponse("the answer holds no choices") from None
    if len(found) != wanted:
        raise BadResponse(f"{wanted} prompts were sent, {len(found)} answers came back")
    return found, tokens if isinstance(tokens, int) else None


def choice_score(answer: Mapping[str, Any], boundary: int, prompt: str) -> ChoiceScore:
    """The sum over the tokens of `prompt` that reach past character `boundary`, the context's end.

    A token that straddles the boundary belongs to the choice: without it the choice would miss its beginning.
    Raises Denied where the server does not echo, BadResponse where tokens and text do not fit together.
    """
    logprobs = answer.get("logprobs")
    text = answer.get("text")
    if not isinstance(logprobs, dict) or not isinstance(text, str) or not text.startswith(prompt):
        raise Denied(_NO_ECHO)
    tokens, values = logprobs.get("tokens"), logprobs.get("token_logprobs")
    if not isinstance(tokens, list) or not isinstance(values, list) or len(tokens) != len(values):
        raise Denied(_NO_ECHO)
    starts = _starts(tokens, logprobs.get("text_offset"), prompt)
    ends = [*starts[1:], math.inf]
    inside = [
        value
        for value, start, end in zip(values, starts, ends, strict=True)
        if end > boundary and start < len(prompt) and end > start
    ]
    return _sum(inside)


def _sum(values: list[Any]) -> ChoiceScore:
    if not values:
        raise BadResponse("no token of the answer belongs to the choice")
    if values[0] is None:
        raise Rejected("a server gives no log probability of a text's first token: the context must not be empty")
    numbers = [value for value in values if isinstance(value, int | float) and math.isfinite(value) and value <= 1e-3]
    if len(numbers) != len(values):
        raise BadResponse("the answer holds log probabilities that are no numbers, or positive")
    return ChoiceScore(math.fsum(numbers), len(numbers))


def _starts(tokens: list[Any], offsets: Any, prompt: str) -> list[int]:
    """Where each token starts in `prompt`, in characters; negative for one before it (a begin-of-text token).

    The tokens' own text is believed first: some servers count a begin-of-text token in `text_offset` and some do
    not. Where tokens are parts of a character, so that their text does not add up, the offsets are.
    """
    if all(isinstance(token, str) for token in tokens):
        shift = "".join(tokens).find(prompt)
        if shift >= 0:
            return [end - len(token) - shift for end, token in zip(accumulate(map(len, tokens)), tokens, strict=True)]
    if not isinstance(offsets, list) or len(offsets) != len(tokens) or not all(type(n) is int for n in offsets):
        raise BadResponse("the tokens of the answer do not add up to its prompt")
    if offsets[:1] != [0] or any(later < earlier for earlier, later in pairwise(offsets)):
        raise BadResponse("the answer's text_offset is not in order")
    return offsets
