"""Mappings whose copies share what neither of them has changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

#: Copying so few entries at once is cheaper than looking for them in layers.
_FEW = 48


class _Gone:
    """Stands for what was removed and is still there in a layer below."""


_GONE = _Gone()


class Layer:
    """Entries that change no more, above those of other layers."""

    __slots__ = ("_dotted", "below", "entries")
    entries: dict[Any, Any]
    below: Layer | None

    def __init__(self, entries: dict[Any, Any], below: Layer | None) -> None:
        # Each layer is at least twice as large as the one above, so there are few of them, and
        # each entry is copied as seldom.
        while below is not None and len(below.entries) <= 2 * len(entries):
            entries = {**below.entries, **entries}
            below = below.below
        if below is None:
            entries = {key: value for key, value in entries.items() if value is not _GONE}
        self.entries, self.below = entries, below
        self._dotted: list[str] | None = None

    @property
    def dotted(self) -> list[str]:
        """The keys that are names with a dot."""
        if self._dotted is None:
            self._dotted = dotted(self.entries)
        return self._dotted


def dotted(keys: Iterable[Any]) -> list[str]:
    """Those of some names that have a dot."""
    return [key for key in keys if "." in key]


class Layered(Generic[K, V]):
    """A mapping of which a copy costs what has changed since the last one, not what it holds.

    No value may be None.
    """

    __slots__ = ("below", "own", "shared")

    def __init__(self, entries: dict[K, V] | None = None) -> None:
        self.own: dict[K, Any] = {} if entries is None else entries
        self.below: Layer | None = None
        self.shared = False  # whether a copy has the same ``own``

    def copy(self) -> Layered[K, V]:
        """An independent copy."""
        own = self.own
        if self.below is None and len(own) <= _FEW:
            made: Layered[K, V] = Layered(own)
            made.shared = self.shared = True
            return made
        if own:
            self.below, self.own = Layer(own, self.below), {}
            self.shared = False
        made = Layered()
        made.below = self.below
        return made

    def get(self, key: K) -> V | None:
        """What is there for a key, or None."""
        found = self.own.get(key)
        at = self.below
        while found is None and at is not None:
            found = at.entries.get(key)
            at = at.below
        return None if found is _GONE else found

    def __getitem__(self, key: K) -> V:
        found = self.get(key)
        if found is None:
            raise KeyError(key)
        return found

    def __contains__(self, key: K) -> bool:
        return self.get(key) is not None

    def __setitem__(self, key: K, value: V) -> None:
        if self.shared:
            self.own, self.shared = dict(self.own), False
        self.own[key] = value

    def pop(self, key: K) -> V | None:
        """Remove a key; what was there, or None."""
        found = self.get(key)
        if found is not None:
            self[key] = found  # makes ``own`` one of its own
            if self.below is None:
                del self.own[key]
            else:
                self.own[key] = _GONE
        return found

    def clear(self) -> None:
        """Remove everything."""
        self.own, self.below, self.shared = {}, None, False

    def __bool__(self) -> bool:
        if self.below is None:
            return bool(self.own)
        return any(True for _ in self.items())

    def __iter__(self) -> Iterator[K]:
        return iter(self._flat())

    def items(self) -> list[tuple[K, V]]:
        """All entries, the older ones first."""
        return list(self._flat().items())

    def _flat(self) -> dict[K, V]:
        if self.below is None:
            return self.own
        found: dict[K, Any] = {}
        for entries in reversed([entries for entries, _ in self.layers()]):
            found.update(entries)
        return {key: value for key, value in found.items() if value is not _GONE}

    def layers(self) -> Iterator[tuple[dict[K, Any], Layer | None]]:
        """From above, the entries and the layer that holds them; None for what may still change."""
        yield self.own, None
        at = self.below
        while at is not None:
            yield at.entries, at
            at = at.below

    def parted(self, other: Layered[K, V]) -> tuple[list[K], Layered[K, V]]:
        """The keys that two mappings may hold different values for, and a copy of all else."""
        if self.own is other.own and self.below is other.below:
            return [], self.copy()
        common = self._common(other)
        rest: Layered[K, V] = Layered()
        rest.below = common
        above = [*self._above(common), *other._above(common)]
        return list(dict.fromkeys(key for layer in above for key in layer)), rest

    def met(self, other: Layered[K, V]) -> tuple[list[K], Layered[K, V]]:
        """A copy of one of two mappings, and the keys it may not share with the other.

        The keys are not given that only the larger of the two has got since they have parted: so
        this costs what has happened to the smaller one.
        """
        if self.own is other.own and self.below is other.below:
            return [], self.copy()
        if self.below is None and other.below is None:  # as most are
            known, fewer, made = self.own, other.own, self
            if len(known) < len(fewer):
                known, fewer, made = fewer, known, other
            changed = [key for key, value in fewer.items() if known.get(key) is not value]
            return changed, made.copy()
        common = self._common(other)
        larger, smaller = self._above(common), other._above(common)
        if sum(map(len, larger)) < sum(map(len, smaller)):
            larger, smaller, made = smaller, larger, other.copy()
        else:
            made = self.copy()
        keys = dict.fromkeys(key for layer in smaller for key in layer)
        for layer in larger:
            at = common
            while at is not None:
                keys.update(dict.fromkeys(at.entries.keys() & layer.keys()))
                at = at.below
        return list(keys), made

    def differing(self, other: Layered[K, V]) -> list[K]:
        """The keys that two mappings may hold different values for."""
        if self.below is not None or other.below is not None:
            return self.parted(other)[0]
        mine, theirs = self.own, other.own
        if mine is theirs:
            return []
        changed = [key for key, value in theirs.items() if mine.get(key) is not value]
        return changed + [key for key in mine if key not in theirs]

    def unlike(self, other: Layered[K, V]) -> list[K]:
        """The keys that only one of two mappings has got."""
        if self.below is None and other.below is None:
            return list(self.own.keys() ^ other.own.keys())
        return [key for key in self.parted(other)[0] if (key in self) != (key in other)]

    def dotted(self, other: Layered[K, V]) -> list[str]:
        """The names with a dot that one of two mappings has bound since they have parted."""
        if self.own is other.own and self.below is other.below:
            return []
        common, found = self._common(other), []
        for mapping in (self, other):
            for entries, layer in mapping.layers():
                if layer is not None and layer is common:
                    break
                found += layer.dotted if layer is not None else dotted(entries)
        return found

    def _common(self, other: Layered[K, V]) -> Layer | None:
        """The highest layer that two mappings share."""
        if self.below is None or other.below is None:
            return None
        theirs = {id(layer) for _, layer in other.layers() if layer is not None}
        return next((layer for _, layer in self.layers() if id(layer) in theirs), None)

    def _above(self, common: Layer | None) -> list[dict[K, Any]]:
        found = []
        for entries, layer in self.layers():
            if layer is not None and layer is common:
                break
            found.append(entries)
        return found
