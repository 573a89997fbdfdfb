"""How the candidates differ from the source: every difference against its margin, what flipped, length and latency."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from assay.errors import AssayError
from assay.flips import flips
from assay.release import wording
from assay.release.contents import Contents, Document, Gated
from assay.release.folder import BASELINE
from assay.release.losses import allowed, direction, interval
from assay.release.report_parts import badge, folded, note, table
from assay.report.comparison import TEXT_LIMIT, Flip, Side
from assay.report.difference import sides
from assay.report.markup import Markup, join, tag
from assay.report.numbers import MISSING, count, figure
from assay.report.rows import axis, drawing, grid, plot, row, vertical
from assay.report.scale import Scale, linear

_HEIGHT = 42
SHOWN = 4
"""How many losses, and how many gains, are shown of each task."""


def compared(contents: Contents) -> list[tuple[str, Gated]]:
    """The candidates that were compared, each with what its gate said."""
    names = [str(point["candidate"]) for point in contents.candidates]
    found = [(name, contents.gated("compare", name)) for name in names]
    return [(name, gate) for name, gate in found if gate is not None]


def differences(contents: Contents) -> Markup:
    """A forest plot a candidate; rates share one axis over all of them, other metrics have one a task."""
    measured = [(name, gate) for name, gate in compared(contents) if gate.tasks]
    if not measured:
        return note("No candidate was compared: there is no difference to show.")
    scales = _scales([task for _, gate in measured for task in gate.tasks])
    about = note(
        "Candidate less source, with the bounds that the verdict rests on: the dashed line is no difference, the solid "
        "one the margin. Rates are in points, on one axis for all candidates."
    )
    return join(about, tag("div", [_forest(name, gate, scales) for name, gate in measured], class_="cards"))


def _scales(tasks: Sequence[Document]) -> dict[str, Scale]:
    """The axis of each task."""
    rates = [end for task in tasks if wording.is_rate(task) for end in _ends(task)]
    shared = linear(rates) if rates else None
    scales = {}
    for task in tasks:
        name = str(task["task"])
        own = [end for other in tasks if other["task"] == task["task"] for end in _ends(other)]
        scales[name] = shared if shared is not None and wording.is_rate(task) else linear(own)
    return scales


def _ends(task: Document) -> list[float]:
    """All that a task's row shows, and 0."""
    known = [task["delta"], *interval(task), *_margin(task), 0.0]
    return [float(value) for value in known if value is not None]


def _margin(task: Document) -> list[float]:
    """Where the margin lies: below 0 where higher is better, above it where lower is."""
    limit = allowed(task)
    return [] if limit is None else [direction(task) * limit]


def _forest(name: str, gate: Gated, scales: dict[str, Scale]) -> Markup:
    groups: dict[int, list[Document]] = {}
    for task in gate.tasks:
        groups.setdefault(id(scales[str(task["task"])]), []).append(task)
    title = tag("h3", name, " ", badge(gate.document["verdict"]))
    return tag("article", title, [_plot(tasks, scales) for tasks in groups.values()], class_="card")


def _plot(tasks: Sequence[Document], scales: dict[str, Scale]) -> Markup:
    scale, rate = scales[str(tasks[0]["task"])], wording.is_rate(tasks[0])
    rows = [row(_label(task), _drawn(task, scale), _value(task)) for task in tasks]
    return plot(rows, axis(scale, lambda value: f"{100 * value:g}" if rate else f"{value:g}"), kind="intervals")


def _label(task: Document) -> Markup:
    about = [str(task.get("metric") or ""), str(task.get("tier") or ""), f"{count(task.get('pairs'))} pairs"]
    return join(tag("b", str(task["task"])), tag("span", ", ".join(filter(None, about))))


def _drawn(task: Document, scale: Scale) -> Markup:
    middle, shapes = _HEIGHT // 2, [*grid(scale, _HEIGHT), vertical(scale.at(0.0), _HEIGHT, "zero")]
    shapes += [vertical(scale.at(value), _HEIGHT, "margin") for value in _margin(task)]
    low, high = interval(task)
    if low is not None and high is not None:
        shapes.append(tag("line", x1=scale.at(low), x2=scale.at(high), y1=middle, y2=middle, class_="interval"))
    return drawing(_HEIGHT, shapes, tag("circle", cx=scale.at(task["delta"]), cy=middle, r=5, class_="dot"))


def _value(task: Document) -> Markup:
    said = f"{wording.score(task, task.get('baseline'))} → {wording.score(task, task.get('candidate'))}"
    delta = tag("b", wording.difference(task, task["delta"]))
    return join(
        delta,
        tag("span", wording.bounds(task, interval(task))),
        tag("span", said),
        tag("span", task.get("verdict") or "shown"),
    )


