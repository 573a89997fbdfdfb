"""Looks at a deployment as its first users would, and holds what it sees against limits (`assay.gates.health`).

    with deployer.deploy(checkpoint, settings, log) as deployment:
        result, seen = check(deployment, source)     # source: what was seen of the deployed source, None for itself

Everything is asked through the backend `deployed:`, the way the evaluation will ask.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from assay.errors import AssayError, BackendError, EvidenceError, ModelUnavailable
from assay.files import read_json
from assay.gates.health import Limits, gate
from assay.gates.health_view import Finding, Generation, Observation, Passage, from_json
from assay.gates.result import SCHEMA, GateResult
from assay.models.deployed import BACKEND
from assay.models.digests import cached_digest
from assay.models.hf_files import folder_digest
from assay.records import Completion, Message, Request, Sampling
from assay.release import health_log, health_text
from assay.release.deployers.llamacpp import gguf_file
from assay.release.deployers.process import tail
from assay.spec.schema import ModelSpec

if TYPE_CHECKING:
    from assay.models.base import Model
    from assay.release.deployers.base import Deployment

Progress = Callable[[str, int], None]
ANSWER_TOKENS = 64
ANSWER_S = 120.0
"""How long one answer, or one passage, may take."""
_T = TypeVar("_T")


def check(
    deployment: Deployment,
    source: Observation | Mapping[str, Any] | None = None,
    limits: Limits | None = None,
    progress: Progress | None = None,
) -> tuple[GateResult, Observation]:
    """What the gate says of a deployment, and what was seen. `source`: what was seen of the source, for a candidate.

    An unhealthy server is a result, not an error. `progress` is told what is done, in words.
    """
    seen = observe(deployment, progress)
    return gate(seen, source, limits), seen


def source_of(document: Path | Mapping[str, Any]) -> Observation:
    """What was seen of the source, out of the health gate's result for it. Raises EvidenceError where it is none."""
    value = read_json(document, SCHEMA) if isinstance(document, Path) else document
    if value.get("gate") != "health":
        raise EvidenceError(f"the result of the gate {value.get('gate')!r} is not that of health")
    numbers = value.get("numbers")
    return from_json(numbers.get("observation") if isinstance(numbers, dict) else None)


def observe(deployment: Deployment, progress: Progress | None = None) -> Observation:
    """Everything that the gate asks for. Raises nothing for a server that is unhealthy."""
    return asyncio.run(_observe(deployment, progress or (lambda what, count: None)))


async def _observe(deployment: Deployment, progress: Progress) -> Observation:
    with tempfile.TemporaryDirectory(prefix="assay-") as place:
        file = Path(place) / "deployment.json"
        deployment.write(file)
        model = BACKEND(ModelSpec(model=f"deployed:{file}"))
        why, asked = "", _Asked()
        try:
            await model.start()
            asked = await _ask(model, progress)
        except AssayError as error:
            why = error.message
        finally:
            await model.stop()
    alive = deployment.alive()
    if alive is False and not why:
        why = "its process ended while it was asked"
    found, scanned, logged = _log(deployment)
    return Observation(
        model=deployment.model.identity,
        texts=health_text.DIGEST,
        alive=alive,
        answers=not why,
        served=deployment.now.served,
        why=why if alive is not False else "\n".join([why, *tail(deployment.log or Path())]),
        digest=_digest(deployment),
        mapped=_mapped(deployment),
        generations=asked.generations,
        passages=asked.passages,
        unmeasured=asked.unmeasured,
        findings=found,
        scanned=scanned,
        logged=logged,
        seconds=asked.seconds,
        facts=deployment.facts,
    )


class _Asked:
    """What the model said."""

    generations: tuple[Generation, ...] = ()
    passages: tuple[Passage, ...] = ()
    unmeasured: str = "the server did not answer"
    seconds: float | None = None


