"""The vocabulary of the codemod tests: rewritten to exactly this, reported only, or left alone."""

from __future__ import annotations

import re

import pytest
from snippets import SHOWN, SPELLINGS, VARIANTS, Case, missing, run, same

from gradfix import engine
from gradfix.config import settings_from
from gradfix.model import Finding, Outcome, Source

#: What a ``before`` must be seen to suffer from in torch; a case names one of them as a flag.
#: raises: it stops with an error. none: a gradient it shows is None. values: it runs, and shows
#: other values than ``after``. works: it runs, and shows the same as ``after``.
FAULTS = {"raises", "none", "values", "works"}
#: How a fix says what is not proven of it: part of a sentence, in one line.
_CLAUSE = re.compile(r"[a-z`][^\n]{10,110}[^.;,\s]")


def table(found: list[Case]) -> pytest.MarkDecorator:
    """One test per case; a case with the flag ``miss`` is a fault that is known to be missed."""
    known = pytest.mark.xfail(strict=True, reason="known miss", raises=AssertionError)
    params = [pytest.param(c, id=c.name, marks=[known] if "miss" in c.flags else []) for c in found]
    return pytest.mark.parametrize("case", params)


def fixed(text: str, code: str, *, unsafe: bool = False) -> Outcome:
    """What ``apply`` with one codemod makes of a text."""
    settings = settings_from(select=[code], unsafe_fixes=unsafe)
    outcome = engine.fix(Source("snippet.py", text), settings)
    assert not outcome.failures, outcome.failures
    return outcome


def found(text: str, code: str) -> list[Finding]:
    """What ``check`` with one codemod says about a text."""
    outcome = engine.check(Source("snippet.py", text), settings_from(select=[code]))
    assert not outcome.failures, outcome.failures
    for fix in (finding.fix for finding in outcome.findings if finding.fix is not None):
        assert not fix.doubt or _CLAUSE.fullmatch(fix.doubt), fix.doubt
    return [finding for finding in outcome.findings if finding.code == code]


def code_of(case: Case) -> str:
    """The code that the name of a case begins with, in tables for several codemods."""
    return case.name.partition(" ")[0]


def check_transformed(case: Case, code: str) -> None:
    """``before`` becomes exactly ``after``, once, and torch shows the fault and that it is gone.

    The flag ``unsafe`` says that only ``--unsafe-fixes`` may do it, ``plain`` that the variants of
    the text differ in more than spelling.
    """
    unsafe = "unsafe" in case.flags
    assert found(case.before, code), "nothing is found"
    if unsafe:
        assert fixed(case.before, code).text == case.before, "not safe, but applied by default"
    assert fixed(case.before, code, unsafe=unsafe).text == case.after
    again = fixed(case.after, code, unsafe=unsafe)
    assert again.text == case.after, "the second run changes something"
    check_in_torch(case)
    for variant in () if "plain" in case.flags else VARIANTS:
        text = fixed(variant(case.before), code, unsafe=unsafe).text
        assert text == variant(case.after), variant.__name__


def check_in_torch(case: Case) -> None:
    """The fault of ``before`` is real, ``after`` is free of it and computes the same."""
    (fault,) = case.flags & FAULTS
    before, after = run(case.before), run(case.after)
    if after.error is not None:
        raise AssertionError("after does not run") from after.error
    gradients = after.shown("grad")
    assert gradients, "the case shows no gradient"
    assert not missing(list(gradients.values())), "after lacks a gradient"
    assert (before.error is not None) == (fault == "raises"), before.error
    if fault == "none":
        assert missing(list(before.shown("grad").values())), "before has all gradients"
    shown = before.shown("out", "loss")
    if fault == "works":
        shown |= before.shown("grad")
        assert shown
    differing = {name for name, value in shown.items() if not same(value, after.names.get(name))}
    assert bool(differing) == (fault == "values"), differing


def check_sound(case: Case, code: str) -> None:
    """Whatever the safe fixes make of ``before``, it computes what the right ``after`` computes.

    Without an ``after``, ``before`` is right; with the flag ``unsafe``, unsafe fixes are made, too.
    A case that nothing need be found in has the flag ``silent``.
    """
    assert found(case.before, code) or "silent" in case.flags, "nothing is found"
    text = fixed(case.before, code, unsafe="unsafe" in case.flags).text
    result = run(text)
    if result.error is not None and text != case.before:
        raise AssertionError("what was rewritten raises") from result.error
    right = run(case.after or case.before)
    assert right.error is None, right.error
    if result.error is None:
        shown = right.shown(*SHOWN)
        differing = {name for name, one in shown.items() if not same(one, result.names.get(name))}
        assert shown
        assert not differing, differing


def check_noop(case: Case, code: str) -> None:
    """Working code, with which this codemod has nothing to do."""
    assert found(case.before, code) == []
    assert fixed(case.before, code, unsafe=True).text == case.before
    if "unrun" not in case.flags:
        error = run(case.before).error
        if error is not None:
            raise AssertionError("this is to be working code") from error
    for variant in () if "plain" in case.flags else VARIANTS:
        assert found(variant(case.before), code) == [], variant.__name__


def check_reported(case: Case, code: str) -> None:
    """Found, not rewritten, and the reason says so."""
    findings = found(case.before, code)
    assert findings, "nothing is found"
    reasons = [finding.not_fixed_reason for finding in findings]
    assert all(reasons), "there is a fix"
    assert any(case.reason in (reason or "") for reason in reasons), reasons
    assert fixed(case.before, code, unsafe=True).text == case.before
    for spelled in () if "plain" in case.flags else SPELLINGS:
        assert found(spelled(case.before), code), f"{spelled.__name__}: nothing is found"
