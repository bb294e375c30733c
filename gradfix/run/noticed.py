"""What cannot give a gradient: operations that are refused, and ``.grad`` of a non-leaf."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from gradfix.run.models import name_of
from gradfix.run.owned import Owned
from gradfix.run.tracing import ScriptTracer, is_computed
from gradfix.verify.graph import Call


@dataclass(frozen=True, slots=True)
class Refused:
    """What autograd or an optimizer refused: the call, the values that it was asked for."""

    error: BaseException
    call: Call
    nodes: frozenset[int]
    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NonLeaf(Refused):
    """An optimizer refused what ``call`` computed from a leaf."""


@dataclass(frozen=True, slots=True)
class Asked:
    """``.grad`` of something that ``made`` computed from one leaf, and that has none.

    ``after`` is the number of backwards that were over when it was made.
    """

    node: int
    made: Call
    name: str | None
    after: int


def refused(
    error: BaseException, name: str, inputs: list[torch.Tensor], tracer: ScriptTracer, owns: Owned
) -> Refused:
    """Note a call that raised."""
    call = tracer.attempted(name, inputs)
    tensor = inputs[0]
    called = next((n for t in inputs if (n := name_of(t, owns))), "tensor")
    return Refused(error, call, frozenset(call.inputs), called, tuple(tensor.shape))


def non_leaves(
    error: BaseException, tensors: list[torch.Tensor], tracer: ScriptTracer, owns: Owned
) -> list[NonLeaf]:
    """Note what an optimizer refused to be given."""
    found = []
    for tensor in tensors:
        made = maker(tensor, tracer) if is_computed(tensor) else None
        if made is not None:
            name, nodes = name_of(tensor, owns) or "tensor", frozenset(tracer.nodes(tensor))
            found.append(NonLeaf(error, made, nodes, name, tuple(tensor.shape)))
    return found


def maker(tensor: torch.Tensor, tracer: ScriptTracer) -> Call | None:
    """The call that gave a tensor its present value."""
    edges = tracer.graph.incoming[tracer.node(tensor)]
    return edges[-1].call if edges else None
