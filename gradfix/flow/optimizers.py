"""Optimizers: what each is built over, and whether its model gets new Parameters afterwards."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradfix.flow import classes
from gradfix.flow.arguments import given_by
from gradfix.flow.layers import has_weights
from gradfix.flow.module import ModuleFlow
from gradfix.flow.names import own_nodes, uses_of
from gradfix.flow.nodes import straight, walk
from gradfix.flow.queries import scopes_of
from gradfix.flow.state import Call, OptimizerMade, Scope
from gradfix.flow.values import Certainty, Kind, Value
from gradfix.words import mentions


def optimizers(flow: ModuleFlow) -> list[OptimizerMade]:
    """Every optimizer that is built; learning-rate schedulers are none."""

    def find() -> list[OptimizerMade]:
        every = flow.all(OptimizerMade)
        return [made for made in every if "lr_scheduler" not in flow.value(made.node).name]

    return flow.worked_out("_optimizers", len(flow.all(OptimizerMade)), find)


def parameters_given(call: ast.Call) -> ast.expr | None:
    """The first argument of an optimizer."""
    named = [k.value for k in call.keywords if k.arg == "params"]
    found = named[0] if named else call.args[0] if call.args else None
    return None if isinstance(found, ast.Starred) else found


def models_of(given: ast.expr) -> list[ast.expr]:
    """The models whose ``parameters()`` an optimizer is built over."""
    return [
        node.func.value
        for node in walk(given)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "parameters"
    ]


def builds_optimizer(flow: ModuleFlow, statement: ast.stmt) -> bool:
    """Whether a statement makes an optimizer, or gives one more Parameters."""
    inside = set(walk(statement))
    places = flow.worked_out(
        "_places_of_optimizers",
        len(flow.all(OptimizerMade)),
        lambda: frozenset(made.node for made in optimizers(flow)),
    )
    return not places.isdisjoint(inside) or any(
        isinstance(node, ast.Attribute) and node.attr == "add_param_group" for node in inside
    )


def new_weights(flow: ModuleFlow, statement: ast.stmt, names: set[str]) -> ast.AST | None:
    """The new layer or Parameter that a statement puts into one of the models."""
    if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
        return None
    target = statement.targets[0]
    while isinstance(target, (ast.Attribute, ast.Subscript)):
        target = target.value
        if flow.source_of(target) in names:
            value = flow.value(statement.value)
            return statement.value if _is_new(value, statement.value) else None
    return None


def _is_new(value: Value, node: ast.expr) -> bool:
    """Whether the value certainly is a leaf, or a layer with weights, made right here."""
    if value.node is not node:
        return False
    if value.kind is Kind.MODULE:
        return has_weights(value) is Certainty.YES
    return value.is_leaf and value.parameter


def is_used_after(flow: ModuleFlow, made: OptimizerMade, statement: ast.stmt) -> bool:
    """Whether the optimizer goes on after the statement: some use of it comes later."""
    place = flow.span(statement)
    target = made.statement.targets[0] if isinstance(made.statement, ast.Assign) else None
    if isinstance(target, ast.Attribute):
        return any(
            isinstance(node, ast.Attribute)
            and node.attr == target.attr
            and isinstance(node.ctx, ast.Load)
            for node in walk(flow.tree)
        )
    return any(
        flow.span(use) > place
        for definition in made.scope.definitions
        if definition.node is target
        for use in uses_of(made.scope, definition)
    )


def resets(flow: ModuleFlow) -> Iterator[tuple[OptimizerMade, Value, str]]:
    """Method calls on a model between the making of its optimizer and a step, or in turn."""
    for made in optimizers(flow):
        assert isinstance(made.node, ast.Call)
        given = parameters_given(made.node)
        owners = [flow.value(o) for o in models_of(given)] if given is not None else []
        models = [o for o in owners if o.kind is Kind.INSTANCE and classes.is_module(flow, o)]
        if given is not None and len(models) == 1 == len(owners):
            for name in _in_turn_with_steps(flow, made, models_of(given)[0]):
                yield made, models[0], name
        for model in models:
            for scope, names in _both_in_hand(flow, made, model):
                for name in _called_before_step(flow, made, scope, names):
                    yield made, model, name


def _in_turn_with_steps(flow: ModuleFlow, made: OptimizerMade, model: ast.expr) -> Iterator[str]:
    """The methods that a loop calls on the model of the optimizer that it steps with."""
    statement = made.statement
    if not isinstance(statement, ast.Assign) or not isinstance(model, ast.Name):
        return
    (target,) = statement.targets[:1]
    if not isinstance(target, ast.Name) or len(made.scope.by_name.get(model.id, ())) != 1:
        return
    for loop in own_nodes(made.scope):
        if not isinstance(loop, (ast.For, ast.While)) or builds_optimizer(flow, loop):
            continue
        inside = list(walk(loop))
        if any(
            isinstance(node, ast.Attribute)
            and node.attr == "step"
            and isinstance(node.value, ast.Name)
            and node.value.id == target.id
            for node in inside
        ):
            called = [
                _method_called(node, model.id) for node in inside if isinstance(node, ast.Expr)
            ]
            yield from filter(None, called)


def _both_in_hand(
    flow: ModuleFlow, made: OptimizerMade, model: Value
) -> Iterator[tuple[Scope, tuple[str, str]]]:
    """Functions that are given both the model and its optimizer, and their names for them."""
    for call in flow.all(Call):
        given = (*call.arguments, *(value for _, value in call.keywords))
        if not any(value is model for value in given) or call.callee is None:
            continue
        names = [(at.arg, value) for at, value in given_by(call, call.callee)]
        models = [name for name, value in names if value is model]
        holders = [name for name, value in names if value.node is made.node]
        for scope in scopes_of(flow, call.callee) if models and holders else ():
            yield scope, (models[0], holders[0])


def _called_before_step(
    flow: ModuleFlow, made: OptimizerMade, scope: Scope, names: tuple[str, str]
) -> Iterator[str]:
    """The methods called on the model before the optimizer steps, at the top of a function."""
    model, optimizer = names
    body = list(straight(scope.node.body)) if isinstance(scope.node, ast.FunctionDef) else []
    if any(other.scope is scope for other in optimizers(flow)):
        return
    for at, statement in enumerate(body):
        called = _method_called(statement, model)
        steps = any(
            isinstance(node, ast.Attribute)
            and node.attr == "step"
            and isinstance(node.value, ast.Name)
            and node.value.id == optimizer
            for later in body[at + 1 :]
            for node in walk(later)
        )
        if called is not None and steps:
            yield called


def _method_called(statement: ast.stmt, name: str) -> str | None:
    """``reset`` of the statement ``name.reset(...)``."""
    call = statement.value if isinstance(statement, ast.Expr) else None
    if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
        base = call.func.value
        return call.func.attr if isinstance(base, ast.Name) and base.id == name else None
    return None


def rebound_parameters(flow: ModuleFlow, model: Value, method: str) -> Iterator[ast.stmt]:
    """The statements at the top of a method that give an attribute a new Parameter."""
    function = classes.method(flow, model, method)
    node = function.definition if function is not None else None
    for statement in straight(node.body) if isinstance(node, ast.FunctionDef) else ():
        if new_weights(flow, statement, {"self"}) is not None:
            yield statement


def is_meant_as_leaf(flow: ModuleFlow, node: ast.expr) -> bool:
    """Whether a value of unknown origin is one after the other of a model's Parameters."""
    if flow.value(node).kind is not Kind.UNKNOWN or not isinstance(node, (ast.Name, ast.Attribute)):
        return False
    if mentions(flow.text, "param_groups"):
        return False  # gradients may be put into what the optimizer holds by hand
    text = flow.source_of(node)
    at = flow.parents.get(node)
    while at is not None and not isinstance(at, (ast.ListComp, ast.GeneratorExp, ast.stmt)):
        at = flow.parents.get(at)
    if not isinstance(at, (ast.ListComp, ast.GeneratorExp)) or len(at.generators) != 1:
        return False
    target, listed = at.generators[0].target, at.generators[0].iter
    return (
        ast.unparse(target) == text
        and isinstance(listed, ast.Call)
        and isinstance(listed.func, ast.Attribute)
        and listed.func.attr == "parameters"
    )
