"""`assay judge auto` and `assay judge pairs`: a model judges by a pinned rubric; what pairwise judging came to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from assay.cli.output import console, json_option, note, print_json
from assay.cli.track import refresh

if TYPE_CHECKING:
    from rich.table import Table

    from assay.judges import Settings

_RUN = click.Path(path_type=Path, file_okay=False)
_OWN = ("name", "base_url", "api", "api_key_env", "choices")
"""Keys of a model beside its backend's options."""


@click.command("auto", short_help="Have a model judge what is pending.")
@click.argument("run", type=_RUN)
@click.option("--judge", "judge_", required=True, metavar="MODEL", help="The model that judges, as in assay eval -m.")
@click.option("-r", "--rubric", default="tip-v1", show_default=True, metavar="RUBRIC", help="A name, or a file.")
@click.option("--votes", type=click.IntRange(1, 99), default=3, show_default=True, help="Votes on each candidate.")
@click.option("--prompt", metavar="PROMPT", help="The judge's prompt: a name, or a file.")
@click.option("-t", "--task", "tasks", multiple=True, metavar="TASK", help="Only these tasks.")
@click.option("--temperature", type=float, help="By default 0.7, and 0 for a single vote.")
@click.option("--top-p", type=float, help="Nucleus sampling.")
@click.option("--max-tokens", type=int, help="Tokens of a vote at most; by default 512.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Root of the votes' seeds.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="At most this many candidates, or pairs.")
@click.option("-o", "--option", "options", multiple=True, metavar="KEY=VALUE", help="Of the model: context=8192.")
@click.option("--name", metavar="NAME", help="What the judge is called here.")
@click.option("--reference", is_flag=True, help="Show the judge the reference answers too.")
@click.option("--anchors", is_flag=True, help="Have the rubric's examples judged too, and compare.")
@click.option("--anchor-tolerance", type=click.FloatRange(0, 1), default=0.25, show_default=True, help="Of the scale.")
@click.option("--pairwise", is_flag=True, help="Compare answers in pairs, in both orders, instead of scoring them.")
@click.option("--by", type=click.Choice(["model", "prompt"]), help="With --pairwise: what is compared.")
@click.option("--against", metavar="NAME", help="With --pairwise: only pairs with this model or prompt.")
@click.option("--concurrency", type=int, help="Requests in flight at most.")
@click.option("--timeout", type=float, metavar="SECONDS", help="Time limit of one request.")
@click.option("--tries", type=int, help="Tries of one vote at most.")
@click.option("--budget-tokens", type=int, help="Stop after this many tokens.")
@click.option("--budget-requests", type=int, help="Stop after this many requests.")
@click.option("--budget-seconds", type=float, help="Stop after this many seconds.")
@click.option("--cache", type=click.Choice(["auto", "on", "off"]), help="Reuse stored responses.")
@click.option("--allow-secret", "allow", multiple=True, metavar="DIGEST", help="Seal in spite of this finding.")
@json_option
def auto(
    run: Path, rubric: str, pairwise: bool, by: str | None, against: str | None, as_json: bool, **given: Any
) -> int:
    """Have a model judge the candidates of RUN that it has not judged yet, by a pinned rubric.

    Judging is a run of its own, kept and sealed in RUN/judging/auto; asking again resumes it. A vote that does not
    come, cannot be read or is off the scale is a failure of the judge and never a low score: a candidate without a
    majority of usable votes stays pending, and the command ends with 1 after all others are applied.
    """
    from assay.cli.progress import Download, watch
    from assay.errors import JudgeFailed
    from assay.judges import auto as score
    from assay.judges import compare
    from assay.judging.library import find

    if (by or against) and not pairwise:
        raise click.UsageError("--by and --against are for --pairwise")
    settings, told = _settings(given), _said(as_json)
    more: dict[str, Any] = {"watch": watch(), "progress": Download(), "note": told}
    failed: JudgeFailed | None = None
    try:
        if pairwise:
            report = compare(run, find(rubric), settings, by=by or "model", against=against, **more)  # type: ignore[arg-type]
        else:
            report = score(run, find(rubric), settings, **more)
    except JudgeFailed as error:
        failed, report = error, dict(error.report)
    refresh([run])
    if as_json:
        print_json(report | ({"failure_class": str(failed.failure_class)} if failed else {}))
    else:
        _show(report)
    if failed:
        note(f"error: {failed}")
    return failed.exit_code if failed else 0


def _said(as_json: bool) -> Any:
    return lambda text: note(f"note: {text}")


def _settings(given: dict[str, Any]) -> Settings:
    from assay.cli.eval import shown_command
    from assay.judges import Settings
    from assay.judging.checks import Tolerance

    sampling = {key: given[key] for key in ("temperature", "top_p", "max_tokens") if given[key] is not None}
    return Settings(
        model=_model(given["judge_"], given["options"]),
        prompt=given["prompt"],
        votes=given["votes"],
        sampling=sampling,
        seed=given["seed"],
        tasks=given["tasks"],
        limit=given["limit"],
        reference=given["reference"],
        anchors=given["anchors"],
        name=given["name"],
        tolerance=Tolerance(anchor=given["anchor_tolerance"]),
        execution=_execution(given),
        allow=given["allow"],
        command=shown_command(),
    )


def _model(name: str, options: tuple[str, ...]) -> dict[str, Any]:
    """The model as a spec's `models` would have it."""
    found: dict[str, Any] = {"model": name, "options": {}}
    for text in options:
        key, sign, value = text.partition("=")
        if not sign or not key:
            raise click.BadParameter(f"{text!r} is not KEY=VALUE", param_hint="--option")
        (found if key in _OWN else found["options"])[key] = _value(value)
    return found


def _value(text: str) -> bool | int | float | str:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _execution(given: dict[str, Any]) -> dict[str, Any]:
    """The options of how the run is carried out, as a spec has them."""
    budget = {key: given[f"budget_{key}"] for key in ("tokens", "requests", "seconds")}
    parts = {
        "concurrency": {"limit": given["concurrency"], "timeout_s": given["timeout"]},
        "retry": {"tries": given["tries"]},
        "budget": budget,
    }
    found: dict[str, Any] = {
        name: {key: value for key, value in part.items() if value is not None} for name, part in parts.items()
    }
    return {name: part for name, part in found.items() if part} | (
        {"cache": given["cache"]} if given["cache"] is not None else {}
    )


def _show(report: dict[str, Any]) -> None:
    judge, what = report["judge"], "pairs" if report["pairwise"] else "candidates"
    if report["batch"] is None:
        click.echo(f"nothing is pending: {judge['name']} has judged all {what} by {report['rubric']['label']}")
        return
    votes = report["votes"]
    failures = "".join(f", {kind} {count}" for kind, count in votes["failures"].items())
    click.echo(f"{report['applied']} {what} judged by {judge['name']} (rubric {report['rubric']['label']})")
    click.echo(f"  {votes['valid']} of {votes['asked']} votes valid{failures}")
    click.echo(f"  judge run: {report['run']}/{judge['run']}")
    for one in report["errors"]:
        click.secho(f"  unanswered {one['votes']}: {one['message'][:300]}", fg="yellow")
    for one in report["failed"][:10]:
        kinds = ", ".join(f"{kind} {count}" for kind, count in one["votes"].items())
        click.secho(f"  pending: {one['sample']} ({kinds})", fg="yellow")
    if len(report["failed"]) > 10:
        click.secho(f"  … and {len(report['failed']) - 10} more", fg="yellow")
    for why in (report["checks"] or {}).get("marked", ()):
        click.secho(f"  marked: {why}", fg="yellow")
    if report["self_preference"]:
        share = f"{report['self_preference']} of {report['applied']}"
        click.secho(f"  {share} are of the judge's own family: a judge may favour its kin", fg="yellow")
    if report["synthetic"]:
        click.secho("  no model answered: the votes are recorded ones", fg="yellow")


@click.command("pairs", short_help="What pairwise judging came to.")
@click.argument("run", type=_RUN)
@json_option
def pairs(run: Path, as_json: bool) -> int:
    """Show what judges said of pairs of answers in RUN: wins, losses, ties, and how far the order decided."""
    from assay.judged import opened
    from assay.judging.pairs import pairs as of

    judged = opened(run)
    found = of(judged.folder, judged.plan, judged.state)
    if as_json:
        print_json({**found, "run": str(run)})
        return 0
    if not found["judges"]:
        click.echo(f"{run}: no pairs were judged yet")
    for one in found["judges"]:
        place = one["position"]
        share = "" if place["first_share"] is None else f"; {place['first_share']:.0%} of decided votes for the first"
        click.echo(f"{one['judge']} by {one['rubric']['label']}, by {one['by']}{share}")
        console().print(_table(one["pairs"]))
    return 0


def _table(rows: list[dict[str, Any]]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in ("a", "b"):
        table.add_column(name)
    for name in ("wins of a", "of b", "ties", "inconsistent", "share of a", "95 %"):
        table.add_column(name, justify="right")
    for row in rows:
        share = row["win_share"]
        bounds = "-" if share["low"] is None else f"{share['low']:.3f} to {share['high']:.3f}"
        counts = (str(row[key]) for key in ("wins", "losses", "ties", "inconsistent"))
        table.add_row(row["a"], row["b"], *counts, f"{share['value']:.3f}", bounds)
    return table
