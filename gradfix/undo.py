"""Taking back what one run of ``apply`` has written: all of it, or nothing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from gradfix import files, journal
from gradfix.errors import GradfixError, SourceError
from gradfix.journal import Entry, Run


@dataclass(slots=True)
class Undone:
    """What became of the files of a run. ``changed`` holds those that are neither old nor new.

    ``changed`` and ``failed`` give the reason beside the path.
    """

    restored: list[str] = field(default_factory=list)
    already: list[str] = field(default_factory=list)
    changed: list[tuple[str, str]] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)


def chosen(runs: Sequence[Run], number: str | None) -> Run | None:
    """The run with this number; without one the last that is not undone, None if there is none.

    What a damaged run has written is not known: it is chosen, too, and cannot be taken back.

    Raises GradfixError for a number that no run has.
    """
    if number is None:
        left = (r for r in reversed(runs) if r.damage or (r.entries and not r.undone))
        return next(left, None)
    for run in runs:
        if number.isascii() and number.isdigit() and int(number) == run.number:
            return run
    known = ", ".join(str(run.number) for run in runs) or "none"
    raise GradfixError(f"there is no run {number!r} in the journal (it has: {known})")


def take_back(run: Run, later: Sequence[Run], *, skip_changed: bool = False) -> Undone:
    """Put back the old content of every file that still is as the run left it.

    If a file has been changed since, nothing at all is written, unless ``skip_changed`` says to
    leave such files as they are. ``later`` are the runs that may be the reason for a change.

    Raises:
        GradfixError: where the run is still going on, or its journal is damaged or read-only.
    """
    if run.damage is not None:
        raise GradfixError(run.damage)
    with journal.held(run) as stream:
        done = Undone()
        new = {e.number for e in run.entries if _state(e, done, later)}
        if done.changed and not skip_changed:
            return done
        for _ in run.originals():  # nothing is written before all of it is known to be sound
            pass
        for entry, original in run.originals():
            if entry.number in new:
                _restore(run, entry, original, done)
        _sweep(run)
        if not done.failed:
            journal.mark_undone(stream)
    return done


def _state(entry: Entry, done: Undone, later: Sequence[Run]) -> bool:
    """Whether a file is as the run left it; notes in ``done`` what it is otherwise."""
    try:
        if os.path.realpath(entry.path) != entry.path:
            raise SourceError("is a link now")
        found = journal.digest(files.read_bytes(entry.path))
        if found == entry.after and not os.access(entry.path, os.W_OK):
            raise SourceError("is read-only now")
    except SourceError as error:
        gone = not os.path.lexists(entry.path)
        done.changed.append((entry.path, "is gone" if gone else str(error)))
        return False
    if found == entry.after:
        return True
    if found == entry.before:
        done.already.append(entry.path)
    else:
        by = [r.number for r in later if any(e.path == entry.path for e in r.entries)]
        done.changed.append((entry.path, f"changed by run {by[-1]}" if by else "changed since"))
    return False


def _restore(run: Run, entry: Entry, original: bytes, done: Undone) -> None:
    try:
        current = files.read_bytes(entry.path)
        if journal.digest(current) != entry.after:
            raise SourceError("changed in this moment: not written")
        files.write(entry.path, original, expected=current, prefix=run.prefix)
    except SourceError as error:
        done.failed.append((entry.path, str(error)))
    else:
        done.restored.append(entry.path)


def _sweep(run: Run) -> None:
    """Remove the temporary files that the run left behind if it was killed."""
    for folder in sorted({os.path.dirname(entry.path) for entry in run.entries}):
        with suppress(OSError):  # a folder that is gone has none
            for name in os.listdir(folder):
                if name.startswith(run.prefix) and name.endswith(".tmp"):
                    os.unlink(os.path.join(folder, name))
