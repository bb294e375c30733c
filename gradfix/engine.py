"""One source in, one outcome out: find, rewrite, look again, until nothing changes any more.

Everything here is a pure function of the text, the settings and the view, which gives the texts of
other files that facts are asked about; nothing is read, written or shown.

NOTE: how a rewrite settles. Each round analyses the text, chooses fixes whose reaches do not touch,
and applies them; those left out have their turn in the next round, on fresh facts. A fix that
cannot be applied faithfully is remembered and left alone. The rounds end when no fix is left. If a
text comes back, or the number of fixes does not fall for a while, the codemods disagree with each
other: then nothing of the rewriting is kept.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gradfix import registry
from gradfix.config import Settings
from gradfix.errors import RewriteError, SourceError
from gradfix.fingerprints import identified, identity, without
from gradfix.lines import has_lone_cr, split_lines
from gradfix.model import Failure, Finding, Fix, Outcome, Safety, Source
from gradfix.words import mentions

if TYPE_CHECKING:
    import libcst

    from gradfix.codemod import Codemod, Trigger
    from gradfix.flow import View

_PATIENCE = 10
#: A text without findings has comments worth reading only where they speak of gradfix.
_MENTIONED = re.compile(r"gradfix:|noqa.*GF")
_MENTIONED_BYTES = re.compile(rb"gradfix:|noqa.*GF")
_Reasons = dict[tuple[str, ...], str]


def check(
    source: Source,
    settings: Settings,
    codemods: Sequence[Codemod] | None = None,
    view: View | None = None,
) -> Outcome:
    """Everything that is wrong with one source; text that cannot be analysed is a Failure."""
    try:
        findings = _find(source.text, settings, _chosen(codemods, settings), {}, view)
    except SourceError as error:
        return _failed(source, error)
    named = identified(findings, source.text, source)
    return Outcome(source, source.text, named)


def concerns(raw: bytes) -> bool:
    """Whether a file can have anything to find: a cheap look at its bytes, before all else.

    Most files of most trees never mention torch, and reading them would cost more than the rest.
    """
    words = {entry.mentions.encode() for entry in registry.entries()}
    if any(word in raw for word in words) or b"gradfix:" in raw:
        return True
    return b"noqa" in raw and _MENTIONED_BYTES.search(raw) is not None


def fix(
    source: Source,
    settings: Settings,
    codemods: Sequence[Codemod] | None = None,
    view: View | None = None,
) -> Outcome:
    """The rewritten source and what is left; on trouble, the unchanged source and a Failure."""
    chosen = _chosen(codemods, settings)
    try:
        settled = _settle(source, settings, chosen, view)
        text, findings = settled.text, settled.findings
        if text != source.text:
            from gradfix import formatting

            formatted = formatting.as_before(source.text, text, settings.black)
            if formatted != text:
                text = formatted
                findings = _find(text, settings, chosen, settled.reasons, view)
    except _Unsettled as trouble:
        return without_fixes(source, settings, str(trouble), codemods, view)
    except SourceError as error:
        return _failed(source, error)
    left = identified(findings, text, source)
    fixed, found_in = settled.named(source), settled.found_in
    return Outcome(source, text, left, fixed, (), found_in)


def without_fixes(
    source: Source,
    settings: Settings,
    trouble: str,
    codemods: Sequence[Codemod] | None = None,
    view: View | None = None,
) -> Outcome:
    """The unchanged source, where ``trouble`` keeps every fix from being made, and a Failure."""
    findings = [
        (
            replace(finding, fix=None, not_fixed_reason=trouble)
            if applicable(finding, settings)
            else finding
        )
        for finding in _find(source.text, settings, _chosen(codemods, settings), {}, view)
    ]
    failure = Failure(source.filename, f"nothing was rewritten: {trouble}")
    named = identified(findings, source.text, source)
    return Outcome(source, source.text, named, failures=(failure,))


def rewrite_tree(
    tree: libcst.Module, codemods: Sequence[Codemod], *, unsafe_fixes: bool
) -> libcst.Module:
    """A LibCST module with the fixes of some codemods applied, for LibCST's own runner.

    Raises SourceError if the module cannot be analysed, RewriteError if the fixes do not settle.
    """
    settings = Settings(frozenset(c.code for c in codemods), unsafe_fixes=unsafe_fixes)
    try:
        text = _settle(Source("", tree.code), settings, codemods, None).text
    except _Unsettled as trouble:
        raise RewriteError(str(trouble)) from trouble
    if text == tree.code:
        return tree
    import libcst

    return libcst.parse_module(text, config=tree.config_for_parsing)


def applicable(finding: Finding, settings: Settings) -> bool:
    """Whether ``apply`` would make this finding's fix."""
    if finding.fix is None or not finding.fix.edits:
        return False
    safety = finding.fix.safety
    return safety is Safety.SAFE or (safety is Safety.UNSAFE and settings.unsafe_fixes)


