"""What every gate said and looked at, the published scores for the source, and how alpha was spent."""

from __future__ import annotations

from collections.abc import Iterator

from assay.release import wording
from assay.release.contents import Contents, Document, Gated
from assay.release.folder import BASELINE
from assay.release.report_parts import badge, code, folded, note, table
from assay.report.markup import Markup, join, tag
from assay.report.numbers import MISSING, count, figure


def gates(contents: Contents) -> Markup:
    """A row a gate in the order in which they were asked, then every check of each."""
    if not contents.gates:
        return note("No gate was asked.")
    title = "In the order in which they were asked. Checks: those that hold, of all."
    rows = [
        [gate.key, badge(str(gate.document["verdict"])), _held(gate), join(_found(gate))] for gate in _all(contents)
    ]
    whole = [_checks(gate) for gate in _all(contents)]
    return join(table(title, ("gate", "verdict", "checks", "what it found"), rows, numbers=(2,), wide=(3,)), whole)


def _all(contents: Contents) -> list[Gated]:
    return list(contents.gates.values())


def _held(gate: Gated) -> str:
    checks = gate.document["checks"]
    return f"{sum(check['ok'] is True for check in checks)} of {len(checks)}" if checks else MISSING


def _found(gate: Gated) -> list[Markup]:
    """The reasons, and the numbers that matter most."""
    document = gate.document
    said = [*document["reasons"], *_NUMBERS.get(str(document["gate"]), _nothing)(document["numbers"])]
    return [tag("div", text) for text in dict.fromkeys(map(str, said))] or [tag("div", "nothing to say")]


def _nothing(_: Document) -> Iterator[str]:
    return iter(())


def _asked(numbers: Document) -> Iterator[str]:
    samples = numbers.get("samples") or {}
    yield f"samples: {wording.plain(dict(samples))}" if samples else "samples: not known"


def _checkpoint(numbers: Document) -> Iterator[str]:
    if numbers.get("targeted") is not None:
        yield f"{count(numbers.get('covered'))} of {count(numbers['targeted'])} targeted layers are quantized"
    types, band = numbers.get("types") or {}, numbers.get("linear_ratio_band") or {}
    if types:
        yield "types: " + ", ".join(f"{kind} × {count(number)}" for kind, number in types.items())
    if numbers.get("fallback_share") is not None:
        kinds = wording.plain(numbers.get("fallbacks"))
        yield f"layers in another type than the scheme's: {100 * numbers['fallback_share']:.1f}% ({kinds})"
    if numbers.get("linear_ratio") is not None:
        limits = f", band {wording.ratio(band.get('low'))} to {wording.ratio(band.get('high'))}" if band else ""
        yield f"linear bytes {wording.ratio(numbers['linear_ratio'])} of the source's{limits}"
    changes = [str(change.get("kind")) for change in numbers.get("changes") or ()]
    told = ", ".join(f"{changes.count(kind)} {kind}" for kind in dict.fromkeys(changes))
    yield f"changes in metadata: {told or 'none'}"


def _health(numbers: Document) -> Iterator[str]:
    seen = numbers.get("observation") or {}
    times = numbers.get("perplexity_ratio")
    against = "" if times is None else f", {figure(times)} times the source's"
    yield f"perplexity {figure(numbers.get('perplexity'))}{against}"
    answers = numbers.get("answers") or []
    repeated = [answer["repetition"] for answer in answers if answer.get("repetition") is not None]
    yield (
        f"repetition of {len(answers)} answers: {figure(max(repeated))} at most"
        if repeated
        else "repetition: not measured"
    )
    findings = seen.get("findings")
    yield (
        "its log: not looked at"
        if findings is None
        else f"findings in {count(seen.get('scanned'))} bytes of its log: {len(findings)}"
    )
    yield f"{figure(numbers.get('tokens_per_s'))} tokens per second"


def _run(numbers: Document) -> Iterator[str]:
    for cell in numbers.get("cells") or ():
        scores = ", ".join(f"{name} {figure(value)}" for name, value in (cell.get("scores") or {}).items())
        outcomes = wording.plain(dict(cell.get("outcomes") or {}))
        yield f"{cell.get('task')}: {count(cell.get('finished'))} of {count(cell.get('planned'))}; {outcomes}; {scores}"


