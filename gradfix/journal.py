"""What ``apply`` has written, kept so that ``undo`` can take it back.

NOTE: how the journal is kept. Every run of ``apply`` that writes has one file in the journal's
folder: a line that says what it is, then one line for each file with the hashes of its old and new
content and the old content itself. A line is on the disk before its file is replaced, and a file
is replaced in one step. Whatever ends the process, each file is then either old or new, and the
journal knows the old content of each new one; a last line that is cut off belongs to a file that is
old.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

from gradfix import __version__, files
from gradfix.errors import GradfixError, SourceError

FOLDER = ".gradfix_journal"
#: What is kept of older runs when a new one begins to write.
KEPT_RUNS = 20
KEPT_BYTES = 200_000_000

_FORMAT = 1
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_MARKERS = (".git", "gradfix.toml", "pyproject.toml")


@dataclass(frozen=True, slots=True)
class Entry:
    """One file that a run has replaced, with the SHA-256 of its old and its new content."""

    number: int
    path: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Run:
    """One run of ``apply`` as the journal tells it; times are ISO 8601, in UTC.

    ``damage`` says why the rest cannot be trusted, None if it can.
    """

    number: int
    file: Path
    token: str
    started: str
    paths: tuple[str, ...]
    entries: tuple[Entry, ...]
    undone: str | None
    damage: str | None = None

    def originals(self) -> Iterator[tuple[Entry, bytes]]:
        """Each entry with the old content. Raises GradfixError where that is damaged."""
        entries = {entry.number: entry for entry in self.entries}
        for row, line in enumerate(_lines(self.file), start=1):
            entry = entries.get(line.get("entry", 0))
            if entry is None:
                continue
            try:
                original = zlib.decompress(base64.b64decode(line["original"]))
            except (KeyError, ValueError, zlib.error) as error:
                raise GradfixError(f"{self.file}:{row}: damaged: {error}") from error
            if digest(original) != entry.before:
                raise GradfixError(f"{self.file}:{row}: damaged: not the content it says it is")
            yield entry, original

    @property
    def prefix(self) -> str:
        """How the names of this run's temporary files begin."""
        return f".gradfix-{self.token}-"


def digest(data: bytes) -> str:
    """The SHA-256 of some bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def root_of(folder: Path) -> Path:
    """The folder that the journal of a project lies in: the nearest one that looks like its root.

    That is the folder itself where none above it has a ``.git`` or a configuration.
    """
    folder = folder.resolve()
    for above in (folder, *folder.parents):
        if any((above / marker).exists() for marker in _MARKERS):
            return above
    return folder


def runs(root: Path) -> list[Run]:
    """All runs that are kept, oldest first."""
    return [_run(root, number, file) for number, file in _run_files(root)]


class Writer:
    """Replaces files for one run of ``apply``, and keeps the journal of it.

    Nothing is made on the disk before there is something to write. A context manager.
    """

    def __init__(self, root: Path, paths: Sequence[str]) -> None:
        self._root = root
        self._paths = list(paths)
        self._token = os.urandom(4).hex()
        self._stream: IO[bytes] | None = None
        self._entries = self._number = 0
        self.run: int | None = None  # the number under which there is something to take back

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.close()

    def write(self, path: str, data: bytes, *, expected: bytes) -> None:
        """Replace a file's content as `files.write` does, and remember what it was.

        Raises SourceError, having changed nothing, also where that cannot be remembered.
        """
        target = os.path.realpath(path)
        number = self._entries + 1
        entry = {
            "entry": number,
            "path": _kept_path(target, self._root),
            "before": digest(expected),
            "after": digest(data),
            "original": base64.b64encode(zlib.compress(expected)).decode("ascii"),
        }
        try:
            if self._stream is None:
                self._stream = self._begin()
            _append(self._stream, entry)
        except OSError as error:
            raise SourceError(
                f"the journal for `gradfix undo` cannot be written in {self._root / FOLDER}: "
                f"{error.strerror or error} (--no-journal writes without it)"
            ) from error
        self._entries, self.run = number, self._number
        try:
            files.write(path, data, expected=expected, prefix=f".gradfix-{self._token}-")
        except SourceError:
            # A disk that is full may not take this line either; then ``undo`` finds a file that
            # is neither old nor new only if somebody else has changed it.
            with suppress(OSError):
                _append(self._stream, {"void": number})
            raise

    def _begin(self) -> IO[bytes]:
        """A new run's file, with its first line, in a folder that git does not look at."""
        folder = self._root / FOLDER
        folder.mkdir(mode=0o700, exist_ok=True)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")
        _forget_old_runs(self._root)
        self._number, stream = _next_file(self._root)
        lock(stream)
        header = {
            "format": _FORMAT,
            "version": __version__,
            "run": self._number,
            "token": self._token,
            "started": now(),
            "paths": self._paths,
        }
        _append(stream, header)
        for made in (folder, self._root):
            _sync_folder(made)
        return stream


