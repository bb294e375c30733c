"""``gradfix verify --init``: runs what can be run, and writes cases to fill in for the rest."""

from __future__ import annotations

import ast
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

import click

from gradfix.errors import GradfixError
from gradfix.verify.session import Configure, verify
from gradfix.verify.skeleton import Drafts, drafts_for, drafts_unseen, write_drafts
from gradfix.verify.targets import CASES_NAME, Target, cases_file, locate

Say = Callable[[str], None]


def write_cases(targets: list[Target], folder: Path, configure: Configure) -> int:
    """Write cases for what cannot be verified into the cases file that serves each target.

    A new one is made in ``folder``. Says what was done; returns how many files could not be read.
    Raises GradfixError when children cannot be started or a file cannot be written.
    """
    say: Say = lambda text: click.echo(text, err=True)  # noqa: E731
    unread, beyond_help = 0, []
    if importlib.util.find_spec("torch") is None:
        say("without torch nothing can be run: a case is written for every class")
        drafts = [drafts_unseen(target) for target in targets]
    else:
        drafts, unread = _seen(targets, configure, say)
    by_file: dict[Path, Drafts] = {}
    for target, found in zip(targets, drafts, strict=True):
        path = _serving(target, configure) or folder / CASES_NAME
        by_file.setdefault(path, Drafts()).needed.extend(found.needed)
        beyond_help += found.beyond_help
    for path, found in by_file.items():
        existed = path.exists()
        names = write_drafts(path, found.needed)
        if names:
            verb = "added to" if existed else "wrote"
            cases = "1 case" if len(names) == 1 else f"{len(names)} cases"
            say(f"{verb} {os.path.relpath(path)}: {cases} to fill in ({', '.join(names)})")
        elif found.needed:
            say(f"{os.path.relpath(path)} has a case for each of them already; nothing was written")
    for text in beyond_help:
        say(f"no case helps: {text}")
    if not unread and not beyond_help and not any(d.needed for d in drafts):
        say("everything could be run: no cases are needed")
    return unread


def _seen(targets: list[Target], configure: Configure, say: Say) -> tuple[list[Drafts], int]:
    drafts, unread = [], 0
    for target, done in zip(targets, verify(targets, configure), strict=True):
        for failure in done.failures:
            row = f":{failure.row}" if failure.row else ""
            say(f"{failure.filename}{row}: error: {failure.message}")
        drafts.append(drafts_for(target, done.results))
        unread += len(done.failures)
    return drafts, unread


def _serving(target: Target, configure: Configure) -> Path | None:
    """The cases file that `verify` would read for a target."""
    try:
        where = locate(target.path, ast.parse(target.path.read_bytes()))
    except (OSError, SyntaxError, ValueError):  # said when it was to be verified
        return None
    found = cases_file(target.path, where.root, configure(target.path).cases_file)
    if found is not None and not found.parent.is_dir():
        raise GradfixError(f"{found}: no such folder")
    return found
