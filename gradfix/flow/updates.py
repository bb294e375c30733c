"""Where code changes the weights in place: an optimizer's step, a hand-written update, a load."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from gradfix.flow.memories import Memories, root_of
from gradfix.flow.module import ModuleFlow
from gradfix.flow.optimizers import models_of, parameters_given
from gradfix.flow.queries import own_nodes
from gradfix.flow.state import Call, Scope
from gradfix.flow.torch_ops import op_facts
from gradfix.flow.values import Kind, Value

#: Methods after which the weights of a Module may live in other memory.
_MOVES = frozenset("to cuda cpu half double float bfloat16 to_empty type share_memory".split())


@dataclass(frozen=True, slots=True)
class Update:
    """An update of weights; ``paths`` are what is updated, empty where that is not known."""

    node: ast.AST
    paths: tuple[str, ...] = ()


def updates(flow: ModuleFlow, scope: Scope, depth: int = 0) -> Iterator[Update]:
    """Every place in a scope that certainly updates weights in place."""
    zeroed = {
        ast.unparse(node.func.value)
        for node in own_nodes(scope)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "zero_grad"
    }
    for call in flow.all(Call):
        if call.scope is not scope or not isinstance(call.node, ast.Call):
            continue
        if call.name == ".step":
            stepped = [call.receiver, *call.arguments[:1]]
            found = next((v for v in stepped if v is not None and is_optimizer(v)), None)
            if found is not None:
                yield Update(call.node, _models(flow, scope, found))
            elif isinstance(call.node.func, ast.Attribute):
                if ast.unparse(call.node.func.value) in zeroed:
                    yield Update(call.node)
        elif call.callee is not None and depth < 2 and _updates_inside(flow, call.callee, depth):
            yield Update(call.node)
    memories = Memories(flow, scope)
    for node in own_nodes(scope):
        yield from _by_hand(memories, node)


def is_optimizer(value: Value) -> bool:
    """Whether a value certainly is an optimizer, no learning-rate scheduler."""
    return value.kind is Kind.OPTIMIZER and "lr_scheduler" not in value.name


def _models(flow: ModuleFlow, scope: Scope, optimizer: Value) -> tuple[str, ...]:
    """The paths of the Modules that an optimizer made in this scope is built over."""
    made = optimizer.node
    given = parameters_given(made) if isinstance(made, ast.Call) else None
    if given is None or all(node is not made for node in own_nodes(scope)):
        return ()
    return tuple(ast.unparse(model) for model in models_of(given) if root_of(model) is not None)


def _updates_inside(flow: ModuleFlow, function: ast.AST, depth: int) -> bool:
    """Whether a function of this file steps an optimizer; what else it does is its own affair."""
    return any(
        not update.paths
        for scope in flow.scopes
        if scope.node is function
        for update in updates(flow, scope, depth + 1)
    )


def _by_hand(memories: Memories, node: ast.AST) -> Iterator[Update]:
    """``p -= lr * p.grad``, ``p.data.add_(...)``, ``net.load_state_dict(...)``."""
    target: ast.expr | None = None
    if isinstance(node, ast.AugAssign):
        target = node.target
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        name = node.func.attr
        op = op_facts(name, "method") if name.endswith("_") else None
        if op is not None and op.inplace and op.writes:
            target = node.func.value
        elif name == "load_state_dict" and root_of(node.func.value) is not None:
            if not any(keyword.arg == "assign" for keyword in node.keywords):
                yield Update(node, (ast.unparse(node.func.value),))
    for found in memories.of(target) if target is not None else ():
        if found.form == "one" and found.origin is None:
            yield Update(node, (found.path,))


def moves(scope: Scope) -> Iterator[tuple[str, ast.AST]]:
    """Calls after which a Module may have other memory, and stores of its attributes."""
    for node in own_nodes(scope):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in _MOVES:
                yield ast.unparse(node.func.value), node
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Attribute):
                    yield ast.unparse(target), node