_NUMBERS = {"prepare": _asked, "ptq": _checkpoint, "health": _health, "run": _run}


def _checks(gate: Gated) -> Markup:
    document = gate.document
    bad = [check for check in document["checks"] if check["ok"] is not True]
    title = join(f"{gate.key}: ", f"{len(document['checks'])} checks", f", {len(bad)} not held" if bad else "")
    rows = [_check(check) for check in document["checks"]]
    columns = ("check", "where", "observed", "limit", "holds")
    inner = table(f"gate {document['gate']}", columns, rows) if rows else note("It names no check.")
    return folded(title, inner, note("evidence: ", code(gate.file), ", SHA-256 ", code(gate.sha256)))


def _check(check: Document) -> list[Markup | str]:
    held = {True: "yes", False: "no"}.get(check["ok"], "not decided")
    reason = tag("small", str(check["reason"])) if check.get("reason") else None
    shown = (_short(check.get(key)) for key in ("observed", "limit"))
    return [str(check["name"]), str(check.get("where") or ""), *shown, join(held, reason)]


def _short(value: object) -> str:
    text = wording.plain(value)
    return text if len(text) <= 160 else f"{text[:160]}… ({len(text)} characters)"


def published(contents: Contents) -> Markup:
    """The source's scores against published ones: held, off, or never compared."""
    policy, gate = contents.asked["spec"]["policy"], contents.gated("run", BASELINE)
    rows = [_published(name, policy, gate) for name in _tasks(contents)]
    columns = ("task", "published", "source", "measured", "status")
    title = "Verified: the source's score is within the tolerance of the published one."
    return table(title, columns, rows) if rows else note("No task is known.")


def _tasks(contents: Contents) -> list[str]:
    """The tasks of the plan, as the first gate counted them; else as the spec names them."""
    gate = contents.gates.get("prepare")
    planned = (gate.document["numbers"].get("samples") if gate else None) or {}
    return list(planned) or [str(task.get("name") or task["task"]) for task in contents.asked["spec"]["tasks"]]


def _published(task: str, policy: Document, gate: Gated | None) -> list[Markup | str]:
    named = ((policy.get("tasks") or {}).get(task) or {}).get("external") or (policy.get("defaults") or {}).get(
        "external"
    )
    if not named:
        return [task, MISSING, MISSING, MISSING, "unverified: the policy names no published score"]
    shown = [task, figure(named.get("score")), str(named.get("source") or "not named")]
    check = _external(task, gate)
    if check is None:
        return [*shown, MISSING, "unverified: the source was not held against it"]
    reason = tag("small", str(check["reason"])) if check.get("reason") else None
    return [*shown, wording.plain(check.get("observed")), join("verified" if check["ok"] else "failed", reason)]


def _external(task: str, gate: Gated | None) -> Document | None:
    """The check of this task: its place is the cell, the last part of whose name is the task."""
    checks = [check for check in gate.document["checks"] if check["name"] == "external"] if gate else []
    return next((check for check in checks if str(check.get("where", "")).split(" · ")[-1] == task), None)


def alpha(contents: Contents) -> Markup:
    """The rule, and every comparison with the level at which it was made."""
    spent = contents.decision["alpha"]
    rows = []
    for key, gate in contents.gates.items():
        if gate.document["gate"] == "compare" or key.startswith("decide-"):
            content = gate.document["policy"].get("content") or {}
            again = "made again after acceptances" if key.startswith("decide-") else "as planned"
            verdict = badge(str(gate.document["verdict"]))
            rows.append([key, wording.level(content.get("alpha")), verdict, again])
    said = tag("p", str(spent["says"]), ".")
    if not rows:
        return join(said, note("No comparison was made: none of it was spent."))
    title = f"{len(rows)} comparisons at the levels that they were made at."
    return join(said, table(title, ("comparison", "level", "verdict", "step"), rows, numbers=(1,)))
