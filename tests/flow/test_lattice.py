"""Joins of values and states, the definitions that reach a use: the algebra of the analysis."""

from __future__ import annotations

import ast
import itertools
from dataclasses import replace

import pytest

from gradfix import flow
from gradfix.flow.joined import join_modes, join_states
from gradfix.flow.layered import Layered
from gradfix.flow.names import reaching, uses_of
from gradfix.flow.state import GradMode, Saved, State
from gradfix.flow.values import (
    NEEDS_GRAD,
    UNKNOWN,
    Certainty,
    Kind,
    Leaf,
    Role,
    Storage,
    Value,
    element_of,
    foreign,
    join,
    join_all,
    join_shapes,
    number,
    reference,
    sequence,
    unknown,
)
from gradfix.flow.versions import Binding, Definition

MEMORY = Storage(ast.Name("here"))
LEAF = Leaf(ast.Name("w"), True)
TENSOR = Value(
    Kind.TENSOR, Role.LEAF, storages=frozenset({MEMORY}), shape=(3, "n"), dtype="default",
    leaves=frozenset({LEAF}), parameter=True,
)  # fmt: skip
VALUES: dict[str, Value] = {
    "leaf": TENSOR,
    "tracked": replace(TENSOR, role=Role.TRACKED, parameter=False),
    "untracked": Value(Kind.TENSOR, Role.UNTRACKED, storages=frozenset({Storage(None)})),
    "view": replace(TENSOR, role=Role.TRACKED, view=True, shape=(2, "n")),
    "other shape": replace(TENSOR, shape=(4, 5)),
    "other rank": replace(TENSOR, shape=(4,)),
    "other type": replace(TENSOR, dtype="float64"),
    "cut": replace(TENSOR, role=Role.UNTRACKED, cut="detach", leaves=frozenset()),
    "one": number(1),
    "two": number(2),
    "true": number(True),
    "symbol": number(symbol="n"),
    "string": Value(Kind.STRING, Role.UNTRACKED, const="a"),
    "foreign": foreign(),
    "unknown": unknown(),
    "pair": sequence([number(1), TENSOR]),
    "other pair": sequence([TENSOR, number(1)]),
    "triple": sequence([number(1), number(2), number(3)]),
    "empty": sequence([]),
    "loop": sequence(None, element=TENSOR, length="n"),
    "dict": Value(Kind.DICT, Role.UNTRACKED, element=TENSOR, attributes={"a": TENSOR}),
    "reference": reference("torch.zeros"),
}
EACH = pytest.mark.parametrize("a", VALUES.values(), ids=VALUES)
PAIRS = pytest.mark.parametrize(
    ("a", "b"),
    [(VALUES[a], VALUES[b]) for a, b in itertools.combinations(VALUES, 2)],
    ids=[f"{a}, {b}" for a, b in itertools.combinations(VALUES, 2)],
)


def known(value: Value | None) -> object:
    """All that two values must share to be the same for whoever asks."""
    if value is None:
        return None
    items = None if value.items is None else tuple(map(known, value.items))
    return (
        value.kind, value.is_tensor and value.role, value.storages, value.view, value.shape,
        value.dtype, value.leaves, value.cut, value.parameter, value.const, value.symbol, items,
        known(value.element), value.length, value.name, value.definition, value.needs_grad,
        value.storage,
    )  # fmt: skip


@EACH
def test_join_with_itself_changes_nothing(a: Value) -> None:
    assert join(a, a) is a
    assert join(a, replace(a)).role == a.role
    assert known(join(join(a, replace(a)), a)) == known(join(a, replace(a)))


@PAIRS
def test_join_is_commutative(a: Value, b: Value) -> None:
    assert known(join(a, b)) == known(join(b, a))


@PAIRS
def test_join_again_adds_nothing(a: Value, b: Value) -> None:
    once = join(a, b)
    assert known(join(once, b)) == known(once) == known(join(a, once))


@PAIRS
def test_join_is_never_more_certain_than_its_parts(a: Value, b: Value) -> None:
    both = join(a, b)
    for part in (a, b):
        assert both.kind in (part.kind, Kind.UNKNOWN)
        if both.is_tensor:
            assert part.role & ~both.role == 0
        assert part.storages <= both.storages
        assert part.leaves <= both.leaves
        assert both.view >= part.view
        for name in ("dtype", "const", "symbol", "length"):
            assert getattr(both, name) in (None, getattr(part, name))
        assert not both.parameter or part.parameter
        assert both.needs_grad in (part.needs_grad, Certainty.MAYBE)
        assert both.storage is None or both.storage is part.storage
        assert not both.is_leaf or part.is_leaf
        assert not both.is_tracked or part.is_tracked
        if both.shape is not None:
            assert part.shape is not None
            pairs = zip(both.shape, part.shape, strict=True)
            assert all(dim is None or dim == size for dim, size in pairs)
        if both.items is not None:
            assert part.items is not None and len(part.items) == len(both.items)


def test_join_of_three_does_not_depend_on_the_order() -> None:
    for three in itertools.combinations(list(VALUES.values())[:8], 3):
        first, *others = (known(join_all(order)) for order in itertools.permutations(three))
        assert all(other == first for other in others)


