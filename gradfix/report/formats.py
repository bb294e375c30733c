"""The formats for programs, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gradfix.report import Run


def _json(run: Run) -> str:
    from gradfix.report.json import as_json

    return as_json(run)


def _json_lines(run: Run) -> str:
    from gradfix.report.json import as_json_lines

    return as_json_lines(run)


def _github(run: Run) -> str:
    from gradfix.report.github import as_github

    return as_github(run)


def _gitlab(run: Run) -> str:
    from gradfix.report.gitlab import as_gitlab

    return as_gitlab(run)


def _junit(run: Run) -> str:
    from gradfix.report.junit import as_junit

    return as_junit(run)


def _sarif(run: Run) -> str:
    from gradfix.report.sarif import as_sarif

    return as_sarif(run)


#: Each format is imported when it is asked for.
MACHINE: Mapping[str, Callable[[Run], str]] = {
    "json": _json,
    "jsonl": _json_lines,
    "github": _github,
    "gitlab": _gitlab,
    "junit": _junit,
    "sarif": _sarif,
}
