"""The files of a project: which of them an import means, and what a module binds at its top.

Nothing is imported or executed. Files come through a function that reads them, so that everything
here is a pure function of what that function returns.

Terms: a *base* is a folder that absolute imports start from, as an entry of ``sys.path`` is. A
module *binds* a name where its top-level code does so once, and on every path.
"""

from __future__ import annotations

import ast
import os
import re
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from gradfix.errors import SourceError

#: Packages that are never part of a project, besides the standard library.
OUTSIDE = frozenset({"torch", "numpy", "builtins", "typing_extensions"}) | frozenset(
    sys.stdlib_module_names
)
#: Characters of source text whose syntax trees are kept in memory between two files.
_KEPT = 3_000_000
#: Longer files are tables, not code.
_LONGEST = 1_000_000
#: How many folders above a file imports may start from.
_ABOVE = 8
_CHANGES_NAMES = re.compile(r"\bglobals\(\)|\bexec\(|\bsys\.modules\b")


@dataclass(frozen=True, slots=True)
class Bound:
    """What one top-level statement binds a name to; ``target`` is where an import leads."""

    kind: str  # "class", "def", "import" or "value"
    statement: ast.stmt | None = None
    target: str = ""


@dataclass(frozen=True, slots=True)
class Defined:
    """A class, function or value: the file that defines it, and the statement that does."""

    path: str
    name: str
    bound: Bound


@dataclass(frozen=True, slots=True)
class Outside:
    """A name that no file of the project defines."""

    name: str


@dataclass(frozen=True, slots=True)
class Folder:
    """A package, or a folder that Python takes for one."""

    path: str


@dataclass(frozen=True, slots=True)
class File:
    """A module."""

    path: str


@dataclass(eq=False)
class Opened:
    """One parsed module, and the names that its top-level code binds."""

    path: str
    text: str
    tree: ast.Module
    _unsure: set[str] = field(default_factory=set)
    _stars: list[tuple[int, str]] = field(default_factory=list)

    @cached_property
    def _names(self) -> dict[str, tuple[int, Bound]]:
        found: dict[str, tuple[int, Bound]] = {}
        certain = set(_certain(self.tree.body))
        for at, statement in enumerate(_top_level(self.tree.body)):
            if isinstance(statement, ast.ImportFrom) and statement.names[0].name == "*":
                self._stars.append((at, "." * statement.level + (statement.module or "")))
                continue
            for name, bound in _bindings(statement):
                if name in found or statement not in certain:
                    self._unsure.add(name)
                found[name] = (at, bound)
        if "global " in self.text:
            for node in ast.walk(self.tree):
                if isinstance(node, ast.Global):
                    self._unsure.update(node.names)
        return found

    def bound(self, name: str) -> Bound | None:
        """What the module binds ``name`` to, where that is certain."""
        at, bound = self._names.get(name, (-1, None))
        if bound is None or name in self._unsure or any(star > at for star, _ in self._stars):
            return None
        if bound.kind == "value" and _CHANGES_NAMES.search(self.text):
            return None
        return bound

    def mentions(self, name: str) -> bool:
        """Whether the module may bind ``name`` itself."""
        return name in self._names

    @property
    def star(self) -> str | None:
        """The one module whose names ``from module import *`` brings, else None."""
        known = self._names is not None and len(self._stars) == 1
        return self._stars[0][1] if known else None

    def exports(self, name: str) -> bool:
        """Whether ``from module import *`` takes ``name`` along, as far as ``__all__`` says."""
        return not name.startswith("_") and "__all__" not in self._names


class Texts:
    """What has been read so far, for all sources of a run: each file is read and parsed once.

    Of the syntax trees only the latest are kept: those of a large project do not fit into memory.
    """

    def __init__(self, read: Callable[[str], str | None]) -> None:
        self._read = read
        self._texts: dict[str, str | None] = {}
        self._opened: OrderedDict[str, Opened | None] = OrderedDict()
        self._held = 0

    def text(self, path: str) -> str | None:
        """The text of a file, None where it cannot be read."""
        if path not in self._texts:
            self._texts[path] = self._read(path)
        return self._texts[path]

    def forget(self, path: str) -> None:
        """A file has been written."""
        path = os.path.normpath(path)
        self._texts.pop(path, None)
        known = self._opened.pop(path, None)
        self._held -= len(known.text) if known is not None else 0

    def opened(self, path: str) -> Opened | None:
        """A parsed file; None for what is missing, too long, or does not parse."""
        if path in self._opened:
            self._opened.move_to_end(path)
            return self._opened[path]
        text = self.text(path)
        found = _parsed(path, text) if text is not None and len(text) <= _LONGEST else None
        self._opened[path] = found
        self._held += len(found.text) if found is not None else 0
        while self._held > _KEPT and len(self._opened) > 1:
            _, old = self._opened.popitem(last=False)
            self._held -= len(old.text) if old is not None else 0
        return found


