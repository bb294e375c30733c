"""What a name holds, and what writes in place have made of that since it was bound.

A write changes what is known of every tensor in the same memory. Going through all names for each
write would make many views that are all written to quadratic. So a write is kept once, as the new
`Version` of the memory, and a name is brought up to date when somebody asks for it.
"""

from __future__ import annotations

import ast
from collections.abc import Set
from dataclasses import dataclass, field

from gradfix.flow.grown import all_united, united
from gradfix.flow.values import (
    SOMEWHERE,
    UNKNOWN_MEMORY,
    Kind,
    Leaf,
    Role,
    Storage,
    Value,
    join,
    replace,
)


@dataclass(eq=False, slots=True)
class Definition:
    """One binding of one name: ``node`` is the target, ``value`` what was bound."""

    name: str
    node: ast.AST
    statement: ast.stmt | None
    value: Value
    how: str  # "assign", "augment", "for", "argument", "import", "def", "with", "delete", ...
    loops: tuple[ast.AST, ...] = ()


@dataclass(eq=False, slots=True)
class Binding:
    """What a name holds at a program point: the definitions that can reach it, and their join.

    ``seen`` is the version of the memory that the value is up to date with.
    """

    definitions: frozenset[Definition]
    value: Value
    seen: Version | None = None
    later: dict[Version, Binding] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Effect:
    """What a write does to the other tensors in the same memory.

    ``role`` and ``leaves`` are None for a write that leaves their history as it is.
    """

    role: Role | None
    leaves: Set[Leaf]
    values: tuple[Value, ...]

    def on(self, held: Value) -> Value:
        """What is known of a tensor in the memory after the write."""
        role, leaves = held.role, held.leaves
        if self.role is not None:
            role = held.role | self.role if held.is_leaf else self.role
            leaves = self.leaves
        return _changed(held, role, leaves, self.values)


@dataclass(eq=False, slots=True)
class Version:
    """A piece of memory after something happened to it; ``before`` is the version until then.

    Whoever holds the very tensor ``target`` holds ``after`` from now on. ``effect`` is what happens
    to all others; None for nothing. Where two paths meet, ``ways`` are the versions at their ends,
    and ``before`` is the one where they have parted.
    """

    before: Version | None
    made: list[Value]
    target: Value | None = None
    after: Value | None = None
    effect: Effect | None = None
    ways: tuple[Version | None, Version | None] | None = None
    depth: int = 0
    history: History = field(init=False)
    _hub: Value | None = None

    def __post_init__(self) -> None:
        self.depth = self.before.depth + 1 if self.before is not None else 1
        self.history = _history(self)

    @property
    def hub(self) -> Value:
        """One value for all that was written up to this version, for those who see it late."""
        stack = [self]
        while stack:
            at = stack[-1]
            below = [way for way in at.ways or (at.before,) if way is not None]
            missing = [way for way in below if way._hub is None]
            if missing and at._hub is None:
                stack += missing
                continue
            stack.pop()
            if at._hub is None:
                written = at.effect.values if at.effect is not None else ()
                inputs = (*[way._hub for way in below if way._hub is not None], *written)
                role = at.history.role or Role.UNTRACKED
                leaves = at.history.leaves
                at._hub = Value(Kind.TENSOR, role, None, "writes", inputs, leaves=leaves)
        assert self._hub is not None
        return self._hub


_NO_ROLE = Role(0)


@dataclass(frozen=True, slots=True)
class History:
    """What the writes up to a version have done, in short.

    ``at`` is the depth of the last that changed roles, ``role`` and ``leaves`` what it gave, which
    only some of the paths to here may have done (``sure``); ``earlier`` is the depth of the one
    before it, and whether that left a leaf.
    """

    at: int = 0
    role: Role = _NO_ROLE
    leaves: Set[Leaf] = frozenset()
    sure: bool = True
    earlier: tuple[int, bool] = (0, False)


_NOTHING = History()


def _history(version: Version) -> History:
    before = version.before.history if version.before is not None else _NOTHING
    if version.ways is not None:
        ends = [way.history if way is not None else _NOTHING for way in version.ways]
        done = [end for end in ends if end.at > before.at]
        if not done:
            return before
        role, leaves = _NO_ROLE, all_united(end.leaves for end in ends)
        for end in ends:
            role |= end.role
        sure = len(done) == len(ends) and all(end.sure for end in done)
        return History(version.depth, role, leaves, sure, (before.at, before.role == Role.LEAF))
    effect = version.effect
    if effect is None or effect.role is None:
        return before
    earlier = (before.at, before.role == Role.LEAF)
    return History(version.depth, effect.role, effect.leaves, True, earlier)


