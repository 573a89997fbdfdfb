"""`card.md`: a model card whose every claim names the gate that holds it and the evidence, and that makes no other.

A release that is not ACCEPT gets a card that says so and claims nothing. Names come from files that anybody may have
written: they stand as code, in which Markdown and HTML mean nothing. The same files give the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from assay.errors import EvidenceError, MachineError
from assay.files import write_atomic
from assay.release import report_origin, wording
from assay.release.contents import Contents, Document, Gated, read
from assay.release.folder import BASELINE, ReleaseFolder
from assay.release.losses import allowed, interval, level
from assay.report.numbers import count

CARD = "card.md"


def write(folder: Path, out: Path | None = None) -> Path:
    """Write the card of the release in `folder`, whole or not at all; into the release, unless `out` says where.

    Raises ConfigError where nothing was decided yet, EvidenceError where the files are not what assay writes,
    MachineError where the card cannot be written.
    """
    path = out or folder / CARD
    content = text(ReleaseFolder(folder)).encode("utf-8", "replace")
    try:
        write_atomic(path, content)
    except OSError as error:
        raise MachineError(f"cannot write {path}", layer="card", errno=error.errno) from error
    return path


def text(folder: ReleaseFolder) -> str:
    """The card."""
    contents = read(folder)
    try:
        lines = list(_card(contents))
    except (KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
        raise EvidenceError(f"{folder.path}: not what assay writes ({error!r})") from error
    return wording.legible("\n".join([*lines, ""]))


def _card(contents: Contents) -> Iterator[str]:
    best = released(contents)
    if best is None:
        yield from _refused(contents)
        return
    name = str(best["candidate"])
    yield from (f"# {_code(name)} of {_source_name(contents)}", "")
    yield from _what(contents, best)
    yield from _claims(contents, name)
    yield from _measured(contents, name)
    yield from _limits(contents, name)
    yield from _verify(contents)


def released(contents: Contents) -> Document | None:
    """The candidate that may be published: only of an ACCEPT, and only where its comparison says ACCEPT."""
    decision, best = contents.decision, contents.recommended
    if best is None or decision["verdict"] != "ACCEPT" or decision["publish"] is not True:
        return None
    gate = contents.gated("compare", str(best["candidate"]))
    return best if gate is not None and gate.document["verdict"] == "ACCEPT" else None


def _refused(contents: Contents) -> Iterator[str]:
    decision = contents.decision
    kind = f" ({_code(decision['failure_class'])})" if decision["failure_class"] else ""
    yield from (f"# {_source_name(contents)}: not released", "")
    yield f"**Not released.** The verdict is {_code(decision['verdict'])}{kind}: there is nothing to publish, and"
    yield from ("this card claims nothing of the quality of any candidate.", "")
    yield from (f"- {_code(reason)}" for reason in decision["reasons"])
    yield ""
    yield from _verify(contents)


def _what(contents: Contents, best: Document) -> Iterator[str]:
    """What it was made from, by what, and in what environment."""
    name, source = str(best["candidate"]), contents.decision["source"]
    lock, recipe = contents.optional("candidates", name, "environment.json"), best["recipe"]
    made = "not known" if lock is None else f"{len(lock['packages'])} packages, lock {_code(lock['digest'])}"
    licence = report_origin.licence(contents)
    rows = [
        ("source", f"{_source_name(contents)}, SHA-256 {_code(source.get('digest'))}"),
        ("licence of the source", _code(licence) if licence else "not known: the source does not say"),
        ("recipe", f"{_code(recipe['name'])}, scheme {_code(recipe['scheme'])}, SHA-256 {_code(recipe['digest'])}"),
        ("quantizer", f"{_code(recipe['quantizer'])}, Python {_code((lock or {}).get('python'))}"),
        ("environment", made),
        ("checkpoint", f"SHA-256 {_code(report_origin.checkpoint(contents, name))}"),
        ("served by", _code(_deployer(contents, name))),
    ]
    yield from ("| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in rows), "")


def _deployer(contents: Contents, name: str) -> str | None:
    gate = contents.gated("deploy", name)
    seen = (gate.document["numbers"].get("observation") if gate else None) or {}
    known = seen.get("facts") or {}
    return known.get("runtime") or known.get("deployer")


def _claims(contents: Contents, name: str) -> Iterator[str]:
    """One line a gate that passed; a gate that did not, or that there is none of, gives none."""
    yield from (
        "## Claims",
        "",
        "Each is what a gate found, with its evidence, a file of the release; no other is made.",
        "",
    )
    for stage, point, say in (
        ("ptq", name, _size),
        ("deploy", name, _served),
        ("run", name, _fit),
        ("run", BASELINE, _base),
    ):
        gate = contents.gated(stage, point)
        said = say(gate) if gate is not None and gate.passed else None
        if gate is not None and said:
            yield f"- {said} {_evidence(gate)}"
    yield ""


def _size(gate: Gated) -> str | None:
    """Size and coverage, as the gate on the checkpoint read them in its headers."""
    numbers = gate.document["numbers"]
    if numbers.get("total_bytes") is None or numbers.get("targeted") is None:
        return None
    size, ratio = wording.size(numbers["total_bytes"]), wording.ratio(numbers.get("total_ratio"))
    whole = f"{size} ({numbers['total_bytes']:,} bytes), {ratio} of the source"
    bits = f" at {numbers['linear_bits']:.2f} bits a weight" if numbers.get("linear_bits") is not None else ""
    layers = f"{numbers['covered']:,} of {numbers['targeted']:,} targeted layers are quantized{bits}"
    return f"Its weights take {whole}; {layers}."


def _served(gate: Gated) -> str | None:
    numbers = gate.document["numbers"]
    if numbers.get("perplexity") is None or numbers.get("perplexity_ratio") is None:
        return None
    found = f"{numbers['perplexity']:.2f}, {numbers['perplexity_ratio']:.3f} times the source's"
    return f"Served, it answers in sentences; its perplexity on a short fixed text is {found}."


def _fit(gate: Gated) -> str | None:
    return _answered("The candidate", gate)


def _base(gate: Gated) -> str | None:
    """The source's run, and what was published of it, where that was held against it."""
    held = [check for check in gate.document["checks"] if check["name"] == "external" and check["ok"] is True]
    named = ", ".join(_code(str(check["where"]).split(" · ")[-1]) for check in held)
    said = _answered("The source", gate)
    return f"{said} Its scores agree with the published ones on {named}." if said and named else said


