"""Reports: what a run found, in the formats people and programs read."""

from __future__ import annotations

from dataclasses import dataclass, field

from gradfix.model import Failure, Finding, Outcome

FORMATS = ("full", "concise", "json", "jsonl", "github", "gitlab", "junit", "sarif")


@dataclass(slots=True)
class Run:
    """Everything a report may show. Outcomes without anything to say are only counted."""

    rewriting: bool = False
    dry_run: bool = False
    files: int = 0
    changed_files: int = 0
    baselined: int = 0  # findings that a baseline knows; nothing else is said about them
    outcomes: list[Outcome] = field(default_factory=list)
    diffs: list[tuple[str, bytes]] = field(default_factory=list)
    verified_files: int = 0
    unverified_files: int = 0
    refused_files: int = 0

    @property
    def findings(self) -> list[Finding]:
        """What is left, in order."""
        return [finding for outcome in self.outcomes for finding in outcome.findings]

    @property
    def fixed(self) -> list[Finding]:
        """What was rewritten (or would be), in order."""
        return [finding for outcome in self.outcomes for finding in outcome.fixed]

    @property
    def failures(self) -> list[Failure]:
        """What could not be processed, in order."""
        return [failure for outcome in self.outcomes for failure in outcome.failures]
