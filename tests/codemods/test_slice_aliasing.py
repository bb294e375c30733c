"""GF201: a view of a leaf is kept under a name and then written in place."""

from __future__ import annotations

from harness import check_noop, check_reported, check_transformed, table
from snippets import Case, cases

CODE = "GF201"

CHANGE = cases("""
=== written through the data | values
v1 = Parameter(torch.ones(10))
a = v1[:4]  # the first four
a.data.copy_(torch.zeros(4))
out_a = a.sum().detach()
loss = v1.sum() + a.sum()
loss.backward()
grad = v1.grad
--->
v1 = Parameter(torch.ones(10))
a = v1[:4].clone()  # the first four
a.data.copy_(torch.zeros(4))
out_a = a.sum().detach()
loss = v1.sum() + a.sum()
loss.backward()
grad = v1.grad
=== a method shows what would be | values
class Pulse(nn.Module):
    def __init__(self):
        super().__init__()
        self.v = Parameter(torch.arange(4.0))
    def held(self, level):
        head = self.v[:2]
        head.data.fill_(level)
        return torch.cat([head, self.v[2:]]).detach()
    def forward(self, x):
        return x * self.v
net = Pulse()
shown = net.held(7.0)
out = net(torch.ones(4)).sum()
out.backward()
grad = net.v.grad
--->
class Pulse(nn.Module):
    def __init__(self):
        super().__init__()
        self.v = Parameter(torch.arange(4.0))
    def held(self, level):
        head = self.v[:2].clone()
        head.data.fill_(level)
        return torch.cat([head, self.v[2:]]).detach()
    def forward(self, x):
        return x * self.v
net = Pulse()
shown = net.held(7.0)
out = net(torch.ones(4)).sum()
out.backward()
grad = net.v.grad
=== a method of a leaf that is its slices | unsafe values
class Gauss(nn.Module):
    def __init__(self):
        super().__init__()
        self.v = Parameter(torch.arange(4.0))
    def narrow(self, level):
        width = self.v[2:]
        width.data.fill_(level)
        return width.sum().item()
    def forward(self, x):
        return x * self.v[2:] + self.v[:2]
net = Gauss()
shown = net.narrow(7.0)
out = net(torch.ones(2)).sum()
out.backward()
grad = net.v.grad
--->
class Gauss(nn.Module):
    def __init__(self):
        super().__init__()
        self.v = Parameter(torch.arange(4.0))
    def narrow(self, level):
        width = self.v[2:].clone()
        width.data.fill_(level)
        return width.sum().item()
    def forward(self, x):
        return x * self.v[2:] + self.v[:2]
net = Gauss()
shown = net.narrow(7.0)
out = net(torch.ones(2)).sum()
out.backward()
grad = net.v.grad
=== an element is assigned | raises
v = Parameter(torch.ones(5))
head = v[:2]
head[0] = 3.0
loss = head.sum()
loss.backward()
grad = v.grad
--->
v = Parameter(torch.ones(5))
head = v[:2].clone()
head[0] = 3.0
loss = head.sum()
loss.backward()
grad = v.grad
=== augmented | raises
v = torch.ones(5, requires_grad=True)
head = v[1:3]
head += 1
loss = (head * v[:2]).sum()
loss.backward()
grad = v.grad
--->
v = torch.ones(5, requires_grad=True)
head = v[1:3].clone()
head += 1
loss = (head * v[:2]).sum()
loss.backward()
grad = v.grad
=== filled by a method | raises
v = Parameter(torch.ones(5))
tail = v[3:]
# forget the tail
tail.fill_(0.0)
loss = v.sum() + tail.sum()
loss.backward()
grad = v.grad
--->
v = Parameter(torch.ones(5))
tail = v[3:].clone()
# forget the tail
tail.fill_(0.0)
loss = v.sum() + tail.sum()
loss.backward()
grad = v.grad
=== a view instead of a slice | raises
v = Parameter(torch.ones(6))
m = v.view(2, 3)
m[0] = 0.0
loss = m.sum()
loss.backward()
grad = v.grad
--->
v = Parameter(torch.ones(6))
m = v.view(2, 3).clone()
m[0] = 0.0
loss = m.sum()
loss.backward()
grad = v.grad
=== a row of a matrix | raises
w = Parameter(torch.ones(2, 3))
row = w[0]
row[1] = 5.0
loss = (row * w[1]).sum()
loss.backward()
grad = w.grad
--->
w = Parameter(torch.ones(2, 3))
row = w[0].clone()
row[1] = 5.0
loss = (row * w[1]).sum()
loss.backward()
grad = w.grad
=== in a forward method | raises
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(4))

    def forward(self, x):
        w = self.w[:2]
        w[0] = 0.0
        return x * w


net = Net()
out = net(torch.ones(2))
out.sum().backward()
grad = net.w.grad
--->
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(4))

    def forward(self, x):
        w = self.w[:2].clone()
        w[0] = 0.0
        return x * w


net = Net()
out = net(torch.ones(2))
out.sum().backward()
grad = net.w.grad
=== the detached slice is changed | values unsafe
v = Parameter(torch.ones(4))
shown = v.detach()[:2]
shown += 1
out = shown.sum()
loss = v.sum()
loss.backward()
grad = v.grad
--->
v = Parameter(torch.ones(4))
shown = v.detach()[:2].clone()
shown += 1
out = shown.sum()
loss = v.sum()
loss.backward()
grad = v.grad
=== a normalised picture of a filter | values unsafe
conv = nn.Conv2d(1, 1, 2)


def show():
    picture = conv.weight.data
    picture -= picture.min()
    picture /= picture.max() + 1
    return picture


out = show().sum()
loss = conv(torch.ones(1, 1, 2, 2)).sum()
loss.backward()
grad = conv.weight.grad
--->
conv = nn.Conv2d(1, 1, 2)


def show():
    picture = conv.weight.data.clone()
    picture -= picture.min()
    picture /= picture.max() + 1
    return picture


out = show().sum()
loss = conv(torch.ones(1, 1, 2, 2)).sum()
loss.backward()
grad = conv.weight.grad
=== a view of the data changes the values | values unsafe
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = Parameter(torch.ones(4))

    def forward(self, x):
        square = self.w.data.view(2, 2)
        square += 1
        return (square * self.w.view(2, 2)).sum() * x


net = Net()
out = net(torch.ones(1))
out.backward()
grad = net.w.grad
--->
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = Parameter(torch.ones(4))

    def forward(self, x):
        square = self.w.data.view(2, 2).clone()
        square += 1
        return (square * self.w.view(2, 2)).sum() * x


net = Net()
out = net(torch.ones(1))
out.backward()
grad = net.w.grad
=== a slice of a transpose | raises
w = Parameter(torch.ones(2, 3))
top = w.t()[:2]
top.mul_(2)
loss = top.sum()
loss.backward()
grad = w.grad
--->
w = Parameter(torch.ones(2, 3))
top = w.t()[:2].clone()
top.mul_(2)
loss = top.sum()
loss.backward()
grad = w.grad
""")

