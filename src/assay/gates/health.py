"""`health`: is what is served the model that it should be, and in its right mind? Asked before anything is measured.

Pure: an observation of the deployment, that of the source (for a candidate), and limits, in; a result out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from assay.errors import AssayError, ConfigError, FailureClass, Problem
from assay.files import digest_of
from assay.gates import legible
from assay.gates.health_view import Finding, Generation, Observation, from_json
from assay.gates.result import Check, GateResult, Verdict, reasons_of, weightiest

GATE = "health"
_FAILED = FailureClass.DEPLOYMENT_HEALTH_FAILED
_ORDER = (Verdict.FAIL,)

RATIOS = ((7.5, 1.1), (5.5, 1.25), (4.0, 1.5), (0.0, 2.0))
"""From how many bits a weight on: how many times the source's perplexity a candidate's may be."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What passes. The figures behind the defaults are in docs/deploying.md.

    `perplexity_ratio`: how many times the source's perplexity a candidate's may be, over all passages; `passage_ratio`
    the same for any one passage. `perplexity`: the most that any model may have, for a source has nobody to be held
    against. `repetition`: from which share of repeated runs of four words an answer counts as going in circles;
    `looping`: the share of answers that may, beyond those of the source. `known_words`: the least share of common
    words over all answers, and `known_ratio` the least of the source's own share. `printable`: the least share of
    printable characters in any answer. `empty`: the share of answers that may be empty, beyond those of the source.
    """

    perplexity_ratio: float = 2.0
    passage_ratio: float = 3.0
    perplexity: float = 200.0
    repetition: float = 0.6
    looping: float = 0.25
    known_words: float = 0.15
    known_ratio: float = 0.7
    printable: float = 0.95
    empty: float = 0.25

    def __post_init__(self) -> None:
        for part in fields(self):
            value = getattr(self, part.name)
            low, high = (1.0, 1e6) if part.name.startswith(("perplexity", "passage")) else (0.0, 1.0)
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                allowed = f"a number from {low:g} to {high:g}"
                raise ConfigError(
                    Problem(f"{part.name} cannot be {value!r}", key=f"health.{part.name}", allowed=allowed)
                )

    @classmethod
    def of(cls, bits: float | None) -> Limits:
        """The limits for weights of so many bits: the fewer, the more they may lose; None where that is not known.

        Noise of rounding falls by a factor of four with each bit, and what a model loses with it: that with eight bits
        perplexity hardly moves is what shows a file with little wrong in it. The figures are in docs/deploying.md.
        """
        if bits is None:
            return cls()
        ratio = next((ratio for least, ratio in RATIOS if bits >= least), RATIOS[-1][1])
        return cls(perplexity_ratio=ratio, passage_ratio=1 + 2 * (ratio - 1))

    def to_json(self) -> dict[str, Any]:
        """The limits with their digest."""
        content = asdict(self)
        return {**content, "digest": digest_of(content)}


def gate(observed: Any, source: Any = None, limits: Limits | None = None) -> GateResult:
    """PASS or FAIL. Takes observations or their JSON; never raises.

    `source`: the observation of the deployed source, for a candidate; None where the source itself is looked at, which
    is then held to absolute limits alone.
    """
    held = limits or Limits()
    read: list[Observation | None] = []
    for role, value in (("deployment", observed), ("source", source)):
        try:
            read.append(
                value if isinstance(value, Observation) or (value is None and role == "source") else from_json(value)
            )
        except AssayError as error:
            return GateResult(
                GATE, Verdict.FAIL, (f"{role}: {error.message}",), error.failure_class, policy=held.to_json()
            )
    seen, base = read
    assert seen is not None  # noqa: S101 - None is read as JSON above, and refused
    checks = tuple(_checks(seen, base, held))
    worst = weightiest(checks, _ORDER)
    said = reasons_of(checks, _ORDER)
    return GateResult(
        gate=GATE,
        verdict=Verdict.FAIL if worst else Verdict.PASS,
        reasons=said if worst else (*said, _healthy(seen, base)),
        failure_class=worst.failure_class if worst else None,
        checks=checks,
        numbers=_numbers(seen, base),
        inputs=tuple(_identity(role, one) for role, one in (("deployment", seen), ("source", base)) if one),
        policy=held.to_json(),
    )


def _checks(seen: Observation, base: Observation | None, limits: Limits) -> Iterator[Check]:
    yield from _server(seen)
    yield from _identified(seen)
    yield from _log(seen.findings)
    if base is not None:
        same = seen.texts == base.texts
        reason = "it was asked other questions than the source was: they cannot be held against each other"
        yield _check("same_texts", same, seen.texts, base.texts, reason, FailureClass.EVIDENCE_INVALID)
        if not same:
            return
    if seen.answers:
        yield from _answers(seen, base, limits)
        yield from _perplexity(seen, base, limits)


def _server(seen: Observation) -> Iterator[Check]:
    """The process and the endpoint."""
    if seen.alive is not None:
        yield _check("process", seen.alive, seen.alive, True, "the server's process has ended")
    reason = seen.why or f"the server does not answer for {seen.served!r}"
    yield _check("endpoint", seen.answers, seen.answers, True, reason)


def _identified(seen: Observation) -> Iterator[Check]:
    """Whether the weights are those that were to be served."""
    wanted = seen.model.get("digest")
    if seen.digest is None:
        reason = "which weights are served cannot be seen from here"
        yield Check("digest", None, observed=None, limit=wanted, reason=reason)
    else:
        reason = f"the checkpoint is another one ({seen.digest[:12]}…) than was to be served ({str(wanted)[:12]}…)"
        yield _check("digest", seen.digest == wanted, seen.digest, wanted, reason)
    if seen.mapped is not None:
        reason = "the server has another file in its memory than the checkpoint"
        yield _check("mapped", seen.mapped, seen.mapped, True, reason)


def _log(findings: Sequence[Finding]) -> Iterator[Check]:
    """What the log says, by the table of patterns: they only add findings, and clear of none means nothing."""
    for one in findings:
        times = f", {one.count} times" if one.count > 1 else ""
        reason = f"the log says, in line {one.line}{times}: {one.excerpt}"
        if one.severity == "blocking":
            yield _check(f"log.{one.pattern}", False, one.count, 0, reason, one.failure_class)
        else:
            yield Check(f"log.{one.pattern}", None, observed=one.count, limit=None, reason=reason)


def _answers(seen: Observation, base: Observation | None, limits: Limits) -> Iterator[Check]:
    """The smoke generations."""
    errors = [one.error for one in seen.generations if one.error]
    reason = (
        f"{len(errors)} of {len(seen.generations)} questions got no answer: {errors[0] if errors else 'none was asked'}"
    )
    yield _check("answered", not errors and bool(seen.generations), len(errors), 0, reason)
    texts = [one.text for one in seen.generations if not one.error]
    if not texts:
        return
    yield from _empty(texts, base, limits)
    written = [text for text in texts if text.strip()]
    if written:
        yield from _printable(written, limits)
        yield from _words(written, base, limits)
        yield from _loops(written, base, limits)


def _empty(texts: Sequence[str], base: Observation | None, limits: Limits) -> Iterator[Check]:
    share = _share(not text.strip() for text in texts)
    allowed = limits.empty + (_share(not text.strip() for text in _texts(base)) if base else 0)
    reason = f"{100 * share:.0f} % of its answers are empty, at most {100 * allowed:.0f} % may be"
    yield _check("empty", share <= allowed, share, allowed, reason)


def _printable(texts: Sequence[str], limits: Limits) -> Iterator[Check]:
    worst = min(legible.printable(text) or 0.0 for text in texts)
    least = f"at least {100 * limits.printable:.0f} % should be"
    reason = f"an answer has only {100 * worst:.0f} % printable characters, {least}"
    yield _check("printable", worst >= limits.printable, worst, limits.printable, reason)


def _words(texts: Sequence[str], base: Observation | None, limits: Limits) -> Iterator[Check]:
    share = _known(texts)
    least = limits.known_words
    if base is not None:
        least = limits.known_ratio * _known(_texts(base))
    reason = f"{100 * share:.0f} % of the words in its answers are common ones, at least {100 * least:.0f} % should be"
    yield _check("known_words", share >= least, share, least, reason)


def _loops(texts: Sequence[str], base: Observation | None, limits: Limits) -> Iterator[Check]:
    share = _looping(texts, limits)
    allowed = limits.looping + (_looping(_texts(base), limits) if base else 0)
    reason = f"{100 * share:.0f} % of its answers go in circles, at most {100 * allowed:.0f} % may"
    yield _check("repetition", share <= allowed, share, allowed, reason)


def _perplexity(seen: Observation, base: Observation | None, limits: Limits) -> Iterator[Check]:
    """How likely the passages are found, alone and against the source."""
    if not seen.passages:
        known = base is not None and bool(base.passages)
        reason = f"perplexity was not measured: {seen.unmeasured or 'no reason is given'}"
        yield _check("perplexity", False, None, None, reason) if known else Check("perplexity", None, reason=reason)
        return
    found = _power(seen.loss)
    errors = [f"{one.name}: {one.error or 'no probabilities'}" for one in seen.passages if one.loss is None]
    reason = (
        f"no perplexity: {errors[0]}"
        if errors
        else f"its perplexity is {_shown(found)}, at most {limits.perplexity:g} may be"
    )
    yield _check("perplexity", not errors and found <= limits.perplexity, found, limits.perplexity, reason)
    if base is None or errors:
        return
    yield from _against(seen, base, limits)


def _against(seen: Observation, base: Observation, limits: Limits) -> Iterator[Check]:
    if base.loss is None or [one.name for one in seen.passages] != [one.name for one in base.passages]:
        reason = f"the source's perplexity is not known: {base.unmeasured or 'its passages have none'}"
        yield _check("perplexity_ratio", False, None, limits.perplexity_ratio, reason)
        return
    same = [one.tokens for one in seen.passages] == [one.tokens for one in base.passages]
    reason = "its tokeniser takes the same text apart into another number of tokens than the source's"
    yield _check("tokens", same, sum(p.tokens for p in seen.passages), sum(p.tokens for p in base.passages), reason)
    if not same:
        return
    ratio = _power(_less(seen.loss, base.loss))
    reason = f"its perplexity is {_shown(ratio)} times the source's, at most {limits.perplexity_ratio:g} times may be"
    yield _check("perplexity_ratio", ratio <= limits.perplexity_ratio, ratio, limits.perplexity_ratio, reason)
    pairs = [
        (one.name, _power(_less(one.loss, other.loss))) for one, other in zip(seen.passages, base.passages, strict=True)
    ]
    name, most = max(pairs, key=lambda pair: pair[1])
    reason = (
        f"on {name} its perplexity is {_shown(most)} times the source's, at most {limits.passage_ratio:g} times may be"
    )
    yield _check("passage_ratio", most <= limits.passage_ratio, most, limits.passage_ratio, reason)


def _less(one: float | None, other: float | None) -> float:
    return math.inf if one is None or other is None else one - other


def _power(loss: float | None) -> float:
    """e to the power of nats; infinite where that is beyond all numbers."""
    return math.exp(loss) if loss is not None and loss < 700 else math.inf


def _shown(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "beyond measure"


def _texts(seen: Observation) -> list[str]:
    return [one.text for one in seen.generations if not one.error]


def _share(values: Iterator[bool] | Any) -> float:
    found = list(values)
    return sum(found) / len(found) if found else 0.0


def _known(texts: Sequence[str]) -> float:
    common, words = legible.known(texts)
    return common / words if words else 0.0


def _looping(texts: Sequence[str], limits: Limits) -> float:
    return _share((legible.repetition(text) or 0.0) > limits.repetition for text in texts if text.strip())


def _numbers(seen: Observation, base: Observation | None) -> dict[str, Any]:
    numbers: dict[str, Any] = {"perplexity": _known_power(seen.loss), "tokens_per_s": seen.tokens_per_s}
    if base is not None:
        ratio = None if seen.loss is None or base.loss is None else _power(seen.loss - base.loss)
        numbers |= {"source_perplexity": _known_power(base.loss), "perplexity_ratio": ratio}
    numbers["answers"] = [_figures(one) for one in seen.generations]
    return numbers | {"observation": seen.to_json()}


def _known_power(loss: float | None) -> float | None:
    return None if loss is None else _power(loss)


def _figures(one: Generation) -> Mapping[str, Any]:
    return {
        "repetition": legible.repetition(one.text),
        "compression": legible.compression(one.text),
        "printable": legible.printable(one.text),
        "known_words": _known([one.text]),
    }


def _identity(role: str, seen: Observation) -> Mapping[str, Any]:
    return {"role": role, "model": dict(seen.model), "observation": digest_of(seen.to_json())}


def _healthy(seen: Observation, base: Observation | None) -> str:
    if seen.loss is None:
        return "healthy: it answers in sentences"
    against = f", {_power(seen.loss - base.loss):.3g} times the source's" if base and base.loss is not None else ""
    return f"healthy: it answers in sentences, and its perplexity is {_power(seen.loss):.3g}{against}"


def _check(name: str, ok: bool, observed: Any, limit: Any, reason: str, kind: FailureClass = _FAILED) -> Check:
    return Check(name, bool(ok), "", observed, limit, reason, Verdict.FAIL, kind)
