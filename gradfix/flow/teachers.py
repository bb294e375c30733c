"""Copies that others learn from: the target of a loss, the weights of a score, another's output.

``target = torch.tensor([t[0], t[1]]); loss = mse_loss(student(x), target)`` cuts the graph and is
right: a loss treats its target as a constant, and so do the estimators that weigh the logarithm of
a probability (Sutton and Barto, *Reinforcement Learning*, chapter 13; Hinton et al. 2015,
https://arxiv.org/abs/1503.02531).
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from gradfix.flow.classes import is_module
from gradfix.flow.module import ModuleFlow
from gradfix.flow.nodes import last_name, walk
from gradfix.flow.optimizers import optimizers, parameters_given
from gradfix.flow.queries import origins
from gradfix.flow.state import Backward, Call
from gradfix.flow.values import Certainty, Kind, Value
from gradfix.flow.walk import Walk

_LOSSES = frozenset(
    """mse_loss l1_loss smooth_l1_loss huber_loss kl_div cross_entropy nll_loss binary_cross_entropy
    binary_cross_entropy_with_logits MSELoss L1Loss SmoothL1Loss HuberLoss KLDivLoss NLLLoss
    CrossEntropyLoss BCELoss BCEWithLogitsLoss""".split()
)
_LOGARITHMS = frozenset({"log_softmax", "log_prob", "logsigmoid", "log"})
#: What a distance is made of, once two values have been subtracted.
_DISTANCES = frozenset({"pow", "square", "abs", "norm"})
#: What leaves a logarithm one.
_RESHAPES = frozenset(
    """neg getitem select index gather squeeze unsqueeze view reshape flatten stack cat sum mean
    transpose unbind slice diagonal to float join exp sub add div clamp""".split()
)
_COMPARISONS = frozenset({"cosine_similarity", "pairwise_distance", "cdist", "dist"})
#: How far back a value is looked at.
_REACH = 300


@dataclass(frozen=True, slots=True)
class Taught:
    """What is learnt from a copy, and whether the copy is certainly no more than that."""

    how: str
    sure: bool


def taught_by(flow: ModuleFlow, call: Call) -> Taught | None:
    """What else learns from the copy that ``call`` makes; None where nothing shows that."""
    made = list(flow.consumers(call.node, lambda value: value.is_tensor))
    nodes = {call.node} | {value.node for value in made if value.node is not None}
    found = [one for other in flow.all(Call) if (one := _as_target(flow, other, nodes))]
    if found:
        return max(found, key=lambda one: one.sure)
    if call.data is None:
        return None
    models = _models_behind(flow, call.data)
    if models and _is_met_by_another(made, nodes):
        return Taught("it is what another model's result is compared with", False)
    if call.scope.class_node is not None and is_module(flow, flow.self_of(call.scope)):
        return None  # what else a layer computes is its own
    if _weighs_logarithm(made, nodes):
        return Taught("it weighs the logarithm of a probability, as targets and rewards do", False)
    models |= _leaves_behind(flow, call.data)
    if models and _is_stepped_for_others(flow, models, nodes):
        return Taught(f"the optimizer that steps for it does not hold `{min(models)}`", False)
    return None


def _as_target(flow: ModuleFlow, call: Call, nodes: set[ast.AST]) -> Taught | None:
    """Whether a call is a loss whose target is one of the nodes."""
    if not isinstance(call.node, ast.Call) or len(call.node.args) > 2:
        return None
    function = flow.value(call.node.func)
    known = function.name.startswith("torch.") and function.name.rpartition(".")[2] in _LOSSES
    if not known and not (function.kind is Kind.UNKNOWN and _is_called_loss(call.node.func)):
        return None
    given = {keyword.arg: keyword.value for keyword in call.node.keywords}
    given.update(zip(("input", "target"), call.node.args, strict=False))
    target = given.get("target")
    if target is None or not (target in nodes or flow.value(target).node in nodes):
        return None
    learns = flow.value(given["input"]) if "input" in given else None
    if learns is None or learns.needs_grad is Certainty.NO or learns.node in nodes:
        return None
    sure = known and learns.needs_grad is Certainty.YES
    return Taught("it is the target of a loss", sure) if known or learns.is_tracked else None


def _is_called_loss(function: ast.expr) -> bool:
    """Whether a function that is not known has the name of a loss."""
    name = last_name(function)
    return "criterion" in name.lower() or "loss" in name.lower()


def _weighs_logarithm(made: list[Value], nodes: set[ast.AST]) -> bool:
    """Whether a copy is multiplied with the logarithm of something that has a history."""
    return any(
        _is_logarithm(other)
        for value in made
        if value.op == "mul"
        for other in _others(value, nodes)
    )


def _is_logarithm(value: Value) -> bool:
    found = Walk([value], 20)
    for at in found:
        if at.op in _LOGARITHMS and at.needs_grad is Certainty.YES:
            return True
        if at.op in _RESHAPES:
            found.further(at.inputs)
    return False


def _is_met_by_another(made: list[Value], nodes: set[ast.AST]) -> bool:
    """Whether the distance of a copy to something else that has a history is taken."""
    differences = [
        value
        for value in made
        if value.op == "sub"
        and any(other.needs_grad is Certainty.YES for other in _others(value, nodes))
    ]
    return any(
        value.op in _DISTANCES and any(part is one for part in value.inputs for one in differences)
        for value in made
    ) or any(
        value.op in _COMPARISONS
        and any(other.needs_grad is Certainty.YES for other in _others(value, nodes))
        for value in made
    )


def _others(value: Value, nodes: set[ast.AST]) -> list[Value]:
    """The operands that are not computed from the copy."""
    return [part for part in value.inputs if part.is_tensor and part.node not in nodes]


def _models_behind(flow: ModuleFlow, data: Value) -> set[str]:
    """The names of the models whose results a copy is made of."""
    names: set[str] = set()
    found = Walk([data, *(data.items or ())], _REACH)
    for at in found:
        if isinstance(at.node, ast.Call) and at.is_tensor:
            if flow.value(at.node.func).kind in (Kind.MODULE, Kind.INSTANCE):
                names.add(flow.source_of(at.node.func))
        found.further((*at.inputs, *(at.items or ())))
    return names


def _leaves_behind(flow: ModuleFlow, data: Value) -> set[str]:
    """The names of the leaves that a copy is made of."""
    found = Walk([data, *(data.items or ())], _REACH)
    leaves = set()
    for at in found:
        leaves |= {id(at)} if at.is_leaf else set()
        found.further((*at.inputs, *(at.items or ())))
    return {d.name for scope in flow.scopes for d in scope.definitions if id(d.value) in leaves}


def _is_stepped_for_others(flow: ModuleFlow, models: set[str], nodes: set[ast.AST]) -> bool:
    """Whether an optimizer of other models is what steps after a backward through the copy."""
    held = {}
    for made in optimizers(flow):
        target = made.statement.targets[0] if isinstance(made.statement, ast.Assign) else None
        given = parameters_given(made.node) if isinstance(made.node, ast.Call) else None
        if target is not None and given is not None:
            texts = _texts_in(flow, given)
            if any(".parameters" in text for text in texts) or isinstance(given, ast.List):
                held[flow.source_of(target)] = texts
    for backward in flow.all(Backward) if held else ():
        if nodes.isdisjoint(origins(flow, backward.loss)):
            continue
        step = _step_after(flow, backward)
        if step in held and models.isdisjoint(held[step]):
            return True
    return False


def _texts_in(flow: ModuleFlow, given: ast.expr) -> set[str]:
    """The names and attributes in what an optimizer is given, and in what those stand for."""
    queue: list[ast.AST] = [given]
    found: set[str] = set()
    for node in queue:  # which grows
        for part in walk(node):
            text = flow.source_of(part) if isinstance(part, (ast.Name, ast.Attribute)) else ""
            if text and text not in found:
                found.add(text)
                statements = [
                    definition.statement
                    for scope in flow.scopes
                    for definition in scope.by_name.get(text, ())
                ]
                values = [one.value for one in statements if isinstance(one, ast.Assign)]
                queue += [v for v in values if not flow.value(v).is_tensor]
    return found


def _step_after(flow: ModuleFlow, backward: Backward) -> str:
    """The text of what steps first after a backward."""
    for later in flow.following(backward.statement):
        for node in walk(later):
            if isinstance(node, ast.Attribute) and node.attr == "step":
                return flow.source_of(node.value)
    return ""
