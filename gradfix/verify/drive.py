"""Ways to build and call one class: from a case, a call site, or by inference."""

from __future__ import annotations

import contextlib
import copy
import itertools
import random
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

#: Parameters of parts that were made up as arguments, by id: whoever gets them may keep them as it
#: likes, for the module that they really belong to lists them.
GIVEN: weakref.WeakValueDictionary[int, torch.Tensor] = weakref.WeakValueDictionary()
#: Those of them in objects of the project's own classes: nobody knows what these are given for.
IN_OBJECTS: weakref.WeakValueDictionary[int, torch.Tensor] = weakref.WeakValueDictionary()


class DriveError(Exception):
    """A class could not be built or called; the text says why, the case shows what to fill in."""

    def __init__(self, reason: str, case: str | None = None) -> None:
        super().__init__(reason)
        self.case = case


class Record(dict[str, Any]):
    """Values under names, read as of a dict or of an object."""

    def __getattr__(self, name: str) -> Any:
        if name not in self:
            raise AttributeError(name)
        return self[name]

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value  # what a module writes there and hands back is a result

    def __delattr__(self, name: str) -> None:
        if name not in self:
            raise AttributeError(name)
        del self[name]

    def to(self, *args: Any, **kwargs: Any) -> Record:
        """Itself: there is nothing to move."""
        return self


@dataclass(slots=True)
class Prepared:
    """A built module and one call of it; ``holder`` is what it is a part of, if anything."""

    module: nn.Module
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    invoke: Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], Any] | None = None
    holder: nn.Module | None = None

    def run(self) -> Any:
        """Call the module; whatever it raises is the user's."""
        if self.invoke is not None:
            return self.invoke(self.module, self.args, self.kwargs)
        return self.module(*self.args, **self.kwargs)

    def copied(self) -> Prepared:
        """An independent copy, so that a run leaves no trace; raises what ``deepcopy`` raises."""
        module, args, kwargs = copy.deepcopy((self.module, self.args, self.kwargs))
        return Prepared(module, args, kwargs, self.invoke)

    def initialised(self) -> Prepared:
        """The same with the sizes that lazy layers take from their first call.

        (https://docs.pytorch.org/docs/stable/generated/torch.nn.modules.lazy.LazyModuleMixin.html)
        """
        if is_lazy(self.module):
            args, kwargs = copy.deepcopy((self.args, self.kwargs))
            with torch.no_grad(), contextlib.suppress(Exception):  # the judged run raises it again
                Prepared(self.module, args, kwargs, self.invoke).run()
        return self

    def double(self) -> Prepared:
        """The same in float64."""
        self.module.double()
        for tensor in (*self.module.parameters(), *self.module.buffers()):
            if tensor.is_complex():  # Module.double() leaves these as they are
                tensor.data = tensor.data.to(torch.complex128)
        self.args = _double(self.args)
        self.kwargs = _double(self.kwargs)
        return self


@dataclass(frozen=True, slots=True)
class Maker:
    """One way to build a module; ``kwargs`` only where they were made up."""

    text: str
    build: Callable[[], nn.Module]
    kwargs: dict[str, Any] | None = None


@dataclass(slots=True)
class Drive:
    """A recipe: ``prepare`` builds a fresh module and inputs, always the same after `reseed`."""

    prepare: Callable[[], Prepared]
    driven_by: str
    text: str


def is_lazy(module: nn.Module) -> bool:
    """Whether a module holds Parameters or buffers that have no size yet."""
    held = itertools.chain(module.parameters(), module.buffers())
    return any(torch.nn.parameter.is_lazy(tensor) for tensor in held)


def reseed(seed: int) -> None:
    """Make every generator a module may draw from start over."""
    random.seed(seed)
    torch.manual_seed(seed)
    try:
        import numpy
    except ImportError:
        return
    numpy.random.seed(seed)


def _double(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        if value.is_complex():
            return value.to(torch.complex128)
        return value.double() if value.is_floating_point() else value
    if isinstance(value, dict):
        doubled = {key: _double(item) for key, item in value.items()}
        return Record(doubled) if isinstance(value, Record) else doubled
    if type(value) in (list, tuple):
        return type(value)(_double(item) for item in value)
    return value


def has_forward(cls: type) -> bool:
    """Whether calling an instance does anything."""
    return getattr(cls, "forward", None) is not getattr(nn.Module, "forward", None)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python or torch could get no more memory."""
    return isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error)


def describe(error: BaseException) -> str:
    """An exception in one line."""
    if is_out_of_memory(error):
        return "out of memory"
    text = " ".join(str(error).split())
    name = type(error).__name__
    return f"{name}: {text[:240]}" if text else name
