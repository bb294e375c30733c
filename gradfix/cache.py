"""What `check` found out before, kept from run to run.

NOTE: when an entry counts. It is found under a key of everything that decides an outcome besides
files: gradfix's own source, Python's version, the settings, the folders that imports start from,
and the path. It counts if the file has the same content, and if every path that was looked for to
resolve its imports has the same text, or still none: a module that comes into being may change
what an import means. What depends on who else is there counts as long as the whole project stays
the same, which is written down as one more path, with a star for all files below a folder.

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
from typing import TYPE_CHECKING

import gradfix
from gradfix import registry
from gradfix.config import Settings
from gradfix.model import Finding, Outcome, Source
from gradfix.records import plain, restored

try:
    from _blake2 import blake2b
except ImportError:  # all that `hashlib` adds is OpenSSL, which takes long to load
    from hashlib import blake2b

if TYPE_CHECKING:
    from gradfix.flow import Project

FOLDER = ".gradfix_cache"
_FILE = "checked-1.sqlite"
_ALL = "*"  # stands for all source files below a folder
_DAY = 24 * 3600
_KEPT_DAYS = 30
_TOGETHER = 200  # entries that are written in one transaction
_PATIENCE = 2.0  # seconds to wait for another run that is writing
#: Settings that do not change what is found in a file; all others are part of an entry's key.
_NO_MATTER = frozenset(
    {"baseline", "baselined", "black", "exclude", "force_exclude", "per_file_ignores", "verify"}
)
_TABLE = """\
CREATE TABLE IF NOT EXISTS checked (
    key BLOB PRIMARY KEY, content BLOB NOT NULL, made INTEGER NOT NULL, entry BLOB NOT NULL
) WITHOUT ROWID"""


@dataclass(frozen=True, slots=True)
class Learned:
    """What an outcome rests on: the digest of the file, and those of all that was looked for."""

    content: bytes
    looked_for: dict[str, str | None]


class Digests:
    """The digests of texts, each made only once."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, bytes]] = {}

    def looked_for(self, path: str, project: Project) -> dict[str, str | None]:
        """All that was looked for to find out about one file; None for what is not there."""
        top = project.looked_around.get(path)
        whole = () if top is None else (os.path.join(top, _ALL),)
        return {other: self.of(other, project) for other in (*project.looked_for(path), *whole)}

    def of(self, path: str, project: Project) -> str | None:
        """The digest of a file's text, None where it cannot be read."""
        if os.path.basename(path) == _ALL:
            return self._of_all(os.path.dirname(path), project)
        text = project.text(path)
        if text is None:
            return None
        known = self._known.get(path)
        if known is None or known[0] is not text:
            known = self._known[path] = text, digest(_bytes(text))
        return known[1].hex()

    def _of_all(self, top: str, project: Project) -> str:
        """One digest of all source files below a folder."""
        from gradfix.flow.around import files_below

        files = files_below(project, top)
        parts = ["many"] if files is None else [f"{f} {self.of(f, project)}" for f in files]
        return digest(_bytes("\0".join(parts))).hex()


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
        self._waiting: list[tuple[bytes, bytes, int, bytes]] = []
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
            row = (
                self._opened()
                .execute(
                    "SELECT entry FROM checked WHERE key = ? AND content = ?", (key, digest(raw))
                )
                .fetchone()
            )
        except (OSError, sqlite3.Error) as error:
            self._give_up(error)
            return None
        if row is None:
            return None
        try:
            looked_for, findings = json.loads(zlib.decompress(row[0]))
            known = tuple(restored(Finding, finding) for finding in findings)
            same = all(
                self._digests.of(other, project) == digest for other, digest in looked_for.items()
            )
        except (AttributeError, TypeError, ValueError, zlib.error):  # not what was written
            return None
        if not same:
            return None
        there = (other for other, digest in looked_for.items() if digest is not None)
        return Outcome(
            source,
            source.text,
            tuple(replace(finding, filename=source.filename) for finding in known),
            consulted=tuple(sorted(o for o in there if o != path and os.path.basename(o) != _ALL)),
        )

    def put(
        self, outcome: Outcome, path: str, raw: bytes, settings: Settings, project: Project
    ) -> None:
        """Keep what ``check`` has found in the file at an absolute path."""
        looked_for = self._digests.looked_for(path, project)
        self.keep(outcome, path, Learned(digest(raw), looked_for), settings, project.roots)

    def keep(
        self,
        outcome: Outcome,
        path: str,
        learned: Learned,
        settings: Settings,
        roots: Sequence[str],
    ) -> None:
        """Keep what ``check`` has found elsewhere in the file at an absolute path."""
        if self._off:
            return
        findings = [plain(replace(finding, filename="")) for finding in outcome.findings]
        entry = zlib.compress(json.dumps([learned.looked_for, findings]).encode(), 1)
        key = self._key(outcome.source, path, settings, roots)
        self._waiting.append((key, learned.content, int(time.time()), entry))
        if len(self._waiting) >= _TOGETHER:
            self._write()

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
        return digest(_bytes("\0".join(parts)))

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

    # -- the file -----------------------------------------------------------------------------

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            connection = sqlite3.connect(self._file, timeout=_PATIENCE, isolation_level=None)
            self._connection = connection
            with suppress(sqlite3.OperationalError):  # another run is doing the same
                connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(_TABLE)
        return self._connection

    def _write(self) -> None:
        waiting, self._waiting = self._waiting, []
        try:
            _prepare(self.folder)
            connection = self._opened()
            connection.execute("BEGIN IMMEDIATE")
            oldest = int(time.time()) - _KEPT_DAYS * _DAY
            connection.execute("DELETE FROM checked WHERE made < ?", (oldest,))
            connection.executemany("INSERT OR REPLACE INTO checked VALUES (?, ?, ?, ?)", waiting)
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


@lru_cache(maxsize=8)
def _stamp(codemods: tuple[registry.Entry, ...]) -> str:
    """gradfix as it is, and Python's version."""
    return digest(_bytes(f"{source_stamp(codemods)}\0{sys.version}")).hex()


def source_stamp(codemods: tuple[registry.Entry, ...]) -> str:
    """gradfix as it is, wherever it is installed: its version, its source and the codemods'."""
    paths = {*_sources(os.path.dirname(gradfix.__file__)), *(c.path for c in codemods)}
    names = [f"{codemod.code} {codemod.name} {codemod.mentions}" for codemod in codemods]
    total = blake2b(digest_size=16)
    for text in (gradfix.__version__, *names):
        total.update(_bytes(f"{text}\0"))
    contents = []
    for path in paths:
        with suppress(OSError), open(path, "rb", 0) as stream:  # an archive has its version
            contents.append(digest(stream.read()))
    for content in sorted(contents):
        total.update(content)
    return total.hexdigest()


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


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def digest(data: bytes) -> bytes:
    """A short name for some content."""
    return blake2b(data, digest_size=16).digest()
