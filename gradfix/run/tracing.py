"""The tracer for whole programs: it follows what came from trainable leaves, and holds nothing.

A program loads data and evaluates for hours; what no leaf went into is not recorded, and tensors
are remembered weakly, so that memory is freed as without gradfix.
"""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any

import torch

from gradfix.run.owned import Owned
from gradfix.verify.graph import Call, Graph, Site
from gradfix.verify.refused import is_autograd_error
from gradfix.verify.trace import Seen, Tracer, function_of
from gradfix.verify.values import (
    floats_in,
    function_name,
    rounded,
    storage_of,
    tensors_in,
    version_of,
)

#: Neither reads values nor makes any.
_QUICK = frozenset(
    {
        "requires_grad", "grad", "grad=", "requires_grad=", "_version", "shape", "device",
        "dtype", "is_leaf", "size", "dim",
        "numel", "stride", "is_floating_point", "is_complex", "ndim", "__len__", "__hash__",
        "is_contiguous", "requires_grad_", "layout", "is_cuda", "is_sparse", "grad_fn",
        "data_ptr", "element_size", "storage_offset", "get_device", "register_hook", "__repr__",
        "backward", "retain_grad", "is_quantized", "is_meta", "names", "output_nr",
        "retains_grad", "_base", "is_same_size", "untyped_storage", "__format__", "_is_view",
        "_set_grad_enabled",
    }
)  # fmt: skip
#: Quick ones after which something is looked at.
_MARKS = frozenset({"grad", "requires_grad_", "requires_grad=", "_set_grad_enabled"})
_DEPTH = 8
_Given = tuple[list[torch.Tensor], list[int], int]


