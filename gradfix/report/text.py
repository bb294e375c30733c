"""Text for people: findings with their source lines and story, summaries, statistics."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gradfix.lines import bare, split_lines
from gradfix.model import Failure, Finding, Outcome, Safety, Span
from gradfix.report import Run

_MAX_WIDTH = 160
_VISIBLE: dict[int, str] = {code: chr(0x2400 + code) for code in range(32)}
_VISIBLE |= {127: "\u2421", 9: "    "}


@dataclass(frozen=True, slots=True)
class Style:
    """Colours, or none."""

    enabled: bool = False

    def bold(self, text: str) -> str:
        """For what the eye should find first."""
        return self._wrap("1", text)

    def red(self, text: str) -> str:
        """For faults."""
        return self._wrap("1;31", text)

    def blue(self, text: str) -> str:
        """For the frame around source lines."""
        return self._wrap("34", text)

    def cyan(self, text: str) -> str:
        """For fixes and help."""
        return self._wrap("36", text)

    def _wrap(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.enabled else text


def full(run: Run, style: Style) -> str:
    """Every finding left, with its source lines, its story and what can be done."""
    blocks = []
    for outcome in run.outcomes:
        texts = {cell.number: cell.text for cell in outcome.cells}
        lines_of = {
            cell: split_lines(outcome.text if cell is None else texts.get(cell, ""))
            for finding in outcome.findings
            for cell in (finding.cell, *(note.cell for note in finding.because))
        }
        blocks += [_block(finding, lines_of, style) for finding in outcome.findings]
    return "".join(block + "\n" for block in blocks)


def concise(run: Run, style: Style) -> str:
    """Every finding left, one line each."""
    return "".join(_headline(finding, style) + "\n" for finding in run.findings)


def failure_line(failure: Failure, style: Style) -> str:
    """One line about a file that could not be processed."""
    cell = f":cell {failure.cell}" if failure.cell else ""
    row = f"{cell}:{failure.row}" if failure.row else cell
    return f"{style.bold(failure.filename + row)}: {style.red('error')}: {failure.message}"


def stale_line(outcome: Outcome, *, dry_run: bool) -> str:
    """Which outputs that a notebook holds are older than its code now; empty if none is."""
    stale = [str(cell.number) for cell in outcome.cells if cell.stale]
    if not stale:
        return ""
    which = f"cell {stale[0]}" if len(stale) == 1 else f"cells {', '.join(stale)}"
    older = "would be older" if dry_run else "are older"
    return (
        f"{outcome.source.filename}: the stored outputs of {which} {older} than the code"
        f"{'' if dry_run else '; run the notebook again'}"
    )


def fixed_lines(run: Run) -> str:
    """What was fixed, file by file."""
    verb = "Would fix" if run.dry_run else "Fixed"
    text = ""
    for outcome in run.outcomes:
        if outcome.fixed:
            text += f"{verb} in {outcome.source.filename}:\n"
        for finding in outcome.fixed:
            title = finding.fix.title if finding.fix else ""
            cell = f"cell {finding.cell}:" if finding.cell else ""
            text += f"    {cell}{finding.span.row}: {finding.code} {finding.name}: {title}\n"
    return text


def statistics_rows(run: Run) -> list[tuple[str, str, int, int]]:
    """Code, name, count and how many of them are safe to fix, the most frequent first."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in run.findings:
        groups.setdefault((finding.code, finding.name), []).append(finding)
    rows = [
        (code, name, len(found), sum(_safety(f) is Safety.SAFE for f in found))
        for (code, name), found in groups.items()
    ]
    return sorted(rows, key=lambda row: (-row[2], row[0]))


def statistics(run: Run) -> str:
    """Counts per code, for people."""
    return "".join(
        f"{count}\t{code}\t[{'*' if fixable else ' '}] {name}\n"
        for code, name, count, fixable in statistics_rows(run)
    )


def summary(run: Run) -> str:
    """What the run comes to, in a line or two."""
    parts = []
    if run.rewriting and run.fixed:
        verb = "Would fix" if run.dry_run else "Fixed"
        files = _count(run.changed_files, "file")
        parts.append(f"{verb} {_count(len(run.fixed), 'finding')} in {files}.")
    if run.verified_files or run.unverified_files or run.refused_files:
        counts = (
            (run.verified_files, "verified"),
            (run.unverified_files, "not verified"),
            (run.refused_files, "refused"),
        )
        parts.append(f"Verification: {', '.join(f'{n} {what}' for n, what in counts if n)}.")
    if run.findings:
        verb = "Left" if run.rewriting else "Found"
        parts.append(f"{verb} {_count(len(run.findings), 'finding')}{_fixable(run)}.")
    elif not run.failures and not run.fixed:
        new = " new" if run.baselined else ""
        parts.append(f"Nothing{new} found in {_count(run.files, 'file')}.")
    if run.baselined:
        are = "is" if run.baselined == 1 else "are"
        parts.append(f"{_count(run.baselined, 'finding')} {are} in the baseline.")
    if run.failures:
        parts.append(f"{_count(len(run.failures), 'error')}.")
    return " ".join(parts) + "\n"


