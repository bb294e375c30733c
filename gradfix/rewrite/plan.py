"""What is asked for: the edits of all fixes, merged, checked against each other and the text.

Terms used throughout ``gradfix.rewrite``:

- A *request* is one edit together with the code its fixes bring along (*carried*): a comment that
  occurs there has moved, so it need not be kept at its old place.
- A *point* is a place in the text as LibCST counts: 1-based row, 0-based column.
- An edit *covers* its span when it replaces what is there; ``BEFORE`` covers nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from gradfix.errors import RewriteError
from gradfix.model import Edit, EditKind, Fix, Span

Point = tuple[int, int]

_NEWLINE = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Request:
    """One edit, and all code of the fixes it belongs to."""

    edit: Edit
    carried: str

    @property
    def start(self) -> Point:
        """Where the span begins."""
        return self.edit.span.row, self.edit.span.column - 1

    @property
    def end(self) -> Point:
        """Where the span ends, exclusive."""
        return self.edit.span.end_row, self.edit.span.end_column - 1

    def keeps(self, comment: str) -> bool:
        """Whether a comment at the old place must survive there."""
        return comment.strip() not in self.carried


@dataclass(slots=True)
class StatementRequests:
    """Everything asked of one statement."""

    before: list[Request] = field(default_factory=list)
    replace: Request | None = None


class Lines:
    """The rows of a text, to turn character columns into bytes and look at single characters."""

    def __init__(self, text: str) -> None:
        self._rows = _NEWLINE.split(text)

    def row(self, number: int) -> str:
        """One row without its newline; empty where the text has no such row."""
        return self._rows[number - 1] if 0 < number <= len(self._rows) else ""

    def byte_span(self, span: Span) -> tuple[int, int, int, int]:
        """The span as ``ast`` states it: rows 1-based, columns 0-based UTF-8 bytes."""
        start = len(self.row(span.row)[: span.column - 1].encode())
        end = len(self.row(span.end_row)[: span.end_column - 1].encode())
        return span.row, start, span.end_row, end

    def before(self, span: Span) -> str:
        """The character in front of a span on its row, or nothing."""
        return self.row(span.row)[: span.column - 1][-1:]

    def after(self, span: Span) -> str:
        """The character behind a span on its row, or nothing."""
        return self.row(span.end_row)[span.end_column - 1 :][:1]

    def slice(self, span: Span) -> str:
        """The text of a span, rows joined by a plain newline."""
        if span.row == span.end_row:
            return self.row(span.row)[span.column - 1 : span.end_column - 1]
        middle = [self.row(number) for number in range(span.row + 1, span.end_row)]
        first = self.row(span.row)[span.column - 1 :]
        return "\n".join([first, *middle, self.row(span.end_row)[: span.end_column - 1]])


def requests(fixes: Sequence[Fix]) -> list[Request]:
    """The distinct edits of all fixes, in order.

    Raises RewriteError where two edits overlap.
    """
    carried: dict[Edit, list[str]] = {}
    for fix in fixes:
        code = "\n".join(edit.content for edit in fix.edits)
        for edit in fix.edits:
            carried.setdefault(edit, []).append(code)
    merged = [Request(edit, "\n".join(codes)) for edit, codes in carried.items()]
    _refuse_overlaps(merged)
    return merged


def by_statement(merged: Iterable[Request]) -> dict[Point, StatementRequests]:
    """The statement edits, by the point where their statement begins."""
    found: dict[Point, StatementRequests] = {}
    for request in merged:
        if request.edit.kind is EditKind.REPLACE:
            continue
        entry = found.setdefault(request.start, StatementRequests())
        if request.edit.kind is EditKind.BEFORE:
            entry.before.append(request)
        else:
            entry.replace = request
    return found


def _refuse_overlaps(merged: Iterable[Request]) -> None:
    covering: Request | None = None
    for request in _outside_in(merged):
        if covering is not None and request.start < covering.end:
            same = request.edit.span == covering.edit.span
            if not (same and request.edit.kind is EditKind.BEFORE):
                raise RewriteError(
                    f"two edits overlap at row {request.edit.span.row}, "
                    f"column {request.edit.span.column}"
                )
        elif request.edit.kind is not EditKind.BEFORE:
            covering = request


def _outside_in(merged: Iterable[Request]) -> Iterator[Request]:
    """Requests by start, the wider first; of one span, the covering edit first."""
    return iter(
        sorted(
            merged,
            key=lambda request: (
                request.start,
                (-request.end[0], -request.end[1]),
                request.edit.kind is EditKind.BEFORE,
            ),
        )
    )
