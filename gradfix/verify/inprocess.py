"""The door to torch inside the user's own process, for `gradfix.testing` and the pytest plugin.

NOTE what fails a test. Both look only at trainable Parameters. `missing_gradients` is asked about
one model: every verdict that fails in ``gradfix verify`` fails here. `Watch` is asked about
whatever a test happens to run, where a Parameter without a gradient is often meant. It fails only
where the way from a Parameter to what was differentiated was cut inside the forward of its own
module: by copying values, by a write that autograd cannot see, or by an operation without a
derivative; or where copying cut off everything. All else is a remark.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import os
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as hooks

from gradfix.verify import blame as lines
from gradfix.verify.blame import Places
from gradfix.verify.deliberate import wrong_or_question
from gradfix.verify.drive import Drive, Prepared
from gradfix.verify.examine import Run, examine, hidden_leaves
from gradfix.verify.judge import Context, Judge
from gradfix.verify.live import LiveTracer, is_lazy, tensors_of_unknown_origin
from gradfix.verify.numeric import Comparison, NumericError, compare
from gradfix.verify.outputs import outputs_of
from gradfix.verify.results import FAILING, ParameterResult
from gradfix.verify.trace import traced

_SEED = 0
#: Finite differences take some runs of the model; for large models they would take long.
_MAX_ELEMENTS = 2_000_000
_active: list[Watch] = []


def missing_gradients(
    model: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    loss: Callable[[Any], Any] | None,
    ignore: Sequence[str],
) -> list[ParameterResult]:
    """Run a model once, forward and backward, and judge every trainable Parameter.

    Gradients, buffers and the state of random generators are put back afterwards. Raises what the
    user's forward raises.
    """

    def call(module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        result = module(*given, **named)
        return result if loss is None else loss(result)

    drive = Drive(lambda: Prepared(model, args, kwargs, call), "case", type(model).__name__)
    root = os.getcwd()
    with _unwatched(), _put_back(model):
        run = examine(drive, _SEED, (), LiveTracer((root, *_folders_of(model))))
        if run.forward_error is not None:
            raise run.forward_error
        judge = Judge(run, Context(Places(root, root, root), True, frozenset()))
        judge.numbers = _numbers(model, args, kwargs, call) or _present(run)
        results = judge.verdicts()
    return [
        r for r in results if r.trainable and r.verdict in FAILING and not _ignored(r.name, ignore)
    ]


@contextlib.contextmanager
def _unwatched() -> Iterator[None]:
    """For a run that is judged here, not by who watches the test around it."""
    for watch in _active:
        watch.aside, watch.tracer.paused = watch.aside + 1, watch.tracer.paused + 1
    try:
        yield
    finally:
        for watch in _active:
            watch.aside, watch.tracer.paused = watch.aside - 1, watch.tracer.paused - 1


def _numbers(
    model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], call: Any
) -> Comparison | None:
    """Finite differences on copies of the model; None where they cannot be had."""
    if sum(p.numel() for p in model.parameters() if not is_lazy(p)) > _MAX_ELEMENTS:
        return None

    def prepare() -> Prepared:
        return Prepared(*copy.deepcopy((model, args, kwargs)), call)

    try:
        return compare(prepare, _SEED)
    except NumericError:
        return None
    except Exception:  # deepcopy runs the user's code; without copies there is nothing to compare
        return None


def _present(run: Run) -> Comparison:
    """What is known without finite differences: a gradient that is there counts as right."""
    return Comparison(right=set(run.parameters))


def _ignored(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def _folders_of(model: nn.Module) -> tuple[str, ...]:
    """Where the model's own classes are written, if that is no installed package."""
    found: dict[str, None] = {}
    for part in model.modules():
        with contextlib.suppress(TypeError, OSError):
            found[os.path.dirname(inspect.getfile(type(part)))] = None
    return tuple(folder for folder in found if f"{os.sep}site-packages" not in folder)


