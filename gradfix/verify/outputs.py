"""What a call returned, as tensors, and one number made of all of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import torch


def outputs_of(value: Any, depth: int = 4, seen: set[int] | None = None) -> Iterator[torch.Tensor]:
    """Every tensor in a result, each once: containers, dataclasses and plain objects are opened."""
    seen = set() if seen is None else seen
    if id(value) in seen or depth < 0:
        return
    seen.add(id(value))
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, torch.nn.Module):
        return
    elif isinstance(value, dict):
        for item in value.values():
            yield from outputs_of(item, depth - 1, seen)
    elif isinstance(value, (list, tuple, set)):
        for item in value:
            yield from outputs_of(item, depth - 1, seen)
    elif dataclasses.is_dataclass(value) or isinstance(value, torch.distributions.Distribution):
        for item in vars(value).values():
            yield from outputs_of(item, depth - 1, seen)


def numbers_of(value: Any, depth: int = 4) -> Iterator[float]:
    """Python floats in a result: what is left of a tensor after ``item()``."""
    if isinstance(value, float):
        yield value
    elif depth and isinstance(value, (list, tuple)):
        for item in value:
            yield from numbers_of(item, depth - 1)
    elif depth and isinstance(value, dict):
        yield from numbers_of(list(value.values()), depth)


def is_real(tensor: torch.Tensor) -> bool:
    """Whether a tensor can carry a gradient."""
    return tensor.is_floating_point() or tensor.is_complex()


def project(tensors: list[torch.Tensor], seed: int) -> torch.Tensor:
    """A fixed random projection of all tensors onto one number.

    A plain sum would hide faults: softmax sums to one, normalised values to zero.
    """
    generator = torch.Generator().manual_seed(seed + 7919)
    total: torch.Tensor | None = None
    for tensor in tensors:
        flat = torch.view_as_real(tensor) if tensor.is_complex() else tensor
        weights = torch.randn(flat.shape, generator=generator, dtype=torch.float64)
        part = (flat * weights.to(flat.dtype)).sum()
        total = part if total is None else total + part
    if total is None:
        raise ValueError("nothing to project")
    return total
