"""Files: which to read, how to decode them, and how to replace one without ever half-writing it."""

from __future__ import annotations

import codecs
import io
import os
import stat
import tokenize
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gradfix.config import Settings
from gradfix.errors import SourceError
from gradfix.model import Failure

if TYPE_CHECKING:
    import pathspec

SettingsOf = Callable[[Path], Settings]


@dataclass(frozen=True, slots=True)
class Found:
    """A file to process: where it is, the name it is reported under, and its settings.

    ``named`` says whether the user gave this very path, or it was found in a folder. ``place`` is
    what `Source.place` will be; empty where the working folder tells. A ``hasty`` file is put off
    if it needs a look at the whole project.
    """

    path: str
    filename: str
    settings: Settings
    named: bool = False
    place: str = ""
    hasty: bool = False


@dataclass(frozen=True, slots=True)
class Decoded:
    """A file's text (newlines as they are) and what is needed to turn it back into bytes."""

    text: str
    encoding: str
    bom: bool
    raw: bytes

    def encode(self, text: str) -> bytes:
        """``text`` as this file would store it. Raises SourceError if its encoding cannot."""
        try:
            data = text.encode(self.encoding)
        except UnicodeEncodeError as error:
            raise SourceError(
                f"the result cannot be encoded as {self.encoding}: {error.reason}"
            ) from error
        return codecs.BOM_UTF8 + data if self.bom else data


def reported_name(path: str) -> str:
    """``path`` relative to the working folder, with ``/``, and printable whatever its bytes."""
    try:
        relative = os.path.relpath(path)
    except ValueError:  # another drive
        relative = path
    relative = relative.replace(os.sep, "/")
    return os.fsencode(relative).decode("utf-8", "backslashreplace")


def discover(paths: Iterable[str], settings_of: SettingsOf) -> Iterator[Found | Failure]:
    """Every file to process, once, in a fixed order; a Failure for what cannot be reached.

    Folders are searched for ``.py`` and ``.ipynb`` files. Links to folders are not followed: a loop
    would have no end, and what they lead to has a name of its own. Raises ConfigError for a wrong
    configuration.
    """
    seen: set[str] = set()
    for path in paths:
        found = _walk(path, settings_of) if os.path.isdir(path) else _explicit(path, settings_of)
        for item in found:
            if isinstance(item, Found):
                real = os.path.realpath(item.path)
                if real in seen:
                    continue
                seen.add(real)
            yield item


def is_notebook(name: str) -> bool:
    """Whether a file is a notebook, by its name."""
    return name.endswith(".ipynb")


def decode(raw: bytes) -> Decoded:
    """Decode source bytes as Python does. Raises SourceError for what is no Python source."""
    if b"\0" in raw:
        raise SourceError("not Python source: it contains a NUL byte", _row(raw, raw.index(b"\0")))
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(raw).readline)
    except SyntaxError as error:
        raise SourceError(f"cannot be decoded: {error.msg}") from error
    bom = raw.startswith(codecs.BOM_UTF8)
    encoding = "utf-8" if encoding == "utf-8-sig" else encoding
    body = raw[len(codecs.BOM_UTF8) :] if bom else raw
    try:
        text = body.decode(encoding)
    except UnicodeDecodeError as error:
        message = f"cannot be decoded as {encoding}: {error.reason}"
        raise SourceError(message, _row(body, error.start)) from error
    except LookupError as error:  # a codec that is not a text encoding, such as rot13
        raise SourceError(f"cannot be decoded: {error}") from error
    return Decoded(text, encoding, bom, raw)


def read(path: str) -> Decoded:
    """Read and decode one file. Raises SourceError if it cannot be read or decoded."""
    return decode(read_bytes(path))


def read_bytes(path: str) -> bytes:
    """The bytes of one file. Raises SourceError if it cannot be read."""
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError as error:
        raise SourceError(f"cannot be read: {error.strerror or error}") from error


def text_of(path: str) -> str | None:
    """The text of a file that something imports; None where there is none that can be read."""
    try:
        return read(path).text if os.path.isfile(path) else None
    except SourceError:
        return None


