"""Calls a built module with made-up inputs: guesses, repairs them from what goes wrong, climbs."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from gradfix.verify.build import Offer, file_of
from gradfix.verify.climb import OutOfTime, Reached, climb, reached
from gradfix.verify.compared import lacks_value
from gradfix.verify.drive import (
    Drive,
    Maker,
    Prepared,
    describe,
    has_forward,
    is_out_of_memory,
    reseed,
)
from gradfix.verify.flows import beside_parts, documented_inputs, shapes_by_input
from gradfix.verify.guess import BATCH, LENGTH, Input, Spec, beside, required, shapes_for, starts
from gradfix.verify.inputs import assembled, inputs_for, shown
from gradfix.verify.load import StubUsed
from gradfix.verify.outputs import is_real, outputs_of
from gradfix.verify.refused import is_autograd_error
from gradfix.verify.repair import lines_reached, repairs
from gradfix.verify.slots import names_at_fault
from gradfix.verify.source import uses_of_code
from gradfix.verify.structure import read_structure
from gradfix.verify.uses import Use

_ATTEMPTS = 60
_DEPTH = 6
_WIDE = 4
_SAME = 6
_PER_CALL = 3
_MOST_LARGE = 3
_CLIMBS = 200
_SLOW, _VERY_SLOW = 0.05, 1.0


#: How often inputs were changed, the inputs, and how far the call got before the last change.
_Step = tuple[int, list[Spec], tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a method: what it takes, and how that is made."""

    name: str
    inputs: list[Input]
    specs: list[Spec]


