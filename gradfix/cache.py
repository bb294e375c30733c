"""What `check` found out before, kept from run to run.

NOTE: when an entry counts. It is found under a key of everything that decides an outcome besides
files: gradfix's own source, Python's version, the settings, the folders that imports start from,
and the path. It counts if the file has the same content, and if every path that was looked for to
resolve its imports has the same text, or still none: a module that comes into being may change
what an import means. These paths are written down once for all entries of a run (see
`gradfix.grounds`). What depends on who else is there counts as long as the whole project stays the
same, which is written down with the entry, by a star for all files below a folder.

The cache is a help and nothing else. Whatever is wrong with it (damaged, locked, read-only, full),
the run goes on without it, with one warning. Several runs may share it.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradfix
from gradfix import registry
from gradfix.config import Settings
from gradfix.grounds import ALL, Asks, Digests, Grounds, as_bytes, digest, packed
from gradfix.model import Finding, Outcome, Source
from gradfix.records import plain, restored

if TYPE_CHECKING:
    from gradfix.flow import Project

FOLDER = ".gradfix_cache"
_FILE = "checked-2.sqlite"
_DAY = 24 * 3600
_KEPT_DAYS = 30
_TOGETHER = 200  # entries that are written in the first transaction; then twice as many each time
_PATIENCE = 2.0  # seconds to wait for another run that is writing
#: Settings that do not change what is found in a file; all others are part of an entry's key.
_NO_MATTER = frozenset(
    {"baseline", "baselined", "black", "exclude", "force_exclude", "per_file_ignores", "verify"}
)
_TABLES = """\
CREATE TABLE IF NOT EXISTS checked (
    key BLOB PRIMARY KEY, content BLOB NOT NULL, made INTEGER NOT NULL, run TEXT NOT NULL,
    entry BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS grounds (run TEXT PRIMARY KEY, content BLOB NOT NULL)"""

_Row = tuple[bytes, bytes, int, str, bytes]


@dataclass(frozen=True, slots=True)
class Learned:
    """What an outcome rests on: the digest of the file, and those of all that was looked for."""

    content: bytes
    looked_for: dict[str, str | None]


class Cache:
    """Outcomes of ``check``, kept in a folder.

    Trouble is said once, through ``warn``, and ends the use of the cache.
    """

    def __init__(self, folder: Path, warn: Callable[[str], None]) -> None:
        self.folder = folder
        self._file = folder / _FILE
        self._warn = warn
        self._off = False
        self._connection: sqlite3.Connection | None = None
        self._run = os.urandom(8).hex()
        self._waiting: list[_Row] = []
        self._together = _TOGETHER
        self._put: dict[Project, list[str]] = {}
        self._learned: dict[str, Learned] = {}
        self._grounds: dict[str, Grounds | None] = {}  # of earlier runs
        self._settings: dict[int, tuple[Settings, str]] = {}
        self._digests = Digests()

    def get(
        self, source: Source, path: str, raw: bytes, settings: Settings, project: Project
    ) -> Outcome | None:
        """What ``check`` finds in the file at an absolute path, if that is known."""
        if self._off or (self._connection is None and not self._file.exists()):
            return None
        key = self._key(source, path, settings, project.roots)
        try:
            row = self._one(
                "SELECT run, entry FROM checked WHERE key = ? AND content = ?", key, digest(raw)
            )
            if row is None:
                return None
            whole, findings = json.loads(zlib.decompress(row[1]))
            known = tuple(restored(Finding, finding) for finding in findings)
            grounds = self._grounds_of(row[0], project)
            same = grounds is not None and grounds.hold(path)
            same = same and all(self._digests.of(top, project) == was for top, was in whole.items())
        except (OSError, sqlite3.Error) as error:
            self._give_up(error)
            return None
        except (AttributeError, LookupError, TypeError, ValueError, zlib.error):
            return None  # not what was written
        if not same:
            return None
        named = tuple(replace(finding, filename=source.filename) for finding in known)
        return Outcome(source, source.text, named)

    def put(
        self, outcome: Outcome, path: str, raw: bytes, settings: Settings, project: Project
    ) -> None:
        """Keep what ``check`` has found in the file at an absolute path."""
        self._put.setdefault(project, []).append(path)
        whole = {top: self._digests.of(top, project) for top in whole_around(path, project)}
        self._wait(outcome, path, digest(raw), whole, settings, project.roots)

    def keep(
        self,
        outcome: Outcome,
        path: str,
        learned: Learned,
        settings: Settings,
        roots: Sequence[str],
    ) -> None:
        """Keep what ``check`` has found elsewhere in the file at an absolute path."""
        self._learned[path] = learned
        whole = {p: was for p, was in learned.looked_for.items() if os.path.basename(p) == ALL}
        self._wait(outcome, path, learned.content, whole, settings, roots)

    def _wait(
        self,
        outcome: Outcome,
        path: str,
        content: bytes,
        whole: dict[str, str | None],
        settings: Settings,
        roots: Sequence[str],
    ) -> None:
        """Keep an outcome until there are enough of them; ``whole`` is what was looked around."""
        if self._off:
            return
        findings = [plain(replace(finding, filename="")) for finding in outcome.findings]
        entry = zlib.compress(json.dumps([whole, findings]).encode(), 1)
        key = self._key(outcome.source, path, settings, roots)
        self._waiting.append((key, content, int(time.time()), self._run, entry))
        if len(self._waiting) >= self._together:
            self._write()
            self._together *= 2

    def close(self) -> None:
        """Write what is left to write."""
        if self._waiting and not self._off:
            self._write()
        self._disconnect()

    # -- what decides an outcome --------------------------------------------------------------

    def _key(self, source: Source, path: str, settings: Settings, roots: Sequence[str]) -> bytes:
        parts = (
            _stamp(registry.entries()), self._spelled(settings), *roots, path, source.place,
        )  # fmt: skip
        return digest(as_bytes("\0".join(parts)))

    def _spelled(self, settings: Settings) -> str:
        """Settings as text; most files share one object."""
        known = self._settings.get(id(settings))
        if known is None:
            spelled = "\0".join(
                f"{field.name}={_in_order(getattr(settings, field.name))!r}"
                for field in fields(settings)
                if field.name not in _NO_MATTER
            )
            known = self._settings[id(settings)] = settings, spelled
        return known[1]

    # -- what outcomes rest on ----------------------------------------------------------------

    def _grounds_of(self, run: str, project: Project) -> Grounds | None:
        """What the outcomes of an earlier run rest on."""
        if run not in self._grounds:
            row = self._one("SELECT content FROM grounds WHERE run = ?", run)
            self._grounds[run] = None  # unless it can be read
            if row is not None:
                self._grounds[run] = Grounds(row[0], lambda path: self._digests.of(path, project))
        return self._grounds[run]

    def _own_grounds(self) -> bytes:
        """What the outcomes of this run rest on, so far."""
        asked_by: dict[str, Asks] = {}
        now: dict[str, str | None] = {}
        for project, paths in self._put.items():
            behind = project.asks_behind(paths)
            asked_by.update(behind)
            for path in {path for asks in behind.values() for ask in asks for path in ask}:
                now[path] = self._digests.of(path, project)
        for path, learned in self._learned.items():
            now.update(learned.looked_for)
            asked_by[path] = (frozenset(learned.looked_for),)
        return packed(asked_by, now.get)

    # -- the file -----------------------------------------------------------------------------

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            connection = sqlite3.connect(self._file, timeout=_PATIENCE, isolation_level=None)
            self._connection = connection
            with suppress(sqlite3.OperationalError):  # another run is doing the same
                connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            for table in _TABLES.split(";"):
                connection.execute(table)
        return self._connection

    def _one(self, query: str, *values: object) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._opened().execute(query, values).fetchone()
        return row

    def _write(self) -> None:
        waiting, self._waiting = self._waiting, []
        grounds = self._own_grounds()  # which takes its time, and nobody has to wait for it
        try:
            _prepare(self.folder)
            connection = self._opened()
            connection.execute("BEGIN IMMEDIATE")
            oldest = int(time.time()) - _KEPT_DAYS * _DAY
            connection.execute("DELETE FROM checked WHERE made < ?", (oldest,))
            connection.executemany("INSERT OR REPLACE INTO checked VALUES (?, ?, ?, ?, ?)", waiting)
            connection.execute("INSERT OR REPLACE INTO grounds VALUES (?, ?)", (self._run, grounds))
            connection.execute("DELETE FROM grounds WHERE run NOT IN (SELECT run FROM checked)")
            connection.execute("COMMIT")
        except (OSError, sqlite3.Error) as error:
            self._give_up(error)

    def _give_up(self, error: OSError | sqlite3.Error) -> None:
        """Go on without. A damaged file goes, so that the next run has a cache again."""
        self._off = True
        self._disconnect()
        shown = os.path.relpath(self._file if self._file.exists() else self.folder)
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(
            error, sqlite3.OperationalError
        ):
            for suffix in ("", "-wal", "-shm"):
                with suppress(OSError):
                    os.unlink(f"{self._file}{suffix}")
            reason += "; it was thrown away"
        self._warn(f"warning: nothing is cached: {shown}: {reason}")

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()


def _prepare(folder: Path) -> None:
    """The folder, with a note that version control should not look into it."""
    folder.mkdir(parents=True, exist_ok=True)
    ignore = folder / ".gitignore"
    if not ignore.exists():
        ignore.write_text("# Made by gradfix; may be deleted at any time.\n*\n", encoding="utf-8")


def whole_around(path: str, project: Project) -> tuple[str, ...]:
    """The folder that was looked through for one file, if one was, as a path with a star."""
    top = project.looked_around.get(path)
    return () if top is None else (os.path.join(top, ALL),)


@lru_cache(maxsize=8)
def _stamp(codemods: tuple[registry.Entry, ...]) -> str:
    """gradfix as it is, and Python's version."""
    return digest(as_bytes(f"{source_stamp(codemods)}\0{sys.version}")).hex()


def source_stamp(codemods: tuple[registry.Entry, ...]) -> str:
    """gradfix as it is, wherever it is installed: its version, its source and the codemods'."""
    paths = {*_sources(os.path.dirname(gradfix.__file__)), *(c.path for c in codemods)}
    names = [f"{codemod.code} {codemod.name} {codemod.mentions}" for codemod in codemods]
    contents = []
    for path in paths:
        with suppress(OSError), open(path, "rb", 0) as stream:  # an archive has its version
            contents.append(digest(stream.read()))
    texts = (as_bytes(f"{text}\0") for text in (gradfix.__version__, *names))
    return digest(b"".join((*texts, *sorted(contents)))).hex()


def _sources(folder: str) -> Iterator[str]:
    """The files of gradfix itself; the codemods' may lie elsewhere."""
    try:
        with os.scandir(folder) as entries:
            listing = list(entries)
    except OSError:
        return
    for entry in listing:
        if entry.name.endswith((".py", ".json")):
            yield entry.path
        elif entry.name not in ("codemods", "__pycache__") and entry.is_dir():
            yield from _sources(entry.path)


def _in_order(value: object) -> object:
    return sorted(value) if isinstance(value, frozenset) else value
