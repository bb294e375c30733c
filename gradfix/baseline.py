"""Baselines: the findings that a project has decided to live with for now.

A baseline is a JSON file of fingerprints, file by file and rule by rule, sorted so that version
control shows what comes and goes. Equal lines of a file have fingerprints of their own, so a second
copy of a known fault is a new one. Nobody edits it by hand: it is written anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradfix.errors import ConfigError
from gradfix.model import Finding
from gradfix.repository import from_root

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Baseline:
    """What one file says: for each source file, by its place, the code of every fingerprint."""

    shown: str
    files: Mapping[str, Mapping[str, str]]

    def of(self, place: str) -> frozenset[str]:
        """The fingerprints that are known in a file."""
        return frozenset(self.files.get(place, ()))


def read(path: str) -> Baseline:
    """Read a baseline. Raises ConfigError where there is none, or it is something else."""
    shown = os.path.relpath(path).replace(os.sep, "/")
    again = f"`gradfix check --write-baseline {shown}` writes it"
    try:
        document = json.loads(Path(path).read_bytes())
    except FileNotFoundError as error:
        raise ConfigError(f"{shown}: no such baseline; {again}") from error
    except OSError as error:
        raise ConfigError(f"{shown}: cannot be read: {error.strerror or error}") from error
    except json.JSONDecodeError as error:
        message = f"{shown}:{error.lineno}: no baseline of gradfix: {error.msg}; {again}"
        raise ConfigError(message) from error
    except (ValueError, RecursionError) as error:  # bytes that are no text; brackets without end
        raise ConfigError(f"{shown}: no baseline of gradfix; {again}") from error
    if isinstance(document, dict) and isinstance(document.get("version"), int):
        if document["version"] > _FORMAT:
            raise ConfigError(f"{shown}: written by a newer gradfix; {again}")
    if not _is_baseline(document):
        raise ConfigError(f"{shown}: no baseline of gradfix; {again}")
    return Baseline(
        shown,
        {
            place: {print_: code for code, prints in codes.items() for print_ in prints}
            for place, codes in document["findings"].items()
        },
    )


def _is_baseline(document: Any) -> bool:
    if not isinstance(document, dict) or document.get("version") != _FORMAT:
        return False
    findings = document.get("findings")
    return isinstance(findings, dict) and all(
        isinstance(codes, dict)
        and all(
            isinstance(prints, list) and all(isinstance(print_, str) for print_ in prints)
            for prints in codes.values()
        )
        for codes in findings.values()
    )


def write(path: str, findings: Iterable[Finding]) -> None:
    """Write a baseline that knows these findings, in one step. Raises ConfigError if it cannot."""
    files: dict[str, dict[str, list[str]]] = {}
    for finding in findings:
        codes = files.setdefault(from_root(finding.filename), {})
        codes.setdefault(finding.code, []).append(finding.fingerprint)
    for codes in files.values():
        for prints in codes.values():
            prints.sort()
    document = {"version": _FORMAT, "findings": files}
    body = json.dumps(document, indent=2, sort_keys=True) + "\n"
    target = os.path.realpath(path)
    temporary = f"{target}.{os.getpid()}.tmp"
    try:
        try:
            Path(temporary).write_text(body, encoding="utf-8")
            os.replace(temporary, target)
        finally:
            Path(temporary).unlink(missing_ok=True)  # there is one only where that failed
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror or error}") from error