async def _ask(model: Model, progress: Progress) -> _Asked:
    asked = _Asked()
    started = time.monotonic()
    answers = [_generation(model, prompt) for prompt in health_text.PROMPTS]
    asked.generations = await _all(answers, model, progress, "health: answers")
    asked.seconds = time.monotonic() - started
    if not model.capabilities.choices:
        asked.unmeasured = "the server gives no likelihood of given text, so it was judged by its answers alone"
        return asked
    passages = [_passage(model, f"passage {n}", *parts) for n, parts in enumerate(health_text.PASSAGES, 1)]
    asked.passages = await _all(passages, model, progress, "health: passages")
    asked.unmeasured = ""
    return asked


async def _all(work: list[Coroutine[Any, Any, _T]], model: Model, progress: Progress, what: str) -> tuple[_T, ...]:
    """All of it, as many at once as the server has slots."""
    free = asyncio.Semaphore(model.parallel or 1)
    done = 0

    async def one(part: Coroutine[Any, Any, _T]) -> _T:
        nonlocal done
        async with free:
            result = await part
        done += 1
        progress(f"{what} {done}/{len(work)}", 0)
        return result

    return tuple(await asyncio.gather(*map(one, work)))


async def _generation(model: Model, prompt: str) -> Generation:
    sampling = Sampling(max_tokens=ANSWER_TOKENS)
    if model.capabilities.chat:
        request = Request(sampling, seed=0, messages=(Message("user", prompt),))
    else:
        request = Request(sampling, seed=0, text=f"Question: {prompt}\nAnswer:")
    answer = await _complete(model, request)
    if isinstance(answer, str):
        return Generation(prompt, error=answer)
    return Generation(prompt, answer.text, answer.tokens_out, answer.finish)


async def _passage(model: Model, name: str, begin: str, rest: str) -> Passage:
    """How likely the rest is after the beginning."""
    answer = await _complete(model, Request(Sampling(max_tokens=1), seed=0, text=begin, choices=(rest,)))
    if isinstance(answer, str):
        return Passage(name, error=answer)
    score = answer.choices[0]
    return Passage(name, score.logprob, score.tokens)


async def _complete(model: Model, request: Request) -> Completion | str:
    """The answer, or why there is none. A slow server gets no second chance here: the rules say who tries again."""
    try:
        async with asyncio.timeout(ANSWER_S):
            return await model.complete(request)
    except TimeoutError:
        return f"no answer within {ANSWER_S:g} s"
    except BackendError as error:
        return error.message or type(error).__name__


def _log(deployment: Deployment) -> tuple[tuple[Finding, ...], int | None, int | None]:
    process = deployment.process
    if process is None:
        return (), None, None
    try:
        return health_log.scan(process.log, process.log_start)
    except OSError:
        return (), None, None


def _digest(deployment: Deployment) -> str | None:
    """Of the checkpoint's files as they are now; empty, which is nobody's, where they cannot be read."""
    checkpoint = deployment.checkpoint
    if checkpoint is None:
        return None
    try:
        if deployment.model.format == "gguf":
            return cached_digest(gguf_file(checkpoint))
        return folder_digest(checkpoint)
    except (ModelUnavailable, OSError):
        return ""


def _mapped(deployment: Deployment) -> bool | None:
    """Whether the server's process has the checkpoint's very file in its memory; None where that cannot be seen.

    llama.cpp maps the file that it serves. By inode, so that a file replaced since the start is another one.
    """
    if deployment.model.api != "llamacpp" or deployment.process is None or deployment.checkpoint is None:
        return None
    try:
        wanted = gguf_file(deployment.checkpoint).stat()
    except (ModelUnavailable, OSError):
        return False
    device = f"{os.major(wanted.st_dev):02x}:{os.minor(wanted.st_dev):02x}"
    seen = False
    for pid in deployment.process.members():
        try:
            lines = (Path("/proc") / str(pid) / "maps").read_text(errors="replace").splitlines()
        except OSError:
            continue
        seen = seen or bool(lines)
        parts = (line.split(maxsplit=5) for line in lines)
        if any(len(part) > 4 and part[4] == str(wanted.st_ino) and part[3] == device for part in parts):
            return True
    return False if seen else None
