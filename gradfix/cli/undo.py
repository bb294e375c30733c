"""``gradfix undo`` and ``gradfix history``: what ``apply`` has written, and the way back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from gradfix import __version__, journal
from gradfix import undo as undoing
from gradfix.cli import ERROR, OK
from gradfix.files import reported_name


@click.command()
@click.argument("run", required=False)
@click.option("--skip-changed", is_flag=True,
              help="Leave what has changed since alone, and put back the others.")  # fmt: skip
@click.option("--quiet", "-q", is_flag=True, help="No summary.")
@click.option("--verbose", "-v", is_flag=True, help="Also list the files.")
def undo(run: str | None, skip_changed: bool, quiet: bool, verbose: bool) -> int:
    """Put back what an `apply` has changed: the last one, or the RUN of `gradfix history`.

    If one of its files has changed since, nothing is written, and the exit code is 2. Runs belong
    to the project of the current folder. Undone runs are passed over: a second `gradfix undo` takes
    back the run before.
    """
    runs = journal.runs(journal.root_of(Path.cwd()))
    chosen = undoing.chosen(runs, run)
    if chosen is None:
        _say("Nothing to undo.", quiet)
        return OK
    later = [r for r in runs if r.number > chosen.number and r.undone is None]
    done = undoing.take_back(chosen, later, skip_changed=skip_changed)
    for path, why in (*done.changed, *done.failed):
        click.echo(f"{reported_name(path)}: {'' if skip_changed else 'error: '}{why}", err=True)
    if done.changed and not skip_changed:
        click.echo(
            f"error: nothing was put back of run {chosen.number}, because of "
            f"{_count(len(done.changed), 'file')} (--skip-changed puts back the others)",
            err=True,
        )
        return ERROR
    for path in done.restored if verbose else ():
        click.echo(f"{reported_name(path)}: put back", err=True)
    _say(_summary(chosen, done), quiet)
    return ERROR if done.failed else OK


@click.command()
@click.option(
    "--output-format", type=click.Choice(["text", "json"]), default="text", show_default=True
)
@click.option("--verbose", "-v", is_flag=True, help="Also list the files.")
def history(output_format: str, verbose: bool) -> int:
    """List the runs of `apply` that have changed files, the last one first."""
    root = journal.root_of(Path.cwd())
    runs = journal.runs(root)[::-1]
    if output_format == "json":
        objects = [_object(run) for run in runs]
        click.echo(json.dumps({"version": __version__, "runs": objects}, indent=2))
        return OK
    for run in runs:
        if run.damage is not None:
            click.echo(f"{run.number:>6}  {run.damage}")
            continue
        undone = f"  undone {_shown(run.undone)}" if run.undone else ""
        files = _count(len(run.entries), "file")
        paths = " ".join(run.paths)
        click.echo(f"{run.number:>6}  {_shown(run.started)}  {files:<10}  apply {paths}{undone}")
        for entry in run.entries if verbose else ():
            click.echo(f"        {reported_name(entry.path)}")
    if not runs:
        click.echo(f"No run of apply is in the journal of {root}.", err=True)
    return OK


def _summary(run: journal.Run, done: undoing.Undone) -> str:
    parts = [f"Put back {_count(len(done.restored), 'file')} of run {run.number}"]
    if done.already:
        parts.append(f"{_count(len(done.already), 'file')} had the old content already")
    if done.changed:
        parts.append(f"{_count(len(done.changed), 'file')} left alone")
    return f"{'; '.join(parts)}."


def _object(run: journal.Run) -> dict[str, Any]:
    return {
        "run": run.number,
        "started": run.started or None,
        "paths": list(run.paths),
        "undone": run.undone,
        "damage": run.damage,
        "files": [
            {"filename": reported_name(e.path), "before": e.before, "after": e.after}
            for e in run.entries
        ],
    }


def _shown(moment: str) -> str:
    """An ISO 8601 time as people read it."""
    return moment.removesuffix("+00:00").replace("T", " ") + " UTC" if moment else "?"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _say(message: str, quiet: bool) -> None:
    if not quiet:
        click.echo(message, err=True)
