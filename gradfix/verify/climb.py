"""Finds inputs by how far a call gets with them: the later its error, the better the guess."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from gradfix.verify.guess import BATCH, LENGTH, SIDE, Spec
from gradfix.verify.repair import lines_reached, repairs

_REPAIRS_DEEP = 2


class OutOfTime(Exception):
    """No further attempt may be made."""


Attempt = Callable[[list[Spec]], Exception | None]


@dataclass(frozen=True, slots=True)
class Reached:
    """Inputs that failed, their error, and how far the call got."""

    specs: list[Spec]
    error: Exception
    far: tuple[int, ...]


def reached(specs: list[Spec], error: Exception, file: str) -> Reached:
    """How far a call got."""
    return Reached(specs, error, lines_reached(error, file))


def climb(start: Reached, shapes: list[Spec], attempt: Attempt, file: str) -> list[Spec] | None:
    """Inputs that run, reached from ``start`` by changing one input at a time; None without.

    A change is kept where the call then gets further. ``attempt`` gives the error of a call, None
    if it ran, and raises OutOfTime when there is no more time.
    """
    known = {tuple(start.specs): start.error}

    def once(specs: list[Spec]) -> Exception | None:
        key = tuple(specs)
        if key in known:
            return known[key]
        error = attempt(specs)
        if error is not None:
            known[key] = error
        return error

    far, frontier, seen = start.far, [start], {str(start.error)}
    try:
        while frontier:
            now = frontier.pop(0)
            for specs in _neighbours(now, shapes, once):
                error = once(specs)
                if error is None:
                    return specs
                found = reached(specs, error, file)
                if found.far > far:
                    far, frontier = found.far, [found]
                    break
                if found.far == far and str(error) not in seen:  # as far, for another reason
                    seen.add(str(error))
                    frontier.append(found)
    except OutOfTime:
        return None
    return None


def _neighbours(now: Reached, shapes: list[Spec], attempt: Attempt) -> Iterator[list[Spec]]:
    level, seen = [now.specs], [now.specs]
    for _ in range(_REPAIRS_DEEP):  # what the error asks for, then what the next one asks for
        following: list[list[Spec]] = []
        for specs in level:
            error = attempt(specs)
            if error is not None:
                following += [s for s in repairs(specs, error) if s not in seen][:4]
        seen += following
        yield from following
        level = following[:2]
    others = [_others(old, shapes) for old in now.specs]
    for rank in range(max(map(len, others))):  # likely changes of every input first
        for index, found in enumerate(others):
            if rank < len(found):
                yield [found[rank] if i == index else s for i, s in enumerate(now.specs)]


def _others(old: Spec, shapes: list[Spec]) -> list[Spec]:
    """What else one input may be: each axis left out or added, other kinds, other shapes."""
    found: list[Spec] = []
    if old.kind == "float":
        shape = old.shape
        found += [replace(old, shape=(*shape[:i], *shape[i + 1 :])) for i in range(len(shape))]
        found += [replace(old, shape=(*shape[:i], LENGTH, *shape[i:])) for i in range(len(shape))]
        found += [replace(old, kind="pair"), replace(old, kind="list")]
        found += [replace(old, kind="bool"), Spec((BATCH,), "lengths")]
        found += [replace(old, shape=shape[:1], kind="long")]
        sizes = [n for n in (8, 4, 3, 1) for i in range(len(shape)) if n != shape[i]]
        places = [i for n in (8, 4, 3, 1) for i in range(len(shape)) if n != shape[i]]
        resized = zip(places, sizes, strict=True)
        found += [replace(old, shape=(*shape[:i], n, *shape[i + 1 :])) for i, n in resized]
    found += [Spec((), "int"), Spec((BATCH, 8), "pair")]
    found += [Spec((BATCH, SIDE), "float"), Spec((), "none"), *shapes[:16]]
    return [spec for spec in dict.fromkeys(found) if spec != old]
