"""How verification may behave: limits, seed and the cases given in the configuration."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gradfix.config_types import Case, VerifySection

DEFAULT_TIMEOUT = 60.0
DEFAULT_MEMORY_MB = 12288


@dataclass(frozen=True, slots=True)
class VerifySettings:
    """Limits for one child and the inputs it may use.

    ``timeout`` is in seconds and holds for each step (importing, each target); ``memory_mb`` bounds
    the child's address space. ``cases_file`` replaces the search for ``gradfix_cases.py``.
    ``record`` asks for facts about calls.
    """

    timeout: float = DEFAULT_TIMEOUT
    memory_mb: int = DEFAULT_MEMORY_MB
    seed: int = 0
    cases: Mapping[str, Case] = field(default_factory=dict)
    cases_file: str | None = None
    record: bool = False

    def case_for(self, path: Path, name: str) -> Case | None:
        """The configured case for a class; keys are ``Class``, ``path.py:Class``, path may glob."""
        for key, case in self.cases.items():
            where, _, wanted = key.rpartition(":")
            if wanted == name and (not where or fnmatch.fnmatch(path.as_posix(), f"*/{where}")):
                return case
        return None


def settings_from(
    section: VerifySection,
    *,
    timeout: float | None = None,
    memory_mb: int | None = None,
    seed: int | None = None,
    cases_file: str | None = None,
    record: bool = False,
) -> VerifySettings:
    """The configuration under the command line's say, over the defaults."""

    def first(*values: float | None) -> float:
        return next(v for v in values if v is not None)

    return VerifySettings(
        timeout=first(timeout, section.timeout, DEFAULT_TIMEOUT),
        memory_mb=int(first(memory_mb, section.memory, DEFAULT_MEMORY_MB)),
        seed=int(first(seed, section.seeds[0] if section.seeds else None, 0)),
        cases=section.cases,
        cases_file=cases_file or section.cases_file,
        record=record,
    )
