"""A walk from values back through what they were made from, bounded where that may be long."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from gradfix.flow.values import Value

T = TypeVar("T")


def united(a: frozenset[T], b: frozenset[T]) -> frozenset[T]:
    """The union; one of the two where that is all, since most sets on a way are the same."""
    return a if b <= a else b if a <= b else a | b


class Walk:
    """Goes through values, each once and no more than ``reach`` of them where that is given.

    Who iterates says with ``further`` where to go on from the value at hand. What lies beyond the
    reach is not seen: nothing may be concluded from its absence.
    """

    def __init__(self, start: Iterable[Value], reach: int | None = None) -> None:
        self._queue = list(start)
        self._reach = reach

    def further(self, values: Iterable[Value]) -> None:
        """Visit these values later, too."""
        self._queue += values

    def __iter__(self) -> Iterator[Value]:
        seen: set[int] = set()
        while self._queue and (self._reach is None or len(seen) < self._reach):
            at = self._queue.pop()
            if id(at) not in seen:
                seen.add(id(at))
                yield at