class Calls:
    """Ways to call one built module; ``took`` is how many seconds it took to build, if known."""

    def __init__(
        self,
        made: Maker,
        module: nn.Module,
        offer: Offer,
        seed: int,
        deadline: float,
        took: float = 0.0,
    ) -> None:
        self.made, self.module, self.offer = made, module, offer
        self.seed, self.deadline = seed, deadline
        self.ran = 0
        self.depth = -1
        #: The error that all calls since another one have raised, and how many there were.
        self.same = ("", 0)
        self.error: Exception | None = None
        #: Attempts that asked for more memory than there is; its numbers are too large then.
        self.large: list[Exception] = []
        self.furthest: tuple[Call, Reached] | None = None
        self.tried: set[tuple[Spec, ...]] = set()
        #: A module that takes long to build serves for many attempts.
        self.slow = took > _VERY_SLOW or self._takes_long()
        self.miss = "it has no forward, no tensor-valued property and no method to call"
        if has_forward(type(module)):
            self.miss = f"{made.text} took so long to build that no call was tried"
        self.needed: list[inspect.Parameter] | None = None

    @property
    def missing(self) -> bool:
        """Whether it needs a package that is not there."""
        return any(isinstance(e, StubUsed) for e in self.errors())

    def _takes_long(self) -> bool:
        before = time.monotonic()
        with contextlib.suppress(Exception):  # built once already; what it raises now shows later
            reseed(self.seed)
            self.made.build()
        return time.monotonic() - before > _SLOW

    def drives(self) -> Iterator[Drive]:
        """Forward; then properties; without a forward also every public method."""
        if has_forward(type(self.module)):
            yield from self._by_call("forward")
        if not has_forward(type(self.module)) or self.ran:
            yield from self._by_properties()
        if not has_forward(type(self.module)):
            for name in self.offer.methods:
                yield from self._by_call(name)

    def _by_properties(self) -> Iterator[Drive]:
        found, reason = tensor_properties(self.module, self.offer.properties)
        if not found:
            self.miss = reason or self.miss
            return
        self.ran += 1
        made = self.made

        def read(module: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
            return [getattr(module, name) for name in found]

        yield Drive(
            lambda: Prepared(made.build(), invoke=read),
            "inferred",
            f"{made.text}: {', '.join(found)}",
        )

    def _by_call(self, name: str) -> Iterator[Drive]:
        """Guess inputs for one method, repair them from what goes wrong, keep what runs."""
        try:
            function = getattr(self.module, name)
            needed = required(function)
            star = [p for p in inspect.signature(function).parameters.values() if _is_star(p)]
        except (AttributeError, TypeError, ValueError):
            return
        self.needed = self.needed or needed
        for uses in self._ways(name, needed):
            if not self.ran and not self.large and self.same[1] < _SAME:
                yield from self._with(name, needed, uses=uses)
        if not self.ran and star:
            yield from self._with(name, [*needed, *star])
        if not self.ran and (more := self._asked_for(name, needed)):
            yield from self._with(name, [*needed, *more], self.furthest)
        hopeless = self.missing or self.large or self.same[1] >= _SAME
        if not self.ran and self.furthest is not None and not hopeless:
            yield from self._by_climbing()

    def _with(
        self,
        name: str,
        needed: list[inspect.Parameter],
        fewer: tuple[Call, Reached] | None = None,
        uses: Mapping[str, Use] | None = None,
    ) -> Iterator[Drive]:
        """The same for certain parameters; ``fewer`` is what got furthest without the last ones.

        ``uses`` tell how a call gets its inputs, as single values or in dicts, objects and lists.
        """
        inputs = inputs_for(needed, read_structure(self.module, name) if uses is None else uses)
        self.tried, kept = set(), 0
        known = shapes_by_input(self.module, name)
        inputs, known = beside_parts(self.module, name, inputs, known)
        stated = documented_inputs(self.module, name, known)
        first = [] if fewer is None else [_extended(fewer[0].specs, inputs)]
        for start in itertools.chain(first, starts(self.module, inputs, known, stated)):
            queue: list[_Step] = [(0, start, ())]
            while queue and len(self.tried) < _ATTEMPTS and time.monotonic() < self.deadline:
                depth, specs, before = queue.pop(0)
                if tuple(specs) in self.tried:
                    continue
                self.tried.add(tuple(specs))
                call = Call(name, inputs, specs)
                error = self._attempt(call)
                if error is None or is_autograd_error(error):
                    self.ran, kept = self.ran + 1, kept + 1
                    yield self._drive(call)
                    queue = []
                elif isinstance(error, StubUsed) or self._too_large(error) or self._stuck(error):
                    self._missed(depth, call, error)
                    return  # no other input would help
                elif not kept:
                    self._missed(depth, call, error)
                    if depth < _DEPTH:
                        mended = nearest_first(repairs(specs, error), call, error)
                        far = lines_reached(error, file_of(type(self.module)))
                        steps: list[_Step] = [(depth + 1, s, far) for s in mended[:_WIDE]]
                        # What no longer is of the right kind waits for the others. Sizes that no
                        # longer fit each other may yet: one of them was changed first.
                        worse = far < before and isinstance(error, (AttributeError, TypeError))
                        queue = queue + steps if worse else steps + queue
            if kept >= _PER_CALL:
                return

    def _ways(self, name: str, needed: list[inspect.Parameter]) -> Iterator[Mapping[str, Use]]:
        """What the code may do with its inputs: as the module tells, as it reads, nothing at all.

        What one reading takes for a list may be a tensor, or either.
        """
        seen: list[list[Input]] = []
        code = uses_of_code(getattr(type(self.module), name, None))
        for uses in (read_structure(self.module, name), code, {}):
            inputs = inputs_for(needed, uses)
            keyed = not uses and any(i.way == "record" for first in seen[:1] for i in first)
            if inputs not in seen and not keyed:
                seen.append(inputs)
                yield uses

    def _asked_for(self, name: str, needed: list[inspect.Parameter]) -> list[inspect.Parameter]:
        """Parameters that are None by default, where a None was used as something else."""
        lacking = (e for e in reversed(self.errors()) if "None" in str(e) or lacks_value(e))
        failed = next(lacking, None)
        if failed is None:
            return []
        names = names_at_fault(failed)
        parameters = inspect.signature(getattr(self.module, name)).parameters.values()
        optional = [p for p in parameters if p.default is None and p not in needed]
        return [p for p in optional if p.name in names] or optional[:2]

    def _by_climbing(self) -> Iterator[Drive]:
        """From the guess that got furthest on, one input changed at a time."""
        left = _CLIMBS
        assert self.furthest is not None
        call, far = self.furthest

        def attempt(specs: list[Spec]) -> Exception | None:
            nonlocal left
            left -= 1
            if left < 0 or time.monotonic() > self.deadline:
                raise OutOfTime
            error = self._attempt(replace(call, specs=specs))
            return None if error is not None and is_autograd_error(error) else error

        file = file_of(type(self.module))
        found = climb(far, shapes_for(self.module), attempt, file) if call.specs else None
        if found is not None:
            self.ran += 1
            yield self._drive(replace(call, specs=found))

    def _attempt(self, call: Call) -> Exception | None:
        """What one call raises; None if it ran, also with a module that is new."""
        drive = self._drive(call)
        if not self.slow:
            return run_once(drive, self.seed)
        error = run_prepared(lambda: self._prepared(self.module, call), self.seed)
        return error if error is not None else run_once(drive, self.seed)

    def _prepared(self, module: nn.Module, call: Call) -> Prepared:
        args, named = assembled(call.inputs, [spec.make() for spec in call.specs])
        invoke = None if call.name == "forward" else method(call.name)
        return Prepared(module, args, named, invoke)

    def _drive(self, call: Call) -> Drive:
        made = self.made
        dot = "" if call.name == "forward" else f".{call.name}"
        text = f"{made.text}{dot}({shown(call.inputs, call.specs)})"
        return Drive(lambda: self._prepared(made.build(), call), "inferred", text)

    def _missed(self, depth: int, call: Call, error: Exception) -> None:
        # The further repair got a call, the more its error says about what is missing.
        if depth > self.depth:
            self.depth, self.miss = depth, f"{self._drive(call).text} raises {describe(error)}"
        self.error = self.error or error
        found = reached(call.specs, error, file_of(type(self.module)))
        if self.furthest is None or found.far > self.furthest[1].far:
            self.furthest = call, found

    def errors(self) -> list[Exception]:
        """What the arguments of the constructor may be to blame for; the last call's weigh most."""
        last = [] if self.furthest is None else [self.furthest[1].error]
        return [e for e in (self.error, *self.large[-1:], *last) if e is not None]

    def _stuck(self, error: Exception) -> bool:
        """Whether every input so far ran into one and the same lack: it is not for want of inputs.

        What is None may be an input that was left out.
        """
        text = f"{type(error).__name__}: {error}"
        same = isinstance(error, (AttributeError, NameError)) and "NoneType" not in text
        self.same = (text, self.same[1] + 1 if self.same[0] == text else 1) if same else ("", 0)
        return self.same[1] >= _SAME

    def _too_large(self, error: Exception) -> bool:
        if is_out_of_memory(error):
            self.large.append(error)
        return len(self.large) >= _MOST_LARGE


def nearest_first(mended: list[list[Spec]], call: Call, error: Exception) -> list[list[Spec]]:
    """Changed inputs, those first whose change is one of what the failing lines name."""
    if len(call.inputs) < 2:
        return mended
    names = names_at_fault(error)
    order = {name: rank for rank, name in enumerate(names)}

    def rank(specs: list[Spec]) -> int:
        changed = [i for i, (a, b) in enumerate(zip(call.specs, specs, strict=False)) if a != b]
        named = [{call.inputs[i].name.rpartition(".")[2], call.inputs[i].owner} for i in changed]
        found = [order[name] for each in named for name in each if name in order]
        return min(found, default=len(names))

    return sorted(mended, key=rank)


def _extended(specs: list[Spec], inputs: list[Input]) -> list[Spec]:
    """Inputs that ran into the lack of others, with these as the first of them is."""
    main = next((s for s in specs if s.kind == "float"), Spec((BATCH, LENGTH)))
    return [*specs, *(beside(each, main) for each in inputs[len(specs) :])]


def _is_star(parameter: inspect.Parameter) -> bool:
    return parameter.kind is parameter.VAR_POSITIONAL


def method(name: str) -> Callable[..., Any]:
    """An ``invoke`` that calls a method instead of the module."""

    def call(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return getattr(module, name)(*args, **kwargs)

    return call


def run_once(drive: Drive, seed: int) -> Exception | None:
    """Try a recipe; what it raised, or None when it gave at least one tensor."""
    return run_prepared(drive.prepare, seed)


def run_prepared(prepare: Callable[[], Prepared], seed: int) -> Exception | None:
    """The same for what a recipe prepares."""
    try:
        reseed(seed)
        prepared = prepare()
        reseed(seed)
        with _checking(prepared.module):
            result = prepared.run()
    except Exception as error:  # whatever the guess provoked is what `repair` reads
        return error
    if not any(is_real(t) for t in outputs_of(result)):
        return ValueError("it returns no floating-point tensor")
    return None


@contextlib.contextmanager
def _checking(module: nn.Module) -> Iterator[None]:
    """Without oneDNN where an LSTM is in it: that reads packed inputs of any width, past their end.

    Seen in torch 2.13: the same call raises where torch computes it itself, as in float64.
    """
    if not any(isinstance(part, nn.LSTM) for part in module.modules()):
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the switch warns of GPUs that are not there
        with torch.backends.mkldnn.flags(enabled=False):
            yield


def tensor_properties(
    module: nn.Module, names: tuple[str, ...]
) -> tuple[tuple[str, ...], str | None]:
    """Those of the named properties that hold a tensor, and why the first other one could not."""
    found, reason = [], None
    for name in names:
        try:
            value = getattr(module, name)
        except Exception as error:  # a property is the user's code; what it raises is the reason
            if is_autograd_error(error):
                found.append(name)
            reason = reason or f"its property {name} raises {describe(error)}"
            continue
        if isinstance(value, torch.Tensor):
            found.append(name)
    return tuple(found), reason