def changed(contents: Contents) -> Markup:
    """How many samples changed sides, and some of them with both answers."""
    measured = compared(contents)
    if not measured:
        return note("No candidate was compared: nothing is known of what changed.")
    rows = [_counted(name, task) for name, gate in measured for task in gate.tasks]
    columns = ("candidate", "task", "pairs", "lost", "gained", "unchanged", "discordance")
    title = "Lost: right in the source alone. Gained: right in the candidate alone."
    counted = table(title, columns, rows, numbers=(2, 3, 4, 5, 6)) if rows else note("No scores could be paired.")
    return join(counted, _samples(contents))


def _counted(name: str, task: Document) -> list[str]:
    shown = (count(task.get(key)) for key in ("pairs", "lost", "won", "ties"))
    share = task.get("discordance")
    return [name, str(task["task"]), *shown, MISSING if share is None else f"{100 * share:.1f}%"]


def _samples(contents: Contents) -> Markup:
    """Flips of the recommended candidate; where none is, of the compared one that lost least."""
    measured = {name: gate for name, gate in compared(contents) if gate.tasks}
    name = str(contents.recommended["candidate"]) if contents.recommended else _closest(contents, measured)
    if name is None or name not in measured:
        return note("No answers are shown: no candidate has scores that could be paired.")
    base, other = contents.run(BASELINE), contents.run(name)
    if base is None or other is None:
        return note(f"The answers of {name} are not shown: the release holds no run of it, or none of the source.")
    try:
        found, left_out = flips(measured[name].document, base, other, SHOWN)
    except AssayError as error:
        return note(f"The answers of {name} cannot be read: {error.message}")
    if not found:
        return note(f"No sample of {name} changed sides.")
    total = len(found) + left_out
    which = "recommended" if contents.recommended else "the one that lost least"
    about = note(
        f"{count(len(found))} of the {count(total)} samples that changed sides in {name} ({which}), losses first."
    )
    return tag("article", about, [_flip(flip) for flip in found], class_="card answers-of")


def _closest(contents: Contents, measured: dict[str, Gated]) -> str | None:
    entries = [
        entry for entry in contents.front["entries"] if entry["loss"] is not None and entry["candidate"] in measured
    ]
    return str(min(entries, key=lambda entry: entry["loss"])["candidate"]) if entries else None


def _flip(flip: Flip) -> Markup:
    texts = [_cut(side.text) if side else "" for side in (flip.baseline, flip.candidate)]
    both = zip(("Source", "Candidate"), (flip.baseline, flip.candidate), sides(*texts), strict=True)
    asked = tag("pre", _cut(flip.asked), class_="asked") if flip.asked else note("what was asked is not stored")
    panes = tag("div", [_pane(*pane) for pane in both], class_="both")
    kind = {"lost": "Lost", "won": "Gained"}.get(flip.kind, flip.kind)
    return folded(f"{kind}: {flip.task} · {flip.sample}", asked, panes)


def _pane(title: str, side: Side | None, text: Markup) -> Markup:
    if side is None:
        return tag("div", tag("h4", title), note("not stored"))
    taken = note("taken from it: ", tag("code", str(side.extracted))) if side.extracted is not None else None
    answer = tag("pre", text) if side.text else note("no text was generated")
    return tag("div", tag("h4", title), note(side.why) if side.why else None, taken, answer)


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_LIMIT else f"{text[:TEXT_LIMIT]}\n… ({len(text) - TEXT_LIMIT} more characters)"


def lengths(contents: Contents) -> Markup:
    """How long answers and waits got."""
    rows = [
        [name, str(task["task"]), *_grown(task.get("tokens")), *_grown(task.get("latency"))]
        for name, gate in compared(contents)
        for task in gate.tasks
    ]
    if not rows:
        return note("No candidate was compared: neither length nor latency is known.")
    columns = ("candidate", "task", "tokens, source → candidate", "change", "seconds, source → candidate", "change")
    title = "Means over the samples that both answered; the change with its interval."
    about = note("Tokens are of completions: tasks that score given choices generate none. Latency is of one machine.")
    return join(table(title, columns, rows), about)


def _grown(found: Document | None) -> Iterator[str]:
    if not found or found.get("baseline") is None or found.get("candidate") is None:
        return iter(("not measured", MISSING))
    means = f"{figure(found['baseline'])} → {figure(found['candidate'])}"
    change, low, high = (found.get(key) for key in ("change", "low", "high"))
    if change is None:
        return iter((means, "none generated" if not found["baseline"] else MISSING))
    ends = "" if low is None or high is None else f" [{100 * low:+.1f}, {100 * high:+.1f}]"
    return iter((means, f"{100 * change:+.1f}%{ends}"))
