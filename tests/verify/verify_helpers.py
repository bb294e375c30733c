"""Runs verification on a source file the way the command does."""

from __future__ import annotations

from pathlib import Path

from gradfix.verify.results import TargetResult
from gradfix.verify.session import FileReport, verify_file
from gradfix.verify.settings import VerifySettings
from gradfix.verify.targets import Target

PROGRAMS = Path(__file__).resolve().parent / "programs"


def report_on(path: Path, *names: str, settings: VerifySettings | None = None) -> FileReport:
    """What verification says about a file, or some names in it."""
    return verify_file(Target(path, list(names)), settings or VerifySettings(timeout=60))


def results_of(
    path: Path, *names: str, settings: VerifySettings | None = None
) -> dict[str, TargetResult]:
    """The results by class name; the file must be readable."""
    report = report_on(path, *names, settings=settings)
    assert report.failures == []
    return {result.target.rpartition(":")[2]: result for result in report.results}
