"""The command line. Commands are imported when they are called: ``--help`` costs only click."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Sequence
from typing import NamedTuple

import click

from gradfix import __version__
from gradfix.errors import GradfixError, internal

OK, FOUND, ERROR, INTERRUPTED = 0, 1, 2, 130


class _Lazy(NamedTuple):
    module: str
    help: str


_COMMANDS = {
    "check": _Lazy("gradfix.cli.sources", "Report what keeps gradients from arriving."),
    "apply": _Lazy("gradfix.cli.sources", "Rewrite what is safe to rewrite."),
    "undo": _Lazy("gradfix.cli.undo", "Put back what an apply has changed."),
    "history": _Lazy("gradfix.cli.undo", "List what apply has changed."),
    "verify": _Lazy("gradfix.verify.cli", "Run modules through torch and check their gradients."),
    "run": _Lazy("gradfix.run.cli", "Run your own training or tests under the gradient tracer."),
    "migrate": _Lazy("gradfix.migrate.cli", "Rewrite many repositories: a branch or a patch each."),
    "explain": _Lazy("gradfix.cli.manual", "Show the manual page of a rule."),
    "rules": _Lazy("gradfix.cli.manual", "List all rules."),
}


class _LazyGroup(click.Group):
    """A group that imports a command's module when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command = getattr(importlib.import_module(_COMMANDS[cmd_name].module), cmd_name)
        if not isinstance(command, click.Command):
            raise TypeError(f"{cmd_name} is not a command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.help) for name, lazy in _COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            from gradfix.rules import did_you_mean

            hint = did_you_mean(args[0], _COMMANDS)
            ctx.fail(f"unknown command {args[0]!r}{hint}")
        return super().resolve_command(ctx, args)


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", message="gradfix %(version)s")
def main() -> None:
    """Find, explain, rewrite and prove PyTorch code that runs and silently does not learn."""


def run(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit code; nothing is raised."""
    verbose = any(argument in ("-v", "--verbose") for argument in arguments)
    try:
        code = main.main(list(arguments), prog_name="gradfix", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return ERROR
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted: run the same command again to go on", err=True)
        return INTERRUPTED
    except GradfixError as error:
        click.echo(f"error: {error}", err=True)
        return ERROR
    except Exception as error:  # a bug of ours: said in one line, exit code 2
        if verbose:
            traceback.print_exc(file=sys.stderr)
        hint = "" if verbose else " (-v shows where)"
        click.echo(f"error: {internal(error)}{hint}", err=True)
        return ERROR
    return code if isinstance(code, int) else OK
