"""What the new text must mean: the old syntax tree with the edits made on the tree itself.

The edits are made twice, once by LibCST on the text and once here with `ast`; the rewrite is
accepted only if parsing the new text gives this tree. That also proves that every edit names a
real node: a span that `ast` does not know is refused before LibCST sees it.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Sequence

from gradfix.errors import RewriteError
from gradfix.model import EditKind
from gradfix.rewrite.plan import Lines, Request

ByteSpan = tuple[int, int, int, int]


def parse(text: str, what: str) -> ast.Module:
    """`ast.parse`, with its many failures (also for brackets nested over 200) as RewriteError."""
    try:
        with warnings.catch_warnings():  # the file's own warnings are not ours to print
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise RewriteError(f"{what} does not parse: {reason or type(error).__name__}") from error


def expression(content: str) -> ast.expr:
    """The tree of a replacement expression; it may span rows without brackets of its own."""
    parsed = parse(f"({content}\n)", "the replacement").body
    if len(parsed) != 1 or not isinstance(parsed[0], ast.Expr):
        raise RewriteError("the replacement is not one expression")
    value = parsed[0].value
    if isinstance(value, ast.Tuple) and not value.elts and not content.lstrip().startswith("("):
        raise RewriteError("the replacement is empty")
    return value


def subscript(content: str) -> ast.expr:
    """The tree of what stands between the brackets of a subscript."""
    parsed = parse(f"_[{content}\n]", "the replacement").body
    if len(parsed) != 1 or not isinstance(parsed[0], ast.Expr):
        raise RewriteError("the replacement is not one expression")
    value = parsed[0].value
    if not isinstance(value, ast.Subscript) or not isinstance(value.value, ast.Name):
        raise RewriteError("the replacement is not one expression")
    return value.slice


class Expected:
    """The tree the rewritten text must have, and the old nodes that the edits name."""

    def __init__(self, text: str, lines: Lines, requests: Sequence[Request]) -> None:
        self._lines = lines
        self._replace: dict[ByteSpan, Request] = {}
        self._before: dict[ByteSpan, list[Request]] = {}
        self._statement: dict[ByteSpan, Request] = {}
        for request in requests:
            span = lines.byte_span(request.edit.span)
            if request.edit.kind is EditKind.REPLACE:
                self._replace[span] = request
            elif request.edit.kind is EditKind.STATEMENT:
                self._statement[span] = request
            else:
                self._before.setdefault(span, []).append(request)
        #: The old node of every request.
        self.replaced: dict[Request, ast.AST] = {}
        self.tree = parse(text, "the file")
        self._edit_tree()
        for request in requests:
            if request not in self.replaced:
                raise RewriteError(_nothing_at(request))

    def check(self, text: str) -> None:
        """Raise RewriteError unless ``text`` parses to the expected tree."""
        if not same_tree(self.tree, parse(text, "the rewritten file")):
            raise RewriteError("the rewritten file would not mean what the edits say")

    def _edit_tree(self) -> None:
        pending: list[ast.AST] = [self.tree]
        while pending:
            node = pending.pop()
            if isinstance(node, (ast.Global, ast.Nonlocal)):
                self._rename_declared(node)
            for name, value in ast.iter_fields(node):
                if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
                    setattr(node, name, self._edit_statements(node, name, value, pending))
                elif isinstance(value, list):
                    value[:] = [self._edit_expression(node, name, each, pending) for each in value]
                elif isinstance(value, ast.AST):
                    setattr(node, name, self._edit_expression(node, name, value, pending))

    def _edit_expression(
        self, parent: ast.AST, name: str, node: object, pending: list[ast.AST]
    ) -> object:
        if not isinstance(node, ast.AST):
            return node
        request = self._replace.get(_span(node)) if isinstance(node, ast.expr) else None
        # The pieces of an f-string share the span of the whole before Python 3.12.
        part = isinstance(parent, ast.JoinedStr) and not isinstance(node, ast.FormattedValue)
        if request is None or part or isinstance(node, ast.FormattedValue):
            pending.append(node)
            return node
        if request in self.replaced:
            raise RewriteError(f"two expressions at row {request.edit.span.row} share one span")
        self.replaced[request] = node
        if name == "slice" and isinstance(node, (ast.Slice, ast.Tuple)):
            return subscript(request.edit.content)
        new = expression(request.edit.content)
        if isinstance(parent, ast.AnnAssign) and name == "target":
            bare = parent.simple or not isinstance(node, ast.Name)
            parent.simple = int(bool(bare) and isinstance(new, ast.Name))
        return new

    def _edit_statements(
        self, parent: ast.AST, name: str, body: list[ast.stmt], pending: list[ast.AST]
    ) -> list[ast.stmt]:
        edited: list[ast.stmt] = []
        for node in body:
            span = _span(node)
            before, statement = self._before.get(span, []), self._statement.get(span)
            if (before or statement) and self._is_elif(parent, name, node):
                raise RewriteError(f"row {node.lineno} is an elif, not a statement of its own")
            for request in before:
                self.replaced[request] = node
                edited += parse(request.edit.content, "the new code").body
            if statement is None:
                pending.append(node)
                edited.append(node)
            else:
                self.replaced[statement] = node
                edited += parse(statement.edit.content, "the new code").body
        if not edited and not isinstance(parent, ast.Module):
            edited.append(ast.Pass())
        return edited

    def _is_elif(self, parent: ast.AST, name: str, node: ast.stmt) -> bool:
        if not (isinstance(parent, ast.If) and name == "orelse" and isinstance(node, ast.If)):
            return False
        row = self._lines.row(node.lineno).encode()
        return row[node.col_offset :].startswith(b"elif")

    def _rename_declared(self, node: ast.Global | ast.Nonlocal) -> None:
        """Names in ``global`` have no node: find which one a span means by counting commas."""
        start, end = (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)
        for span, request in self._replace.items():
            if not start < span[:2] < end:
                continue
            if not request.edit.content.strip().isidentifier():
                raise RewriteError("a global or nonlocal name can only be replaced by a name")
            rows = [self._lines.row(row).encode() for row in range(node.lineno, span[0] + 1)]
            rows[-1] = rows[-1][: span[1]]
            rows[0] = rows[0][node.col_offset :]
            index = b"".join(rows).count(b",")
            if self._lines.slice(request.edit.span) != node.names[index]:
                raise RewriteError(_nothing_at(request))
            node.names[index] = request.edit.content.strip()
            self.replaced[request] = node


def same_tree(first: ast.AST, second: ast.AST) -> bool:
    """Whether two trees are the same code: positions aside, and load/store, which places decide."""
    pending: list[tuple[object, object]] = [(first, second)]
    while pending:
        one, two = pending.pop()
        if type(one) is not type(two):
            return False
        if isinstance(one, ast.AST) and isinstance(two, ast.AST):
            pending += [
                (getattr(one, name, None), getattr(two, name, None))
                for name in one._fields
                if name != "ctx"
            ]
        elif isinstance(one, list) and isinstance(two, list):
            if len(one) != len(two):
                return False
            pending += zip(one, two, strict=True)
        elif isinstance(one, (float, complex)):
            if repr(one) != repr(two):
                return False
        elif one != two:
            return False
    return True


def _span(node: ast.expr | ast.stmt) -> ByteSpan:
    return node.lineno, node.col_offset, node.end_lineno or 0, node.end_col_offset or 0


def _nothing_at(request: Request) -> str:
    what = "expression" if request.edit.kind is EditKind.REPLACE else "statement"
    return f"no {what} at row {request.edit.span.row}, column {request.edit.span.column}"
