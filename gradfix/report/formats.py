"""The formats for programs, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gradfix.report import Run
from gradfix.report.github import as_github
from gradfix.report.gitlab import as_gitlab
from gradfix.report.json import as_json, as_json_lines
from gradfix.report.junit import as_junit
from gradfix.report.sarif import as_sarif

MACHINE: Mapping[str, Callable[[Run], str]] = {
    "json": as_json,
    "jsonl": as_json_lines,
    "github": as_github,
    "gitlab": as_gitlab,
    "junit": as_junit,
    "sarif": as_sarif,
}
