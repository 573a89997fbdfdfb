"""`assay release`: a checkpoint from its source to a verdict, with a gate after every stage."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from assay.cli.output import console, json_option, note, print_json

if TYPE_CHECKING:
    from assay.cli.progress import LiveWatch, PlainWatch
    from assay.release.folder import ReleaseFolder
    from assay.release.stages.base import Record

_SPEC = click.Path(path_type=Path, dir_okay=False)
_COLOURS = {"ACCEPT": "green", "PASS": "green", "INCONCLUSIVE": "yellow"}


@click.group("release", short_help="Quantize, serve, evaluate, compare, decide: a gate after every stage.")
def release() -> None:
    """Take a checkpoint to a verdict: quantize, serve, evaluate, compare, decide, with a gate after every stage.

    \b
        assay release run examples/release-smollm2.yaml
        assay release status examples/release-smollm2.yaml
        assay release report examples/release-smollm2.yaml
        assay verify releases/smollm2-1a2b3c4d

    Stopped or killed at any moment, the same command goes on at the unfinished stage. No option leaves a stage or a
    gate out.
    """


@release.command("run", short_help="Do all that is left to do of a release.")
@click.argument("spec", type=_SPEC)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="The release directory.")
@click.option("--fresh", is_flag=True, help="Start over; the old release is kept beside it.")
@click.option("--key", "named", metavar="FILE|env:NAME", help="Sign the finished release with this private key.")
@click.option("--allow-secret", "allow", multiple=True, metavar="DIGEST", help="Seal in spite of this finding.")
@json_option
def run_(spec: Path, out: Path | None, fresh: bool, named: str | None, allow: tuple[str, ...], as_json: bool) -> int:
    """Do all that is left to do of the release that SPEC asks for.

    Ends with 0 for ACCEPT, 1 for REGRESSION, 3 for INCONCLUSIVE, 4 for ANOMALOUS, 5 for INFEASIBLE; with 2 where the
    spec is wrong and 6 where the machine cannot, and then asking again goes on.
    """
    from assay.cli.eval import shown_command
    from assay.release.conductor import Conductor
    from assay.release.folder import ReleaseFolder
    from assay.release.resolve import resolve

    if named:
        from assay.evidence.keys import signing_key
    key = signing_key(named) if named else None
    asked = resolve(spec)
    folder = ReleaseFolder(asked.path(out))
    if fresh and folder.path.exists():
        note(f"the old release is kept in {_aside(folder.path)}")
    place = spec.absolute().parent
    conductor = Conductor(asked, folder, Shown(), key=key, command=shown_command(), place=place, allow=allow)
    decision = conductor.run()
    if as_json:
        print_json(decision)
    else:
        _show_decision(decision, folder)
    return int(decision["exit_code"])


def _aside(path: Path) -> Path:
    """Move a release aside: starting over destroys no evidence."""
    number = 1
    while (old := path.with_name(f"{path.name}.old{number}")).exists():
        number += 1
    path.rename(old)
    return old


@release.command("status", short_help="What is done, what its gates said, and what is next.")
@click.argument("path", metavar="SPEC|DIR", type=click.Path(path_type=Path, exists=True))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="The release directory of SPEC.")
@click.option("--follow", is_flag=True, help="Stay, and show events as they happen, until the release has ended.")
@json_option
def status(path: Path, out: Path | None, follow: bool, as_json: bool) -> int:
    """Show how far a release is: each stage, what its gate said, what is void, what is next."""
    from assay.errors import ConfigError
    from assay.release.folder import ReleaseFolder
    from assay.release.status import follow as followed
    from assay.release.status import status as look

    folder = ReleaseFolder(path)
    if path.is_file():
        from assay.release.resolve import resolve

        folder = ReleaseFolder(resolve(path).path(out))
    if not folder.exists:
        raise ConfigError(f"{folder.path}: no release was begun there", hint="assay release run SPEC begins one")
    if follow:
        for event in followed(folder):
            note(f"{event['event']}: {_fields(event['fields'])}")
    found = look(folder)
    if as_json:
        print_json(found)
    else:
        _show_status(found)
    return 0


@release.command("report", short_help="The page and the model card of a decided release.")
@click.argument("path", metavar="SPEC|DIR", type=click.Path(path_type=Path, exists=True))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the page to this file instead.")
@json_option
def report(path: Path, out: Path | None, as_json: bool) -> int:
    """Say where the report and the model card of a release are, or write its report to another file.

    Both are written when the release is decided, and sealed with it: those of a sealed release are never rewritten.
    Ends with 0 whatever the verdict is.
    """
    from assay.release.folder import ReleaseFolder
    from assay.release.pages import pages

    folder = ReleaseFolder(path)
    if path.is_file():
        from assay.release.resolve import resolve

        folder = ReleaseFolder(resolve(path).path(None))
    found = pages(folder, out)
    if as_json:
        print_json(found)
        return 0
    click.secho(found["verdict"], fg=_COLOURS.get(found["verdict"], "red"), bold=True)
    click.echo(f"publish: {found['recommended']}" if found["publish"] else "do not publish")
    click.echo(f"report: {found['report']}\ncard:   {found['card'] or 'none'}\nverify: assay verify {folder.path}")
    return 0


def _fields(fields: Mapping[str, Any]) -> str:
    """An event in words, its stage first; digests are for the file."""
    ordered = sorted(fields.items(), key=lambda item: item[0] != "stage")
    return ", ".join(f"{key} {value}" for key, value in ordered if key not in ("inputs", "record"))


def _show_status(found: Mapping[str, Any]) -> None:
    from rich.table import Table

    table = Table(title=found["release"], title_justify="left")
    for name in ("stage", "status", "gate", "seconds", "why"):
        table.add_column(name, justify="right" if name == "seconds" else "left")
    for stage in found["stages"]:
        why = stage["void"] or ([stage["message"]] if stage["message"] else [])
        state = "void" if stage["void"] else stage["status"]
        table.add_row(stage["stage"], state, stage["verdict"] or "", f"{stage['seconds']:.1f}", "; ".join(why)[:120])
    console().print(table)
    click.echo(f"next: {found['next']}")
    if found["verdict"]:
        click.secho(found["verdict"], fg=_COLOURS.get(found["verdict"], "red"), bold=True)


def _show_decision(decision: Mapping[str, Any], folder: ReleaseFolder) -> None:
    """The decision, why, and a table of the candidates."""
    click.secho(decision["verdict"], fg=_COLOURS.get(decision["verdict"], "red"), bold=True)
    for reason in decision["reasons"]:
        click.echo(f"  {reason}")
    if decision["candidates"]:
        console().print(_front(decision))
    click.echo(decision["alpha"]["says"])
    if decision["recommended"]:
        click.echo(f"publish: {decision['recommended']}")
    else:
        click.echo("do not publish")
    click.echo(f"release: {folder.path}\nverify:  assay verify {folder.path}")


def _front(decision: Mapping[str, Any]) -> Any:
    from rich.table import Table

    table = Table()
    for name in ("candidate", "MB", "ratio", "tokens/s", "difference", "verdict"):
        table.add_column(name, justify="left" if name in ("candidate", "difference", "verdict") else "right")
    for entry in decision["candidates"]:
        chosen = " ←" if entry["candidate"] == decision["recommended"] else ""
        kind = f" ({entry['failure_class']})" if entry["failure_class"] else ""
        table.add_row(
            entry["candidate"] + chosen,
            _number(entry["bytes"], 1e-6, ".1f"),
            _number(entry["ratio"], 1, ".3f"),
            _number(entry["tokens_per_s"], 1, ".0f"),
            "\n".join(map(_difference, entry["tasks"])),
            (entry["verdict"] or ("screened" if entry["tasks"] else "not tried")) + kind,
        )
    return table


def _number(value: float | None, factor: float, form: str) -> str:
    return "" if value is None else format(value * factor, form)


def _difference(task: Mapping[str, Any]) -> str:
    """`arc_easy -1.00 [-2.21, -0.32]`, in points where the metric is a rate; the bounds are those of the verdict."""
    from assay.release.wording import difference

    if task["delta"] is None:
        return f"{task['task']} not measured"
    delta, low, high = (difference(task, task[name]) for name in ("delta", "low", "high"))
    return f"{task['task']} {delta} [{low}, {high}]"


class Shown:
    """Says on stderr how a release goes."""

    def __init__(self) -> None:
        from assay.cli.progress import Download

        self._download = Download()

    def began(self, key: str, text: str) -> None:
        """A stage begins."""
        note(f"{text} …")

    def ended(self, record: Record) -> None:
        """A stage has ended."""
        said = f" {record.gate.verdict}" if record.gate else ""
        failed = f" {record.failure['class']}: {record.failure['message']}" if record.failure else ""
        note(f"{record.key}:{said or ' ' + record.status}{failed} ({record.seconds:.1f} s)")

    def kept(self, record: Record) -> None:
        """A stage was finished before, and holds."""
        note(f"{record.key}: done already{', ' + record.gate.verdict if record.gate else ''}")

    def said(self, text: str) -> None:
        """Something worth knowing."""
        note(text)

    def progress(self, text: str, size: int) -> None:
        """How far a download or a quantizer is."""
        self._download(text, size)

    def run(self) -> LiveWatch | PlainWatch:
        """How an evaluation goes."""
        from assay.cli.progress import watch

        return watch()
