"""`assay judge`: candidates handed out to people, and what they say taken in, by a pinned rubric."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from assay.cli import judge_agreement, judge_auto
from assay.cli.output import console, json_option, note, print_json
from assay.cli.track import chosen, experiment_options, refresh, required

if TYPE_CHECKING:
    from assay.judging.apply import Batch
    from assay.judging.rubric import Rubric

_RUN = click.Path(path_type=Path, file_okay=False)
_FILE = click.Path(path_type=Path, dir_okay=False)
_RUBRIC = "-r", "--rubric"


class Share(click.ParamType[float]):
    """A share: `10%` or `0.1`."""

    name = "share"

    def __init__(self, most: float) -> None:
        self.most = most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The share as a number from 0 to the most that is allowed."""
        text = str(value).strip()
        try:
            share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            share = -1.0
        if not 0 <= share <= self.most:
            self.fail(f"{value!r} is not a share from 0 to {self.most:.0%}, such as 10% or 0.1", param, ctx)
        return share


@click.group("judge", short_help="Have people or models judge answers by a pinned rubric.")
def judge() -> None:
    """Have people or models judge answers by a pinned rubric.

    \b
        assay judge export runs/tips-1a2b3c4d --rubric tip-v1 --out queue.html
        assay judge apply answers.json --judge ada
        assay judge auto runs/tips-1a2b3c4d --rubric tip-v1 --judge openai:some-model
        assay judge status runs/tips-1a2b3c4d

    Judges see no model and no prompt, in an order and under ids that say nothing. What they say is bound to the
    rubric's digest and appended to the run, never overwritten.
    """


judge.add_command(judge_auto.auto)
judge.add_command(judge_auto.pairs)
judge.add_command(judge_agreement.agreement)