@contextlib.contextmanager
def _put_back(model: nn.Module) -> Iterator[None]:
    """Keep the model's gradients and buffers and the random generators as they are."""
    leaves = [*model.parameters(), *(hidden.leaf for hidden in hidden_leaves(model))]
    grads = [(leaf, leaf.grad) for leaf in leaves]
    for leaf in leaves:
        leaf.grad = None
    buffers = [(b, b.detach().clone()) for b in model.buffers()]
    state, numpy_state = random.getstate(), _numpy_state()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(state)
        if numpy_state is not None:
            import numpy

            numpy.random.set_state(numpy_state)
        for leaf, grad in grads:
            leaf.grad = grad
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)


def _numpy_state() -> Any:
    try:
        import numpy
    except ImportError:
        return None
    return numpy.random.get_state()


# -- watching a test ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Finding:
    """A Parameter without a gradient after a test; ``fails`` if that cannot be meant."""

    module: str
    result: ParameterResult
    fails: bool


@dataclass(slots=True)
class _Seen:
    module: nn.Module
    outputs: set[int] = field(default_factory=set)


@contextlib.contextmanager
def _uncompiled() -> Iterator[None]:
    """Run compiled modules as they are written: what a compiler made of them has no lines."""
    if "torch._dynamo" not in sys.modules:  # nothing is compiled, and loading it takes seconds
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


