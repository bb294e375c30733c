"""What a call is given and gives: tensors, numbers, memory and versions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

_MATCHED_ELEMENTS = 256


def tensors_in(value: object, depth: int = 4) -> Iterator[torch.Tensor]:
    """The tensors in nested lists, tuples and dicts."""
    if isinstance(value, torch.Tensor):
        yield value
    elif depth and isinstance(value, (list, tuple, set)):
        for item in value:
            yield from tensors_in(item, depth - 1)
    elif depth and isinstance(value, dict):
        for item in value.values():
            yield from tensors_in(item, depth - 1)


def dense(gradient: torch.Tensor) -> torch.Tensor:
    """A gradient with all its elements; that of ``Embedding(sparse=True)`` holds a few rows."""
    return gradient if gradient.layout is torch.strided else gradient.to_dense()


def is_numpy(value: object) -> bool:
    """Whether this is an array or a number of NumPy, which need not be installed."""
    return type(value).__module__ == "numpy"


def floats_in(value: object, depth: int = 4) -> Iterator[float]:
    """The Python and NumPy numbers in nested containers (tensors excluded)."""
    if isinstance(value, (bool, torch.Tensor)):
        return
    if isinstance(value, float):
        yield value
    elif depth and isinstance(value, (list, tuple)):
        for item in value[:_MATCHED_ELEMENTS]:
            yield from floats_in(item, depth - 1)
    elif is_numpy(value):
        array: Any = value
        if getattr(getattr(array, "dtype", None), "kind", "") == "f":
            yield from (float(v) for v in array.ravel()[:_MATCHED_ELEMENTS])


def rounded(value: float) -> float:
    """Numbers meet again after a detour through float32, so they are compared in float32."""
    import ctypes

    return ctypes.c_float(value).value


def function_name(func: Callable[..., Any]) -> str:
    """The name users know an intercepted function by; ``.data`` for the getter of ``data``."""
    name = getattr(func, "__name__", type(func).__name__)
    if name in ("__get__", "__set__"):
        owner = getattr(getattr(func, "__self__", None), "__name__", "")
        return owner if name == "__get__" else f"{owner}="
    return str(name)


def storage_of(tensor: torch.Tensor) -> int:
    """A number for the memory a tensor lies in; 0 where it has none of its own to speak of."""
    try:
        return int(tensor.untyped_storage()._cdata)
    except (RuntimeError, NotImplementedError):
        return 0


def version_of(tensor: torch.Tensor) -> int:
    """How often a tensor was written in place; -1 under inference mode, which does not count."""
    # An inference tensor counts no writes, and a lazy Parameter is nothing yet.
    none = torch.nn.parameter.is_lazy(tensor) or tensor.is_inference()
    return -1 if none else int(tensor._version)


def only_shape(name: str, tensor: torch.Tensor, inputs: list[torch.Tensor]) -> bool:
    """Whether an operation looks at this argument's shape, dtype or device but not its values."""
    if name.endswith("_like") or (name.startswith("new_") and name != "new_tensor"):
        return True
    return name.endswith("_as") and tensor is not inputs[0]


_SUMS = {
    **dict.fromkeys(("add", "__add__", "__radd__", "add_", "__iadd__"), (1, 1)),
    **dict.fromkeys(("sub", "__sub__", "subtract", "sub_", "__isub__"), (1, -1)),
    **dict.fromkeys(("rsub", "__rsub__"), (-1, 1)),
}


def signs(name: str, arguments: Any) -> tuple[int, ...]:
    """How each tensor argument enters a sum: +1, -1, or nothing for any other operation."""
    if name in _SUMS and "alpha" not in arguments[1]:
        return _SUMS[name] if len(list(tensors_in(arguments))) == 2 else ()
    return (-1,) if name in ("neg", "__neg__") else ()
