"""The files of a project, shipped: what the client tells, and what a worker knows by it.

NOTE: how absence is told. Resolving imports asks for many files that do not exist. A *listed*
folder tells of all that could be imported from it, so that a name which is not in the list is
known to be nothing, and with it everything below.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b

from gradfix import files
from gradfix.errors import SourceError
from gradfix.grounds import digest

#: Compressed bytes that are shipped together.
_TOGETHER = 4_000_000
#: Files beside a missing one that are shipped with it, in bytes.
_BESIDE = 2_000_000


@dataclass(frozen=True, slots=True)
class Bundle:
    """Contents of files, compressed, None for what is no file; and what folders hold."""

    name: str
    contents: dict[str, bytes | None]
    folders: dict[str, frozenset[str]] = field(default_factory=dict)


def bundle(
    contents: dict[str, bytes | None], folders: dict[str, frozenset[str]] | None = None
) -> Bundle:
    """A bundle, named by all that it holds."""
    folders = folders or {}
    total = blake2b(digest_size=16)
    for path in sorted(contents):
        content = contents[path]
        total.update(digest(os.fsencode(path)) + (b"-" if content is None else digest(content)))
    for path in sorted(folders):
        listed = "/".join(sorted(folders[path]))
        total.update(digest(os.fsencode(path)) + digest(os.fsencode(listed)))
    return Bundle(total.hexdigest(), contents, folders)


class Tree:
    """What bundles tell about files. A path that they do not tell about is missed."""

    def __init__(self) -> None:
        self._contents: dict[str, bytes | None] = {}
        self._folders: dict[str, frozenset[str]] = {}
        self._missed: set[str] = set()

    def add(self, bundle: Bundle) -> None:
        """Learn what a bundle tells."""
        self._contents.update(bundle.contents)
        self._folders.update(bundle.folders)

    def tells(self, path: str) -> bool:
        """Whether it is known what is at a path, be it nothing."""
        return self.holds(path) or self._is_nothing(path)

    def holds(self, path: str) -> bool:
        """Whether a bundle has named this very path."""
        return path in self._contents

    def load(self, path: str) -> bytes:
        """The bytes of a file. Raises SourceError where there are none."""
        content = self._contents.get(path)
        if content is None:
            if not self.tells(path):
                self._missed.add(path)
            raise SourceError("cannot be read: it was not shipped")
        return zlib.decompress(content)

    def text_of(self, path: str) -> str | None:
        """The text of a file that something imports; None where there is none that can be read."""
        try:
            return files.decode(self.load(path)).text
        except SourceError:
            return None

    def listing(self, folder: str) -> frozenset[str]:
        """What lies in a folder; nothing where the client cannot tell."""
        if folder in self._folders:
            return self._folders[folder]
        inside = os.path.join(folder, "__init__.py")
        if not self.tells(inside):
            self._missed.add(inside)  # with a file of a folder comes what else is there
        return frozenset()

    def take_missed(self) -> tuple[str, ...]:
        """The paths that were asked for in vain since the last time."""
        missed, self._missed = self._missed, set()
        return tuple(sorted(missed))

    def _is_nothing(self, path: str) -> bool:
        folder, name = os.path.split(path)
        while folder not in self._folders:
            above, name = os.path.split(folder)
            if above == folder:
                return False
            folder = above
        return name not in self._folders[folder]


class Shipper:
    """Makes bundles of what lies on this machine. ``raw_of`` gives a file's bytes, None if none."""

    def __init__(self, raw_of: Callable[[str], bytes | None], roots: Iterable[str]) -> None:
        self._raw_of = raw_of
        self._roots = tuple(roots)
        self._told = Tree()
        self._waiting: dict[str, bytes | None] = {}

    def put(self, path: str, raw: bytes) -> None:
        """Have a file's content shipped, as it was when it was read."""
        if path not in self._waiting:
            self._waiting[path] = zlib.compress(raw, 1)

    def bundles(self) -> Iterator[Bundle]:
        """All that waits to be shipped, and what the folders around it hold."""
        waiting, self._waiting = self._waiting, {}
        yield self._noted(self._outside(waiting))
        part: dict[str, bytes | None] = {}
        size = 0
        for path, content in waiting.items():
            part[path] = content
            size += len(content or b"")
            if size >= _TOGETHER:
                yield self._noted(bundle(part))
                part, size = {}, 0
        if part:
            yield self._noted(bundle(part))

    def found(self, paths: Iterable[str]) -> Bundle | None:
        """What was missing, with what lies beside it; None if all of that was told before."""
        contents: dict[str, bytes | None] = {}
        folders: dict[str, frozenset[str]] = {}
        for path in paths:
            if self._told.tells(path) or path in contents:
                continue
            raw = self._raw_of(path)
            contents[path] = None if raw is None else zlib.compress(raw, 1)
            folder = os.path.dirname(path)
            if folder in folders or not self._is_inside(folder):
                continue
            listed = files.listed(folder)
            if listed is not None:
                folders[folder] = listed
                if raw is not None:
                    contents.update(self._beside(folder, listed, contents))
        return self._noted(bundle(contents, folders)) if contents else None

    def _outside(self, waiting: Iterable[str]) -> Bundle:
        """Listings of the folders around some files, and where packages end above the roots."""
        folders: dict[str, frozenset[str]] = {}
        for folder in {*map(os.path.dirname, waiting), *self._roots}:
            while folder not in folders and self._is_inside(folder):
                listed = files.listed(folder)
                if listed is not None:
                    folders[folder] = listed
                folder = os.path.dirname(folder)
        contents: dict[str, bytes | None] = {}
        for root in self._roots:
            above = os.path.dirname(root)
            while not self._is_inside(above):
                path = os.path.join(above, "__init__.py")
                raw = self._raw_of(path)
                contents[path] = None if raw is None else zlib.compress(raw, 1)
                if above == os.path.dirname(above):
                    break
                above = os.path.dirname(above)
        return bundle(contents, folders)

    def _beside(
        self, folder: str, listed: frozenset[str], known: dict[str, bytes | None]
    ) -> dict[str, bytes | None]:
        """The other files of a folder: what imports one of them often leads to the next."""
        found: dict[str, bytes | None] = {}
        left = _BESIDE
        for name in sorted(listed):
            path = os.path.join(folder, name)
            if not name.endswith(".py") or path in known or self._told.holds(path):
                continue
            raw = self._raw_of(path)
            left -= len(raw or b"")
            if left < 0:
                break
            found[path] = None if raw is None else zlib.compress(raw, 1)
        return found

    def _is_inside(self, folder: str) -> bool:
        """Whether a folder is a root or lies in one; others are the user's own business."""
        return any(
            folder == root or folder.startswith(root.rstrip(os.sep) + os.sep)
            for root in self._roots
        )

    def _noted(self, bundle: Bundle) -> Bundle:
        self._told.add(bundle)
        return bundle