@judge.command("export", short_help="Write what is pending as files for judges.")
@click.argument("runs", nargs=-1, metavar="RUN...", type=_RUN)
@experiment_options
@click.option(*_RUBRIC, "rubric", required=True, metavar="RUBRIC", help="A rubric's name, or its Markdown file.")
@click.option("--out", required=True, type=_FILE, help="The file: .html to fill in by keyboard, .csv or .json.")
@click.option("-t", "--task", "tasks", multiple=True, metavar="TASK", help="Only these tasks.")
@click.option(
    "--judge", "judge_", metavar="NAME", help="Pending is what this judge has not judged, not what nobody has."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of ids, order and checks.")
@click.option("--repeat", type=Share(0.5), default="0", metavar="SHARE", help="Show this share twice, such as 10%.")
@click.option("--anchors", is_flag=True, help="Insert the rubric's calibrated examples as checks.")
@click.option("--assign", type=click.IntRange(1, 100), default=1, metavar="N", help="Split between N judges.")
@click.option("--overlap", type=Share(1.0), default="20%", show_default=True, help="With --assign: the share for all.")
@click.option("--reference", is_flag=True, help="Show the reference answers too.")
@click.option("--unblinded", is_flag=True, help="Show model, prompt and task too.")
@json_option
def export(
    runs: tuple[Path, ...],
    experiment: str | None,
    uri: str | None,
    rubric: str,
    out: Path,
    tasks: tuple[str, ...],
    judge_: str | None,
    assign: int,
    unblinded: bool,
    as_json: bool,
    **given: Any,
) -> int:
    """Write what is pending in finished runs as files for judges.

    The key that unblinds the file stays in the run directory, and so does the rubric's text; a sealed run gets a new
    seal over both. The same command gives the same file. With --assign each judge's file has a number. With
    --experiment the runs are those of an MLflow experiment, which gets the key and the rubric back.
    """
    from assay.cli.eval import shown_command
    from assay.judged import export as hand_out
    from assay.judged import opened, unmeasured
    from assay.judging.library import find
    from assay.judging.queue import Options

    required(runs, experiment)
    options = Options(parts=assign, blind=not unblinded, **given)
    found = find(rubric)
    runs = chosen(runs, uri, experiment)
    written = hand_out(runs, found, out, options, tasks=tasks, judge=judge_, command=shown_command())
    for run in dict.fromkeys(runs):
        for name in unmeasured(opened(run), found, tasks):
            note(f"note: {run}: no scorer measures {name!r}, so there will be no composite")
    rows = [
        {"file": str(path), "export": queue.export, "rows": len(queue.items), **queue.counts} for path, queue in written
    ]
    refresh(runs, must=experiment is not None)
    if as_json:
        print_json({"schema": "assay.judge_export.v1", "rubric": found.label, "digest": found.digest, "files": rows})
    for row in rows if not as_json else ():
        checks = f", {row['repeat']} repeats, {row['anchor']} anchors" if row["repeat"] or row["anchor"] else ""
        note(f"{row['file']}: {row['candidate']} candidates{checks} (export {row['export']}, rubric {found.label})")
    return 0


@judge.command("apply", short_help="Take a file that a judge filled in.")
@click.argument("file", type=_FILE)
@click.option("--judge", "judge_", required=True, metavar="NAME", help="Who judged.")
@click.option("--run", "runs", multiple=True, type=_RUN, help="Where it was exported from; by default any in runs/.")
@experiment_options
@click.option("--partial", is_flag=True, help="Apply the complete rows, and say which remain.")
@click.option("--correct", is_flag=True, help="Other scores than before are corrections, which name what they correct.")
@click.option("--anchor-tolerance", type=Share(1.0), default="25%", show_default=True, help="Of the scale, per anchor.")
@click.option("--repeat-tolerance", type=Share(1.0), default="25%", show_default=True, help="Of the scale, per repeat.")
@json_option
def apply(
    file: Path,
    judge_: str,
    runs: tuple[Path, ...],
    experiment: str | None,
    uri: str | None,
    partial: bool,
    correct: bool,
    anchor_tolerance: float,
    repeat_tolerance: float,
    as_json: bool,
) -> int:
    """Take FILE, as exported in CSV or JSON or as saved by the page, into the runs that it came from.

    All of it or nothing: with any row wrong, each problem is listed and the exit code is 2. An anchor scored wrong, or
    a repeat that drifts further than the tolerance, marks the batch. Judgements are appended, and a sealed run gets a
    new seal. Runs that are tracked in MLflow are brought up to date there; with --experiment they are fetched first.
    """
    from assay.cli.eval import shown_command
    from assay.judged import apply as take_in
    from assay.judging.checks import Tolerance

    tolerance = Tolerance(anchor_tolerance, repeat_tolerance)
    name = _judge_name(judge_)
    runs = chosen(runs, uri, experiment)
    batch = take_in(
        file, name, runs, partial=partial, correct=correct, tolerance=tolerance, command=shown_command()
    )  # fmt: skip
    refresh(_handed_out(runs, batch.answers.export), must=experiment is not None)
    if as_json:
        print_json({"schema": "assay.judge_apply.v1", "file": str(file), **batch.to_json()})
    else:
        _told(batch)
    return 0


def _handed_out(runs: tuple[Path, ...], export: str) -> list[Path]:
    """Those of these runs, or of the runs in runs/, that handed out an export."""
    from assay.judging.queue import read_key
    from assay.run.folder import RunFolder

    found = runs or tuple(path.parent for path in sorted(Path("runs").glob("*/plan.json")))
    return [run for run in found if read_key(RunFolder(run), export) is not None]


def _judge_name(name: str) -> str:
    import re

    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}", name):
        raise click.BadParameter(f"{name!r} is not a name (letters, digits, '.', '_', '@' and '-'; at most 100)")
    return name


def _told(batch: Batch) -> None:
    told = batch.to_json()
    parts = [f"{told['applied']} judgements by {told['judge']} applied"]
    parts += [f"{told[key]} {key}" for key in ("corrections", "unchanged", "repeats", "anchors") if told[key]]
    click.echo(f"{', '.join(parts)} (rubric {told['rubric']}, batch {told['batch']})")
    if batch.remaining:
        shown = ", ".join(batch.remaining[:10]) + (" …" if len(batch.remaining) > 10 else "")
        click.echo(f"  {len(batch.remaining)} remain: {shown}")
    for why in batch.checks.marked:
        click.secho(f"  marked: {why}", fg="yellow")


@judge.command("status", short_help="How far the judging of a run is.")
@click.argument("run", type=_RUN)
@click.option(*_RUBRIC, "rubric", metavar="LABEL", help="Only this rubric of those that the run carries.")
@json_option
def status(run: Path, rubric: str | None, as_json: bool) -> int:
    """Show how many candidates of RUN are judged and how many are pending, by rubric and by judge."""
    from assay.judged import status as of

    found = of(run, rubric)
    if as_json:
        print_json({"schema": "assay.judge_status.v1", "run": str(run), "rubrics": found})
    else:
        _show_status(run, found)
    return 0


