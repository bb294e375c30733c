"""Statements that do several things are read as their parts, and only where that is the same."""

from __future__ import annotations

import ast

import pytest

from gradfix.flow import parse

READ = {
    "a, b = x, y": "a = x\nb = y",
    "[a, (b, c)] = x, [y, z]": "a = x\nb = y\nc = z",
    "self.a, b[0] = x, y": "self.a = x\nb[0] = y",
    "a, *b = x, y, z": "a = x\nb = [y, z]",
    "*a, b = x, y, z": "a = [x, y]\nb = z",
    "a: int = f(x)": "a = f(x)",
    "(a := f(x))": "a = f(x)",
    "if (a := f(x)) > 0:\n    g(a)": "a = f(x)\nif a > 0:\n    g(a)",
    "b = g((a := f(x)), a)": "a = f(x)\nb = g(a, a)",
    "if (a := f(x)) and g(a):\n    pass": "a = f(x)\nif a and g(a):\n    pass",
    "(a := f(a))": "a = f(a)",
    "setattr(x, 'w', v)": "x.w = v",
    "y = getattr(x, 'w')": "y = x.w",
    "x.__setitem__(i, v)": "x[i] = v",
    "import torch\ntorch.Tensor.add_(x, 1)": "import torch\nx.add_(1)",
}
KEPT = [
    "a, b = f(x)",
    "a, b = *x, y",
    "a, b = x, y, z",
    "a, a = x, y",
    "a, b[a] = x, y",
    "x, x[0] = y, z",
    "a, *b = (x,)",
    "self.a = self.b = f(x)",
    "a = b, c = f(x)",
    "a = a[0] = f(x)",
    "a = b = f(x)",
    "a = b = 0",
    "class C:\n    a: int = 0",
    "a: int",
    "b = a + (a := f(x))",
    "b = x.add_(1) + (a := f(x))",
    "b = c and (a := f(x))",
    "b = (a := f(x)) if c else d",
    "b = [(a := f(i)) for i in x]",
    "while (a := f(x)):\n    pass",
    "b = lambda: (a := 1)",
    "setattr(x, name, v)",
    "setattr(x, 'not a name', v)",
    "setattr(x, '__class__', v)",
    "y = getattr(x, 'w', None)",
    "super().__setitem__(i, v)",
    "other.Tensor.add_(x, 1)",
]


@pytest.mark.parametrize("text", READ)
def test_read_as_its_parts(text: str) -> None:
    assert ast.unparse(parse(text)) == READ[text]


@pytest.mark.parametrize("text", KEPT)
def test_kept(text: str) -> None:
    assert ast.unparse(parse(text)) == ast.unparse(ast.parse(text))


@pytest.mark.parametrize(
    "around",
    ["def f():\n    {}", "if c:\n    pass\nelif d:\n    {}", "try:\n    {}\nfinally:\n    pass"],
)
def test_wherever_it_stands(around: str) -> None:
    parts = ast.unparse(ast.parse(around.format("a = x\n    b = y")))
    assert ast.unparse(parse(around.format("a, b = x, y"))) == parts


def test_parts_reach_from_the_target_to_the_value() -> None:
    one, two = parse("\na, b = x, (\n    y)\n").body
    assert (one.lineno, one.col_offset, one.end_lineno, one.end_col_offset) == (2, 0, 2, 8)
    assert (two.lineno, two.col_offset, two.end_lineno, two.end_col_offset) == (2, 3, 3, 5)
