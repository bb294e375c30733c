"""GF202: in-place writes that no backward pass minds."""

from __future__ import annotations

from harness import check_noop, table
from snippets import Case, cases

CODE = "GF202"

LEAVE = cases("""
=== another element of a list is written than those that were multiplied
lin = nn.Linear(2, 2)
parts = [lin(torch.ones(2)) for _ in range(3)]
y = parts[0] * parts[1]
last = parts[2]
last += 1
y.sum().backward()
grad = lin.weight.grad
=== each element of a list is added to the next
lin = nn.Linear(2, 2)
parts = [lin(torch.ones(2)) for _ in range(3)]
for i in range(1, 3):
    parts[i] += parts[i - 1] * parts[i - 1]
parts[2].sum().backward()
grad = lin.weight.grad
=== a leaf, which no backward will ever see written | unrun
w = Parameter(torch.ones(3))
unit = w.norm()
w /= unit
(w * 2).sum().backward()
=== a network that starts with a layer without weights
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
        self.drop = nn.Sequential(nn.Dropout(0.0), nn.Linear(2, 2))

    def forward(self, x):
        y = self.drop(x)
        y += 1
        return y + self.body(x + 1)


net = Net()
net(torch.ones(2, 2)).sum().backward()
grad = net.body[1].weight.grad
=== a network with frozen weights keeps no input
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 3))
        for p in self.body.parameters():
            p.requires_grad = False
        self.w = Parameter(torch.ones(3))

    def forward(self, xs):
        row, total = torch.zeros(3), 0.0
        for x in xs:
            row.copy_(x)
            total = total + (self.body(row) + self.w).sum()
        return total


net = Net()
net(torch.ones(4, 3)).backward()
grad = net.w.grad
=== inside an autograd function
class Half(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        y = x.exp()
        y /= 2
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, g):
        (y,) = ctx.saved_tensors
        g = g.clone()
        g *= y
        return g


w = Parameter(torch.ones(2))
Half.apply(w).sum().backward()
assert w.grad is not None
=== inference
net = nn.Linear(2, 2)
with torch.no_grad():
    p = torch.softmax(net(torch.ones(1, 2)), dim=1)
    p /= p.sum()
    p[0, 0] = 0.0
=== a decorated evaluation
net = nn.Linear(2, 2)


@torch.no_grad()
def evaluate(x):
    p = torch.softmax(net(x), dim=1)
    p /= p.sum()
    return p


evaluate(torch.ones(1, 2))
=== inference mode
net = nn.Linear(2, 2)


@torch.inference_mode()
def evaluate(x):
    p = net(x).exp()
    p -= 1
    return p


evaluate(torch.ones(1, 2))
=== constants
p = torch.softmax(torch.ones(3), dim=0)
p /= p.sum()
p[0] = p[1] / p[2]
=== NumPy under the name of torch
import numpy as torch

x = torch.ones(3)
y = torch.exp(x)
y /= y.sum()
y[0] = y[1] / y[2]
=== NumPy beside torch
import numpy as np
import torch

y = np.exp(np.ones(3))
y /= y.sum()
y[0] = y[1] / y[2]
w = torch.ones(3, requires_grad=True)
(w * torch.from_numpy(y)).sum().backward()
=== a detached result
net = nn.Linear(2, 2)
logits = net(torch.ones(1, 2))
p = torch.softmax(logits.detach(), dim=1)
p /= 2
logits.sum().backward()
=== a table of counts
import torch

counts = {}
for label in [0, 1, 1]:
    counts[label] = counts.get(label, 0) + 1
    counts[label] /= 1
=== integers
w = torch.ones(3, requires_grad=True)
order = torch.argsort(w * 2)
order += 1
order[0] = order[1] * order[2]
w.sum().backward()
=== a gradient is changed in place
w = torch.ones(3, requires_grad=True)
w.exp().sum().backward()
g = w.grad
g /= g.norm()
g[0] = g[1] * g[2]
=== batch statistics
class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.register_buffer("mean", torch.zeros(2))

    def forward(self, x):
        self.mean *= 0.9
        self.mean += 0.1 * x.detach().mean(0)
        return (x - x.mean(0)) * self.weight


net = Norm()
net(torch.rand(3, 2)).sum().backward()
=== inputs are normalised first
x = torch.rand(4, 2)
x -= x.mean(0)
x /= x.std(0)
net = nn.Linear(2, 1)
net(x).sum().backward()
=== residual connections
class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 1)
        self.bn = nn.BatchNorm2d(1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        out = self.bn(self.conv(x))
        out += x
        return self.relu(out)


net = nn.Sequential(Block(), Block())
net(torch.rand(2, 1, 2, 2)).sum().backward()
=== relu in place after batch norm
net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.ReLU(inplace=True), nn.Linear(2, 1))
net(torch.rand(3, 2)).sum().backward()
=== the reads are copies
raw = Parameter(torch.rand(3) + 0.5)
p = raw + 0
p[2] = p[0].clone() / p[1].clone()
p.sum().backward()
=== a loss that is collected
w = Parameter(torch.ones(3))
total = 0
for k in range(3):
    total += (w * k).exp().sum()
total.backward()
=== attention with a mask
q = nn.Linear(2, 2)
x = torch.rand(3, 2)
scores = q(x) @ x.t()
scores /= 2**0.5
scores[torch.eye(3).bool()] = -1e9
torch.softmax(scores, dim=1).sum().backward()
=== a straight-through estimator
w = Parameter(torch.rand(3))
soft = torch.sigmoid(w)
hard = (soft > 0.5).float()
hard -= soft.detach()
(hard + soft).sum().backward()
=== a policy update with old values
net = nn.Linear(2, 1)
values = net(torch.rand(3, 2)).squeeze(1)
advantages = torch.ones(3) - values.detach()
advantages -= advantages.mean()
advantages /= advantages.std() + 1
(values * advantages).sum().backward()
=== weights are clipped after the step
net = nn.Linear(2, 1)
net(torch.ones(1, 2)).exp().sum().backward()
for p in net.parameters():
    p.data.clamp_(-0.1, 0.1)
=== a copy is made in time
w = Parameter(torch.ones(3))
p = torch.exp(w).clone()
p[0] = 2.0
p.sum().backward()
=== a test expects the error
import pytest
import torch

w = torch.ones(3, requires_grad=True)
h = w.exp()
h += 1
with pytest.raises(RuntimeError):
    h.sum().backward()
""")


@table(LEAVE)
def test_left_alone(case: Case) -> None:
    check_noop(case, CODE)
