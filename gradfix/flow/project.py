"""The files of a project: which of them an import means.

Nothing is imported or executed. Files come through a function that reads them, so that everything
here is a pure function of what that function returns.

Terms: a *base* is a folder that absolute imports start from, as an entry of ``sys.path`` is.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gradfix.errors import SourceError
from gradfix.flow import places
from gradfix.flow.places import Asked, Defined, File, Folder, Outside, Place

if TYPE_CHECKING:
    from gradfix.flow.top_level import Opened

#: Packages that are never part of a project, besides the standard library.
OUTSIDE = frozenset({"torch", "numpy", "builtins", "typing_extensions"}) | frozenset(
    sys.stdlib_module_names
)
#: Characters of source text whose syntax trees may be kept in memory from source to source.
_KEPT = 16_000_000
_RECENT = 24  # and so many of the files that were checked last: neighbours often import them
#: Longer files are tables, not code.
_LONGEST = 1_000_000
#: How many folders above a file imports may start from.
_ABOVE = 8


class Project:
    """The files of one run and what has been found out about them; each is read and parsed once.

    ``read`` gives a file's text, None where there is none; ``roots`` are folders that imports may
    start from besides those around a file. ``listing`` tells what lies in a folder: source files
    and folders by name, None where that is not known.
    """

    def __init__(
        self,
        read: places.Read,
        roots: Iterable[str] = (),
        listing: places.Listing = places.unlisted,
    ) -> None:
        self._read = read
        self.listing = listing
        # By folder, kept by the modules of these names, and by `by_string`:
        self.around: dict[str, list[str] | None] = {}
        self.connected: dict[str, dict[str, frozenset[str]]] = {}
        self.kin: dict[str, dict[str, set[str]]] = {}
        self.computed: dict[str, bool] = {}
        self.hasty = False  #: whether a look at all files is left to another process
        self.looked_around: dict[str, str] = {}  #: files whose facts depend on all below a folder
        self.roots = tuple(dict.fromkeys(os.path.normpath(root) for root in roots))
        self._texts: dict[str, str | None] = {}
        self._opened: dict[str, Opened | None] = {}
        self.held = 0  #: characters of source text whose syntax trees are in memory
        self._turn = 0  # counts the files that are checked
        self._used: dict[str, int] = {}
        self._checked: dict[str, Opened] = {}  # the last ones; kept if others ask for them
        self._asked: list[set[str]] = []
        self._places: dict[tuple[str, str], tuple[Place, Asked]] = {}
        self._base_of: dict[str, tuple[tuple[str, ...], frozenset[str]]] = {}
        self._asked_by: dict[str, set[Asked]] = {}
        #: What the analysis keeps about the opened files.
        self.facts: places.Releasable | None = None
        self.consulted_by: dict[str, set[str]] = {}

    def text(self, path: str) -> str | None:
        """The text of a file, None where it cannot be read."""
        if path not in self._texts:
            self._texts[path] = self._read(path)
        for asked in self._asked:
            asked.add(path)
        return self._texts[path]

    def make_room(self) -> None:
        """Let syntax trees go where there are many; those of a large project fill the memory.

        The files that have not been needed for the longest time go, and with each of them those
        that depend on it: nothing may refer to a tree that is parsed anew.
        """
        self._turn += 1
        if self.held <= _KEPT:
            return
        needed = self._needed_last()
        by_turn: dict[int, list[str]] = {}
        gone: list[str] = []
        for path in self._opened:
            by_turn.setdefault(needed.get(path, 0), []).append(path)
        for turn in sorted(by_turn):
            if self.held <= _KEPT // 2:
                break
            gone += by_turn[turn]
            for path in by_turn[turn]:
                opened = self._opened.pop(path)
                self.held -= len(opened.text) if opened is not None else 0
        self._release(gone)

    def _needed_last(self) -> dict[str, int]:
        """When each file was last needed, directly or by one that depends on it."""
        found: dict[str, int] = {}
        for path in sorted(self._used, key=self._used.__getitem__, reverse=True):
            queue = [path]
            while queue:
                at = queue.pop()
                if at not in found:
                    found[at] = self._used[path]
                    queue += self.consulted_by.get(at, ())
        return found

    def close(self) -> None:
        """Let everything go: nothing more is asked, and no garbage collector has to look for it."""
        self._release(list(self._opened))
        self._opened.clear()
        self._checked, self.facts = {}, None

    def _release(self, paths: Iterable[str]) -> None:
        for path in paths:
            self._used.pop(path, None)
        if self.facts is not None:
            self.facts.release(paths)

    def use(self, path: str) -> None:
        """Note that a file is needed now."""
        self._used[path] = self._turn

    def opened(self, path: str) -> Opened | None:
        """A parsed file; None for what is missing, too long, or does not parse."""
        text = self.text(path)
        self.use(path)
        if path not in self._opened:
            found = self._checked.pop(path, None)
            if found is None and text is not None and len(text) <= _LONGEST:
                found = _parsed(path, text)
            self._opened[path] = found
            self.held += len(found.text) if found is not None else 0
        return self._opened[path]

    def tree_of(self, path: str, text: str) -> ast.Module:
        """The syntax tree of a source, parsed only once where it is the text of its file.

        Raises SourceError when the text is not valid Python.
        """
        from gradfix.flow import parse
        from gradfix.flow.top_level import Opened

        # The code of a notebook is not the text of its file, which others may look at.
        if path.endswith(".ipynb") or self._texts.setdefault(path, text) != text:
            return parse(text)
        known = self._opened.get(path) or self._checked.get(path)
        if known is None:
            known = self._checked[path] = Opened(path, text, parse(text))
            if len(self._checked) > _RECENT:
                del self._checked[next(iter(self._checked))]
        return known.tree

    def at(self, path: str) -> View:
        """The project as the file at ``path`` sees it."""
        return View(self, os.path.normpath(path))

    def consulted(self, path: str) -> tuple[str, ...]:
        """The files that what was found out about one file depends on, through others as well."""
        return tuple(sorted(self._depends_on({path}) - {path}))

    def _depends_on(self, paths: set[str]) -> set[str]:
        found = new = paths
        nothing: set[str] = set()
        while new:
            new = nothing.union(*(self.consulted_by.get(other, nothing) for other in new)) - found
            found = found | new
        return found

    def asks_behind(self, paths: Iterable[str]) -> dict[str, list[frozenset[str]]]:
        """For some files, and all that these depend on: what was looked for, ask by ask."""
        found = self._depends_on(set(paths))
        return {path: [ask.paths for ask in self._asked_by.get(path, ())] for path in found}

    def looked_for(self, path: str) -> tuple[str, ...]:
        """Every path that was looked for to find out about one file, whether it is there or not.

        What is found out would change if a file came into being where none was.
        """
        asked = {
            other
            for file in self._depends_on({path})
            for ask in self._asked_by.get(file, ())
            for other in ask.paths
        }
        return tuple(sorted(asked))

    def shown(self, path: str) -> str:
        """A path as messages name it: from the root that it lies under."""
        under = [root for root in self.roots if path.startswith(root.rstrip(os.sep) + os.sep)]
        start = max(under, key=len) if under else os.path.dirname(path)
        return os.path.relpath(path, start).replace(os.sep, "/")

    # -- from names to places -----------------------------------------------------------------

    def resolve(self, name: str, importer: str) -> Place:
        """What a dotted name means in a file; leading dots make it relative.

        None where that is not certain.
        """
        rest = name.lstrip(".")
        folder = os.path.dirname(importer)
        for _ in range(len(name) - len(rest) - 1):
            folder = os.path.dirname(folder)
        # What a relative name means depends on the folder that its dots lead to, and on no other.
        key = (folder, name if rest == name else f".{rest}")
        return self._asking(key, importer, lambda: self._resolve(name, importer, frozenset()))

    def _asking(self, key: tuple[str, str], importer: str, answer: Callable[[], Place]) -> Place:
        """The answer to a question about a folder, given once, and a note of who asked."""
        if key not in self._places:
            self._asked.append(set())
            found = answer()
            paths = frozenset(self._asked.pop())
            there = frozenset(path for path in paths if self.text(path) is not None)
            self._places[key] = found, Asked(paths, there)
        place, asked = self._places[key]
        if asked not in self._asked_by.setdefault(importer, set()):
            self._asked_by[importer].add(asked)
            self.consulted_by.setdefault(importer, set()).update(asked.there)
        return place

    def _resolve(self, name: str, importer: str, seen: frozenset[tuple[str, str]]) -> Place:
        if (importer, name) in seen:
            return None  # modules that import each other
        seen = seen | {(importer, name)}
        level = len(name) - len(name.lstrip("."))
        parts = [part for part in name[level:].split(".") if part]
        if level:
            folder = os.path.dirname(importer)
            for _ in range(level - 1):
                folder = os.path.dirname(folder)
            return self._walk(Folder(folder), parts, seen)
        if not parts or parts[0] in OUTSIDE:
            return Outside(name)
        starts = [self._inside(base, parts[0]) for base in self._bases(importer)]
        found = list(dict.fromkeys(start for start in starts if start is not None))
        if len(found) == 1:
            return self._walk(found[0], parts[1:], seen)
        if not found and len(parts) > 1:
            # A folder without ``__init__.py`` is a package only if something is in it.
            whole = [
                self._walk(Folder(os.path.join(base, parts[0])), parts[1:], seen)
                for base in self._bases(importer)
            ]
            there = list(dict.fromkeys(end for end in whole if end is not None))
            return there[0] if len(there) == 1 else Outside(name) if not there else None
        return None if found else Outside(name)

    def _walk(
        self, start: Folder | File, parts: list[str], seen: frozenset[tuple[str, str]]
    ) -> Place:
        at: Place = start
        for place, part in enumerate(parts):
            if isinstance(at, Outside):
                return Outside(".".join([at.name, *parts[place:]]))
            if not isinstance(at, (Folder, File)):
                return None
            last = place == len(parts) - 1
            at = self._member(at, part, seen) or (
                Folder(os.path.join(at.path, part)) if isinstance(at, Folder) and not last else None
            )
        return at

    def _member(self, module: Folder | File, name: str, seen: frozenset[tuple[str, str]]) -> Place:
        """What a module binds a name to, or the module below it of that name."""
        file = _code_of(module)
        text = self.text(file)
        opened = self.opened(file) if text is not None and (name in text or "*" in text) else None
        if opened is not None and opened.mentions(name):
            return self._bound(opened, name, seen)
        if isinstance(module, Folder):
            below = self._inside(module.path, name)
            if below is not None:
                return below
        star = (file, f"{name} of *")
        if opened is not None and opened.star is not None and star not in seen:
            source = self._resolve(opened.star, file, seen)
            if isinstance(source, (Folder, File)) and self._exported(source, name):
                return self._member(source, name, seen | {star})
        return None

    def _has_no(
        self, star: str, name: str, importer: str, seen: frozenset[tuple[str, str]]
    ) -> bool:
        """Whether a module certainly does not bring ``name`` with ``import *``."""
        module = self._resolve(star, importer, seen)
        if not isinstance(module, (Folder, File)):
            return False
        opened = self.opened(_code_of(module))
        return opened is not None and not opened.mentions(name) and not opened.stars_after("")

    def starred(self, module: str, name: str, importer: str) -> bool:
        """Whether ``from module import *`` in a file brings ``name``."""

        def found() -> Place:
            place = self._resolve(module, importer, frozenset())
            there = isinstance(place, (Folder, File)) and self._exported(place, name)
            return place if there else None

        key = (os.path.dirname(importer), f"{name} of {module} *")
        return self._asking(key, importer, found) is not None

    def _exported(self, module: Folder | File, name: str) -> bool:
        opened = self.opened(_code_of(module))
        return opened is not None and opened.exports(name)

    def _bound(self, opened: Opened, name: str, seen: frozenset[tuple[str, str]]) -> Place:
        bound = opened.bound(name)
        if bound is None or not all(
            self._has_no(star, name, opened.path, seen) for star in opened.stars_after(name)
        ):
            return None
        if bound.kind == "import":
            return self._resolve(bound.target, opened.path, seen)
        return Defined(opened.path, name)

    def _inside(self, folder: str, name: str) -> Folder | File | None:
        """The package or module of a name in a folder."""
        package = os.path.join(folder, name)
        if self.text(os.path.join(package, "__init__.py")) is not None:
            return Folder(package)
        file = f"{package}.py"
        return File(file) if self.text(file) is not None else None

    def _bases(self, importer: str) -> tuple[str, ...]:
        """The folders that absolute imports of a file may start from.

        These are its own folder and those above it, up to the root that it lies under, and that
        root's ``src``; folders inside a package are none.
        """
        here = os.path.dirname(importer)
        if here not in self._base_of:
            self._asked.append(set())
            bases = tuple(self._bases_from(here))
            self._base_of[here] = bases, frozenset(self._asked.pop())
        bases, paths = self._base_of[here]
        for asked in self._asked:
            asked.update(paths)
        return bases

    def _bases_from(self, here: str) -> Iterator[str]:
        folder = here
        while self.text(os.path.join(folder, "__init__.py")) is not None:
            above = os.path.dirname(folder)
            if above == folder:
                break
            folder = above
        outermost = [root for root in self.roots if _lies_in(folder, root)]
        limit = min(outermost, key=len) if outermost else folder
        found = [here]  # scripts run in their own folder, also inside a package
        for _ in range(_ABOVE):
            found.append(folder)
            if folder == limit:
                break
            folder = os.path.dirname(folder)
        roots = [limit, *self.roots]
        yield from dict.fromkeys((*found, *roots, *(os.path.join(r, "src") for r in roots)))


def _parsed(path: str, text: str) -> Opened | None:
    from gradfix.flow import parse
    from gradfix.flow.top_level import Opened

    try:
        return Opened(path, text, parse(text))
    except SourceError:
        return None


def _code_of(of: Folder | File) -> str:
    """The file with the code of a package or module."""
    return os.path.join(of.path, "__init__.py") if isinstance(of, Folder) else of.path


def _lies_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


@dataclass(frozen=True, slots=True)
class View:
    """A project, and the place of one file in it."""

    project: Project
    path: str

    def consulted(self) -> tuple[str, ...]:
        """The other files that the facts about this one depend on."""
        return self.project.consulted(self.path)
