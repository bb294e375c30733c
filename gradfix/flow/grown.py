"""Sets that grow by a few members again and again, and share what they have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from itertools import chain, takewhile
from typing import Any, Generic, TypeVar

from gradfix.flow.layered import Layer, Layered

T = TypeVar("T")
V = TypeVar("V")

#: Copying so few members at once is cheaper than looking for them in layers.
_FEW = 64


class Grown(Set[T]):
    """A set in layers, of which no two have a member in common."""

    __slots__ = ("_length", "top")

    def __init__(self, top: Layer) -> None:
        self.top = top
        self._length = sum(map(len, self.layers()))

    @classmethod
    def _from_iterable(cls, it: Iterable[Any]) -> frozenset[Any]:
        return frozenset(it)

    def layers(self) -> Iterator[dict[T, None]]:
        """The layers from above."""
        at: Layer | None = self.top
        while at is not None:
            yield at.entries
            at = at.below

    def __contains__(self, member: object) -> bool:
        return any(member in layer for layer in self.layers())

    def __iter__(self) -> Iterator[T]:
        return chain.from_iterable(self.layers())

    def __len__(self) -> int:
        return self._length


class Gathered(Generic[T]):
    """The members of many sets; what several of them share is looked at once."""

    def __init__(self) -> None:
        self.members: set[T] = set()
        self._layers: dict[int, Layer] = {}

    def add(self, members: Set[T]) -> None:
        """Add the members of one set."""
        if not isinstance(members, Grown):
            self.members.update(members)
            return
        at: Layer | None = members.top
        while at is not None and id(at) not in self._layers:
            self._layers[id(at)] = at
            self.members.update(at.entries)
            at = at.below


def united(one: Set[T], two: Set[T]) -> Set[T]:
    """The union of two sets; one of them where that is all."""
    if one is two or not two:
        return one
    if not one:
        return two
    if len(one) < len(two):
        one, two = two, one
    if isinstance(one, frozenset) and isinstance(two, frozenset):
        if two <= one:
            return one
        if len(one) + len(two) <= _FEW:
            return one | two
    larger = one if isinstance(one, Grown) else Grown(Layer(dict.fromkeys(one), None))
    new = _missing(larger, two)
    return Grown(Layer(dict.fromkeys(new), larger.top)) if new else one


def among(mapping: Layered[T, V], keys: Set[T]) -> list[T]:
    """Those of some keys that a mapping has, without looking for each of many."""
    if isinstance(keys, Grown):
        found = [
            entries.keys() & layer.keys()
            for entries, _ in mapping.layers()
            for layer in keys.layers()
        ]
        keys = set().union(*found)
    return [key for key in keys if key in mapping]


def all_united(sets: Iterable[Set[T]]) -> Set[T]:
    """The union of any number of sets."""
    found: Set[T] = frozenset()
    for one in sets:
        found = united(found, one)
    return found


def _missing(larger: Grown[T], other: Set[T]) -> set[T]:
    """The members of one set that a larger one does not have."""
    layers: Iterable[Iterable[T]] = [other]
    if isinstance(other, Grown):
        shared = {id(layer) for layer in larger.layers()}
        layers = takewhile(lambda layer: id(layer) not in shared, other.layers())
    new: set[T] = set()
    for layer in layers:
        missing = set(layer)
        for known in larger.layers():
            missing = missing.difference(known)  # a dict is asked for each, not gone through
        new |= missing
    return new
