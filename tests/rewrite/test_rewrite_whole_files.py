"""Properties that must hold on any file, tried on files with code and comments in odd places."""

from __future__ import annotations

import ast
import sys
import threading
import warnings

import libcst
import pytest
from rewrite_helpers import (
    apply_edits,
    before,
    expression_nodes,
    fix,
    replace,
    span_of,
    text_of,
)

from gradfix.errors import RewriteError
from gradfix.model import Edit, EditKind, Span
from gradfix.rewrite import apply_to_tree

LAYER = '''\
#!/usr/bin/env python
# -*- coding: utf-8 -*-
"""A layer; die Größe ist β."""
from __future__ import annotations

import math, os; import torch  # two on a row

# the registry, see below
layers: dict[str, type] = {}


def register(name, *, größe=(1), **options):  # decorator factory
    # comment before the inner function
    def wrap(cls, /, *args: int, key: "str" = 'ß', **kw) -> type:
        layers[name] = cls  # keep
        return(cls)  # no space

    return wrap


@register(
    "tanh",  # the name
    größe=3,
)
class PTanh(torch.nn.Module):
    """Doc."""

    ä: float = 0.1; β = .5

    def __init__(self, n: int = 10, *rest):
        super().__init__()
        self.eta_ = torch.nn.Parameter(
            torch.tensor([[0.0], [1.],  # first
                          # second
                          [2e0]]).view(-1)
        )
        self.N, (self.M, *self.rest) = n, (n // 2, *rest)

    @property
    def eta(self):
        t = torch.zeros_like(self.eta_); t[0] = -self.eta_[0] ** 2  # both
        t[1:3, ...], t[-1] = self.eta_[1:3] * (self.eta_[0] - (1 - 2)), +1
        return t

    async def run(self, it):
        async for é, (b, c) in it: await self(é)[b, c:, ::2]
        async with it as x, (it) as y:
            yield x, y
        result = [await z async for z in it if z if not z.done]
        print(*result, sep = '' if not result else ",", **{'end': ''})
        # a footer comment


def text(value, width=3):
    first = f"größe {value!r:>{width}} {value + 1}"; second = "a" f'{first}' 'b'
    return first \\
        + second + """
  raw
""" + (yield)
'''

SCRIPT = """\
def main(argv=None, flag=not 1):
\tif (n := len(argv or [])) > 1 and not (flag or n): pass
\telif n == 0 is not None: return (
\t\tn, # trailing
\t)
\telse:
\t\t# nothing to do
\t\tn += (1)

\ttry:
\t\tglobal count, total
\t\tcount = total = n if n else -n
\t\tdel argv[0], (argv)
\texcept (ValueError, KeyError) as error: raise RuntimeError("x") from error
\telse: assert n, "message"
\tfinally:
\t\twhile n: n = n - 1; continue
\t\telse: pass
\tmatch n:
\t\tcase [1, *others] if others: print(others)
\t\tcase {"a": x} | [x]: print(x)
\t\tcase _: ...
\twith open(f"{n}") as f, f: f.read()
\tsquares = {k: v ** 2 for k, v in zip(range(n), (i for i in "ab"), strict=True) if v}
\tpairs = {(a, b) for a in squares for b in (lambda q=1, *r: q + r)(a) if a < b <= 3 != n}
\treturn max(x for x in squares), [*pairs], ~n @ 2 << 1, lambda: (yield), x[1:2, ::3, ...], x[()]
if __name__ == "__main__": main()  # run"""

CONTINUED = """\
x = 1 + \\
    2
y = (
    x  # one
    +
    # two
    3
)

if x and \\
   y: z = [
       x, y
   ]; w = x
\x0c
class A(object): a = 1; b = a;
#last
"""

FILES = {
    "layer": LAYER,
    "layer, windows": LAYER.replace("\n", "\r\n"),
    "layer's end, mixed": LAYER[LAYER.index("def text") :].replace("\n", "\r\n", 4),
    "script, tabs": SCRIPT,
    "continued": CONTINUED,
    "continued, windows": CONTINUED.replace("\n", "\r\n"),
    "empty": "",
    "comments": "# a\n\n# b",
}

