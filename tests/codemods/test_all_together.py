"""All codemods at once over all tables: they agree, and working code goes on working."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from snippets import SHOWN, Case, run, same

from gradfix import engine
from gradfix.config import settings_from
from gradfix.model import Outcome, Source

TABLES = sorted(
    path.stem
    for path in Path(__file__).parent.glob("test_*.py")
    if path.stem != Path(__file__).stem
)


def collected(name: str) -> list[Case]:
    """The cases of one kind in all test modules."""
    found = []
    for stem in TABLES:
        cases = getattr(importlib.import_module(stem), name, [])
        found += [pytest.param(case, id=f"{stem[5:]}-{case.name}") for case in cases]
    return found


def all_fixed(text: str, *, unsafe: bool = False) -> Outcome:
    return engine.fix(Source("snippet.py", text), settings_from(unsafe_fixes=unsafe))


@pytest.mark.parametrize("case", [*collected("LEAVE"), *collected("LEGAL")])
def test_working_code_goes_on_working(case: Case) -> None:
    outcome = all_fixed(case.before)
    assert not outcome.failures
    if not outcome.changed or "unrun" in case.flags:
        return
    before, after = run(case.before), run(outcome.text)
    if after.error is not None:
        raise AssertionError(outcome.text) from after.error
    for name, value in before.shown(*SHOWN).items():
        assert same(value, after.names.get(name)), name


@pytest.mark.parametrize("case", [*collected("CHANGE"), *collected("REPORT"), *collected("SOUND")])
def test_the_codemods_agree(case: Case) -> None:
    """What all of them make of a text comes to an end, and none has anything to add."""
    for unsafe in (False, True):
        outcome = all_fixed(case.before, unsafe=unsafe)
        assert not outcome.failures
        assert not all_fixed(outcome.text, unsafe=unsafe).changed
