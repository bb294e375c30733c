"""Assignments of several names at once, taken apart: ``a, b = x, y`` is read as ``a = x; b = y``.

NOTE: what stays the same. All values are evaluated before the first target is bound; the parts know
each other, and the interpreter keeps that order. Assignments where one part reads or writes into a
name that another one binds (``a, b = b, a``) are left as they are. Each part has the place of the
whole statement, so that what is said about it points there; but no part is a statement of the text,
and what would replace it is no fix (`whole_statements`).
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from gradfix.flow.nodes import walk
from gradfix.model import EditKind, Finding, Span

if TYPE_CHECKING:
    from gradfix.flow.facts import Facts

_DISPLAYS = (ast.Tuple, ast.List)
_Pair = tuple[ast.expr, ast.expr]


def take_apart(tree: ast.Module) -> None:
    """Let each assignment of several names stand as its parts in the tree."""
    blocks: list[list[ast.stmt]] = [tree.body]
    for block in blocks:  # which grows
        for at in range(len(block) - 1, -1, -1):
            statement = block[at]
            if statement.__class__ is ast.Assign:
                parts = _parts(statement)
                if parts:
                    block[at : at + 1] = parts
            elif statement.__class__ not in _SIMPLE:
                _add_blocks(statement, blocks)


_SIMPLE = frozenset(
    kind
    for kind in ast.stmt.__subclasses__()
    if {"body", "cases", "handlers"}.isdisjoint(kind._fields)
)


def _add_blocks(statement: ast.AST, blocks: list[list[ast.stmt]]) -> None:
    for name in ("body", "orelse", "finalbody"):
        block = getattr(statement, name, None)
        if block:
            blocks.append(block)
    for inner in (*getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
        blocks.append(inner.body)


def together(statement: ast.AST) -> Sequence[ast.Assign]:
    """The parts that make up one assignment with this one, in order; none for a whole statement."""
    parts: Sequence[ast.Assign] = getattr(statement, "together", ())
    return parts


def _parts(statement: ast.Assign) -> list[ast.Assign]:
    value = statement.value
    if len(statement.targets) != 1 or not isinstance(value, _DISPLAYS):
        return []
    pairs = _pairs(statement.targets[0], value)
    if pairs is None or not _independent(pairs):
        return []
    parts = [
        ast.copy_location(ast.Assign(targets=[target], value=given), statement)
        for target, given in pairs
    ]
    for part in parts:
        setattr(part, "together", parts)  # noqa: B010
    return parts


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
        taken = values[at : at + rest]
        values[at : at + rest] = [_list_of(taken)]
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
    made = ast.copy_location(ast.List(elts=values, ctx=ast.Load()), values[0])
    setattr(made, "taken", True)  # noqa: B010
    made.end_lineno, made.end_col_offset = values[-1].end_lineno, values[-1].end_col_offset
    return made


def _independent(pairs: list[_Pair]) -> bool:
    """Whether no part looks at a name that another one binds."""
    bound = [target.id for target, _ in pairs if isinstance(target, ast.Name)]
    if len(bound) != len(set(bound)):
        return False
    names = set(bound)
    for target, value in pairs:
        own = target.id if isinstance(target, ast.Name) else None
        for part in (*([] if own else [target]), value):
            for node in walk(part):
                if isinstance(node, ast.Name) and node.id in names and node.id != own:
                    return False
    return True


def whole_statements(findings: Iterable[Finding], flow: Facts) -> Iterator[Finding]:
    """The findings, without fixes that would replace what does not stand in the text by itself."""
    apart: set[Span] | None = None
    for finding in findings:
        if finding.fix is not None:
            if apart is None:
                apart = set(map(flow.span, _not_in_the_text(flow.tree)))
            if any(e.span in apart and e.kind is not EditKind.BEFORE for e in finding.fix.edits):
                reason = "the statement binds several names at once"
                finding = replace(finding, fix=None, not_fixed_reason=reason)
        yield finding


def _not_in_the_text(tree: ast.Module) -> Iterator[ast.AST]:
    """The parts of assignments, and the lists that starred targets are bound to."""
    for node in walk(tree):
        if isinstance(node, ast.Assign) and together(node):
            yield node
            if getattr(node.value, "taken", False):
                yield node.value