def _fixable(run: Run) -> str:
    kinds = [_safety(f) for f in run.findings if f.not_fixed_reason is None]
    parts = []
    if safe := kinds.count(Safety.SAFE):
        parts.append(f"{safe} fixable with `gradfix apply`")
    if unsafe := kinds.count(Safety.UNSAFE):
        how = "`--unsafe-fixes`" if safe else "`gradfix apply --unsafe-fixes`"
        parts.append(f"{unsafe} {'' if safe else 'fixable '}with {how}")
    return f" ({', '.join(parts)})" if parts else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _safety(finding: Finding) -> Safety | None:
    return finding.fix.safety if finding.fix and finding.fix.edits else None


def _headline(finding: Finding, style: Style) -> str:
    cell = f":cell {finding.cell}" if finding.cell else ""
    place = f"{finding.filename}{cell}:{finding.span.row}:{finding.span.column}:"
    mark = style.cyan("[*] ") if _safety(finding) is Safety.SAFE else ""
    return f"{style.bold(place)} {style.red(finding.code)} {mark}{finding.message}"


def _block(finding: Finding, lines_of: Mapping[int | None, Sequence[str]], style: Style) -> str:
    rows = [finding.span.row, *(note.span.row for note in finding.because)]
    width = len(str(max(rows)))
    out = [_headline(finding, style), style.blue(" " * width + " |")]
    out += _excerpt(finding.span, lines_of[finding.cell], width, style)
    out.append(style.blue(" " * width + " |"))
    shown = finding.cell, finding.span.row
    for note in finding.because:
        where = f"line {note.span.row}"
        if note.cell is not None:
            where = f"cell {note.cell}, {where}"
        out.append(f"{' ' * width} {style.blue('=')} because: {where}: {note.message}")
        if (note.cell, note.span.row) != shown:  # the line above needs no second showing
            out += [*_excerpt(note.span, lines_of[note.cell], width, style)][:1]
        shown = note.cell, note.span.row
    for label, text in _advice(finding):
        out.append(f"{' ' * width} {style.blue('=')} {style.cyan(label)}: {text}")
    return "\n".join(out) + "\n"


def _advice(finding: Finding) -> Iterator[tuple[str, str]]:
    if finding.help:
        yield "help", finding.help
    if finding.not_fixed_reason is not None:
        yield "not fixed", finding.not_fixed_reason
    elif _safety(finding) is Safety.UNSAFE:
        assert finding.fix is not None
        yield "not fixed", f"{finding.fix.doubt}; `--unsafe-fixes` applies the fix all the same"
    elif _safety(finding) is Safety.MANUAL:
        yield "not fixed", "this needs a person to decide"


def _excerpt(span: Span, lines: Sequence[str], width: int, style: Style) -> Iterator[str]:
    """The span's first line and a row of carets under it."""
    if not 0 < span.row <= len(lines):
        return
    line = bare(lines[span.row - 1])
    start = min(span.column - 1, len(line))
    end = span.end_column - 1 if span.end_row == span.row else len(line)
    begin = max(0, start - _MAX_WIDTH // 2) if len(line) > _MAX_WIDTH else 0
    cut = line[begin : begin + _MAX_WIDTH]
    end = min(max(end, start + 1), begin + _MAX_WIDTH)
    number = style.blue(f"{span.row:>{width}} |")
    yield f"{number} {_visible(cut)}".rstrip()
    gap = " " * _columns(cut[: start - begin])
    carets = "^" * max(1, _columns(cut[start - begin : end - begin]))
    yield style.blue(" " * width + " |") + f" {gap}{style.red(carets)}"


def _visible(text: str) -> str:
    """Control characters made visible: source text must not drive the reader's terminal."""
    return text.translate(_VISIBLE)


def _columns(text: str) -> int:
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    marks = sum(unicodedata.combining(character) != 0 for character in text)
    return len(_visible(text)) + wide - marks
