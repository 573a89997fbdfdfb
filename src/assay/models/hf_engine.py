"""What transformers and torch do for the backend `hf`. Imported by `start` alone: both take seconds to load.

Every sampled row draws from a generator of its own, seeded by its request, so an answer does not depend on what else
is in the batch, but for rounding: the arithmetic of a batch may differ in the last bit from that of a single row.
"""

from __future__ import annotations

import gc
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

import torch
import transformers
from jinja2 import TemplateError
from transformers import AutoModelForCausalLM, AutoTokenizer, LogitsProcessor

from assay.errors import BackendError, ModelUnavailable, Rejected
from assay.models.forced import split
from assay.records import ChoiceScore, Completion, Request, Sampling

A = TypeVar("A")
T = TypeVar("T")
Asked = tuple[Request, list[int]]
"""A request and its prompt's tokens."""


class Engine:
    """A loaded checkpoint. Every method runs in one thread."""

    def __init__(self, place: str, revision: str | None, device: str, dtype: str, chat: bool) -> None:
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        self._device = _device(device)
        source: dict[str, Any] = {"trust_remote_code": False}
        source |= {"revision": revision} if revision else {"local_files_only": True}
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(place, **source)
            self._model = _load(place, dtype, source).to(self._device).eval()
        except (OSError, ValueError, ImportError, RuntimeError) as error:
            words = str(error).strip().partition("\n")[0]
            raise ModelUnavailable(f"{place}: transformers cannot load it: {words}", layer="hf") from error
        if chat and revision and not self._tokenizer.chat_template:
            hint = "say api: completion, which continues raw text"
            raise ModelUnavailable(f"{place}: its tokeniser has no chat template", layer="hf", hint=hint)
        self._tokenizer.padding_side = "left"
        self._ends = _ends(self._model, self._tokenizer)
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token_id = self._ends[0] if self._ends else 0
        self._keeps = "logits_to_keep" in inspect.signature(self._model.forward).parameters

    @property
    def facts(self) -> dict[str, str]:
        """The device, the number format, and the commit of a hub's model."""
        commit = getattr(self._model.config, "_commit_hash", None)
        facts = {"device": str(self._device), "dtype": str(self._model.dtype).removeprefix("torch.")}
        return facts | ({"commit": str(commit)} if commit else {})

    def free(self) -> None:
        """Give the weights' memory back."""
        self._model = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def answer(self, requests: Sequence[Request]) -> list[Completion | BackendError]:
        """Answer requests of one kind, each with a completion or with its own error."""
        with torch.inference_mode():
            if requests[0].choices:
                return [self._guarded(self._choices, request) for request in requests]
            prompts = [self._guarded(self._prompt, request) for request in requests]
            asked = [(item, prompt) for item, prompt in zip(requests, prompts, strict=True) if isinstance(prompt, list)]
            written = iter(self._halved(asked))
            return [next(written) if isinstance(prompt, list) else prompt for prompt in prompts]

    def _guarded(self, work: Callable[[A], T], argument: A) -> T | BackendError:
        """The libraries' many errors as one of ours: this request would fail again."""
        try:
            return work(argument)
        except BackendError as error:
            return error
        except (RuntimeError, ValueError, IndexError, TypeError, TemplateError) as error:
            return Rejected(f"transformers: {type(error).__name__}: {str(error)[:500]}")

    def _halved(self, asked: list[Asked]) -> list[Completion | BackendError]:
        """Answer a batch; where that fails (as for want of memory), its halves, down to the one at fault."""
        if not asked:
            return []
        answers = self._guarded(self._texts, asked)
        if not isinstance(answers, BackendError):
            return list(answers)
        if len(asked) == 1:
            return [answers]
        middle = len(asked) // 2
        return [*self._halved(asked[:middle]), *self._halved(asked[middle:])]

    def _texts(self, asked: list[Asked]) -> list[Completion]:
        requests, prompts = [request for request, _ in asked], [prompt for _, prompt in asked]
        sampling = requests[0].sampling
        rows, mask = self._pad(prompts)
        more: dict[str, Any] = {}
        if sampling.temperature > 0:
            more["logits_processor"] = [_Draw(sampling, [request.seed for request in requests], self._device)]
        if sampling.stop:
            more |= {"stop_strings": list(sampling.stop), "tokenizer": self._tokenizer}
        output = self._model.generate(
            input_ids=rows,
            attention_mask=mask,
            # The checkpoint's own habits are switched off: what was asked for, and nothing besides.
            generation_config=transformers.GenerationConfig(
                do_sample=False,
                max_new_tokens=sampling.max_tokens,
                eos_token_id=self._ends or None,
                pad_token_id=self._tokenizer.pad_token_id,
            ),
            **more,
        )
        written = output[:, rows.shape[1] :].tolist()
        return [self._text(row, len(prompt), sampling) for row, prompt in zip(written, prompts, strict=True)]

    def _prompt(self, request: Request) -> list[int]:
        if request.messages:
            turns = [{"role": turn.role, "content": turn.content} for turn in request.messages]
            text = self._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
            tokens = self._tokens(text, special=False)
        else:
            tokens = self._tokens(request.text or "", special=True)
        self._fit(len(tokens) + request.sampling.max_tokens)
        return tokens

    def _tokens(self, text: str, *, special: bool) -> list[int]:
        tokens: list[int] = self._tokenizer(text, add_special_tokens=special, verbose=False)["input_ids"]
        return tokens

    def _fit(self, length: int) -> None:
        most = getattr(self._model.config, "max_position_embeddings", None)
        if isinstance(most, int) and length > most:
            raise Rejected(f"prompt and answer need {length} tokens, the model takes {most}")

    def _pad(self, rows: Sequence[Sequence[int]]) -> tuple[Any, Any]:
        """Rows of one length, padded on the left, and the mask that hides the padding."""
        longest = max(1, *map(len, rows))
        fill = self._tokenizer.pad_token_id
        ids = [[fill] * (longest - len(row)) + list(row) for row in rows]
        seen = [[0] * (longest - len(row)) + [1] * len(row) for row in rows]
        return torch.tensor(ids, device=self._device), torch.tensor(seen, device=self._device)

    def _text(self, row: list[int], tokens_in: int, sampling: Sampling) -> Completion:
        finish: Literal["stop", "length"] = "length"
        for at, token in enumerate(row):
            if token in self._ends:
                row, finish = row[: at + 1], "stop"
                break
        text = self._tokenizer.decode(row, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        found = [at for stop in sampling.stop if (at := text.find(stop)) >= 0]
        if found:
            text, finish = text[: min(found)], "stop"
        return Completion(text, finish, tokens_in, self._written(row, bool(found), sampling))

    def _written(self, row: list[int], stopped: bool, sampling: Sampling) -> int:
        """Tokens of an answer; a row that met its stop before the others is filled up with padding."""
        if not stopped:
            return len(row)
        for at in range(1, len(row) + 1):
            text = self._tokenizer.decode(row[:at], skip_special_tokens=True, clean_up_tokenization_spaces=False)
            if any(stop in text for stop in sampling.stop):
                return at
        return len(row)

    def _choices(self, request: Request) -> Completion:
        """All choices of a question in one batch, each after the context."""
        context = self._tokens(request.text or "", special=True)
        wholes = [self._tokens((request.text or "") + choice, special=True) for choice in request.choices]
        start, tails = split(context, wholes)
        rows = [start + tail for tail in tails]
        self._fit(max(map(len, rows)))
        scores = [
            ChoiceScore(float(logprobs.sum()), len(tail))
            for logprobs, tail in zip(self._logprobs(rows, tails), tails, strict=True)
        ]
        return Completion(tokens_in=sum(map(len, rows)), tokens_out=0, choices=tuple(scores))

    def _logprobs(self, rows: list[list[int]], tails: list[list[int]]) -> list[Any]:
        """The log probability of each token of each tail, the ends of `rows`, as tensors of float64."""
        ids, mask = self._pad(rows)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        keep = max(map(len, tails)) + 1
        more = {"logits_to_keep": keep} if self._keeps else {}
        logits = self._model(ids, attention_mask=mask, position_ids=positions, use_cache=False, **more).logits
        found = []
        for row, tail in enumerate(tails):
            # The logits at a position are those of the next token; the last position predicts past the end.
            steps = torch.log_softmax(logits[row, -len(tail) - 1 : -1].float(), dim=-1)
            found.append(steps.gather(-1, torch.tensor(tail, device=steps.device)[:, None])[:, 0].double())
        return found


class _Draw(LogitsProcessor):  # type: ignore[misc]
    """Draws each row's next token itself and leaves only that one, so that rows have seeds of their own.

    Nucleus sampling after Holtzman et al. 2020: the smallest set of tokens whose probabilities reach `top_p`.
    """

    def __init__(self, sampling: Sampling, seeds: Sequence[int], device: Any) -> None:
        self._sampling = sampling
        self._generators = [torch.Generator(device="cpu").manual_seed(seed) for seed in seeds]
        self._device = device

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Everything but the drawn token becomes impossible."""
        probabilities = torch.softmax(scores.float() / self._sampling.temperature, dim=-1).cpu()
        drawn = [self._one(row, generator) for row, generator in zip(probabilities, self._generators, strict=True)]
        only = torch.full_like(scores, -torch.inf)
        return only.scatter_(-1, torch.tensor(drawn, device=scores.device)[:, None], 0.0)

    def _one(self, probabilities: Any, generator: Any) -> int:
        if self._sampling.top_p < 1:
            ordered, order = probabilities.sort(descending=True, stable=True)
            ordered[ordered.cumsum(-1) - ordered >= self._sampling.top_p] = 0.0
            return int(order[torch.multinomial(ordered, 1, generator=generator)])
        return int(torch.multinomial(probabilities, 1, generator=generator))


def _device(name: str) -> Any:
    if name != "auto":
        usable = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}
        if name in usable and not usable[name]():
            raise ModelUnavailable(f"torch cannot use the device {name!r} here", layer="hf")
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _load(place: str, dtype: str, source: dict[str, Any]) -> Any:
    wanted = "auto" if dtype == "auto" else getattr(torch, dtype)
    return AutoModelForCausalLM.from_pretrained(place, dtype=wanted, use_safetensors=True, **source)


def _ends(model: Any, tokenizer: Any) -> list[int]:
    """The tokens that end an answer: the generation config's, which know a chat's end, and the tokeniser's."""
    config = getattr(model, "generation_config", None)
    listed = getattr(config, "eos_token_id", None)
    ends = listed if isinstance(listed, list) else [listed]
    return sorted({token for token in (*ends, tokenizer.eos_token_id) if isinstance(token, int)})