def listed(folder: str) -> frozenset[str] | None:
    """What matters of a folder's contents, by name: folders, source files, `pyproject.toml`.

    None where it cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            return frozenset(
                entry.name
                for entry in entries
                if entry.name.endswith((".py", ".ipynb", "pyproject.toml"))
                or entry.is_dir(follow_symlinks=False)
            )
    except OSError:
        return None


def write(path: str, data: bytes, *, expected: bytes, prefix: str = ".gradfix-") -> None:
    """Replace a file's content as one step, through links, keeping its mode.

    The temporary file that a killed process leaves behind has a name that begins with ``prefix``.
    Raises SourceError, having changed nothing, if the file is no longer ``expected`` or cannot be
    written.
    """
    import tempfile  # slow to import

    target = os.path.realpath(path)
    temporary: str | None = None
    try:
        mode = stat.S_IMODE(os.stat(target).st_mode)
        if not os.access(target, os.W_OK):
            raise SourceError("cannot be written: it is read-only")
        descriptor, temporary = tempfile.mkstemp(
            dir=os.path.dirname(target), prefix=prefix, suffix=".tmp"
        )
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, mode)
        with open(target, "rb") as current:
            if current.read() != expected:
                raise SourceError("changed while it was being processed: not written")
        os.replace(temporary, target)
        temporary = None
    except OSError as error:
        raise SourceError(f"cannot be written: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            with suppress(FileNotFoundError):  # interrupted right after the replacement
                os.unlink(temporary)


def _row(raw: bytes, offset: int) -> int:
    return raw.count(b"\n", 0, offset) + 1


def _explicit(path: str, settings_of: SettingsOf) -> Iterator[Found | Failure]:
    name = reported_name(path)
    if not os.path.lexists(path):
        yield Failure(name, "no such file or folder")
    elif not os.path.exists(path):
        yield Failure(name, "cannot be read: a link to nothing")
    elif not os.path.isfile(path):
        yield Failure(name, "not a regular file")
    else:
        settings = settings_of(Path(path).absolute().parent)
        if not (settings.force_exclude and settings.exclude.covers(path)):
            yield Found(path, name, settings.for_file(path), named=True)


@dataclass(frozen=True, slots=True)
class _Ignore:
    """One ``.gitignore`` and the folder it lies in."""

    folder: str
    spec: pathspec.GitIgnoreSpec

    def verdict(self, path: str, folder: bool) -> bool | None:
        """True to leave ``path`` out, False to keep it against outer files, None for no opinion."""
        relative = os.path.relpath(path, self.folder).replace(os.sep, "/")
        return self.spec.check_file(relative + "/" if folder else relative).include


def _walk(top: str, settings_of: SettingsOf) -> Iterator[Found | Failure]:
    settings = settings_of(Path(top).absolute())
    if settings.force_exclude and settings.exclude.covers(top, folder=True):
        return
    ignores = _ignores_above(os.path.abspath(top))
    stack = [(top, [] if _ignored(ignores, os.path.abspath(top), True) else ignores)]
    while stack:
        folder, ignores = stack.pop()
        try:
            with os.scandir(folder) as entries:
                listing = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            yield Failure(reported_name(folder), f"cannot be read: {error.strerror or error}")
            continue
        settings = settings_of(Path(folder).absolute())
        if any(entry.name == ".gitignore" for entry in listing):
            ignores = [*ignores, *_read_ignore(os.path.abspath(folder))]
        below = []
        for entry in listing:
            is_folder = entry.is_dir(follow_symlinks=False)
            if not is_folder and not (
                entry.name.endswith((".py", ".ipynb")) and os.path.isfile(entry.path)
            ):
                continue
            if settings.exclude.prunes(entry.path, folder=is_folder):
                continue
            if _ignored(ignores, os.path.abspath(entry.path), is_folder):
                continue
            if is_folder:
                below.append((entry.path, ignores))
            else:
                name = reported_name(entry.path)
                yield Found(entry.path, name, settings.for_file(entry.path))
        stack += reversed(below)


def _ignored(ignores: list[_Ignore], path: str, folder: bool) -> bool:
    # The innermost file that has an opinion decides, as in git.
    for ignore in reversed(ignores):
        verdict = ignore.verdict(path, folder)
        if verdict is not None:
            return verdict
    return False


def _ignores_above(top: str) -> list[_Ignore]:
    """The ``.gitignore`` files above ``top``, outermost first, if ``top`` is in a repository."""
    found: list[_Ignore] = []
    folder = top
    while not os.path.exists(os.path.join(folder, ".git")):
        parent = os.path.dirname(folder)
        if parent == folder:
            return []
        found = [*_read_ignore(parent), *found]
        folder = parent
    return found


def _read_ignore(folder: str) -> list[_Ignore]:
    try:
        with open(os.path.join(folder, ".gitignore"), encoding="utf-8", errors="replace") as stream:
            lines = stream.read().splitlines()
    except OSError:  # git, too, goes on without an ignore file it cannot read
        return []
    import pathspec  # slow to import

    return [_Ignore(folder, pathspec.GitIgnoreSpec.from_lines(lines))]
