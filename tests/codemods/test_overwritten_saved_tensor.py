"""GF202: how an in-place write to a saved tensor is mended. What is one: see test_saved_tensors."""

from __future__ import annotations

import torch
from harness import check_noop, check_reported, check_sound, check_transformed, fixed, table
from snippets import Case, cases, run

CODE = "GF202"

CHANGE = cases("""
=== a slot of a short vector | raises
raw = Parameter(torch.tensor([0.5, 0.8]))
p = torch.stack([raw[0], raw[1], raw[0]]) * 2
p[2] = p[0] / p[1]  # the ratio
out = p
p.sum().backward()
grad = raw.grad
--->
raw = Parameter(torch.tensor([0.5, 0.8]))
p = torch.stack([raw[0], raw[1], raw[0]]) * 2
p = torch.stack([p[0], p[1], p[0] / p[1]])  # the ratio
out = p
p.sum().backward()
grad = raw.grad
=== softmax is divided | raises
w = Parameter(torch.ones(3))
a = torch.softmax(w, dim=0)
# sums to two
a /= 0.5
out = a
loss = (a * a).sum()
loss.backward()
grad = w.grad
--->
w = Parameter(torch.ones(3))
a = torch.softmax(w, dim=0)
# sums to two
a = a / 0.5
out = a
loss = (a * a).sum()
loss.backward()
grad = w.grad
=== a method in place | raises
w = Parameter(torch.ones(3))
h = torch.exp(w)
h.clamp_(0, 2)  # not above two
loss = h.sum()
loss.backward()
grad = w.grad
--->
w = Parameter(torch.ones(3))
h = torch.exp(w)
h = h.clamp(0, 2)  # not above two
loss = h.sum()
loss.backward()
grad = w.grad
=== the right side is a sum | raises
w = Parameter(torch.ones(3))
h = torch.sigmoid(w)
h *= h.mean() + 1
loss = h.sum()
loss.backward()
grad = w.grad
--->
w = Parameter(torch.ones(3))
h = torch.sigmoid(w)
h = h * (h.mean() + 1)
loss = h.sum()
loss.backward()
grad = w.grad
=== in a forward method | raises
class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q = nn.Linear(2, 2)

    def forward(self, x):
        scores = torch.softmax(self.q(x), dim=-1)
        scores /= scores.sum(dim=-1, keepdim=True)
        return scores @ x


net = Attention()
out = net(torch.eye(2))
out.sum().backward()
grad = net.q.weight.grad
--->
class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q = nn.Linear(2, 2)

    def forward(self, x):
        scores = torch.softmax(self.q(x), dim=-1)
        scores = scores / scores.sum(dim=-1, keepdim=True)
        return scores @ x


net = Attention()
out = net(torch.eye(2))
out.sum().backward()
grad = net.q.weight.grad
=== a slot after relu keeps a copy | raises
w = Parameter(torch.randn(4, 2))
h = torch.relu(w)
h[0] = 1.0
out = h
loss = h.sum()
loss.backward()
grad = w.grad
--->
w = Parameter(torch.randn(4, 2))
h = torch.relu(w).clone()
h[0] = 1.0
out = h
loss = h.sum()
loss.backward()
grad = w.grad
=== columns keep copies | raises
w = Parameter(torch.rand(4, 3) + 0.5)
x = w + 0
x[:, 2] = x[:, 0] / x[:, 1]
out = x
loss = x.sum()
loss.backward()
grad = w.grad
--->
w = Parameter(torch.rand(4, 3) + 0.5)
x = w + 0
x[:, 2] = x[:, 0].clone() / x[:, 1].clone()
out = x
loss = x.sum()
loss.backward()
grad = w.grad
=== another name sees the write, too | raises
w = Parameter(torch.ones(3))
h = torch.exp(w)
same = h
h += 1
out = same
loss = same.sum()
loss.backward()
grad = w.grad
--->
w = Parameter(torch.ones(3))
h = torch.exp(w).clone()
same = h
h += 1
out = same
loss = same.sum()
loss.backward()
grad = w.grad
=== a chunk is written in place | raises
w = Parameter(torch.ones(4))
first, second = (w * 2).chunk(2)
first += 1
out = first
loss = (first * second).sum()
loss.backward()
grad = w.grad
--->
w = Parameter(torch.ones(4))
first, second = (w * 2).chunk(2)
first = first + 1
out = first
loss = (first * second).sum()
loss.backward()
grad = w.grad
""")

LEAVE = cases("""
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
""")

REPORT = cases("""
=== through the data | miss
w = Parameter(torch.ones(3))
h = torch.exp(w)
h.data += 1
h.sum().backward()
reason: not known
=== the saved value is itself overwritten | plain
w = Parameter(torch.ones(3))
h = torch.exp(w)
same = h
for _ in range(2):
    h *= h
same.sum().backward()
reason: saved by an in-place operation
""")

