"""Statements that do several things at once are taken apart before they are read.

``a, b = x, y`` is read as ``a = x; b = y``, ``if (a := x):`` as ``a = x; if a:``, and ``a: T = x``
as ``a = x``.

NOTE: what stays the same. The values of ``a, b = x, y`` are evaluated before the first target is
bound: its parts know each other (`together`), and the interpreter keeps that order. Where one part
writes into a name that another one binds, nothing is taken apart. Each part has a place in what it
comes from, so that what is said about it points there; but it does not stand in the text by itself
(`mark`), and an edit of it has to become one of the whole statement (`gradfix.flow.whole`).
"""

from __future__ import annotations

import ast
import weakref
from collections.abc import Sequence
from typing import TypeVar

from gradfix.flow import respelled
from gradfix.flow.nodes import BLOCKS, walk

N = TypeVar("N", bound=ast.AST)

_DISPLAYS = (ast.Tuple, ast.List)
_Pair = tuple[ast.expr, ast.expr]
#: The fields of statements whose parts have blocks.
_INNER = {
    kind: tuple(name for name in ("handlers", "cases") if name in kind._fields)
    for kind in BLOCKS
    if not {"handlers", "cases"}.isdisjoint(kind._fields)
}


def take_apart(tree: ast.Module, text: str) -> None:
    """Let each statement that does several things stand as its parts in the tree."""
    respelled.expressions(tree, text)
    named, calls = _rows_with(":=", text), respelled.may_bind(text)
    blocks: list[tuple[list[ast.stmt], bool]] = [(tree.body, False)]
    for block, of_class in blocks:  # which grows
        several = False
        for statement in block:  # most do one thing, and this looks at all statements of all files
            kind = statement.__class__
            if kind is ast.Assign:
                targets = statement.targets  # type: ignore[attr-defined]
                several = several or targets[0].__class__ in _DISPLAYS
            elif kind is ast.AnnAssign:
                several = several or not of_class
            elif kind is ast.Expr:
                value = statement.value  # type: ignore[attr-defined]
                several = several or (calls and value.__class__ is ast.Call)
            elif kind in BLOCKS:
                _add_blocks(statement, blocks)
            if named and not several and kind in _ONCE:
                several = respelled.reaches(statement, named)
        if several:
            _take_apart(block, of_class, named, calls)


def _add_blocks(statement: ast.stmt, blocks: list[tuple[list[ast.stmt], bool]]) -> None:
    kind = statement.__class__
    for name in BLOCKS[kind]:
        block = getattr(statement, name)
        if block:
            blocks.append((block, kind is ast.ClassDef))
    for parts in _INNER.get(kind, ()):
        blocks += [(inner.body, False) for inner in getattr(statement, parts)]


def _rows_with(word: str, text: str) -> list[int]:
    """The rows that have a word, in order; all where rows may end in other ways."""
    if word in text and "\r" in text:
        return list(range(1, text.count("\r") + text.count("\n") + 2))
    places: list[int] = []
    at = text.find(word)
    while at >= 0:
        places.append(at)
        at = text.find(word, at + 1)
    return respelled.rows_of(text, places)


def _take_apart(block: list[ast.stmt], of_class: bool, named: list[int], calls: bool) -> None:
    for at in range(len(block) - 1, -1, -1):
        statement = block[at]
        if isinstance(statement, ast.Expr) and calls:
            bound = respelled.as_assignment(statement)
            if bound is not None:
                statement = block[at] = mark(bound, bound.targets[0])
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None and not of_class:
            # In a function nobody evaluates the annotation.
            plain = ast.Assign(targets=[statement.target], value=statement.value)
            statement = block[at] = ast.copy_location(plain, statement)
        if named and respelled.reaches(statement, named):
            alone = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.NamedExpr)
            hoisted = _hoisted(statement)
            # ``(a := x)`` does nothing else.
            block[at : at + (1 if hoisted and alone else 0)] = hoisted
            if hoisted and alone:
                continue
            at += len(hoisted)
        if isinstance(statement, ast.Assign) and statement.targets[0].__class__ in _DISPLAYS:
            block[at : at + 1] = _parts(statement) or [statement]


def together(statement: ast.AST) -> Sequence[ast.Assign]:
    """The parts of one assignment that has all its values first; none for most statements."""
    parts: Sequence[weakref.ref[ast.Assign]] = getattr(statement, "together", ())
    return [part for part in (kept() for kept in parts) if part is not None] if parts else ()


def mark(node: N, *others: ast.AST) -> N:
    """A node, marked with others as one that does not stand in the text by itself."""
    for one in (node, *others):
        setattr(one, "apart", True)  # noqa: B010
    return node


# -- several targets ----------------------------------------------------------------------------


