"""Losses that are kept with their history for statistics, and the NumPy function that refuses them.

NumPy asks each element of a list for its array, and a tensor that requires grad gives none.
(https://docs.pytorch.org/docs/stable/generated/torch.Tensor.numpy.html)
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from gradfix.flow.expected import is_meant_to_raise
from gradfix.flow.module import ModuleFlow
from gradfix.flow.queries import origins
from gradfix.flow.state import Backward, Call
from gradfix.flow.values import Kind
from gradfix.words import mentions

#: Functions that make an array of what they are given.
_READS = frozenset(
    f"numpy.{name}" for name in "sum mean average median std var min max array asarray".split()
)


@dataclass(frozen=True, slots=True)
class KeptLoss:
    """One loss: where it is kept, where it is differentiated, and who is given the list."""

    kept: ast.expr
    backward: ast.AST
    read: ast.Call


def kept_losses(flow: ModuleFlow) -> Iterator[KeptLoss]:
    """Every loss that ``backward`` is called on, in a list of losses that NumPy is given."""
    if not flow.all(Backward):
        return
    if not mentions(flow.text, "numpy") or not mentions(flow.text, ".append("):
        return
    seen: set[ast.AST] = set()
    for read in flow.all(Call):
        node = read.node
        data = read.arguments[0] if read.arguments else None
        if read.name not in _READS or data is None or data.kind is not Kind.SEQUENCE:
            continue
        if not isinstance(node, ast.Call) or is_meant_to_raise(flow, node) or not data.inputs:
            continue
        fills = [c for c in flow.all(Call) if c.receiver is data and c.name.startswith(".")]
        if not fills or any(fill.name != ".append" for fill in fills):
            continue
        given = [fill.arguments[0] for fill in fills if fill.arguments]
        known = frozenset().union(*(origins(flow, value) for value in given))
        if not all(origins(flow, value) <= known for value in data.inputs):
            continue  # something else is in the list, too
        pairs = [(fill, _differentiated(flow, fill)) for fill in fills]
        for fill, backward in pairs:
            assert isinstance(fill.node, ast.Call)
            if backward is not None and fill.node not in seen:
                seen.add(fill.node)
                yield KeptLoss(fill.node.args[0], backward, node)


def _differentiated(flow: ModuleFlow, fill: Call) -> ast.AST | None:
    """Where ``backward`` is called on what a list is given, in the same function."""
    given = origins(flow, fill.arguments[0]) if fill.arguments else frozenset()
    for backward in flow.all(Backward):
        if backward.scope is fill.scope and given and given <= origins(flow, backward.loss):
            return backward.node
    return None
