"""Arguments that hold integers, because the function uses them as indices."""

from __future__ import annotations

import ast
from collections import Counter

from gradfix.flow.nodes import last_name, walk

#: Functions whose first argument is a tensor of indices.
_TAKE_INDICES = frozenset({"one_hot", "embedding", "bincount"})


def holds_indices(function: ast.AST, argument: ast.arg) -> bool:
    """Whether a tensor argument, or each of its elements, is an index of something.

    Tensors of other types than integers and bool raise an IndexError there, and in the index of a
    list a TypeError (``Tensor.__getitem__`` and ``Tensor.__index__``). Nothing is known where the
    name is bound again.
    """
    nodes = list(walk(function))
    stored = Counter(
        node.id
        for node in nodes
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)
    )
    names = {argument.arg} if not stored[argument.arg] else set()
    for node in nodes:
        if names and isinstance(node, (ast.For, ast.AsyncFor)):
            element = _element(node, argument.arg)
            names |= {element} if stored[element] == 1 else set()
    return any(isinstance(index, ast.Name) and index.id in names for index in _indices(nodes))


def _element(loop: ast.For | ast.AsyncFor, name: str) -> str:
    """The name of the elements of a tensor in a loop over it; empty where it is another loop."""
    over, target = loop.iter, loop.target
    if isinstance(over, ast.Call) and isinstance(over.func, ast.Name) and over.args:
        if over.func.id != "enumerate" or not isinstance(target, ast.Tuple):
            return ""
        over, target = over.args[0], target.elts[-1]
    found = isinstance(over, ast.Name) and over.id == name and isinstance(target, ast.Name)
    return target.id if found and isinstance(target, ast.Name) else ""


def _indices(nodes: list[ast.AST]) -> list[ast.expr]:
    found: list[ast.expr] = []
    for node in nodes:
        if isinstance(node, ast.Subscript):
            found.append(node.slice)
        elif isinstance(node, ast.Call) and node.args:
            found += node.args[:1] if last_name(node.func) in _TAKE_INDICES else []
    return found
