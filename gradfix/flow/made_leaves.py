"""Copies of a loss that are made leaves: nothing behind them gets a gradient."""

from __future__ import annotations

import ast

from gradfix.flow.module import ModuleFlow
from gradfix.flow.queries import (
    WRAPPERS,
    differentiated_at,
    gradient_asked_at,
    is_differentiated,
    is_gradient_read,
    leaf_use_of,
)
from gradfix.flow.state import Call
from gradfix.flow.values import Certainty, Kind, Value


def loss_made_leaf(flow: ModuleFlow, call: Call) -> ast.AST | None:
    """Where a copy of a tensor that was just made a leaf is used as the loss; None where it is not.

    A leaf that ``backward`` is called on passes its gradient to nothing. For a copy of a tensor
    with a history it is enough that it is one number that goes on towards the loss.
    """
    data, result = call.data, call.result
    if call.name not in WRAPPERS or not result.is_leaf or data is None:
        return None
    if data.kind is Kind.SEQUENCE:
        return None
    place = differentiated_at(flow, result) or _as_the_loss(flow, call, data)
    if place is None or gradient_asked_at(flow, result) is not None:
        return None
    return None if is_gradient_read(flow, call.node) else place


def _as_the_loss(flow: ModuleFlow, call: Call, data: Value) -> ast.AST | None:
    """The call, where it copies one number with a history and goes on towards the loss."""
    if data.needs_grad is not Certainty.YES or data.shape != () or call.name == _PARAMETER:
        return None
    if leaf_use_of(flow, call.result) or not is_differentiated(flow, call.node):
        return None
    return call.node


_PARAMETER = "torch.nn.Parameter"
