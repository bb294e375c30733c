"""Drives a class as a part of something that can be driven: as its project uses it.

What holds the class is built and called; the part is taken out, with the inputs that it was given.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import itertools
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from gradfix.verify.build import Offer
from gradfix.verify.calling import Calls, run_prepared
from gradfix.verify.drive import Drive, DriveError, Maker, Prepared, reseed
from gradfix.verify.infer import inferred
from gradfix.verify.source import mentions

_MAX_HOLDERS = 5


@dataclass(frozen=True, slots=True)
class Part:
    """Where in a module the class was found, and what it was called with there."""

    path: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def harvested(
    cls: type[nn.Module],
    space: Mapping[str, Any],
    known: Mapping[str, Offer],
    seed: int,
    deadline: float,
) -> Iterator[Drive]:
    """Recipes that run a part of something of the same file; none when that cannot be driven.

    ``space`` are the names of the file, ``known`` what is known of its classes. Nothing new is
    tried after ``deadline``.
    """
    holders = itertools.islice(_holders(cls, space), _MAX_HOLDERS)
    for name, holder in holders:
        left = deadline - time.monotonic()
        if left <= 0:
            return
        until = time.monotonic() + 0.5 * left
        try:
            drive = next(_drives(name, holder, known.get(name, Offer()), seed, until), None)
        except DriveError:
            continue
        part = _part_of(drive, cls, seed) if drive is not None else None
        if drive is None or part is None:
            continue
        found = _recipe(drive, part)
        if run_prepared(found.prepare, seed) is None:
            yield found
            return


def _holders(cls: type, space: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Classes that name the class in their source, what is built of these, then functions."""
    values = [(n, v) for n, v in space.items() if _own(v, cls)]
    classes = [(n, v) for n, v in values if inspect.isclass(v) and issubclass(v, nn.Module)]
    names, found = {cls.__name__}, []
    for _ in range(3):
        more = [
            (n, v)
            for n, v in classes
            if (n, v) not in found and v is not cls and mentions(v, names)
        ]
        found += more
        names |= {n for n, _ in more}
    yield from found
    for name, value in values:
        if inspect.isfunction(value) and not name.startswith("_") and _needs_nothing(value):
            if mentions(value, names):
                yield name, value


def _own(value: Any, cls: type) -> bool:
    return (inspect.isclass(value) or inspect.isfunction(value)) and (
        getattr(value, "__module__", "") == cls.__module__
    )


def _needs_nothing(function: Any) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    free = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return all(p.default is not p.empty or p.kind in free for p in parameters)


def _drives(name: str, holder: Any, offer: Offer, seed: int, until: float) -> Iterator[Drive]:
    if inspect.isclass(holder) and issubclass(holder, nn.Module):
        yield from inferred(holder, offer, seed, until)
        return
    maker = Maker(f"{name}()", holder)
    try:
        reseed(seed)
        module = holder()
    except Exception as error:  # the user's function; another one may do
        raise DriveError(f"{name}() raises {error}") from error
    if isinstance(module, nn.Module):
        yield from Calls(maker, module, offer, seed, until).drives()


def _part_of(drive: Drive, cls: type[nn.Module], seed: int) -> Part | None:
    """The first part of the class that is called when the recipe runs."""
    found: list[Part] = []

    def note(path: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not found:
            found.append(Part(path, kept(args), kept(kwargs)))

    with contextlib.suppress(Exception):  # the recipe ran before; what raises now is no use
        reseed(seed)
        prepared = drive.prepare()
        for path, part in prepared.module.named_modules():
            if type(part) is cls and path:
                part.register_forward_pre_hook(
                    lambda part, args, kwargs, path=path: note(path, args, kwargs),
                    with_kwargs=True,
                )
        reseed(seed)
        prepared.run()
    return found[0] if found else None


def kept(value: Any) -> Any:
    """A copy of what a call was given, cut off from how it was computed."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {key: kept(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(kept(item) for item in value)
    return value


def _recipe(drive: Drive, part: Part) -> Drive:
    def prepare() -> Prepared:
        holder = drive.prepare().module
        args, kwargs = copy.deepcopy((part.args, part.kwargs))
        return Prepared(holder.get_submodule(part.path), args, kwargs, holder=holder)

    return Drive(prepare, "inferred", f"{part.path} of {drive.text}")