# -- finding ------------------------------------------------------------------------------------


def _chosen(codemods: Sequence[Codemod] | None, settings: Settings) -> list[Codemod]:
    if codemods is None:
        return [kind() for kind in registry.codemods() if kind.code in settings.codes]
    return [codemod for codemod in codemods if codemod.code in settings.codes]


def _find(
    text: str,
    settings: Settings,
    codemods: Sequence[Codemod],
    reasons: Mapping[tuple[str, ...], str],
    view: View | None,
) -> list[Finding]:
    from gradfix import flow

    triggered = _triggered(codemods, text)
    findings: list[Finding] = []
    if triggered:
        from gradfix.assumed import found

        findings = found(text, triggered, view, settings.recorded)
    else:
        flow.must_parse(text)  # a file that does not parse never looks clean
    if findings or "gradfix:" in text or ("noqa" in text and _MENTIONED.search(text)):
        from gradfix.suppress import suppressions

        comments_of = suppressions(text)
        findings = comments_of.filter(findings) + comments_of.unused(settings.codes)
    if not findings:
        return findings
    findings.sort(key=lambda finding: (finding.span, finding.code))
    refusal = _refusal(text)
    lines = split_lines(text)
    return [_judged(finding, settings, refusal, reasons, lines) for finding in findings]


def _triggered(codemods: Sequence[Codemod], text: str) -> list[Codemod]:
    """The codemods worth asking; a pattern that several of them share is searched once."""
    matches: dict[Trigger, bool] = {}
    found = []
    for codemod in codemods:
        if mentions(text, codemod.mentions):
            if codemod.trigger not in matches:
                matches[codemod.trigger] = bool(codemod.trigger.search(text))
            if matches[codemod.trigger]:
                found.append(codemod)
    return found


def _judged(
    finding: Finding,
    settings: Settings,
    refusal: str | None,
    reasons: Mapping[tuple[str, ...], str],
    lines: Sequence[str],
) -> Finding:
    """The finding with its fix's safety as configured, or without the fix where it cannot be."""
    if finding.fix is None:
        return finding
    reason = refusal or reasons.get(identity(finding, lines))
    if reason is not None:
        return replace(finding, fix=None, not_fixed_reason=reason)
    fix = finding.fix
    if not fix.assumes and finding.code in settings.extend_safe_fixes:
        fix = replace(fix, safety=Safety.SAFE)
    if finding.code in settings.extend_unsafe_fixes:
        fix = fix.doubted(f"the configuration says that fixes of {finding.code} are unsafe")
    return replace(finding, fix=fix)


def _refusal(text: str) -> str | None:
    if text.startswith("\f"):
        return "the file starts with a form feed, which a rewrite would not keep"
    if has_lone_cr(text):
        return "the file has lines that end with a lone carriage return, which a rewrite would lose"
    return None


# -- rewriting ----------------------------------------------------------------------------------


class _Unsettled(Exception):
    """The rewrites do not come to an end, or end in text that cannot be analysed."""


@dataclass(frozen=True, slots=True)
class _Settled:
    """Where the rounds ended: the text, what is left in it, and what each round fixed."""

    text: str
    findings: list[Finding]
    fixed: list[tuple[str, list[Finding]]]
    reasons: _Reasons

    def named(self, source: Source) -> tuple[Finding, ...]:
        """All fixed findings, each with the fingerprint of the text it was found in."""
        return tuple(
            finding for text, applied in self.fixed for finding in identified(applied, text, source)
        )

    @property
    def found_in(self) -> tuple[str, ...]:
        """For each fixed finding, the text it was found in."""
        return tuple(text for text, applied in self.fixed for _ in applied)


