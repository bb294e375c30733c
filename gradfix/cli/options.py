"""Options that several commands share, and how they become settings and styles."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from gradfix.config_types import Overrides
from gradfix.report import FORMATS
from gradfix.report.text import Style

#: Where dask schedulers listen, as dask writes it.
_ADDRESS = re.compile(r"(tcp|tls|ws|wss|ucx)://[^\s/]+:\d+/?")

F = TypeVar("F", bound=Callable[..., Any])


def split_codes(
    ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...] | None:
    """Comma-separated, repeatable lists; None when the option was not given."""
    if not values:
        return None
    return tuple(part.strip() for value in values for part in value.split(",") if part.strip())


def _job_count(ctx: click.Context, parameter: click.Parameter, value: str) -> int | None:
    """A number of processes; None for ``auto``."""
    if value == "auto":
        return None
    if not (value.isascii() and value.isdigit() and int(value) > 0):
        raise click.BadParameter(f"{value!r} is neither a number from 1 on nor 'auto'")
    return int(value)


def _scheduler(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """The address of a scheduler, or ``local``."""
    if value is None or value == "local" or _ADDRESS.fullmatch(value):
        return value
    raise click.BadParameter(
        f"{value!r} is neither 'local' nor an address such as tcp://10.0.0.1:8786"
    )


_SELECTION = (
    click.option("--select", multiple=True, callback=split_codes, metavar="CODES",
                 help="Rules to use: codes, prefixes, names or ALL."),
    click.option("--ignore", multiple=True, callback=split_codes, metavar="CODES",
                 help="Rules to leave out."),
    click.option("--extend-select", multiple=True, callback=split_codes, metavar="CODES",
                 help="Rules to use besides the configured ones."),
    click.option("--exclude", multiple=True, callback=split_codes, metavar="PATTERNS",
                 help="Paths to leave out, instead of the configured ones."),
    click.option("--extend-exclude", multiple=True, callback=split_codes, metavar="PATTERNS",
                 help="Paths to leave out besides the configured ones."),
    click.option("--force-exclude/--no-force-exclude", default=None,
                 help="Leave excluded paths out even if they are named."),
    click.option("--unsafe-fixes/--no-unsafe-fixes", default=None,
                 help="Also make fixes that are not proven right."),
    click.option("--config", type=click.Path(), metavar="FILE", help="Use this configuration."),
    click.option("--isolated", is_flag=True, help="Ignore all configuration files."),
    click.option("--baseline", type=click.Path(), metavar="FILE",
                 help="Neither report nor fix what is in this baseline."),
    click.option("--no-baseline", is_flag=True, help="Use no baseline, even if configured."),
    click.option("--no-cache", is_flag=True, help="Neither use nor keep earlier results."),
    click.option("--cache-dir", type=click.Path(), metavar="FOLDER", envvar="GRADFIX_CACHE_DIR",
                 show_envvar=True,
                 help="Where results are kept  [default: .gradfix_cache in the repository's root]"),
    click.option("--facts", type=click.Path(dir_okay=False), metavar="FILE",
                 help="Also use what `verify --facts FILE` has recorded."),
    click.option("--jobs", "-j", default="auto", show_default=True, callback=_job_count,
                 metavar="N", help="Processes to use."),
    click.option("--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS",
                 help="For each file, with several processes.  [default: 60]"),
    click.option("--scheduler", callback=_scheduler, metavar="ADDRESS",
                 help="Work on a dask cluster: tcp://HOST:PORT, or `local` for --jobs workers."),
    click.option("--stdin-filename", metavar="NAME", help="The name of what `-` reads."),
)  # fmt: skip

_OUTPUT = (
    click.option("--output-format", default="full", show_default=True,
                 type=click.Choice(FORMATS), help="How findings are shown."),
    click.option("--output-file", "-o", type=click.Path(dir_okay=False), metavar="FILE",
                 help="Write findings to a file instead of standard output."),
    click.option("--statistics", is_flag=True, help="Show counts per rule instead of findings."),
    click.option("--exit-zero", is_flag=True, help="Exit with 0 even if there are findings."),
    click.option("--quiet", "-q", is_flag=True, help="No summary."),
    click.option("--verbose", "-v", is_flag=True, help="More messages; tracebacks of our bugs."),
    click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto",
                 show_default=True, help="Colours; FORCE_COLOR and NO_COLOR are honoured."),
)  # fmt: skip


def source_options(command: F) -> F:
    """Everything ``check`` and ``apply`` share."""
    for option in reversed(_SELECTION + _OUTPUT):
        command = option(command)
    return click.argument("paths", nargs=-1, type=click.Path())(command)


def overrides(options: dict[str, Any]) -> Overrides:
    """What the command line says over the configuration."""
    return Overrides(
        select=options["select"],
        ignore=options["ignore"] or (),
        extend_select=options["extend_select"] or (),
        unsafe_fixes=options["unsafe_fixes"],
        exclude=options["exclude"],
        extend_exclude=options["extend_exclude"] or (),
        force_exclude=options["force_exclude"],
        baseline="" if options["no_baseline"] else options["baseline"],
    )


def style(color: str, *, stderr: bool = False) -> Style:
    """The flag over FORCE_COLOR over NO_COLOR over whether the stream is a terminal."""
    if color != "auto":
        return Style(color == "always")
    if os.environ.get("FORCE_COLOR"):
        return Style(True)
    if os.environ.get("NO_COLOR"):
        return Style(False)
    return Style((sys.stderr if stderr else sys.stdout).isatty())
