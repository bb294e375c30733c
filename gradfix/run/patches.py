"""The doors of torch at which a running program is met: optional wrappers, and their removal.

Every wrapper calls what it wraps with what it was given and returns what that returned. Light
wrappers (constructors) stay for the whole program; heavy ones only while it is traced.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from gradfix.run.tracing import ScriptTracer

_MODULE_FILE = str(sys.modules["torch.nn.modules.module"].__file__)


_INHERITED = object()


class Patches:
    """Attributes that were replaced, and what they were."""

    def __init__(self) -> None:
        self._originals: list[tuple[Any, str, Any]] = []

    def wrap(self, owner: Any, name: str, around: Callable[[Any], Any]) -> None:
        """Replace ``owner.name`` by ``around(original)``, keeping its kind and its manners."""
        raw = vars(owner).get(name, _INHERITED)
        if raw is _INHERITED:
            self._originals.append((owner, name, raw))
            setattr(owner, name, staticmethod(around(getattr(owner, name))))
            return
        original = raw.__func__ if isinstance(raw, (staticmethod, classmethod)) else raw
        wrapper = functools.wraps(original)(around(original))
        kind = type(raw) if isinstance(raw, (staticmethod, classmethod)) else None
        setattr(owner, name, kind(wrapper) if kind else wrapper)
        self._originals.append((owner, name, raw))

    def undo(self) -> None:
        """Put everything back."""
        while self._originals:
            owner, name, raw = self._originals.pop()
            if raw is _INHERITED:
                delattr(owner, name)
            else:
                setattr(owner, name, raw)


def after(then: Callable[[Any], None]) -> Callable[[Any], Any]:
    """A wrapper for a method that tells ``then`` about its object when it has returned."""

    def around(original: Any) -> Any:
        def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            result = original(self, *args, **kwargs)
            then(self)
            return result

        return wrapper

    return around


def opaque_functions(tracer: ScriptTracer) -> Callable[[Any], Any]:
    """For ``Function.apply``: one call, whatever it does inside; checkpointing is looked into."""

    def around(original: Any) -> Any:
        def wrapper(cls: Any, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            run = lambda: original(cls, *args, **kwargs)  # noqa: E731
            custom = not cls.__module__.startswith("torch.")
            if not custom and cls.__name__ == "CheckpointFunction":
                return tracer.aside(cls.__name__, run, (args, kwargs))
            return tracer.opaque(cls.__name__, run, (args, kwargs), custom=custom)

        return wrapper

    return around


def legacy_variables(tracer: ScriptTracer) -> Callable[[Any], Any]:
    """For ``Variable(...)``, whose result is a new tensor that autograd knows nothing about."""

    def around(original: Any) -> Any:
        def wrapper(cls: Any, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            run = lambda: original(cls, *args, **kwargs)  # noqa: E731
            return tracer.opaque("Variable", run, (args, kwargs), custom=False)

        return wrapper

    return around


def traced_recomputation(tracer: ScriptTracer) -> Callable[[Any], Any]:
    """For ``CheckpointFunction.backward``, which runs the user's code again: that is followed."""

    def around(original: Any) -> Any:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            if tracer.paused:
                return original(*args, **kwargs)
            with tracer:
                return original(*args, **kwargs)

        return wrapper

    return around


def where() -> str:
    """Whether a module is being built ("constructor") or called ("forward"), or neither ("").

    A module that is built in the middle of a forward belongs to the forward, and one that is
    called by a constructor, to learn the shape of its output, to the constructor.
    """
    found = ""
    frame = sys._getframe(1)
    for code, here in _frames(frame):
        if code.co_name == "_call_impl" and code.co_filename == _MODULE_FILE:
            found = "forward"
        elif code.co_name == "__init__" and code.co_varnames:
            if isinstance(here.f_locals.get(code.co_varnames[0]), nn.Module):
                found = "constructor"
    return found


def _frames(frame: Any) -> Iterator[tuple[Any, Any]]:
    while frame is not None:
        yield frame.f_code, frame
        frame = frame.f_back


def push(tracer: ScriptTracer) -> None:
    """Put the tracer on the mode stack, below every mode the program may pop.

    A default device lies at the very bottom by convention; the tracer goes above it.
    """
    stack = _take_all()
    device = stack[:1] if stack and type(stack[0]).__name__ == "DeviceContext" else []
    _put([*device, tracer, *stack[len(device) :]])


def pop(tracer: ScriptTracer) -> bool:
    """Take the tracer off the mode stack; False inside its own handler, where it is off anyway."""
    stack = _take_all()
    _put([mode for mode in stack if mode is not tracer])
    return any(mode is tracer for mode in stack)


def is_on(tracer: ScriptTracer) -> bool:
    """Whether torch will hand calls made here to the tracer first."""
    count = torch._C._len_torch_function_stack()
    return any(torch._C._get_function_stack_at(i) is tracer for i in range(count))


def _take_all() -> list[Any]:
    count = torch._C._len_torch_function_stack()
    return [torch._C._pop_torch_function_stack() for _ in range(count)][::-1]


def _put(modes: list[Any]) -> None:
    for mode in modes:
        torch._C._push_on_torch_function_stack(mode)
