"""Spans of `ast` nodes, and short ways to build and apply edits."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator

from gradfix.model import Edit, EditKind, Fix, Safety, Span
from gradfix.rewrite import apply_edits


def span_of(text: str, node: ast.expr | ast.stmt) -> Span:
    """The span of a node, in characters."""
    rows = re.split(r"\r\n|\r|\n", text)

    def column(row: int, offset: int) -> int:
        return len(rows[row - 1].encode()[:offset].decode()) + 1

    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    return Span(
        node.lineno,
        column(node.lineno, node.col_offset),
        node.end_lineno,
        column(node.end_lineno, node.end_col_offset),
    )


def text_of(text: str, span: Span) -> str:
    """The characters of a span, newlines as in the text."""
    rows = text.splitlines(keepends=True) if "\f" not in text else _rows(text)
    part = rows[span.row - 1 : span.end_row]
    part[-1] = part[-1][: span.end_column - 1]
    part[0] = part[0][span.column - 1 :]
    return "".join(part)


def _rows(text: str) -> list[str]:
    return re.findall(r"[^\r\n]*(?:\r\n|\n)|[^\r\n]+$", text)


def find(text: str, code: str, kind: type[ast.AST] = ast.AST, nth: int = 0) -> Span:
    """The span of the nth node (in text order, outer first) whose source begins with ``code``."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.expr, ast.stmt)) and isinstance(node, kind):
            span = span_of(text, node)
            if text_of(text, span).startswith(code):
                found.append(span)
    found.sort(key=lambda span: (span.row, span.column, -span.end_row, -span.end_column))
    return found[nth]


def fix(*edits: Edit) -> Fix:
    """A fix of some edits."""
    return Fix(Safety.SAFE, "test", edits)


def replace(text: str, code: str, content: str, nth: int = 0) -> Edit:
    """Replace the expression that reads exactly ``code``."""
    spans = [span for span in expressions(text) if text_of(text, span) == code]
    return Edit(EditKind.REPLACE, spans[nth], content)


def statement(text: str, code: str, content: str, nth: int = 0) -> Edit:
    """Replace the statement that begins with ``code``."""
    return Edit(EditKind.STATEMENT, find(text, code, ast.stmt, nth), content)


def before(text: str, code: str, content: str, nth: int = 0) -> Edit:
    """Insert before the statement that begins with ``code``."""
    return Edit(EditKind.BEFORE, find(text, code, ast.stmt, nth), content)


def expressions(text: str) -> Iterator[Span]:
    """The spans of all expressions that have one of their own, in text order."""
    return iter(sorted({span_of(text, node) for node in expression_nodes(ast.parse(text))}))


def expression_nodes(tree: ast.AST) -> Iterator[ast.expr]:
    """All expressions but the pieces of f-strings that are no expressions in the text.

    Slices are left out where they are one of several between the same brackets.
    """
    for node in ast.iter_child_nodes(tree):
        piece = isinstance(tree, ast.JoinedStr) or (
            isinstance(tree, ast.FormattedValue) and isinstance(node, ast.JoinedStr)
        )
        several = isinstance(tree, ast.Tuple) and isinstance(node, ast.Slice)
        if isinstance(node, ast.expr) and not piece and not several:
            yield node
        yield from expression_nodes(node)


def apply(text: str, *builders: Callable[[str], Edit]) -> str:
    """Apply edits, given as functions of the text, as one fix."""
    return apply_edits(text, [fix(*[build(text) for build in builders])])