def test_numbers_of_different_types_are_not_the_same() -> None:
    assert join(number(1), number(True)).const is None
    assert join(number(1), number(1.0)).const is None


def test_what_an_empty_list_adds() -> None:
    joined = join(sequence([]), sequence([TENSOR]))
    assert element_of(joined) is TENSOR
    assert joined.length is None and joined.items is None


def test_join_of_nothing_is_unknown() -> None:
    assert join_all([]) is UNKNOWN


def test_shapes() -> None:
    assert join_shapes((1, "n", None), (1, "n", 3)) == (1, "n", None)
    assert join_shapes((1, 2), (3, 2)) == (None, 2)
    assert join_shapes((1,), (1, 2)) is None
    assert join_shapes(None, (1,)) is None


@pytest.mark.parametrize("role", [Role(bits) for bits in range(1, 16)], ids=repr)
def test_what_a_role_says_of_requires_grad(role: Role) -> None:
    answer = Value(Kind.TENSOR, role).needs_grad
    assert (answer is Certainty.YES) == (not role & ~NEEDS_GRAD)
    assert (answer is Certainty.NO) == (role == Role.UNTRACKED)


# -- states -------------------------------------------------------------------------------------


def bound(name: str, value: Value) -> Binding:
    return Binding(frozenset({Definition(name, ast.Name(name), None, value, "assign")}), value)


def test_a_dead_path_contributes_nothing() -> None:
    env = Layered({"x": bound("x", UNKNOWN)})
    dead, alive = State(env, GradMode.OFF, alive=False), State()
    assert join_states(dead, alive) is alive
    assert join_states(alive, dead) is alive


def test_states_unite_names_definitions_and_saved_tensors() -> None:
    one, two = bound("x", VALUES["leaf"]), bound("x", VALUES["untracked"])
    only, attribute, both = (bound(name, TENSOR) for name in ("only", "self.a", "same"))
    first, second = (Saved(ast.Name(n), "exp", None, TENSOR, True) for n in ("a", "b"))
    env = Layered({"x": one, "only": only, "self.a": attribute, "same": both})
    a = State(env, saved=Layered({MEMORY: (first,)}))
    env = Layered({"x": two, "same": both})
    b = State(env, GradMode.OFF, saved=Layered({MEMORY: (first, second)}))
    joined = join_states(a, b)
    assert joined.env["x"].definitions == one.definitions | two.definitions
    assert joined.env["x"].value.role == Role.LEAF | Role.UNTRACKED
    assert joined.env["only"] is only  # elsewhere it is unbound, and using it would raise
    assert "self.a" not in joined.env  # elsewhere it is what it was before
    assert joined.env["same"] is both
    assert joined.mode is GradMode.UNKNOWN
    assert joined.saved[MEMORY] == (first, second)
    assert a.saved[MEMORY] == (first,) and a.env["x"] is one


def test_grad_modes() -> None:
    for a, b in itertools.product(GradMode, GradMode):
        assert join_modes(a, b) is (a if a is b else GradMode.UNKNOWN)
        assert join_modes(a, b) is join_modes(b, a)


def test_a_copy_is_independent() -> None:
    state = State(Layered({"x": bound("x", TENSOR)}))
    copy = state.copy()
    copy.env["x"] = bound("x", UNKNOWN)
    copy.saved[MEMORY] = ()
    assert state.env["x"].value is TENSOR and not state.saved


# -- definitions and uses -----------------------------------------------------------------------

PROGRAM = """\
def f(x, flag):
    y = x            # 2
    if flag:
        y = 1        # 4
    else:
        y = 2        # 6
    a = y            # 7
    for i in x:
        b = y        # 9
        y = i        # 10
    c = y            # 11
    try:
        y = x        # 13
        y = 5        # 14
    except ValueError:
        d = y        # 16
    while True:
        y = 7        # 18
        if y:
            break
        y = 8        # 21
    e = y            # 22
    [y for y in x]
    g = y            # 24
    del y
    y = 9            # 26
    return y         # 27
"""


@pytest.mark.parametrize(
    ("row", "rows"),
    [
        (7, {4, 6}),
        (9, {4, 6, 10}),
        (11, {4, 6, 10}),
        (16, {4, 6, 10, 13, 14}),
        (22, {18}),
        (24, {18}),
        (27, {26}),
    ],
)
def test_the_definitions_that_reach_a_use(row: int, rows: set[int]) -> None:
    analysed = flow.analyse(PROGRAM)
    analysed.complete()
    (scope,) = [scope for scope in analysed.scopes if scope.name == "f"]
    (use,) = [
        node
        for node in ast.walk(scope.node)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
        if node.lineno == row and node.id == "y"
    ]
    definitions = reaching(scope, use)
    assert {definition.node.lineno for definition in definitions} == rows  # type: ignore[attr-defined]
    assert all(use in uses_of(scope, definition) for definition in definitions)


def test_a_definition_that_nothing_uses() -> None:
    analysed = flow.analyse(PROGRAM)
    analysed.complete()
    (scope,) = [scope for scope in analysed.scopes if scope.name == "f"]
    unused = {d.node.lineno for d in scope.by_name["y"] if not uses_of(scope, d)}  # type: ignore[attr-defined]
    assert unused & {2, 21} == {2, 21}
