"""GitLab's code quality report.

The format: https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from gradfix.report import Run
from gradfix.report.places import from_root, message, row_of, severity, shown, span, text_of

_SEVERITY = {"error": "major", "warning": "minor"}


def as_gitlab(run: Run) -> str:
    """A JSON array with one object per finding and per error; every fingerprint is there once."""
    issues: list[dict[str, Any]] = []
    for finding in shown(run):
        at = span(finding)
        issues.append(
            {
                "description": f"{finding.code} {message(finding)}",
                "check_name": finding.code,
                "fingerprint": finding.fingerprint,
                "severity": _SEVERITY[severity(finding)],
                "location": {
                    "path": from_root(finding.filename),
                    "lines": {"begin": at.row, "end": at.end_row},
                },
            }
        )
    for failure in run.failures:
        path = from_root(failure.filename)
        issues.append(
            {
                "description": text_of(failure),
                "check_name": "error",
                "fingerprint": _digest(path, text_of(failure)),
                "severity": "blocker",
                "location": {"path": path, "lines": {"begin": row_of(failure)}},
            }
        )
    _tell_apart(issues)
    return json.dumps(issues, indent=2) + "\n"


def _tell_apart(issues: list[dict[str, Any]]) -> None:
    """GitLab shows only one of several issues with the same fingerprint."""
    seen: dict[str, int] = {}
    for issue in issues:
        fingerprint = issue["fingerprint"]
        seen[fingerprint] = seen.get(fingerprint, 0) + 1
        if seen[fingerprint] > 1:
            issue["fingerprint"] = _digest(fingerprint, str(seen[fingerprint]))


def _digest(*parts: str) -> str:
    data = "\0".join(parts).encode("utf-8", "backslashreplace")
    return hashlib.sha256(data).hexdigest()[:16]
