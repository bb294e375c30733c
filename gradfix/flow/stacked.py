"""Modules that are given what other modules computed: a layer's input has a history, then.

The evidence is in the file: a call of an instance with a recorded value, or a loop over a list of
instances that hands the result of one on to the next, or a ``Sequential`` with trained modules
before an instance.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradfix.flow import classes
from gradfix.flow.arguments import calls_to, given_for
from gradfix.flow.devices import moves_to_device
from gradfix.flow.module import ModuleFlow
from gradfix.flow.received import is_recorded, is_trained, received
from gradfix.flow.state import Call, GradMode, Scope
from gradfix.flow.values import Kind, Value, element_of
from gradfix.flow.walk import Walk

#: Methods that give the same numbers, with their history, in another form.
_FORMS = frozenset(
    "contiguous float view reshape flatten unsqueeze squeeze transpose permute t clone".split()
)


def input_of_forward(flow: ModuleFlow, scope: Scope, value: Value) -> bool:
    """Whether a value is what ``forward`` of an ``nn.Module`` is given first, in whatever form.

    Also in a method that is called by this ``forward`` alone, and with just that.
    """
    value = _before_forms(flow, value)
    if scope.name == "forward" or not isinstance(value.node, ast.arg):
        return _is_first_input(flow, scope, value)
    if scope.class_node is None or not classes.is_module(flow, flow.self_of(scope)):
        return False
    flow.complete(frozenset({f"{scope.name}("}))
    calls = calls_to(flow, scope.node)
    return bool(calls) and all(
        call.scope.class_node is scope.class_node
        and _is_first_input(flow, call.scope, given_for(call, scope, value.node.arg))
        for call in calls
    )


def _before_forms(flow: ModuleFlow, value: Value) -> Value:
    """What a value was before it got another shape or place, whichever path was taken."""
    found: list[Value] = []
    walk = Walk([value])
    for at in walk:
        node = at.node
        if at.op == "join":
            walk.further(at.inputs)
        elif isinstance(node, ast.Call) and at.inputs and _is_form(flow, node):
            walk.further(at.inputs[:1])
        else:
            found.append(at)
    return found[0] if len({at.node for at in found}) == 1 else value


def _is_form(flow: ModuleFlow, call: ast.Call) -> bool:
    if not isinstance(call.func, ast.Attribute):
        return False
    if flow.value(call.func.value).kind is Kind.REFERENCE:
        return False  # ``np.squeeze(x)``
    return call.func.attr in _FORMS or moves_to_device(flow, call)


def _is_first_input(flow: ModuleFlow, scope: Scope, value: Value) -> bool:
    node = scope.node
    return (
        isinstance(node, ast.FunctionDef)
        and scope.name == "forward"
        and scope.class_node is not None
        and classes.is_module(flow, flow.self_of(scope))
        and len(node.args.args) > 1
        and value.node is node.args.args[1]
    )


def gets_history(flow: ModuleFlow, scope: Scope) -> ast.AST | None:
    """Where the file gives a recorded value to the ``forward`` of this class, or None."""
    flow.complete()
    if scope.name != "forward":
        scope = next((call.scope for call in calls_to(flow, scope.node)), scope)
    for call in list(flow.all(Call)):
        node = call.node
        if call.mode is not GradMode.ON or not isinstance(node, ast.Call) or not node.args:
            continue
        called = flow.value(node.func)
        if any(_runs(flow, one, scope) for one in _instances(flow, called)):
            given = flow.value(node.args[0])
            if is_recorded(flow, given) or _is_handed_on(given, node):
                return node
    for value in list(flow.values.values()):
        if value.kind is Kind.MODULE and value.name.endswith(".Sequential") and value.items:
            if _follows_trained(flow, value.items, scope):
                return value.node
    return None


def _instances(flow: ModuleFlow, called: Value) -> Iterator[Value]:
    """What may be called: instances, and those in the list of modules a loop runs through."""
    for one in received(flow, called):
        if one.kind is Kind.INSTANCE:
            yield one
        elif one.kind is Kind.UNKNOWN and one.inputs and one.inputs[0].kind is Kind.MODULE:
            yield from _held(one.inputs[0])


def _held(container: Value) -> tuple[Value, ...]:
    """The modules in a ``ModuleList``; more than one for certain, or made in a comprehension."""
    element = element_of(container)
    return container.items or (() if element is None else (element,))


def _runs(flow: ModuleFlow, instance: Value, scope: Scope) -> bool:
    if instance.kind is not Kind.INSTANCE:
        return False
    method = classes.method(flow, instance, "forward")
    return method is not None and method.definition is scope.node


def _is_handed_on(given: Value, call: ast.Call) -> bool:
    """``x = layer(x)`` in a loop: what is given may be the result of the turn before."""
    walk = Walk([given])
    for at in walk:
        if at.node is call:
            return True
        walk.further(at.inputs if at.op == "join" else ())
    return False


def _follows_trained(flow: ModuleFlow, items: tuple[Value, ...], scope: Scope) -> bool:
    places = [at for at, item in enumerate(items) if _runs(flow, item, scope)]
    before = items[: places[-1]] if places else ()
    return any(is_trained(flow, item) for item in before)
