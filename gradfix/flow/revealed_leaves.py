"""Leaves that only what is done with them gives away, and recorded writes to them.

What ``model.parameters()`` yields is not known where another file makes the model, nor what
``layer.bias`` is. But what is updated with its own ``.grad`` behind a backward requires grad, and
an attribute that is bound to an ``nn.Parameter`` of its own values was one before.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradfix.flow.module import ModuleFlow
from gradfix.flow.nodes import walk
from gradfix.flow.queries import VIEWS
from gradfix.flow.state import AttributeStore, Backward, Call, GradMode, Scope, Write
from gradfix.flow.torch_ops import op_facts
from gradfix.flow.values import Kind, Role, Value

_YIELDS = {"parameters": 0, "named_parameters": 1}


def revealed_writes(flow: ModuleFlow) -> Iterator[tuple[Write, Value]]:
    """Every write to such a leaf with grad mode on, and the leaf.

    The target of the write is that leaf where it certainly is one.
    ``how`` is "out" where a function is given a leaf as ``out=``, which autograd does not support.
    (https://docs.pytorch.org/docs/stable/notes/autograd.html#in-place-operations-with-autograd)
    """
    yield from _updated_with_own_gradient(flow)
    yield from _registered_again(flow)
    yield from _given_as_out(flow)


# -- updated with its own gradient --------------------------------------------------------------


def _updated_with_own_gradient(flow: ModuleFlow) -> Iterator[tuple[Write, Value]]:
    """``for p in model.parameters(): p.add_(p.grad)`` behind a backward in the same function."""
    if ".grad" not in flow.text or "parameters()" not in flow.text:
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
    base: ast.expr
    found: tuple[ast.AST, ast.expr, str, str]
    if isinstance(statement, ast.AugAssign):
        base, given = statement.target, [statement.value]
        found = (statement, base, "augment", "")
    elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        call = statement.value
        if not isinstance(call.func, ast.Attribute):
            return None
        op = op_facts(call.func.attr, "method")
        if op is None or not op.inplace or not op.writes:
            return None
        base, given = call.func.value, [*call.args, *(k.value for k in call.keywords)]
        found = (call, base, "method", call.func.attr)
    else:
        return None
    own = any(
        isinstance(node, ast.Attribute)
        and node.attr == "grad"
        and isinstance(node.value, ast.Name)
        and node.value.id == name
        for part in given
        for node in walk(part)
    )
    return found if own and isinstance(base, ast.Name) and base.id == name else None


def _write(
    node: ast.AST, statement: ast.stmt, scope: Scope, leaf: Value, base: ast.expr, how: str, op: str
) -> Write:
    """A write that the interpreter did not see as one."""
    return Write(node, statement, scope, GradMode.ON, leaf, base, how, op, None, None, ())


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
    if "out=" not in flow.text.replace(" ", ""):
        return
    for call in flow.all(Call):
        leaf = call.keyword("out") if call.name.startswith("torch.") else None
        if leaf is None or not leaf.is_leaf or call.mode is not GradMode.ON:
            continue
        assert isinstance(call.node, ast.Call)
        base = next(k.value for k in call.node.keywords if k.arg == "out")
        op = call.name.rpartition(".")[2]
        yield _write(call.node, call.statement, call.scope, leaf, base, "out", op), leaf
