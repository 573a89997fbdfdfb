"""`assay up|down`: local services that assay can use."""

from __future__ import annotations

from pathlib import Path

import click

from assay.cli.output import json_option, note, print_json

_SERVICES = click.Choice(["mlflow"])


@click.command("up", short_help="Start a local MLflow server, and say where it is.")
@click.argument("service", type=_SERVICES, metavar="mlflow")
@click.option("--port", type=click.IntRange(1, 65535), help="By default 5000, or a free one where that is taken.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address that it listens on.")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where its database and artifacts are; by default mlflow/ here, or where the running one has them.",
)
@click.option("--allowed-hosts", metavar="NAMES", help="Names by which others reach it, such as 'gpu1:5000,10.0.*'.")
@json_option
def up(service: str, port: int | None, host: str, folder: Path | None, allowed_hosts: str | None, as_json: bool) -> int:
    """Start a local MLflow server on SQLite with its artifacts beside it, wait until it answers, and say where.

    \b
        assay up mlflow
        assay eval examples/quickstart.yaml --track
        assay down

    One that runs already is found and not started again. It goes on after this command until `assay down`. Anybody who
    reaches its port can read and write in it: the default address is this machine's own.
    """
    from assay.tracking import server

    wanted = server.Wanted(folder, port, host, allowed_hosts)
    found, new = server.up(wanted, note)
    document = {"schema": "assay.up.v1", "service": service, "started": new, "uri": found.uri, "dir": found.dir}
    if as_json:
        print_json({**document, "pid": found.pid, "log": found.log})
    else:
        note("started" if new else "runs already")
        click.echo(found.uri)
    return 0


@click.command("down", short_help="End the server that `assay up` started.")
@click.argument("service", type=_SERVICES, required=False, default="mlflow", metavar="[mlflow]")
@json_option
def down(service: str, as_json: bool) -> int:
    """End the server that `assay up` started, and no other process. Its files stay."""
    from assay.tracking import server

    found = server.down(note)
    if as_json:
        uri = found.uri if found else None
        print_json({"schema": "assay.down.v1", "service": service, "ended": found is not None, "uri": uri})
    else:
        note(f"ended; its files stay in {found.dir}" if found else "nothing that assay started is running")
    return 0
