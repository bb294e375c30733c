"""Watches one run of the user's code and writes its value graph; changes nothing it computes.

A `TorchFunctionMode` sees operations on tensors, their methods and properties, and what leaves
them for Python. Three doors it does not see are patched while a tracer is active: ``Parameter``,
``Variable`` and ``Function.apply``. Values that went through Python or NumPy are recognised by
value when they come back.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from types import CodeType, FrameType
from typing import Any, NamedTuple

import torch
from torch.overrides import TorchFunctionMode

from gradfix.verify.graph import Call, Graph, Site
from gradfix.verify.values import (
    floats_in,
    function_name,
    only_shape,
    rounded,
    signs,
    storage_of,
    tensors_in,
    version_of,
)

_ESCAPES = frozenset(
    {"item", "tolist", "numpy", "__float__", "__int__", "__index__", "__array__", "__complex__"}
)
_IGNORED = frozenset({"requires_grad", "grad", "_version", "shape", "device", "dtype", "is_leaf"})
#: How many callers are kept: enough to find what switched gradients off around a library.
_FRAMES = 24
_COMMON = frozenset({0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 3.0, 4.0, 10.0, 100.0})


class Seen(NamedTuple):
    """What a call read or made: the tensor, if it still lives, its memory and its version then."""

    call: Call
    tensor: Callable[[], torch.Tensor | None]
    storage: int
    version: int


class Tracer(TorchFunctionMode):
    """Records the value graph of everything run inside ``with tracer:``.

    ``folders`` are where the user's code lies; only its lines become sites. ``gaps`` lists why
    the record is incomplete; with a gap nothing may be blamed.
    """

    def __init__(self, folders: tuple[str, ...]) -> None:
        super().__init__()
        self.folders = folders
        self.graph = Graph()
        self.phase = "build"
        self.gaps: list[str] = []
        self.owner = os.getpid()
        self.paused = 0
        self.alive: dict[int, torch.Tensor] = {}  # keeps ids unique while the tracer lives
        self.current: dict[int, int] = {}
        self.nodes_of: dict[int, set[int]] = defaultdict(set)
        self.group: dict[int, list[int]] = defaultdict(list)
        self.numbers: dict[float, int] = {}
        self.escapes: list[Call] = []
        self.writes: list[tuple[Call, int, int]] = []
        self.versions: list[Seen] = []
        self.failed: Call | None = None
        #: The losses that the user's own constructor called backward on.
        self.trained_from: set[int] = set()

    # -- the user's frames ---------------------------------------------------------------------

    def owns(self, filename: str) -> bool:
        """Whether a file is the user's code."""
        return filename.startswith(self.folders)

    def site(self) -> Site | None:
        """The innermost line of the user's code on the stack, with its callers."""
        frame: FrameType | None = sys._getframe(1)
        found: list[tuple[str, int, str, int]] = []
        while frame is not None and len(found) < _FRAMES:
            code = frame.f_code
            if self.owns(code.co_filename):
                name = function_of(code)
                found.append((code.co_filename, frame.f_lineno, name, code.co_firstlineno))
            frame = frame.f_back
        if not found:
            return None
        return Site(*found[0], outer=tuple(Site(*f) for f in found[1:]))

    # -- nodes ---------------------------------------------------------------------------------

    def node(self, tensor: torch.Tensor) -> int:
        """The node of a tensor as it is now; tensors of unseen origin get one on first sight."""
        known = self.current.get(id(tensor))
        if known is not None:
            return known
        node = self._adopt(tensor)
        others = {key for key in self._relatives(tensor) if key != id(tensor)}
        # What came out of a call that was looked at as a whole has no node until it is used again.
        relatives = [self.current[key] for key in others if key in self.current]
        if relatives or not tensor.requires_grad:
            self._explain(tensor, node, relatives)
        return node

    def _adopt(self, tensor: torch.Tensor) -> int:
        node = self.graph.node()
        if id(tensor) not in self.current:
            self.keep(tensor)
        self.current[id(tensor)] = node
        self.nodes_of[id(tensor)].add(node)
        return node

    def keep(self, tensor: torch.Tensor) -> None:
        """Make a tensor known, and its id unique for as long as it is."""
        self.alive[id(tensor)] = tensor
        storage = storage_of(tensor)
        if storage:
            self.group[storage].append(id(tensor))

    def known(self, key: int) -> torch.Tensor | None:
        """The tensor with this id, if it is known and still lives."""
        return self.alive.get(key)

    def saw(self, call: Call, tensor: torch.Tensor) -> None:
        """Remember at which version a call read or made a tensor."""
        self.versions.append(Seen(call, lambda: tensor, storage_of(tensor), version_of(tensor)))

    def _relatives(self, tensor: torch.Tensor) -> list[int]:
        """The ids of all known tensors that share memory with this one."""
        storage = storage_of(tensor)
        return list(self.group[storage]) if storage else [id(tensor)]

    def _explain(self, tensor: torch.Tensor, node: int, relatives: list[int]) -> None:
        """Join a tensor of unseen origin to the values it was made of, if they can be told."""
        call = self._call("constant")
        for source in relatives:
            self.graph.connect(source, node, call, False)
        if not relatives and tensor.is_floating_point() and 0 < tensor.numel() <= 64:
            for value in tensor.detach().reshape(-1).tolist():
                source_node = self.numbers.get(rounded(value))
                if source_node is not None:
                    self.graph.connect(source_node, node, call, False)

    def _call(self, name: str) -> Call:
        call = Call(
            len(self.graph.calls),
            name,
            self.site(),
            self.phase,
            torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(),
        )
        self.graph.calls.append(call)
        return call

    # -- the mode ------------------------------------------------------------------------------

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        __tracebackhide__ = True  # under pytest, what a test raises is shown without this frame
        kwargs = kwargs or {}
        name = function_name(func)
        if self.paused or os.getpid() != self.owner or name in _IGNORED:
            return func(*args, **kwargs)
        inputs = [*tensors_in(args), *tensors_in(kwargs)]
        before = [version_of(t) for t in inputs]
        first = torch._C._autograd._get_sequence_nr()
        self.paused += 1
        try:
            result = func(*args, **kwargs)
        except RuntimeError:
            self.failed = self._call(name)
            self.failed.inputs = [self.node(t) for t in inputs]
            raise
        finally:
            self.paused -= 1
        self.paused += 1
        try:
            self._record(name, (args, kwargs), inputs, before, first, result)
            if name == "backward" and self.phase == "build":
                self.trained_from |= {self.node(t) for t in inputs[:1]}
        except (RuntimeError, TypeError, NotImplementedError, AttributeError) as error:
            self.gaps.append(f"{name}: {error}".partition("\n")[0])
        finally:
            self.paused -= 1
        return result

    def _record(
        self,
        name: str,
        arguments: Any,
        inputs: list[torch.Tensor],
        before: list[int],
        first: int,
        result: Any,
    ) -> None:
        outputs = list(tensors_in(result))
        changed = {id(t): t for t, v in zip(inputs, before, strict=True) if version_of(t) != v}
        if name.endswith("="):  # `t.data = x` changes t without a new version
            changed.update({id(t): t for t in inputs[:1]})
        escapes = name in _ESCAPES
        if not outputs and not changed and not escapes:
            return
        sources = [self.node(t) for t in inputs if not only_shape(name, t, inputs)]
        returned: list[int] = []
        if self.numbers:
            numbers = [self.numbers.get(rounded(v)) for v in floats_in(arguments)]
            returned = [n for n in numbers if n is not None]
        call = self._call(name)
        call.inputs, call.first_seq = sources, first
        call.last_seq = torch._C._autograd._get_sequence_nr()
        call.scalar = len(inputs) == 1 and inputs[0].numel() == 1
        call.signs = signs(name, arguments)
        for tensor in inputs:
            self.saw(call, tensor)
        if escapes:
            self._escape(call, inputs[0], result)
            return
        requires = dict(zip(sources, (t.requires_grad for t in inputs), strict=False))
        for tensor in changed.values():
            self._write(call, tensor, requires, returned)
        for tensor in outputs:
            if id(tensor) in changed or id(tensor) in self.current:
                continue
            self._produce(call, tensor, requires, returned)

    def _produce(
        self, call: Call, tensor: torch.Tensor, requires: dict[int, bool], returned: list[int]
    ) -> None:
        node = self._adopt(tensor)
        call.outputs.append(node)
        self.saw(call, tensor)
        recorded = tensor.requires_grad and tensor.grad_fn is not None
        for source, required in requires.items():
            self.graph.connect(source, node, call, recorded and required)
        for source in returned:
            self.graph.connect(source, node, call, False)
        if recorded and tensor.numel() == 1 and tensor.is_floating_point():
            self._remember(float(tensor.detach()), node)

    def _write(
        self, call: Call, tensor: torch.Tensor, requires: dict[int, bool], returned: list[int]
    ) -> None:
        """An in-place write reaches every tensor on the same memory, with or without autograd."""
        tracked = tensor.requires_grad and torch.is_grad_enabled()
        call.integer = not (tensor.is_floating_point() or tensor.is_complex())
        family = {id(tensor), id(tensor._base)}
        for key in self._relatives(tensor):
            other = self.known(key)
            if other is None or key not in self.current:
                continue
            old, new = self.current[key], self._adopt(other)
            seen = key in family or id(other._base) in family - {id(None)}
            live = tracked and seen and other.requires_grad
            if other.requires_grad and not live:
                call.leaf_write = call.leaf_write or _belongs_to_leaf(other)
                call.hidden_write = call.hidden_write or not _belongs_to_leaf(other)
            self.graph.connect(old, new, call, other.requires_grad)
            for source, required in requires.items():
                if source != old:
                    self.graph.connect(source, new, call, live and required)
            for source in returned:
                self.graph.connect(source, new, call, False)
            call.outputs.append(new)
        if storage := storage_of(tensor):
            self.writes.append((call, storage, version_of(tensor)))

    def _escape(self, call: Call, tensor: torch.Tensor, result: Any) -> None:
        self.escapes.append(call)
        node = self.graph.node()
        self.graph.connect(call.inputs[0], node, call, False)
        for value in floats_in(result):
            self._remember(value, node)

    def number(self, value: float) -> int | None:
        """The node a Python number came from, if it left a tensor during this trace."""
        return self.numbers.get(rounded(value))

    def _remember(self, value: float, node: int) -> None:
        if value not in _COMMON and value == value:
            self.numbers[rounded(value)] = node

    # -- doors the mode does not see -----------------------------------------------------------

    def opaque(self, name: str, run: Callable[[], Any], inputs: Any, *, custom: bool) -> Any:
        """Run something as one call, whatever it does inside."""
        if self.paused or os.getpid() != self.owner:
            return run()
        given = list(tensors_in(inputs))
        before = [version_of(t) for t in given]
        first = torch._C._autograd._get_sequence_nr()
        self.paused += 1
        try:
            result = run()
            size = len(self.graph.calls)
            self._record(name, inputs, given, before, first, result)
        finally:
            self.paused -= 1
        for call in self.graph.calls[size:]:
            call.custom = custom
        return result