SOUND = cases("""
=== under no_grad, and used afterwards
w = Parameter(torch.ones(3))
h = w * 2
loss = h.log().sum()
with torch.no_grad():
    h += 1
(loss + h.sum()).backward()
grad = w.grad
--->
w = Parameter(torch.ones(3))
h = w * 2
loss = h.clone().log().sum()
with torch.no_grad():
    h += 1
(loss + h.sum()).backward()
grad = w.grad
=== a slot under no_grad
w = Parameter(torch.ones(3))
h = w * 2
loss = h.log().sum()
with torch.no_grad():
    h[1] = h[0] + 3
(loss + h.sum()).backward()
grad = w.grad
--->
w = Parameter(torch.ones(3))
h = w * 2
loss = h.clone().log().sum()
with torch.no_grad():
    h[1] = h[0] + 3
(loss + h.sum()).backward()
grad = w.grad
=== a chain of in-place calls
w = Parameter(torch.ones(3))
h = w.exp()
y = h.relu_().mul_(2)
out = h * y
out.sum().backward()
--->
w = Parameter(torch.ones(3))
h = w.exp().relu() * 2
out = h * h
out.sum().backward()
=== the right side has another element type
w = Parameter(torch.ones(3))
h = w.exp()
h += torch.ones(2, 3).double()[0]
out = h
loss = out.sum()
loss.backward()
grad = w.grad
--->
w = Parameter(torch.ones(3))
h = w.exp() + 1
out = h
loss = out.sum()
loss.backward()
grad = w.grad
=== the saved value is multiplied by itself in place
w = Parameter(torch.ones(3))
h = torch.exp(w)
same = h
for _ in range(2):
    h.mul_(h)
out = same
out.sum().backward()
grad = w.grad
--->
w = Parameter(torch.ones(3))
out = torch.exp(w) ** 4
out.sum().backward()
grad = w.grad
=== a view sees the write
w = Parameter(torch.ones(5))
h = w.exp()
v = h[:2]
h += 1
out = (v * 3).sum() + h.sum()
out.backward()
grad = w.grad
--->
w = Parameter(torch.ones(5))
h = w.exp() + 1
out = (h[:2] * 3).sum() + h.sum()
out.backward()
grad = w.grad
=== a closure sees the write
w = Parameter(torch.ones(5))
h = w.exp()


def later():
    return h * 2


h += 1
out = later().sum() + h.sum()
out.backward()
grad = w.grad
--->
w = Parameter(torch.ones(5))
h = w.exp() + 1
out = (h * 2).sum() + h.sum()
out.backward()
grad = w.grad
=== an attribute sees the write
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(5))

    def forward(self):
        self.h = self.w.exp()
        h = self.h
        h += 1
        return self.h * 2


net = Net()
out = net()
out.sum().backward()
grad = net.w.grad
--->
w = Parameter(torch.ones(5))
out = (w.exp() + 1) * 2
out.sum().backward()
grad = w.grad
=== a container sees the write
w = Parameter(torch.ones(5))
kept = []
for k in range(2):
    h = torch.softmax(w * k, dim=0)
    kept.append(h)
    h /= 2
out = torch.stack(kept)
out.pow(2).sum().backward()
grad = w.grad
--->
w = Parameter(torch.ones(5))
out = torch.stack([torch.softmax(w * k, dim=0) / 2 for k in range(2)])
out.pow(2).sum().backward()
grad = w.grad
=== two slots depend on each other
w = Parameter(torch.rand(5) + 0.5)
h = w + 0
h[3] = h[0] / h[1]
h[4] = h[3] * h[2]
out = h
out.sum().backward()
grad = w.grad
--->
w = Parameter(torch.rand(5) + 0.5)
ratio = w[0] / w[1]
out = torch.stack([w[0], w[1], w[2], ratio, ratio * w[2]])
out.sum().backward()
grad = w.grad
=== keyword arguments of the method
w = Parameter(torch.ones(5))
h = w.exp()
h.sub_(1, alpha=2)
out = h
out.sum().backward()
grad = w.grad
--->
w = Parameter(torch.ones(5))
out = w.exp() - 2
out.sum().backward()
grad = w.grad
""")

#: The example of the note: a resistor ratio that is written into the vector it is read from.
NOTE = """\
import torch
from torch import nn


class Circuit(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.paramm = nn.Parameter(torch.rand(2))
        self.max = torch.tensor([2.0, 4.0, 2.0])
        self.min = torch.tensor([1.0, 2.0, 0.0])

    def forward(self):
        param = torch.cat([self.paramm, torch.zeros(1)])
        param = param * (self.max - self.min) + self.min
        param[2] = param[0] / param[1]
        return (param - self.min) / (self.max - self.min)


net = Circuit()
out = net()
out.sum().backward()
grad = net.paramm.grad
"""


@table(CHANGE)
def test_rewritten(case: Case) -> None:
    check_transformed(case, CODE)


@table(LEAVE)
def test_left_alone(case: Case) -> None:
    check_noop(case, CODE)


@table(REPORT)
def test_reported(case: Case) -> None:
    check_reported(case, CODE)


@table(SOUND)
def test_sound(case: Case) -> None:
    check_sound(case, CODE)


def test_the_numbers_of_the_note() -> None:
    broken = run(NOTE)
    assert "modified by an inplace operation" in str(broken.error)
    after = fixed(NOTE, CODE)
    assert after.findings == ()
    mended = run(after.text)
    assert mended.error is None
    expected = torch.tensor([0.4963, 0.7682, 0.2115])
    torch.testing.assert_close(mended.names["out"], expected, atol=1e-4, rtol=0)
    expected = torch.tensor([1.1414, 0.8804])
    torch.testing.assert_close(mended.names["grad"], expected, atol=1e-4, rtol=0)


def test_a_detached_ratio_is_wrong_but_raises_nothing() -> None:
    """Detaching is no remedy: nothing is rewritten, and the gradient is another one."""
    detached = NOTE.replace("param[0] / param[1]", "(param[0] / param[1]).detach()")
    assert fixed(detached, CODE, unsafe=True).text == detached
    assert run(detached).names["grad"].tolist() == [1.0, 1.0]
