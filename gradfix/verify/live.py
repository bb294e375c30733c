"""The tracer inside the user's own process: in tests, where code is scattered and goes on for long.

Unlike in a child there is no copy of the project, so what is the user's code is told by its path.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import nn

from gradfix.verify.graph import Call, Site
from gradfix.verify.trace import Tracer
from gradfix.verify.values import tensors_in

_OURS = str(Path(__file__).resolve().parents[1]) + os.sep
_INSTALLED = frozenset({"site-packages", "dist-packages"})
_BUILDING = ("__init__", "reset_parameters", "_reset_parameters", "init_weights", "_init_weights")
#: So many operations are kept; a test that makes more trains for long, and its memory is needed.
_LIMIT = 200_000
#: What is recorded is kept alive; a test that computes more than this (bytes) may need its memory.
_MEMORY = 2 * 1024**3


class LiveTracer(Tracer):
    """A tracer that knows which top-level module is running, and gives up rather than disturb.

    ``folders`` are the user's; installed packages in them are not. ``running`` is the stack of
    modules being called.
    """

    def __init__(self, folders: tuple[str, ...]) -> None:
        super().__init__(folders)
        self.phase = "run"
        self.running: list[nn.Module] = []
        self.inside: dict[int, int] = {}
        self.held = 0
        self._is_users: Callable[[str], bool] = functools.cache(self._decide)

    def _decide(self, filename: str) -> bool:
        if not filename.startswith(self.folders) or filename.startswith(_OURS):
            return False
        return not _INSTALLED & set(Path(filename).parts)

    def site(self) -> Site | None:
        """The innermost line of the user's code on the stack, with its callers."""
        frame: FrameType | None = sys._getframe(1)
        found: list[Site] = []
        while frame is not None and len(found) < 8:
            code = frame.f_code
            if self._is_users(code.co_filename):
                name = getattr(code, "co_qualname", code.co_name)
                parts = [p for p in name.split(".<locals>.") if not p.startswith("<")]
                function = parts[-1] if parts else name
                found.append(Site(code.co_filename, frame.f_lineno, function, code.co_firstlineno))
            frame = frame.f_back
        if not found:
            return None
        first = found[0]
        return Site(first.filename, first.row, first.function, first.first_row, tuple(found[1:]))

    def _adopt(self, tensor: torch.Tensor) -> int:
        if id(tensor) not in self.current and tensor._base is None:
            self.held += tensor.numel() * tensor.element_size()
        return super()._adopt(tensor)

    def _call(self, name: str) -> Call:
        call = super()._call(name)
        if self.running:
            self.inside[call.index] = id(self.running[0])
        frames = (call.site, *call.site.outer) if call.site else ()
        # Modules are built anywhere in a test; what their constructors copy is no flow.
        if any(frame.function.rpartition(".")[2] in _BUILDING for frame in frames):
            call.phase = "build"
        return call

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        __tracebackhide__ = True
        if len(self.graph.calls) > _LIMIT:
            self.give_up(f"more than {_LIMIT} operations")
        if self.held > _MEMORY and not self.gaps:
            self.give_up(f"more than {_MEMORY / 1024**3:g} GiB of results")
        if self.gaps or not self._can_be_watched(args, kwargs):
            return func(*args, **(kwargs or {}))
        return super().__torch_function__(func, types, args, kwargs)

    def _can_be_watched(self, args: Any, kwargs: Any) -> bool:
        """Whether looking at the arguments changes nothing; what cannot be looked at is a gap."""
        if torch._C._get_tracing_state() is not None:  # tracing on behalf of torch.jit
            return False
        try:
            for tensor in (*tensors_in(args), *tensors_in(kwargs)):
                if is_lazy(tensor):  # waits for its shape, and holds no values to follow
                    return False
                _ = tensor.is_inference() or tensor._version
        except Exception as error:  # a tensor subclass of the user's may refuse anything
            self.give_up(f"{type(error).__name__}: {error}".partition("\n")[0])
            return False
        return True

    def give_up(self, why: str) -> None:
        """Stop recording, and let go of what was kept."""
        self.gaps.append(why)
        for kept in (self.alive, self.current, self.group, self.versions, self.writes):
            kept.clear()

    def _record(self, name: str, *rest: Any) -> None:
        try:
            super()._record(name, *rest)
        except Exception as error:  # a user's tensor subclass may raise anything; the test goes on
            self.give_up(f"{name}: {type(error).__name__}: {error}".partition("\n")[0])


def tensors_of_unknown_origin(tracer: Tracer, known: set[int]) -> set[int]:
    """The nodes that nothing was seen to compute, except the known ones: a test's data."""
    graph = tracer.graph
    return {n for n in range(1, graph.size + 1) if not graph.incoming.get(n)} - known


def is_lazy(parameter: torch.Tensor) -> bool:
    """Whether a Parameter still waits for its shape."""
    return bool(nn.parameter.is_lazy(parameter))
