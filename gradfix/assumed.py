"""Findings with and without recorded facts, made one list: see the NOTE in `gradfix.recorded`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from gradfix.codemod import Codemod
from gradfix.model import Finding, Note, Safety, Span
from gradfix.recorded import FileFacts

if TYPE_CHECKING:
    from gradfix.flow import View

_Key = tuple[str, Span]


def with_recorded(
    alone: Sequence[Finding],
    text: str,
    codemods: Sequence[Codemod],
    view: View | None,
    recorded: FileFacts,
) -> list[Finding]:
    """The findings once more, with what was recorded of calls assumed for all calls."""
    from gradfix import flow

    facts = flow.analyse(text, view, recorded)
    assuming = [finding for codemod in codemods for finding in codemod.find(facts)]
    told = {f.span: note for f in assuming if (note := flow.told(facts, f.span)) is not None}
    facts.release()
    return combined(alone, assuming, told)


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
        safety = Safety.UNSAFE if fix.safety is Safety.SAFE else fix.safety
        fix = replace(fix, safety=safety, assumes=True)
    note = told.get(finding.span)
    because = (*finding.because, note) if note is not None else finding.because
    return replace(finding, fix=fix, because=because)
