"""Notebooks: the cells are one program, a fix stays within one cell, findings say which.

The program is checked and rewritten as any other text; before that its cells are put together, and
afterwards they are taken apart. A cell that does not parse is a failure of its own, and what it may
do is unknown to the analysis of the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from gradfix import engine, registry
from gradfix.codemod import Codemod
from gradfix.config import Settings
from gradfix.errors import SourceError
from gradfix.flow import ModuleFlow, View
from gradfix.model import Cell, Failure, Finding, Fix, Outcome, Source, Span
from gradfix.notebook import program
from gradfix.notebook.stored import StoredNotebook, read_stored
from gradfix.repository import from_root

__all__ = ["Notebook"]

_A_LINE = re.compile(r"(?<!, )\bline (\d+)")  # "in other.py, line 3" is in no cell
_SPANS_CELLS = "the fix would change several cells of the notebook, which may be run on their own"
_NOT_PYTHON = "the fix would change a line that is not Python"


class Notebook:
    """A notebook's cells as one program, which ``text`` is.

    ``stored`` is None for cells that are in no file. Raises SourceError for a cell that cannot be
    told from what gradfix puts between cells.
    """

    def __init__(
        self, sources: Iterable[tuple[int, str]], stored: StoredNotebook | None = None
    ) -> None:
        self._program = program.build(sources)
        self._stored = stored
        self.text = self._program.text
        self.raw = stored.raw if stored is not None else b""

    @classmethod
    def read(cls, raw: bytes) -> Notebook:
        """The notebook that a file holds. Raises SourceError if it holds none."""
        stored = read_stored(raw)
        return cls([(cell.number, cell.source) for cell in stored.cells], stored)

    def encode(self, text: str) -> bytes:
        """The file with the cells of a rewritten program. Raises SourceError."""
        sources = self._program.sources(text)
        return self._stored.with_sources(sources) if self._stored is not None else b""

    # -- the engine's work ----------------------------------------------------------------------

    def check(
        self, filename: str, settings: Settings, view: View | None = None, place: str = ""
    ) -> Outcome:
        """As `gradfix.engine.check`, with positions in cells."""
        source = self._source(filename, place)
        return self._placed(engine.check(source, settings, self._codemods(), view))

    def fix(
        self, filename: str, settings: Settings, view: View | None = None, place: str = ""
    ) -> Outcome:
        """As `gradfix.engine.fix`, with positions in cells.

        A cell that was formatted with black is so afterwards. Raises SourceError if the rewritten
        program does not come apart into the cells it was made of.
        """
        source, codemods = self._source(filename, place), self._codemods()
        outcome = engine.fix(source, settings, codemods, view)
        tidy = self._formatted(outcome.text, settings) if outcome.changed else outcome.text
        if tidy != outcome.text:
            again = engine.check(replace(source, text=tidy), settings, codemods, view)
            outcome = replace(outcome, text=tidy, findings=again.findings)
        return self._placed(outcome)

    def without_fixes(
        self,
        filename: str,
        settings: Settings,
        trouble: str,
        view: View | None = None,
        place: str = "",
    ) -> Outcome:
        """As `gradfix.engine.without_fixes`, with positions in cells."""
        source, codemods = self._source(filename, place), self._codemods()
        return self._placed(engine.without_fixes(source, settings, trouble, codemods, view))

    def _source(self, filename: str, place: str) -> Source:
        """The program; ``place`` where the working folder does not tell it."""
        return Source(filename, self.text, place or from_root(filename))

    def _codemods(self) -> list[Codemod]:
        return [_WithinCells(kind(), self._program) for kind in registry.codemods()]

    def _formatted(self, text: str, settings: Settings) -> str:
        sources = self._program.sources(text)
        if not (tidy := self._tidied(sources, settings)):
            return text
        rebuilt = program.build({**sources, **tidy}.items()).text
        try:
            self._program.sources(rebuilt)
        except SourceError:  # what a line that is not Python may read has become less
            return text
        return rebuilt

    def _tidied(self, sources: dict[int, str], settings: Settings) -> dict[int, str]:
        """The sources that formatting changes."""
        tidy = {}
        for cell in self._program.cells:
            new = sources[cell.number]
            if new != cell.source:
                formatted = program.formatted(cell, cell.source, new, settings.black)
                if formatted != new:
                    tidy[cell.number] = formatted
        return tidy

    # -- places -----------------------------------------------------------------------------------

    def _placed(self, outcome: Outcome) -> Outcome:
        """The outcome with positions in cells, and what is wrong with single cells."""
        name = outcome.source.filename
        unparsed = tuple(
            Failure(name, trouble[0], trouble[1], cell.number)
            for cell in self._program.cells
            if (trouble := cell.body.trouble) is not None
        )
        fixed = zip(outcome.fixed, outcome.found_in, strict=True)
        return replace(
            outcome,
            findings=tuple(_in_cell(finding, outcome.text) for finding in outcome.findings),
            fixed=tuple(_in_cell(finding, text) for finding, text in fixed),
            failures=unparsed + tuple(_failure(f, outcome.text) for f in outcome.failures),
            cells=self._cells(outcome.text),
        )

    def _cells(self, text: str) -> tuple[Cell, ...]:
        sources = self._program.sources(text)
        outputs = {c.number for c in self._stored.cells if c.has_outputs} if self._stored else set()
        cells, changed = [], False
        for cell in self._program.cells:
            number, new = cell.number, sources[cell.number]
            changed = changed or new != cell.source
            cells.append(Cell(number, cell.source, new, stale=changed and number in outputs))
        return tuple(cells)


class _WithinCells(Codemod):
    """A codemod whose fixes each stay within one cell, and touch nothing that is not Python."""

    code = ""
    trigger = re.compile("")

    def __init__(self, codemod: Codemod, cells: program.Program) -> None:
        super().__init__()
        self._codemod, self._program = codemod, cells
        for name in ("code", "trigger", "mentions", "modernises"):
            setattr(self, name, getattr(codemod, name))

    def find(self, flow: ModuleFlow) -> Iterator[Finding]:
        """What the codemod finds, without the fixes that a notebook does not allow."""
        for finding in self._codemod.find(flow):
            why_not = self._why_not(finding.fix, flow.text) if finding.fix else None
            if why_not is not None:
                finding = replace(finding, fix=None, not_fixed_reason=why_not)
            if not self._program.is_masked(flow.text, finding.span.row):
                yield finding

    def _why_not(self, fix: Fix, text: str) -> str | None:
        rows = {row for edit in fix.edits for row in (edit.span.row, edit.span.end_row)}
        if len({program.place(text, row)[0] for row in rows}) > 1:
            return _SPANS_CELLS
        if any(self._program.is_masked(text, row) for row in rows):
            return _NOT_PYTHON
        return None


def _in_cell(finding: Finding, text: str) -> Finding:
    """A finding in a program, with every place and every line it names in its cell."""
    cell, span = _span(finding.span, text)
    say = partial(_renumbered, text=text, cell=cell)
    fix = finding.fix
    if fix is not None:
        places = [_span(edit.span, text) for edit in fix.edits]
        edits = [replace(e, span=s, cell=c) for e, (c, s) in zip(fix.edits, places, strict=True)]
        fix = replace(fix, title=say(fix.title), edits=tuple(edits))
    notes: Sequence[tuple[int, Span]] = [_span(note.span, text) for note in finding.because]
    because = tuple(
        replace(note, span=s, message=say(note.message), cell=c)
        for note, (c, s) in zip(finding.because, notes, strict=True)
    )
    reason = finding.not_fixed_reason
    return replace(
        finding,
        span=span,
        cell=cell,
        message=say(finding.message),
        help=say(finding.help),
        because=because,
        fix=fix,
        not_fixed_reason=reason and say(reason),
    )


def _span(span: Span, text: str) -> tuple[int, Span]:
    cell, row = program.place(text, span.row)
    return cell, replace(span, row=row, end_row=row + span.end_row - span.row)


def _failure(failure: Failure, text: str) -> Failure:
    if failure.row is None or failure.row < 2:
        return failure
    cell, row = program.place(text, failure.row)
    return replace(failure, row=row, cell=cell)


def _renumbered(message: str, text: str, cell: int) -> str:
    """A message that names lines of the program, with lines of cells."""

    def line(match: re.Match[str]) -> str:
        where, row = program.place(text, int(match[1]))
        return f"line {row}" if where == cell else f"line {row} of cell {where}"

    # What stands between backquotes is the user's code.
    parts = message.split("`")
    return "`".join(part if i % 2 else _A_LINE.sub(line, part) for i, part in enumerate(parts))
