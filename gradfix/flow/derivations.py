"""Which classes of a project are derived from which, file by file, by the heads of definitions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from gradfix.flow.connected import IMPORTED

_HEAD = re.compile(r"class[ \t]+(\w+)[ \t]*(?:\[[^\]]*\])?[ \t]*(?:\(([^:]*?)\)[ \t]*)?:")
_RENAMED = re.compile(r" as[ \t]+(\w+)")
_LAST = re.compile(r"\w+\Z")
_ALIAS = re.compile(r"\n(\w+)[ \t]*(?::[^=\n]*)?=(?!=)([^\n]*)")
_WORD = re.compile(r"\.?\w+")
_EVERYBODYS = frozenset("object Module nn torch ABC ABCMeta Generic Protocol metaclass".split())

#: A class by its file and name.
Place = tuple[str, str]


class Derivations:
    """Who is derived from whom in some texts, by path: perhaps too many classes, never too few.

    A base is a class of the same file where that has one of its name and imports none.
    """

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._by_name: dict[str, set[Place]] = {}  # what is derived from any class of a name
        self._inside: dict[Place, set[Place]] = {}  # what is derived from one of the same file
        self._bases: dict[Place, set[str | Place]] = {}
        self._files: dict[str, set[str]] = {}  # those that define a class of a name
        for path, text in texts.items():
            if "class " in text:
                self._read(path, text)
        known = set(self._by_name)
        for path, text in texts.items():
            for name, other in _renamed(text, known):
                self._by_name.setdefault(name, set()).add((path, other))

    def _read(self, path: str, text: str) -> None:
        heads = [(name, _WORD.findall(given)) for name, given in _HEAD.findall(text)]
        imported = {
            w.lstrip(".")
            for found in IMPORTED.findall(text)
            for w in _WORD.findall(",".join(found))
        }
        own = {name for name, _ in heads} - imported
        for name, words in heads:
            self._files.setdefault(name, set()).add(path)
            for word in words:
                base = word.lstrip(".")
                if base in _EVERYBODYS:
                    continue
                inside = base in own and base != name and not word.startswith(".")
                self._bases.setdefault((path, name), set()).add((path, base) if inside else base)
                if inside:
                    self._inside.setdefault((path, base), set()).add((path, name))
                else:
                    self._by_name.setdefault(base, set()).add((path, name))

    def around(self, path: str, name: str) -> set[Place]:
        """The classes that are derived from one, and all that these are derived from."""
        derived: set[Place] = set()
        queue = [(path, name)]
        while queue:
            at = queue.pop()
            new = (self._by_name.get(at[1], set()) | self._inside.get(at, set())) - derived
            derived |= new
            queue += new
        found, above = set(derived), list(derived)
        while above:
            for base in self._bases.get(above.pop(), ()):
                places = (
                    {base}
                    if isinstance(base, tuple)
                    else {(file, base) for file in self._files.get(base, ())}
                )
                above += places - found
                found |= places
        return found


def _renamed(text: str, known: set[str]) -> Iterator[tuple[str, str]]:
    """Other names that a text gives to classes, where something is derived from these names."""
    for found in _RENAMED.finditer(text):
        name = _LAST.search(text, max(found.start() - 60, 0), found.start())
        if found[1] in known and name is not None and name[0] != found[1]:
            yield name[0], found[1]
    for other, value in _ALIAS.findall(text):
        if other in known:
            yield from ((w.lstrip("."), other) for w in _WORD.findall(value) if w != other)
