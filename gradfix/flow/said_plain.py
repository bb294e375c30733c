"""Code that says what has no gradient, or is no leaf: a test, a demonstration, a contract.

``assert net.trunk.weight.grad is None`` and ``if not t.is_leaf:`` show that what a rewrite would
mend is known, and may be meant.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable

from gradfix.flow.expected import OF_NON_LEAVES, is_absence_expected, is_meant_to_raise
from gradfix.flow.module import ModuleFlow
from gradfix.flow.nodes import last_name, walk
from gradfix.flow.queries import leaf_uses, origins
from gradfix.flow.state import Call, GradRead, OptimizerMade
from gradfix.flow.values import Value
from gradfix.words import mentions

_ABOUT_LEAVES = ("is_leaf", "grad_fn", "_base")
#: Names that every layer has.
_COMMON = frozenset({"self", "grad", "weight", "bias", "data", "parameters"})


def asks_for_leaf(flow: ModuleFlow, value: Value) -> ast.AST | None:
    """Where code goes another way if this very tensor is a leaf, or says that it is none."""
    asking = [node for name in _ABOUT_LEAVES for node in flow.attributes(name)]
    asking = [node for node in asking if node.attr == "_base" or _decides(flow, node)]
    if not asking:
        return None
    mine = origins(flow, value)
    return next((node for node in asking if mine & origins(flow, flow.value(node.value))), None)


def _decides(flow: ModuleFlow, asked: ast.Attribute) -> bool:
    """``if t.is_leaf``, ``assert not t.is_leaf``, ``assert t.grad_fn is not None``: no report."""
    at: ast.AST = asked
    no_leaf = False
    while (around := flow.parents.get(at)) is not None:
        if isinstance(around, ast.UnaryOp):
            no_leaf = True
        elif isinstance(around, ast.Compare):
            no_leaf = isinstance(around.ops[0], ast.IsNot)
        elif isinstance(around, ast.Call):
            no_leaf = last_name(around.func) in ("assertFalse", "assertIsNotNone")
        elif isinstance(around, (ast.If, ast.While, ast.IfExp)):
            return around.test is at
        elif isinstance(around, (ast.Assert, ast.Expr)):
            return no_leaf
        elif not isinstance(around, ast.BoolOp):
            return False
        at = around
    return False


def is_only_read_detached(flow: ModuleFlow, name: str) -> bool:
    """Whether every use of an attribute in the file takes its numbers: nobody trains it."""
    reads = [node for node in flow.attributes(name) if isinstance(node.ctx, ast.Load)]
    return bool(reads) and all(_is_detached(flow, read) for read in reads)


def _is_detached(flow: ModuleFlow, read: ast.expr) -> bool:
    """``self.prior.log().detach()``"""
    at: ast.AST = read
    while True:
        around = flow.parents.get(at)
        if isinstance(around, ast.Attribute):
            if around.attr in ("detach", "data"):
                return True
        elif not (isinstance(around, ast.Call) and around.func is at):
            return False
        at = around


def asks_how_made(flow: ModuleFlow, made: ast.AST) -> bool:
    """Whether code looks at how often a tensor was written, or at the operation that made it."""
    asking = flow.attributes("_version") + [
        node
        for node in flow.attributes("grad_fn")
        if isinstance(flow.parents.get(node), ast.Attribute)
    ]
    return any(made in origins(flow, flow.value(node.value)) for node in asking)


def is_known_as_no_leaf(flow: ModuleFlow, value: Value) -> bool:
    """Whether code asks if this is a leaf, says that it is none, or that optimizers refuse some."""
    if asks_for_leaf(flow, value) is not None:
        return True
    if flow.expects_errors and any(
        is_meant_to_raise(flow, made.node, OF_NON_LEAVES) for made in flow.all(OptimizerMade)
    ):
        return True
    mine = origins(flow, value)
    return any(
        mine & origins(flow, read.tensor)
        for read in flow.all(GradRead)
        if is_absence_expected(flow, read.node)
    )


def is_used_by_another_name(flow: ModuleFlow, name: str, leaves: Iterable[Value]) -> bool:
    """Whether a leaf has another name, too, by which the code asks for its gradient."""
    mine = {origin for leaf in leaves for origin in origins(flow, leaf)}
    return any(
        isinstance(use.base, ast.Name) and use.base.id != name and mine & origins(flow, tensor)
        for tensor, use in leaf_uses(flow)
    )


def expects_no_gradient(flow: ModuleFlow, call: Call) -> ast.AST | None:
    """Where the file says that something has no gradient which the code around ``call`` names."""
    if not mentions(flow.text, ".grad is None") and not mentions(flow.text, "assertIsNone"):
        return None
    saying = [node for read in flow.attributes("grad") if (node := _said_absent(flow, read))]
    if not saying:
        return None
    around = call.scope.node if call.scope.is_function else call.statement
    named = _names_in(around)
    return next((node for node in saying if not named.isdisjoint(_names_in(node))), None)


def _said_absent(flow: ModuleFlow, read: ast.Attribute) -> ast.stmt | None:
    """The statement that says a gradient is None: ``assert all(p.grad is None for p in ps)``."""
    at, parent = read, flow.parents.get(read)  # type: ast.AST, ast.AST | None
    said = isinstance(parent, ast.Call) and getattr(parent.func, "attr", "") == "assertIsNone"
    if isinstance(parent, ast.Compare):
        said = isinstance(parent.ops[0], ast.Is) and ast.unparse(parent.comparators[0]) == "None"
    while said and parent is not None and not isinstance(parent, ast.stmt):
        if isinstance(parent, ast.UnaryOp):
            return None  # assert not (w.grad is None)
        at, parent = parent, flow.parents.get(parent)
    if isinstance(parent, ast.Assert):
        return parent if said and at is parent.test else None
    return parent if said and isinstance(parent, ast.Expr) and _is_assertion(parent) else None


def _is_assertion(statement: ast.Expr) -> bool:
    call = statement.value
    return isinstance(call, ast.Call) and last_name(call.func) in ("assertIsNone", "assertTrue")


def _names_in(node: ast.AST | None) -> frozenset[str]:
    """The names and attributes below a node that say what it is about."""
    if node is None:
        return frozenset()
    found = {n.attr for n in walk(node) if isinstance(n, ast.Attribute)}
    found |= {n.id for n in walk(node) if isinstance(n, ast.Name)}
    return frozenset(found - _COMMON)
