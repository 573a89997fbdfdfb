"""How commands speak: one JSON document on stdout with `--json`, tables for people without, the rest on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

import click

from assay.errors import AssayError, ConfigError

if TYPE_CHECKING:
    from rich.console import Console

F = TypeVar("F", bound=Callable[..., Any])


def json_option(command: F) -> F:
    """Add `--json`, which every command has."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")(command)


def console(*, err: bool = False) -> Console:
    """A console for people; plain text where the stream is no terminal."""
    from rich.console import Console

    return Console(stderr=err, highlight=False, markup=False)


def print_json(value: Any) -> None:
    """Print the one JSON document, whole, on stdout."""
    from assay.files import pretty

    sys.stdout.write(pretty(value).decode())
    sys.stdout.flush()


def note(text: str) -> None:
    """Say something on stderr."""
    click.echo(text, err=True)


def report_error(error: AssayError, *, as_json: bool) -> None:
    """Tell the user what went wrong: in words on stderr, and with `--json` as the document on stdout."""
    click.echo(f"{click.style('error', fg='red', bold=True)}: {_indented(str(error))}", err=True)
    if as_json:
        print_json(error_document(error))


def _indented(text: str) -> str:
    lines = text.splitlines()
    return "\n  ".join(lines) if len(lines) > 1 else text


def error_document(error: AssayError) -> dict[str, Any]:
    """An error as `--json` prints it."""
    problems = error.problems if isinstance(error, ConfigError) else ()
    return {
        "schema": "assay.error.v1",
        "error": type(error).__name__,
        "failure_class": error.failure_class.value if error.failure_class else None,
        "exit_code": error.exit_code,
        "message": error.message,
        "hint": error.hint,
        "problems": [asdict(problem) for problem in problems],
    }
