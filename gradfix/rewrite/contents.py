"""New code, parsed and made to look like the file it goes into: newlines and indentation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import libcst as cst

from gradfix.errors import RewriteError

_ANY_NEWLINE = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Style:
    """How the file writes what new code needs."""

    newline: str
    #: What a LibCST newline node must hold to print ``newline`` (None: the module's default).
    newline_value: str | None
    indent: str

    @staticmethod
    def of(tree: cst.Module, text: str) -> Style:
        """The style of a file: its most frequent newline, its first indentation."""
        windows = text.count("\r\n")
        newline = "\r\n" if windows > text.count("\n") - windows else "\n"
        if "\n" not in text:
            newline = tree.default_newline
        value = None if newline == tree.default_newline else newline
        return Style(newline, value, tree.default_indent)

    def end_of_line(self) -> cst.Newline:
        """A newline as the file writes it."""
        return cst.Newline(value=self.newline_value)

    def comment_line(self, comment: str) -> cst.EmptyLine:
        """A line of its own for a comment."""
        return cst.EmptyLine(comment=cst.Comment(comment), newline=self.end_of_line())


@dataclass(frozen=True, slots=True)
class NewExpression:
    """A parsed replacement, and whether it stands on its own feet without brackets around it."""

    node: cst.BaseExpression
    needs_brackets: bool


def parse_expression(content: str, style: Style, block_indent: str) -> NewExpression:
    """Parse a replacement expression.

    Continuation lines are taken as they are if all already stand inside the block, else the block's
    indentation is added to them.
    """
    code = _ANY_NEWLINE.sub(style.newline, content.strip())
    try:
        node, needs_brackets = cst.parse_expression(code), False
    except cst.ParserSyntaxError:
        # A yield, a walrus, or rows held together by brackets around the old expression.
        node = _parse_one(f"({code}{style.newline})")
        node, needs_brackets = node.with_changes(lpar=[], rpar=[]), style.newline in code
    return NewExpression(_adapt_expression(node, style, block_indent), needs_brackets)


def parse_subscript(
    content: str, style: Style, block_indent: str
) -> Sequence[cst.SubscriptElement]:
    """Parse what goes between the brackets of a subscript."""
    code = _ANY_NEWLINE.sub(style.newline, content.strip())
    node = _adapt_expression(_parse_one(f"_[{code}]"), style, block_indent)
    if not isinstance(node, cst.Subscript):
        raise RewriteError("the replacement is not one subscript")
    return node.slice


def parse_statements(
    content: str, style: Style, block_indent: str | None, margin: str = ""
) -> tuple[list[cst.SimpleStatementLine | cst.BaseCompoundStatement], list[cst.EmptyLine]]:
    """Parse new statements; also return the comment lines behind the last one.

    ``block_indent`` is the ``IndentedBlock.indent`` that nested blocks get; ``margin`` is all the
    indentation that the first statement will have, which lines after a backslash get, too.
    """
    code = _ANY_NEWLINE.sub(style.newline, content).strip("\r\n").rstrip()
    if not code:
        return [], []
    try:
        parsed = cst.parse_module(code + style.newline)
    except cst.ParserSyntaxError as error:
        raise RewriteError(f"the new code does not parse: {error.message}") from error
    module = parsed.visit(_Adapt(style, block_indent, _unit_fits(parsed), margin))
    header, footer = list(module.header), list(module.footer)
    body: list[cst.SimpleStatementLine | cst.BaseCompoundStatement] = []
    for statement in module.body:
        if not isinstance(statement, (cst.SimpleStatementLine, cst.BaseCompoundStatement)):
            raise RewriteError("the new code holds something that is no statement")
        body.append(statement)
    if not body:
        return [], header + footer
    body[0] = with_leading(body[0], [*header, *body[0].leading_lines])
    return body, footer


def with_leading(
    statement: cst.SimpleStatementLine | cst.BaseCompoundStatement,
    lines: Sequence[cst.EmptyLine],
) -> cst.SimpleStatementLine | cst.BaseCompoundStatement:
    """The statement with exactly these lines above it."""
    return statement.with_changes(leading_lines=list(lines))


def comments_in(*nodes: cst.CSTNode) -> list[str]:
    """All comments inside some nodes, in order."""
    collector = _Comments()
    for node in nodes:
        node.visit(collector)
    return collector.found


def _parse_one(code: str) -> cst.BaseExpression:
    try:
        return cst.parse_expression(code)
    except cst.ParserSyntaxError as error:
        raise RewriteError(f"the replacement does not parse: {error.message}") from error


def _adapt_expression(
    node: cst.BaseExpression, style: Style, block_indent: str
) -> cst.BaseExpression:
    rows = _Rows()
    node.visit(rows)
    verbatim = bool(block_indent) and all(row.startswith(block_indent) for row in rows.found)
    adapt = _Verbatim(style) if verbatim else _Adapt(style, None, _unit_fits(node))
    adapted = node.visit(adapt)
    if not isinstance(adapted, cst.BaseExpression):  # pragma: no cover - the adapters keep types
        raise RewriteError("the replacement is not one expression")
    return adapted


def _unindented_if_blank(line: cst.EmptyLine) -> cst.EmptyLine:
    """At indentation zero LibCST cannot tell a blank line from an indented one."""
    blank = line.comment is None and not line.whitespace.value
    return line.with_changes(indent=False) if blank else line


def _unit_fits(node: cst.CSTNode) -> bool:
    """Whether all continuation lines are indented by steps of four spaces."""
    rows = _Rows()
    node.visit(rows)
    return all(not row.strip(" ") and len(row) % 4 == 0 for row in rows.found)


class _Comments(cst.CSTVisitor):
    def __init__(self) -> None:
        self.found: list[str] = []

    def visit_Comment(self, node: cst.Comment) -> None:
        self.found.append(node.value)


class _Rows(cst.CSTVisitor):
    """Collects how far the continuation lines inside brackets are indented."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def visit_ParenthesizedWhitespace(self, node: cst.ParenthesizedWhitespace) -> None:
        self.found.append(node.last_line.value)


