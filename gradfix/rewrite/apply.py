"""Edits in, new text out: one parse, one pass for positions, one transform, one check.

NOTE: how an edit finds its node. `ast` spans and LibCST positions agree, with these exceptions:

1. LibCST leaves out all parentheses around an expression, `ast` counts those of a tuple or a
   generator in. A parenthesised one is looked up from its innermost parenthesis.
2. A generator that is a call's only argument has, for `ast`, the parentheses of the call. It is
   looked up by its end: no two generators end at the same place.
3. What stands between the brackets of a subscript may be a slice or several; `ast` calls several a
   tuple, LibCST has no node for them. They are replaced on the subscript.
4. A compound statement's end may include a semicolon or not. Statements are looked up by their
   start; that the end is right is known from `gradfix.rewrite.expected`.
"""

from __future__ import annotations

import ast
from bisect import bisect_left
from collections.abc import Mapping, Sequence

import libcst as cst
from libcst.metadata import CodeRange, MetadataWrapper, PositionProvider

from gradfix.errors import RewriteError
from gradfix.model import EditKind, Fix
from gradfix.rewrite import parentheses
from gradfix.rewrite.contents import (
    NewExpression,
    Style,
    comments_in,
    parse_expression,
    parse_subscript,
)
from gradfix.rewrite.deep import run_deep
from gradfix.rewrite.expected import Expected
from gradfix.rewrite.plan import Lines, Point, Request, StatementRequests, by_statement, requests
from gradfix.rewrite.statements import StatementRewriter


def apply_edits(text: str, fixes: Sequence[Fix]) -> str:
    """The text with all edits of all fixes made; everything else stays byte for byte.

    All spans refer to ``text``. Raises RewriteError, with nothing applied, where an edit names no
    node, edits overlap, or the result would not mean exactly what the edits say.
    """
    if not any(fix.edits for fix in fixes):
        return text
    if text.startswith("\f") or "\r" in text.replace("\r\n", ""):
        raise RewriteError("a lone carriage return or leading form feed cannot be kept")

    def work() -> str:
        edits = _Edits(text, fixes)
        try:
            tree = cst.parse_module(text)
        except cst.ParserSyntaxError as error:
            raise RewriteError(f"LibCST cannot parse the file: {error.message}") from error
        if tree.code != text:
            raise RewriteError("LibCST cannot reproduce the file exactly")
        return edits.made_on(tree).code

    return run_deep(work)


def apply_to_tree(tree: cst.Module, fixes: Sequence[Fix]) -> cst.Module:
    """`apply_edits` for a tree; spans refer to ``tree.code``. Raises the same RewriteError."""
    if not any(fix.edits for fix in fixes):
        return tree
    return run_deep(lambda: _Edits(tree.code, fixes).made_on(tree))


class _Edits:
    """All edits of one text, checked, ready to be made on its tree."""

    def __init__(self, text: str, fixes: Sequence[Fix]) -> None:
        self._text = text
        self._requests = requests(fixes)
        self._lines = Lines(text)
        self._expected = Expected(text, self._lines, self._requests)

    def made_on(self, tree: cst.Module) -> cst.Module:
        """The edited tree. Raises RewriteError unless every edit was made and proved right."""
        wrapper = MetadataWrapper(tree, unsafe_skip_copy=True)
        rewriter = _Rewriter(
            self._requests,
            self._expected,
            self._lines,
            wrapper.resolve(PositionProvider),
            Style.of(tree, self._text),
        )
        try:
            new = tree.visit(rewriter)
        except (cst.CSTValidationError, cst.ParserSyntaxError) as error:
            raise RewriteError(f"the new code does not fit: {error}".splitlines()[0]) from error
        for request in self._requests:
            if request not in rewriter.done:
                span = request.edit.span
                raise RewriteError(f"cannot edit the code at row {span.row}, column {span.column}")
        self._expected.check(new.code)
        return new