LEAVE = cases("""
=== a Parameter gets back what it had
ps = {"a": Parameter(torch.ones(1)), "b": Parameter(torch.ones(1))}
for name, p in ps.items():
    kept = p.data
    p.data = kept - 0.1
    low = sum(ps.values()).item()
    p.data = kept
=== a layer of the caller's takes over larger weights
def grow(layer: nn.Linear):
    larger = nn.Linear(layer.in_features, layer.out_features + 1)
    larger.weight.data[:-1] = layer.weight.data
    layer.weight.data = larger.weight.data


grow(nn.Linear(3, 2, bias=False))
=== a copy is written
v = Parameter(torch.ones(5))
head = v[:2].clone()
head[0] = 3.0
head.sum().backward()
assert v.grad is not None
=== a slice that is only read
v = Parameter(torch.ones(5))
head = v[:2]
(head * 2).sum().backward()
assert v.grad is not None
=== initialised under no_grad
v = Parameter(torch.ones(5))
with torch.no_grad():
    head = v[:2]
    head.fill_(0.5)
    print(head)
=== initialised by reset_parameters
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = Parameter(torch.ones(4))
        self.reset_parameters()

    def reset_parameters(self):
        half = self.w.data[:2]
        half.fill_(0.5)
        print(half)

    def forward(self, x):
        return x * self.w


net = Net()
net(torch.ones(4)).sum().backward()
=== an update through a flat view of the data
v = Parameter(torch.ones(2, 2))
(v * v).sum().backward()
flat = v.data.view(-1)
flat -= 0.1 * v.grad.view(-1)
print(flat.norm())
=== what is only written is meant to reach the leaf | unrun
v = torch.ones(4, requires_grad=True)
head = v[:2]
head += 1
(v * 2).sum().backward()
=== a forget gate
lstm = nn.LSTMCell(2, 2)
bias = lstm.bias_ih.data
bias[2:4].fill_(1.0)
=== nn.init on a slice
v = Parameter(torch.ones(4, 4))
nn.init.zeros_(v[:2])
v.sum().backward()
=== weights are clipped
net = nn.Linear(2, 2)
for p in net.parameters():
    p.data.clamp_(-0.01, 0.01)
=== a hand-written update
v = Parameter(torch.ones(4))
(v * v).sum().backward()
data = v.data
data -= 0.1 * v.grad
print(data.norm())
=== exponential moving average of a target network
net, target = nn.Linear(2, 2), nn.Linear(2, 2)
for p, q in zip(net.parameters(), target.parameters()):
    kept = q.data
    kept.mul_(0.9).add_(0.1 * p.data)
=== advanced indexing copies
v = Parameter(torch.ones(5))
some = v[[0, 2]]
some[0] = 3.0
some.sum().backward()
assert v.grad is not None
=== a mask copies
v = Parameter(torch.ones(5))
some = v[v > 0]
some[0] = 3.0
some.sum().backward()
assert v.grad is not None
=== arithmetic copies
v = Parameter(torch.ones(5))
some = v[:3] * 2
some += 1
some.sum().backward()
assert v.grad is not None
=== a slice of a computed value
v = Parameter(torch.ones(5))
h = v * 2
head = h[:2]
head += 1
h.sum().backward()
assert v.grad is not None
=== a slice of an input
x = torch.ones(5)
head = x[:2]
head[0] = 3.0
(Parameter(torch.ones(2)) * head).sum().backward()
=== a buffer is written through a view
memory = torch.zeros(4, 2)
row = memory[0]
row[1] = 2.0
print(row)
=== a frozen Parameter
v = Parameter(torch.ones(5), requires_grad=False)
head = v[:2]
head[0] = 3.0
print(head)
=== NumPy
import numpy as np
import torch

v = np.ones(5)
head = v[:2]
head[0] = 3.0
leaf = torch.from_numpy(head).requires_grad_()
leaf.sum().backward()
=== a list
import torch

v = [torch.ones(1, requires_grad=True), None]
head = v[:1]
head[0] = 3.0
print(head)
=== the name is rebound
v = Parameter(torch.ones(5))
head = v[:2]
head = head + 1
head.sum().backward()
assert v.grad is not None
=== rebound by an out-of-place sum
v = Parameter(torch.ones(5))
head = v[:2]
head = head.clone()
head += 1
head.sum().backward()
assert v.grad is not None
=== inference mode
v = Parameter(torch.ones(5))
with torch.inference_mode():
    head = v[:2]
    head[0] = 3.0
    print(head)
=== a decorated method
class Net(nn.Linear):
    @torch.no_grad()
    def prune(self, keep):
        rows = self.weight[keep:]
        rows.zero_()
        return rows


Net(2, 3).prune(1)
=== a gradient is clipped in place
v = Parameter(torch.ones(5))
v.sum().backward()
g = v.grad[:2]
g.clamp_(-1, 1)
print(g)
=== padding is zeroed
table = nn.Embedding(4, 2)
pad = table.weight.data[0]
pad.fill_(0)
=== a home-made Parameter
import torch


class Parameter(list):
    requires_grad = True


v = Parameter([1, 2, 3])
head = v[:2]
head[0] = 5
print(head)
=== a scalar taken out of a leaf
v = Parameter(torch.ones(5))
first = v[0].item()
first += 1
print(first)
=== a coroutine waits between write and read
import asyncio

import torch


async def main():
    v = torch.ones(4)
    head = v[:2]
    await asyncio.sleep(0)
    head[0] = 3.0
    return head


asyncio.run(main())
""")

REPORT = cases("""
=== looked up by its name
v = Parameter(torch.ones(5))
head = v[:2]
names = locals()
head[0] = 3.0
head.sum().backward()
reason: by its name
""")


@table(CHANGE)
def test_rewritten(case: Case) -> None:
    check_transformed(case, CODE)


@table(LEAVE)
def test_left_alone(case: Case) -> None:
    check_noop(case, CODE)


@table(REPORT)
def test_reported(case: Case) -> None:
    check_reported(case, CODE)