class Watch:
    """Watches everything a test does with modules, from ``active()`` to its end.

    ``root`` is the folder of the user's code.
    """

    def __init__(self, root: str) -> None:
        self.tracer = LiveTracer((root,))
        self.places = Places(root, root, os.getcwd())
        self.got: set[int] = set()
        self.aside = 0  # how many runs inside of this one are judged by others
        self._seen: dict[int, _Seen] = {}
        self._roots: set[int] = set()

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Watch what is run inside; everything is put back on the way out."""
        before = hooks.register_module_forward_pre_hook(self._enter)
        after = hooks.register_module_forward_hook(self._leave, always_call=True)
        backward, grad = torch.autograd.backward, torch.autograd.grad
        setattr(torch.autograd, "backward", self._watched(backward))  # noqa: B010
        setattr(torch.autograd, "grad", self._asked(grad))  # noqa: B010
        _active.append(self)
        try:
            with _uncompiled(), traced(self.tracer):
                yield
        finally:
            _active.remove(self)
            setattr(torch.autograd, "backward", backward)  # noqa: B010
            setattr(torch.autograd, "grad", grad)  # noqa: B010
            before.remove()
            after.remove()

    # -- hooks ---------------------------------------------------------------------------------

    def _enter(self, module: nn.Module, args: Any) -> None:
        if self._elsewhere():
            return
        if not self.tracer.running and id(module) not in self._seen:
            self._seen[id(module)] = _Seen(module)
        self.tracer.running.append(module)

    def _leave(self, module: nn.Module, args: Any, result: Any) -> None:
        tracer = self.tracer
        if self._elsewhere() or not any(each is module for each in tracer.running):
            return
        while tracer.running.pop() is not module:
            continue  # one whose hook was not called
        if not tracer.running and not tracer.gaps:
            tracer.paused += 1
            self._seen[id(module)].outputs |= {tracer.node(t) for t in outputs_of(result)}
            tracer.paused -= 1

    def _elsewhere(self) -> bool:
        """Whether this is a forked process, or the inside of something not looked into."""
        jit = torch._C._get_tracing_state() is not None  # it would write down what we look at
        return jit or os.getpid() != self.tracer.owner or self.tracer.paused > 0

    def _watched(self, backward: Callable[..., None]) -> Callable[..., None]:
        def watched(tensors: Any, *args: Any, **kwargs: Any) -> None:
            __tracebackhide__ = True
            if self.aside or os.getpid() != self.tracer.owner:
                backward(tensors, *args, **kwargs)
                return
            self._differentiated(tensors)
            backward(tensors, *args, **kwargs)
            for seen in self._seen.values():
                self.got |= {id(p) for p in seen.module.parameters() if p.grad is not None}

        return watched

    def _asked(self, grad: Callable[..., Any]) -> Callable[..., Any]:
        """`autograd.grad` gives gradients, too, to those it is asked about."""

        def asked(outputs: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            given = inputs if isinstance(inputs, torch.Tensor) else tuple(inputs)
            found = grad(outputs, given, *args, **kwargs)
            listed = [given] if isinstance(given, torch.Tensor) else given
            self.got |= {id(t) for t, g in zip(listed, found, strict=False) if g is not None}
            return found

        return asked

    def _differentiated(self, tensors: Any) -> None:
        tracer = self.tracer
        if tracer.gaps:
            return
        tracer.paused += 1
        listed = [tensors] if isinstance(tensors, torch.Tensor) else list(tensors)
        self._roots |= {tracer.node(t) for t in listed if isinstance(t, torch.Tensor)}
        tracer.paused -= 1

    # -- verdicts --------------------------------------------------------------------------------

    def trained(self) -> Iterator[tuple[str, str]]:
        """Class and name of every Parameter that got a gradient."""
        for seen in self._seen.values():
            for name, parameter in seen.module.named_parameters():
                if id(parameter) in self.got:
                    yield type(seen.module).__qualname__, name

    def findings(self, ignore: Sequence[str] = ()) -> list[Finding]:
        """Every trainable Parameter without a gradient, of modules that took part in a backward.

        ``ignore`` holds patterns for ``Class.parameter.name`` and ``parameter.name``.
        """
        tracer = self.tracer
        if tracer.gaps or not self._roots:
            return []
        needed = tracer.graph.sources_of(self._roots)
        found: list[Finding] = []
        done: set[int] = set()
        for seen in self._seen.values():
            if seen.outputs & needed:
                found += self._of_module(seen.module, ignore, done)
        return found

    def _of_module(
        self, module: nn.Module, ignore: Sequence[str], done: set[int]
    ) -> Iterator[Finding]:
        run = Run(module, self.tracer, dict(module.named_parameters()), list(hidden_leaves(module)))
        run.roots = self._roots
        own = {n for p in run.parameters.values() for n in run.nodes(p)}
        # What a Parameter was initialised with is no input.
        known = self.tracer.graph.sources_of(own)
        run.inputs = tensors_of_unknown_origin(self.tracer, known)
        judge = Judge(run, Context(self.places, True, frozenset()))
        if any(id(p) in self.got and not judge.reaches(p) for p in run.parameters.values()):
            return  # a gradient came a way that was not seen: the trace proves nothing
        owner = type(module).__qualname__
        for name, parameter in run.parameters.items():
            if not parameter.requires_grad or id(parameter) in self.got | done:
                continue
            done.add(id(parameter))
            if not is_lazy(parameter) and not _ignored(name, ignore):
                if not _ignored(f"{owner}.{name}", ignore):
                    yield self._judged(judge, name, parameter)

    def _judged(self, judge: Judge, name: str, parameter: nn.Parameter) -> Finding:
        run, owner = judge.run, type(judge.run.module).__qualname__
        result = judge.missing(name, parameter)
        cuts = run.tracer.graph.cuts(run.nodes(parameter), run.roots)
        if not cuts:
            return Finding(owner, result, False)
        inside = all(self.tracer.inside.get(c.call.index) == id(run.module) for c in cuts)
        if not any(lines.is_smooth_cut(c.call) for c in cuts):
            return Finding(owner, result, inside)
        answer = wrong_or_question(run, parameter, self.places)
        copied = all(lines.is_conversion(c.call) for c in cuts)
        fails = answer.kind == "wrong" and (inside or (copied and not self.got))
        return Finding(owner, result, fails)
