"""May a rewrite be kept? Two versions of a file are compared by what they did. No torch here.

NOTE the rules. A rewrite is *refused* when a class that ran does not run any more, when values are
not what the fixes promise, when a Parameter that passed does not pass, or when a gradient that a
fix was to bring is still missing. A fix is *verified* when a class that stands all of this executed
every statement that the fix changed. Whatever is neither is *not verified*, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from gradfix.model import Values
from gradfix.verify.agree import disagreement
from gradfix.verify.changes import Change
from gradfix.verify.results import FAILING, ParameterResult, TargetResult
from gradfix.verify.session import Observed

_INDEX = re.compile(r"\[(?:'([^']*)'|(\d+))\]")


@dataclass(frozen=True, slots=True)
class Judgement:
    """``refused`` says why the rewrite must not be kept; ``unverified`` why a fix is not proven."""

    refused: tuple[str, ...] = ()
    unverified: dict[int, str] = field(default_factory=dict)

    @property
    def verified(self) -> bool:
        """Whether every fix was put to the test and stood it."""
        return not self.refused and not self.unverified


def judge(
    before: Observed, after: Observed, changes: Sequence[Change], left: frozenset[int]
) -> Judgement:
    """Compare two versions of a file. ``left`` are the lines of faults that nothing mends, after.

    The keys of ``unverified`` are positions in ``changes``.
    """
    if before.imported == "import" and after.imported != "import":
        why = after.why_not_imported or "it ends early"
        return Judgement((f"the file cannot be imported any more: {why}",))
    for failure in (*before.failures, *after.failures):
        return Judgement(unverified=dict.fromkeys(range(len(changes)), failure.message))
    classes = [
        _Class(changes, left, old, new, before.witnessed, after.witnessed)
        for old, new in _pairs(before.results, after.results)
    ]
    refused = [reason for each in classes for reason in each.refusals()]
    if refused:
        return Judgement(tuple(dict.fromkeys(refused)))
    unverified = {}
    for index, change in enumerate(changes):
        if not any(each.verifies(change) for each in classes):
            unverified[index] = _why_not(change, classes)
    return Judgement(unverified=unverified)


def _pairs(
    before: Iterable[TargetResult], after: Iterable[TargetResult]
) -> Iterator[tuple[TargetResult, TargetResult | None]]:
    found = {result.target: result for result in after}
    for result in before:
        yield result, found.get(result.target)


def _why_not(change: Change, classes: Sequence[_Class]) -> str:
    named = [each for each in classes if each.name == change.owner]
    for each in named or classes:
        if each.doubt and (named or each.touches(change)):
            return f"{each.name}: {each.doubt}"
    if not classes:
        return "the file defines no nn.Module class to run"
    return f"line {change.row} was not run by any class of the file"


class _Class:
    """One class in both versions."""

    def __init__(
        self,
        changes: Sequence[Change],
        left: frozenset[int],
        before: TargetResult,
        after: TargetResult | None,
        witnessed: dict[str, list[dict[str, Any]]],
        later: dict[str, list[dict[str, Any]]],
    ) -> None:
        self.name = before.target.rpartition(":")[2]
        self.filename = before.target.rpartition(":")[0]
        self.before, self.after, self.left = before, after, left
        self.old = witnessed.get(self.name, [])
        self.new = later.get(self.name, [])
        self.rows_before, self.rows_after = _rows(self.old), _rows(self.new)
        self.changes = [c for c in changes if self.touches(c)]
        self.doubt = self._doubt()

    def touches(self, change: Change) -> bool:
        """Whether running the class executed some of what the fix changed."""
        return change.touches(self.rows_before, self.rows_after)

    def verifies(self, change: Change) -> bool:
        """Whether the class proves the fix (there must be no refusal)."""
        return not self.doubt and change.ran(self.rows_before, self.rows_after)

    def refusals(self) -> Iterator[str]:
        """Why the new version is worse than the old one, as far as this class shows."""
        if not self.old:
            return
        if self.after is None or not self.new:
            if any(each["error"] is None for each in self.old) or self.changes:
                why = (self.after.reason if self.after else "") or "nothing was said about it"
                yield f"{self.name} cannot be run any more: {why}"
            return
        reasons = [reason for each in self.old if (reason := self._recipe(each))]
        for reason in (*reasons, *self._parameters(self.after)):
            yield f"{self.name}: {reason}"

    # -- values --------------------------------------------------------------------------------

    def _twin(self, each: dict[str, Any]) -> dict[str, Any] | None:
        key = (each["driven_by"], each["call"])
        return next((n for n in self.new if (n["driven_by"], n["call"]) == key), None)

    def _promise(self) -> Values:
        """The weakest promise of what this class runs: where values change, none can be held."""
        kinds = {change.values for change in self.changes}
        weakest = (kind for kind in (Values.CHANGED, Values.CLOSE) if kind in kinds)
        return next(weakest, Values.SAME)

    def _recipe(self, each: dict[str, Any]) -> str | None:
        twin = self._twin(each)
        if each["error"] is not None:  # raised before: what it gives now is compared with nothing
            return None
        if twin is None:
            return f"{each['call']} cannot be run any more"
        if twin["error"] is not None:
            return f"{each['call']} raises {twin['error']}"
        if self._promise() is Values.CHANGED or each["values"] is None:
            return None
        if twin["values"] is None:
            return f"{each['call']}: {twin['why']}"
        return disagreement(each["values"], twin["values"], self._promise())

    def _doubt(self) -> str:
        """Why the class proves nothing, however well it ran."""
        if not self.old:
            return self.before.reason or "it was not run"
        if not self.new:
            return (self.after.reason if self.after else None) or "it was not run"
        for each in self.old:
            if each["error"] is None and each["why"] and self._promise() is not Values.CHANGED:
                return str(each["why"])
        if any(each["error"] is not None for each in self.new):
            return next(str(each["error"]) for each in self.new if each["error"] is not None)
        return ""

    # -- Parameters ----------------------------------------------------------------------------

    def _parameters(self, after: TargetResult) -> Iterator[str]:
        old = {_plain(p.name): p for p in self.before.parameters}
        new = {_plain(p.name): p for p in after.parameters}
        for key, parameter in old.items():
            if key not in new and parameter.verdict == "ok":
                yield f"{parameter.name} is no Parameter any more"
        for key, parameter in new.items():
            reason = self._parameter(old.get(key), parameter)
            if reason:
                yield f"{parameter.name} {reason}"

    def _parameter(self, old: ParameterResult | None, new: ParameterResult) -> str | None:
        if not new.trainable:
            meant = old is None or not old.trainable or self._promise() is Values.CHANGED
            return None if meant else "is frozen now"
        if new.verdict in FAILING:
            return self._failing(old, new)
        if old is None:
            return None
        if new.verdict == "inconclusive":
            missing = not any(new.name in each["gradients"] for each in self.new)
            if old.verdict == "ok" or (self._expected(old) and missing):
                return f"was {old.verdict} and cannot be verified now: {new.message}"
            return None
        return self._gradient(new.name) if old.verdict == "ok" and old.trainable else None

    def _failing(self, old: ParameterResult | None, new: ParameterResult) -> str | None:
        excused = bool(new.blame) and all(b.row in self.left for b in new.blame)
        untested = old is not None and not old.exercised and not new.exercised
        where = f" ({new.blame[0].filename}:{new.blame[0].row})" if new.blame else ""
        why = f"{new.verdict}: {new.message}{where}"
        if old is not None and old.verdict in FAILING:
            if self._expected(old) and not excused:
                return f"is not mended: it was {old.verdict} and is {why}"
            return None
        if untested or (excused and (old is None or old.verdict != "ok")):
            return None
        was = old.verdict if old is not None else "no Parameter"
        return f"was {was} and is {why}"

    def _expected(self, old: ParameterResult) -> bool:
        """Whether a line that was blamed is one that a fix has changed."""
        changed = {row for c in self.changes for place in c.places for row in place.before}
        return old.verdict in FAILING and any(
            blame.filename == self.filename and blame.row in changed for blame in old.blame
        )

    def _gradient(self, name: str) -> str | None:
        """A gradient that was right must stay what it was, where values stay what they were."""
        if self._promise() is Values.CHANGED:
            return None
        for each in self.old:
            twin, was = self._twin(each), each["gradients"].get(name)
            if twin is None or twin["error"] is not None or was is None:
                continue
            now = twin["gradients"].get(name)
            reason = "is missing" if now is None else disagreement([was], [now], Values.CLOSE)
            if reason:
                return f"has another gradient now: {reason}"
        return None


def _rows(witnessed: Iterable[dict[str, Any]]) -> frozenset[int]:
    return frozenset(row for each in witnessed for row in each["rows"])


def _plain(name: str) -> str:
    """``layers[0].weight`` of a list is ``layers.0.weight`` of a ModuleList."""
    return _INDEX.sub(lambda match: f".{match[1] or match[2]}", name)
