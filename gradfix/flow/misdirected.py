"""Optimizers that are built over one model and step for the loss of another.

Terms: the *model* of an optimizer is the one whose ``parameters()`` it is given. A loss *depends*
on the models that are called to compute it, as far as their results are not cut off. An optimizer
is *misdirected* when another one has the same model already, the loss before its step depends on
one other model alone, and no optimizer can hold that one.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from gradfix.flow.layers import has_weights
from gradfix.flow.module import ModuleFlow
from gradfix.flow.nodes import walk
from gradfix.flow.optimizers import models_of, optimizers, parameters_given
from gradfix.flow.registered import is_weighted
from gradfix.flow.state import Backward, OptimizerMade, Scope
from gradfix.flow.torch_ops import op_facts
from gradfix.flow.values import Certainty, Kind, Value
from gradfix.flow.walk import Walk

#: What is done to a model without handing its Parameters to anybody.
_HARMLESS = frozenset(
    """cuda cpu to float double half train eval state_dict load_state_dict zero_grad""".split()
)


@dataclass(frozen=True, slots=True)
class Misdirected:
    """One such optimizer: the model it is given, the one it steps for, and where that shows."""

    given: ast.expr
    wanted: str
    first: ast.AST
    backward: ast.AST
    step: ast.AST


def misdirected(flow: ModuleFlow) -> Iterator[Misdirected]:
    """Every optimizer that is built over the model of another one by mistake."""
    models = {made: text for made in optimizers(flow) if (text := _model(flow, made)) is not None}
    for made, model in models.items():
        first = next((m for m, text in models.items() if text == model and m is not made), None)
        if first is None or first.scope is not made.scope or not isinstance(made.node, ast.Call):
            continue
        flow.complete()
        found = {pair: _depends_on(flow, pair[0].loss) for pair in _steps(flow, made)}
        wanted = {text for texts in found.values() for text in texts or (model,)}
        if len(wanted) != 1 or model in wanted:
            continue
        (name,) = wanted
        given = parameters_given(made.node)
        if given is not None and _is_unheld(flow, name, model):
            backward, step = next(iter(found))
            yield Misdirected(models_of(given)[0], name, first.node, backward.node, step)


@dataclass(frozen=True, slots=True)
class Outlived:
    """An optimizer that steps for a model whose name stands for a new one by now."""

    made: ast.AST
    rebound: ast.stmt
    step: ast.AST


def outlived(flow: ModuleFlow) -> Iterator[Outlived]:
    """``optimizer = SGD(model.parameters())``, ``model = Net()``, then steps for the new model."""
    for made in optimizers(flow):
        name = _model(flow, made)
        place = flow.span(made.node)
        later = [d for d in made.scope.by_name.get(name or "", ()) if flow.span(d.node) > place]
        if name is None or len(later) != 1 or _builds_another(flow, made):
            continue
        (definition,) = later
        statement = definition.statement
        if not isinstance(statement, ast.Assign) or not _is_new_model(flow, statement, name):
            continue
        if not _is_certain(flow, made.scope, statement) or _is_changed(flow, name):
            continue
        flow.complete()
        steps = [p for p in _steps(flow, made) if flow.span(p[1]) > flow.span(statement)]
        if steps and all(_depends_on(flow, pair[0].loss) == frozenset((name,)) for pair in steps):
            yield Outlived(made.node, statement, steps[0][1])


def _builds_another(flow: ModuleFlow, made: OptimizerMade) -> bool:
    return "param_group" in flow.text or any(
        other.scope is made.scope and flow.span(other.node) > flow.span(made.node)
        for other in optimizers(flow)
    )


def _is_new_model(flow: ModuleFlow, statement: ast.Assign, name: str) -> bool:
    """Whether ``model = ...`` certainly makes a new object with weights, or a deep copy."""
    value, made = statement.value, flow.value(statement.value)
    if not isinstance(value, ast.Call) or len(statement.targets) != 1:
        return False
    function = flow.value(value.func)
    if function.kind is Kind.REFERENCE and function.name == "copy.deepcopy":
        return len(value.args) == 1 and flow.source_of(value.args[0]) == name
    given = [flow.value(node) for node in (*value.args, *(k.value for k in value.keywords))]
    alone = all(v.kind in (Kind.NUMBER, Kind.STRING) for v in given)
    return alone and made.node is value and is_weighted(flow, made)  # not around the old one


def _is_changed(flow: ModuleFlow, name: str) -> bool:
    """Whether attributes of a model are set from outside: to the old weights, for all we know."""
    return any(
        isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and flow.source_of(node).startswith(f"{name}.")
        for node in walk(flow.tree)
    )


def _is_certain(flow: ModuleFlow, scope: Scope, statement: ast.stmt) -> bool:
    """Whether no branch stands around a statement in its function."""
    around = flow.parents.get(statement)
    while around is not None and around is not scope.node:
        if not isinstance(around, (ast.For, ast.While, ast.With)):
            return False
        around = flow.parents.get(around)
    return True


def _model(flow: ModuleFlow, made: OptimizerMade) -> str | None:
    """The text of the one model that an optimizer is given, where that is a plain name."""
    given = parameters_given(made.node) if isinstance(made.node, ast.Call) else None
    if not isinstance(given, ast.Call) or not isinstance(given.func, ast.Attribute):
        return None
    plain = given.func.attr == "parameters" and not given.args
    return given.func.value.id if plain and isinstance(given.func.value, ast.Name) else None


def _steps(flow: ModuleFlow, made: OptimizerMade) -> Iterator[tuple[Backward, ast.AST]]:
    """The steps of an optimizer, each with the backward right before it."""
    statement = made.statement
    if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
        return
    name = statement.targets[0].id
    for backward in flow.all(Backward):
        for later in flow.following(backward.statement):
            stepped = [
                node
                for node in walk(later)
                if isinstance(node, ast.Attribute) and node.attr in ("step", "backward")
            ]
            if stepped:
                if all(isinstance(n.value, ast.Name) and n.value.id == name for n in stepped):
                    yield backward, stepped[0]
                break


# -- what a loss depends on ---------------------------------------------------------------------


def _depends_on(flow: ModuleFlow, loss: Value) -> frozenset[str] | None:
    """The names of the models that a loss depends on; None where that is not plain to see."""
    found: set[str] = set()
    walk = Walk([loss], 1000)
    for at in walk:
        if at.is_tensor and (at.needs_grad is Certainty.NO or at.op == "call"):
            if at.op == "call":
                return None
            continue
        if at.kind not in (Kind.TENSOR, Kind.UNKNOWN, Kind.SEQUENCE):
            if at.kind is Kind.MODULE and has_weights(at) is not Certainty.NO:
                return None
            continue
        node = at.node
        if isinstance(node, ast.Call) and at.op != "join":
            function = flow.value(node.func)
            name = _called_model(node, function)
            if name is None and not _is_plain(node, function):
                return None
            found |= {name} if name is not None else set()
            walk.further(source for source in at.inputs if source is not function)
        elif at.inputs:
            walk.further(at.inputs)
        else:
            return None
    return frozenset(found)


def _called_model(node: ast.Call, function: Value) -> str | None:
    """The name of what is called, where that may be a model."""
    weighted = function.kind is Kind.MODULE and has_weights(function) is not Certainty.NO
    may_be = weighted or function.kind in (Kind.UNKNOWN, Kind.INSTANCE)
    return node.func.id if may_be and isinstance(node.func, ast.Name) else None


def _is_plain(node: ast.Call, function: Value) -> bool:
    """Whether a call certainly is a function of PyTorch, a loss, or a method of a tensor."""
    if function.kind is Kind.REFERENCE:
        return function.name.startswith("torch.")
    if function.kind is Kind.MODULE:
        return has_weights(function) is Certainty.NO
    known = isinstance(node.func, ast.Attribute) and op_facts(node.func.attr, "method")
    return bool(known) and function.kind is Kind.UNKNOWN


def _is_unheld(flow: ModuleFlow, name: str, model: str) -> bool:
    """Whether a name certainly is another model, which nobody is handed, not even in parts."""
    told = False
    for node in walk(flow.tree):
        if isinstance(node, ast.arg) and node.arg in (name, model):
            return False
        if not isinstance(node, ast.Name) or node.id != name:
            continue
        parent = flow.parents.get(node)
        if isinstance(node.ctx, ast.Store):
            made = parent.value if isinstance(parent, ast.Assign) else None
            if not isinstance(made, ast.Call) or _mentions(made, model):
                return False
        elif isinstance(parent, ast.Attribute) and parent.attr in _HARMLESS:
            told = True
        elif not (isinstance(parent, ast.Call) and parent.func is node):
            return False
    made_from = re.compile(rf"^\s*{model}\s*=[^=\n]*\b{name}\b", re.M)
    return told and made_from.search(flow.text) is None


def _mentions(node: ast.AST, name: str) -> bool:
    return any(isinstance(part, ast.Name) and part.id == name for part in walk(node))
