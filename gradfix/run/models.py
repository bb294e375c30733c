"""The models and optimizers a program has: who holds which leaf, and under which name."""

from __future__ import annotations

import itertools
import os
import sys
import weakref
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import torch
from torch import nn

from gradfix.run.owned import Owned
from gradfix.verify.examine import Hidden, hidden_leaves

_WRAPPERS = ("module", "_orig_mod")
_ITEMS = 1000


@dataclass(slots=True)
class Alive:
    """Objects by id, without keeping them alive or asking them for a hash."""

    references: dict[int, tuple[int, weakref.ref[Any]]] = field(default_factory=dict)
    made: int = 0

    def add(self, item: Any) -> int:
        """Remember an object until it dies, and return its serial number."""
        key = id(item)
        if key not in self.references:
            self.made += 1
            forget = weakref.ref(item, lambda _: self.references.pop(key, None))
            self.references[key] = self.made, forget
        return self.references[key][0]

    def items(self) -> list[tuple[int, Any]]:
        """The living objects in the order they were made, each with its serial number."""
        found = [(serial, reference()) for serial, reference in list(self.references.values())]
        return sorted((pair for pair in found if pair[1] is not None), key=lambda pair: pair[0])


@dataclass(slots=True)
class NamedLeaf:
    """A leaf and what it is called; ``hidden`` where the model does not register it."""

    name: str
    tensor: torch.Tensor
    hidden: Hidden | None = None


@dataclass(slots=True)
class Model:
    """A module that is part of no other, or an optimizer with leaves of no module."""

    serial: int
    target: str
    leaves: list[NamedLeaf]


def models(modules: Alive, owns: Owned, script: str) -> list[Model]:
    """The outermost modules with their leaves, in the order they were made."""
    every = [(n, module) for n, module in modules.items() if "_parameters" in vars(module)]
    inside = {id(part) for _, module in every for part in _parts(module)}
    found = []
    for serial, module in every:
        if id(module) in inside:
            continue
        names = dict(_parameters(module))
        leaves = [NamedLeaf(_plain(name), p) for name, p in names.items()]
        leaves += [NamedLeaf(_plain(h.name), h.leaf, h) for h in hidden_leaves(module)]
        if leaves:
            found.append(Model(serial, _target(_unwrapped(module), owns, script), leaves))
    return found


def _parameters(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    yield from nn.Module.named_parameters(module)


def _parts(module: nn.Module) -> Iterator[nn.Module]:
    """The modules directly in a module: registered, or in its plain containers."""
    yield from nn.Module.children(module)
    for value in list(vars(module).values()):
        if isinstance(value, (list, tuple, dict)) and value is not module._modules:
            yield from _modules_in(value, 3)


def _modules_in(value: Any, depth: int) -> Iterator[nn.Module]:
    if isinstance(value, nn.Module):
        yield value
    elif depth and isinstance(value, (list, tuple)):
        for item in itertools.islice(value, _ITEMS):
            yield from _modules_in(item, depth - 1)
    elif depth and isinstance(value, dict):
        for item in itertools.islice(value.values(), _ITEMS):
            yield from _modules_in(item, depth - 1)


def _unwrapped(module: nn.Module) -> nn.Module:
    """The model inside DataParallel, torch.compile and the like."""
    for name in _WRAPPERS:
        inner = dict(nn.Module.named_children(module)).get(name)
        if inner is not None and type(module).__module__.startswith("torch."):
            return _unwrapped(inner)
    return module


def _plain(name: str) -> str:
    """A name without the wrappers in front of it."""
    head, dot, rest = name.partition(".")
    return _plain(rest) if dot and head in _WRAPPERS else name


def _target(owner: Any, owns: Owned, script: str) -> str:
    """``file.py:Class`` for a class of the user's, otherwise the script and the class."""
    cls = type(owner)
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    if file and owns(file):
        return f"{os.path.relpath(file).replace(os.sep, '/')}:{cls.__qualname__}"
    return f"{script}:{cls.__qualname__}"


def orphans(
    serial: int, optimizer: torch.optim.Optimizer, known: set[int], owns: Owned, script: str
) -> Model | None:
    """The leaves an optimizer holds that no module has."""
    leaves = [
        NamedLeaf(name or f"param_groups[{i}]['params'][{j}]", tensor)
        for i, group in enumerate(optimizer.param_groups)
        for j, tensor in enumerate(group["params"])
        if id(tensor) not in known
        for name in [global_name(tensor)]
    ]
    return Model(-serial, _target(optimizer, owns, script), leaves) if leaves else None


def loose(
    leaves: Iterable[tuple[torch.Tensor, str | None]], known: set[int], script: str
) -> Model | None:
    """Leaves of no module and no optimizer, under the names the script has for them."""
    named = [
        NamedLeaf(name or f"leaf[{i}]", leaf)
        for i, (leaf, name) in enumerate(leaves)
        if id(leaf) not in known
    ]
    return Model(0, script, named) if named else None


def global_name(tensor: torch.Tensor) -> str | None:
    """What the program's top level calls a tensor, also as an item of a list or dict."""
    return _name_in(vars(sys.modules["__main__"]), tensor)


def name_of(tensor: torch.Tensor, owns: Owned) -> str | None:
    """What the program calls a tensor: in the functions that run right now, or at its top level."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if owns(frame.f_code.co_filename):
            found = _name_in(frame.f_locals, tensor)
            if found is not None:
                return found
        frame = frame.f_back
    return global_name(tensor)


def _name_in(scope: Mapping[str, Any], tensor: torch.Tensor) -> str | None:
    for name, value in list(scope.items()):
        if value is tensor:
            return name
        if isinstance(value, (list, tuple)):
            for index, item in enumerate(itertools.islice(value, _ITEMS)):
                if item is tensor:
                    return f"{name}[{index}]"
        elif isinstance(value, dict) and not name.startswith("__"):
            for key, item in itertools.islice(value.items(), _ITEMS):
                if item is tensor:
                    return f"{name}[{key!r}]"
        elif type(value).__module__ == "__main__" and hasattr(value, "__dict__"):
            for key, item in itertools.islice(vars(value).items(), _ITEMS):
                if item is tensor:
                    return f"{name}.{key}"
    return None