def _answered(who: str, gate: Gated) -> str | None:
    cells = gate.document["numbers"].get("cells") or []
    told = ", ".join(f"{cell['finished']:,} of {cell['planned']:,} on {_code(cell['task'])}" for cell in cells)
    return f"{who} was asked everything, and every attempt is accounted for: {told}." if told else None


def _evidence(gate: Gated) -> str:
    said = f"gate {_code(gate.document['gate'])}: {_code(gate.document['verdict'])}"
    return f"({said}, {_code(gate.file)}, SHA-256 {_code(gate.sha256)})"


def _measured(contents: Contents, name: str) -> Iterator[str]:
    """The gated tasks, each accepted by itself, from the comparison alone."""
    gate = contents.gated("compare", name)
    tasks = [task for task in gate.tasks if task.get("gated") and task.get("verdict") == "ACCEPT"] if gate else []
    yield from ("## Measured against the source", "")
    if gate is None or not tasks:
        yield from ("Nothing was measured.", "")
        return
    columns = ("task", "metric", "n", "source", "this", "difference", "interval", "margin", "level")
    yield from (f"| {' | '.join(columns)} |", "|---|---|---:|---:|---:|---:|---|---:|---:|", *map(_row, tasks), "")
    yield from ("Rates are in per cent, their differences and margins in points.", "")
    yield from (f"{_rule(gate)} {_evidence(gate)}", "")
    spent = contents.decision["alpha"]
    yield from (f"Over all candidates: {_code(spent['says'])}.", "")


def _rule(gate: Gated) -> str:
    """What an accepted row means, by the rule of the policy."""
    rule = (gate.document["policy"].get("content") or {}).get("rule")
    if rule == "point":
        return "The measured loss is within the margin; by this rule a larger true loss is not ruled out."
    return "Of each row, a loss as large as the margin is ruled out at the level."


def _row(task: Document) -> str:
    cells = (
        _code(task["task"]),
        _code(task.get("metric")),
        count(task.get("pairs")),
        wording.score(task, task.get("baseline")),
        wording.score(task, task.get("candidate")),
        wording.difference(task, task["delta"]),
        wording.bounds(task, interval(task)),
        wording.amount(task, allowed(task)),
        wording.level(level(task)),
    )
    return f"| {' | '.join(cells)} |"


def _limits(contents: Contents, name: str) -> Iterator[str]:
    """What the claims do not reach."""
    gate = contents.gated("compare", name)
    measured = gate.tasks if gate else []
    shown = [str(task["task"]) for task in measured if not task.get("gated") or task.get("verdict") != "ACCEPT"]
    yield from ("## Limitations", "")
    named = ", ".join(_code(task["task"]) for task in measured if str(task["task"]) not in shown)
    others = "other languages, longer texts, safety, tools, other prompts"
    yield f"- Nothing is known of anything but {named or 'nothing'}: not of {others}."
    if shown:
        yield f"- Measured, and held to no margin: {', '.join(map(_code, shown))}. Nothing is claimed of them."
    unheld = _unverified(contents, [str(task["task"]) for task in measured])
    if unheld:
        yield f"- The source's own scores were not held against published ones on {', '.join(map(_code, unheld))}."
    made_up = report_origin.synthetic(contents)
    if made_up:
        yield f"- Synthetic: some answers of {', '.join(map(_code, made_up))} are recorded or made up."
    yield "- Nothing is claimed of speed and latency, which depend on the machine, nor of it served by anything else."
    yield from ("- A difference within the margin is allowed, and not ruled out.", "")


def _unverified(contents: Contents, tasks: list[str]) -> list[str]:
    gate = contents.gated("run", BASELINE)
    checks = gate.document["checks"] if gate else []
    held = {
        str(check["where"]).split(" · ")[-1] for check in checks if check["name"] == "external" and check["ok"] is True
    }
    return [task for task in tasks if task not in held]


def _verify(contents: Contents) -> Iterator[str]:
    yield from ("## Verify", "", "```sh", "assay verify DIR", "```", "")
    yield "DIR is the release directory, which holds this card, the evidence and their seal. It answers the spec with"
    yield f"SHA-256 {_code(contents.asked['digest'])}."


def _source_name(contents: Contents) -> str:
    """The model's name; of a path only its last part, which says nothing of the machine."""
    return _code(Path(str(contents.decision["source"].get("model") or "a source without a name")).name)


def _code(value: object) -> str:
    """A text as code on one line, in a table too: a fence that is longer than any inside it."""
    if value is None:
        return "not known"
    line = " ".join(str(value).split()).replace("|", "¦")
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    pad = " " if len(fence) > 1 else ""
    return f"{fence}{pad}{line}{pad}{fence}" if line else "`?`"
