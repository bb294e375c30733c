"""What the formats for CI systems share: names from the repository's root, places, severities."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from gradfix.model import Failure, Finding, Span
from gradfix.report import Run
from gradfix.repository import from_root

__all__ = ["from_root", "message", "row_of", "severity", "shown", "span", "text_of"]

_TOP = Span(1, 1, 1, 1)


def shown(run: Run) -> list[Finding]:
    """What is wrong with the files as they are now: what is left; after a dry run, everything."""
    findings = run.findings
    if run.dry_run:
        findings = [*findings, *(replace(finding, applied=False) for finding in run.fixed)]
    return sorted(
        findings,
        key=lambda finding: (finding.filename, finding.cell or 0, finding.span, finding.code),
    )


def severity(finding: Finding) -> Literal["error", "warning"]:
    """Lost gradients are errors; what gradfix says about its own comments is a warning."""
    return "warning" if finding.code.startswith("GF9") else "error"


def span(finding: Finding) -> Span:
    """Where a viewer of the file can point at: the top of it for what is in a notebook's cell."""
    return finding.span if finding.cell is None else _TOP


def message(finding: Finding) -> str:
    """The message, with the place in the notebook where `span` cannot tell it."""
    if finding.cell is None:
        return finding.message
    return f"cell {finding.cell}:{finding.span.row}:{finding.span.column}: {finding.message}"


def row_of(failure: Failure) -> int:
    """The row of the file that an error stands at: the first for what is in a notebook's cell."""
    return failure.row or 1 if failure.cell is None else 1


def text_of(failure: Failure) -> str:
    """What an error says, with the place in the notebook where `row_of` cannot tell it."""
    if failure.cell is None:
        return failure.message
    return f"cell {failure.cell}:{failure.row or 1}: {failure.message}"