FEW = {name: FILES[name] for name in ("layer", "script, tabs", "continued, windows")}


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_replacing_any_expression_by_itself_changes_nothing(text: str) -> None:
    tree = ast.parse(text)
    for node in expression_nodes(tree):
        if isinstance(node, ast.Starred):
            continue  # not an expression on its own
        span = span_of(text, node)
        if span.row != span.end_row and _mixed(text):
            continue  # new rows take the file's most frequent newline
        edit = Edit(EditKind.REPLACE, span, text_of(text, span))
        assert apply_edits(text, [fix(edit)]) == text, ast.dump(node)


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_replacing_every_name_gives_the_renamed_tree(text: str) -> None:
    class Rename(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.Name:
            return ast.Name(node.id + "_ö", node.ctx)

    names = [node for node in expression_nodes(ast.parse(text)) if isinstance(node, ast.Name)]
    edits = [Edit(EditKind.REPLACE, span_of(text, node), node.id + "_ö") for node in names]
    new = apply_edits(text, [fix(*edits)])
    assert ast.dump(ast.parse(new)) == ast.dump(Rename().visit(ast.parse(text)))
    assert len(new) == len(text) + 2 * len(names)


@pytest.mark.parametrize("text", FEW.values(), ids=FEW)
def test_replacing_any_loaded_name_by_a_sum_gives_that_tree(text: str) -> None:
    class Substitute(ast.NodeTransformer):
        def __init__(self, index: int) -> None:
            self.left = index

        def visit_Name(self, node: ast.Name) -> ast.expr:
            self.left -= 1
            return ast.parse("p + q", mode="eval").body if self.left == -1 else node

    names = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)]
    order = _in_visiting_order(text)
    assert len(order) == len(names)
    for index, node in enumerate(order):
        if not isinstance(node.ctx, ast.Load):
            continue
        edit = Edit(EditKind.REPLACE, span_of(text, node), "p + q")
        new = apply_edits(text, [fix(edit)])
        expected = Substitute(index).visit(ast.parse(text))
        assert ast.dump(ast.parse(new)) == ast.dump(expected)


def _in_visiting_order(text: str) -> list[ast.Name]:
    found: list[ast.Name] = []

    class Collect(ast.NodeVisitor):
        def visit_Name(self, node: ast.Name) -> None:
            found.append(node)

    Collect().visit(ast.parse(text))
    return found


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_replacing_any_top_level_statement_by_itself_changes_nothing(text: str) -> None:
    for node in ast.parse(text).body:
        if getattr(node, "decorator_list", None):
            continue  # the span leaves the decorators out, so the code would too
        span = span_of(text, node)
        edit = Edit(EditKind.STATEMENT, span, text_of(text, span))
        if span.row != span.end_row and _mixed(text):
            continue
        if span.column == 1 and not text_of(text, span).endswith(";"):
            new = _or_none(text, edit)
            if new is None:
                assert _shares_its_row(text, node)
            else:
                assert new == text


@pytest.mark.parametrize("text", FEW.values(), ids=FEW)
def test_removing_any_statement_keeps_every_comment_outside(text: str) -> None:
    for node in [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.stmt)]:
        new = _or_none(text, Edit(EditKind.STATEMENT, span_of(text, node), ""))
        if new is None:
            assert isinstance(node, ast.If)  # an elif
        else:
            assert sorted(_comments(new)) == sorted(_comments(text))


@pytest.mark.parametrize("text", FEW.values(), ids=FEW)
def test_inserting_before_any_statement_only_adds(text: str) -> None:
    for node in [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.stmt)]:
        new = _or_none(text, Edit(EditKind.BEFORE, span_of(text, node), "inserted = 1"))
        if new is None:
            assert isinstance(node, ast.If)
            continue
        assert new.count("inserted = 1") == 1
        rest = iter(new)
        kept = text.replace(" ", "").replace("\t", "")
        assert all(character in rest for character in kept)


