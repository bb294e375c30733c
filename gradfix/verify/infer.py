"""Builds and calls a class with no help from the user: guesses, runs, repairs, runs again."""

from __future__ import annotations

import functools
import inspect
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from gradfix.verify.build import Builder, Offer, file_of
from gradfix.verify.climb import OutOfTime, Reached, climb, reached
from gradfix.verify.drive import (
    Drive,
    Maker,
    Prepared,
    describe,
    has_forward,
    is_autograd_error,
    reseed,
)
from gradfix.verify.guess import Spec, required, shapes_for, starts
from gradfix.verify.outputs import is_real, outputs_of
from gradfix.verify.repair import repairs

_ATTEMPTS = 60
_DEPTH = 6
_PER_CALL = 3
_CLIMBS = 200


def inferred(
    cls: type[nn.Module], offer: Offer, seed: int, deadline: float = math.inf
) -> Iterator[Drive]:
    """Recipes that run, found by trying, most likely first.

    Nothing new is tried after ``deadline`` (of ``time.monotonic``). Raises DriveError with the
    nearest miss and a case to fill in when there is none.
    """
    builder = Builder(cls, offer, seed, deadline)
    for made, module in builder.built():
        if module is None:
            yield Drive(functools.partial(_build, made), "inferred", made.text)
            return
        until = time.monotonic() + 0.6 * (deadline - time.monotonic())
        calls = _Calls(made, module, offer, seed, until)
        yield from calls.drives()
        if calls.ran:
            return
        builder.missed(calls.miss, made, calls.needed, calls.errors())
    raise builder.error()


def _build(made: Maker) -> Prepared:
    return Prepared(made.build())


class _Calls:
    """Ways to call one built module."""

    def __init__(
        self, made: Maker, module: nn.Module, offer: Offer, seed: int, deadline: float
    ) -> None:
        self.made, self.module, self.offer = made, module, offer
        self.seed, self.deadline = seed, deadline
        self.ran = 0
        self.depth = -1
        self.error: Exception | None = None
        self.furthest: Reached | None = None
        self.miss = "it has no forward, no tensor-valued property and no method to call"
        self.needed: list[inspect.Parameter] | None = None

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
            needed = required(getattr(self.module, name))
        except (AttributeError, TypeError, ValueError):
            return
        self.needed = self.needed or needed
        tried: set[tuple[Spec, ...]] = set()
        kept = 0
        for start in starts(self.module, needed):
            queue = [(0, start)]
            while queue and len(tried) < _ATTEMPTS and time.monotonic() < self.deadline:
                depth, specs = queue.pop(0)
                if tuple(specs) in tried:
                    continue
                tried.add(tuple(specs))
                drive = self._drive(name, specs, needed)
                error = run_once(drive, self.seed)
                if error is None or is_autograd_error(error):
                    self.ran, kept = self.ran + 1, kept + 1
                    yield drive
                    queue = []
                elif not kept:
                    self._missed(depth, drive, error)
                    self._note_furthest(specs, error)
                    if depth < _DEPTH:
                        queue = [(depth + 1, s) for s in repairs(specs, error)][:4] + queue
            if kept >= _PER_CALL:
                return
        if not kept and needed and self.furthest is not None:
            yield from self._by_climbing(name, needed)

    def _by_climbing(self, name: str, needed: list[inspect.Parameter]) -> Iterator[Drive]:
        """From the guess that got furthest on, one input changed at a time."""
        left = _CLIMBS
        file = file_of(type(self.module))

        def attempt(specs: list[Spec]) -> Exception | None:
            nonlocal left
            left -= 1
            if left < 0 or time.monotonic() > self.deadline:
                raise OutOfTime
            error = run_once(self._drive(name, specs, needed), self.seed)
            return None if error is not None and is_autograd_error(error) else error

        assert self.furthest is not None
        found = climb(self.furthest, shapes_for(self.module), attempt, file)
        if found is not None:
            self.ran += 1
            yield self._drive(name, found, needed)

    def _missed(self, depth: int, drive: Drive, error: Exception) -> None:
        # The further repair got a call, the more its error says about what is missing.
        if depth > self.depth:
            self.depth, self.miss = depth, f"{drive.text} raises {describe(error)}"
        self.error = self.error or error

    def errors(self) -> list[Exception]:
        """What the arguments of the constructor may be to blame for; the last call's weigh most."""
        last = [] if self.furthest is None else [self.furthest.error]
        return [e for e in (self.error, *last) if e is not None]

    def _note_furthest(self, specs: list[Spec], error: Exception) -> None:
        found = reached(specs, error, file_of(type(self.module)))
        if self.furthest is None or found.far > self.furthest.far:
            self.furthest = found

    def _drive(self, name: str, specs: list[Spec], needed: list[inspect.Parameter]) -> Drive:
        made = self.made
        names = [p.name if p.kind is p.KEYWORD_ONLY else "" for p in needed]

        def prepare() -> Prepared:
            module = made.build()
            values = [spec.make() for spec in specs]
            args = tuple(v for v, key in zip(values, names, strict=True) if not key)
            named = {key: v for v, key in zip(values, names, strict=True) if key}
            return Prepared(module, args, named, None if name == "forward" else method(name))

        inputs = ", ".join(spec.text() for spec in specs)
        dot = "" if name == "forward" else f".{name}"
        return Drive(prepare, "inferred", f"{made.text}{dot}({inputs})")


def method(name: str) -> Callable[..., Any]:
    """An ``invoke`` that calls a method instead of the module."""

    def call(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return getattr(module, name)(*args, **kwargs)

    return call


def run_once(drive: Drive, seed: int) -> Exception | None:
    """Try a recipe; what it raised, or None when it gave at least one tensor."""
    try:
        reseed(seed)
        prepared = drive.prepare()
        reseed(seed)
        result = prepared.run()
    except Exception as error:  # whatever the guess provoked is what `repair` reads
        return error
    if not any(is_real(t) for t in outputs_of(result)):
        return ValueError("it returns no floating-point tensor")
    return None


def runnable(drives: Iterator[Drive], seed: int) -> Iterator[Drive]:
    """Those recipes that run, or fail only by autograd's own complaint."""
    for drive in drives:
        error = run_once(drive, seed)
        if error is None or is_autograd_error(error):
            yield drive


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
