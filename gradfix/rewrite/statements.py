"""Edits of whole statements, and what becomes of the lines and comments around them.

Terms:

- A statement's *own comments* are the comment lines directly above it, without a blank line.
- A *small* statement has no block and may share its row with others, joined by semicolons.
- A *suite* is a block on the row of its header (``if x: y = 1``).
- Lines *left over* are comment lines whose statement is gone; they go to the next statement or to
  the footer of the block.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import libcst as cst

from gradfix.errors import RewriteError
from gradfix.rewrite.contents import Style, comments_in, parse_statements, with_leading
from gradfix.rewrite.plan import Request, StatementRequests

Statement = cst.SimpleStatementLine | cst.BaseCompoundStatement
Lines = list[cst.EmptyLine]


@dataclass(frozen=True, slots=True)
class Rewritten:
    """Statements that take the place of others, and the lines left over behind them."""

    body: list[Statement]
    left_over: Lines


@dataclass(frozen=True, slots=True)
class Tail:
    """What follows a statement's last token: the end of its row, and comments below its blocks."""

    end: cst.TrailingWhitespace | None
    #: Whether that row belongs to the statement itself, not to one inside its block.
    same_row: bool
    footers: Lines


class StatementRewriter:
    """Applies the statement edits of one list of statements at a time.

    ``asked`` answers what is requested of an original node; every request taken is put into
    ``done``.
    """

    def __init__(
        self,
        asked: Callable[[cst.CSTNode], StatementRequests | None],
        style: Style,
        done: set[Request],
    ) -> None:
        self._asked = asked
        self._style = style
        self._done = done

    # -- lists of statements ----------------------------------------------------------------

    def module(self, original: cst.Module, updated: cst.Module) -> cst.Module:
        """The module with the edits of its top-level statements made."""
        if not self._any_asked(original.body):
            return updated
        header, body = list(updated.header), _statements(updated.body)
        first = self._asked_of_line(original.body[0])
        if first is not None and first.before:
            # LibCST gives the first statement's comments to the module. A comment block at the very
            # top (shebang, coding, licence) stays there, any other moves with its statement.
            above, own = _split_own(header)
            if above:
                header, body[0] = above, with_leading(body[0], [*own, *body[0].leading_lines])
        rewritten = self._rewrite_list(_statements(original.body), body, None)
        left_over = _without_blank_only(rewritten.left_over)
        if not rewritten.body:
            header += left_over
            ended = updated.has_trailing_newline and bool(header or updated.footer)
            return updated.with_changes(header=header, body=[], has_trailing_newline=ended)
        if not header:
            first_lines = rewritten.body[0].leading_lines
            blanks = _leading_blanks(first_lines)
            if blanks > _leading_blanks(body[0].leading_lines):
                rewritten.body[0] = with_leading(rewritten.body[0], first_lines[blanks:])
        return updated.with_changes(
            header=header, body=rewritten.body, footer=[*left_over, *updated.footer]
        )

    def block(self, original: cst.IndentedBlock, updated: cst.IndentedBlock) -> cst.IndentedBlock:
        """The block with the edits of its statements made; never empty."""
        if not self._any_asked(original.body):
            return updated
        rewritten = self._rewrite_list(
            _statements(original.body), _statements(updated.body), original.indent
        )
        if not rewritten.body:
            only = self._pass_line(rewritten.left_over)
            return updated.with_changes(body=[only])
        left_over = _without_blank_only(rewritten.left_over)
        return updated.with_changes(body=rewritten.body, footer=[*left_over, *updated.footer])

    def suite(
        self,
        original: cst.SimpleStatementSuite,
        updated: cst.SimpleStatementSuite,
        block_indent: str | None,
    ) -> cst.BaseSuite:
        """The suite with the edits of its statements made; a block where one row is too few."""
        if not any(self._asked(small) for small in original.body):
            return updated
        old, new = (
            cst.SimpleStatementLine(each.body, trailing_whitespace=each.trailing_whitespace)
            for each in (original, updated)
        )
        rewritten = self._rewrite_line(old, new, block_indent)
        body, left_over = rewritten.body, rewritten.left_over
        if len(body) == 1 and not left_over and not body[0].leading_lines:
            only = body[0]
            if isinstance(only, cst.SimpleStatementLine):
                return updated.with_changes(
                    body=only.body, trailing_whitespace=only.trailing_whitespace
                )
        if not body and not left_over:
            end = cst.TrailingWhitespace(newline=updated.trailing_whitespace.newline)
            return updated.with_changes(body=[cst.Pass()], trailing_whitespace=end)
        return cst.IndentedBlock(
            body=body or [self._pass_line(left_over)],
            header=cst.TrailingWhitespace(newline=self._style.end_of_line()),
            indent=block_indent,
            footer=left_over if body else [],
        )

    def _rewrite_list(
        self, original: Sequence[Statement], updated: Sequence[Statement], block_indent: str | None
    ) -> Rewritten:
        body: list[Statement] = []
        left_over: Lines = []
        for old, new in zip(original, updated, strict=True):
            one = self._rewrite_one(old, new, block_indent)
            if one.body and left_over:
                one.body[0] = with_leading(
                    one.body[0], _joined(left_over, one.body[0].leading_lines)
                )
                left_over = []
            body += one.body
            left_over += one.left_over
        return Rewritten(body, left_over)

    # -- single statements ------------------------------------------------------------------

    def _rewrite_one(self, old: Statement, new: Statement, block_indent: str | None) -> Rewritten:
        if isinstance(old, cst.SimpleStatementLine) and isinstance(new, cst.SimpleStatementLine):
            return self._rewrite_line(old, new, block_indent)
        asked = self._asked(old)
        if asked is None:
            return Rewritten([new], [])
        inserted, lines = self._inserted(asked.before, list(new.leading_lines), block_indent)
        if asked.replace is None:
            return Rewritten([*inserted, with_leading(new, lines)], [])
        replaced = self._replaced(asked.replace, lines, old, block_indent)
        return Rewritten([*inserted, *replaced.body], replaced.left_over)

    def _rewrite_line(
        self,
        old: cst.SimpleStatementLine,
        new: cst.SimpleStatementLine,
        block_indent: str | None,
    ) -> Rewritten:
        asked = [self._asked(small) for small in old.body]
        if not any(asked):
            return Rewritten([new], [])
        before = asked[0].before if asked[0] is not None else []
        inserted, lines = self._inserted(before, list(new.leading_lines), block_indent)
        request = asked[0].replace if asked[0] is not None else None
        if len(old.body) == 1 and request is not None:
            one = self._replaced(request, lines, old, block_indent)
        else:
            one = self._rewrite_joined(old, new, asked, lines)
        return Rewritten([*inserted, *one.body], one.left_over)

    def _inserted(
        self, before: Sequence[Request], lines: Lines, block_indent: str | None
    ) -> tuple[list[Statement], Lines]:
        """The statements of BEFORE edits, and the lines that stay above their target."""
        body: list[Statement] = []
        between: Lines = []
        for request in before:
            self._done.add(request)
            new, behind = self._parsed(request, block_indent)
            if new:
                new[0] = with_leading(new[0], [*between, *new[0].leading_lines])
                between = []
            body += new
            between += behind
        if not body:
            above, own = _split_own(lines)
            return [], [*above, *between, *own]
        above, own = _split_own(lines)
        body[0] = with_leading(body[0], [*above, *body[0].leading_lines])
        return body, [*between, *own]

    def _parsed(self, request: Request, block_indent: str | None) -> tuple[list[Statement], Lines]:
        """The new statements of an edit of rows of its own, which begin where its span does."""
        step = "\t" if self._style.indent.startswith("\t") else " "
        margin = step * (request.edit.span.column - 1)
        return parse_statements(request.edit.content, self._style, block_indent, margin)

    def _replaced(
        self, request: Request, lines: Lines, old: Statement, block_indent: str | None
    ) -> Rewritten:
        """What a STATEMENT edit makes of a statement that has its rows to itself."""
        self._done.add(request)
        body, behind = self._parsed(request, block_indent)
        above, own = _split_own(lines)
        lines = [*above, *(line for line in own if _is_kept(line, request))]
        tail = _tail_of(old)
        comment = tail.end.comment if tail.end is not None else None
        below = comments_in(*tail.footers)
        inside = comments_in(with_leading(old, []))
        inside = inside[: len(inside) - len(below) - (comment is not None)]
        lines = lines + self._comment_lines(inside, request)
        behind = behind + self._comment_lines(below, request)
        kept = comment is not None and request.keeps(comment.value)
        own_row = tail.same_row or (body and isinstance(body[-1], cst.BaseCompoundStatement))
        if tail.end is not None and body and own_row and (kept or comment is None):
            ended = _with_end(body[-1], tail.end)
            if ended is not None:
                body[-1], kept = ended, False
        if kept and comment is not None:
            lines = [*lines, self._style.comment_line(comment.value)]
        if not body:
            return Rewritten([], [*lines, *behind])
        body[0] = with_leading(body[0], [*lines, *body[0].leading_lines])
        return Rewritten(body, behind)

    def _rewrite_joined(
        self,
        old: cst.SimpleStatementLine,
        new: cst.SimpleStatementLine,
        asked: Sequence[StatementRequests | None],
        lines: Lines,
    ) -> Rewritten:
        """One row of small statements, edited in place."""
        smalls: list[cst.BaseSmallStatement] = []
        carried: list[Request] = []
        for index, small in enumerate(new.body):
            entry = asked[index] or StatementRequests()
            for request in entry.before if index else []:
                inserted = self._one_small(request)
                if inserted is not None:
                    smalls.append(inserted.with_changes(semicolon=_SEMICOLON))
            if entry.replace is None:
                smalls.append(small)
                continue
            carried.append(entry.replace)
            replacement = self._one_small(entry.replace)
            lines = lines + self._comment_lines(comments_in(old.body[index]), entry.replace)
            if replacement is not None:
                smalls.append(replacement.with_changes(semicolon=small.semicolon))
        if smalls:
            smalls[-1] = smalls[-1].with_changes(semicolon=new.body[-1].semicolon)
            return Rewritten([new.with_changes(body=smalls, leading_lines=lines)], [])
        comment = new.trailing_whitespace.comment
        if comment is not None and all(request.keeps(comment.value) for request in carried):
            lines = [*lines, self._style.comment_line(comment.value)]
        return Rewritten([], lines)

    def _one_small(self, request: Request) -> cst.BaseSmallStatement | None:
        """The content as one small statement (None: no statement), to share a row with others."""
        self._done.add(request)
        body, behind = parse_statements(request.edit.content, self._style, None)
        if not body and not behind:
            return None
        only = body[0] if len(body) == 1 else None
        if (
            not isinstance(only, cst.SimpleStatementLine)
            or len(only.body) != 1
            or only.leading_lines
            or only.trailing_whitespace.comment
            or behind
        ):
            raise RewriteError(
                f"the statement at row {request.edit.span.row} shares its row with others, "
                "and the new code is more than one simple statement"
            )
        return only.body[0]

    # -- small helpers ----------------------------------------------------------------------

    def _any_asked(self, body: Sequence[cst.CSTNode]) -> bool:
        return any(self._asked_of_line(statement) for statement in body)

    def _asked_of_line(self, statement: cst.CSTNode) -> StatementRequests | None:
        """What is asked of a compound statement or of any small one in a row (the first asked)."""
        if isinstance(statement, cst.SimpleStatementLine):
            asked = (self._asked(small) for small in statement.body)
            return next((entry for entry in asked if entry is not None), None)
        return self._asked(statement)

    def _comment_lines(self, comments: Sequence[str], request: Request) -> Lines:
        return [self._style.comment_line(text) for text in comments if request.keeps(text)]

    def _pass_line(self, lines: Lines) -> cst.SimpleStatementLine:
        end = cst.TrailingWhitespace(newline=self._style.end_of_line())
        return cst.SimpleStatementLine([cst.Pass()], lines, end)


