"""Where a statement stands: its block, and what follows it there."""

from __future__ import annotations

import ast

import pytest

from gradfix import flow

TEXT = """\
for i in range(3):
    a = 1
    b = 2
else:
    c = 3
try:
    d = 4
except ValueError:
    e = 5
    f = 6
finally:
    g = 7
h = 8
"""


@pytest.mark.parametrize(
    ("name", "block", "behind"),
    [("a", "ab", "b"), ("b", "ab", ""), ("c", "c", ""), ("e", "ef", "f"), ("g", "g", "")],
)
def test_what_follows_stands_in_the_same_block(name: str, block: str, behind: str) -> None:
    facts = flow.analyse(TEXT)
    stores = {
        node.targets[0].id: node
        for node in ast.walk(facts.tree)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    statement = stores[name]
    assert facts.block_of(statement) == [stores[one] for one in block]
    assert list(facts.following(statement)) == [stores[one] for one in behind]


def test_the_last_statement_of_a_file_has_nothing_behind() -> None:
    facts = flow.analyse(TEXT)
    assert [type(one) for one in facts.following(facts.tree.body[0])] == [ast.Try, ast.Assign]
    assert list(facts.following(facts.tree.body[-1])) == []


def test_long_blocks_are_gone_through_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each statement that is asked about would otherwise be looked for in its block."""
    compared: list[object] = []

    class Counting(list):  # type: ignore[type-arg]
        def __contains__(self, item: object) -> bool:
            compared.append(item)
            return super().__contains__(item)

        def index(self, *given: object) -> int:
            compared.append(given)
            return super().index(*given)  # type: ignore[arg-type]

    facts = flow.analyse("a = 1\n" * 50)
    monkeypatch.setattr(facts.tree, "body", Counting(facts.tree.body))
    for statement in facts.tree.body:
        assert facts.block_of(statement) is facts.tree.body
        next(facts.following(statement), None)
    assert not compared