def _mixed(text: str) -> bool:
    return "\r\n" in text and "\n" in text.replace("\r\n", "")


def _or_none(text: str, edit: Edit) -> str | None:
    try:
        return apply_edits(text, [fix(edit)])
    except RewriteError as error:
        assert "elif" in str(error) or "shares its row" in str(error)  # noqa: PT017
        return None


def _shares_its_row(text: str, node: ast.stmt) -> bool:
    rows = [each.lineno for each in ast.parse(text).body]
    return rows.count(node.lineno) > 1


def _comments(text: str) -> list[str]:
    found: list[str] = []

    class Collect(libcst.CSTVisitor):
        def visit_Comment(self, node: libcst.Comment) -> None:
            found.append(node.value)

    libcst.parse_module(text).visit(Collect())
    return found


# -- trees, threads, limits ---------------------------------------------------------------------


def test_tree_in_tree_out() -> None:
    text = "y = f(x)  # c\n"
    tree = libcst.parse_module(text)
    new = apply_to_tree(tree, [fix(replace(text, "x", "a, b"), before(text, "y", "z = 1"))])
    assert isinstance(new, libcst.Module)
    assert new.code == "z = 1\ny = f((a, b))  # c\n"
    assert tree.code == text


def test_nothing_to_do_returns_the_same() -> None:
    tree = libcst.parse_module("x\n")
    assert apply_to_tree(tree, []) is tree
    assert apply_edits("not python at all", []) == "not python at all"


def test_limits_of_the_interpreter_are_put_back() -> None:
    limits = sys.getrecursionlimit(), threading.stack_size()
    apply_edits("x\n", [fix(replace("x\n", "x", "y"))])
    with pytest.raises(RewriteError):
        apply_edits("x\n", [fix(Edit(EditKind.REPLACE, Span(9, 9, 9, 9), "y"))])
    assert (sys.getrecursionlimit(), threading.stack_size()) == limits


DEEP = {
    "sum": " + ".join(["a"] * 1500),
    "calls": "a" + ".f()" * 600,
    "brackets": "(" * 90 + "a" + ",)" * 90,
    "elif": "if b: c\n" + "elif b: c\n" * 800 + "else: a",
}


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP)
def test_deep_files(text: str) -> None:
    nth = text.count("a") - 1
    row = text.count("\n") + 1
    column = text.rindex("a") - text.rfind("\n")
    edit = Edit(EditKind.REPLACE, Span(row, column, row, column + 1), "new")
    index = text.rindex("a")
    assert nth >= 0
    assert apply_edits(text, [fix(edit)]) == text[:index] + "new" + text[index + 1 :]


def test_too_deep_brackets_are_refused() -> None:
    text = "x\n" + "(" * 250 + "a" + ")" * 250 + "\n"
    with pytest.raises(RewriteError, match="the file does not parse: too many nested"):
        apply_edits(text, [fix(Edit(EditKind.REPLACE, Span(1, 1, 1, 2), "y"))])
    with pytest.raises(RewriteError, match="does not parse: too many nested"):
        apply_edits("x\n", [fix(replace("x\n", "x", text[2:]))])


@pytest.mark.parametrize("text", ["x\ry\n", "x\r", "\fx\n", "a\n\fx\n"])
def test_files_that_cannot_be_reproduced_are_refused(text: str) -> None:
    span = span_of(text, next(expression_nodes(ast.parse(text))))
    with pytest.raises(RewriteError, match="cannot"):
        apply_edits(text, [fix(Edit(EditKind.REPLACE, span, "y"))])


def test_a_file_that_does_not_parse_is_refused() -> None:
    with pytest.raises(RewriteError, match="the file does not parse"):
        apply_edits("print 1\n", [fix(Edit(EditKind.REPLACE, Span(1, 7, 1, 8), "2"))])


def test_warnings_of_the_file_are_not_raised() -> None:
    text = "x = '\\d'\n"
    edit = Edit(EditKind.STATEMENT, Span(1, 1, 1, 9), "y = '\\d'")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert apply_edits(text, [fix(edit)]) == "y = '\\d'\n"
