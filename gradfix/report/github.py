"""GitHub workflow commands: one annotation per finding and per error.

The format: https://docs.github.com/actions/reference/workflow-commands-for-github-actions
"""

from __future__ import annotations

from gradfix.report import Run
from gradfix.report.places import from_root, message, row_of, severity, shown, span, text_of


def as_github(run: Run) -> str:
    """One line per annotation; files are named from the repository's root."""
    lines = []
    for finding in shown(run):
        at = span(finding)
        place: dict[str, object] = {
            "title": f"gradfix ({finding.code})",
            "file": from_root(finding.filename),
            "line": at.row,
        }
        if at.row == at.end_row:  # GitHub drops columns of ranges over several lines
            place |= {"col": at.column, "endLine": at.end_row, "endColumn": at.end_column}
        else:
            place["endLine"] = at.end_row
        lines.append(_command(severity(finding), place, f"{finding.code} {message(finding)}"))
    for failure in run.failures:
        place = {
            "title": "gradfix",
            "file": from_root(failure.filename),
            "line": row_of(failure),
        }
        lines.append(_command("error", place, text_of(failure)))
    return "".join(line + "\n" for line in lines)


def _command(level: str, place: dict[str, object], text: str) -> str:
    pairs = ",".join(f"{key}={_escaped(str(value), ',:')}" for key, value in place.items())
    return f"::{level} {pairs}::{_escaped(text)}"


def _escaped(value: str, also: str = "") -> str:
    for character in "%\r\n" + also:
        value = value.replace(character, f"%{ord(character):02X}")
    return value
