"""The work of a check grows with the file, not with its square; counted in calls."""

from __future__ import annotations

import ast
import cProfile
import pstats
from collections.abc import Iterator
from typing import Any

import pytest

from gradfix import config, engine, flow
from gradfix.flow import doubts
from gradfix.flow.queries import flow_sinks
from gradfix.flow.values import Value
from gradfix.model import Source

HEAD = """\
import torch
from torch import nn
w = nn.Parameter(torch.rand(9))
p = w * 1
def g(x):
    return torch.exp(x)
class C(nn.Module):
    pass
"""
BUFFERS = """\
def f{n}():
    out = torch.zeros(3)
    for i in range(3):
        out[i] = w[i] * 2
    return out
"""
NAMES = """\
if w is None:
    y{n} = torch.exp(w)
    y{n}[0] = 1
else:
    y{n} = w * 2
"""
DERIVED = """\
class C{n}(C{before}):
    def __init__(self):
        super().__init__()
        self.w{n} = nn.Parameter(w)
    def forward(self, x):
        y = self.w{n} * x
        y[0] = 1
        return y
"""
#: A chain that ends at the function ``g``.
CALLS = """\
def g{n}(x):
    y = g{before}({given}) * 2
    y[0] = 1
    return y
"""
WRITERS = """\
def h{n}(t):
    h{before}(t)
    t += 1
class H{n}(nn.Module):
    def m(self, t):
        t *= 2
    def forward(self, x):
        y = torch.exp(w * x)
        self.m(y)
        h{n}(y)
        return y
"""
LAMBDAS = """\
v{n} = lambda t: t.mul_(2)
def u{n}(x):
    y = torch.exp(w)
    v{n}(y)
    return y
"""
LAYERS = """\
class M{n}(nn.Module):
    def __init__(self):
        super().__init__()
        self.first{n} = [nn.Linear(3, 3)]
        self.second{n} = [nn.Linear(3, 3)]
    def forward(self, x):
        return self.first{n}[0](self.second{n}[0](x))
"""
COLLECTED = """\
at = torch.zeros(3)
rows{n} = []
for i in range(3):
    at += w[0]
    rows{n}.append(at)
print(torch.stack(rows{n}))
"""
GIVEN = """\
def h{n}(x):
    y = x.exp()
    print(repr(y), g(y))
    y += 1
    return y
h{n}(w).sum().backward()
"""
REPORTED = """\
class N{n}(nn.Module):
    def forward(self, x):
        y = x * w.sum()
        self.seen{n} = torch.tensor([y.mean(), w.mean()])
        return y
"""
FILLED = """\
class F{n}(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.rand(3))
    def forward(self, x):
        out = torch.zeros(3)
        for i in range(3):
            out[i] = self.w[i] * x
        return out
"""
SHAPES = {
    "tensors that loops collect": COLLECTED,
    "functions and what they are given": GIVEN,
    "statistics that are kept": REPORTED,
    "buffers that are filled": BUFFERS,
    "writes to what is saved": "y = torch.sigmoid(w * {n})\ny[0] = y[1]\nprint(y)\n",
    "writes to one tensor": "p[{n}] = p[0] * 2\n",
    "leaves": "x{n} = torch.rand(3, requires_grad=True)\nl{n} = x{n}.sum()\n",
    "one name again": "w = w * {n}\n",
    "loops": "for i in range(3):\n    p = p + torch.exp(w)\n",
    "branches": "if w is None:\n    p = torch.exp(p) * {n}\n",
    "functions that call the one before": CALLS.replace("{given}", "x"),
    "functions that make nothing of what they are given": CALLS.replace("{given}", "w"),
    "functions that cut what they are given": CALLS.replace("{given}", "x.detach()"),
    "functions that write to what they are handed": WRITERS,
    "lambdas that write to what they are handed": LAMBDAS,
    "lists of layers": LAYERS,
    "comprehensions": "y{n} = torch.stack([torch.exp(w[i]) * v for i, v in enumerate(w)])\n",
    "optimizers": "o{n} = torch.optim.SGD([w], lr=0.1)\nw.sum().backward()\no{n}.step()\n",
    "one function that yields": "    y = torch.exp(w)\n    y[0] = {n}\n    yield y\n",
    "views that are all written to": "v{n} = p[{n}]\nv{n} += 1\n",
    "writes to a view on one of two paths": "v{n} = p[{n}]\nif w is None:\n    v{n} += w\n",
    "other names for a tensor that is written to": "v{n} = p\np += {n}\n",
    "branches around new names": NAMES,
    "loops around new names": "for i{n} in range(3):\n    y{n} = torch.exp(w)\n    y{n}[0] = w\n",
    "Modules derived from the one before": DERIVED,
    "comments that silence": "y{n} = torch.sigmoid(w)\ny{n}[0] = 1  # noqa: GF201\n",
}


