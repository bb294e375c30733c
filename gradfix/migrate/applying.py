"""`gradfix apply` on a checkout, in a process of its own that starts there.

What is reported, configured and looked up depends on the folder a process starts in, and a process
of its own may crash, leak and be killed. It does not search that folder for modules, though: a
repository with an ``ast.py`` in its root would be imported instead of Python's.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradfix.migrate import process
from gradfix.migrate.campaign import Repository
from gradfix.migrate.git import environment
from gradfix.migrate.process import Limits

_BOOT = """\
import json, sys
sys.path[:] = json.loads(sys.argv.pop(1))
from gradfix.cli import run
sys.exit(run(sys.argv[1:]))
"""
_PER_FILE = 60  # seconds
_KEPT = 20_000  # bytes of messages


class ApplyError(Exception):
    """`gradfix apply` could not do its work; the text is one line."""


class _Killed(ApplyError):
    """Something has killed the process."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What `gradfix apply` reports: files read, findings fixed and left, files with errors."""

    files: int
    fixed: list[dict[str, Any]]
    left: list[dict[str, Any]]
    errors: list[dict[str, Any]]


def apply(repository: Repository, checkout: Path, limits: Limits, jobs: int) -> Applied:
    """Rewrite a checkout, on one process or as many as are worth it.

    Raises ApplyError, Stopped or TimedOut.
    """
    paths = [*repository.paths] or [os.curdir]
    for path in paths:
        if not (checkout / path).resolve().is_relative_to(checkout.resolve()):
            raise ApplyError(f"{path!r} leads out of the repository")
    arguments = _arguments(repository, paths)
    if repository.verify or jobs > 1:
        document = _run(arguments, checkout, limits)
    else:
        try:
            document = _run(["--jobs", "1", *arguments], checkout, limits)
        except _Killed:  # by one of the files: workers leave the others alone
            document = _run(
                ["--jobs", "1", "--timeout", str(_PER_FILE), *arguments], checkout, limits
            )
    findings = document["findings"]
    fixed = [f for f in findings if f["fix"] is not None and f["fix"]["applied"]]
    left = [f for f in findings if f["fix"] is None or not f["fix"]["applied"]]
    return Applied(document["summary"]["files"], fixed, left, document["errors"])


def _run(arguments: list[str], checkout: Path, limits: Limits) -> dict[str, Any]:
    """What `gradfix apply` reports. Raises ApplyError, Stopped or TimedOut."""
    report = checkout.parent / "findings.json"
    start = [sys.executable, "-I", "-B", "-c", _BOOT, json.dumps(_sys_path()), "apply"]
    try:
        done = process.run(
            [*start, "--output-format", "json", "--output-file", str(report), *arguments],
            checkout,
            limits,
            environment=environment(),
            together=True,
            kept=_KEPT,
            strays=True,
        )
    except process.NotStarted as error:
        raise ApplyError(str(error)) from error
    said = done.out.decode("utf-8", "replace").strip()
    try:
        document: dict[str, Any] = json.loads(report.read_bytes())
    except (OSError, ValueError) as error:
        kind = _Killed if done.code < 0 else ApplyError
        raise kind(_why(done.code, said)) from error
    return document


def _arguments(repository: Repository, paths: list[str]) -> list[str]:
    unsafe = "--unsafe-fixes" if repository.unsafe_fixes else "--no-unsafe-fixes"
    given = ["--no-journal", "--no-cache", "--no-baseline", "--quiet", "--color", "never", unsafe]
    for option, values in (("--select", repository.select), ("--ignore", repository.ignore)):
        given += [option, ",".join(values)] if values else []
    given += ["--isolated"] if repository.isolated else []
    given += ["--verify"] if repository.verify else []
    return [*given, "--", *paths]


def _sys_path() -> list[str]:
    """Where modules come from: as here, but for the folder that this process was started in."""
    here = os.getcwd()
    own = str(Path(__file__).resolve().parents[2])
    kept = [entry for entry in sys.path if entry and os.path.abspath(entry) != here]
    return [*kept, *([] if own in kept else [own])]


def _why(code: int, said: str) -> str:
    """Why there is no report: the last thing that was said, or how the process ended."""
    for line in reversed(said.splitlines()):
        if line.startswith(("error: ", "Error: ")):
            return f"gradfix apply: {line.partition(': ')[2]}"
    ending = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
    last = said.splitlines()[-1:] or [""]
    return f"gradfix apply {ending}{f': {last[0]}' if last[0] else ''}"
