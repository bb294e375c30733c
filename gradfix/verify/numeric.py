"""Is the gradient that arrived the derivative of the forward? Central differences in float64.

NOTE the method. All outputs are projected onto one number with fixed random weights. Along one
random direction over all Parameters, the directional derivative from backward must equal the one
from finite differences. If it does not, the Parameters are halved until single ones are found. A
difference counts only where the function is smooth: several step sizes agree, and so do both
one-sided differences; elsewhere the point is moved and tried again, and at last inconclusive.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch

from gradfix.verify.drive import Prepared, describe, reseed
from gradfix.verify.float64 import in_float64
from gradfix.verify.outputs import is_real, outputs_of, project
from gradfix.verify.values import dense

_STEPS = (1e-6, 1e-5, 1e-7)
_ROUNDING = 2e-14
_RELATIVE = 1e-4
_POINTS = 3


class NumericError(Exception):
    """The comparison could not be made; the text says why."""


@dataclass(slots=True)
class Comparison:
    """What finite differences say: the Parameters that are wrong, and those that stayed unclear."""

    right: set[str] = field(default_factory=set)
    wrong: dict[str, tuple[float, float]] = field(default_factory=dict)
    unclear: dict[str, str] = field(default_factory=dict)
    nonzero: set[str] = field(default_factory=set)


class Probe:
    """Evaluates a module at shifted Parameters, each time from the same pristine state."""

    def __init__(self, prepare: Callable[[], Prepared], seed: int, move_inputs: bool) -> None:
        self.seed = seed
        self.move_inputs = move_inputs
        self.deadline = math.inf
        #: How many seconds the slowest run took: what would end too late is not begun.
        self.took = 0.0
        self._prepare = prepare
        self._pristine = self._build()
        self._copies = True
        try:
            self._pristine.copied()
        except Exception:  # deepcopy runs the user's code; building again is always possible
            self._copies = False
        self.names = [n for n, p in self._pristine.module.named_parameters() if p.requires_grad]
        self.offset: dict[str, torch.Tensor] = {}
        self._base: float | None = None

    def _build(self) -> Prepared:
        with _in_float64():
            reseed(self.seed)
            return self._prepare().initialised().double()

    def base(self) -> float:
        """The value where no Parameter is moved."""
        if self._base is None:
            self._base = self.value({}, 0.0)
        return self._base

    def step_aside(self, offset: dict[str, torch.Tensor]) -> None:
        """Go on from Parameters moved by ``offset``."""
        self.offset, self._base = offset, None

    def _run(self, shift: dict[str, torch.Tensor], step: float) -> tuple[Prepared, torch.Tensor]:
        before = time.monotonic()
        prepared = self._pristine.copied() if self._copies else self._build()
        with torch.no_grad():
            for name, parameter in prepared.module.named_parameters():
                if name in self.offset:
                    parameter.add_(self.offset[name])
                if name in shift:
                    parameter.add_(shift[name], alpha=step)
            if self.offset and self.move_inputs:
                _move(prepared, self.seed)
        with _in_float64():
            reseed(self.seed)
            outputs = [t for t in outputs_of(prepared.run()) if is_real(t)]
        if not outputs:
            raise NumericError("the call returns no floating-point tensor in float64")
        root = project(outputs, self.seed)
        self.took = max(self.took, time.monotonic() - before)
        return prepared, root

    def value(self, shift: dict[str, torch.Tensor], step: float) -> float:
        """The projected output with the Parameters moved by ``step * shift``."""
        if time.monotonic() + self.took > self.deadline:
            raise NumericError("finite differences take longer than the time limit allows")
        value = float(self._run(shift, step)[1].detach())
        if not math.isfinite(value):
            raise NumericError("the output is not finite in float64")
        return value

    def gradient(self) -> dict[str, torch.Tensor]:
        """The gradients backward computes here, for the Parameters that get one."""
        prepared, root = self._run({}, 0.0)
        if not root.requires_grad:
            return {}
        with _in_float64():
            torch.autograd.backward(root)
        return {
            name: dense(p.grad.detach()).clone()
            for name, p in prepared.module.named_parameters()
            if p.grad is not None and p.requires_grad
        }

    def shapes(self) -> dict[str, torch.Tensor]:
        """The Parameters by name, for their shapes and dtypes."""
        return dict(self._pristine.module.named_parameters())


@contextlib.contextmanager
def _in_float64() -> Iterator[None]:
    """Run the user's code in float64; whatever it raises there is why nothing can be compared."""
    try:
        with in_float64():
            yield
    except Exception as error:  # the user's forward and backward may raise anything
        raise NumericError(f"it does not run in float64: {describe(error)}") from error