def _changed(held: Value, role: Role, leaves: Set[Leaf], values: tuple[Value, ...]) -> Value:
    return replace(
        held,
        role=role,
        leaves=leaves,
        inputs=(held, *values),
        op="write" if held.op == "join" else held.op,  # a join's inputs are all it
    )


def parted_at(one: Version | None, two: Version | None) -> Version | None:
    """The last version that two have come from; None where that is the memory as it was made."""
    while one is not two:
        if one is None or two is None:
            return None
        if one.depth >= two.depth:
            one = one.before
        else:
            two = two.before
    return one


def _comes_from(version: Version | None, start: Version | None, seen: Version) -> bool:
    """Whether one version stands on the way from ``start`` to another, or on a part of it."""
    while version is not None and version is not start:
        if version is seen:
            return True
        if version.ways is not None and seen.depth >= version.depth:
            if any(_comes_from(way, version.before, seen) for way in version.ways):
                return True
        version = version.before
    return False


def memory(value: Value) -> Storage | None:
    """The memory whose versions say what has become of a value; None where nothing can."""
    storages = value.storages
    if storages is not UNKNOWN_MEMORY and len(storages) == 1:
        (storage,) = storages
        if storage is not SOMEWHERE:
            return storage
    return value.cell


def is_followed(held: Value) -> bool:
    """Whether writes by other names change what is known of a tensor."""
    return held.kind is Kind.TENSOR and held.op not in ("data", "detach")


#: So many writes are followed one by one; of more, only what they come to.
_NEAR = 16


def current(binding: Binding, now: Version) -> Binding:
    """The binding brought up to date with a version of its memory."""
    known = binding.later.get(now) if binding.later is not None else None
    if known is not None:
        return known
    chain: list[Version] = []
    at: Version | None = now
    reach = _NEAR if binding.value.storage is not None else None
    seen = binding.seen
    while at is not None and at is not seen and (reach is None or len(chain) < reach):
        if at.ways is not None and seen is not None and seen.depth >= at.depth:
            way = next((way for way in at.ways if _comes_from(way, at.before, seen)), None)
            if way is not None:  # bound on one of the paths that meet here
                there = current(binding, way)
                binding, seen = Binding(there.definitions, there.value, at), at
                break
        chain.append(at)
        at = at.before
    if at is not seen:
        return _late(binding, now)
    for version in reversed(chain):
        binding = _next(binding, version)
    return binding


def _next(binding: Binding, version: Version) -> Binding:
    """The binding after one version more."""
    if binding.later is None:
        binding.later = {}
    found = binding.later.get(version)
    if found is None:
        value = _value_after(binding, version)
        found = binding.later[version] = Binding(binding.definitions, value, version)
    return found


def _value_after(binding: Binding, version: Version) -> Value:
    held = binding.value
    if version.ways is not None:
        one, two = (
            binding if way is None or way is binding.seen else current(binding, way)
            for way in version.ways
        )
        return join(one.value, two.value)
    if held is version.target and version.after is not None:
        return version.after
    if version.effect is None or not is_followed(held):
        return held
    changed = version.effect.on(held)
    version.made.append(changed)
    return changed


def _late(binding: Binding, now: Version) -> Binding:
    """The binding after many versions; what was written is taken together."""
    if binding.later is None:
        binding.later = {}
    held, history = binding.value, now.history
    seen = binding.seen.depth if binding.seen is not None else 0
    role, leaves = held.role, held.leaves
    if history.at > seen:
        at, was_leaf = history.earlier
        was_leaf = was_leaf if at > seen else held.is_leaf
        role = history.role | (Role.LEAF if was_leaf else _NO_ROLE)
        leaves = history.leaves
        if not history.sure:
            role, leaves = role | held.role, united(leaves, held.leaves)
    value = _changed(held, role, leaves, (now.hub,)) if is_followed(held) else held
    if value is not held:
        now.made.append(value)
    binding.later[now] = Binding(binding.definitions, value, now)
    return binding.later[now]
