"""Drives a plain function: the tensors it is given are the Parameters whose gradients are checked.

Sizes are guessed and mended as for a module. What is passed on are copies, so that a function may
write to its inputs, which as leaves would refuse it.
"""

from __future__ import annotations

import inspect
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from gradfix.verify.calling import run_once
from gradfix.verify.drive import Drive, DriveError, Prepared, describe
from gradfix.verify.guess import Input, Spec, required, starts
from gradfix.verify.outputs import is_real
from gradfix.verify.refused import is_autograd_error
from gradfix.verify.repair import repairs

_ATTEMPTS = 60
_DEPTH = 6
_REAL = ("float", "positive")
#: Tensors of equal shape fit losses and distances; square ones also products.
_SHAPES = ((4, 4), (2, 3, 16, 16), (4,), ())


class Inputs(nn.Module):
    """The inputs of a function: its real tensors are Parameters under the arguments' names."""

    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__()
        self.order = tuple(values)
        for name, value in values.items():
            if isinstance(value, torch.Tensor) and is_real(value):
                value = nn.Parameter(value)
            setattr(self, f"{name}", value)

    def given(self) -> list[Any]:
        """The values to call the function with."""
        values = [getattr(self, name) for name in self.order]
        return [v.clone() if isinstance(v, nn.Parameter) else v for v in values]


def function_drives(
    function: Callable[..., Any], name: str, seed: int, deadline: float
) -> Iterator[Drive]:
    """Recipes that run. Raises DriveError with the nearest miss when there is none."""
    needed = required(function)
    miss: str | None = None
    tried: set[tuple[Spec, ...]] = set()
    inputs = [Input(p.name, p.annotation) for p in needed]
    alike = [[Spec(shape)] * len(needed) for shape in _SHAPES]
    for start in itertools.chain(alike, starts(nn.Module(), inputs, {})):
        queue = [(0, start)]
        while queue and len(tried) < _ATTEMPTS and time.monotonic() < deadline:
            depth, specs = queue.pop(0)
            if tuple(specs) in tried or not any(s.kind in _REAL for s in specs):
                continue
            tried.add(tuple(specs))
            drive = _drive(function, name, specs, needed)
            error = run_once(drive, seed)
            if error is None or is_autograd_error(error):
                yield drive
                return
            miss = miss or f"{drive.text} raises {describe(error)}"
            if depth < _DEPTH:
                queue = [(depth + 1, s) for s in repairs(specs, error)][:4] + queue
    raise DriveError(miss or "no way to call it was found")


def _drive(
    function: Callable[..., Any], name: str, specs: list[Spec], needed: list[inspect.Parameter]
) -> Drive:
    named = {p.name for p in needed if p.kind is p.KEYWORD_ONLY}

    def prepare() -> Prepared:
        made = {p.name: spec.make() for p, spec in zip(needed, specs, strict=True)}
        return Prepared(Inputs(made), invoke=call)

    def call(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        assert isinstance(module, Inputs)
        values = dict(zip(module.order, module.given(), strict=True))
        return function(
            *(v for n, v in values.items() if n not in named),
            **{n: v for n, v in values.items() if n in named},
        )

    inputs = ", ".join(
        f"{p.name}={spec.text()}" if p.name in named else spec.text()
        for p, spec in zip(needed, specs, strict=True)
    )
    return Drive(prepare, "inferred", f"{name}({inputs})")