_SEMICOLON = cst.Semicolon(whitespace_after=cst.SimpleWhitespace(" "))


def _statements(body: Sequence[cst.CSTNode]) -> list[Statement]:
    found: list[Statement] = []
    for node in body:
        if not isinstance(node, (cst.SimpleStatementLine, cst.BaseCompoundStatement)):
            raise RewriteError("the file holds something that is no statement")
        found.append(node)
    return found


def _is_kept(line: cst.EmptyLine, request: Request) -> bool:
    """Whether a comment line above a statement stays there; the new code may have it already."""
    return line.comment is None or request.keeps(line.comment.value)


def _split_own(lines: Sequence[cst.EmptyLine]) -> tuple[Lines, Lines]:
    """Lines above a statement: the far ones, and its own comments."""
    start = len(lines)
    while start and lines[start - 1].comment is not None:
        start -= 1
    return list(lines[:start]), list(lines[start:])


def _leading_blanks(lines: Sequence[cst.EmptyLine]) -> int:
    return next((n for n, line in enumerate(lines) if line.comment is not None), len(lines))


def _joined(left_over: Lines, lines: Sequence[cst.EmptyLine]) -> Lines:
    """Left-over lines above a statement's own; blank rows around a removed one do not add up."""
    if any(line.comment is not None for line in left_over):
        return [*left_over, *lines]
    return [*left_over[_leading_blanks(lines) :], *lines]


