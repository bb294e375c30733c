"""Leaves that only what is done with them gives away, and recorded writes to them.

What ``model.parameters()`` yields is not known where another file makes the model, nor what
``layer.bias`` is. But what is updated with its own ``.grad`` behind a backward requires grad, and
an attribute that is bound to an ``nn.Parameter`` of its own values was one before. A loop over the
Parameters of a layer, or of a model that has just been trained, goes through leaves.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TypeGuard

from gradfix.flow.arguments import calls_to, passed_for
from gradfix.flow.module import ModuleFlow
from gradfix.flow.nodes import walk
from gradfix.flow.queries import VIEWS, calls_in, calls_of
from gradfix.flow.registered import is_weighted
from gradfix.flow.state import AttributeStore, Backward, Call, GradMode, Scope, Write
from gradfix.flow.torch_ops import op_facts
from gradfix.flow.values import Kind, Role, Value
from gradfix.words import mentions

#: An argument called ``out``, spaces in front of its equals sign included.
_OUT = re.compile(r"out *=")
_YIELDS = {"parameters": 0, "named_parameters": 1}


def revealed_writes(flow: ModuleFlow) -> Iterator[tuple[Write, Value]]:
    """Every write to such a leaf with grad mode on, and the leaf.

    The target of the write is that leaf where it certainly is one.
    ``how`` is "out" where a function is given a leaf as ``out=``, which autograd does not support.
    (https://docs.pytorch.org/docs/stable/notes/autograd.html#in-place-operations-with-autograd)
    """
    yield from _updated_with_own_gradient(flow)
    yield from _written_one_by_one(flow)
    yield from _registered_again(flow)
    yield from _given_as_out(flow)


# -- updated with its own gradient --------------------------------------------------------------


def _updated_with_own_gradient(flow: ModuleFlow) -> Iterator[tuple[Write, Value]]:
    """``for p in model.parameters(): p.add_(p.grad)`` behind a backward in the same function."""
    if not mentions(flow.text, ".grad") or not mentions(flow.text, "parameters()"):
        return
    first: dict[Scope, ast.AST] = {}
    for backward in flow.all(Backward):
        first.setdefault(backward.scope, backward.node)
    for call in flow.all(Call) if first else ():
        loop = flow.parents.get(call.node)
        if call.scope not in first or not isinstance(loop, ast.For) or loop.iter is not call.node:
            continue
        name = _parameter_of(loop)
        if name is None or flow.span(loop) < flow.span(first[call.scope]):
            continue
        leaf = Value(Kind.TENSOR, Role.LEAF, loop.iter, "Parameter", parameter=True)
        for statement in _statements_in(loop.body):
            found = _written(statement, name)
            if found is not None and flow.modes.get(statement) is GradMode.ON:
                node, base, how, op = found
                yield _write(node, statement, call.scope, leaf, base, how, op), leaf


def _parameter_of(loop: ast.For) -> str | None:
    """The name that a loop over the Parameters of a model binds to each, and to nothing else."""
    call, target = loop.iter, loop.target
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
        return None
    at = _YIELDS.get(call.func.attr)
    if at == 1 and isinstance(target, ast.Tuple) and len(target.elts) == 2:
        target = target.elts[1]
    elif at != 0:
        return None
    if not isinstance(target, ast.Name):
        return None
    stores = (
        node
        for statement in loop.body
        for node in walk(statement)
        if isinstance(node, (ast.Assign, ast.AnnAssign, ast.For, ast.NamedExpr, ast.Delete))
        for node in walk(node)
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)
    )
    return None if any(node.id == target.id for node in stores) else target.id


def _statements_in(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a loop, those under an ``if`` in it included."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.If):
            yield from _statements_in([*statement.body, *statement.orelse])


def _written(statement: ast.stmt, name: str) -> tuple[ast.AST, ast.expr, str, str] | None:
    """Where a statement writes ``name`` in place, given ``name.grad``."""
    found = _write_in(statement)
    if found is None or not (isinstance(found[1], ast.Name) and found[1].id == name):
        return None
    return found if _takes_gradient(statement, name) else None


def _write_in(statement: ast.stmt) -> tuple[ast.AST, ast.expr, str, str] | None:
    """The in-place write that a statement is: where, to what, how, and by which operation."""
    if isinstance(statement, ast.AugAssign):
        return statement, statement.target, "augment", ""
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        call = statement.value
        if isinstance(call.func, ast.Attribute):
            op = op_facts(call.func.attr, "method")
            if op is not None and op.inplace and op.writes:
                return call, call.func.value, "method", call.func.attr
    return None


def _takes_gradient(statement: ast.stmt, name: str) -> bool:
    """Whether ``name.grad`` is read in a statement."""
    return any(
        isinstance(node, ast.Attribute)
        and node.attr == "grad"
        and isinstance(node.value, ast.Name)
        and node.value.id == name
        for node in walk(statement)
    )


def _write(
    node: ast.AST, statement: ast.stmt, scope: Scope, leaf: Value, base: ast.expr, how: str, op: str
) -> Write:
    """A write that the interpreter did not see as one."""
    return Write(node, statement, scope, GradMode.ON, leaf, base, how, op, None, None, ())


# -- one Parameter after the other --------------------------------------------------------------


def _written_one_by_one(flow: ModuleFlow) -> Iterator[tuple[Write, Value]]:
    """``for p in layer.parameters(): p.clamp_(-1, 1)``."""
    if not mentions(flow.text, "parameters()") or flow.freezes_parameters:
        return
    for call in calls_of(flow, *(f".{name}" for name in _YIELDS)):
        loop = flow.parents.get(call.node)
        if not isinstance(loop, ast.For) or loop.iter is not call.node:
            continue
        name = _parameter_of(loop)
        if name is None:
            continue
        for statement in _statements_in(loop.body):
            found = _write_in(statement)
            if found is None and isinstance(statement, ast.Assign) and len(statement.targets) == 1:
                target = statement.targets[0]
                found = (statement, target, "setitem", "") if _is_part(target, True) else None
            if found is None or _takes_gradient(statement, name):
                continue
            node, base, how, op = found
            root = base.value if _is_part(base, how != "method") else base
            if not isinstance(root, ast.Name) or root.id != name:
                continue
            if flow.modes.get(statement) is GradMode.ON and _are_leaves(flow, call, loop):
                leaf = Value(Kind.TENSOR, Role.LEAF, loop.iter, "Parameter", parameter=True)
                yield _write(node, statement, call.scope, leaf, base, how, op), leaf


def _is_part(node: ast.expr, written: bool) -> TypeGuard[ast.Subscript]:
    """Whether this is a part of a tensor that shares its memory; a mask does so when written."""
    if not isinstance(node, ast.Subscript):
        return False
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    return written or all(isinstance(part, (ast.Slice, ast.Constant)) for part in parts)


def _are_leaves(flow: ModuleFlow, call: Call, loop: ast.For) -> bool:
    """Whether what a loop over Parameters runs through certainly requires grad where it runs."""
    scope = call.scope
    if call.receiver is None or not isinstance(call.node, ast.Call):
        return False
    if _has_been_trained(flow, call, loop):
        return True
    weighted = is_weighted(flow, call.receiver)
    if not scope.is_function or scope.name == "__init__":
        return weighted
    flow.complete()
    if weighted:
        return any(one.mode is GradMode.ON for one in calls_to(flow, scope.node))
    assert isinstance(call.node.func, ast.Attribute)
    given = passed_for(flow, scope, call.node.func.value)
    return any(one.mode is GradMode.ON and is_weighted(flow, value) for one, value in given)


def _has_been_trained(flow: ModuleFlow, call: Call, loop: ast.For) -> bool:
    """Whether the function calls the model with grad mode on, and backward before the loop."""
    backwards = [b for b in flow.all(Backward) if b.scope is call.scope]
    if not any(flow.span(backward.node) < flow.span(loop) for backward in backwards):
        return False
    assert isinstance(call.node, ast.Call) and isinstance(call.node.func, ast.Attribute)
    model = ast.unparse(call.node.func.value)
    return any(
        isinstance(one.node, ast.Call)
        and one.mode is GradMode.ON
        and ast.unparse(one.node.func) == model
        for one in calls_in(flow, call.scope)
    )


# -- registered again ---------------------------------------------------------------------------


def _registered_again(flow: ModuleFlow) -> Iterator[tuple[Write, Value]]:
    """``b = m.bias.view(3, -1)``, ``b[0] += 1``, ``m.bias = nn.Parameter(b.view(-1))``."""
    for store in flow.all(AttributeStore):
        value = store.value
        if value.op != "Parameter" or not value.is_leaf or not value.inputs:
            continue
        before = _attribute_behind(value.inputs[0], store)
        if before is None or before.kind is not Kind.UNKNOWN:
            continue
        for write in flow.all(Write):
            if write.scope is store.scope and write.mode is GradMode.ON:
                behind = _attribute_behind(write.target, store)
                if behind is not None and flow.span(write.node) < flow.span(store.node):
                    yield write, Value(Kind.TENSOR, Role.LEAF, behind.node, parameter=True)


def _attribute_behind(value: Value, store: AttributeStore) -> Value | None:
    """What the stored attribute held before, if ``value`` is that, or certainly a view of it."""
    for _ in range(10):
        node = value.node
        if isinstance(node, ast.Attribute) and isinstance(store.node, ast.Attribute):
            same = node.attr == store.node.attr and value.inputs[:1] == (store.owner,)
            return value if same else None
        if value.kind is not Kind.UNKNOWN or not value.inputs or not isinstance(node, ast.Call):
            return None
        if not isinstance(node.func, ast.Attribute) or node.func.attr not in VIEWS:
            return None
        value = value.inputs[0]
    return None


# -- given as ``out=`` --------------------------------------------------------------------------


def _given_as_out(flow: ModuleFlow) -> Iterator[tuple[Write, Value]]:
    """``torch.add(a, b, out=leaf)``."""
    if not _OUT.search(flow.text):
        return
    for call in flow.all(Call):
        leaf = call.keyword("out") if call.name.startswith("torch.") else None
        if leaf is None or not leaf.is_leaf or call.mode is not GradMode.ON:
            continue
        assert isinstance(call.node, ast.Call)
        base = next(k.value for k in call.node.keywords if k.arg == "out")
        op = call.name.rpartition(".")[2]
        yield _write(call.node, call.statement, call.scope, leaf, base, "out", op), leaf