def _parts(statement: ast.Assign) -> list[ast.stmt]:
    value, targets = statement.value, statement.targets
    if len(targets) > 1 or not isinstance(targets[0], _DISPLAYS):
        return []  # of ``a = b = x``, what is done to one name happens to the other, too
    if not isinstance(value, _DISPLAYS):
        return []
    pairs = _pairs(targets[0], value)
    if pairs is None or not _independent(pairs):
        return []
    parts = [_part(statement, target, given) for target, given in pairs]
    # The tree holds them; parts that held each other would outlive it, and keep much of the file.
    known = [weakref.ref(part) for part in parts]
    for part in parts:
        setattr(part, "together", known)  # noqa: B010
        setattr(part, "whole", statement)  # noqa: B010
        part.lineno, part.col_offset = part.targets[0].lineno, part.targets[0].col_offset
        part.end_lineno, part.end_col_offset = part.value.end_lineno, part.value.end_col_offset
    return [*parts]


def _part(whole: ast.stmt, target: ast.expr, value: ast.expr) -> ast.Assign:
    return mark(ast.copy_location(ast.Assign(targets=[target], value=value), whole))


def _pairs(target: ast.expr, value: ast.expr) -> list[_Pair] | None:
    """What is bound to what; None where it is not written down."""
    if not isinstance(target, _DISPLAYS):
        return [(target, value)]
    if not isinstance(value, _DISPLAYS) or any(isinstance(v, ast.Starred) for v in value.elts):
        return None
    names, values = target.elts, list(value.elts)
    stars = [at for at, name in enumerate(names) if isinstance(name, ast.Starred)]
    if stars:
        (at,) = stars
        rest = len(values) - len(names) + 1
        if rest < 1:
            return None
        values[at : at + rest] = [_list_of(values[at : at + rest])]
    if len(names) != len(values):
        return None
    found: list[_Pair] = []
    for one, given in zip(names, values, strict=True):
        inner = _pairs(one.value if isinstance(one, ast.Starred) else one, given)
        if inner is None:
            return None
        found += inner
    return found


def _list_of(values: list[ast.expr]) -> ast.List:
    """The list that a starred target is bound to."""
    made = mark(ast.copy_location(ast.List(elts=values, ctx=ast.Load()), values[0]))
    made.end_lineno, made.end_col_offset = values[-1].end_lineno, values[-1].end_col_offset
    return made


def _independent(pairs: list[_Pair]) -> bool:
    """Whether no part writes into a name that another one binds."""
    bound = [target.id for target, _ in pairs if isinstance(target, ast.Name)]
    if len(bound) != len(set(bound)):
        return False
    return not any(
        isinstance(node, ast.Name) and node.id in bound
        for target, _ in pairs
        if not isinstance(target, ast.Name)
        for node in walk(target)
    )


# -- names that are bound inside expressions ----------------------------------------------------

_ONCE = {ast.Assign: "value", ast.AugAssign: "value", ast.Expr: "value", ast.Return: "value",
         ast.If: "test"}  # fmt: skip


def _hoisted(statement: ast.stmt) -> list[ast.stmt]:
    """The assignments inside the expression of a statement; there, their names take the place."""
    field = _ONCE.get(statement.__class__)
    value = getattr(statement, field) if field is not None else None
    if field is None or value is None:
        return []
    hoist = _Hoist()
    if isinstance(statement, ast.AugAssign):
        hoist.pass_over(statement.target)
    setattr(statement, field, hoist.visit(value))
    return hoist.made


class _Hoist(ast.NodeTransformer):
    """Takes out of an expression what is bound in it once, before anything else could change it."""

    def __init__(self) -> None:
        self.made: list[ast.stmt] = []
        self._seen: set[str] = set()  # names that are read earlier
        self._sure = True

    def pass_over(self, node: ast.AST) -> ast.AST:
        """Leave what may be evaluated later, several times or not at all."""
        self._seen |= {part.id for part in walk(node) if isinstance(part, ast.Name)}
        return node

    visit_Lambda = visit_ListComp = visit_SetComp = visit_DictComp = pass_over
    visit_GeneratorExp = visit_Dict = visit_Await = visit_Yield = pass_over

    def visit_Name(self, node: ast.Name) -> ast.AST:
        self._seen.add(node.id)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        writes = isinstance(node.func, ast.Attribute) and node.func.attr.endswith("_")
        self._sure = self._sure and not writes
        return node

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        node.test = self.visit(node.test)
        self.pass_over(node.body)
        self.pass_over(node.orelse)
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        node.values[0] = self.visit(node.values[0])
        for value in node.values[1:]:
            self.pass_over(value)
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        node.left = self.visit(node.left)
        node.comparators[0] = self.visit(node.comparators[0])
        for value in node.comparators[1:]:
            self.pass_over(value)
        return node

    def visit_NamedExpr(self, node: ast.NamedExpr) -> ast.AST:
        name = node.target.id
        taken = name in self._seen
        node.value = self.visit(node.value)
        if taken or not self._sure:
            self._sure = False
            return node
        self._seen.add(name)
        made = ast.Assign(targets=[node.target], value=node.value)
        setattr(made, "inside", True)  # noqa: B010
        self.made.append(mark(ast.copy_location(made, node)))
        return mark(ast.copy_location(ast.Name(id=name, ctx=ast.Load()), node))