def _settle(
    source: Source, settings: Settings, codemods: Sequence[Codemod], view: View | None
) -> _Settled:
    text = source.text
    reasons: _Reasons = {}
    fixed: list[tuple[str, list[Finding]]] = []
    seen = {text}
    fewest, rounds_since = -1, 0
    findings = _find(text, settings, codemods, reasons, view)
    while candidates := [
        finding
        for finding in without(findings, text, source, settings.baselined)
        if applicable(finding, settings)
    ]:
        rounds_since += 1
        if fewest < 0 or len(candidates) < fewest:
            fewest, rounds_since = len(candidates), 0
        if rounds_since > _PATIENCE:
            raise _Unsettled(_blame("the rewrites do not come to an end", candidates))
        new_text, applied = _apply(text, _apart(candidates), reasons)
        if applied:
            if new_text in seen:
                raise _Unsettled(_blame("the rewrites undo each other", applied))
            seen.add(new_text)
            fixed.append((text, [replace(finding, applied=True) for finding in applied]))
            text = new_text
        try:
            findings = _find(text, settings, codemods, reasons, view)
        except SourceError as error:
            raise _Unsettled(_blame(f"the rewrite left bad code: {error}", applied)) from error
    return _Settled(text, findings, fixed, reasons)


def _blame(trouble: str, findings: Sequence[Finding]) -> str:
    return f"{trouble} ({', '.join(sorted({finding.code for finding in findings}))})"


def _apart(candidates: Sequence[Finding]) -> list[Finding]:
    """The first fixes, in document order, whose reaches do not touch.

    A fix reaches over all rows from its first edit to its last, because a rename and what it must
    not collide with lie between them.
    """
    chosen: list[Finding] = []
    taken: list[tuple[int, int]] = []
    for finding in candidates:
        spans = [edit.span for edit in _fix_of(finding).edits]
        first, last = min(span.row for span in spans), max(span.end_row for span in spans)
        if all(last < begin or end < first for begin, end in taken):
            taken.append((first, last))
            chosen.append(finding)
    return chosen


def _apply(
    text: str, chosen: Sequence[Finding], reasons: _Reasons
) -> tuple[str, Sequence[Finding]]:
    """Apply the fixes together, else one by one; what fails goes into ``reasons``."""
    try:
        return _rewritten(text, [_fix_of(finding) for finding in chosen]), chosen
    except RewriteError as error:
        failure = error
    lines = split_lines(text)
    sound = []
    for finding in chosen if len(chosen) > 1 else ():
        try:
            _rewritten(text, [_fix_of(finding)])
        except RewriteError as error:
            reasons[identity(finding, lines)] = f"cannot be rewritten faithfully: {error}"
        else:
            sound.append(finding)
    if not sound:
        reasons.setdefault(identity(chosen[0], lines), f"cannot be rewritten faithfully: {failure}")
        return text, ()
    # The fixes that failed may have been all that was wrong; if not, the first can still be made.
    for group in (sound, sound[:1]):
        try:
            return _rewritten(text, [_fix_of(finding) for finding in group]), group
        except RewriteError as error:
            failure = error
    raise failure


def _rewritten(text: str, fixes: Sequence[Fix]) -> str:
    """The text with the fixes made, parsable and with every comment. Raises RewriteError."""
    from gradfix import flow, rewrite
    from gradfix.suppress import comments

    new_text = rewrite.apply_edits(text, fixes)
    if new_text == text:
        raise RewriteError("the rewrite changes nothing")
    try:
        flow.must_parse(new_text)
        lost = Counter(comments(text)) - Counter(comments(new_text))
    except SourceError as error:
        raise RewriteError(f"the result does not parse: {error}") from error
    if lost:
        raise RewriteError(f"the comment {next(iter(lost))!r} would be lost")
    return new_text


def _fix_of(finding: Finding) -> Fix:
    if finding.fix is None:
        raise ValueError("only findings with a fix are applied")
    return finding.fix


def _failed(source: Source, error: SourceError) -> Outcome:
    failure = Failure(source.filename, str(error), error.row)
    return Outcome(source, source.text, failures=(failure,))