def _random(like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return torch.randn(like.shape, generator=generator, dtype=like.dtype)


def _scaled(direction: torch.Tensor, parameter: torch.Tensor) -> torch.Tensor:
    """A direction as long as the Parameter: small weights take small steps, and cross few kinks."""
    size = float(parameter.detach().abs().mean()) if parameter.numel() else 0.0
    return direction * max(size, 1e-3)


def _move(prepared: Prepared, seed: int) -> None:
    """Inputs of zeros or ones hide gradients; a little noise shows them."""
    generator = torch.Generator().manual_seed(seed + 15485863)
    for tensor in outputs_of((prepared.args, prepared.kwargs)):
        if tensor.is_floating_point() and not tensor.requires_grad:
            noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
            tensor.add_(noise.to(tensor.dtype), alpha=0.1)


def compare(
    prepare: Callable[[], Prepared],
    seed: int,
    *,
    move_inputs: bool = False,
    deadline: float = math.inf,
) -> Comparison:
    """Compare every Parameter's gradient with finite differences.

    ``move_inputs`` says that nobody depends on the inputs being exactly what they are.

    Raises NumericError where no comparison is possible: float64 does not run, the forward is not
    reproducible, the outputs are not finite, or ``deadline`` (of ``time.monotonic``) has passed.
    """
    probe = Probe(prepare, seed, move_inputs)
    probe.deadline = deadline
    if probe.base() != probe.value({}, 0.0):
        raise NumericError("two runs from the same seed differ, so there is nothing to compare")
    return _compare(probe)


def _compare(probe: Probe) -> Comparison:
    found = Comparison()
    pending = probe.names
    generator = torch.Generator().manual_seed(probe.seed + 104729)
    shapes = probe.shapes()
    for attempt in range(_POINTS):
        if attempt:
            # A kink, or a gradient that is zero by accident of the initial values: step aside.
            probe.step_aside({n: 0.02 * _random(shapes[n], generator) for n in probe.names})
        gradient = probe.gradient()
        present = [n for n in pending if n in gradient]
        found.nonzero |= {n for n, g in gradient.items() if bool((g != 0).any())}
        direction = {n: _scaled(_random(shapes[n], generator), shapes[n]) for n in present}
        right, wrong, unclear = _bisect(probe, gradient, direction, present)
        found.right |= right
        found.wrong.update(wrong)
        dead = set(gradient) - found.nonzero
        pending = [n for n in present if n in unclear or (n in dead and attempt == 0)]
        found.unclear = {n: unclear[n] for n in unclear}
        if not pending:
            break
    found.unclear = {n: why for n, why in found.unclear.items() if n not in found.right}
    return found


def _bisect(
    probe: Probe,
    gradient: dict[str, torch.Tensor],
    direction: dict[str, torch.Tensor],
    names: list[str],
) -> tuple[set[str], dict[str, tuple[float, float]], dict[str, str]]:
    """Split the Parameters into right, wrong (expected, got) and unclear ones."""
    right: set[str] = set()
    wrong: dict[str, tuple[float, float]] = {}
    unclear: dict[str, str] = {}
    todo = [names] if names else []
    while todo:
        group = todo.pop()
        shift = {n: direction[n] for n in group}
        got = sum(_inner(gradient[n], direction[n]) for n in group)
        size = sum(float(gradient[n].norm() * direction[n].norm()) for n in group)
        expected, smooth = _derivative(probe, shift, got, size)
        if _close(expected, got, size, _ROUNDING * abs(probe.base()) / _STEPS[-1]):
            right |= set(group)
        elif len(group) > 1:
            middle = len(group) // 2
            todo += [group[:middle], group[middle:]]
        elif smooth:
            wrong[group[0]] = (expected, got)
        else:
            unclear[group[0]] = "the forward is not smooth here (a kink or a jump)"
    return right, wrong, unclear


def _inner(gradient: torch.Tensor, direction: torch.Tensor) -> float:
    """The directional derivative; a complex gradient holds those of real and imaginary part."""
    return float((gradient.conj() * direction).real.sum())


def _derivative(
    probe: Probe, shift: dict[str, torch.Tensor], got: float, size: float
) -> tuple[float, bool]:
    """The directional derivative, and whether step sizes and both sides agree on it."""
    base = probe.base()
    centrals: list[float] = []
    gaps: list[float] = []
    for step in _STEPS:
        ahead, behind = probe.value(shift, step), probe.value(shift, -step)
        centrals.append((ahead - behind) / (2 * step))
        gaps.append(abs((ahead - base) - (base - behind)) / step)
        if _close(centrals[-1], got, size, _ROUNDING * abs(base) / step):
            return centrals[-1], True
    fine, coarse, finest = centrals
    scale = max(abs(fine), abs(got), 1e-6)
    spread = max(abs(fine - coarse), abs(fine - finest))
    # The one-sided slopes of a smooth function meet as the step shrinks; those of a kink do not.
    meets = gaps[0] < 0.02 * scale or gaps[0] < 0.3 * gaps[1]
    # Many small kinks look smooth until the doubt they leave is compared with the difference.
    clear = abs(fine - got) > 10 * max(spread, _RELATIVE * scale)
    return fine, spread < 0.02 * scale and meets and clear


def _close(expected: float, got: float, size: float, rounding: float) -> bool:
    scale = max(abs(expected), abs(got), 1e-3 * size)
    return abs(expected - got) <= _RELATIVE * scale + rounding + 1e-9
