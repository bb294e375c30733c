"""Fixes that other code of the same file would notice: not safe, not made, or not even reported."""

from __future__ import annotations

import pytest
from harness import check_noop, check_reported, code_of, fixed, found, table
from snippets import Case, cases

from gradfix.model import Safety

UNSAFE = cases("""
=== GF102 weights are loaded that were saved without it
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.scale = nn.Parameter(torch.ones(2)) * 0.5

    def forward(self, x):
        return self.layer(x) * self.scale


net = Net()
net.load_state_dict({"layer.weight": torch.ones(2, 2), "layer.bias": torch.zeros(2)})
net(torch.ones(2)).sum().backward()
=== GF102 all Parameters are given by name
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.scale = nn.Parameter(torch.ones(2)) * 0.5

    def forward(self, x):
        return self.layer(x) * self.scale


weights = {"layer.weight": torch.ones(2, 2), "layer.bias": torch.zeros(2)}
torch.func.functional_call(Net(), weights, (torch.ones(2),), strict=True)
=== GF102 the constructor fills all Parameters
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2, bias=False)
        self.scale = nn.Parameter(torch.ones(2)) * 0.5
        for p in self.parameters():
            nn.init.xavier_uniform_(p)

    def forward(self, x):
        return self.layer(x) * self.scale


Net()(torch.ones(2)).sum().backward()
=== GF105 the constructor freezes all Parameters
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(2, 2)
        self.heads = [nn.Linear(2, 1), nn.Linear(2, 1)]
        for p in self.parameters():
            p.requires_grad = False

    def forward(self, x):
        return sum(head(self.body(x)) for head in self.heads)


Net()(torch.ones(2)).sum().backward()
=== GF105 the constructor freezes the whole Module
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(2, 2)
        self.heads = [nn.Linear(2, 1), nn.Linear(2, 1)]
        self.requires_grad_(False)

    def forward(self, x):
        return sum(head(self.body(x)) for head in self.heads)


Net()(torch.ones(2)).sum().backward()
=== GF105 the lists of an object are listed
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(2, 2), nn.Linear(2, 2)]

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


def describe(net):
    return [k for k, v in vars(net).items() if isinstance(v, list)]


describe(Net())
=== GF105 what an object holds is listed
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(2, 2), nn.Linear(2, 2)]

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


out = [name for name in Net().__dict__ if not name.startswith("_")]
""")

SAFE = cases("""
=== GF105 the layers of one part are frozen
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(2, 2)
        self.heads = [nn.Linear(2, 1), nn.Linear(2, 1)]
        for p in self.body.parameters():
            p.requires_grad = False

    def forward(self, x):
        return sum(head(self.body(x)) for head in self.heads)


Net()(torch.ones(2)).sum().backward()
=== GF105 the settings of the program are listed
import argparse


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(2, 2), nn.Linear(2, 2)]

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


args = argparse.Namespace(lr=0.1)
print(vars(args), args.__dict__)
Net()(torch.ones(2)).sum().backward()
=== GF307 an error that nobody answers
layer = nn.Linear(2, 1)
weights = layer.parameters()
count = sum(p.numel() for p in weights)
try:
    optimizer = torch.optim.SGD(weights, lr=0.1)
except KeyboardInterrupt:
    optimizer = None
""")

LEAVE = cases("""
=== GF307 an empty list of Parameters is answered
layer = nn.Linear(2, 1)
weights = layer.parameters()
count = sum(p.numel() for p in weights)
try:
    optimizer = torch.optim.SGD(weights, lr=0.1)
except ValueError:
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.2)
=== GF305 NumPy's refusal is answered
import numpy as np

w = Parameter(torch.ones(3))
losses = [w[0] * 1, w[1] * 2]
try:
    loss = np.sum(losses)
except Exception:
    loss = sum(losses)
loss.backward()
=== GF104 the leaf is made anew where the update fails
w = torch.ones(2, requires_grad=True)
for _ in range(3):
    try:
        ((w - 3) ** 2).sum().backward()
        w = w - 0.1 * w.grad
    except TypeError:
        w = w.detach().requires_grad_()
=== GF203 the leaf is made anew where it cannot be written
w = Parameter(torch.ones(3))
try:
    w += 1
except Exception:
    w = Parameter(w.detach() + 1)
loss = (w * 2).sum()
loss.backward()
""")

REPORTED = cases("""
=== GF203 two statements on one line | plain
w = Parameter(torch.empty(2))
w.uniform_(-0.1, 0.1); w[0] = 1.0
(w * 2).sum().backward()
reason: on one line
=== GF401 the wrapper is turned
from torch.autograd import Variable

x = torch.randn(2, 3)
v = Variable(x)
v.t_()
print(v.shape, x.shape)
reason: would change for `x`
=== GF401 the wrapper requires grad
from torch.autograd import Variable

x = torch.ones(3)
v = Variable(x)
v.requires_grad_()
(v * x).sum().backward()
reason: would change for `x`
=== GF401 the wrapper gets a mark of its own
from torch.autograd import Variable

x = torch.ones(3)
v = Variable(x)
v.tag = "input"
print(hasattr(x, "tag"))
reason: would change for `x`
=== GF101 printed with its name | plain
w = torch.ones(3, requires_grad=True)
w = w * 2
w.sum().backward()
print(f"{w=}", w.grad)
reason: shows the name
=== GF101 printed with its name, and in a format | plain
w = torch.ones(3, requires_grad=True)
w = w * 2
loss = w.sum()
loss.backward()
print(f"{w.sum() = :.3f}", w.grad)
reason: shows the name
""")


@table(UNSAFE)
def test_unsafe(case: Case) -> None:
    (finding,) = found(case.before, code_of(case))
    assert finding.fix is not None and finding.fix.safety is Safety.UNSAFE
    assert fixed(case.before, code_of(case)).text == case.before


@table(SAFE)
def test_safe(case: Case) -> None:
    (finding,) = found(case.before, code_of(case))
    assert finding.fix is not None and finding.fix.safety is Safety.SAFE


@table(LEAVE)
def test_left_alone(case: Case) -> None:
    check_noop(case, code_of(case))


@table(REPORTED)
def test_reported(case: Case) -> None:
    check_reported(case, code_of(case))


def test_one_call_has_one_story() -> None:
    text = """\
import numpy as np
import torch
from torch import nn

net = nn.Linear(2, 1)
losses = [net(torch.ones(2) * k).pow(2).sum() for k in range(3)]
loss = np.mean(losses)
loss.backward()
"""
    (finding,) = found(text, "GF305")
    assert "it raises" in finding.message and finding.fix is not None


@pytest.mark.parametrize("shown", ["w={w}", "{w!r}", "{sum(w)}"])
def test_a_value_that_is_printed_may_get_another_name(shown: str) -> None:
    text = f"""\
import torch

w = torch.ones(3, requires_grad=True)
w = w * 2
w.sum().backward()
print(f"{shown}", w.grad)
"""
    assert "w_scaled" in fixed(text, "GF101").text
