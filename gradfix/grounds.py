"""What outcomes rest on: for each file of a run, what was looked for to resolve its imports.

NOTE: why a graph. An outcome rests on the files that its own one imports, on what these import, and
so on; in a large project that is nearly everything, for nearly every file. So what was looked for
is written down once for a whole run, file by file, and an outcome names its file in it.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

try:
    from _blake2 import blake2b
except ImportError:  # all that `hashlib` adds is OpenSSL, which takes long to load
    from hashlib import blake2b

if TYPE_CHECKING:
    from gradfix.flow import Project

ALL = "*"  # stands for all source files below a folder

#: What was looked for to resolve the imports of a file, as sets of paths that many files share.
Asks = Iterable[frozenset[str]]
#: The digest of what a path holds now, None where nothing is there.
Digest = Callable[[str], str | None]


def digest(data: bytes) -> bytes:
    """A short name for some content."""
    return blake2b(data, digest_size=16).digest()


def as_bytes(text: str) -> bytes:
    """Any text as bytes, also with what no encoding has."""
    return text.encode("utf-8", "surrogatepass")


class Digests:
    """The digests of texts, each made only once."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, bytes]] = {}

    def of(self, path: str, project: Project) -> str | None:
        """The digest of a file's text, None where it cannot be read."""
        if os.path.basename(path) == ALL:
            return self._of_all(os.path.dirname(path), project)
        text = project.text(path)
        if text is None:
            return None
        known = self._known.get(path)
        if known is None or known[0] is not text:
            known = self._known[path] = text, digest(as_bytes(text))
        return known[1].hex()

    def _of_all(self, top: str, project: Project) -> str:
        """One digest of all source files below a folder."""
        from gradfix.flow.around import files_below

        files = files_below(project, top)
        parts = ["many"] if files is None else [f"{f} {self.of(f, project)}" for f in files]
        return digest(as_bytes("\0".join(parts))).hex()


def packed(asked_by: Mapping[str, Asks], digest_of: Digest) -> bytes:
    """What was looked for to find out about each of some files, and what was there."""
    numbers: dict[str, int] = {}
    asks: dict[frozenset[str], int] = {}
    files: dict[int, list[int]] = {}
    for path, asked in asked_by.items():
        files[numbers.setdefault(path, len(numbers))] = [
            asks.setdefault(ask, len(asks)) for ask in asked
        ]
    groups = [[numbers.setdefault(path, len(numbers)) for path in ask] for ask in asks]
    document = [list(numbers), list(map(digest_of, numbers)), groups, list(files.items())]
    return zlib.compress(as_bytes(json.dumps(document)), 1)


class Grounds:
    """What the outcomes of one run rest on, as `packed` wrote it down, compared with today.

    Raises ValueError, TypeError or zlib.error for what is something else.
    """

    def __init__(self, content: bytes, digest_of: Digest) -> None:
        paths, digests, groups, files = json.loads(zlib.decompress(content))
        self._paths: list[str] = paths
        self._digests: list[str | None] = digests
        self._groups: list[list[int]] = groups
        self._files: dict[int, list[int]] = dict(files)
        self._numbers = {path: number for number, path in enumerate(paths)}
        self._digest_of = digest_of
        self._same: dict[int, bool] = {}
        self._sound: set[int] = set()  # files that rest on nothing that has changed
        self._unsound: set[int] | None = None  # all others, once something has

    def hold(self, path: str) -> bool:
        """Whether nothing has changed that the outcome of a file rests on."""
        number = self._numbers.get(path)
        if number is None or number not in self._files:
            return False
        if self._unsound is None and number not in self._sound:
            reached = self._reached_from(number)
            if reached is None:
                self._unsound = self._all_unsound()
            else:
                self._sound |= reached
        return self._unsound is None or number not in self._unsound

    def _is_same(self, number: int) -> bool:
        if number not in self._same:
            self._same[number] = self._digest_of(self._paths[number]) == self._digests[number]
        return self._same[number]

    def _looked_for(self, number: int) -> set[int]:
        groups = self._files.get(number, ())
        return set().union(*(self._groups[group] for group in groups))

    def _reached_from(self, number: int) -> set[int] | None:
        """The files that one rests on, itself among them; None if something has changed."""
        found, queue = {number}, [number]
        while queue:
            looked_for = self._looked_for(queue.pop())
            if not all(map(self._is_same, looked_for)):
                return None
            new = {other for other in looked_for if other in self._files} - found - self._sound
            found |= new
            queue += new
        return found

    def _all_unsound(self) -> set[int]:
        """The files that rest on something that has changed."""
        found: set[int] = set()
        needed_by: dict[int, list[int]] = {}
        for number in self._files:
            for other in self._looked_for(number):
                needed_by.setdefault(other, []).append(number)
                if not self._is_same(other):
                    found.add(number)
        queue = list(found)
        while queue:
            for number in needed_by.get(queue.pop(), ()):
                if number not in found:
                    found.add(number)
                    queue.append(number)
        return found
