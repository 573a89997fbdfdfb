"""The `assay` command: a group whose commands are imported when they are called, so that `--help` stays quick."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

import click

from assay.errors import AssayError
from assay.version import __version__

COMMANDS = {
    "eval": ("assay.cli.eval:eval_", "Plan, run, score and seal an evaluation."),
    "score": ("assay.cli.score:score", "Score stored completions, of a run or of another tool's file."),
    "judge": ("assay.cli.judge:judge", "Have people or models judge answers by a pinned rubric."),
    "import": ("assay.cli.import_:import_", "Make a sealed run of another tool's results."),
    "export": ("assay.cli.export:export", "Write a run as a table: one row an attempt."),
    "compare": (
        "assay.cli.compare:compare",
        "Show how two sealed runs differ: a table, and a page with every flip.",
    ),
    "board": ("assay.cli.board:board", "Rank the cells of sealed runs: means, intervals, and who may be best."),
    "gate": ("assay.cli.gate:gate", "Decide on sealed runs by a policy: fit, no worse, no false alarm."),
    "release": ("assay.cli.release:release", "Quantize, serve, evaluate, compare, decide: a gate after every stage."),
    "checkpoint": ("assay.cli.checkpoint:checkpoint", "Look into checkpoints, and make quantized ones."),
    "track": ("assay.cli.track:track", "Log sealed runs to MLflow, or what of them is not logged yet."),
    "up": ("assay.cli.up:up", "Start a local MLflow server, and say where it is."),
    "down": ("assay.cli.up:down", "End the server that `assay up` started."),
    "seal": ("assay.cli.seal:seal", "Seal a finished run, letting findings pass or taking secrets out."),
    "sign": ("assay.cli.sign:sign", "Sign a sealed run or a verdict."),
    "keys": ("assay.cli.sign:keys", "Make the keys that evidence is signed with."),
    "verify": ("assay.cli.verify:verify", "Re-hash a run and re-derive its numbers, offline."),
    "models": ("assay.cli.names:models", "What models and backends there are."),
    "tasks": ("assay.cli.names:tasks", "What tasks there are, and where their data comes from."),
    "prompts": ("assay.cli.names:prompts", "What prompt templates there are."),
    "doctor": ("assay.cli.doctor:doctor", "What this machine can do, tried out, and how to fix the rest."),
}
"""Each command: where it is, and its line in the help (the same as its own, which a test checks)."""


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order of a user's way through them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command by name, imported now; None where there is none."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command = getattr(import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}:{attribute} is no command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, with the nearest name for a command that does not exist."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else f" There are: {', '.join(COMMANDS)}."
            ctx.fail(f"No such command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table above: importing them all would cost what the help must not."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_line) for name, (_, help_line) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 failed, 2 wrong input, 3 undecided, 4 anomalous, 5 infeasible, "
    "6 the machine cannot, 130 interrupted.",
)
@click.version_option(__version__, prog_name="assay")
def cli() -> None:
    """Decide, with evidence, whether a language model, a prompt or a quantized checkpoint is fit to ship."""


def run(arguments: Sequence[str]) -> int:
    """Run a command line; returns the exit code. Errors are printed, never raised."""
    try:
        code = cli.main(list(arguments), prog_name="assay", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        return _usage_error(error, arguments)
    except click.exceptions.Abort:
        return 130
    except AssayError as error:
        from assay.cli.output import report_error

        report_error(error, as_json="--json" in arguments)
        return error.exit_code
    except BrokenPipeError:
        sys.stderr.close()  # whoever read us has gone; there is nobody to tell
        return 0
    except Exception as error:
        return _internal_error(error, arguments)


def _internal_error(error: Exception, arguments: Sequence[str]) -> int:
    """A bug of ours: Python's own exit code for it is 1, which says that a gate has failed."""
    import traceback

    from assay.cli.output import report_error

    traceback.print_exc()
    internal = AssayError(f"internal error: {type(error).__name__}: {error}", hint="this is a bug in assay")
    internal.exit_code = 6
    report_error(internal, as_json="--json" in arguments)
    return internal.exit_code


def _usage_error(error: click.ClickException, arguments: Sequence[str]) -> int:
    if "--json" in arguments:
        from assay.cli.output import report_error
        from assay.errors import ConfigError

        report_error(ConfigError(error.format_message()), as_json=True)
    else:
        error.show()
    return 2
