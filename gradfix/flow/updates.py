"""Where code changes the weights in place: an optimizer's step, a hand-written update, a load."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from gradfix.flow.memories import Memories, root_of
from gradfix.flow.module import ModuleFlow
from gradfix.flow.names import is_in, own_nodes, own_text, written_out
from gradfix.flow.optimizers import models_of, parameters_given
from gradfix.flow.parameters import is_bound
from gradfix.flow.queries import calls_in, scopes_of
from gradfix.flow.state import Call, GradMode, GradRead, Scope
from gradfix.flow.torch_ops import op_facts
from gradfix.flow.values import Kind, Value
from gradfix.flow.walk import Walk

#: How many values back a gradient is looked for.
_REACH = 60
#: Methods after which the weights of a Module may live in other memory.
_MOVES = frozenset("to cuda cpu half double float bfloat16 to_empty type share_memory".split())
#: What is in the text of a function that writes to weights itself; a look before closer ones.
_BY_HAND = ("load_state_dict", *(f"{sign}=" for sign in (*"-+*/@%&|^", "<<", ">>")))
#: A method that writes in place; none of them has two underscores at its end.
_IN_PLACE = re.compile(r"[a-z0-9]_\(")


@dataclass(frozen=True, slots=True)
class Update:
    """An update of weights; ``paths`` are what is updated, empty where that is not known.

    ``loads`` says that it puts back what was kept: ``load_state_dict``, also by a called function.
    """

    node: ast.AST
    paths: tuple[str, ...] = ()
    loads: bool = False


def updates(flow: ModuleFlow, scope: Scope, depth: int = 0) -> Iterator[Update]:
    """Every place in a scope that certainly updates weights in place."""
    calls = calls_in(flow, scope)
    for call in calls:
        if not isinstance(call.node, ast.Call):
            continue
        if call.name == ".step":
            stepped = [call.receiver, *call.arguments[:1]]
            found = next((v for v in stepped if v is not None and is_optimizer(v)), None)
            if found is not None:
                yield Update(call.node, _models(flow, scope, found))
            elif isinstance(call.node.func, ast.Attribute):
                if ast.unparse(call.node.func.value) in _zeroed(calls):
                    yield Update(call.node)
        elif call.callee is not None and depth < 2:
            yield from _updates_inside(flow, call, call.node, depth)
    text = own_text(flow, scope)
    if any(word in text for word in _BY_HAND) or ("_(" in text and _IN_PLACE.search(text)):
        memories = Memories(flow, scope)
        for node in own_nodes(scope):
            yield from _by_hand(memories, node)


def _zeroed(calls: list[Call]) -> set[str]:
    """What ``zero_grad`` is called on, by its text."""
    return {
        ast.unparse(call.node.func.value)
        for call in calls
        if call.name == ".zero_grad"
        and isinstance(call.node, ast.Call)
        and isinstance(call.node.func, ast.Attribute)
    }


def is_optimizer(value: Value) -> bool:
    """Whether a value certainly is an optimizer, no learning-rate scheduler."""
    return value.kind is Kind.OPTIMIZER and "lr_scheduler" not in value.name


def _models(flow: ModuleFlow, scope: Scope, optimizer: Value) -> tuple[str, ...]:
    """The paths of the Modules that an optimizer made in this scope is built over."""
    made = optimizer.node
    given = parameters_given(made) if isinstance(made, ast.Call) else None
    if given is None or made is None or not is_in(scope, made):
        return ()
    given = written_out(scope, given)
    return tuple(ast.unparse(model) for model in models_of(given) if root_of(model) is not None)


def _updates_inside(flow: ModuleFlow, call: Call, node: ast.Call, depth: int) -> Iterator[Update]:
    """What a function of this file updates, in the words of the code that calls it."""
    for scope in scopes_of(flow, call.callee):
        for update in updates(flow, scope, depth + 1):
            if not update.paths:
                yield Update(node, loads=update.loads)
                continue
            paths = [_outside(scope, call, node, path) for path in update.paths]
            known = tuple(path for path in paths if path is not None)
            if known:
                yield Update(node, known, update.loads)


def _outside(scope: Scope, call: Call, node: ast.Call, path: str) -> str | None:
    """The caller's path for a path of the called function; None for what is its own."""
    root, dot, rest = path.partition(".")
    if root not in scope.by_name:
        return path  # a name of the module
    assert isinstance(scope.node, (ast.FunctionDef, ast.AsyncFunctionDef))
    names = [argument.arg for argument in scope.node.args.args]
    if call.called is not None and is_bound(scope.node, call.called.owner):
        if root in names[:1] and isinstance(node.func, ast.Attribute):
            return ast.unparse(node.func.value) + dot + rest
        names = names[1:]
    given = next((keyword.value for keyword in node.keywords if keyword.arg == root), None)
    if root in names and names.index(root) < len(node.args):
        given = node.args[names.index(root)]
    return None if given is None or root_of(given) is None else ast.unparse(given) + dot + rest


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
                yield Update(node, (ast.unparse(node.func.value),), loads=True)
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


def reads_gradient(flow: ModuleFlow, value: Value, name: str) -> GradRead | None:
    """The read of ``name.grad`` that a value is computed from, perhaps by way of other names."""

    def find() -> dict[str, dict[ast.AST, GradRead]]:
        by_name: dict[str, dict[ast.AST, GradRead]] = {}
        for read in flow.all(GradRead):
            if not read.store and read.mode is GradMode.ON:
                by_name.setdefault(flow.source_of(read.base), {})[read.node] = read
        return by_name

    reads = flow.worked_out("_gradients_read", len(flow.all(GradRead)), find).get(name, {})
    found = Walk([value], _REACH if reads else 0)
    for at in found:
        if at.node is not None and at.node in reads:
            return reads[at.node]
        found.further(at.inputs)
    return None