class _Rewriter(cst.CSTTransformer):
    """Makes every edit at its node, skipping all statements that hold none."""

    def __init__(
        self,
        requests: Sequence[Request],
        expected: Expected,
        lines: Lines,
        positions: Mapping[cst.CSTNode, CodeRange],
        style: Style,
    ) -> None:
        super().__init__()
        self.done: set[Request] = set()
        self._lines = lines
        self._positions = positions
        self._style = style
        self._rows = sorted({request.edit.span.row for request in requests})
        self._parents: list[cst.CSTNode] = []
        self._kept_lines: dict[cst.CSTNode, list[cst.EmptyLine]] = {}
        self._by_start = by_statement(requests)
        self._by_span: dict[tuple[Point, Point], Request] = {}
        self._generators: dict[Point, Request] = {}
        for request in requests:
            if request.edit.kind is EditKind.REPLACE:
                if isinstance(expected.replaced[request], ast.GeneratorExp):
                    self._generators[request.end] = request
                else:
                    self._by_span[request.start, request.end] = request
        self._statements = StatementRewriter(self._asked, style, self.done)

    # -- the walk ---------------------------------------------------------------------------

    def on_visit(self, node: cst.CSTNode) -> bool:
        """Enter a node; leave out statements without an edit."""
        self._parents.append(node)
        return not isinstance(node, cst.BaseStatement) or self._holds_edit(node)

    def on_leave(  # type: ignore[override]  # a suite may become a block
        self, original_node: cst.CSTNode, updated_node: cst.CSTNode
    ) -> cst.CSTNode:
        """Make the edits that belong to this node."""
        self._parents.pop()
        new = updated_node
        if isinstance(original_node, cst.Subscript) and isinstance(new, cst.Subscript):
            new = self._subscript(original_node, new)
        if isinstance(original_node, cst.BaseExpression) and isinstance(new, cst.BaseExpression):
            return self._expression(original_node, new)
        if isinstance(original_node, cst.Module) and isinstance(new, cst.Module):
            return self._statements.module(original_node, new)
        if isinstance(original_node, cst.IndentedBlock) and isinstance(new, cst.IndentedBlock):
            return self._statements.block(original_node, new)
        if isinstance(new, cst.SimpleStatementSuite):
            assert isinstance(original_node, cst.SimpleStatementSuite)
            return self._statements.suite(original_node, new, self._block_indent())
        if original_node in self._kept_lines:
            lines = [*getattr(new, "leading_lines", ()), *self._kept_lines[original_node]]
            return new.with_changes(leading_lines=lines)
        return new

    def _holds_edit(self, node: cst.BaseStatement) -> bool:
        if isinstance(node, (cst.FunctionDef, cst.ClassDef)) and node.decorators:
            start = self._positions[node.decorators[0]].start.line
        else:
            start = self._positions[node].start.line
        index = bisect_left(self._rows, start)
        return index < len(self._rows) and self._rows[index] <= self._positions[node].end.line

    def _asked(self, node: cst.CSTNode) -> StatementRequests | None:
        start = self._positions[node].start
        return self._by_start.get((start.line, start.column))

    def _block_indent(self) -> str | None:
        for parent in reversed(self._parents):
            if isinstance(parent, cst.IndentedBlock):
                return parent.indent
        return None

    def _indentation(self) -> str:
        blocks = (parent for parent in self._parents if isinstance(parent, cst.IndentedBlock))
        return "".join(self._style.indent if b.indent is None else b.indent for b in blocks)

    # -- expressions ------------------------------------------------------------------------

    def _request_for(self, node: cst.BaseExpression) -> Request | None:
        own = self._positions[node]
        start, end = own.start, own.end
        if isinstance(node, (cst.Tuple, cst.GeneratorExp)) and node.lpar:
            start = self._positions[node.lpar[-1]].start
            end = self._positions[node.rpar[0]].end
        if not isinstance(node, cst.GeneratorExp):
            return self._by_span.get(((start.line, start.column), (end.line, end.column)))
        if not node.lpar and len(self._parents) > 1:
            end = self._positions[self._parents[-2]].end
        return self._generators.get((end.line, end.column))

    def _expression(
        self, original: cst.BaseExpression, updated: cst.BaseExpression
    ) -> cst.BaseExpression:
        request = self._request_for(original)
        if request is None or request in self.done:
            return updated
        self.done.add(request)
        content = request.edit.content
        self._refuse_in_fstring(request)
        new = parse_expression(content, self._style, self._indentation())
        pairs, inner = parentheses.pairs_of(original), []
        if isinstance(original, (cst.Tuple, cst.GeneratorExp)) and pairs:
            inner = [pairs.pop()]
        bare = parentheses.with_pairs(original, inner)
        self._keep_comments(bare, request)
        return self._fit(original, pairs, new, request)

    def _fit(
        self,
        original: cst.BaseExpression,
        pairs: list[tuple[cst.LeftParen, cst.RightParen]],
        new: NewExpression,
        request: Request,
    ) -> cst.BaseExpression:
        """The new expression with the parentheses the old one had, or those it needs."""
        node, own = new.node, parentheses.pairs_of(new.node)
        if isinstance(node, cst.GeneratorExp) and own and not pairs:
            stripped = parentheses.with_pairs(node, own[:-1])
            only_argument = isinstance(original, cst.GeneratorExp) and not original.lpar
            if only_argument and len(own) == 1:
                return stripped
        if pairs:
            if not own:
                return parentheses.with_pairs(node, pairs)
            if parentheses.plain(pairs):
                return node
            counted = isinstance(node, (cst.Tuple, cst.GeneratorExp))
            inner = own if counted or not parentheses.plain(own) else []
            return parentheses.with_pairs(node, [*pairs, *inner])
        if own:
            return node
        open_rows = new.needs_brackets and not parentheses.in_brackets(self._parents)
        shared = isinstance(original, cst.GeneratorExp)  # the call's own parentheses stay
        melts = not shared and self._touches(request)
        if open_rows or melts or parentheses.needed(self._parents, original, node):
            return parentheses.with_pairs(node, [(cst.LeftParen(), cst.RightParen())])
        return node

    def _touches(self, request: Request) -> bool:
        """Whether the new code would melt into a word beside it (``return(a, b)``)."""
        content, span = request.edit.content.strip(), request.edit.span
        old = self._lines.slice(span)
        before, after = self._lines.before(span), self._lines.after(span)
        if before == "{" and content.startswith("{") and not old.startswith("{"):
            return True  # a dict right behind the brace of an f-string
        return (_is_word(before) and _is_word(content[:1], quotes=True)) or (
            _is_word(after) and _is_word(content[-1:])
        )

    def _refuse_in_fstring(self, request: Request) -> None:
        """Before Python 3.12 an f-string's parts cannot hold its quotes, backslashes, comments."""
        for parent in self._parents:
            if isinstance(parent, cst.FormattedString):
                old = self._lines.slice(request.edit.span)
                unfit = {parent.start[-1], "\\", "#", "\n"}
                if any(each in request.edit.content and each not in old for each in unfit):
                    raise RewriteError("the new code does not fit inside an f-string")

    def _subscript(self, original: cst.Subscript, updated: cst.Subscript) -> cst.Subscript:
        """Replace slices, or all of several indices; a lone index is a plain expression."""
        parts = [element.slice for element in original.slice]
        if len(parts) == 1 and not isinstance(parts[0], cst.Slice):
            return updated
        start, end = self._positions[parts[0]].start, self._positions[parts[-1]].end
        request = self._by_span.get(((start.line, start.column), (end.line, end.column)))
        if request is None or request in self.done:
            return updated
        self.done.add(request)
        self._refuse_in_fstring(request)
        self._keep_comments(original.slice, request)
        slices = parse_subscript(request.edit.content, self._style, self._indentation())
        return updated.with_changes(slice=slices)

    def _keep_comments(self, old: cst.CSTNode | Sequence[cst.CSTNode], request: Request) -> None:
        """Move comments that the new code does not carry above the statement they stood in."""
        nodes = [old] if isinstance(old, cst.CSTNode) else old
        comments = [text for text in comments_in(*nodes) if request.keeps(text)]
        if not comments:
            return
        for parent in reversed(self._parents):
            if hasattr(parent, "leading_lines"):
                lines = self._kept_lines.setdefault(parent, [])
                lines += [self._style.comment_line(text) for text in comments]
                return


def _is_word(character: str, quotes: bool = False) -> bool:
    word = character == "_" or character.isalnum()
    return word or (quotes and character in ("'", '"'))
