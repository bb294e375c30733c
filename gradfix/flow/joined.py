"""Where two paths of a program meet: one `State` that holds for both."""

from __future__ import annotations

from gradfix.flow.layered import Layered
from gradfix.flow.state import GradMode, Saved, State
from gradfix.flow.values import Storage, join
from gradfix.flow.versions import Binding, Version, memory, parted_at


def join_modes(a: GradMode, b: GradMode) -> GradMode:
    """The grad mode after two paths meet."""
    return a if a is b else GradMode.UNKNOWN


def changed_names(a: State, b: State) -> list[str]:
    """The names that may hold something else in one of two states that have parted."""
    found = dict.fromkeys(a.env.differing(b.env))
    for storage in a.versions.differing(b.versions):
        if a.versions.get(storage) is not b.versions.get(storage):
            found.update(a.holders.get(storage, {}))
    return list(found)


def join_states(a: State, b: State) -> State:
    """The state where two paths meet; a dead path contributes nothing."""
    if not a.alive:
        return b
    if not b.alive:
        return a
    settled: list[str] = []
    if a.versions.own is b.versions.own and a.versions.below is b.versions.below:
        versions = a.versions.copy()  # nothing has been written to on either path
    else:
        versions, settled = _join_versions(a, b)
    if a.saved.own is b.saved.own and a.saved.below is b.saved.below:
        saved = a.saved.copy()
    else:
        saved = _join_saved(a.saved, b.saved)
    names, env = a.env.met(b.env)
    switched = a.switched | b.switched
    joined = State(env, join_modes(a.mode, b.mode), saved, True, switched, versions, a.holders)
    for name in dict.fromkeys((*names, *a.env.dotted(b.env), *settled)):
        known = a.env.get(name)
        if known is None or known is not b.env.get(name):
            _join_bindings(name, a.get(name), b.get(name), joined)
    return joined


def _join_bindings(name: str, one: Binding | None, two: Binding | None, joined: State) -> None:
    known = one or two
    if one is not None and two is not None:
        value = join(one.value, two.value)
        joined.hold(name, one.definitions | two.definitions, value)
    elif known is not None and "." not in name:
        # An attribute that only one path rebinds still has its old value on the other path;
        # a plain name may be unbound there, and using it would raise.
        joined.env[name] = known
        key = memory(known.value)
        if key is not None and joined.versions.get(key) is not known.seen:
            joined.hold(name, known.definitions, known.value)
    else:
        joined.env.pop(name)


def _join_versions(a: State, b: State) -> tuple[Layered[Storage, Version], list[str]]:
    """For memory that only one of two paths has changed, or both, a version that knows of both.

    Memory that nothing holds on both paths is not followed any further: the names are given that
    hold it on one of them, and are to be brought up to date.
    """
    keys, versions = a.versions.parted(b.versions)
    settled: list[str] = []
    for key in keys:
        one, two = a.versions.get(key), b.versions.get(key)
        known = one or two
        if known is None:
            continue
        if one is two:
            versions[key] = known
        elif any(_held_by_both(name, key, a, b) for name in a.holders.get(key, ())):
            versions[key] = Version(parted_at(one, two), known.made, ways=(one, two))
        else:
            versions.pop(key)
            settled += a.holders.get(key, ())
    return versions, settled


def _held_by_both(name: str, key: Storage, a: State, b: State) -> bool:
    known = a.env.get(name)
    return known is not None and known is b.env.get(name) and memory(known.value) is key


def _join_saved(
    a: Layered[Storage, tuple[Saved, ...]], b: Layered[Storage, tuple[Saved, ...]]
) -> Layered[Storage, tuple[Saved, ...]]:
    """What is saved on one of two paths."""
    storages, saved = a.met(b)
    for storage in storages:
        one, two = a.get(storage), b.get(storage)
        if one is not None and two is not None:
            saved[storage] = one if one is two else _both(one, two)
        elif one is not None or two is not None:
            saved[storage] = one or two or ()
        else:
            saved.pop(storage)
    return saved


def _both(one: tuple[Saved, ...], two: tuple[Saved, ...]) -> tuple[Saved, ...]:
    """The entries of the first, and of the second those that the first does not hold."""
    # Mostly one path has only added to what was saved before the paths parted.
    if two[: len(one)] == one:
        return two
    if one[: len(two)] == two:
        return one
    known = set(one)
    return one + tuple(entry for entry in two if entry not in known)
