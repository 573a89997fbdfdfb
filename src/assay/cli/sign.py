"""`assay sign` and `assay keys`: who vouches for a run or a verdict."""

from __future__ import annotations

from pathlib import Path

import click

from assay.cli.output import json_option, note, print_json


@click.command("sign", short_help="Sign a sealed run or a verdict.")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--key", "named", required=True, metavar="FILE|env:NAME", help="The private key: Ed25519, as PEM.")
@json_option
def sign(path: Path, named: str, as_json: bool) -> int:
    """Sign PATH: a sealed run, or a verdict's file.

    \b
        assay keys new release.key
        assay sign runs/quickstart-1a2b3c4d --key release.key
        assay verify runs/quickstart-1a2b3c4d --key release.key.pub

    The signature is an in-toto statement in a DSSE envelope, in a file beside what is signed. A run's files are hashed
    before; that its numbers follow from them is for `assay verify` to say. Signed again with another key, the envelope
    gets one signature more.
    """
    from assay.evidence.keys import signing_key
    from assay.evidence.signing import sign as sign_file
    from assay.evidence.verify import subject_of
    from assay.release.folder import is_release

    if is_release(path):
        from assay.release.verify import subject_of
    key = signing_key(named)
    if not named.startswith("env:") and Path(named).stat().st_mode & 0o077:
        note(f"note: {named} can be read by others than its owner; chmod 600 makes it private")
    subject = subject_of(path)
    envelope = sign_file(subject, key)
    if as_json:
        print_json(
            {"schema": "assay.signed.v1", "subject": str(subject), "signature": str(envelope), "key": key.public.id}
        )
    else:
        click.echo(f"signed: {subject} with key {key.public.id[:16]} ({envelope.name})")
    return 0


@click.group("keys", short_help="Make the keys that evidence is signed with.")
def keys() -> None:
    """Make the keys that evidence is signed with."""


@keys.command("new")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@json_option
def new(file: Path, as_json: bool) -> int:
    """Make an Ed25519 key: the private half in FILE, which only you can read, the public half in FILE.pub."""
    from assay.evidence.keys import make

    public = make(file)
    if as_json:
        print_json({"schema": "assay.key.v1", "private": str(file), "public": f"{file}.pub", "key": public.id})
    else:
        click.echo(f"key {public.id[:16]}\nprivate: {file}\npublic:  {file}.pub")
        note("Whoever has the private key can sign as you: keep it out of repositories and runs.")
    return 0


@keys.command("show")
@click.argument("named", metavar="FILE|env:NAME")
@json_option
def show(named: str, as_json: bool) -> int:
    """Print the id of a public key, as signatures name it."""
    from assay.evidence.keys import verify_key

    public = verify_key(named)
    if as_json:
        print_json({"schema": "assay.key.v1", "key": public.id})
    else:
        click.echo(public.id)
    return 0
