"""GF101: names that are rebound and right as they are."""

from __future__ import annotations

from harness import check_noop, table
from snippets import Case, cases

CODE = "GF101"

LEAVE = cases("""
=== what is passed in is moved, and keeps its gradient
def saliency(net, x, dtype):
    x.requires_grad_()
    x = x.to(dtype)
    x.retain_grad()
    net(x).sum().backward()
    return x.grad


net = nn.Linear(2, 1).double()
grad = saliency(net, torch.ones(3, 2), torch.float64)
=== what is passed in is moved, and made a leaf again
def saliency(net, x, dtype):
    x.requires_grad_()
    x = x.to(dtype).detach().requires_grad_()
    net(x).sum().backward()
    return x.grad


net = nn.Linear(2, 1).double()
grad = saliency(net, torch.ones(3, 2), torch.float64)
=== a Parameter in one kind of Module, a computed weight in the other
class Mix(nn.Module):
    def __init__(self, n, factored):
        super().__init__()
        self.factored = factored
        if factored:
            self.low, self.up = nn.Parameter(torch.eye(n)), nn.Parameter(torch.eye(n))
        else:
            self.w = nn.Parameter(torch.eye(n))

    def forward(self, x):
        if self.factored:
            self.w = self.low @ self.up
        return x @ self.w


layer = Mix(2, True)
layer(torch.ones(1, 2)).sum().backward()
grad = layer.low.grad
=== nothing uses it as the leaf
w = Parameter(torch.ones(3))
w = w * 2
w.sum().backward()
=== the leaf has another name, too
leaf = Parameter(torch.ones(3))
w = leaf
w = w * 2
w.sum().backward()
assert leaf.grad is not None
=== retain_grad makes the gradient of the value right
w = Parameter(torch.ones(3))
w = w * 2
w.retain_grad()
w.sum().backward()
assert w.grad is not None
=== projected gradient descent makes a new leaf
x = torch.rand(3)
adv = x.clone().requires_grad_(True)
for _ in range(3):
    adv.pow(2).sum().backward()
    adv = (adv + 0.1 * adv.grad.sign()).clamp(0, 1)
    adv = adv.detach().requires_grad_(True)
=== detached and made a leaf again
w = torch.ones(3, requires_grad=True)
w = (w * 2).detach().requires_grad_()
w.sum().backward()
assert w.grad is not None
=== an exponential moving average
model = nn.Linear(2, 2)
average = model.weight.detach().clone()
for _ in range(2):
    average = 0.9 * average + 0.1 * model.weight.detach()
=== under no_grad
w = torch.ones(3, requires_grad=True)
with torch.no_grad():
    w = w * 2
w.requires_grad_(True)
w.sum().backward()
assert w.grad is not None
=== a decorated function
@torch.no_grad()
def shrink(w):
    w = Parameter(w)
    w = w * 2
    return w.grad


shrink(torch.ones(2))
=== inference mode
with torch.inference_mode():
    w = Parameter(torch.ones(2))
    w = w * 2
    assert w.grad is None
=== grad mode switched off
torch.set_grad_enabled(False)
w = torch.ones(3, requires_grad=True)
w = w * 2
assert w.grad is None
torch.set_grad_enabled(True)
=== NumPy under the name of torch
import numpy as torch

w = torch.ones(3)
w = w * 2
w = w / w.sum()
=== a home-made Parameter
import torch


class Parameter:
    def __init__(self, data):
        self.data, self.grad = data, 1

    def __mul__(self, other):
        return self


w = Parameter(torch.ones(3))
w = w * 2
print(w.grad)
=== a counter called w
import torch

w = 0
for _ in range(3):
    w = w + 1
leaf = torch.ones(3, requires_grad=True)
(leaf * w).sum().backward()
assert leaf.grad is not None
=== a Parameter that needs no gradient
step = Parameter(torch.zeros(1), requires_grad=False)
step = step + 1
assert step.grad is None
=== a fresh leaf in every pass
for _ in range(2):
    w = Parameter(torch.ones(2))
    w.sum().backward()
    assert w.grad is not None
=== meta-learning updates the fast weights
w = torch.ones(2, requires_grad=True)
fast = w
for _ in range(2):
    (g,) = torch.autograd.grad((fast * fast).sum(), fast, create_graph=True)
    fast = fast - 0.1 * g
(fast * fast).sum().backward()
assert w.grad is not None
=== meta-learning over the same name
def inner(w, x):
    (g,) = torch.autograd.grad((w * x).sum(), w, create_graph=True)
    w = w - 0.1 * g
    return w


start = torch.ones(2, requires_grad=True)
inner(start, torch.ones(2)).sum().backward()
assert start.grad is not None
=== functional forward
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = Parameter(torch.ones(2))

    def forward(self, x):
        w = self.w
        w = torch.sigmoid(w)
        return x * w


net = Net()
net(torch.ones(2)).sum().backward()
assert net.w.grad is not None
=== straight through
w = Parameter(torch.rand(3))
hard = (w > 0.5).float()
hard = hard.detach() - w.detach() + w
hard.sum().backward()
assert w.grad is not None
=== a loss that adds up
w = Parameter(torch.ones(3))
loss = torch.tensor(0.0, requires_grad=True)
for _ in range(2):
    loss = loss + (w * w).sum()
loss.backward()
assert w.grad is not None
=== the gradient is read before the name is rebound
w = Parameter(torch.ones(3))
w.sum().backward()
grad = w.grad
w = w * 2
print(w)
=== an optimizer built before the name is rebound
w = Parameter(torch.ones(3))
opt = torch.optim.SGD([w], lr=0.1)
w = w * 2
w.sum().backward()
opt.step()
=== gradients of a graph input
x = torch.ones(3, requires_grad=True)
y = x * 2
(g,) = torch.autograd.grad(y.sum(), x)
x = x + 1
print(x, g)
=== a parameter of a function
def double(w):
    w = w * 2
    return w


assert double(torch.ones(2)).grad is None
=== integers
ids = torch.zeros(3, dtype=torch.long)
ids = ids + 1
assert ids.grad is None
=== deleted before it is used again
w = Parameter(torch.ones(3))
y = w * 2
del w
w = Parameter(torch.ones(3))
(w * y.detach()).sum().backward()
assert w.grad is not None
=== the update of a training loop
w = torch.ones(3, requires_grad=True)
for _ in range(3):
    (w * w).sum().backward()
    with torch.no_grad():
        w -= 0.1 * w.grad
        w.grad.zero_()
=== reassigned from something else
w = Parameter(torch.ones(3))
v = Parameter(torch.ones(3))
w = v
(w * 2).sum().backward()
assert w.grad is not None
=== checkpoint and resume
w = Parameter(torch.ones(3))
w = Parameter(w.detach() * 2)
w.sum().backward()
assert w.grad is not None
=== the value only lives in a comprehension
w = Parameter(torch.ones(3))
outs = [w * k for k in range(3)]
sum(outs).sum().backward()
assert w.grad is not None
=== the gradient is asked whether it is there
w = Parameter(torch.ones(3))
w = w * 2
if w.requires_grad:
    w.sum().backward()
=== a coroutine
import asyncio

import torch


async def fit():
    w = torch.ones(2, requires_grad=True)
    v = w * 2
    await asyncio.sleep(0)
    v.sum().backward()
    return w.grad


assert asyncio.run(fit()) is not None
=== a generator hands out each value
def values():
    w = torch.ones(2, requires_grad=True)
    for _ in range(2):
        yield w
        w = w * 2


assert next(values()).grad is None
=== a class attribute
class Net:
    w = torch.ones(2, requires_grad=True)
    w2 = w * 2


Net.w2.sum().backward()
assert Net.w.grad is not None
=== star and tuple targets
w, *rest = torch.ones(3, requires_grad=True).unbind()
(w * rest[0]).backward()
=== a walrus that is the leaf
if (w := torch.ones(2, requires_grad=True)).is_leaf:
    (w * 2).sum().backward()
assert w.grad is not None
=== an annotated leaf
w: torch.Tensor = torch.ones(2, requires_grad=True)
v: torch.Tensor = w * 2
v.sum().backward()
assert w.grad is not None
=== a leaf of the training set
for x in [torch.ones(2), torch.zeros(2)]:
    x = x.requires_grad_()
    x.pow(2).sum().backward()
    assert x.grad is not None
=== an attribute that is no Parameter
class Gate(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.5))
        self.state = torch.zeros(2)

    def forward(self, x):
        self.state = self.state + (x * self.scale).detach()
        self.last = x * self.scale
        return self.last

Gate()(torch.ones(2)).sum().backward()
=== an attribute that is a Parameter only sometimes
class Book(nn.Module):
    def __init__(self, learnable):
        super().__init__()
        if learnable:
            self.embed = nn.Parameter(torch.ones(2))
        else:
            self.register_buffer("embed", torch.ones(2))

    def update(self):
        self.embed = self.embed * 0.9

Book(False).update()
=== an attribute gets a new Parameter
class Gate(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.5))

    def reset(self):
        self.scale = nn.Parameter(self.scale.detach() * 0)

Gate().reset()
=== the attribute of a class that is no Module
class Fit:
    def __init__(self):
        self.w = nn.Parameter(torch.ones(2))

    def shrink(self):
        self.w = self.w * 0.5
        return self.w

Fit().shrink()
""")


@table(LEAVE)
def test_left_alone(case: Case) -> None:
    check_noop(case, CODE)
