"""What the calls of a file give a function, and whether a value that nobody typed is recorded.

Terms: a function's argument *receives* the values that the calls in this file give for it; other
files may call it with something else, so this is evidence that a fault happens, never that code is
right. A value is *recorded* when it certainly has a history, or when the calls of the file show
that it has one: it was computed, differentiably, by a network whose weights are trained.
"""

from __future__ import annotations

import ast
from collections.abc import Callable

from gradfix.flow import classes, layers
from gradfix.flow.arguments import given_by
from gradfix.flow.module import ModuleFlow
from gradfix.flow.state import Call, GradMode
from gradfix.flow.torch_ops import OpKind, op_facts
from gradfix.flow.values import Certainty, Kind, Role, Value, element_of
from gradfix.flow.walk import Walk

#: How many values back the origin of one is looked for.
_REACH = 60
_OPERATIONS: dict[str, OpKind] = {"torch": "function", "torch.nn.functional": "functional"}
Parameters = dict[ast.AST, list[Value]]


def received(flow: ModuleFlow, value: Value) -> tuple[Value, ...]:
    """What stands behind a value: itself, or what the calls of the file give for an argument."""
    found: list[Value] = []
    walk = Walk([value], _REACH)
    for at in walk:
        if at.kind is Kind.UNKNOWN and at.op == "join":
            walk.further(at.inputs)
        elif isinstance(at.node, ast.arg) and at.kind in (Kind.UNKNOWN, Kind.TENSOR):
            walk.further(_given(flow).get(at.node, ()))
        else:
            found.append(at)
    return tuple(found)


def is_recorded(flow: ModuleFlow, value: Value) -> bool:
    """Whether a value certainly has a history, as far as the calls of this file show."""
    known: dict[Value, bool] = flow.__dict__.setdefault("_recorded", {})
    if value not in known:
        known[value] = False  # what depends on itself adds nothing
        known[value] = _is_recorded(flow, value)
    return known[value]


def _is_recorded(flow: ModuleFlow, value: Value) -> bool:
    if value.kind is Kind.SEQUENCE:
        element = element_of(value)
        return element is not None and is_recorded(flow, element)
    if value.kind not in (Kind.TENSOR, Kind.UNKNOWN):
        return False
    if value.needs_grad is not Certainty.MAYBE:
        return value.needs_grad is Certainty.YES and _has_weights(value)
    if value.op == "join":
        return all(is_recorded(flow, one) for one in value.inputs)
    if value.cut:
        return False
    if value.parameter and bool(value.role & Role.LEAF) and not flow.freezes_parameters:
        return True  # one after the other of a model's, which nobody has frozen
    if isinstance(value.node, ast.arg):
        given = received(flow, value)
        return bool(given) and all(is_recorded(flow, one) for one in given)
    if not _passes_history(flow, value):
        return False
    return _is_output(flow, value) or any(is_recorded(flow, one) for one in value.inputs)


def _has_weights(value: Value) -> bool:
    """Whether a history ends in Parameters, and not only in an input that is differentiated."""
    return any(leaf.parameter for leaf in value.leaves)


def _passes_history(flow: ModuleFlow, value: Value) -> bool:
    """Whether the operation that made this value is recorded and differentiable."""
    node = value.node
    if isinstance(node, ast.Call):
        if mode_at(flow, node) is not GradMode.ON:
            return False
        if isinstance(node.func, ast.Attribute):
            op, on = op_facts(node.func.attr, "method"), node.func.value
            first = value.inputs[0] if value.inputs else None
            # A loop is followed more than once, and only the last values are kept by node.
            own = first is not None and (first is flow.value(on) or first.node is on)
            if op is not None and own:
                return op.differentiable and op.returns_tensor and not op.zero_grad
        return _runs(flow, node, _is_differentiable)
    # A name or a comprehension stands for an element of what is iterated over.
    kinds = (ast.BinOp, ast.UnaryOp, ast.Subscript, ast.comprehension, ast.Name)
    return isinstance(node, kinds) or value.is_tensor


def _is_output(flow: ModuleFlow, value: Value) -> bool:
    """Whether a network whose weights are trained made this."""
    return isinstance(value.node, ast.Call) and _runs(flow, value.node, is_trained)


def _runs(flow: ModuleFlow, node: ast.Call, kind: Callable[[ModuleFlow, Value], bool]) -> bool:
    """Whether everything that a call may run is of a kind."""
    found = received(flow, flow.value(node.func))
    return bool(found) and all(kind(flow, one) for one in found)


def _is_differentiable(flow: ModuleFlow, called: Value) -> bool:
    """Whether this is a module, or an operation of PyTorch with a gradient."""
    if called.kind is Kind.REFERENCE:
        prefix, _, name = called.name.rpartition(".")
        kind: OpKind | None = _OPERATIONS.get(prefix)
        op = None if kind is None else op_facts(name, kind)
        return op is not None and op.differentiable and op.returns_tensor and not op.zero_grad
    return called.kind is Kind.MODULE or (
        called.kind is Kind.INSTANCE and classes.is_module(flow, called)
    )


def is_trained(flow: ModuleFlow, module: Value) -> bool:
    """Whether what a module computes has a history for the sake of its weights."""
    if flow.freezes_parameters or not _is_differentiable(flow, module):
        return False
    if module.kind is Kind.MODULE:
        return layers.has_weights(module) is Certainty.YES
    forward = classes.method(flow, module, "forward") if module.kind is Kind.INSTANCE else None
    result = None if forward is None else flow.summary(forward)
    return result is not None and result.needs_grad is Certainty.YES and _has_weights(result)


def mode_at(flow: ModuleFlow, node: ast.AST) -> GradMode | None:
    """The grad mode of the statement around a node; None where the analysis did not go."""
    at: ast.AST | None = node
    while at is not None and not isinstance(at, ast.stmt):
        at = flow.parents.get(at)
    return None if at is None else flow.modes.get(at)


# -- calls --------------------------------------------------------------------------------------


def _given(flow: ModuleFlow) -> Parameters:
    """For each argument of a function of this file, what the calls in the file give for it."""
    known: Parameters | None = flow.__dict__.get("_received")
    if known is None:
        flow.complete()
        known = flow.__dict__["_received"] = {}
        for call in flow.all(Call):
            for argument, value in given_by(call, _function(flow, call)):
                known.setdefault(argument, []).append(value)
    return known


def _function(flow: ModuleFlow, call: Call) -> ast.AST | None:
    """The function that a call runs: of a class its constructor, of an object its ``forward``."""
    if call.called is None or not isinstance(call.callee, ast.ClassDef):
        return call.callee
    name = "forward" if call.called.kind is Kind.INSTANCE else "__init__"
    method = classes.method(flow, Value(Kind.INSTANCE, definition=call.callee), name)
    return None if method is None else method.definition
