"""``gradfix apply --verify``: every rewritten file is run before and after, and kept or not."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from gradfix import batch, engine, files
from gradfix.config import Settings
from gradfix.errors import GradfixError, SourceError
from gradfix.model import Outcome
from gradfix.report import Run
from gradfix.report.text import Style
from gradfix.verify.accept import Judgement, judge
from gradfix.verify.changes import changes_of
from gradfix.verify.session import Observed, observe
from gradfix.verify.settings import settings_from
from gradfix.verify.workspace import NoCopy


class Reviewer:
    """Decides about one rewritten file after the other; earlier decisions count for later files.

    Raises GradfixError where nothing can be run at all.
    """

    def __init__(
        self, run: Run, style: Style, say: Callable[[str], None], *, verbose: bool
    ) -> None:
        if importlib.util.find_spec("torch") is None:
            raise GradfixError(f"--verify needs torch, which {sys.executable} does not have")
        self._run, self._style, self._say, self._verbose = run, style, say, verbose
        self._accepted: dict[Path, bytes] = {}

    def __call__(
        self, item: files.Found, done: batch.Processed, again: batch.Again
    ) -> batch.Processed:
        """The file as it may be written: all fixes, the safe ones alone, or none."""
        path = Path(os.path.abspath(item.path))
        before: Observed | None = None
        why = ""
        for settings in _attempts(item.settings, done):
            if settings is not item.settings:
                done = again(settings, True)
                if done.before == done.after:
                    break
            judgement, before = self._judged(path, done, item, before)
            unproven = [i for i in judgement.unverified if not _is_safe(done.outcome, i)]
            if not judgement.refused and not unproven:
                return self._accept(path, done, judgement, item.settings, why)
            why = why or _reason(judgement, unproven)
        return self._refuse(item, again(item.settings, False), why)

    def _judged(
        self, path: Path, done: batch.Processed, item: files.Found, before: Observed | None
    ) -> tuple[Judgement, Observed | None]:
        settings = settings_from(item.settings.verify)
        changes = changes_of(done.outcome)
        try:
            if before is None:
                before = observe(path, settings, {**self._accepted, path: done.before})
            after = observe(path, settings, {**self._accepted, path: done.after}, before)
        except (NoCopy, SourceError) as error:
            return Judgement(unverified=dict.fromkeys(range(len(changes)), str(error))), before
        for traceback in (*before.tracebacks, *after.tracebacks) if self._verbose else ():
            self._say(traceback)
        left = frozenset(
            row for f in done.outcome.findings for row in range(f.span.row, f.span.end_row + 1)
        )
        return judge(before, after, changes, left), before

    def _accept(
        self,
        path: Path,
        done: batch.Processed,
        judgement: Judgement,
        wanted: Settings,
        why_less: str,
    ) -> batch.Processed:
        name, outcome = done.outcome.source.filename, done.outcome
        self._accepted[path] = done.after
        verb = "would be applied" if self._run.dry_run else "applied"
        if judgement.verified:
            self._run.verified_files += 1
            if self._verbose:
                self._line(name, verb, "verified")
        else:
            self._run.unverified_files += 1
            for reason in dict.fromkeys(judgement.unverified.values()):
                self._line(name, f"{verb}, not verified", reason)
        fixed = tuple(
            replace(f, verification=_verification(judgement, index))
            for index, f in enumerate(outcome.fixed)
        )
        outcome = replace(outcome, fixed=fixed)
        if why_less:
            self._line(name, "unsafe fixes not applied", why_less)
            left = _reasoned(outcome, wanted, why_less)
            outcome = replace(outcome, findings=left.findings)
        return replace(done, outcome=outcome)

    def _refuse(self, item: files.Found, checked: batch.Processed, why: str) -> batch.Processed:
        self._run.refused_files += 1
        self._line(item.filename, "not changed", why)
        return replace(checked, outcome=_reasoned(checked.outcome, item.settings, why))

    def _line(self, name: str, what: str, why: str) -> None:
        self._say(f"{self._style.bold(name)}: {self._style.cyan(what)}: {why}")


def _attempts(settings: Settings, done: batch.Processed) -> list[Settings]:
    """All fixes; and if some of them are unsafe, the safe ones alone."""
    if all(_is_safe(done.outcome, index) for index in range(len(done.outcome.fixed))):
        return [settings]
    return [settings, replace(settings, unsafe_fixes=False)]


def _is_safe(outcome: Outcome, index: int) -> bool:
    fix = outcome.fixed[index].fix
    return fix is not None and fix.safety.value == "safe"


def _reason(judgement: Judgement, unproven: list[int]) -> str:
    if judgement.refused:
        shown = "; ".join(judgement.refused[:3])
        more = len(judgement.refused) - 3
        return f"verification: {shown}{f'; and {more} more' if more > 0 else ''}"
    return f"verification: an unsafe fix needs proof: {judgement.unverified[unproven[0]]}"


def _verification(judgement: Judgement, index: int) -> str:
    why = judgement.unverified.get(index)
    return "verified" if why is None else f"not verified: {why}"


def _reasoned(outcome: Outcome, settings: Settings, why: str) -> Outcome:
    """The outcome; findings that ``apply`` would have fixed carry the reason why it did not."""
    findings = tuple(
        replace(f, not_fixed_reason=why) if engine.applicable(f, settings) else f
        for f in outcome.findings
    )
    return replace(outcome, findings=findings)
