"""Builds a class with no help from the user: guesses arguments, and changes them by its errors."""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from gradfix.verify.climb import OutOfTime
from gradfix.verify.construct import argument_sets, fresh
from gradfix.verify.drive import DriveError, Maker, describe, reseed
from gradfix.verify.load import ABOVE
from gradfix.verify.mend import (
    climb_constructor,
    larger,
    neighbours,
    repaired_constructor,
)
from gradfix.verify.objects import text_of
from gradfix.verify.refused import is_autograd_error
from gradfix.verify.repair import lines_reached
from gradfix.verify.slots import names_at_fault
from gradfix.verify.values import is_numpy

_MAX_BUILT = 16
_MAX_BUILDS = 60
_CLIMBS = 240
_AFTER_CALLS = 10


@dataclass(frozen=True, slots=True)
class Offer:
    """What is known of a class: properties, public methods, how its project builds it.

    ``settings`` are the defaults of the project's own options, by name.
    """

    properties: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    makers: tuple[Maker, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


class Builder:
    """Ways to build one class, most likely first; what is learnt from a failure comes next."""

    def __init__(self, cls: type[nn.Module], offer: Offer, seed: int, deadline: float) -> None:
        self.cls, self.seed, self.deadline = cls, seed, deadline
        self.todo = list(offer.makers)
        self.first: DriveError | None = None
        self.tried: set[str] = set()
        self.furthest: tuple[tuple[int, ...], dict[str, Any], Exception] | None = None
        self.left = _CLIMBS
        #: How many seconds the module took that was built last.
        self.took = 0.0
        self.unhappy: tuple[dict[str, Any], Exception] | None = None
        try:
            self.todo += [self.maker(k) for k in argument_sets(cls, offer.settings)]
        except (TypeError, ValueError) as error:
            self._note(f"its constructor has no readable signature: {error}")

    def built(self) -> Iterator[tuple[Maker, nn.Module | None]]:
        """What could be built, with its recipe; no module where autograd itself refuses."""
        count = builds = 0
        climbed = varied = False
        while time.monotonic() < self.deadline and count < _MAX_BUILT:
            spent = builds >= _MAX_BUILDS
            if (spent or not self.todo) and not climbed and count == 0:
                climbed, builds = True, 0
                self.todo = [*self._climbed()]
            elif spent:
                return
            if not self.todo and not varied:
                varied = True
                self.todo += self._varied()
            if not self.todo:
                return
            made, builds = self.todo.pop(0), builds + 1
            found = self._build(made)
            if found is None:
                continue
            count += 1
            yield found
            if found[1] is None:
                return

    def _build(self, made: Maker) -> tuple[Maker, nn.Module | None] | None:
        error: Exception
        before = time.monotonic()
        try:
            reseed(self.seed)
            module = made.build()
            self.took = time.monotonic() - before
        except Exception as caught:  # the user's constructor may raise anything; it is the reason
            error = caught
        else:
            if any(not is_lazy(p) and p.numel() == 0 for p in module.parameters()):
                self._note(f"{made.text} has a Parameter without elements", made)
                if made.kwargs is not None:
                    wide = larger(made.kwargs, (1, 2, 3, 4, 8), 64)  # widths are divided, too
                    self._next([larger(made.kwargs, (1,), 8), wide])
                return None
            if made.kwargs is not None:  # a made-up configuration knows only now what was asked for
                made = replace(made, text=call_text(self.cls, made.kwargs))
            return made, module
        if is_autograd_error(error):
            return made, None
        if made.kwargs is not None:  # names of another scope say nothing about the class
            text = call_text(self.cls, made.kwargs)
            self._note(f"{text} raises {describe(error)}", made)
            reach = lines_reached(error, file_of(self.cls))
            if self.furthest is None or reach > self.furthest[0]:
                self.furthest = (reach, made.kwargs, error)
            # What ends sooner may have taken another branch; whatever got as far comes first.
            self._learn(made.kwargs, error, later=reach < self.furthest[0])
        return None

    def _learn(self, kwargs: dict[str, Any], error: Exception, *, later: bool = False) -> None:
        self._next(repaired_constructor(self.cls, kwargs, error), later=later)

    def _next(self, arguments: list[dict[str, Any]], *, later: bool = False) -> None:
        """Try these before everything else, or after it, if they were not tried yet."""
        makers = [self.maker(kwargs) for kwargs in arguments]
        makers = [m for m in makers if m.text not in self.tried]
        self.tried |= {m.text for m in makers}
        self.todo = self.todo + makers if later else makers + self.todo

    def _climbed(self) -> Iterator[Maker]:
        """From the arguments that got furthest on, one value changed at a time."""
        if self.furthest is None:
            return

        def attempt(kwargs: dict[str, Any]) -> Exception | None:
            self.left -= 1
            if self.left < 0 or time.monotonic() > self.deadline:
                raise OutOfTime
            try:
                reseed(self.seed)
                self.maker(kwargs).build()
            except Exception as error:  # the user's constructor; it says how far it got
                return None if is_autograd_error(error) else error
            return None

        _, kwargs, error = self.furthest
        try:
            found = climb_constructor(kwargs, error, attempt, file_of(self.cls))
        except OutOfTime:
            return
        if found is not None:
            yield self.maker(found)

    def _varied(self) -> Iterator[Maker]:
        """Other values of what the failing lines of a call name."""
        if self.unhappy is None:
            return
        kwargs, error = self.unhappy
        names = names_at_fault(error)
        count = 0
        for changed in neighbours(kwargs, error):
            different = [n for n in changed if changed[n] is not kwargs.get(n)]
            if count < _AFTER_CALLS and any(n in names for n in different):
                count += 1
                yield self.maker(changed)

    def missed(
        self,
        reason: str,
        made: Maker,
        needed: list[inspect.Parameter] | None,
        errors: list[Exception],
    ) -> None:
        """What was built could not be called; its arguments may be to blame."""
        self._note(reason, made, needed)
        for error in errors if made.kwargs is not None else ():
            assert made.kwargs is not None
            self._learn(made.kwargs, error)
            self.unhappy = self.unhappy or (made.kwargs, error)

    def maker(self, kwargs: dict[str, Any]) -> Maker:
        """The construction with these keyword arguments."""
        cls = self.cls

        def build() -> nn.Module:
            return cls(**{name: fresh(value) for name, value in kwargs.items()})

        return Maker(call_text(cls, kwargs), build, kwargs)

    def _note(
        self, reason: str, made: Maker | None = None, needed: list[inspect.Parameter] | None = None
    ) -> None:
        text = made.text if made is not None else f"{self.cls.__name__}(...)"
        self.first = self.first or DriveError(reason, case_for(self.cls, text, needed))

    def error(self) -> DriveError:
        """The first reason why nothing ran, with the case that would help."""
        return self.first or DriveError("no way to build it was found")


def call_text(cls: type, kwargs: dict[str, Any]) -> str:
    """The construction as a user would write it."""
    inside = ", ".join(f"{name}={_shown(value)}" for name, value in kwargs.items())
    return f"{cls.__name__}({inside})"


def _shown(value: Any) -> str:
    if isinstance(value, torch.Tensor):  # the only one that is made up
        return f"torch.eye({len(value)})"
    if is_numpy(value):
        return f"torch.eye({len(value)}).numpy()"
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    if inspect.isclass(value) and issubclass(value, nn.Module):
        own = not value.__module__.startswith("torch.")
        return value.__name__ if own else f"nn.{value.__name__}"
    if inspect.isfunction(value):
        return value.__name__
    return f"nn.{value}" if isinstance(value, nn.Module) else text_of(value)


def case_for(cls: type, init: str, needed: list[inspect.Parameter] | None) -> str:
    """A case to paste into ``gradfix_cases.py`` and correct."""
    inputs = ", ".join(["torch.randn(2, 3)"] * (1 if needed is None else len(needed)))
    tail = "," if inputs and ", torch" not in inputs else ""
    return (
        f"def case_{cls.__name__}():\n"
        f"    from {cls.__module__.removeprefix(f'{ABOVE}.')} import {cls.__name__}\n\n"
        f"    return {init}, ({inputs}{tail})"
    )


def file_of(kind: type) -> str:
    """The file of a class; empty for one whose module Python does not know."""
    try:
        return inspect.getfile(kind)
    except (OSError, TypeError):
        return ""
