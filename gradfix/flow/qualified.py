"""The names of PyTorch: where they are defined, and what everybody calls them."""

from __future__ import annotations

import re
from functools import lru_cache

#: Where PyTorch's names are defined, and the name everybody uses.
_CANONICAL = (
    ("torch.nn.parameter.", "torch.nn."),
    ("torch.nn.modules.module.", "torch.nn."),
    ("torch.autograd.variable.", "torch.autograd."),
    ("torch.autograd.grad_mode.", "torch."),
    ("torch.functional.", "torch."),
)
_LAYER_MODULE = re.compile(r"^torch\.nn\.modules\.\w+\.(\w+)$")
_OPTIMIZER_MODULE = re.compile(r"^torch\.optim\.\w+\.([A-Z]\w+)$")


@lru_cache(maxsize=4096)
def canonical(name: str) -> str:
    """The usual name of what a qualified name stands for."""
    if not name.startswith("torch."):
        return name
    for long, short in _CANONICAL:
        if name.startswith(long):
            name = short + name[len(long) :]
    layer = _LAYER_MODULE.match(name)
    if layer:
        name = f"torch.nn.{layer[1]}"
    optimizer = _OPTIMIZER_MODULE.match(name)
    if optimizer:
        name = f"torch.optim.{optimizer[1]}"
    return name
