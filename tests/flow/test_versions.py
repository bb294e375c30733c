"""What writes in place make of what names hold, seen late or at once."""

from __future__ import annotations

import random
from collections.abc import Set

import pytest

from gradfix import flow
from gradfix.flow import versions
from gradfix.flow.grown import Gathered, Grown, all_united, among, united
from gradfix.flow.layered import Layered
from gradfix.flow.values import Value

HEAD = "import torch\nfrom torch import nn\n"
MANY = """\
def f(x, k):
    w = nn.Parameter(x) * 1
    a = w[0]
    b = a
    plain = torch.zeros(3)
    part = plain[0]
    if k:
        own = w[1]
{writes}
    else:
        own = plain[1]
    return w, a, b, part, own
"""


def returned(text: str) -> list[Value]:
    facts = flow.analyse(HEAD + text)
    (scope,) = (scope for scope in facts.scopes if scope.name == "f")
    ((_, value),) = scope.returns
    return list(value.items or ())


@pytest.mark.parametrize(
    "write", ["w[0] = x", "plain[0] = w", "own += 1", "b.mul_(w)", "a = b * 2"]
)
def test_many_writes_come_to_the_same_one_by_one_and_together(
    write: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = MANY.format(writes=f"        {write}\n" * 12)
    one_by_one = returned(text)
    monkeypatch.setattr(versions, "_NEAR", 3)
    together = returned(text)
    assert len(one_by_one) == len(together) == 5
    for one, two in zip(one_by_one, together, strict=True):
        assert (one.kind, one.role, len(one.leaves)) == (two.kind, two.role, len(two.leaves))


def test_a_view_knows_what_was_written_after_it_was_taken() -> None:
    _, a, b, part, own = returned(MANY.format(writes="        plain[2] = w"))
    assert a.is_tracked and b.is_tracked
    assert part.leaves == a.leaves and not part.is_tracked  # on one of two paths
    assert own.leaves


def test_writes_are_made_into_the_names_that_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each view is brought up to date when it is asked for, not for each write to the others."""
    views = "".join(f"    v{n} = w[{n}]\n    v{n} += 1\n" for n in range(300))
    facts = flow.analyse(f"{HEAD}def f(x):\n    w = nn.Parameter(x)\n{views}    return w\n")
    assert len(facts.made) < 300 * 12
    monkeypatch.setattr(versions, "_NEAR", 10**6)  # the measure can fail
    facts = flow.analyse(f"{HEAD}def f(x):\n    w = nn.Parameter(x)\n{views}    return w\n")
    assert len(facts.made) > 300 * 100


# -- mappings and sets in layers -------------------------------------------------------------------


def test_layered_mappings_are_mappings() -> None:
    chance = random.Random(0)
    pairs: list[tuple[Layered[int, int], dict[int, int]]] = [(Layered(), {})]
    for _ in range(4000):
        layered, plain = chance.choice(pairs)
        key, do = chance.randrange(300), chance.random()
        if do < 0.7:
            layered[key] = plain[key] = chance.randrange(9)
        elif do < 0.9:
            assert layered.pop(key) == plain.pop(key, None)
        elif len(pairs) < 12:
            pairs.append((layered.copy(), dict(plain)))
        assert layered.get(key) == plain.get(key) and (key in layered) == (key in plain)
    for layered, plain in pairs:
        assert dict(layered.items()) == plain and bool(layered) == bool(plain)
    for one, a in pairs:
        for two, b in pairs:
            unlike = {key for key in {*a, *b} if a.get(key) != b.get(key)}
            assert unlike <= set(one.parted(two)[0])
            assert set(one.unlike(two)) == a.keys() ^ b.keys()
            keys, met = one.met(two)
            for key in {*a, *b} - set(keys):
                assert met.get(key) == a.get(key, b.get(key))  # only in one, or the same in both


def test_a_copy_costs_what_is_new() -> None:
    large = Layered({n: n for n in range(1000)})
    first, second = large.copy(), large.copy()
    first[1], second[2000] = 5, 7
    assert sorted(first.parted(second)[0]) == [1, 2000]
    assert len(first.met(second)[0]) <= 2


def test_grown_sets_are_sets() -> None:
    chance = random.Random(1)
    grown: list[tuple[Set[int], set[int]]] = []
    for size in (0, 1, 5, 70, 200):
        members = chance.sample(range(500), size)
        grown.append((frozenset(members), set(members)))
    for _ in range(200):
        (a, plain_a), (b, plain_b) = chance.choice(grown), chance.choice(grown)
        both = united(a, b)
        assert both == plain_a | plain_b and len(both) == len(plain_a | plain_b)
        assert set(both) == plain_a | plain_b and (not both) == (not plain_a and not plain_b)
        grown.append((both, plain_a | plain_b))
    assert any(isinstance(one, Grown) for one, _ in grown)
    gathered: Gathered[int] = Gathered()
    for one, _ in grown:
        gathered.add(one)
    assert gathered.members == set().union(*(plain for _, plain in grown))
    mapping = Layered({3: "a", 700: "b"})
    assert set(among(mapping, all_united(one for one, _ in grown))) == {3} & gathered.members


def test_the_union_with_a_part_is_the_whole() -> None:
    whole = all_united(frozenset({n}) for n in range(100))
    assert isinstance(whole, Grown)
    assert united(whole, frozenset({7, 99})) is whole and united(frozenset({3}), whole) is whole
