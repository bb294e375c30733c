"""A fix as plain replacements of text, for programs that know lines and columns but no syntax."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from gradfix import rewrite
from gradfix.errors import RewriteError
from gradfix.lines import bare, ending, split_lines
from gradfix.model import Fix, Span


@dataclass(frozen=True, slots=True)
class Replacement:
    """Whole lines: what is at ``span`` becomes ``text``. Rows and columns as in `Span`."""

    span: Span
    text: str


def replacements(text: str, fix: Fix) -> tuple[Replacement, ...]:
    """What making a fix changes in the text; empty where it cannot be made faithfully.

    The edits of a fix are changes to syntax, which the rewriter fits in (indentation, parentheses,
    semicolons). So the rewriter makes the fix here, and the difference is what counts.
    """
    if not fix.edits:
        return ()
    try:
        new_text = rewrite.apply_edits(text, [fix])
    except RewriteError:  # `apply` would leave it alone, too, and say why
        return ()
    return _difference(split_lines(text), split_lines(new_text))


def _difference(old: Sequence[str], new: Sequence[str]) -> tuple[Replacement, ...]:
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    found: list[Replacement] = []
    built: list[str] = []
    done = 0
    for kind, *hunk in matcher.get_opcodes():
        if kind == "equal":
            continue
        i1, i2, j1, j2 = _with_a_line(old, *hunk)
        before, after = "".join(old[i1:i2]), "".join(new[j1:j2])
        built += [*old[done:i1], after]
        done = i2
        found.append(_replacement(Span(i1 + 1, 1, i2 + 1, 1), before, after))
    same = "".join([*built, *old[done:]]) == "".join(new)
    return tuple(found) if same else ()


def _with_a_line(
    old: Sequence[str], i1: int, i2: int, j1: int, j2: int
) -> tuple[int, int, int, int]:
    """A line that stays gives what is inserted or removed a place."""
    if i1 < i2 and j1 < j2:
        return i1, i2, j1, j2
    if i2 < len(old):
        return i1, i2 + 1, j1, j2 + 1
    return max(i1 - 1, 0), i2, max(j1 - 1, 0), j2


def _replacement(rows: Span, before: str, after: str) -> Replacement:
    """The end of the last line is no part of it where it stays as it is."""
    end = ending(before)
    if end and not after.endswith(end):
        return Replacement(rows, after)
    last = split_lines(before)[-1] if before else ""
    column = len(bare(last)) + 1
    text = after.removesuffix(end) if end else after
    return Replacement(Span(rows.row, 1, rows.end_row - 1, column), text)
