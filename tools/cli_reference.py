"""Writes docs/cli.md from the commands themselves; with `--check`, says whether it is current.

python tools/cli_reference.py [--check]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

PAGE = Path(__file__).resolve().parent.parent / "docs" / "cli.md"
WIDTH = 100
HEAD = """\
# Command line

Written from the help of the commands by `make docs`; do not edit. Every command takes `--json`: one
JSON document on stdout and nothing else there. Exit codes: 0 done, 1 a gate or a check failed, 2 wrong input,
3 inconclusive or out of budget, 4 anomalous, 5 infeasible, 6 the machine cannot do it, 130 interrupted and
resumable.
"""


def commands(command: click.Command, parent: click.Context | None, name: str) -> Iterator[click.Context]:
    """The context of `command`, then those of the commands below it, in the order of the help."""
    settings = {**command.context_settings, "terminal_width": WIDTH, "max_content_width": WIDTH}
    context = click.Context(command, info_name=name, parent=parent, **settings)
    yield context
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            if found is not None and not found.hidden:
                yield from commands(found, context, child)


def page() -> str:
    """The whole page, as Markdown."""
    from assay.cli.main import cli

    parts = [HEAD]
    for context in commands(cli, None, "assay"):
        level = "#" * min(1 + len(context.command_path.split()), 4)
        help_text = "\n".join(line.rstrip() for line in context.get_help().splitlines())
        parts.append(f"{level} {context.command_path}\n\n```text\n{help_text}\n```\n")
    return "\n".join(parts)


def main(arguments: list[str]) -> int:
    """Write the page, or compare it with what is there."""
    text = page()
    if "--check" not in arguments:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        sys.stderr.write("docs/cli.md is not what the commands say; run `make docs`\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
