"""GF203: in-place writes that are no recorded writes to a leaf."""

from __future__ import annotations

from harness import check_noop, table
from snippets import Case, cases

CODE = "GF203"

LEAVE = cases("""
=== all weights are filled by whoever switches grad mode off
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def reset(self):
        for p in self.parameters():
            p.uniform_(-0.1, 0.1)

    def forward(self, x):
        return self.layer(x)


net = Net()
with torch.no_grad():
    net.reset()
net(torch.ones(2)).sum().backward()
grad = net.layer.weight.grad
=== another network is moved, which nobody trains here
def train(net, target, opt, x):
    net(x).sum().backward()
    opt.step()
    for p in target.parameters():
        p.mul_(0.9)


net, target = nn.Linear(2, 1), nn.Linear(2, 1).requires_grad_(False)
train(net, target, torch.optim.SGD(net.parameters(), lr=0.1), torch.ones(2))
grad = net.weight.grad
=== a masked part of every weight is a copy
layer = nn.Linear(2, 1)
for p in layer.parameters():
    p[p > 0].fill_(0.0)
layer(torch.ones(2)).sum().backward()
grad = layer.weight.grad
=== an update under no_grad
w = torch.ones(2, requires_grad=True)
(w * w).sum().backward()
with torch.no_grad():
    w -= 0.1 * w.grad
=== an update through the data
w = torch.ones(2, requires_grad=True)
(w * w).sum().backward()
w.data -= 0.1 * w.grad
w.data.clamp_(-1, 1)
=== a decorated step
w = torch.ones(2, requires_grad=True)


@torch.no_grad()
def step():
    w.sub_(0.1)


step()
=== a decorated method of an optimizer
class Descent:
    def __init__(self, leaf):
        self.leaf = nn.Parameter(leaf)

    @torch.no_grad()
    def step(self):
        self.leaf -= 0.1


Descent(torch.ones(2)).step()
=== initialised by nn.init
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.empty(3, 3))
        nn.init.uniform_(self.w, -1, 1)
        nn.init.constant_(self.w, 0.5)

    def forward(self, x):
        return x @ self.w


Net()
=== initialised through the data
layer = nn.Linear(2, 2)
layer.weight.data.normal_(0, 0.1)
layer.bias.data.zero_()
layer.weight.data[0] = 1.0
=== before it is wrapped
w = torch.empty(3)
w.uniform_(-1, 1)
w[0] = 0.0
w = Parameter(w)
w.sum().backward()
=== before it requires a gradient
w = torch.empty(3)
w.uniform_(-1, 1)
w.requires_grad_()
w.sum().backward()
=== a value computed from it
w = torch.ones(3, requires_grad=True)
h = w * 2
h += 1
h[0] = 0.0
h.sum().backward()
=== a copy of it
w = torch.ones(3, requires_grad=True)
h = w.clone()
h[0] = 0.0
h.sum().backward()
=== a detached copy
w = torch.ones(3, requires_grad=True)
h = w.detach().clone()
h += 1
=== its gradient
w = torch.ones(3, requires_grad=True)
w.sum().backward()
w.grad.zero_()
w.grad += 1
w.grad[0] = 0.0
w.grad = None
=== a buffer without gradient
x = torch.ones(3, requires_grad=True)
total = torch.zeros(3)
total += x
total.sum().backward()
=== a registered buffer
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("steps", torch.zeros(1))
        self.register_buffer("mean", torch.zeros(2))

    def forward(self, x):
        self.steps += 1
        self.mean.mul_(0.9).add_(0.1 * x.detach().mean(0))
        return x - self.mean


Net()(torch.ones(3, 2))
=== a Parameter without gradient
count = Parameter(torch.zeros(1), requires_grad=False)
count += 1
count[0] = 4.0
=== frozen before
layer = nn.Linear(2, 2)
layer.weight.requires_grad_(False)
layer.weight.fill_(1.0)
=== grad mode is off
torch.set_grad_enabled(False)
w = torch.ones(3, requires_grad=True)
w += 1
w[0] = 0.0
torch.set_grad_enabled(True)
=== grad mode is off in a block
w = torch.ones(3, requires_grad=True)
with torch.set_grad_enabled(False):
    w += 1
=== a list of leaves
ws = [torch.ones(1, requires_grad=True)]
ws += [torch.zeros(1, requires_grad=True)]
ws[0] = torch.zeros(1, requires_grad=True)
sum(ws).backward()
=== out of place
total = torch.zeros(3, requires_grad=True)
x = torch.ones(3, requires_grad=True)
total = total + x
total.sum().backward()
=== the data is replaced
w = torch.ones(3, requires_grad=True)
w.data = torch.zeros(3)
w.sum().backward()
=== flags that end in an underscore
w = torch.ones(3)
w.requires_grad_()
w.sum().backward()
w.detach_()
w.requires_grad_(True)
=== NumPy
import numpy as torch

w = torch.zeros(3)
w += 1
w[0] = 4.0
=== a home-made Parameter
import torch


class Parameter:
    def __init__(self, data, requires_grad=True):
        self.data = data

    def __iadd__(self, other):
        return self


w = Parameter(torch.zeros(2))
w += 1
=== a running mean of the loss
w = torch.ones(1, requires_grad=True)
running = 0.0
for _ in range(2):
    loss = (w * w).sum()
    loss.backward()
    running += loss.item()
=== shared in-place hooks
w = torch.ones(2, requires_grad=True)
w.register_hook(lambda g: g * 2)
w.share_memory_()
w.sum().backward()
=== state is loaded
layer = nn.Linear(2, 2)
state = layer.state_dict()
state["weight"].fill_(0.5)
layer.load_state_dict(state)
=== integers
ids = torch.zeros(3, dtype=torch.long)
ids[0] = 4
ids += 1
=== a hook under inference mode
with torch.inference_mode():
    w = torch.ones(3, requires_grad=True)
    w += 1
=== a property setter
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(2))

    def clip(self):
        with torch.no_grad():
            self.w.clamp_(0, 1)
            self.w[0] = 0.5


Net().clip()
=== a test expects the error
import pytest
import torch

w = torch.ones(3, requires_grad=True)
with pytest.raises(RuntimeError):
    w += 1
=== a test case expects the error
import unittest

import torch


class LeafTest(unittest.TestCase):
    def test_leaf(self):
        w = torch.ones(3, requires_grad=True)
        with self.assertRaises(RuntimeError):
            w.add_(1)


assert unittest.TextTestRunner().run(LeafTest("test_leaf")).wasSuccessful()
=== the error is caught
w = torch.ones(3, requires_grad=True)
try:
    w += 1
except RuntimeError:
    w = w + 1
w.sum().backward()
=== a helper that is called under no_grad
class Memory(nn.Module):
    def __init__(self):
        super().__init__()
        self.value = nn.Linear(4, 3)
        self.gain = nn.Parameter(torch.ones(2))

    def double(self):
        self.gain.mul_(2)


def forget(memory: Memory, slot):
    memory.value.weight[:, slot] = 0.0


def shrink(memory):
    memory.value.weight[0].mul_(0.5)


memory = Memory()
with torch.no_grad():
    forget(memory, 1)
    shrink(memory)
    memory.double()
=== a helper that gets other things, too
class Table:
    def __init__(self):
        self.weight = torch.zeros(2, 2)


def clear(layer, row):
    layer.weight[row] = 0.0


clear(Table(), 0)
with torch.no_grad():
    clear(nn.Linear(2, 2), 0)
=== a frozen layer
def clear(layer, row):
    layer.weight[row] = 0.0


def halve(layer: nn.Linear):
    layer.weight.mul_(0.5)


layer = nn.Linear(2, 2)
layer.requires_grad_(False)
clear(layer, 0)
halve(layer)
=== an argument nobody passes
def clear(layer, row):
    layer.weight[row] = 0.0
=== through the data of an argument
class Memory(nn.Module):
    def __init__(self):
        super().__init__()
        self.value = nn.Linear(4, 3)


def clear(memory, row):
    memory.value.weight.data[row] = 0.0


clear(Memory(), 0)
=== an update with its own gradient, without grad mode
@torch.no_grad()
def update(model, lr):
    for p in model.parameters():
        p -= lr * p.grad


def step(model, x, lr):
    model(x).sum().backward()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(p.grad, alpha=-lr)
    update(model, lr)


step(nn.Linear(2, 2), torch.ones(1, 2), 0.1)
=== an update of the data, and of the gradient
def step(model, x, lr):
    model(x).sum().backward()
    for p in model.parameters():
        p.grad *= 0.5
        p.grad.add_(p.grad)
        p.data -= lr * p.grad
        p.data.add_(p.grad, alpha=-lr)


step(nn.Linear(2, 2), torch.ones(1, 2), 0.1)
=== an update where nobody says that grad mode is on
def update(model, lr):
    for p in model.parameters():
        p.add_(p.grad, alpha=-lr)


layer = nn.Linear(2, 2)
layer(torch.ones(1, 2)).sum().backward()
torch.set_grad_enabled(False)
update(layer, 0.1)
=== another value under the name of a Parameter
def norm(model, x):
    model(x).sum().backward()
    for p in model.parameters():
        p = p.detach().clone()
        p += model.weight.grad.sum()
    total = 0.0
    for p in model.parameters():
        total += p.grad.norm()
    return total


norm(nn.Linear(2, 2), torch.ones(1, 2))
=== a Parameter made of copied values
def prune(layers):
    for layer in layers:
        b = layer.bias.detach().clone().view(2, -1)
        b[:, 0] += 0.5
        layer.bias = nn.Parameter(b.view(-1))


def widen(layers):
    for layer in layers:
        with torch.no_grad():
            w = layer.weight.view(2, -1)
            w[:, 0] = 0.5
            layer.weight = nn.Parameter(w.view(layer.weight.shape))


def shift(layers):
    for layer in layers:
        b = layer.bias.view(2, -1).data
        b[:, 0] += 0.5
        layer.bias = nn.Parameter(b.view(-1))


many = [nn.Linear(2, 4)]
prune(many)
widen(many)
shift(many)
=== a buffer is written before something else is registered
class Scaled(nn.Module):
    def __init__(self, other):
        super().__init__()
        other.scale[0] = 2.0
        other.bias = nn.Parameter(torch.zeros(2))
        self.other = other


other = nn.Linear(2, 2)
other.register_buffer("scale", torch.ones(2))
Scaled(other)
=== results that go into a constant
w = Parameter(torch.ones(2))
buffer = torch.empty(2)
torch.add(torch.ones(2), torch.ones(2), out=buffer)
with torch.no_grad():
    torch.add(w, w, out=w)
torch.arange(0, 2, out=torch.empty(2))
""")


@table(LEAVE)
def test_left_alone(case: Case) -> None:
    check_noop(case, CODE)
