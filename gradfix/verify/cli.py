"""``gradfix verify``: runs modules through torch, in child processes, and says what it saw."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import click

from gradfix.config import Finder
from gradfix.config_types import Overrides
from gradfix.errors import GradfixError
from gradfix.facts import load_facts, save_facts
from gradfix.verify import report as shown
from gradfix.verify.init import write_cases
from gradfix.verify.report import Report
from gradfix.verify.results import NOT_VERIFIED, TargetResult
from gradfix.verify.session import Configure
from gradfix.verify.session import verify as verify_targets
from gradfix.verify.settings import VerifySettings, settings_from
from gradfix.verify.targets import Target, resolve

INTERRUPTED = 130


# fmt: off
@click.command()
@click.argument("targets", nargs=-1)
@click.option("--output-format", default="full", show_default=True,
              type=click.Choice(["full", "concise", "json"]), help="How results are shown.")
@click.option("--output-file", "-o", type=click.Path(dir_okay=False), metavar="FILE",
              help="Write results to a file instead of standard output.")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS",
              help="For importing a file and for each target in it.  [default: 60]")
@click.option("--memory", type=click.IntRange(min=1), metavar="MB",
              help="Address space of one child.  [default: 12288]")
@click.option("--seed", type=int, metavar="N", help="For torch, numpy and random.  [default: 0]")
@click.option("--cases", type=click.Path(exists=True, dir_okay=False), metavar="FILE",
              help="Use these cases instead of the nearest gradfix_cases.py.")
@click.option("--facts", type=click.Path(dir_okay=False), metavar="FILE",
              help="Record what functions were given, for `check` and `apply --facts FILE`.")
@click.option("--allow-unverified", is_flag=True,
              help="Exit with 0 if nothing failed, even if something could not be verified.")
@click.option("--config", type=click.Path(), metavar="FILE", help="Use this configuration.")
@click.option("--isolated", is_flag=True, help="Ignore all configuration files.")
@click.option("--init", is_flag=True,
              help="Write cases to fill in for what could not be verified, and stop.")
@click.option("--quiet", "-q", is_flag=True, help="No summary.")
@click.option("--verbose", "-v", is_flag=True, help="Every Parameter; tracebacks of our bugs.")
@click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto",
              show_default=True, help="Colours; FORCE_COLOR and NO_COLOR are honoured.")
def verify(targets: tuple[str, ...], **options: Any) -> int:
    """Run modules through torch and check every Parameter's gradient.

    TARGETS are files, folders, pkg.mod, path.py:Class or pkg.mod:callable (default: the current
    folder). Everything runs in child processes on a copy of the project, with limits on time and
    memory. This contains accidents; it is no security sandbox: verify only code you would run.
    """
    finder = Finder(Overrides(), config=options["config"], isolated=options["isolated"])
    asked = targets or (".",)
    found, failures = resolve(asked, finder.settings)
    if options["init"]:
        for failure in failures:
            click.echo(f"{failure.filename}: error: {failure.message}", err=True)
        unread = write_cases(found, _folder_of(asked[0]), _configure(finder, options))
        return 2 if failures or unread else 0
    if importlib.util.find_spec("torch") is None:
        raise GradfixError(f"verify needs torch, which {sys.executable} does not have")
    if options["facts"] is not None and os.path.exists(options["facts"]):
        load_facts(options["facts"])  # better said now than after the work
    result = Report(failures=failures)
    try:
        _run(found, finder, options, result)
    except KeyboardInterrupt:
        _show(result, options)
        click.echo("interrupted", err=True)
        return INTERRUPTED
    if not result.results and not result.failures:
        result.results.append(
            TargetResult(", ".join(asked), NOT_VERIFIED, "defines no nn.Module class")
        )
    _show(result, options)
    return result.exit_code(allow_unverified=options["allow_unverified"])


# fmt: on
def _folder_of(target: str) -> Path:
    path = Path(target.partition(".py:")[0] + (".py" if ".py:" in target else ""))
    return path if path.is_dir() else path.parent


def _configure(finder: Finder, options: dict[str, Any]) -> Configure:
    def configure(path: Path) -> VerifySettings:
        return settings_from(
            finder.settings(path.parent).verify,
            timeout=options["timeout"],
            memory_mb=options["memory"],
            seed=options["seed"],
            cases_file=options["cases"],
            record=options["facts"] is not None,
        )

    return configure


def _run(found: list[Target], finder: Finder, options: dict[str, Any], into: Report) -> None:
    facts: list[tuple[str, list[dict[str, Any]]]] = []
    for done in verify_targets(found, _configure(finder, options)):
        facts += done.facts
        into.results += done.results
        into.failures += done.failures
        for traceback in done.tracebacks if options["verbose"] else ():
            click.echo(traceback, err=True)
        for failure in done.failures:
            row = f":{failure.row}" if failure.row else ""
            click.echo(f"{failure.filename}{row}: error: {failure.message}", err=True)
    if options["facts"] is not None:
        _record(options["facts"], facts)


def _record(path: str, facts: list[tuple[str, list[dict[str, Any]]]]) -> None:
    number = save_facts(path, facts)
    calls = "1 call" if number == 1 else f"{number} calls"
    hint = "" if number else " (only cases and call sites are recorded, not made-up inputs)"
    click.echo(f"recorded {calls} in {path}{hint}", err=True)


def _show(result: Report, options: dict[str, Any]) -> None:
    path, kind = options["output_file"], options["output_format"]
    colour = _coloured(options["color"]) and not path
    if kind == "json":
        text = shown.as_json(result)
    elif kind == "concise":
        text = shown.concise(result.results, colour=colour)
    else:
        text = shown.full(result.results, colour=colour, verbose=options["verbose"])
    if path:
        try:
            Path(path).write_text(text, encoding="utf-8")
        except OSError as error:
            raise GradfixError(f"--output-file {path}: {error.strerror or error}") from error
    else:
        click.echo(text, nl=False, color=colour)
    if not options["quiet"]:
        click.echo(shown.summary(result), err=True)


def _coloured(choice: str) -> bool:
    """The flag over FORCE_COLOR over NO_COLOR over whether it is a terminal."""
    if choice != "auto":
        return choice == "always"
    if os.environ.get("FORCE_COLOR"):
        return True
    return not os.environ.get("NO_COLOR") and sys.stdout.isatty()
