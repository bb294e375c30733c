"""No value turns out to be something that the analysis says it is not, in any program of the tests.

A fact that does not hold is the root of a wrong rewrite, even where no codemod asks for it today.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from observed import disagreements
from random_programs import program
from snippets import Case, cases

FILES = sorted(Path(__file__).parent.glob("test_*.py"))
#: Cases with facts that do not hold: what the analysis does not see, and why that is known.
KNOWN = {
    "other code holds the buffer": "functions that write into what they are given",
    "a history that is written into one of the two": "memory that is shared, but no history",
    "a view of what somebody holds": "memory that is shared, but no history",
    "a view of what somebody needs later": "memory that is shared, but no history",
    "names of a class": "attributes of a class whose flag is set from outside",
    "what goes to an index has a history": "a Variable around what the same line has written",
    "filled later": "memory that is shared, but no history",
    "GF102 all Parameters are given by name": "functional_call puts others in their place",
    "the best model is the one that is trained on": "functions that return what they are given",
    "the best model is the one that is trained on by named Parameters": "the same",
}

PROGRAMS = cases("""
=== a list of unknown length is stacked
parts = []
for row in torch.ones(4, 3):
    parts.append(row.mean())
out = torch.stack(parts)
=== a comprehension of known length is stacked
out = torch.stack([torch.ones(2) * i for i in range(3)], dim=1)
=== a list of unknown length is joined
out = torch.cat([torch.ones(2, 3) for _ in torch.ones(5)])
=== as many as were spread
pairs = [(torch.ones(3), 1.0), (torch.zeros(3), 0.0)]
for group in zip(*pairs):
    out = group
first, second = zip(*pairs)
out = torch.tensor(second)
=== an index that is a tensor of no dimensions gives a view
x = torch.ones(3, 2)
k = x[:, 0].argmax()
row = x[k]
row += 1
cell = x[0, k]
=== the larger of two tensors, one of them an argument
def clipped(x, low):
    return torch.min(torch.max(x, low), low + 1)
out = clipped(torch.ones(3), torch.zeros(3))
=== a coroutine is no tensor
async def infer(x):
    y = torch.zeros(2)
    y[0] = x
    return y
def start():
    kept = torch.zeros(2)
    kept[0] = 1
    waiting = infer(2.0)
    waiting.close()
    return waiting
out = start()
=== what a decorator makes of a function
def listed(function):
    return lambda x: [function(x)]
@listed
def double(x):
    y = torch.zeros(2)
    y[0] = x
    return y
def use():
    kept = torch.zeros(2)
    kept[0] = 1
    return kept, double(2.0)
out = use()
=== a gradient with a history
w = torch.ones(2, requires_grad=True)
(w * w).sum().backward(create_graph=True)
out = w.grad * 2
=== the result is written into another tensor
w = torch.ones(2, requires_grad=True)
kept = torch.empty(2)
out = torch.add(torch.ones(2), torch.ones(2), out=kept)
kept += 1
=== other data
w = Parameter(torch.ones(2))
other = torch.zeros(3)
w.data = other
shape = w.shape
out = w.data
=== a dimension is added in place
x = torch.ones(3)
x.unsqueeze_(0)
out = x
=== a view without grad mode
w = Parameter(torch.ones(4))
with torch.no_grad():
    head, other = w[:2], w.view(2, 2)
    out = head
=== the name of a type
w = Parameter(torch.ones(4))
if w.type() == "torch.FloatTensor":
    out = w.type()
=== a layer that is added by its name
net = nn.Sequential()
added = net.add_module("first", nn.Linear(2, 2))
again = net.append(nn.Linear(2, 2))
=== a layer of one's own after the weights
class Stop(nn.Module):
    def forward(self, x):
        return x.detach()
out = nn.Sequential(nn.Linear(2, 2), Stop())(torch.ones(1, 2))
=== tensors become Parameters in a list of them
kept = nn.ParameterList([torch.ones(2), torch.zeros(2)])
for w in kept:
    out = w
=== numbers of an array
import numpy as np
out = np.ones(3) > 0.5
=== an item that is gone
xs = [1, 2, 3]
del xs[0]
out = xs[0]
=== a list that every call of a method fills
class Log:
    def __init__(self):
        self.kept = []
    def add(self, x):
        self.kept.append(x.sum())
        return x
    def all(self):
        return torch.stack(self.kept), len(self.kept)
log = Log()
for row in torch.ones(3, 2):
    log.add(row)
out = log.all()
=== items that are replaced by others
xs = [1, 2]
xs[:] = [torch.ones(1)] * 3
out = len(xs)
=== weights of another type
net = nn.Linear(2, 2).double()
out = net.weight * 2
=== weights by two names
net = nn.Linear(2, 2)
for p in net.parameters():
    p.data.mul_(2)
out = net.weight
""")


def tabled(path: Path) -> Iterator[Case]:
    """The programs of all tables in a file of tests; some tables hold parts of programs."""
    for node in ast.walk(ast.parse(path.read_text())):
        text = node.value if isinstance(node, ast.Constant) else None
        for case in cases(text) if isinstance(text, str) and "\n=== " in text else ():
            with suppress(SyntaxError):
                ast.parse(case.before)
                yield case


@pytest.mark.parametrize("case", PROGRAMS, ids=str)
def test_facts_hold(case: Case) -> None:
    assert not disagreements(case.before)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_facts_hold_in_the_programs_of_other_tests(path: Path) -> None:
    for case in tabled(path):
        wrong = disagreements(case.before)
        assert bool(wrong) == (case.name in KNOWN), (case.name, wrong)


def test_facts_hold_in_random_programs() -> None:
    for seed in range(120):
        assert not disagreements(f"{program(seed)}\nshown = run()\n"), seed
