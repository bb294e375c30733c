"""The uses of names in the source of classes and files that Python has loaded."""

from __future__ import annotations

import ast
import functools
import inspect
import linecache
import symtable
import textwrap
from collections.abc import Mapping
from typing import Any

from gradfix.verify.plan import attributes_read
from gradfix.verify.uses import Use, uses_in


def uses_of_code(code: Any) -> Mapping[str, Use]:
    """The uses of every name in a class with its bases, or in a function; empty without source."""
    if not inspect.isclass(code):
        return _uses_of_one(code) if inspect.isfunction(code) else {}
    found: dict[str, Use] = {}
    for base in reversed(code.__mro__):  # the class itself has the last word
        if base.__module__.partition(".")[0] not in ("torch", "builtins", "typing", "abc"):
            found |= _uses_of_one(base)
    return found


@functools.lru_cache(maxsize=256)
def _uses_of_one(code: Any) -> Mapping[str, Use]:
    tree = tree_of(code)
    return {} if tree is None else uses_in(tree)


@functools.lru_cache(maxsize=512)
def tree_of(code: Any) -> ast.Module | None:
    """The tree of a class or function; None where its source is not known."""
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(code)))
    except (OSError, TypeError, SyntaxError, ValueError):
        return None


@functools.lru_cache(maxsize=64)
def uses_of_file(filename: str) -> Mapping[str, Use]:
    """The uses of every name in a file; empty where it cannot be read."""
    tree = tree_of_file(filename)
    return {} if tree is None else uses_in(tree)


@functools.lru_cache(maxsize=64)
def tree_of_file(filename: str) -> ast.Module | None:
    """The tree of a file; None where it cannot be read."""
    try:
        return ast.parse("".join(linecache.getlines(filename)))
    except (SyntaxError, ValueError):
        return None


@functools.lru_cache(maxsize=64)
def names_read_in(file: str) -> frozenset[str]:
    """The names of all attributes that a file reads; none of one that cannot be read."""
    tree = tree_of_file(file)
    return frozenset() if tree is None else frozenset(attributes_read(tree))


def attributes_of(cls: type) -> set[str]:
    """Names of what instances of a class have, as far as its methods assign them to ``self``."""
    found = set(dir(cls))
    for base in cls.__mro__:
        if base.__module__.partition(".")[0] not in ("torch", "builtins"):
            found |= _assigned(base)
    return found


@functools.lru_cache(maxsize=256)
def _assigned(cls: type) -> frozenset[str]:
    tree = tree_of(cls)
    return frozenset(
        node.attr
        for node in (ast.walk(tree) if tree is not None else ())
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    )


@functools.lru_cache(maxsize=512)
def _names_read(code: Any) -> frozenset[str]:
    """The names that the source of a class or function reads; none without source."""
    tree = tree_of(code)
    nodes = ast.walk(tree) if tree is not None else ()
    return frozenset(node.id for node in nodes if isinstance(node, ast.Name))


def globals_of(code: Any) -> frozenset[str]:
    """The same for a class or function; none without source."""
    tree = tree_of(code)
    return frozenset() if tree is None else globals_read(ast.unparse(tree))


def globals_read(source: str) -> frozenset[str]:
    """The names that the functions and classes of a piece of source look up in their module."""
    found: set[str] = set()
    todo = symtable.symtable(source, "<source>", "exec").get_children()
    while todo:
        table = todo.pop()
        found |= {s.get_name() for s in table.get_symbols() if s.is_global() and s.is_referenced()}
        todo += table.get_children()
    return frozenset(found)


def mentions(code: Any, names: set[str]) -> bool:
    """Whether the source of a class or function reads one of the names."""
    return not names.isdisjoint(_names_read(code))


@functools.lru_cache(maxsize=4096)
def statement_at(file: str, row: int) -> ast.stmt | None:
    """The smallest statement around a line; None where it is a definition, or not known."""
    best: ast.stmt | None = None
    for node in _statements(file):
        if node.lineno <= row <= (node.end_lineno or row):
            if best is None or node.lineno >= best.lineno:
                best = node
    if isinstance(best, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)):
        return None
    return best


@functools.lru_cache(maxsize=64)
def _statements(file: str) -> tuple[ast.stmt, ...]:
    tree = tree_of_file(file)
    nodes = ast.walk(tree) if tree is not None else ()
    return tuple(node for node in nodes if isinstance(node, ast.stmt))


def enclosing_test(file: str, row: int) -> ast.expr | None:
    """The condition of the innermost ``if`` whose first block holds a line; None without."""
    best: ast.If | None = None
    for node in _statements(file):
        if isinstance(node, ast.If) and node.body[0].lineno <= row:
            if row <= (node.body[-1].end_lineno or row):
                best = node if best is None or node.lineno >= best.lineno else best
    return None if best is None else best.test


def conditions_around(file: str, row: int) -> list[ast.expr]:
    """The condition of an assertion on a line, or those of all ``if`` around a ``raise``."""
    statement = statement_at(file, row)
    if isinstance(statement, ast.Assert):
        return [statement.test]
    if not isinstance(statement, ast.Raise):
        return []
    around = [
        node
        for node in _statements(file)
        if isinstance(node, ast.If) and node.lineno <= row <= (node.end_lineno or row)
    ]
    return [node.test for node in sorted(around, key=lambda node: node.lineno)]