ENDS = """\
def f(x, flag):
    a = torch.exp(x)
    b = [a, a * 2]
    c = b[0].detach() + 1
    if flag:
        a = a + c
    d = torch.sigmoid(a)
    d[0] = x
    return d.sum()
def g(x):
    y = x * w
    y.tolist()
    z = f(y, True)
    z.backward()
    return y
"""


def calls(shape: str, count: int) -> int:
    """How many calls of Python functions it takes to check a file."""
    parts = (
        shape.replace("{n}", str(n)).replace("{before}", str(n - 1) if n else "")
        for n in range(count)
    )
    start = "def f(x):\n" if shape.startswith(" ") else ""
    source = Source("m.py", HEAD + start + "".join(parts))
    profile = cProfile.Profile()
    profile.runcall(engine.check, source, config.settings_from())
    return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_twice_the_file_is_twice_the_work(shape: str) -> None:
    calls(shape, 2)  # what is kept from file to file
    assert calls(shape, 120) < 2.5 * calls(shape, 60)


def test_where_values_go_is_not_asked_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the detached values goes on through all additions behind it."""
    walked: list[Value] = []
    consumers = flow.ModuleFlow.consumers

    def counted(self: flow.ModuleFlow, *asked: Any) -> Iterator[Value]:
        for value in consumers(self, *asked):
            walked.append(value)
            yield value

    monkeypatch.setattr(flow.ModuleFlow, "consumers", counted)
    shape = "d{n} = (w * {n}).detach()\np = p + torch.tensor(d{n} * w)\n"
    numbers = []
    for count in (20, 40):
        walked.clear()
        calls(shape, count)
        numbers.append(len(walked))
    assert numbers[1] <= 2 * numbers[0]


def test_a_buffer_with_many_parts() -> None:
    """What its parts hold is worked out once, not for every call between them."""

    def counted(count: int) -> int:
        lines = [f"    y{n} = torch.exp(x[{n}])\n    out[{n}] = y{n}\n" for n in range(count)]
        body = f"    out = torch.zeros({count})\n{''.join(lines)}    return out.sum() * w\n"
        return calls(f"def many(x):\n{body}", 1)

    counted(2)
    assert counted(200) < 2.5 * counted(100)


def test_classes_made_by_calls_are_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in all texts for each of the classes."""

    class Counting:
        asked = 0

        def findall(self, text: str) -> list[str]:
            self.asked += 1
            return []

    counting = Counting()
    monkeypatch.setattr(doubts, "_MAKES_CLASS", (counting,))
    calls(FILLED, 30)
    assert counting.asked == 0  # no text speaks of such classes
    calls(f"{FILLED}Made = type('Made', (F{{n}},), {{}})\n", 30)
    assert counting.asked == 1


def test_how_far_back_a_question_goes_is_bounded() -> None:
    shape = "p = w * {n}\np.sum().backward()\nwith torch.no_grad():\n    w -= w.grad\n"
    calls(shape, 2)
    assert calls(shape, 120) < 3 * calls(shape, 60)


def test_the_measure_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow.ModuleFlow, "names", property(lambda self: names(self.tree)))
    shape = SHAPES["buffers that are filled"]
    calls(shape, 2)
    assert calls(shape, 120) > 2.5 * calls(shape, 60)


def names(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def test_sources_are_the_nodes_whose_consumers_end_there() -> None:
    facts = flow.analyse(HEAD + ENDS)

    def follow(value: Value) -> bool:
        return value.op != "detach"

    ends = set(flow_sinks(facts))
    found = facts.sources(ends, follow)
    slowly = {
        node
        for node in facts.values
        if any(value.node in ends for value in facts.consumers(node, follow))
    }
    assert {node for node in facts.values if node in found} == slowly
    assert 3 < len(slowly) < len(facts.values)
