"""Walking over syntax trees: what `ast.walk` and `ast.iter_child_nodes` do, in a third of the time.

The analysis asks for the nodes of a tree more often than for anything else. Contexts (``Load``) and
operators (``Add``) have nothing below them, are the same objects everywhere, and are left out.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from typing import Any

#: Fields that hold no nodes, or only contexts and operators.
_PLAIN = frozenset(
    """ctx op ops id attr arg name module level asname kind type_comment is_async simple conversion
    rest kwd_attrs str tag type_ignores""".split()
)
_WITHOUT = (ast.Constant, ast.Global, ast.Nonlocal, ast.MatchSingleton)
#: The fields of each kind of statement that hold other statements, directly or in their parts.
BLOCKS = {
    kind: tuple(name for name in ("body", "orelse", "finalbody") if name in kind._fields)
    for kind in ast.stmt.__subclasses__()
    if not {"body", "cases"}.isdisjoint(kind._fields)
}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
LOOPS = (ast.For, ast.AsyncFor, ast.While)
#: For each kind of node what gets the fields that hold others, and whether there are several.
_Getter = Callable[[ast.AST], Any]
_GETTERS: dict[type[ast.AST], tuple[_Getter | None, bool]] = {}


def children(node: ast.AST) -> list[ast.AST]:
    """The nodes right below one, in the order of the text."""
    get, several = _GETTERS.get(node.__class__) or _getter(node.__class__)
    if get is None:
        return []
    found: list[ast.AST | None] = []
    for value in get(node) if several else (get(node),):
        if value.__class__ is list:
            found += value
        else:
            found.append(value)
    return [child for child in found if child is not None]


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """A node and all nodes below it, the upper ones first."""
    found: list[ast.AST | None] = [node]
    for at in found:  # which grows
        if at is None:
            continue  # no default of an argument, no key before ``**other`` in a dict
        yield at
        get, several = _GETTERS.get(at.__class__) or _getter(at.__class__)
        if get is None:
            continue  # most nodes are names and constants
        if several:
            for value in get(at):
                if value.__class__ is list:
                    found += value
                elif value is not None:
                    found.append(value)
        else:
            value = get(at)
            if value.__class__ is list:
                found += value
            else:
                found.append(value)


def straight(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a body that run whenever it does, if nothing before them leaves it.

    Those inside ``with``, ``try``, ``while True`` and a ``case _`` that stands alone are included.
    """
    for statement in body:
        yield statement
        if isinstance(statement, (ast.With, ast.AsyncWith)):
            yield from straight(statement.body)
        elif isinstance(statement, ast.Try):
            yield from straight(statement.body)
            yield from straight(statement.finalbody)
        elif isinstance(statement, ast.While):
            if isinstance(statement.test, ast.Constant) and statement.test.value:
                yield from straight(statement.body)
        elif isinstance(statement, ast.Match) and len(statement.cases) == 1:
            (case,) = statement.cases
            pattern = case.pattern
            if isinstance(pattern, ast.MatchAs) and pattern.pattern is None and not case.guard:
                yield from straight(case.body)


def _getter(kind: type[ast.AST]) -> tuple[_Getter | None, bool]:
    fields = [name for name in kind._fields if name not in _PLAIN]
    if kind.__name__ == "TypeAlias":
        fields.insert(0, "name")
    if issubclass(kind, _WITHOUT) or not fields:
        _GETTERS[kind] = None, False
    else:
        _GETTERS[kind] = attrgetter(*fields), len(fields) > 1
    return _GETTERS[kind]


def tests_training(test: ast.expr) -> bool | None:
    """True for ``if x.training`` (or ...), False for ``if not x.training`` (and ...), else None."""
    if isinstance(test, ast.BoolOp):
        alone = isinstance(test.op, ast.Or)
        return alone if any(tests_training(part) is alone for part in test.values) else None
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        inner = tests_training(test.operand)
        return None if inner is None else not inner
    return True if isinstance(test, ast.Attribute) and test.attr == "training" else None


def last_name(node: ast.AST) -> str:
    """The last part of a dotted name; empty for other expressions."""
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
