"""Expressions as text: their source, parts of it replaced, operators as Python spells them."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from gradfix.flow.module import ModuleFlow
from gradfix.model import Span

#: Python's spelling of the operators that tensors implement.
OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
    ast.MatMult: "@",
}


def bracketed(text: str, node: ast.expr) -> str:
    """The source of an expression, bracketed unless ``.method()`` can follow it as it is."""
    plain = (ast.Name, ast.Attribute, ast.Call, ast.Subscript, ast.List, ast.ListComp, ast.Tuple)
    return text if isinstance(node, plain) else f"({text})"


def replaced(flow: ModuleFlow, node: ast.AST, parts: Mapping[ast.expr, str]) -> str:
    """The source of ``node`` with some of the nodes inside it replaced by other text."""
    span = flow.span(node)
    offsets = [0]
    for line in flow.source_of(node).split("\n")[:-1]:
        offsets.append(offsets[-1] + len(line) + 1)
    text = flow.source_of(node)
    edits = []
    for inner, content in parts.items():
        place = flow.span(inner)
        edits.append(
            (
                _offset(span, offsets, place.row, place.column),
                _offset(span, offsets, place.end_row, place.end_column),
                content,
            )
        )
    for start, end, content in sorted(edits, reverse=True):
        text = text[:start] + content + text[end:]
    return text


def _offset(span: Span, offsets: list[int], row: int, column: int) -> int:
    return offsets[row - span.row] + column - (span.column if row == span.row else 1)
