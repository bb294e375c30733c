"""Log probabilities that are made leaves: what they were computed from is trained no more.

``log_prob``, ``entropy`` and ``rsample`` of a distribution are differentiable in its parameters.
(https://docs.pytorch.org/docs/stable/distributions.html)
"""

from __future__ import annotations

import ast

from gradfix.flow.arguments import only_called_without_grad
from gradfix.flow.module import ModuleFlow
from gradfix.flow.queries import (
    WRAPPERS,
    flow_sinks,
    gradient_asked_at,
    is_differentiated,
    leaf_use_of,
)
from gradfix.flow.state import Call, GradMode
from gradfix.flow.values import Certainty, Kind, Value
from gradfix.flow.walk import Walk

_DIFFERENTIABLE = frozenset({"log_prob", "entropy", "rsample"})


def made_leaf(flow: ModuleFlow, call: Call) -> ast.AST | None:
    """Where a copy of log probabilities, just made a leaf, goes on; None for anything else.

    Only a tensor that was computed from them, and may have a history, is meant to keep it.
    """
    data = call.data
    if call.name not in WRAPPERS or not call.result.is_leaf or data is None:
        return None
    if not data.is_tensor or data.needs_grad is not Certainty.MAYBE or data.cut:
        return None
    if call.mode is not GradMode.ON or not _has_log_probabilities(data):
        return None
    if gradient_asked_at(flow, call.result) is not None or leaf_use_of(flow, call.result):
        return None
    if only_called_without_grad(flow, call.scope) or not is_differentiated(flow, call.node):
        return None
    return flow_sinks(flow).get(call.node, call.node)


def _has_log_probabilities(data: Value) -> bool:
    walk = Walk([data], 200)
    for at in walk:
        node = at.node
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in _DIFFERENTIABLE and at.needs_grad is not Certainty.NO:
                return True
        if at.kind is Kind.SEQUENCE or (at.needs_grad is not Certainty.NO and not at.cut):
            walk.further(at.inputs)
    return False