class _Verbatim(cst.CSTTransformer):
    """Keeps continuation lines where they are: LibCST must not add the block's indentation."""

    def __init__(self, style: Style) -> None:
        self._style = style

    def leave_Newline(self, original_node: cst.Newline, updated_node: cst.Newline) -> cst.Newline:
        return self._style.end_of_line()

    def leave_ParenthesizedWhitespace(
        self,
        original_node: cst.ParenthesizedWhitespace,
        updated_node: cst.ParenthesizedWhitespace,
    ) -> cst.ParenthesizedWhitespace:
        lines = [line.with_changes(indent=False) for line in updated_node.empty_lines]
        return updated_node.with_changes(indent=False, empty_lines=lines)


class _Adapt(cst.CSTTransformer):
    """Gives code at indentation zero the file's newline and unit of indentation."""

    def __init__(
        self, style: Style, block_indent: str | None, unit_fits: bool, margin: str = ""
    ) -> None:
        self._style = style
        self._margin = margin
        self._block_indent = block_indent
        self._unit = style.indent if unit_fits and style.indent != "    " else None

    def leave_Newline(self, original_node: cst.Newline, updated_node: cst.Newline) -> cst.Newline:
        return self._style.end_of_line()

    def leave_SimpleWhitespace(
        self, original_node: cst.SimpleWhitespace, updated_node: cst.SimpleWhitespace
    ) -> cst.SimpleWhitespace:
        # Only a backslash puts a newline in here, and LibCST indents what is after it for nobody.
        newline = self._style.newline
        if newline not in updated_node.value:
            return updated_node
        return cst.SimpleWhitespace(updated_node.value.replace(newline, newline + self._margin))

    def leave_EmptyLine(
        self, original_node: cst.EmptyLine, updated_node: cst.EmptyLine
    ) -> cst.EmptyLine:
        return _unindented_if_blank(updated_node)

    def leave_IndentedBlock(
        self, original_node: cst.IndentedBlock, updated_node: cst.IndentedBlock
    ) -> cst.IndentedBlock:
        return updated_node.with_changes(indent=self._block_indent)

    def leave_ParenthesizedWhitespace(
        self,
        original_node: cst.ParenthesizedWhitespace,
        updated_node: cst.ParenthesizedWhitespace,
    ) -> cst.ParenthesizedWhitespace:
        return updated_node.with_changes(
            last_line=self._indented(updated_node.last_line),
            empty_lines=[
                line.with_changes(whitespace=self._indented(line.whitespace))
                for line in updated_node.empty_lines
            ],
        )

    def _indented(self, space: cst.SimpleWhitespace) -> cst.SimpleWhitespace:
        steps, rest = divmod(len(space.value), 4)
        if self._unit is None or rest or space.value.strip(" "):
            return space
        return cst.SimpleWhitespace(self._unit * steps)
