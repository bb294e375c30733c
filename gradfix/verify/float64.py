"""Runs code that was written for float32 in float64, so that finite differences mean something."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_NARROW = (torch.float32, torch.float16, torch.bfloat16)
_COMPLEX = (torch.complex64, torch.complex32)
_CASTS = {"float", "half", "bfloat16"}


class _Promote(TorchFunctionMode):
    """Widens every narrow floating dtype that is asked for, and every narrow constant met."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in _CASTS and args and isinstance(args[0], torch.Tensor):
            return args[0].double()
        writes = (name.endswith("_") and not name.endswith("__")) or name == "__setitem__"
        if name in ("__get__", "__set__") or writes:
            return func(*args, **(kwargs or {}))
        args = tuple(_widened(a) for a in args)
        return func(*args, **{k: _widened(v) for k, v in (kwargs or {}).items()})


def _widened(value: Any) -> Any:
    if isinstance(value, torch.dtype):
        if value in _COMPLEX:
            return torch.complex128
        return torch.float64 if value in _NARROW else value
    if isinstance(value, torch.Tensor):
        constant = value.dtype in _NARROW and not value.requires_grad and value.numel() > 0
        return value.double() if constant else value
    if type(value) in (list, tuple):
        return type(value)(_widened(item) for item in value)
    return value


@contextlib.contextmanager
def in_float64() -> Iterator[None]:
    """Make float64 the default dtype, and what narrow dtypes become."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with _Promote():
            yield
    finally:
        torch.set_default_dtype(before)
