"""What is found, and what is left alone, does not depend on how a program is spelled."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from test_facts_hold import FILES, tabled

from gradfix import engine
from gradfix.config import settings_from
from gradfix.model import Source

_KEYWORDS = {
    "torch.cat": ("tensors", "dim"),
    "torch.stack": ("tensors", "dim"),
    "torch.optim.SGD": ("params", "lr"),
    "nn.Linear": ("in_features", "out_features"),
}
_SAID = "What this is for.\n\n    Args:\n        x: something\n    "
_Block = list[ast.stmt]
D = TypeVar("D", ast.ClassDef, ast.FunctionDef)


class Respelled(ast.NodeTransformer):
    """The same program: results have names, layers are run by ``forward``, sizes have keywords.

    Functions and classes say what they are for, and loops and ``forward`` begin with a branch.
    """

    def __init__(self, layers: frozenset[str]) -> None:
        self.layers = layers  # attributes that hold a layer of PyTorch

    def visit_Return(self, node: ast.Return) -> ast.Return | _Block:
        self.generic_visit(node)
        if node.value is None or isinstance(node.value, (ast.Name, ast.Constant)):
            return node
        named = ast.Assign([ast.Name("result_", ast.Store())], node.value)
        return [named, ast.Return(ast.Name("result_", ast.Load()))]

    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        names = _KEYWORDS.get(ast.unparse(node.func), ())
        plain = not any(isinstance(argument, ast.Starred) for argument in node.args)
        if plain and 0 < len(node.args) <= len(names):
            given = zip(names, node.args, strict=False)
            node.keywords = [*(ast.keyword(*pair) for pair in given), *node.keywords]
            node.args = []
        elif isinstance(node.func, ast.Attribute) and ast.unparse(node.func) in self.layers:
            node.func = ast.Attribute(node.func, "forward", ast.Load())
        return node

    def visit_For(self, node: ast.For) -> ast.For:
        self.generic_visit(node)
        node.body[:0] = ast.parse("if VERBOSE:\n    print('turn')").body
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        self.generic_visit(node)
        return _described(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self.generic_visit(node)
        if node.name == "forward":
            node.body[:0] = ast.parse("if VERBOSE:\n    print('forward')").body
        return _described(node)


def _described(node: D) -> D:
    if ast.get_docstring(node) is None:
        node.body.insert(0, ast.Expr(ast.Constant(_SAID)))
    return node


def layers_of(tree: ast.Module) -> frozenset[str]:
    """``self.name`` of what is bound once, to a layer of PyTorch with weights."""
    bound = Counter(
        ast.unparse(target)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
    )
    return frozenset(
        ast.unparse(node.targets[0])
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Call)
        and ast.unparse(node.value.func) in ("nn.Linear", "nn.GRUCell", "nn.Embedding", "nn.Conv2d")
        and ast.unparse(node.targets[0]).startswith("self.")
        and bound[ast.unparse(node.targets[0])] == 1
    )


def respelled(text: str) -> str:
    """A program that does the same."""
    tree = ast.parse(text)
    tree = Respelled(layers_of(tree)).visit(tree)
    at = sum(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body)
    tree.body.insert(at, *ast.parse("VERBOSE = False").body)
    return ast.unparse(ast.fix_missing_locations(tree))


def codes(text: str) -> list[str]:
    """The codes of what is found, in their order."""
    outcome = engine.check(Source("m.py", text), settings_from())
    assert not outcome.failures, outcome.failures
    return sorted(finding.code for finding in outcome.findings)


def differing(path: Path) -> Iterator[str]:
    for case in tabled(path):
        if "gradfix:" in case.before or "noqa" in case.before:
            continue  # comments are lost
        if codes(ast.unparse(ast.parse(case.before))) != codes(respelled(case.before)):
            yield case.name


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_same_is_found_in_other_words(path: Path) -> None:
    assert list(differing(path)) == []
