"""Made-up parts of a module: one layer that puts up with whatever else it is called with."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from gradfix.verify.source import tree_of
from gradfix.verify.values import tensors_in

_WIDTH = 8
_MOST = 4


class Part(nn.Linear):
    """Stands for an encoder, an attention or the like, of which only the calls are known.

    The first tensor, ``(..., 8)``, goes through the layer; one of another width is scaled, indices
    are embedded. Further tensors of floats change the result, for what computes them would seem to
    be unused otherwise. ``results`` is how many tensors a call gives: a tuple where it is not one.
    """

    def __init__(self, results: int = 1) -> None:
        super().__init__(_WIDTH, _WIDTH)
        self.results = results
        self._plain = frozenset({*vars(self), "_plain"})

    def _get_name(self) -> str:
        return "Linear"  # the nearest that anybody could write

    def extra_repr(self) -> str:
        """As that of the layer, with what was added: `mend` tells arguments apart by their text."""
        added = [f", {name}={v!r}" for name, v in vars(self).items() if name not in self._plain]
        return super().extra_repr() + "".join(added)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The first tensor among the arguments as the layer makes it; TypeError without one."""
        given = list(tensors_in((args, kwargs)))
        if not given:
            raise TypeError("a made-up part was called without a tensor")
        first, *others = given
        value = self._of(first)
        for other in others:
            if other.is_floating_point():
                share = other.mean()
                wide = value.shape[-1:] == (_WIDTH,)
                value = value + share * self.weight[0] if wide else value * (1 + share)
        return (
            value
            if self.results == 1
            else (value, *(value * n for n in range(2, 1 + self.results)))
        )

    def _of(self, first: torch.Tensor) -> torch.Tensor:
        if not first.is_floating_point():
            return first.unsqueeze(-1).to(self.weight.dtype) * self.weight[0] + self.bias
        if first.shape[-1:] == (_WIDTH,):
            return super().forward(first)
        return first * (1 + self.weight.mean()) + self.bias.mean()


def part_for(name: str, owner: type | None) -> Part:
    """A part of this name, as the class that owns it calls it."""
    return Part(_results(name, owner))


def _results(name: str, owner: type | None) -> int:
    """Into how many values the class unpacks what a call of the part gives."""
    tree = tree_of(owner) if owner is not None else None
    nodes = list(ast.walk(tree)) if tree is not None else []
    names = {name, *_kept_as(name, nodes)}
    for node in nodes:
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Call):
            continue
        function, target = node.value.func, node.targets[0]
        called = getattr(function, "attr", getattr(function, "id", None))
        if called in names and isinstance(target, ast.Tuple):
            return min(len(target.elts), _MOST)
    return 1


def _kept_as(name: str, nodes: list[ast.AST]) -> Iterator[str]:
    """The attributes that keep an argument under another name."""
    for node in nodes:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name):
            if node.value.id == name:
                yield from (t.attr for t in node.targets if isinstance(t, ast.Attribute))