def _show_status(run: Path, found: list[dict[str, Any]]) -> None:
    if not found:
        click.echo(f"{run}: nothing was given to a judge yet")
    for one in found:
        rubric = f"{one['rubric']['label']} ({one['rubric']['digest'][:16]})"
        click.echo(f"{rubric}: {one['judged']} of {one['candidates']} candidates judged, {one['pending']} pending")
        for judge in one["judges"]:
            marked = f", marked {len(judge['marked'])} times" if judge["marked"] else ""
            click.echo(f"  {judge['judge']}: {judge['judged']} judged, {judge['pending']} pending{marked}")


@judge.group("rubric", short_help="What rubrics there are; check one, compare two.")
def rubric() -> None:
    """What rubrics there are; check one, compare two."""


@rubric.command("list")
@json_option
def list_(as_json: bool) -> int:
    """List the built-in rubrics; a path to a file of one's own works wherever a name does."""
    from assay.judging.library import find, names

    found = [find(name) for name in names()]
    rows = [{"name": one.label, "digest": one.digest, "description": one.description} for one in found]
    if as_json:
        print_json({"schema": "assay.rubrics.v1", "items": rows})
    for row in rows if not as_json else ():
        click.echo(f"{row['name']}  {row['digest'][:12]}  {row['description']}")
    return 0


@rubric.command("show")
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> int:
    """Show one rubric, by name or path: its dimensions with their anchors, its composite, its guide."""
    from assay.judging.library import find

    found = find(name)
    if as_json:
        print_json(found.to_json())
    else:
        _show(found)
    return 0


def _show(found: Rubric) -> None:
    low, high = found.range
    click.echo(f"{found.label} (digest {found.digest[:16]}): {found.description}")
    mark = "" if found.pass_mark is None else f", passes from {found.pass_mark:g}"
    click.echo(f"composite: {found.composite.text}, from {low:g} to {high:g}{mark}")
    for dimension in found.dimensions:
        kind = f"measured by {dimension.metric}" if dimension.measured else "judged"
        click.echo(f"\n{dimension.name} ({kind}, {dimension.scale}): {dimension.help}")
        for level, text in dimension.anchors:
            click.echo(f"  {level:g}  {text}")
    click.echo(f"\n{len(found.examples)} calibrated examples\n\n{found.guide}")


@rubric.command("check")
@click.argument("file")
@click.option(
    "--run", "runs", multiple=True, type=_RUN, help="Also refuse it where this run carries another of its name."
)
@json_option
def check(file: str, runs: tuple[Path, ...], as_json: bool) -> int:
    """Check a rubric's FILE; ends with 2 and every problem by its line where there are any."""
    from assay.judging.library import check_carried, find
    from assay.run.folder import RunFolder

    found = find(file)
    for run in runs:
        folder = RunFolder(run)
        folder.plan()
        check_carried(folder, found)
    missing = found.unexampled()
    if as_json:
        named = {"label": found.label, "digest": found.digest, "range": list(found.range)}
        print_json({"schema": "assay.rubric_check.v1", "file": file, **named, "without_example": missing})
    else:
        low, high = found.range
        click.echo(f"{file}: {found.label} (digest {found.digest[:16]}), composite from {low:g} to {high:g}")
    if missing:
        note(f"note: no example shows {', '.join(missing)}")
    return 0


@rubric.command("diff")
@click.argument("old")
@click.argument("new")
@json_option
def diff(old: str, new: str, as_json: bool) -> int:
    """Show how the rubric NEW differs from OLD, by name or path; ends with 2 where its version is not a new one."""
    from assay.judging.library import difference, find

    before, after = find(old), find(new)
    lines = difference(before, after)
    same = before.digest == after.digest
    if as_json:
        sides = {
            "old": {"label": before.label, "digest": before.digest},
            "new": {"label": after.label, "digest": after.digest},
        }
        print_json({"schema": "assay.rubric_diff.v1", **sides, "same": same, "lines": lines})
    else:
        console().print("\n".join(lines) or "no difference", soft_wrap=True)
    if before.label != after.label or same:
        return 0
    note(f"{new}: {after.label} says something else than before under the same version; raise it to be used")
    return 2
