"""What the top-level code of a module binds, as far as its text alone says so.

A module *binds* a name where its top-level code does so once, and on every path.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from gradfix.flow.nodes import children
from gradfix.words import mentions

_GLOBAL = re.compile(r"\n[ \t]*global[ \t]+([\w, \t]+)")
_CHANGES_NAMES = re.compile(r"\bglobals\(\)|\bexec\(|\bsys\.modules\b")

#: Attributes that may be assigned to, alone or as one of several targets; speed filters. The first
#: is for a cheap look: all begin with a character to look for.
_OPERATED = re.compile(r"\.\w+ *[-+*/@%&|^<>:=]")
_ASSIGNED = re.compile(r"\.\w+ *(?:[-+*/@%&|^<>]{0,2}=(?!=)|:[^=\n]*=(?!=))")
_UNPACKED = re.compile(r"\.\w+,[^=\n(]*=(?!=)")
_TARGETS = re.compile(r"[ \t]*[(\[]?[\w., \[\]]*")
_DELETED = re.compile(r"\n(?:    )?del ")
_CHAIN = re.compile(r"\w+(?:\.\w+)+")


@dataclass(frozen=True, slots=True)
class Bound:
    """What one top-level statement binds a name to; ``target`` is where an import leads."""

    kind: str  # "class", "def", "import" or "value"
    statement: ast.stmt | None = None
    target: str = ""


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
        for names in _GLOBAL.findall(f"\n{self.text}") if "global" in self.text else ():
            self._unsure.update(name.strip() for name in names.split(","))
        return found

    def bound(self, name: str) -> Bound | None:
        """What the module binds ``name`` to, where that is certain."""
        _, bound = self._names.get(name, (-1, None))
        if bound is None or name in self._unsure:
            return None
        if bound.kind == "value" and self._changes_names:
            return None
        return bound

    @cached_property
    def _changes_names(self) -> bool:
        """Whether code of the module may bind its names in ways that do not show."""
        some = any(word in self.text for word in ("globals()", "exec(", "sys.modules"))
        return some and _CHANGES_NAMES.search(self.text) is not None

    def mentions(self, name: str) -> bool:
        """Whether the module may bind ``name`` itself."""
        return name in self._names

    @property
    def star(self) -> str | None:
        """The one module whose names ``from module import *`` brings, else None."""
        known = self._names is not None and len(self._stars) == 1
        return self._stars[0][1] if known else None

    def stars_after(self, name: str) -> list[str]:
        """The modules whose names come in by ``import *`` after ``name`` is bound."""
        at, _ = self._names.get(name, (-1, None))
        return [module for place, module in self._stars if place > at]

    def exports(self, name: str) -> bool:
        """Whether ``from module import *`` takes ``name`` along; no where that is not certain."""
        if "__all__" not in self._names:
            return not name.startswith("_")
        bound = self.bound("__all__")
        value = bound.statement.value if bound and isinstance(bound.statement, ast.Assign) else None
        return isinstance(value, (ast.List, ast.Tuple)) and any(
            isinstance(item, ast.Constant) and item.value == name for item in value.elts
        )


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
            yield alias.asname or first, Bound(
                "import", None, alias.name if alias.asname else first
            )
    elif isinstance(statement, ast.ImportFrom):
        source = "." * statement.level + (f"{statement.module}." if statement.module else "")
        for alias in statement.names:
            yield alias.asname or alias.name, Bound("import", None, source + alias.name)
    else:
        for part in _binding_parts(statement):
            for node in _own_nodes(part):
                if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                    yield node.id, Bound("value", statement)


def _binding_parts(statement: ast.stmt) -> Iterator[ast.AST]:
    """What of a statement may bind names; a value seldom does, and tables are long."""
    if isinstance(statement, (ast.Assign, ast.AugAssign, ast.AnnAssign)):
        yield from stored_by(statement)
        if not isinstance(statement.value, (ast.Constant, ast.Dict, ast.List, ast.Tuple, ast.Set)):
            yield from () if statement.value is None else (statement.value,)
    else:
        yield statement


def stored_by(statement: ast.stmt) -> Iterator[ast.expr]:
    """The targets of a statement itself."""
    if isinstance(statement, (ast.Assign, ast.Delete)):
        yield from statement.targets
    elif isinstance(statement, (ast.AugAssign, ast.AnnAssign, ast.For, ast.AsyncFor)):
        yield statement.target
    elif isinstance(statement, (ast.With, ast.AsyncWith)):
        for item in statement.items:
            if item.optional_vars is not None:
                yield item.optional_vars


def attributes_of(target: ast.expr) -> Iterator[ast.Attribute]:
    """The attributes that a target binds."""
    if isinstance(target, (ast.Tuple, ast.List)):
        for part in target.elts:
            yield from attributes_of(part)
    elif isinstance(target, ast.Starred):
        yield from attributes_of(target.value)
    elif isinstance(target, ast.Attribute):
        yield target


def _own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """The expressions of a statement, without those of statements inside it."""
    stack: list[ast.AST] = [node]
    while stack:
        node = stack.pop()
        yield node
        stack += [
            child for child in children(node)
            if not isinstance(child, (ast.stmt, ast.ExceptHandler, ast.match_case, ast.Lambda))
        ]  # fmt: skip


def imports_of(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str]]:
    """The names that an import binds, and what they mean."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            first = alias.name.partition(".")[0]
            yield alias.asname or first, alias.name if alias.asname else first
        return
    source = "." * node.level + (f"{node.module}." if node.module else "")
    for alias in node.names:
        yield alias.asname or alias.name, source + alias.name


def stored_words(text: str) -> frozenset[str] | None:
    """The names in what a text may assign to, None for any name; a speed filter."""
    if mentions(text, "setattr(") or mentions(text, "delattr(") or _DELETED.search(text):
        return None
    words: set[str] = set()
    for found in _OPERATED.finditer(text):
        begin = found.start()
        if text.startswith("self", max(begin - 4, 0)) or not _ASSIGNED.match(text, begin):
            continue
        while begin and (text[begin - 1] in "._" or text[begin - 1].isalnum()):
            begin -= 1
        chain = _CHAIN.match(text, begin)
        words.update(chain[0].split(".") if chain is not None else ())
    for found in _UNPACKED.finditer(text):
        first = text.rfind("\n", 0, found.start()) + 1
        if _TARGETS.fullmatch(text, first, found.start()):
            for parts in _CHAIN.findall(text, first, found.end()):
                words.update(parts.split("."))
    return frozenset(words - {"", "self"})
