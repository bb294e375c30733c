"""Generators: who uses one up, and whether one use can come after another."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from gradfix.flow import classes
from gradfix.flow.module import ModuleFlow
from gradfix.flow.nodes import walk
from gradfix.flow.optimizers import optimizers
from gradfix.flow.values import Kind

#: Functions that walk through their argument to its end.
_WALKERS = frozenset(
    """builtins.sum builtins.list builtins.tuple builtins.set builtins.sorted builtins.max
    builtins.min builtins.any builtins.all builtins.enumerate torch.nn.utils.clip_grad_norm_
    torch.nn.utils.clip_grad_value_ torch.nn.utils.parameters_to_vector
    torch.nn.utils.clip_grad.clip_grad_norm_ torch.nn.utils.clip_grad.clip_grad_value_
    torch.nn.utils.clip_grad_norm""".split()
)
_LEAVES = (ast.Return, ast.Raise, ast.Break, ast.Continue)


def is_generator(flow: ModuleFlow, node: ast.expr) -> bool:
    """Whether an expression gives the Parameters of a Module, and gives them only once."""
    if isinstance(node, ast.GeneratorExp):
        return any(is_generator(flow, part.iter) for part in node.generators[:1])
    if not isinstance(node, ast.Call):
        return False
    if isinstance(node.func, ast.Attribute) and node.func.attr == "parameters":
        owner = flow.value(node.func.value)
        if owner.kind is Kind.INSTANCE:
            return (
                classes.is_module(flow, owner) and classes.method(flow, owner, "parameters") is None
            )
        return owner.kind in (Kind.MODULE, Kind.UNKNOWN)
    function = flow.value(node.func)
    if function.kind is Kind.REFERENCE and function.name in ("builtins.filter", "itertools.chain"):
        return any(is_generator(flow, part) for part in node.args)
    return False


def consumers(flow: ModuleFlow, uses: Iterable[ast.AST]) -> dict[ast.AST, str]:
    """The uses that walk through a generator ("optimizer", "next", "walk"); others are left out."""
    built = {made.node for made in optimizers(flow)}
    found: dict[ast.AST, str] = {}
    for use in uses:
        parent = flow.parents.get(use)
        if isinstance(parent, (ast.For, ast.comprehension)) and parent.iter is use:
            found[use] = "walk"
            continue
        around = parent
        while isinstance(around, (ast.keyword, ast.Dict, ast.List, ast.Starred)):
            around = flow.parents.get(around)
        if around in built:
            found[use] = "optimizer"
        elif isinstance(parent, ast.Call) and use in parent.args:
            function = flow.value(parent.func)
            if function.kind is Kind.REFERENCE and function.name in _WALKERS:
                found[use] = "walk"
            elif function.kind is Kind.REFERENCE and function.name == "builtins.next":
                found[use] = "next"
    return found


def may_follow(flow: ModuleFlow, first: ast.AST, second: ast.AST) -> bool:
    """Whether ``second`` can run after ``first``: later in the text, and on no path of its own."""
    if flow.span(first) >= flow.span(second):
        return False
    above = {}
    at: ast.AST | None = second
    while at is not None:
        parent = flow.parents.get(at)
        above[parent] = at
        at = parent
    at = first
    while at is not None:
        parent = flow.parents.get(at)
        if parent in above:
            return not _apart(parent, at, above[parent])
        if isinstance(at, ast.stmt) and _leaves_after(flow, at):
            return _is_caught(flow, at, above)
        at = parent
    return True


def spent_before(flow: ModuleFlow, first: ast.AST, second: ast.AST) -> bool:
    """Whether ``first`` certainly runs before ``second``: it stands in a block around it."""
    at: ast.AST | None = second
    while at is not None:
        if isinstance(at, ast.stmt):
            for earlier in flow.block_of(at):
                if earlier is at:
                    break
                if first in set(walk(earlier)):
                    return True
        at = flow.parents.get(at)
    return False


def _is_caught(flow: ModuleFlow, leaving: ast.AST, above: dict[ast.AST | None, ast.AST]) -> bool:
    """Whether a ``finally`` or ``except`` around what leaves leads to the place below ``above``."""
    at: ast.AST | None = leaving
    while at is not None:
        parent = flow.parents.get(at)
        if isinstance(parent, ast.Try) and parent in above:
            return above[parent] in parent.finalbody or above[parent] in parent.handlers
        at = parent
    return False


def _apart(parent: ast.AST | None, one: ast.AST, other: ast.AST) -> bool:
    """Whether two children of a node are alternatives."""
    if isinstance(parent, ast.IfExp):
        return one is not parent.test
    if isinstance(parent, ast.If):
        return (one in parent.body) != (other in parent.body) and one is not parent.test
    if isinstance(parent, ast.Match):
        return one is not parent.subject
    if isinstance(parent, ast.Try):
        return isinstance(one, ast.ExceptHandler) and isinstance(other, ast.ExceptHandler)
    return False


def _leaves_after(flow: ModuleFlow, statement: ast.stmt) -> bool:
    """Whether the path through a statement leaves its block without going on behind it."""
    block = flow.block_of(statement)
    if statement not in block:
        return isinstance(statement, _LEAVES)
    return any(isinstance(later, _LEAVES) for later in block[block.index(statement) :])
