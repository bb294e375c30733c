"""The cells of a notebook as one program, and a rewritten program as cells again."""

from __future__ import annotations

import ast
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gradfix import formatting
from gradfix.config_types import BlackSettings
from gradfix.errors import SourceError
from gradfix.flow.cells import cells_of, holds_mark, mark
from gradfix.lines import split_lines
from gradfix.notebook.magics import Body, Part, read_body


@dataclass(frozen=True, slots=True)
class Masked:
    """A cell's source, its part of the program, and what stands there for what is not Python."""

    number: int
    source: str
    body: Body
    text: str
    stands_for: tuple[tuple[str, str], ...]  # placeholder, original

    def restored(self, text: str) -> str:
        """Source text of this cell from a rewritten part of the program.

        Raises SourceError if a line that is not Python got lost or doubled.
        """
        if text == self.text + "\n":
            return self.source
        for placeholder, original in self.stands_for:
            if text.count(placeholder) != 1:
                first = original.partition("\n")[0].strip()
                raise SourceError(f"cell {self.number}: the line {first!r} would be changed")
            text = text.replace(placeholder, original)
        if "\r" not in self.source:
            return text.removesuffix("\n")
        return formatting.with_endings_of(self.source, text).removesuffix("\n").removesuffix("\r")


@dataclass(frozen=True, slots=True)
class Program:
    """The cells, masked, in the order of the notebook, with a mark in front of each."""

    text: str
    cells: tuple[Masked, ...]

    def sources(self, text: str) -> dict[int, str]:
        """The source of every cell, by number, in a rewritten program. Raises SourceError."""
        marks = cells_of(text)
        if [number for _, number in marks] != [cell.number for cell in self.cells]:
            raise SourceError("the cells of the notebook cannot be told apart after the rewrite")
        lines = split_lines(text)
        ends = [*(row - 1 for row, _ in marks), len(lines)][1:]
        return {
            cell.number: cell.restored("".join(lines[row:end]))
            for cell, (row, _), end in zip(self.cells, marks, ends, strict=True)
        }

    def is_masked(self, text: str, row: int) -> bool:
        """Whether a row of a version of the program stands for something that is not Python."""
        line = split_lines(text)[row - 1]
        names = {p for cell in self.cells for p, _ in cell.stands_for}
        return any(line.strip().startswith(p.partition("\n")[0]) for p in names)


def place(text: str, row: int) -> tuple[int, int]:
    """The number of the cell that a row of a program belongs to, and the row in it."""
    marks = cells_of(text)
    at = bisect_left([mark_row for mark_row, _ in marks], row) - 1
    return marks[at][1], row - marks[at][0]


def build(sources: Iterable[tuple[int, str]]) -> Program:
    """The program of some cells, given by number and source.

    Raises SourceError if a cell holds what gradfix marks its cells with.
    """
    bodies = []
    for number, source in sources:
        if holds_mark(source):
            raise SourceError(f"cell {number} holds a line that gradfix marks cells with")
        bodies.append((number, source, read_body(source)))
    naming = _Naming([source for _, source, _ in bodies], [body for *_, body in bodies])
    cells = []
    for number, source, body in bodies:
        stands_for: list[tuple[str, str]] = []

        def placeholder(part: Part, into: list[tuple[str, str]] = stands_for) -> str:
            text = naming.placeholder(part)
            into.append((text, part.text[len(part.indent) :]))
            return part.indent + text

        text = body.masked(placeholder)
        cells.append(Masked(number, source, body, text, tuple(stands_for)))
    text = "".join(f"{mark(cell.number)}\n{cell.text}\n" for cell in cells)
    return Program(text, tuple(cells))


def formatted(cell: Masked, before: str, after: str, settings: BlackSettings) -> str:
    """The new source of a cell, formatted with black if the old one was.

    A cell has no newline at its end, and a semicolon there is no matter of style.
    """
    names = {p.text[len(p.indent) :]: f"_masked_{i}_" for i, p in enumerate(cell.body.parts)}
    if any(part.rows > 1 for part in cell.body.parts) or "_masked_" in before + after:
        return after
    old, new = before, after
    for text, name in names.items():
        old, new = old.replace(text, name), new.replace(text, name)
    semicolons = [";" if text.rstrip().endswith(";") else "" for text in (old, new)]
    if semicolons[0] != semicolons[1] or old != old.rstrip():
        return after
    old, new = (text.rstrip().removesuffix(";") + "\n" for text in (old, new))
    tidy = formatting.as_before(old, new, settings)
    if tidy == new:
        return after
    tidy = tidy.removesuffix("\n") + semicolons[0]
    for text, name in names.items():
        if tidy.count(name) != after.count(text):
            return after
        tidy = tidy.replace(name, text)
    return tidy


class _Naming:
    """Makes placeholders: names that the notebook does not use, and what they read and bind."""

    def __init__(self, sources: Sequence[str], bodies: Sequence[Body]) -> None:
        self._prefix = "_gradfix"
        while any(self._prefix in source for source in sources):
            self._prefix += "_"
        self._count = 0
        self._bound: set[str] = set()
        self._imported: set[str] = set()
        for body in bodies:
            for node in ast.walk(body.tree) if body.tree else ():
                self._note(node)

    def _note(self, node: ast.AST) -> None:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            self._bound.add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            self._bound.add(node.name)
        elif isinstance(node, ast.alias):
            self._imported.add((node.asname or node.name).partition(".")[0])

    def placeholder(self, part: Part) -> str:
        """One statement over as many rows as the part has, without its indentation.

        Its text goes along where it matters: some facts are looked for in the text alone.
        """
        self._count += 1
        name, filling = f"{self._prefix}_{self._count}_", "\n" * (part.rows - 1)
        reads = sorted(part.reads & (self._bound | self._imported))
        if part.anything:
            return f"{part.target}exec({name}, {part.text!r}{filling})"
        if not reads and not part.binds:
            return f"{part.target}({name}{filling})"
        call = f"{name}({', '.join([repr(part.text), *reads])}{filling})"
        binds = [r for r in reads if r not in self._imported] if part.binds else []
        target = part.target or ("".join(f"{n}, " for n in binds) + "= " if binds else "")
        return target + call
