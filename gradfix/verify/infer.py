"""Builds and calls a class with no help from the user: guesses, runs, repairs, runs again."""

from __future__ import annotations

import copy
import functools
import inspect
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from gradfix.verify.climb import OutOfTime, Reached, climb, reached
from gradfix.verify.drive import (
    Drive,
    DriveError,
    Maker,
    Prepared,
    describe,
    has_forward,
    reseed,
)
from gradfix.verify.guess import (
    Spec,
    constructors,
    repaired_constructor,
    required,
    shapes_for,
    starts,
)
from gradfix.verify.outputs import is_real, outputs_of
from gradfix.verify.refused import is_autograd_error
from gradfix.verify.repair import repairs

_ATTEMPTS = 60
_DEPTH = 6
_PER_CALL = 3
_MAX_MAKERS = 14
_CLIMBS = 200


@dataclass(frozen=True, slots=True)
class Offer:
    """What is known of a class: properties, public methods, and how its project builds it."""

    properties: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    makers: tuple[Maker, ...] = ()


def inferred(
    cls: type[nn.Module], offer: Offer, seed: int, deadline: float = math.inf
) -> Iterator[Drive]:
    """Recipes that run, found by trying, most likely first.

    Nothing new is tried after ``deadline`` (of ``time.monotonic``). Raises DriveError with the
    nearest miss and a case to fill in when there is none.
    """
    todo, miss = [*offer.makers], _Miss(cls)
    try:
        todo += [maker(cls, kwargs) for kwargs in constructors(cls)]
    except (TypeError, ValueError) as error:
        miss.note(f"its constructor has no readable signature: {error}")
    tried = 0
    while todo and tried < _MAX_MAKERS and time.monotonic() < deadline:
        made, tried = todo.pop(0), tried + 1
        try:
            reseed(seed)
            module = made.build()
        except Exception as error:  # the user's constructor may raise anything; it is the reason
            if is_autograd_error(error):
                yield Drive(functools.partial(_build, made), "inferred", made.text)
                return
            if made.kwargs is not None:  # names of another scope say nothing about the class
                miss.note(f"{made.text} raises {describe(error)}", made)
            todo = _repaired(cls, made, error) + todo
            continue
        if any(not is_lazy(p) and p.numel() == 0 for p in module.parameters()):
            miss.note(f"{made.text} has a Parameter without elements", made)
            continue
        if made.kwargs is not None:  # a made-up configuration knows only now what it was asked for
            made = replace(made, text=_call(cls, made.kwargs))
        calls = _Calls(made, module, offer, seed, deadline)
        yield from calls.drives()
        if calls.ran:
            return
        miss.note(calls.miss, made, calls.needed)
        for each in calls.errors():
            todo = _repaired(cls, made, each) + todo
    raise miss.error()


def _build(made: Maker) -> Prepared:
    return Prepared(made.build())


def maker(cls: type[nn.Module], kwargs: dict[str, Any]) -> Maker:
    """The construction with these keyword arguments."""

    def build() -> nn.Module:
        # A module among the arguments is changed by use; every build gets its own.
        own = (nn.Module, torch.Tensor, list)
        fresh = {k: copy.deepcopy(v) if isinstance(v, own) else v for k, v in kwargs.items()}
        return cls(**fresh)

    return Maker(_call(cls, kwargs), build, kwargs)


def _repaired(cls: type[nn.Module], made: Maker, error: Exception) -> list[Maker]:
    if made.kwargs is None:
        return []
    return [maker(cls, kwargs) for kwargs in repaired_constructor(cls, made.kwargs, error)]


class _Miss:
    """The first reason why nothing ran, with the case that would help."""

    def __init__(self, cls: type[nn.Module]) -> None:
        self.cls = cls
        self.first: DriveError | None = None

    def note(
        self, reason: str, made: Maker | None = None, needed: list[inspect.Parameter] | None = None
    ) -> None:
        text = made.text if made is not None else f"{self.cls.__name__}(...)"
        self.first = self.first or DriveError(reason, case_for(self.cls, text, needed))

    def error(self) -> DriveError:
        return self.first or DriveError("no way to build it was found")


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
        file = inspect.getfile(type(self.module))

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
        found = reached(specs, error, _file_of(type(self.module)))
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


def _call(cls: type, kwargs: dict[str, Any]) -> str:
    inside = ", ".join(f"{name}={_shown(value)}" for name, value in kwargs.items())
    return f"{cls.__name__}({inside})"


def _shown(value: Any) -> str:
    if isinstance(value, torch.Tensor):  # the only one that is made up
        return f"torch.eye({len(value)})"
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    if inspect.isclass(value) and issubclass(value, nn.Module):
        return f"nn.{value.__name__}"
    return f"nn.{value}" if isinstance(value, nn.Module) else repr(value)


def case_for(cls: type, init: str, needed: list[inspect.Parameter] | None) -> str:
    """A case to paste into ``gradfix_cases.py`` and correct."""
    inputs = ", ".join(["torch.randn(2, 3)"] * (1 if needed is None else len(needed)))
    tail = "," if inputs and ", torch" not in inputs else ""
    return (
        f"def case_{cls.__name__}():\n"
        f"    from {cls.__module__} import {cls.__name__}\n\n"
        f"    return {init}, ({inputs}{tail})"
    )


def _file_of(kind: type) -> str:
    """The file of a class; empty for one whose module Python does not know."""
    try:
        return inspect.getfile(kind)
    except (OSError, TypeError):
        return ""
