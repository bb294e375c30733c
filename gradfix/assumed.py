"""Findings with and without what is assumed of arguments, made one list.

Assumed is what was recorded (see the NOTE in `gradfix.recorded`), or what the file itself gives its
functions (`gradfix.flow.callers`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from gradfix.codemod import Codemod
from gradfix.model import Finding, Note, Safety, Span
from gradfix.recorded import FileFacts

if TYPE_CHECKING:
    from gradfix.flow import ModuleFlow, View

_Key = tuple[str, Span]
_CHANGED = "it rests on what another place of the project may change"
_EXPECTED = "another file expects an error here, perhaps the one that would go"


def found(
    text: str, codemods: Sequence[Codemod], view: View | None, recorded: FileFacts | None
) -> list[Finding]:
    """What some codemods find; fixes are those that hold whatever other places may change."""
    findings = _found(text, codemods, view, recorded, doubting=False)
    if not any(finding.fix is not None for finding in findings):
        return findings
    return undoubted(findings, _found(text, codemods, view, recorded, doubting=True))


def _found(
    text: str,
    codemods: Sequence[Codemod],
    view: View | None,
    recorded: FileFacts | None,
    *,
    doubting: bool,
) -> list[Finding]:
    from gradfix import flow
    from gradfix.flow.expected_elsewhere import Expected
    from gradfix.flow.whole import in_the_text

    facts = flow.analyse(text, view, doubting=doubting)
    findings = [finding for codemod in codemods for finding in codemod.find(facts)]
    findings = with_callers(findings, text, codemods, view, facts)
    if recorded is not None:
        findings = with_recorded(findings, text, codemods, view, recorded, doubting)
    findings = list(in_the_text(findings, facts))
    findings = _held_back(findings, facts, {c.code for c in codemods if c.modernises})
    if doubting:
        expected = Expected(facts)
        findings = [
            _doubted(f, _EXPECTED) if _is_safe(f) and expected.at(f.span.row) else f
            for f in findings
        ]
    facts.release()
    return findings


def _held_back(findings: list[Finding], facts: ModuleFlow, modernising: set[str]) -> list[Finding]:
    """Modernising fixes wait where the same function (or cell) has a fault that nothing mends.

    Such a function has to be looked at by a person, who should see it as it was written.
    """
    faults = {
        facts.unit_at(f.span.row): f
        for f in findings
        if f.fix is None and f.code not in modernising
    }
    held = []
    for finding in findings:
        fault = faults.get(facts.unit_at(finding.span.row))
        if finding.code in modernising and finding.fix is not None and fault is not None:
            reason = (
                f"{fault.code} on line {fault.span.row} of the same function has to be mended first"
            )
            finding = replace(finding, fix=None, not_fixed_reason=reason)
        held.append(finding)
    return held


def with_recorded(
    alone: Sequence[Finding],
    text: str,
    codemods: Sequence[Codemod],
    view: View | None,
    recorded: FileFacts,
    doubting: bool,
) -> list[Finding]:
    """The findings once more, with what was recorded of calls assumed for all calls."""
    from gradfix import flow

    facts = flow.analyse(text, view, recorded, doubting=doubting)
    assuming = [finding for codemod in codemods for finding in codemod.find(facts)]
    told = {f.span: note for f in assuming if (note := flow.told(facts, f.span)) is not None}
    facts.release()
    return combined(alone, assuming, told)


def with_callers(
    alone: Sequence[Finding],
    text: str,
    codemods: Sequence[Codemod],
    view: View | None,
    facts: ModuleFlow,
) -> list[Finding]:
    """The findings, and those that are there for what the file gives its own functions.

    They are found for these callers only, so their fixes are unsafe at best.
    """
    asked = [codemod for codemod in codemods if codemod.asks_callers]
    if not asked:
        return list(alone)
    from gradfix import flow
    from gradfix.flow.callers import call_of, facts_of_callers

    given = facts_of_callers(facts)
    if given is None:
        return list(alone)
    again = flow.analyse(text, view, given, doubting=facts.doubts is not None)
    known = {finding.span for finding in alone}
    found = list(alone)
    for finding in (f for codemod in asked for f in codemod.find(again)):
        note = call_of(facts, finding.span)
        if finding.span not in known and note is not None:
            fix = finding.fix
            if fix is not None:
                fix = fix.doubted("others may give the function something else than this file does")
            found.append(replace(finding, fix=fix, because=(note, *finding.because)))
    again.release()
    return found


def undoubted(found: Sequence[Finding], certain: Sequence[Finding]) -> list[Finding]:
    """The findings, each with the fix that it has where everything doubtful is unknown.

    Those that are not found there at all rest on what another place of the project may change, so
    their fixes are unsafe at best.
    """
    sure = {_key(finding): finding for finding in certain}
    return [
        one if one.fix is None else sure.get(_key(one)) or _doubted(one, _CHANGED) for one in found
    ]


def _doubted(finding: Finding, doubt: str) -> Finding:
    return replace(finding, fix=finding.fix and finding.fix.doubted(doubt))


def combined(
    alone: Sequence[Finding], assuming: Sequence[Finding], told: dict[Span, Note]
) -> list[Finding]:
    """What is found ``alone``, changed by what is found when recorded facts are assumed.

    ``told`` says, for the span of each finding, what was recorded about its function. What is
    proven alone stays as it is. What only the facts show is unsafe at best. Where they show that an
    unsafe fix would be wrong, it goes.
    """
    known = {_key(finding): finding for finding in alone}
    seen = {_key(finding): finding for finding in assuming}
    result = []
    for key, finding in known.items():
        other = seen.get(key)
        if other is None or _is_safe(finding) or _same_fix(finding, other):
            result.append(finding)
        else:
            result.append(_resting(other, told))
    result += [_resting(finding, told) for key, finding in seen.items() if key not in known]
    return result


def _key(finding: Finding) -> _Key:
    return finding.code, finding.span


def _is_safe(finding: Finding) -> bool:
    return finding.fix is not None and finding.fix.safety is Safety.SAFE


def _same_fix(one: Finding, other: Finding) -> bool:
    if one.fix is None or other.fix is None:
        return one.fix is other.fix
    return one.fix.edits == other.fix.edits


def _resting(finding: Finding, told: dict[Span, Note]) -> Finding:
    """The finding, resting on recorded facts."""
    fix = finding.fix
    if fix is not None:
        fix = replace(fix.doubted("it rests on recorded facts"), assumes=True)
    note = told.get(finding.span)
    because = (*finding.because, note) if note is not None else finding.because
    return replace(finding, fix=fix, because=because)