def _parsed(path: str, text: str) -> Opened | None:
    from gradfix.flow import parse

    try:
        return Opened(path, text, parse(text))
    except SourceError:
        return None


class Project:
    """The files around the one at ``path``.

    ``roots`` are folders that imports may start from besides those around the file; ``consulted``
    are the files that answers have come from.
    """

    def __init__(self, texts: Texts, path: str, roots: Iterable[str] = ()) -> None:
        self.path = os.path.normpath(path)
        self.roots = tuple(dict.fromkeys(os.path.normpath(root) for root in roots))
        self.consulted: set[str] = set()
        self._texts = texts
        self._base_of: dict[str, tuple[str, ...]] = {}

    def text(self, path: str) -> str | None:
        """The text of a file, None where it cannot be read."""
        text = self._texts.text(path)
        if text is not None and path != self.path:
            self.consulted.add(path)
        return text

    def opened(self, path: str) -> Opened | None:
        """A parsed file; None for what is missing, too long, or does not parse."""
        self.text(path)
        return self._texts.opened(path)

    def shown(self, path: str) -> str:
        """A path as messages name it: from the root that it lies under."""
        under = [root for root in self.roots if path.startswith(root.rstrip(os.sep) + os.sep)]
        start = max(under, key=len) if under else os.path.dirname(path)
        return os.path.relpath(path, start).replace(os.sep, "/")

    # -- from names to places -----------------------------------------------------------------

    def resolve(
        self, name: str, importer: str, _seen: frozenset[tuple[str, str]] = frozenset()
    ) -> Defined | Outside | Folder | File | None:
        """What a dotted name means in a file; leading dots make it relative.

        None where that is not certain.
        """
        if (importer, name) in _seen:
            return None  # modules that import each other
        seen = _seen | {(importer, name)}
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
    ) -> Defined | Outside | Folder | File | None:
        at: Defined | Outside | Folder | File | None = start
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

    def _member(
        self, module: Folder | File, name: str, seen: frozenset[tuple[str, str]]
    ) -> Defined | Outside | Folder | File | None:
        """What a module binds a name to, or the module below it of that name."""
        file = module.path
        if isinstance(module, Folder):
            file = os.path.join(module.path, "__init__.py")
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
            source = self.resolve(opened.star, file, seen)
            if isinstance(source, (Folder, File)) and self._exported(source, name):
                return self._member(source, name, seen | {star})
        return None

    def _exported(self, module: Folder | File, name: str) -> bool:
        file = module.path
        if isinstance(module, Folder):
            file = os.path.join(module.path, "__init__.py")
        opened = self.opened(file)
        return opened is not None and opened.exports(name)

    def _bound(
        self, opened: Opened, name: str, seen: frozenset[tuple[str, str]]
    ) -> Defined | Outside | Folder | File | None:
        bound = opened.bound(name)
        if bound is None:
            return None
        if bound.kind == "import":
            return self.resolve(bound.target, opened.path, seen)
        return Defined(opened.path, name, bound)

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
            self._base_of[here] = tuple(self._bases_from(here))
        return self._base_of[here]

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


def _lies_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


# -- what a module binds ------------------------------------------------------------------------


def _top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module in order, those inside ``if``, ``try`` and loops included."""
    for statement in body:
        yield statement
        if not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            for name in ("body", "orelse", "finalbody"):
                yield from _top_level(getattr(statement, name, []))
            for part in (*getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
                yield from _top_level(part.body)


def _certain(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run whenever the module can be imported."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.Try):
            yield from _certain(statement.body)


def _bindings(statement: ast.stmt) -> Iterator[tuple[str, Bound]]:
    if isinstance(statement, ast.ClassDef):
        yield statement.name, Bound("class", statement)
    elif isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
        yield statement.name, Bound("def", statement)
    elif isinstance(statement, ast.Import):
        for alias in statement.names:
            first = alias.name.partition(".")[0]
            yield alias.asname or first, Bound("import", None, alias.name if alias.asname else first)
    elif isinstance(statement, ast.ImportFrom):
        source = "." * statement.level + (f"{statement.module}." if statement.module else "")
        for alias in statement.names:
            yield alias.asname or alias.name, Bound("import", None, source + alias.name)
    else:
        for node in _own_nodes(statement):
            if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                yield node.id, Bound("value", statement)


def _own_nodes(statement: ast.stmt) -> Iterator[ast.AST]:
    """The expressions of a statement, without those of statements inside it."""
    stack: list[ast.AST] = [statement]
    while stack:
        node = stack.pop()
        yield node
        stack += [
            child for child in ast.iter_child_nodes(node)
            if not isinstance(child, (ast.stmt, ast.ExceptHandler, ast.match_case, ast.Lambda))
        ]  # fmt: skip