class ScriptTracer(Tracer):
    """Records the value graph of the user's program while it is on the mode stack."""

    def __init__(self, owns: Owned) -> None:
        super().__init__(())
        self._owns = owns
        self._names: dict[Any, str] = {}
        self._sites: dict[tuple[Any, ...], Site | None] = {}
        self._storages: dict[int, int] = {}
        self._alive: dict[int, weakref.ref[torch.Tensor]] = {}
        self.phase = "run"
        self.on_use: Callable[[], bool] | None = None
        self.on_refused: Callable[[BaseException, str, list[torch.Tensor]], None] | None = None
        self.on_asked: Callable[[torch.Tensor], None] | None = None
        self.switched: Site | None = None

    def owns(self, filename: str) -> bool:
        return self._owns(filename)

    # -- what is known lives no longer for it ----------------------------------------------------

    def keep(self, tensor: torch.Tensor) -> None:
        key = id(tensor)
        self._alive[key] = weakref.ref(tensor, self._forgetter(key))
        storage = storage_of(tensor)
        if storage:
            self._storages[key] = storage
            self.group[storage].append(key)

    def _forgetter(self, key: int) -> Callable[[weakref.ref[torch.Tensor]], None]:
        def forget(_: weakref.ref[torch.Tensor]) -> None:
            self._alive.pop(key, None)
            self.current.pop(key, None)
            self.nodes_of.pop(key, None)
            storage = self._storages.pop(key, 0)
            family = self.group.get(storage)
            if family is not None and key in family:
                family.remove(key)
                if not family:
                    del self.group[storage]

        return forget

    def known(self, key: int) -> torch.Tensor | None:
        reference = self._alive.get(key)
        return None if reference is None else alive(reference)

    def saw(self, call: Call, tensor: torch.Tensor) -> None:
        if call.last_seq > call.first_seq:  # otherwise it saved nothing for backward
            reference = self._alive.get(id(tensor)) or weakref.ref(tensor)
            storage, version = storage_of(tensor), version_of(tensor)
            self.versions.append(Seen(call, lambda: alive(reference), storage, version))

    def nodes(self, tensor: torch.Tensor) -> set[int]:
        """Every node a tensor is, and the same set later: it grows while the tensor lives."""
        if id(tensor) not in self._alive:
            self._adopt(tensor)
        return self.nodes_of[id(tensor)]

    def leaves(self) -> list[torch.Tensor]:
        """The living trainable leaves that went into something."""
        found = (self.known(key) for key in list(self._alive))
        return [t for t in found if t is not None and t.requires_grad and t.is_leaf]

    def restart(self) -> None:
        """Forget everything."""
        self.graph = Graph()
        self.gaps = []
        for record in (self.escapes, self.writes, self.versions):
            record.clear()
        for known in (self._alive, self.current, self.nodes_of, self.group, self.numbers):
            known.clear()
        self._storages.clear()

    def aside(self, name: str, run: Callable[[], Any], inputs: Any) -> Any:
        """Run something as one call; what it does inside is seen, but is no flow."""
        if self.paused or os.getpid() != self.owner:
            return run()
        before = self.phase
        self.phase = "aside"
        try:
            result = run()
        finally:
            self.phase = before
        for tensor in tensors_in(result):
            self.current.pop(id(tensor), None)  # from here on it is the result of this call
        return self.opaque(name, lambda: result, inputs, custom=False)

    def opaque(self, name: str, run: Callable[[], Any], inputs: Any, *, custom: bool) -> Any:
        __tracebackhide__ = True
        if self.paused or os.getpid() != self.owner:
            return run()
        given = self._look(name, inputs, always=True)
        size = len(self.graph.calls)
        self.paused += 1
        try:
            result = run()
            if given is not None:
                self._try_record(name, inputs, *given, result)
        finally:
            self.paused -= 1
        for call in self.graph.calls[size:]:
            call.custom = custom
        return result

    def attempted(self, name: str, inputs: list[torch.Tensor]) -> Call:
        """Record a call that raised: what went into it, and nothing that came out."""
        call = self._call(name)
        call.inputs = [self.node(tensor) for tensor in inputs]
        return call

    def derived(self, name: str, inputs: Any, result: Any) -> None:
        """Record something computed from the inputs that has happened already."""
        given = self._look(name, (inputs, {}), always=True)
        if given is not None:
            self._try_record(name, (inputs, {}), *given, result)

    # -- the mode ------------------------------------------------------------------------------

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        __tracebackhide__ = True
        kwargs = kwargs or {}
        if self.paused:
            return func(*args, **kwargs)
        name = self._names.get(func)
        if name is None:
            name = self._names[func] = function_name(func)
        if name in _QUICK or os.getpid() != self.owner:
            result = func(*args, **kwargs)
            if name in _MARKS and os.getpid() == self.owner:
                self._marked(name, args, result)
            return result
        given = self._look(name, (args, kwargs), always=bool(kwargs.get("requires_grad")))
        if given is None:
            return func(*args, **kwargs)
        self.paused += 1
        try:
            result = func(*args, **kwargs)
            self._try_record(name, (args, kwargs), *given, result)
        except RuntimeError as error:
            if self.on_refused is not None and is_autograd_error(error):
                self.on_refused(error, name, given[0])
            raise
        finally:
            self.paused -= 1
        return result

    def _marked(self, name: str, args: Any, result: Any) -> None:
        """A tensor became a leaf, a gradient was asked for, or grad mode was switched."""
        try:
            with torch._C.DisableTorchFunctionSubclass():
                if name == "_set_grad_enabled":
                    self.switched = None if args[0] else self.site()
                elif name == "grad":
                    if result is None and self.on_asked is not None and is_computed(args[0]):
                        self.on_asked(args[0])
                elif args[0].is_leaf and args[0].requires_grad and id(args[0]) not in self.current:
                    self._call(name).outputs.append(self._adopt(args[0]))
        except Exception as error:  # ours or a strange tensor's: never the program's trouble
            self._gap(name, error)

    def _look(self, name: str, arguments: Any, *, always: bool = False) -> _Given | None:
        """The tensors that go into a call, if it is to be recorded.

        Tensor subclasses are not asked: some answer every question with an error.
        """
        try:
            with torch._C.DisableTorchFunctionSubclass():
                inputs: list[torch.Tensor] = []
                _collect(arguments, inputs, 5)
                if not always and not self._concerns(inputs, arguments):
                    return None
                if torch._C._get_tracing_state() is not None:  # torch.jit would record our looking
                    return None
                if self.on_use is not None and self.on_use():
                    self.on_use = None
                return inputs, [_version(t) for t in inputs], torch._C._autograd._get_sequence_nr()
        except Exception as error:  # ours or a strange tensor's: never the program's trouble
            self._gap(name, error)
            return None

    def _call(self, name: str) -> Call:
        call = super()._call(name)
        if not call.grad_mode:
            call.switched = self.switched
        return call

    def _try_record(self, name: str, *record: Any) -> None:
        try:
            with torch._C.DisableTorchFunctionSubclass():
                self._record(name, *record)
        except Exception as error:  # as above
            self._gap(name, error)

    def _gap(self, name: str, error: Exception) -> None:
        self.gaps.append(f"{name}: {error}".partition("\n")[0])

    def _concerns(self, inputs: list[torch.Tensor], args: Any) -> bool:
        """Whether a leaf, something made of one, or a number that came from one goes in."""
        current = self.current
        for tensor in inputs:
            if id(tensor) in current or tensor.requires_grad:
                return True
        return bool(self.numbers) and any(rounded(v) in self.numbers for v in floats_in(args))

    def site(self) -> Site | None:
        """The innermost line of the user's code on the stack, with its callers."""
        frame: FrameType | None = sys._getframe(1)
        found: list[Any] = []
        depth = 0
        owns = self._owns
        while frame is not None and depth < _DEPTH:
            code = frame.f_code
            if owns(code.co_filename):
                found += (code, frame.f_lineno)
                depth += 1
            frame = frame.f_back
        key = tuple(found)
        if key not in self._sites:
            self._sites[key] = _site(key)
        return self._sites[key]


def is_computed(tensor: torch.Tensor) -> bool:
    """Whether a tensor has a history, and nobody asked to keep its gradient."""
    return tensor.requires_grad and not tensor.is_leaf and not tensor.retains_grad


def alive(reference: weakref.ref[torch.Tensor]) -> torch.Tensor | None:
    """The tensor, if it lives; its Python object may have been owned by C++ meanwhile."""
    tensor = reference()
    if tensor is not None:
        tensor._fix_weakref()  # type: ignore[attr-defined]
    return tensor


def _site(key: tuple[Any, ...]) -> Site | None:
    frames = [
        (code.co_filename, row, function_of(code), code.co_firstlineno)
        for code, row in zip(key[::2], key[1::2], strict=True)
    ]
    if not frames:
        return None
    return Site(*frames[0], outer=tuple(Site(*f) for f in frames[1:]))


def _collect(value: Any, into: list[torch.Tensor], depth: int) -> None:
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, torch.Tensor):
            into.append(item)
        elif depth and isinstance(item, (list, tuple, dict, set)):
            _collect(item, into, depth - 1)


def _version(tensor: torch.Tensor) -> int:
    try:
        return version_of(tensor)
    except RuntimeError:  # wrappers of torch.func have none
        return 0