def _without_blank_only(lines: Lines) -> Lines:
    return lines if any(line.comment is not None for line in lines) else []


def _tail_of(node: cst.CSTNode) -> Tail:
    if isinstance(node, (cst.SimpleStatementLine, cst.SimpleStatementSuite)):
        return Tail(node.trailing_whitespace, True, [])
    last = _last_part(node)
    if last is None:
        return Tail(None, False, [])
    tail = _tail_of(last[1])
    if isinstance(node, cst.IndentedBlock):
        return Tail(tail.end, False, [*tail.footers, *node.footer])
    return tail


def _last_part(node: cst.CSTNode) -> tuple[str, cst.CSTNode] | None:
    """The last clause, block or statement inside a node, and the name of its field."""
    for name in ("finalbody", "orelse", "handlers", "cases", "body"):
        part = getattr(node, name, None)
        if part:
            return name, part if isinstance(part, cst.CSTNode) else part[-1]
    return None


def _with_end(statement: Statement, end: cst.TrailingWhitespace) -> Statement | None:
    """The statement with ``end`` behind its last simple statement; None if that has a comment."""
    new = _node_with_end(statement, end)
    return new if isinstance(new, (cst.SimpleStatementLine, cst.BaseCompoundStatement)) else None


def _node_with_end(node: cst.CSTNode, end: cst.TrailingWhitespace) -> cst.CSTNode | None:
    if isinstance(node, (cst.SimpleStatementLine, cst.SimpleStatementSuite)):
        if node.trailing_whitespace.comment is not None:
            return node if end.comment is None else None
        return node.with_changes(trailing_whitespace=end)
    last = _last_part(node)
    new = None if last is None else _node_with_end(last[1], end)
    if last is None or new is None:
        return None
    field = getattr(node, last[0])
    return node.with_changes(
        **{last[0]: new if isinstance(field, cst.CSTNode) else [*field[:-1], new]}
    )
