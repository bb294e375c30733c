"""The walk over a tree finds what `ast.walk` finds, but for contexts and operators."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from gradfix.flow.nodes import children, walk
from gradfix.flow.top_level import stored_words
from gradfix.flow.values import Elsewhere

ROOT = Path(__file__).parents[2]
_BARE = (ast.expr_context, ast.operator, ast.unaryop, ast.boolop, ast.cmpop)
_SYNTAX = """
import a.b as c
from .d import (e as f, g)
async def h(i, /, j: int = 1, *k, l=None, m, **n) -> {**c, 1: 2}:
    global o
    async with p as q, r:
        async for s in t:
            await u
    try:
        x = [v async for v in w if y] + [*z, -1 ** 2, not a]
    except (B, C) as d:
        raise E from None
    else:
        del x[1:2, ...], x.y
    finally:
        assert a < b <= c, f"{d!r:>{e}}{g}"
    while (n := 1) and 2 or 3:
        break
@decorated(1)
class F(G, metaclass=H):
    i: int
    j = lambda k, *l, m=1, **n: (yield)
    def f(self):
        nonlocal p
        return x if y else z
match command:
    case {"a": 1, "b": [_, *rest], **others} | Point(x=0, y=None) as p if p > 1:
        pass
    case True | "text" | -1:
        pass
with open(x) as y: print(y, sep="", *a, **b); x += 1
"""


def _both(tree: ast.AST) -> tuple[list[ast.AST], list[ast.AST]]:
    return [n for n in ast.walk(tree) if not isinstance(n, _BARE)], list(walk(tree))


def test_all_syntax_is_walked_over() -> None:
    expected, found = _both(ast.parse(_SYNTAX))
    assert found == expected


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the syntax is new in Python 3.12")
def test_type_statements_are_walked_over() -> None:
    expected, found = _both(ast.parse("type A[T: int, *U, **V] = list[T]\ndef f[T](x: T): pass"))
    assert found == expected


@pytest.mark.parametrize("path", sorted((ROOT / "gradfix").rglob("*.py"))[::8], ids=str)
def test_real_files_are_walked_over(path: Path) -> None:
    expected, found = _both(ast.parse(path.read_text(encoding="utf-8")))
    assert found == expected


def test_children_are_those_of_ast() -> None:
    for node in ast.walk(ast.parse(_SYNTAX)):
        expected = [n for n in ast.iter_child_nodes(node) if not isinstance(n, _BARE)]
        assert children(node) == expected


def test_what_stands_for_another_file_has_nothing_below_it() -> None:
    other = ast.parse("x = 1")
    elsewhere = Elsewhere(other, "other.py", "in other.py, line 1", lambda: other)
    assert list(walk(elsewhere)) == [elsewhere]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("config.size = 3", {"config", "size"}),
        ("config.size   = 3", {"config", "size"}),
        ("a.b.c += 1", {"a", "b", "c"}),
        ("a.b <<= 1", {"a", "b"}),
        ("m.k: int = 3", {"m", "k"}),
        ("self.config.size = 2", {"config", "size"}),
        ("a.b, c.d = 1, 2", {"a", "b", "c", "d"}),
        ("(q.r, s) = z", {"q", "r"}),
        ("self.x = 2", set()),
        ("f(a.b, c=3)", set()),
        ("if a.b == 3: pass", set()),
        ("x = a.b", set()),
    ],
)
def test_names_that_a_text_may_assign_to(text: str, words: set[str]) -> None:
    found = stored_words(text)
    assert found is not None and words <= found and (words or not found)


@pytest.mark.parametrize("text", ["setattr(config, name, 3)", "def f():\n    del config.size"])
def test_some_texts_may_assign_to_any_name(text: str) -> None:
    assert stored_words(text) is None
