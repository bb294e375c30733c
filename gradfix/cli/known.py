"""Hiding what a baseline knows, and telling which of its entries are gone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

from gradfix import baseline
from gradfix.config import Settings
from gradfix.errors import ConfigError
from gradfix.model import Outcome
from gradfix.repository import from_root, root


class Known:
    """The baselines of one run; each source file has that of its configuration, or none.

    ``writing`` is for a run that writes a baseline: none is read then.
    """

    def __init__(self, *, writing: bool = False) -> None:
        self._writing = writing
        self._read: dict[str, baseline.Baseline] = {}
        self._seen: dict[tuple[str, str], set[str]] = {}  # fingerprints, by baseline and place
        self._settings: dict[str, Settings] = {}
        self._failed: set[str] = set()
        self.hidden = 0

    def told(self, settings: Settings, filename: str) -> Settings:
        """The settings for a file, with what its baseline knows of it.

        Raises ConfigError if the baseline is missing or is none.
        """
        if settings.baseline is None or self._writing:
            return settings
        if settings.baseline not in self._read:
            self._read[settings.baseline] = baseline.read(settings.baseline)
        place = from_root(filename)
        known = self._read[settings.baseline].of(place)
        settings = self._settings[place] = replace(settings, baselined=known)
        return settings

    def left(self, outcome: Outcome) -> Outcome:
        """The outcome without the findings that its baseline knows."""
        place = from_root(outcome.source.filename)
        settings = self._settings.get(place)
        if settings is None or settings.baseline is None:
            return outcome
        if outcome.failures:  # nobody knows what is in there
            self._failed.add(place)
        known = [f for f in outcome.findings if f.fingerprint in settings.baselined]
        self._seen.setdefault((settings.baseline, place), set()).update(
            finding.fingerprint for finding in known
        )
        if not known:
            return outcome
        self.hidden += len(known)
        return replace(outcome, findings=tuple(f for f in outcome.findings if f not in known))

    def notes(self) -> list[str]:
        """What to say about entries that are not found any more, a line for each baseline.

        Only files that were looked at count, with the rules that were used there, and files that
        are gone: a run over a part of the project says nothing about the rest.
        """
        notes = []
        for path, known in self._read.items():
            gone = sum(self._gone(path, place, entries) for place, entries in known.files.items())
            if gone:
                one = gone == 1
                notes.append(
                    f"note: {gone} {'entry' if one else 'entries'} of {known.shown}"
                    f" {'is' if one else 'are'} not found any more;"
                    f" `gradfix check --write-baseline {known.shown}` leaves"
                    f" {'it' if one else 'them'} out"
                )
        return notes

    def _gone(self, path: str, place: str, entries: Mapping[str, str]) -> int:
        settings = self._settings.get(place)
        if settings is None:
            there = os.path.exists(os.path.join(root(), *place.split("/")))
            return 0 if there else len(entries)
        if settings.baseline != path or place in self._failed:
            return 0
        seen = self._seen.get((path, place), set())
        return sum(
            code in settings.codes and print_ not in seen for print_, code in entries.items()
        )


def written(path: str, outcomes: list[Outcome]) -> int:
    """Write the findings of a run as a baseline, and count them. Raises ConfigError."""
    findings = [finding for outcome in outcomes for finding in outcome.findings]
    if os.path.isdir(path):
        raise ConfigError(f"{path}: a folder, no baseline")
    baseline.write(path, findings)
    return len(findings)
