"""SARIF 2.1.0, the format of GitHub code scanning and of many editors.

The standard: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html. Files are named from
the repository's root (``%SRCROOT%``), never by where they happen to lie on this machine.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gradfix import __version__, rules
from gradfix.model import Failure, Finding, Safety, Span
from gradfix.report import Run
from gradfix.report.places import from_root, message, row_of, severity, shown, span, text_of

_ROOT = "%SRCROOT%"
_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"

Object = dict[str, Any]


def as_sarif(run: Run) -> str:
    """One SARIF run: the rules that found something, their results, and errors as notifications."""
    findings = shown(run)
    codes = sorted({finding.code for finding in findings})
    index = {code: number for number, code in enumerate(codes)}
    # After a dry run positions are those of a text that was not written: no fix is offered there.
    texts = {
        outcome.source.filename: outcome.text
        for outcome in run.outcomes
        if not (run.dry_run and outcome.changed)
    }
    result = {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "gradfix",
                        "version": __version__,
                        "rules": [_rule(r) for r in rules.rules() if r.code in index],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "originalUriBaseIds": {
                    _ROOT: {"description": {"text": "The root of the repository."}}
                },
                "invocations": [
                    {
                        "executionSuccessful": not run.failures,
                        "toolExecutionNotifications": [_notification(f) for f in run.failures],
                    }
                ],
                "results": [_result(f, index, texts.get(f.filename)) for f in findings],
            }
        ],
    }
    return json.dumps(result, indent=2) + "\n"


def _rule(rule: rules.Rule) -> Object:
    kind = "warning" if rule.code.startswith("GF9") else "error"
    return {
        "id": rule.code,
        "name": rule.name,
        "shortDescription": {"text": rule.summary},
        "fullDescription": {"text": rule.summary},
        "help": {"text": rule.manual, "markdown": rule.manual},
        "defaultConfiguration": {"level": kind},
        "properties": {
            "tags": ["pytorch", "autograd"],
            "problem.severity": kind,
            "page": rule.page,
        },
    }


def _result(finding: Finding, index: Mapping[str, int], text: str | None) -> Object:
    result: Object = {
        "ruleId": finding.code,
        "ruleIndex": index[finding.code],
        "level": severity(finding),
        "message": {"text": message(finding)},
        "locations": [_location(finding.filename, span(finding))],
        # GitHub reads the first key only; the second says how it was made.
        "partialFingerprints": {
            "primaryLocationLineHash": finding.fingerprint,
            "gradfix/v1": finding.fingerprint,
        },
    }
    if finding.because and finding.cell is None:
        result["relatedLocations"] = [
            {"id": number, **_location(finding.filename, note.span, note.message)}
            for number, note in enumerate(finding.because, start=1)
        ]
    if text is not None and finding.cell is None:
        fixes = _fixes(finding, text)
        if fixes:
            result["fixes"] = fixes
    return result


def _fixes(finding: Finding, text: str) -> list[Object]:
    """The fix as SARIF has it, if a program may make it."""
    fix = finding.fix
    if fix is None or fix.safety is Safety.MANUAL:
        return []
    from gradfix.report.replacements import replacements  # brings LibCST

    changes = [
        {"deletedRegion": _region(change.span), "insertedContent": {"text": change.text}}
        for change in replacements(text, fix)
    ]
    if not changes:
        return []
    doubt = "" if fix.safety is Safety.SAFE else f" (not proven right: {fix.doubt})"
    return [
        {
            "description": {"text": fix.title + doubt},
            "artifactChanges": [
                {"artifactLocation": _artifact(finding.filename), "replacements": changes}
            ],
        }
    ]


def _notification(failure: Failure) -> Object:
    row = row_of(failure)
    return {
        "level": "error",
        "message": {"text": text_of(failure)},
        "locations": [_location(failure.filename, Span(row, 1, row, 1))],
    }


def _location(filename: str, at: Span, text: str | None = None) -> Object:
    place = {"artifactLocation": _artifact(filename), "region": _region(at)}
    location: Object = {"physicalLocation": place}
    return location if text is None else {**location, "message": {"text": text}}


def _region(at: Span) -> Object:
    return {
        "startLine": at.row,
        "startColumn": at.column,
        "endLine": at.end_row,
        "endColumn": at.end_column,
    }


def _artifact(filename: str) -> Object:
    name = from_root(filename)
    if name.startswith("../") or os.path.isabs(name):  # no part of the repository
        return {"uri": Path(os.path.abspath(filename)).as_uri()}
    return {"uri": quote(name), "uriBaseId": _ROOT}
