"""The cells of a notebook, in the text that is made of them: marks between them, what they show."""

from __future__ import annotations

import ast
import re
from bisect import bisect_left
from functools import lru_cache

from gradfix.flow.facts import Facts

_MARK = re.compile(r"^'--- gradfix cell (\d+) ---'  $", re.M)


def mark(number: int) -> str:
    """The line in front of a cell: a string, which does nothing wherever it stands.

    No formatter leaves it alone: the program is none that anybody formatted.
    """
    return f"'--- gradfix cell {number} ---'  "


def holds_mark(text: str) -> bool:
    """Whether a text has a line that is taken for a mark."""
    return "--- gradfix cell " in text and _MARK.search(text) is not None


@lru_cache(maxsize=8)
def cells_of(text: str) -> tuple[tuple[int, int], ...]:
    """The row of every mark and the number of the cell that begins below it."""
    if "--- gradfix cell " not in text:
        return ()
    return tuple((text.count("\n", 0, m.start()) + 1, int(m[1])) for m in _MARK.finditer(text))


def is_shown(flow: Facts, statement: ast.stmt) -> bool:
    """Whether a statement is the last of a notebook's cell, so that its value is shown there.

    A semicolon behind it says that it is not.
    """
    marks = cells_of(flow.text)
    body = flow.tree.body
    if not marks or statement not in body:
        return False
    after = body.index(statement) + 1
    if after < len(body):
        rows = [row for row, _ in marks]
        place = bisect_left(rows, body[after].lineno)
        if place == len(rows) or rows[place] != body[after].lineno:
            return False
    rest = flow.lines[(statement.end_lineno or 1) - 1].encode()
    return not rest[statement.end_col_offset or 0 :].lstrip().startswith(b";")
