"""The public vocabulary: what gradfix says about a source file. All types are frozen and pickle."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace


class Safety(enum.Enum):
    """How much a rewrite can be trusted; see ``docs/architecture.md`` for the definitions."""

    SAFE = "safe"
    UNSAFE = "unsafe"
    MANUAL = "manual"


class Values(enum.Enum):
    """What a rewrite promises about the values that the code computes, where it ran before."""

    SAME = "same"  # bit for bit, with the same shapes and dtypes
    CLOSE = "close"  # up to rounding; a Python number may become a tensor of one element
    CHANGED = "changed"  # other values, or other gradients, are the purpose of the fix


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A half-open range of source text; rows and columns are 1-based, columns count characters."""

    row: int
    column: int
    end_row: int
    end_column: int


class EditKind(enum.Enum):
    """What an edit does to the syntax node at its span."""

    REPLACE = "replace"  # an expression, by another expression
    STATEMENT = "statement"  # one whole statement, by zero or more statements
    BEFORE = "before"  # new statements in front of the statement at the span


@dataclass(frozen=True, slots=True)
class Edit:
    """One change to one syntax node, found by its exact span.

    ``content`` is code: for ``REPLACE`` an expression, otherwise statements at indentation zero
    (the rewriter indents them). Empty content with ``STATEMENT`` removes the statement.
    """

    kind: EditKind
    span: Span
    content: str
    cell: int | None = None


@dataclass(frozen=True, slots=True)
class Fix:
    """All edits that together mend one finding; they are applied together or not at all.

    ``doubt`` says in a clause what is not proven of an unsafe fix. ``assumes`` says that the fix
    rests on recorded facts; no configuration makes such a fix safe.

    Raises ValueError where an unsafe fix does not say why it is one.
    """

    safety: Safety
    title: str
    edits: tuple[Edit, ...]
    values: Values = Values.SAME
    assumes: bool = False
    doubt: str = ""

    def __post_init__(self) -> None:
        if self.safety is Safety.UNSAFE and not self.doubt:
            raise ValueError(f"the unsafe fix {self.title!r} does not say what is not proven")

    @classmethod
    def of(
        cls, title: str, edits: tuple[Edit, ...], doubt: str = "", values: Values = Values.SAME
    ) -> Fix:
        """A fix that is safe unless there is a doubt about it."""
        return cls(Safety.UNSAFE if doubt else Safety.SAFE, title, edits, values, doubt=doubt)

    def doubted(self, doubt: str) -> Fix:
        """The same fix, unsafe for a reason; what is doubted already keeps its own."""
        if self.safety is not Safety.SAFE or not doubt:
            return self
        return replace(self, safety=Safety.UNSAFE, doubt=doubt)


@dataclass(frozen=True, slots=True)
class Note:
    """One step of the story behind a finding, at its own place in the source."""

    span: Span
    message: str
    cell: int | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault: where it is, why it is one, and the fix or the reason there is none.

    Codemods leave ``filename``, ``cell`` and ``fingerprint`` empty; the engine fills them in.
    Exactly one of ``fix`` and ``not_fixed_reason`` is set, except that a fix which verification did
    not accept is kept beside the reason. ``verification`` is what verification said about a fix
    that was applied, empty where nobody asked.
    """

    code: str
    name: str
    span: Span
    message: str
    because: tuple[Note, ...] = ()
    help: str = ""
    fix: Fix | None = None
    not_fixed_reason: str | None = None
    filename: str = ""
    cell: int | None = None
    fingerprint: str = ""
    applied: bool = False
    verification: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """A source that could not be processed, and why, in one line."""

    filename: str
    message: str
    row: int | None = None
    cell: int | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """A code cell of a notebook; ``number`` counts all of its cells from 1, as ruff does.

    ``stale`` says that its stored outputs are older than a change of it or of a cell before it.
    """

    number: int
    before: str
    text: str
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """One unit of work: decoded text (newlines as in the file) and the path to report it under.

    ``place`` is what fingerprints are made of: a path that is the same from wherever gradfix is
    started; ``filename`` where it is empty.
    """

    filename: str
    text: str
    place: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one source.

    ``text`` is the new text (equal to the source's when nothing changed). ``findings`` holds what
    is left, with positions in ``text`` before the rewrite for ``check`` and after it for ``apply``;
    ``fixed`` holds what was rewritten, with positions in the text it was found in, which is
    ``found_in`` at the same index (rewriting takes several rounds).

    Where there are ``cells``, ``text`` is the program that they make up, and all positions are in
    the cell that goes with them.
    """

    source: Source
    text: str
    findings: tuple[Finding, ...] = ()
    fixed: tuple[Finding, ...] = ()
    failures: tuple[Failure, ...] = field(default=())
    found_in: tuple[str, ...] = ()
    cells: tuple[Cell, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether the rewrite produced different text."""
        return self.text != self.source.text