@contextmanager
def held(run: Run) -> Iterator[IO[bytes]]:
    """A run's file, open to be written and kept from other processes.

    Raises GradfixError where it cannot be written, before and after, or is not ours to have.
    """
    try:
        with open(run.file, "r+b") as stream:
            if not lock(stream):
                raise GradfixError(f"run {run.number} is still going on")
            yield stream
    except OSError as error:
        raise GradfixError(f"{run.file}: cannot be written: {error.strerror or error}") from error


def mark_undone(stream: IO[bytes]) -> None:
    """Write into a run's file that it has been taken back. Raises OSError."""
    stream.seek(0)
    end = sum(len(line) for line in stream if line.endswith(b"\n"))
    stream.truncate(end)  # a line that was cut off must not run into this one
    stream.seek(end)
    _append(stream, {"undone": now()})


def lock(stream: IO[bytes]) -> bool:
    """Whether no other process holds this run's file; it is then ours until it is closed."""
    if sys.platform != "win32":
        import fcntl

        try:
            fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system that knows no locks: undo has its hashes to rely on
            return True
    return True


def now() -> str:
    """The time in UTC, to the second, as ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


# -- the folder ---------------------------------------------------------------------------------


def _run_files(root: Path) -> list[tuple[int, Path]]:
    """The number and file of each run, oldest first."""
    found = []
    with suppress(FileNotFoundError, NotADirectoryError):
        for file in (root / FOLDER).iterdir():
            if file.suffix == ".jsonl" and file.stem.isascii() and file.stem.isdigit():
                found.append((int(file.stem), file))
    return sorted(found)


def _next_file(root: Path) -> tuple[int, IO[bytes]]:
    """A new file under the next number; another process may take one at the same moment."""
    while True:
        known = _run_files(root)
        number = known[-1][0] + 1 if known else 1
        path = root / FOLDER / f"{number:06}.jsonl"
        with suppress(FileExistsError):
            descriptor = os.open(path, _NEW, 0o600)
            return number, os.fdopen(descriptor, "r+b")


def _forget_old_runs(root: Path) -> None:
    """Let the oldest runs go, so that the new one and what is left stay within the bounds."""
    known = _run_files(root)
    sizes = {file: file.stat().st_size for _, file in known}
    while known and (len(known) >= KEPT_RUNS or sum(sizes.values()) > KEPT_BYTES):
        _, file = known.pop(0)
        file.unlink(missing_ok=True)
        sizes.pop(file)


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where the system can do that to a folder."""
    with suppress(PermissionError, IsADirectoryError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# -- lines --------------------------------------------------------------------------------------


def _append(stream: IO[bytes], line: dict[str, Any]) -> None:
    """Add a line and wait until it is on the disk; where that fails, nothing of it is left."""
    end = stream.tell()
    try:
        stream.write(json.dumps(line).encode("ascii") + b"\n")
        stream.flush()
        os.fsync(stream.fileno())
    except OSError:
        with suppress(OSError):
            os.ftruncate(stream.fileno(), end)
            stream.seek(end)
        raise


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    """The lines of a run's file, without a last one that was cut off."""
    try:
        with open(file, "rb") as stream:
            for row, raw in enumerate(stream, start=1):
                if not raw.endswith(b"\n"):
                    return
                line = json.loads(raw)
                if not isinstance(line, dict):
                    raise GradfixError(f"{file}:{row}: damaged: not an object")
                yield line
    except OSError as error:
        raise GradfixError(f"{file}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise GradfixError(f"{file}:{row}: damaged: {error}") from error


def _run(root: Path, number: int, file: Path) -> Run:
    try:
        return _read(root, number, file)
    except GradfixError as error:  # the other runs can still be taken back
        return Run(number, file, "", "", (), (), None, str(error))


def _read(root: Path, number: int, file: Path) -> Run:
    header: dict[str, Any] = {}
    entries: dict[int, Entry] = {}
    undone = None
    for row, line in enumerate(_lines(file), start=1):
        try:
            if row == 1:
                header = line
                if header["format"] != _FORMAT:
                    raise GradfixError(f"{file}: written by gradfix {header['version']}")
            elif "entry" in line:
                path = os.path.normpath(os.path.join(root, line["path"]))
                entry = Entry(line["entry"], path, line["before"], line["after"])
                entries[entry.number] = entry
            elif "void" in line:
                entries.pop(line["void"], None)
            else:
                undone = line["undone"]
        except (KeyError, TypeError) as error:
            raise GradfixError(f"{file}:{row}: damaged: {error}") from error
    return Run(
        number,
        file,
        header.get("token", ""),
        header.get("started", ""),
        tuple(header.get("paths", ())),
        tuple(entries.values()),
        undone,
    )


def _kept_path(target: str, root: Path) -> str:
    """A path as the journal keeps it: relative to the root, so that a project can be moved."""
    top = str(root).rstrip(os.sep) + os.sep
    return target[len(top) :].replace(os.sep, "/") if target.startswith(top) else target
