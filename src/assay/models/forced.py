"""The exact likelihood of given text under llama.cpp, which knows no prompt log probabilities.

A grammar that names token ids leaves one token at each step, so generating "freely" under it writes just the text we
want, and the log probabilities that come back are those before the grammar, over the whole vocabulary. Measured
against asking for every token with all of the vocabulary's probabilities: the same to 1e-4, in a twentieth of the time.

One question takes one slot: the context is computed once, then each choice starts from it, or from what it shares
with the choice before. Every step is a single token, whatever else the server is doing, so the numbers do not depend
on load.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from assay.errors import BadResponse, Rejected, ServerError
from assay.models.transport import Transport
from assay.records import ChoiceScore, Completion

_GREEDY = {"temperature": 0, "samplers": [], "cache_prompt": True}
"""No sampler cuts candidates before the grammar does: llama.cpp aborts the process when nothing is left."""


class Forced:
    """Scores choices. `vocabulary`: how many tokens there are, for the slow way; `special`: ids that have a role."""

    def __init__(self, transport: Transport, vocabulary: int, special: Collection[int]) -> None:
        self._transport = transport
        self._vocabulary = vocabulary
        self._special = frozenset(special)

    async def score(self, context: str, choices: Sequence[str], slot: int) -> Completion:
        """How likely each choice is after `context`. Raises Rejected for an empty context or choice."""
        start, tails = split(await self.tokens(context), [await self.tokens(context + text) for text in choices])
        await self._transport.post(
            "/completion", {"prompt": start, "n_predict": 0, "cache_prompt": False, "id_slot": slot}
        )
        logprobs: list[float] = []
        scores: list[ChoiceScore] = []
        before: Sequence[int] = ()
        for text, tail in zip(choices, tails, strict=True):
            same = shared(before, tail[:-1])
            force = self._by_hand if await self._has_special(text, tail) else self._force
            logprobs = logprobs[:same] + await force([*start, *tail[:same]], tail[same:], slot)
            scores.append(ChoiceScore(math.fsum(logprobs), len(logprobs)))
            before = tail
        return Completion(tokens_in=len(start) + sum(map(len, tails)), tokens_out=0, choices=tuple(scores))

    async def tokens(self, text: str, **how: bool) -> list[int]:
        """The token ids of a text, with a begin-of-text token where the model wants one."""
        answer = await self._transport.post("/tokenize", {"content": text, "add_special": True, **how})
        found = answer.get("tokens") if isinstance(answer, dict) else None
        if not isinstance(found, list) or not all(isinstance(token, int) for token in found):
            raise BadResponse("the server did not answer with tokens")
        return found

    async def _has_special(self, text: str, tail: list[int]) -> bool:
        """Whether a choice holds a token that is no text, such as one that ends an answer: no grammar can name it."""
        if not self._special.isdisjoint(tail):
            return True
        return await self.tokens(text, parse_special=True) != await self.tokens(text, parse_special=False)

    async def _force(self, start: list[int], tail: list[int], slot: int) -> list[float]:
        """The log probability of each token of `tail` after `start`."""
        try:
            return await self._by_grammar(start, tail, slot)
        except (ServerError, BadResponse):
            return await self._by_hand(start, tail, slot)

    async def _by_grammar(self, start: list[int], tail: list[int], slot: int) -> list[float]:
        grammar = "root ::= " + " ".join(f"<[{token}]>" for token in tail)
        body = {"prompt": start, "n_predict": len(tail), "n_probs": 1, "grammar": grammar, "id_slot": slot}
        steps = _steps(await self._transport.post("/completion", body | _GREEDY))
        if [step.get("id") for step in steps] != tail:
            raise BadResponse("the server generated other tokens than it was forced to")
        return [_logprob(step) for step in steps]

    async def _by_hand(self, start: list[int], tail: list[int], slot: int) -> list[float]:
        """The same, one request a token: ask for the whole vocabulary's probabilities and find the token's."""
        return [await self._one([*start, *tail[:at]], token, slot) for at, token in enumerate(tail)]

    async def _one(self, start: list[int], token: int, slot: int) -> float:
        body = {"prompt": start, "n_predict": 1, "n_probs": self._vocabulary, "id_slot": slot}
        steps = _steps(await self._transport.post("/completion", body | _GREEDY))
        for step in steps[0].get("top_logprobs") or () if steps else ():
            if step.get("id") == token:
                return _logprob(step)
        raise BadResponse(f"the server gave no probability for token {token}")


def shared(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two texts have in common from their start."""
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count


def split(context: list[int], wholes: Iterable[list[int]]) -> tuple[list[int], list[list[int]]]:
    """Where the choices start: the tokens before, and each choice's own.

    A tokeniser may merge the end of the context with the start of a choice. Then the choices start earlier, at
    the last token that all have in common with the context, so that all are asked the same question.
    """
    wholes = list(wholes)
    start = min([len(context), *(shared(context, whole) for whole in wholes)])
    tails = [whole[start:] for whole in wholes]
    if start == 0:
        raise Rejected("choices can only be scored after a context, and this one is empty")
    if not all(tails):
        raise Rejected("an empty choice has no likelihood")
    return context[:start], tails


def _steps(answer: Any) -> list[dict[str, Any]]:
    steps = answer.get("completion_probabilities") if isinstance(answer, dict) else None
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise BadResponse("the server gave no log probabilities")
    return steps


def _logprob(step: dict[str, Any]) -> float:
    value = step.get("logprob")
    if not isinstance(value, int | float) or not math.isfinite(value) or value > 1e-3:
        raise BadResponse(f"{value!r} is not a log probability")
    return float(value)
