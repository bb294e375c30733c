"""``docs/rules`` says what the docstrings say."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from gradfix import engine
from gradfix.config import settings_from
from gradfix.model import Source
from gradfix.rules import UNUSED_CODE, Rule, rules

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent / "codemods"))

from snippets import run

from tools import generate_rule_docs as docs


def test_the_pages_are_up_to_date() -> None:
    assert docs.stale(docs.TARGET, docs.pages()) == [], f"run {docs.COMMAND}"


def test_the_check_sees_what_differs(tmp_path: Path) -> None:
    docs.write(tmp_path, docs.pages())
    assert docs.stale(tmp_path, docs.pages()) == []
    (tmp_path / "GF201.md").write_text("# another text\n", encoding="utf-8")
    (tmp_path / "GF000.md").write_text("# no rule\n", encoding="utf-8")
    (tmp_path / "GF301.md").unlink()
    assert docs.stale(tmp_path, docs.pages()) == ["GF000.md", "GF201.md", "GF301.md"]
    docs.write(tmp_path, docs.pages())
    assert docs.stale(tmp_path, docs.pages()) == []


def test_another_docstring_makes_another_page() -> None:
    class Changed(Rule):
        @property
        def manual(self) -> str:
            return super().manual.replace("What it does", "What it did")

    rule = rules()[0]
    assert docs.page(Changed(rule.code, rule.name)) != docs.page(rule)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.code)
def test_a_page_is_whole(rule: Rule) -> None:
    text = docs.page(rule)
    assert text.startswith(f"# {rule.code} {rule.name}\n\n{rule.summary.replace('``', '`')}\n")
    headings = re.findall(r"(?m)^## (.+)$", text)
    manual = re.findall(r"(?m)^(\S.*)\n-{3,}$", rule.manual)
    assert [h for h in headings if h != "How to silence it"] == manual
    assert f"ignore[{rule.code}]" in text
    prose = re.sub(r"```.*?```", "code", text, flags=re.DOTALL)
    assert "``" not in prose
    assert not re.search(r"\n{3,}|---", prose)
    assert f"[{rule.code}]({rule.code}.md)" in docs.index()


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.code)
def test_the_index_states_a_safety(rule: Rule) -> None:
    assert docs.safeties(rule)


def test_the_example_of_the_unused_comment() -> None:
    text = (docs.TARGET / f"{UNUSED_CODE}.md").read_text(encoding="utf-8")
    before, after = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    settings = settings_from(select=["ALL"])
    codes = [
        [f.code for f in engine.check(Source("page.py", code), settings).findings]
        for code in (before, after)
    ]
    assert codes == [[UNUSED_CODE], []]
    assert run(before).error is None and run(after).error is None
