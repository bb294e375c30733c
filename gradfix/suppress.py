"""Suppression comments: which findings they silence, and which of them silence nothing.

NOTE: a comment speaks for its *logical line*, that is, for all rows of a simple statement and for
the header of a compound one. The tokenizer knows these rows without a syntax tree.
"""

from __future__ import annotations

import bisect
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from gradfix import rules
from gradfix.errors import SourceError
from gradfix.lines import bare, split_lines
from gradfix.model import Finding, Span

_MENTION = re.compile(r"noqa|gradfix:", re.IGNORECASE)
_NOQA = re.compile(
    r"#\s*noqa\b(?:\s*:\s*(?P<codes>[A-Z]+[0-9]+(?:(?:\s*,\s*|\s+)[A-Z]+[0-9]+)*))?", re.IGNORECASE
)
_OURS = re.compile(
    r"#\s*gradfix:\s*(?P<kind>file-ignore|ignore)\b(?:\s*\[(?P<codes>[^\]]*)\])?", re.IGNORECASE
)
_WORD = re.compile(r"[^\s,]+")


@dataclass(slots=True)
class _Code:
    """One code written in a comment; ``None`` in ``text`` means every code."""

    text: str | None
    span: Span
    first_row: int
    last_row: int
    used: bool = field(default=False)

    def silences(self, finding: Finding) -> bool:
        in_rows = self.first_row <= finding.span.row <= self.last_row
        return in_rows and (self.text is None or self._means(finding.code, finding.name))

    def aims_at(self, codes: frozenset[str]) -> bool:
        """Whether it names one of ``codes`` that it is possible to leave unused."""
        meant = rules.matching(self.text or "") | {c for c in codes if self._means(c, "")}
        return bool((meant & codes) - {rules.UNUSED_CODE})

    def _means(self, code: str, name: str) -> bool:
        wanted = (self.text or "").upper()
        return (wanted.startswith("GF") and code.startswith(wanted)) or wanted == name.upper()


class _ByRow:
    """The codes that may silence something in a row, found without looking at all of them.

    Those of one text speak for logical lines, which do not overlap, or for the whole file.
    """

    def __init__(self, entries: Iterable[_Code]) -> None:
        self._lines: dict[tuple[int, int], list[tuple[int, _Code]]] = {}
        for at, entry in enumerate(entries):
            self._lines.setdefault((entry.first_row, entry.last_row), []).append((at, entry))
        rows = sorted(line for line in self._lines if line[0] > 1)
        self._everywhere = [line for line in self._lines if line[0] <= 1]
        self._rows, self._first = rows, [first for first, _ in rows]

    def silencing(self, finding: Finding) -> list[_Code]:
        """The codes that silence a finding, in the order of the text."""
        at = bisect.bisect_right(self._first, finding.span.row) - 1
        lines = [*self._everywhere, *self._rows[max(at, 0) : at + 1]]
        found = [pair for line in lines for pair in self._lines[line] if pair[1].silences(finding)]
        return [entry for _, entry in sorted(found, key=lambda pair: pair[0])]


@dataclass(frozen=True, slots=True)
class Suppressions:
    """The suppression comments of one text."""

    entries: tuple[_Code, ...]

    def filter(self, findings: list[Finding]) -> list[Finding]:
        """The findings that no comment silences; remembers which comments were of use."""
        kept, by_row = [], _ByRow(self.entries)
        for finding in findings:
            silencing = by_row.silencing(finding)
            for entry in silencing:
                entry.used = True
            if not silencing:
                kept.append(finding)
        return kept

    def unused(self, selected: frozenset[str]) -> list[Finding]:
        """A GF900 finding for every code that silenced nothing, unless it is silenced itself."""
        if rules.UNUSED_CODE not in selected:
            return []
        found = []
        for entry in self.entries:
            if entry.used or entry.text is None or not entry.aims_at(selected):
                continue
            found.append(
                Finding(
                    rules.UNUSED_CODE,
                    rules.UNUSED_NAME,
                    entry.span,
                    f"the suppression of {entry.text} suppresses nothing",
                    help="remove the code, or the whole comment if it names no other",
                    not_fixed_reason="comments are left to their authors",
                )
            )
        by_row = _ByRow(self.entries)
        return [f for f in found if not by_row.silencing(f)]


def suppressions(text: str) -> Suppressions:
    """Read the suppression comments of one text. Raises SourceError if it cannot be tokenized."""
    if not _MENTION.search(text):
        return Suppressions(())
    entries: list[_Code] = []
    waiting: list[tuple[int, int, str]] = []  # comments of the logical line being read
    start: int | None = None
    rows = text.count("\n") + text.count("\r") + 1
    for token in _tokens(text):
        if token.type == tokenize.COMMENT and _MENTION.search(token.string):
            waiting.append((*token.start, token.string))
        if token.type in (tokenize.NEWLINE, tokenize.ENDMARKER):
            for row, column, comment in waiting:
                # A comment on a line of its own before the statement speaks for nothing but itself.
                first, last = (start, token.end[0]) if start and start <= row else (row, row)
                entries += _parse(comment, row, column, first, last, rows)
            waiting, start = [], None
        elif start is None and token.type not in _NOT_CODE:
            start = token.start[0]
    return Suppressions(tuple(entries))


def comments(text: str) -> list[str]:
    """The comments of one text. Raises SourceError if it cannot be tokenized."""
    if "#" not in text:
        return []
    return [token.string for token in _tokens(text) if token.type == tokenize.COMMENT]


_NOT_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING}


def _tokens(text: str) -> Iterator[tokenize.TokenInfo]:
    # CPython reads every kind of newline as LF; its pure tokenizer does not.
    normal = "".join(bare(line) + "\n" for line in split_lines(text))
    try:
        yield from tokenize.generate_tokens(io.StringIO(normal).readline)
    except (tokenize.TokenError, SyntaxError) as error:
        raise SourceError(f"cannot be tokenized: {error.args[0]}") from error


def _parse(
    comment: str, row: int, column: int, first: int, last: int, rows: int
) -> Iterator[_Code]:
    for match in (*_OURS.finditer(comment), *_NOQA.finditer(comment)):
        ours = match.re is _OURS
        reach = (1, rows) if ours and match["kind"].lower() == "file-ignore" else (first, last)
        if match["codes"] is None:
            whole = Span(row, column + match.start() + 1, row, column + match.end() + 1)
            yield _Code(None, whole, *reach)
            continue
        offset = column + match.start("codes") + 1
        for word in _WORD.finditer(match["codes"]):
            name = word[0]
            if ours or name.upper().startswith("GF"):
                span = Span(row, offset + word.start(), row, offset + word.end())
                yield _Code(name, span, *reach)
