"""A fix is safe, or says what is not proven of it."""

from __future__ import annotations

import pytest

from gradfix.model import Edit, EditKind, Fix, Safety, Span, Values

EDITS = (Edit(EditKind.REPLACE, Span(1, 1, 1, 2), "y"),)


def test_a_fix_without_a_doubt_is_safe() -> None:
    fix = Fix.of("mend", EDITS, values=Values.CLOSE)
    assert (fix.safety, fix.doubt, fix.values) == (Safety.SAFE, "", Values.CLOSE)


def test_a_doubt_makes_it_unsafe() -> None:
    fix = Fix.of("mend", EDITS, "the list may be empty")
    assert (fix.safety, fix.doubt) == (Safety.UNSAFE, "the list may be empty")


def test_an_unsafe_fix_without_a_reason_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="the unsafe fix 'mend' does not say what is not proven"):
        Fix(Safety.UNSAFE, "mend", EDITS)


def test_a_safe_fix_is_doubted_later() -> None:
    fix = Fix.of("mend", EDITS).doubted("others may need it")
    assert (fix.safety, fix.doubt, fix.edits) == (Safety.UNSAFE, "others may need it", EDITS)


def test_no_doubt_leaves_it_safe() -> None:
    fix = Fix.of("mend", EDITS)
    assert fix.doubted("") is fix


def test_the_first_doubt_stays() -> None:
    fix = Fix.of("mend", EDITS, "the list may be empty")
    assert fix.doubted("others may need it") is fix
