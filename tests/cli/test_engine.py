"""One source in, one outcome out."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence

import libcst
import pytest

from gradfix import engine, rewrite
from gradfix.codemod import Codemod
from gradfix.config import Settings
from gradfix.errors import RewriteError
from gradfix.flow import ModuleFlow
from gradfix.model import Edit, EditKind, Finding, Fix, Outcome, Safety, Source, Span

from .conftest import Renames


class Back(Renames):
    """The opposite of its base class."""

    code = "GF992"
    old, new = "new", "old"


class Grows(Renames):
    """Replaces a call by a longer one with the same fault, for ever."""

    code = "GF993"
    new = "old(1) or old"

    def find(self, flow: ModuleFlow) -> Iterator[Finding]:
        yield from super().find(flow)


class Broken(Renames):
    """An edit that names no node."""

    code = "GF994"
    old = "broken"

    def find(self, flow: ModuleFlow) -> Iterator[Finding]:
        for finding in super().find(flow):
            span = finding.span
            nowhere = Span(span.row, span.column, span.end_row, span.end_column + 1)
            fix = self.fix("nothing", Edit(EditKind.REPLACE, nowhere, "x"))
            yield self.finding(span, "broken is called", fix=fix)


class Unsafe(Renames):
    """A rename that is not proven."""

    code = "GF996"
    old = "risky"
    doubt = "it may be another function"


def settings(*kinds: type[Codemod], **more: object) -> Settings:
    return Settings(frozenset(kind.code for kind in kinds), **more)  # type: ignore[arg-type]


def fix(text: str, *kinds: type[Codemod], **more: object) -> Outcome:
    codemods = [kind() for kind in kinds]
    return engine.fix(Source("m.py", text), settings(*kinds, **more), codemods)


def check(text: str, *kinds: type[Codemod], **more: object) -> Outcome:
    codemods = [kind() for kind in kinds]
    return engine.check(Source("m.py", text), settings(*kinds, **more), codemods)


def test_fix_rewrites_and_says_what_it_did() -> None:
    outcome = fix("x = old(old(1))\n", Renames)
    assert outcome.text == "x = new(new(1))\n"
    assert outcome.findings == ()
    assert [(f.applied, f.filename) for f in outcome.fixed] == [(True, "m.py")] * 2


def test_check_changes_nothing_and_keeps_the_fix() -> None:
    outcome = check("x = old(1)\n", Renames)
    assert outcome.text == "x = old(1)\n"
    (finding,) = outcome.findings
    assert finding.fix is not None
    assert not finding.applied


def test_a_second_run_changes_nothing() -> None:
    once = fix("old(1)\nold(2)\n", Renames).text
    again = fix(once, Renames)
    assert not again.changed
    assert again.fixed == ()


def test_rewrites_that_undo_each_other_write_nothing() -> None:
    text = "x = old(1)\n"
    outcome = fix(text, Renames, Back)
    assert outcome.text == text
    assert outcome.fixed == ()
    assert "undo each other" in outcome.failures[0].message
    assert "undo each other" in (outcome.findings[0].not_fixed_reason or "")
    assert outcome.findings[0].fix is None


def test_rewrites_without_end_write_nothing() -> None:
    text = "x = old(1)\n"
    outcome = fix(text, Grows)
    assert outcome.text == text
    assert "do not come to an end (GF993)" in outcome.failures[0].message


def test_more_rounds_than_the_patience_are_fine_while_fixes_get_fewer() -> None:
    text = "x = " + "old(" * 30 + "1" + ")" * 30 + "\n"  # nested: one per round
    outcome = fix(text, Renames)
    assert outcome.text == text.replace("old", "new")
    assert outcome.failures == ()


def test_a_fix_that_cannot_be_made_leaves_the_others_alone() -> None:
    outcome = fix("broken(1)\nold(2)\n", Renames, Broken)
    assert outcome.text == "broken(1)\nnew(2)\n"
    (left,) = outcome.findings
    assert left.fix is None
    assert left.not_fixed_reason is not None
    assert left.not_fixed_reason.startswith("cannot be rewritten faithfully")
    assert outcome.failures == ()


def test_a_rewrite_that_would_lose_a_comment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(text: str, fixes: Sequence[Fix]) -> str:
        return text.replace("  # why", "").replace("old", "new")

    monkeypatch.setattr(rewrite, "apply_edits", forgetful)
    text = "old(1)  # why\n"
    outcome = fix(text, Renames)
    assert outcome.text == text
    assert "'# why' would be lost" in (outcome.findings[0].not_fixed_reason or "")


def test_a_rewrite_that_does_not_parse_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewrite, "apply_edits", lambda text, fixes: text + "(")
    outcome = fix("old(1)\n", Renames)
    assert outcome.text == "old(1)\n"
    assert "does not parse" in (outcome.findings[0].not_fixed_reason or "")


@pytest.mark.parametrize(
    ("text", "reason"),
    [("a = 1\rold(1)\r", "lone carriage return"), ("\fold(1)\n", "form feed")],
)
def test_files_that_cannot_be_kept_are_not_rewritten(text: str, reason: str) -> None:
    outcome = fix(text, Renames)
    assert outcome.text == text
    assert reason in (outcome.findings[0].not_fixed_reason or "")
    assert reason in (check(text, Renames).findings[0].not_fixed_reason or "")


def test_unsafe_fixes_need_a_word() -> None:
    text = "risky(1)\n"
    assert fix(text, Unsafe).text == text
    assert fix(text, Unsafe).findings[0].fix is not None
    assert fix(text, Unsafe, unsafe_fixes=True).text == "new(1)\n"
    assert fix(text, Unsafe, extend_safe_fixes=frozenset({"GF996"})).text == "new(1)\n"


def test_safe_fixes_can_be_called_unsafe() -> None:
    text = "old(1)\n"
    outcome = fix(text, Renames, extend_unsafe_fixes=frozenset({"GF991"}))
    assert outcome.text == text
    assert outcome.findings[0].fix is not None
    assert outcome.findings[0].fix.safety is Safety.UNSAFE


def test_what_does_not_parse_is_a_failure_even_where_no_codemod_is_interested() -> None:
    outcome = check("x = 1\nprint 'python two'\n")
    assert outcome.failures[0].row == 2
    assert outcome.failures[0].filename == "m.py"


def test_fingerprints_survive_moved_and_reindented_lines() -> None:
    before = check("old(1)\nold(1)\n", Renames).findings
    after = check("# new line\nif x:\n    old(1)\n    old(1)\n", Renames).findings
    assert [f.fingerprint for f in before] == [f.fingerprint for f in after]
    assert len({f.fingerprint for f in before}) == 2


def test_findings_are_in_document_order() -> None:
    rows = [f.span.row for f in check("risky(1)\nold(1)\nrisky(1)\n", Renames, Unsafe).findings]
    assert rows == [1, 2, 3]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_what_was_black_clean_stays_black_clean(newline: str) -> None:
    class Longer(Renames):
        """A rename that makes the line too long."""

        code = "GF997"
        new = "a_name_that_is_a_good_deal_longer_than_the_old_one"

    line = "value = old(argument_number_one, argument_number_two)\n"
    clean = f'first = "a"\n{line}last = [1, 2]\n'.replace("\n", newline)
    expected = (
        'first = "a"\n'
        f"value = {Longer.new}(\n    argument_number_one, argument_number_two\n)\n"
        "last = [1, 2]\n"
    ).replace("\n", newline)
    assert fix(clean, Longer).text == expected
    untidy = clean.replace("[1, 2]", "[1,2]")
    assert fix(untidy, Longer).text == untidy.replace("old", Longer.new)


def test_mixed_newlines_are_kept_line_by_line() -> None:
    assert fix("a = 1\r\nold(1)\nb = 2\r\n", Renames).text == "a = 1\r\nnew(1)\nb = 2\r\n"


def test_outcomes_pickle() -> None:
    outcome = check("old(1)\n", Renames)
    assert pickle.loads(pickle.dumps(outcome)) == outcome
    assert pickle.loads(pickle.dumps(settings(Renames))) == settings(Renames)


def test_rewrite_tree_is_for_libcst_s_runner() -> None:
    tree = libcst.parse_module("risky(old(1))  # gradfix: ignore[GF996]\nrisky(2)\n")
    safe = engine.rewrite_tree(tree, [Renames(), Unsafe()], unsafe_fixes=False)
    assert safe.code == tree.code.replace("old", "new")
    both = engine.rewrite_tree(tree, [Renames(), Unsafe()], unsafe_fixes=True)
    assert both.code == safe.code.replace("risky(2)", "new(2)")
    with pytest.raises(RewriteError, match="undo each other"):
        engine.rewrite_tree(tree, [Renames(), Back()], unsafe_fixes=False)
