"""Where the fixes of a rewrite lie, in the file as it was and as it is to be. No torch here.

A fix is found in the text of its round; what ran is known in lines of the first and the last text.
Lines are carried from one text to the other by their difference.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gradfix.lines import split_lines
from gradfix.model import Edit, Finding, Outcome, Safety, Values


@dataclass(frozen=True, slots=True)
class Place:
    """The lines of one edited statement, before and after the whole rewrite."""

    before: frozenset[int]
    after: frozenset[int]


@dataclass(frozen=True, slots=True)
class Change:
    """One fix: what it promises, the class it lies in, and its statements inside functions."""

    finding: Finding
    values: Values
    safe: bool
    owner: str | None
    places: tuple[Place, ...]

    @property
    def row(self) -> int:
        """The line of the finding as the user knows it."""
        return min((min(place.before, default=0) for place in self.places), default=0) or (
            self.finding.span.row
        )

    def ran(self, before: frozenset[int], after: frozenset[int]) -> bool:
        """Whether every edited statement was executed, in one of the two versions.

        A statement that is taken out need not have been reached: the one that raised may stand
        before it.
        """
        return self.touches(before, after) and all(
            place.before & before or place.after & after or not place.after for place in self.places
        )

    def touches(self, before: frozenset[int], after: frozenset[int]) -> bool:
        """Whether any edited statement was executed."""
        return any(place.before & before or place.after & after for place in self.places)


def changes_of(outcome: Outcome) -> list[Change]:
    """Every fix that an outcome made, with its places."""
    found = []
    read: dict[str, tuple[ast.Module, Lines, Lines]] = {}
    for finding, text in zip(outcome.fixed, outcome.found_in, strict=True):
        if finding.fix is None:
            raise ValueError("a fixed finding has a fix")
        if text not in read:
            back, onward = Lines(text, outcome.source.text), Lines(text, outcome.text)
            read[text] = ast.parse(text), back, onward
        tree, back, onward = read[text]
        places, owner = [], None
        for edit in finding.fix.edits:
            for function, rows in _statements(tree, edit):
                owner = owner or _owner(tree, function)
                places.append(Place(back.rows(rows), onward.rows(rows)))
        fix = finding.fix
        safe = fix.safety is Safety.SAFE
        found.append(Change(finding, fix.values, safe, owner, tuple(dict.fromkeys(places))))
    return found


class Lines:
    """Which lines of one text became which lines of another."""

    def __init__(self, old: str, new: str) -> None:
        self._same = old == new
        matcher = difflib.SequenceMatcher(None, split_lines(old), split_lines(new), autojunk=False)
        self._blocks = [] if self._same else matcher.get_opcodes()

    def rows(self, rows: Iterable[int]) -> frozenset[int]:
        """The new lines in place of the old ones (1-based); none where they were taken out."""
        wanted = frozenset(rows)
        if self._same:
            return wanted
        found: set[int] = set()
        for kind, first, last, begin, end in self._blocks:
            inside = [row for row in wanted if first < row <= last]
            if kind == "equal":
                found.update(row - first + begin for row in inside)
            elif inside:
                found.update(range(begin + 1, end + 1))
        return frozenset(found)


def _statements(tree: ast.Module, edit: Edit) -> Iterator[tuple[ast.AST, frozenset[int]]]:
    """The edited statement with the function it runs in; nothing for code outside functions.

    What stands outside functions ran when the file was imported, or did not, and computes nothing
    that a call could show.
    """
    best: tuple[ast.AST, ast.stmt] | None = None
    for function in ast.walk(tree):
        if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        for node in ast.walk(function):
            if node is function or not isinstance(node, ast.stmt):
                continue
            last = node.end_lineno or node.lineno
            if node.lineno <= edit.span.row and edit.span.end_row <= last:
                if best is None or node.lineno >= best[1].lineno:
                    best = (function, node)
    if best is not None:
        yield best[0], frozenset(_own_rows(best[1]))


def _own_rows(statement: ast.stmt) -> range:
    """The lines of a statement without those of the statements in it."""
    body = getattr(statement, "body", None)
    last = statement.end_lineno or statement.lineno
    if isinstance(body, list) and body and isinstance(body[0], ast.stmt):
        last = max(statement.lineno, min(last, body[0].lineno - 1))
    return range(statement.lineno, last + 1)


def _owner(tree: ast.Module, function: ast.AST) -> str | None:
    """The class at the top of the file in which a function stands."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and any(part is function for part in ast.walk(node)):
            return node.name
    return None
