"""Buffers that a Module updates while it trains, and the history that they take on.

Terms: a *running statistic* is a buffer that a method updates where ``self.training`` is tested. It
*takes on* the history of an argument of that method when the update is recorded and computed from
the argument without a cut. The next update adds to it, so that no batch is ever let go.
(https://docs.pytorch.org/docs/stable/notes/faq.html#my-model-reports-cuda-runtime-error-2-out-of-memory)
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from gradfix.flow.arguments import only_called_without_grad
from gradfix.flow.methods import CONVERSIONS
from gradfix.flow.module import ModuleFlow
from gradfix.flow.state import AttributeStore, Call, Event, GradMode, Scope, Write
from gradfix.flow.torch_ops import op_facts
from gradfix.flow.values import Certainty, Kind, Value
from gradfix.flow.walk import Walk
from gradfix.words import mentions

_FLOATS = frozenset({"float", "double", "half", "bfloat16", "to", "cuda", "cpu", "type_as"})


@dataclass(frozen=True, slots=True)
class Kept:
    """One update: its method and statement, the buffer, and the argument whose history it takes.

    ``returned`` is what the method computes from the same argument and returns, with its history.
    """

    scope: Scope
    statement: ast.stmt
    name: str
    argument: ast.AST
    returned: ast.AST


def kept_histories(flow: ModuleFlow) -> Iterator[Kept]:
    """Every recorded update of a buffer with values that have the history of an argument."""
    buffers = _buffers(flow)
    if not buffers or not mentions(flow.text, ".training"):
        return
    seen: set[ast.stmt] = set()
    updates = list(_updates(flow, buffers))
    growing = _growing(flow, updates)
    for event, name, value in updates:
        scope = event.scope
        if (scope, name) not in growing:
            continue
        if event.mode is not GradMode.ON or event.statement in seen or scope.name == "__init__":
            continue
        if not _in_training_only(flow, event.statement, scope) or _is_let_go(flow, name):
            continue
        # What comes behind the input may be masks, lengths or targets, which need no gradient.
        argument = next(iter(list(scope.arguments.values())[1:2]), Value(Kind.FOREIGN))
        if argument.node is None or argument.kind not in (Kind.UNKNOWN, Kind.TENSOR):
            continue
        returned = (
            _returned_from(flow, scope, argument)
            if _leads_to(flow, value, argument, True)
            else None
        )
        if returned is None:
            continue
        flow.complete()
        if not only_called_without_grad(flow, scope):
            seen.add(event.statement)
            yield Kept(scope, event.statement, name, argument.node, returned)


def _buffers(flow: ModuleFlow) -> dict[ast.AST, set[str]]:
    """The names that the constructors of each class register as buffers."""
    found: dict[ast.AST, set[str]] = {}
    if not mentions(flow.text, "register_buffer"):
        return found
    for call in flow.all(Call):
        receiver = call.receiver
        if call.name != ".register_buffer" or call.scope.class_node is None or receiver is None:
            continue
        name = call.arguments[0].const if call.arguments else None
        if receiver is flow.self_of(call.scope) and isinstance(name, str):
            found.setdefault(call.scope.class_node, set()).add(name)
    return found


def _updates(
    flow: ModuleFlow, buffers: dict[ast.AST, set[str]]
) -> Iterator[tuple[Event, str, Value]]:
    """The events that write a buffer or bind it again, its name, and what comes in."""
    for write in flow.all(Write):
        name = _own_attribute(write.base)
        if name is not None and write.value is not None and _is_own(write.scope, name, buffers):
            if write.target.op not in ("data", "detach"):
                yield write, name, write.value
    for store in flow.all(AttributeStore):
        if store.owner is flow.self_of(store.scope) and _is_own(store.scope, store.name, buffers):
            yield store, store.name, store.value


def _growing(flow: ModuleFlow, updates: list[tuple[Event, str, Value]]) -> set[tuple[Scope, str]]:
    """The buffers, by method, that some update there adds to, and that so keep what they had."""
    return {
        (event.scope, name)
        for event, name, _ in updates
        if not isinstance(event, AttributeStore) or _adds_to(flow, event)
    }


def _adds_to(flow: ModuleFlow, store: AttributeStore) -> bool:
    """Whether a new value is made of the old one; else it lets go what the buffer had."""
    reads = {use for use in flow.attributes(store.name) if isinstance(use.ctx, ast.Load)}
    walk = Walk([store.value], reach=500)
    for value in walk:
        if value.node in reads:
            return True
        walk.further(value.inputs)
    return False


def _is_own(scope: Scope, name: str, buffers: dict[ast.AST, set[str]]) -> bool:
    return scope.class_node is not None and name in buffers.get(scope.class_node, ())


def _own_attribute(node: ast.expr) -> str | None:
    """``name`` of ``self.name``, of a part of it, and of in-place methods called on it."""
    while True:
        if isinstance(node, ast.Subscript):
            node = node.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            op = op_facts(node.func.attr, "method")
            if op is None or not op.inplace:
                return None
            node = node.func.value
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            return node.attr if node.value.id == "self" else None
        else:
            return None


def _in_training_only(flow: ModuleFlow, statement: ast.stmt, scope: Scope) -> bool:
    """Whether ``if self.training`` stands around a statement, on the side where it is true."""
    inner: ast.AST = statement
    while inner is not scope.node:
        outer = flow.parents[inner]
        if isinstance(outer, ast.If) and inner in outer.body:
            test = outer.test
            both = isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And)
            tests = test.values if both and isinstance(test, ast.BoolOp) else [test]
            if any(isinstance(t, ast.Attribute) and t.attr == "training" for t in tests):
                return True
        inner = outer
    return False


def _is_let_go(flow: ModuleFlow, name: str) -> bool:
    """Whether the file detaches the buffer anywhere, or hands out its data."""
    for use in flow.attributes(name):
        around = flow.parents.get(use)
        if isinstance(around, ast.Attribute) and around.attr in ("detach", "detach_", "data"):
            return True
    return False


def _returned_from(flow: ModuleFlow, scope: Scope, argument: Value) -> ast.AST | None:
    """What a function returns that has the history of an argument."""
    for node, value in scope.returns:
        parts = value.items if value.kind is Kind.SEQUENCE and value.items else (value,)
        if any(_leads_to(flow, part, argument) for part in parts):
            return node
    return None


# -- histories ----------------------------------------------------------------------------------


def _leads_to(flow: ModuleFlow, value: Value, argument: Value, called: bool = False) -> bool:
    """Whether a value was computed from an argument by operations that are recorded.

    ``called`` asks for a function of the argument among them: a number is not given to any. A value
    that one path makes otherwise is enough: that path is not taken in every turn.
    """
    queue = [(value, not called)]
    seen: set[tuple[int, bool]] = set()
    while queue and len(seen) < 500:
        at, enough = queue.pop()
        if at is argument or (at.node is argument.node and at.needs_grad is not Certainty.NO):
            if enough:
                return True
        elif (id(at), enough) not in seen and _keeps(flow, at):
            seen.add((id(at), enough))
            enough = enough or isinstance(at.node, ast.Call)
            queue += [(source, enough) for source in at.inputs]
    return False


def _keeps(flow: ModuleFlow, value: Value) -> bool:
    """Whether an operation certainly hands on the history of what goes in."""
    if value.op in ("join", "write"):
        return True
    if value.is_tensor:
        return value.needs_grad is not Certainty.NO and not value.cut and value.op != "call"
    if value.kind is not Kind.UNKNOWN:
        return value.kind is Kind.SEQUENCE and value.name in ("tuple", "namedtuple")
    node = value.node
    statement = flow.enclosing(node, ast.stmt) if node is not None else None
    if statement is not None and flow.modes.get(statement) is not GradMode.ON:
        return False
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return _is_differentiable(node.func.attr)
    return isinstance(node, (ast.BinOp, ast.UnaryOp, ast.Subscript))


def _is_differentiable(name: str) -> bool:
    """Whether a method of this name certainly is recorded, whatever tensor it is called on."""
    if name in CONVERSIONS or name in _FLOATS:
        return name in _FLOATS
    op = op_facts(name, "method")
    if op is None or op.inplace or op.zero_grad or not op.returns_tensor:
        return False
    return all(any(signature.differentiable_results) for signature in op.signatures)
