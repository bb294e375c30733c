"""The state of a campaign: what became of each repository, kept in sqlite as soon as it is known.

Only one process works on a campaign at a time; a lock that dies with its process sees to that.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from gradfix.errors import GradfixError
from gradfix.migrate.result import Result

FILE = "state.sqlite"
_LOCK = "lock"
_FORMAT = 1
_TABLE = """\
CREATE TABLE IF NOT EXISTS repositories (
    name TEXT PRIMARY KEY, settings TEXT NOT NULL, head TEXT NOT NULL, status TEXT NOT NULL,
    result BLOB NOT NULL
) WITHOUT ROWID"""
_BRANCHES = """\
CREATE TABLE IF NOT EXISTS branches (
    name TEXT NOT NULL, branch TEXT NOT NULL, at TEXT NOT NULL, PRIMARY KEY (name, branch, at)
) WITHOUT ROWID"""


@dataclass(frozen=True, slots=True)
class Kept:
    """A result, with the settings and the head of the repository that it holds for."""

    settings: str
    head: str
    result: Result


class Store:
    """The state in a campaign's folder, which is made if need be. A context manager.

    Its methods may be called from several threads. Raises GradfixError where the state cannot be
    read or written, is damaged, or where another process works on the campaign.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE
        self._guard = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            ignored = folder / ".gitignore"
            if not ignored.exists():
                ignored.write_text("*\n", encoding="ascii")
            self._lock = _locked(folder / _LOCK)
        except OSError as error:
            why = error.strerror or str(error)
            raise GradfixError(f"{folder}: cannot hold the campaign's state: {why}") from error
        try:
            self._connection = sqlite3.connect(self._file, check_same_thread=False, timeout=10)
            self._prepare()
        except sqlite3.Error as error:
            self._lock.close()
            raise self._trouble(error) from error
        except GradfixError:
            self._lock.close()
            raise

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._lock.close()

    def get(self, name: str) -> Kept | None:
        """What is known about a repository."""
        rows = self._do("SELECT settings, head, result FROM repositories WHERE name = ?", name)
        if not rows:
            return None
        settings, head, packed = rows[0]
        try:
            result = Result.restored(json.loads(zlib.decompress(packed)))
        except (ValueError, TypeError, KeyError, zlib.error):  # another version's: done again
            return None
        result.fresh = False
        return Kept(settings, head, result)

    def put(self, settings: str, head: str, result: Result) -> None:
        """Keep what became of a repository; on the disk when this returns."""
        packed = zlib.compress(json.dumps(result.plain()).encode())
        self._do(
            "INSERT OR REPLACE INTO repositories VALUES (?, ?, ?, ?, ?)",
            result.name, settings, head, result.status, packed,
        )  # fmt: skip

    def intend(self, name: str, branch: str, commit: str) -> None:
        """Remember that a branch at this commit will be this campaign's own."""
        self._do("INSERT OR IGNORE INTO branches VALUES (?, ?, ?)", name, branch, commit)

    def owns(self, name: str, branch: str, commit: str) -> bool:
        """Whether a branch at this commit is this campaign's own."""
        asked = "SELECT 1 FROM branches WHERE name = ? AND branch = ? AND at = ?"
        return bool(self._do(asked, name, branch, commit))

    def _prepare(self) -> None:
        ((version,),) = self._connection.execute("PRAGMA user_version").fetchall()
        if version not in (0, _FORMAT):
            raise GradfixError(
                f"{self._file}: made by another version of gradfix (remove it to start again)"
            )
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        with self._connection:
            self._connection.execute(_TABLE)
            self._connection.execute(_BRANCHES)
            self._connection.execute(f"PRAGMA user_version = {_FORMAT}")

    def _do(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        try:
            with self._guard, self._connection:
                return self._connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise self._trouble(error) from error

    def _trouble(self, error: sqlite3.Error) -> GradfixError:
        return GradfixError(f"{self._file}: {error} (remove it to start again)")


def _locked(path: Path) -> IO[str]:
    stream = path.open("a+", encoding="ascii")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        stream.seek(0)
        who = stream.read().strip()
        stream.close()
        by = f" (process {who})" if who else ""
        raise GradfixError(f"{path.parent}: another gradfix works on this campaign{by}") from error
    stream.seek(0)
    stream.truncate()
    stream.write(f"{os.getpid()}\n")
    stream.flush()
    return stream
