"""How results are shown: for people (full, concise) and for programs (json)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gradfix import __version__
from gradfix.model import Failure
from gradfix.verify.results import (
    FAILED,
    NOT_VERIFIED,
    PASSED,
    Blame,
    ParameterResult,
    TargetResult,
)

_WORDS = {PASSED: "passed", FAILED: "failed", NOT_VERIFIED: "not verified"}
_COLOURS = {PASSED: "32", FAILED: "1;31", NOT_VERIFIED: "33"}


@dataclass(slots=True)
class Report:
    """Everything one run of ``gradfix verify`` found out."""

    results: list[TargetResult] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def count(self, status: str) -> int:
        """How many targets have this status."""
        return sum(result.status == status for result in self.results)

    def exit_code(self, *, allow_unverified: bool = False) -> int:
        """2 for errors, over 1 for a failed Parameter, over 3 for what could not be verified."""
        if self.failures:
            return 2
        if self.count(FAILED):
            return 1
        return 3 if self.count(NOT_VERIFIED) and not allow_unverified else 0


def as_json(report: Report) -> str:
    """The document of the command-line contract, in ASCII."""
    document: dict[str, Any] = {
        "version": __version__,
        "summary": {
            "passed": report.count(PASSED),
            "failed": report.count(FAILED),
            "not_verified": report.count(NOT_VERIFIED),
            "errors": len(report.failures),
        },
        "targets": [result.to_json() for result in report.results],
        "errors": [
            {"filename": f.filename, "row": f.row, "message": f.message} for f in report.failures
        ],
    }
    return json.dumps(document, indent=2) + "\n"


def concise(results: Sequence[TargetResult], *, colour: bool = False) -> str:
    """One line per target that did not pass, and one per Parameter that explains it."""
    lines = []
    for result in results:
        if result.status == PASSED:
            continue
        shown = _troubled(result)
        if not shown:
            lines.append(f"{result.target}: {_status(result, colour)}: {result.reason or ''}")
        for parameter in shown:
            at = _place(parameter.blame[0]) + ": " if parameter.blame else ""
            why = parameter.blame[0].message if parameter.blame else parameter.message
            lines.append(f"{at}{result.target}: {parameter.name}: {parameter.verdict}: {why}")
    return "".join(line + "\n" for line in lines)


def full(results: Sequence[TargetResult], *, colour: bool = False, verbose: bool = False) -> str:
    """Every target: what was called, each Parameter in trouble, and the lines to blame."""
    return "".join(_block(result, colour, verbose) for result in results)


def summary(report: Report) -> str:
    """The counts, in one line."""
    parts = [
        f"{report.count(status)} {_WORDS[status]}" for status in (PASSED, FAILED, NOT_VERIFIED)
    ]
    if report.failures:
        parts.append(f"{len(report.failures)} unreadable")
    return ", ".join(parts) + "."


def _status(result: TargetResult, colour: bool) -> str:
    word = _WORDS[result.status]
    return f"\x1b[{_COLOURS[result.status]}m{word}\x1b[0m" if colour else word


def _troubled(result: TargetResult) -> list[ParameterResult]:
    return [p for p in result.parameters if p.trainable and p.verdict != "ok"]


def _block(result: TargetResult, colour: bool, verbose: bool) -> str:
    lines = [f"{result.target}: {_status(result, colour)}"]
    if result.call and (verbose or result.status != PASSED):
        lines.append(f"    called ({result.driven_by}): {result.call}")
    troubled = _troubled(result)
    if result.reason and not any(result.reason.endswith(p.message) for p in troubled):
        lines.append(f"    {result.reason}")
    for parameter in result.parameters if verbose else _or_remarks(result, troubled):
        lines += parameter_lines(parameter)
    if result.case:
        lines += ["    to verify it, put this into gradfix_cases.py and correct it:", ""]
        lines += [f"        {line}" if line else "" for line in result.case.splitlines()] + [""]
    return "".join(line + "\n" for line in lines)


def _or_remarks(result: TargetResult, troubled: list[ParameterResult]) -> list[ParameterResult]:
    """What a person wants to see unasked: trouble, and what is only likely."""
    return [p for p in result.parameters if p in troubled or p.confidence == "likely"]


def parameter_lines(parameter: ParameterResult) -> list[str]:
    """One Parameter: its verdict, and the lines to blame with their source."""
    likely = " (likely)" if parameter.confidence == "likely" else ""
    shape = "x".join(map(str, parameter.shape)) or "scalar"
    text = f": {parameter.message}" if parameter.message else ""
    lines = [f"    {parameter.name} [{shape}] {parameter.verdict}{likely}{text}"]
    for blame in parameter.blame:
        code = f" [{blame.code}]" if blame.code else ""
        lines.append(f"      {_place(blame)} in {blame.function}: {blame.message}{code}")
        source = _source(blame)
        if source:
            lines.append(f"        {blame.row} | {source}")
    return lines


def _place(blame: Blame) -> str:
    return f"{blame.filename}:{blame.row}"


def _source(blame: Blame) -> str:
    """The blamed line; empty when the file is gone or changed meanwhile."""
    try:
        lines = Path(blame.filename).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return lines[blame.row - 1].strip() if 0 < blame.row <= len(lines) else ""