def function_of(code: CodeType) -> str:
    """The function a person would name: comprehensions and lambdas belong to the one around."""
    qualname = getattr(code, "co_qualname", code.co_name)
    parts = [part for part in qualname.split(".<locals>.") if not part.startswith("<")]
    return parts[-1] if parts else qualname


def _belongs_to_leaf(tensor: torch.Tensor) -> bool:
    """Whether autograd has nothing recorded that a write into this tensor could falsify."""
    try:
        return tensor.is_leaf
    except RuntimeError:  # a view made under no_grad of a leaf that was written to since
        return True


@contextlib.contextmanager
def traced(tracer: Tracer) -> Iterator[Tracer]:
    """Activate a tracer with its patches; everything is put back on the way out."""
    function, parameter = torch.autograd.Function, torch.nn.Parameter
    apply, new = function.__dict__["apply"], parameter.__dict__["__new__"]

    def watched_apply(cls: Any, *args: Any, **kwargs: Any) -> Any:
        custom = not cls.__module__.startswith("torch.")
        run = lambda: apply.__func__(cls, *args, **kwargs)  # noqa: E731
        return tracer.opaque(cls.__name__, run, (args, kwargs), custom=custom)

    def watched_new(cls: Any, *args: Any, **kwargs: Any) -> Any:
        run = lambda: new(cls, *args, **kwargs)  # noqa: E731
        return tracer.opaque(cls.__name__, run, (args, kwargs), custom=False)

    setattr(function, "apply", classmethod(watched_apply))  # noqa: B010
    setattr(parameter, "__new__", staticmethod(watched_new))  # noqa: B010
    try:
        with tracer:
            yield tracer
    finally:
        setattr(function, "apply", apply)  # noqa: B010
        setattr(parameter, "__new__", new)  # noqa: B010
