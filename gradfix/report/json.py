"""The JSON of the command-line contract, and JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from gradfix import __version__
from gradfix.model import Edit, EditKind, Failure, Finding, Span
from gradfix.report import Run


def document(run: Run) -> dict[str, Any]:
    """One object for the whole run; ``findings`` holds what is left and what was fixed."""
    findings = _all_findings(run)
    result: dict[str, Any] = {
        "version": __version__,
        "summary": {
            "files": run.files,
            "findings": len(findings),
            "fixed": 0 if run.dry_run else len(run.fixed),
            "errors": len(run.failures),
        },
        "findings": [finding_object(finding) for finding in findings],
        "errors": [failure_object(failure) for failure in run.failures],
        "stale_outputs": [
            {"filename": outcome.source.filename, "cells": stale}
            for outcome in run.outcomes
            if (stale := [cell.number for cell in outcome.cells if cell.stale])
        ],
        "baselined": run.baselined,
    }
    if run.dry_run:
        result["diffs"] = [
            {"filename": filename, "diff": diff.decode("utf-8", "backslashreplace")}
            for filename, diff in run.diffs
        ]
    return result


def as_json(run: Run) -> str:
    """The document as indented JSON, in ASCII so that any terminal encoding carries it."""
    return json.dumps(document(run), indent=2) + "\n"


def as_json_lines(run: Run) -> str:
    """One object per line: every finding, then every error; ``kind`` tells them apart."""
    objects = [{"kind": "finding", **finding_object(f)} for f in _all_findings(run)]
    objects += [{"kind": "error", **failure_object(f)} for f in run.failures]
    return "".join(json.dumps(item) + "\n" for item in objects)


def statistics(rows: Iterable[tuple[str, str, int, int]]) -> str:
    """Counts per code as JSON."""
    objects = [
        {"code": code, "name": name, "count": count, "fixable": fixable}
        for code, name, count, fixable in rows
    ]
    return json.dumps(objects, indent=2) + "\n"


def finding_object(finding: Finding) -> dict[str, Any]:
    """One finding as the contract has it."""
    fix = finding.fix and {
        "applicability": finding.fix.safety.value,
        "applied": finding.applied,
        "verification": finding.verification or None,
        "title": finding.fix.title,
        "doubt": finding.fix.doubt or None,
        "edits": [_edit_object(edit) for edit in finding.fix.edits],
    }
    return {
        "code": finding.code,
        "name": finding.name,
        "filename": finding.filename,
        "cell": finding.cell,
        **_place(finding.span),
        "message": finding.message,
        "because": [
            {
                "cell": note.cell,
                "row": note.span.row,
                "column": note.span.column,
                "message": note.message,
            }
            for note in finding.because
        ],
        "help": finding.help,
        "fix": fix,
        "not_fixed_reason": finding.not_fixed_reason,
        "fingerprint": finding.fingerprint,
    }


def failure_object(failure: Failure) -> dict[str, Any]:
    """One error as the contract has it."""
    return {
        "filename": failure.filename,
        "cell": failure.cell,
        "row": failure.row,
        "message": failure.message,
    }


def _all_findings(run: Run) -> list[Finding]:
    fixed = run.fixed
    if run.dry_run:
        fixed = [replace(finding, applied=False) for finding in fixed]
    return sorted([*run.findings, *fixed], key=lambda f: (f.filename, f.cell or 0, f.span, f.code))


def _edit_object(edit: Edit) -> dict[str, Any]:
    span = edit.span
    if edit.kind is EditKind.BEFORE:  # nothing is replaced, so the range is empty
        span = Span(span.row, span.column, span.row, span.column)
    place = {"cell": edit.cell, **_place(span)}
    return {"kind": edit.kind.value, **place, "content": edit.content}


def _place(span: Span) -> dict[str, Any]:
    return {
        "location": {"row": span.row, "column": span.column},
        "end_location": {"row": span.end_row, "column": span.end_column},
    }
