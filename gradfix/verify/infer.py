"""Builds and calls a class with no help from the user: guesses, runs, repairs, runs again."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from gradfix.verify.drive import (
    Drive,
    DriveError,
    Prepared,
    describe,
    has_forward,
    property_reader,
    reseed,
)
from gradfix.verify.guess import Spec, constructors, required, starts
from gradfix.verify.repair import repairs

_ATTEMPTS = 60

#: What autograd says when the module itself is at fault; no other input would help.
AUTOGRAD_ERRORS = (
    "a leaf Variable that requires grad",
    "a view of a leaf Variable",
    "is a view and is being modified inplace",
    "is a view and its base or another view of its base has been modified inplace",
    "on Tensor that requires grad",
    "only Tensors created explicitly by the user",
    "you can only change requires_grad flags of leaf",
    "Inplace update to inference tensor",
)


def is_autograd_error(error: BaseException) -> bool:
    """Whether an exception is autograd's complaint about the module's own code."""
    return isinstance(error, RuntimeError) and any(t in str(error) for t in AUTOGRAD_ERRORS)


def inferred(cls: type[nn.Module], properties: tuple[str, ...], seed: int) -> Drive:
    """A recipe found by trying. Raises DriveError with the nearest miss and a case to fill in."""
    try:
        wanted = list(constructors(cls))
    except (TypeError, ValueError) as error:
        raise DriveError(f"its constructor has no readable signature: {error}") from error
    miss: DriveError | None = None
    for kwargs in wanted:
        try:
            reseed(seed)
            module = cls(**kwargs)
        except Exception as error:  # the user's constructor may raise anything; it is the reason
            reason = f"{_call(cls, kwargs)} raises {describe(error)}"
            miss = miss or DriveError(reason, case_for(cls, kwargs, None))
            continue
        try:
            return _with_inputs(cls, kwargs, module, properties, seed)
        except DriveError as error:
            miss = error
    raise miss or DriveError("no constructor arguments to try", case_for(cls, {}, None))


def _with_inputs(
    cls: type[nn.Module],
    kwargs: dict[str, Any],
    module: nn.Module,
    properties: tuple[str, ...],
    seed: int,
) -> Drive:
    if not has_forward(cls):
        return _by_properties(cls, kwargs, module, properties)
    needed = required(module.forward)
    best = (0, "its inputs could not be guessed")
    tried: set[tuple[Spec, ...]] = set()
    for start in starts(module, needed):
        queue = [(0, start)]
        while queue and len(tried) < _ATTEMPTS:
            depth, specs = queue.pop(0)
            if tuple(specs) in tried:
                continue
            tried.add(tuple(specs))
            drive = _drive(cls, kwargs, specs, needed)
            error = _attempt(drive, seed)
            if error is None or is_autograd_error(error):
                return drive
            # The deeper a repaired call got, the more its error says about what is missing.
            best = max(best, (depth, f"{drive.text} raises {describe(error)}"), key=lambda b: b[0])
            if depth < 6:
                queue = [(depth + 1, s) for s in repairs(specs, error)][:4] + queue
    raise DriveError(best[1], case_for(cls, kwargs, needed))


def _by_properties(
    cls: type[nn.Module], kwargs: dict[str, Any], module: nn.Module, properties: tuple[str, ...]
) -> Drive:
    found, reason = tensor_properties(module, properties)
    if not found:
        reason = reason or "it has no forward and no tensor-valued property"
        raise DriveError(reason, case_for(cls, kwargs, None))
    read = property_reader(found)
    text = f"{_call(cls, kwargs)}: {', '.join(found)}"
    return Drive(lambda: Prepared(cls(**kwargs), invoke=read), "inferred", text)


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


def _drive(
    cls: type[nn.Module], kwargs: dict[str, Any], specs: list[Spec], needed: list[inspect.Parameter]
) -> Drive:
    positional = [p.kind is not p.KEYWORD_ONLY for p in needed]

    def prepare() -> Prepared:
        module = cls(**kwargs)
        values = [spec.make() for spec in specs]
        args = tuple(v for v, place in zip(values, positional, strict=True) if place)
        named = {
            p.name: v for p, v, place in zip(needed, values, positional, strict=True) if not place
        }
        return Prepared(module, args, named)

    inputs = ", ".join(spec.text() for spec in specs)
    return Drive(prepare, "inferred", f"{_call(cls, kwargs)}({inputs})")


def _attempt(drive: Drive, seed: int) -> Exception | None:
    try:
        reseed(seed)
        prepared = drive.prepare()
        reseed(seed)
        prepared.run()
    except Exception as error:  # whatever the guess provoked is what `repair` reads
        return error
    return None


def attempts(drives: Iterator[Drive], seed: int) -> tuple[Drive | None, str | None]:
    """The first recipe of several that runs, and the first reason why one did not."""
    reason = None
    for drive in drives:
        error = _attempt(drive, seed)
        if error is None or is_autograd_error(error):
            return drive, reason
        reason = reason or f"{drive.text} raises {describe(error)}"
    return None, reason


def _call(cls: type, kwargs: dict[str, Any]) -> str:
    inside = ", ".join(f"{name}={_shown(value)}" for name, value in kwargs.items())
    return f"{cls.__name__}({inside})"


def _shown(value: Any) -> str:
    return f"nn.{value}" if isinstance(value, nn.Module) else repr(value)


def case_for(
    cls: type, kwargs: dict[str, Any] | None, needed: list[inspect.Parameter] | None
) -> str:
    """A case to paste into ``gradfix_cases.py`` and correct."""
    inputs = ", ".join(["torch.randn(2, 3)"] * (len(needed) if needed else 1))
    tail = "," if "," not in inputs else ""
    return (
        f"def case_{cls.__name__}():\n"
        f"    from {cls.__module__} import {cls.__name__}\n"
        f"    return {_call(cls, kwargs or {})}, ({inputs}{tail})"
    )
