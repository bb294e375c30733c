"""GF202: how an in-place write to a saved tensor is mended. What is one: see test_saved_tensors."""

from __future__ import annotations

import torch
from harness import check_reported, check_transformed, fixed, table
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
=== what a normalisation keeps of its input | raises
class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.norm = nn.LayerNorm(3)

    def forward(self, x):
        h = self.layer(x)
        y = self.norm(h)
        h += y
        return h


torch.manual_seed(0)
net = Block()
out = net(torch.ones(2, 3))
out[:, 0].sum().backward()
grad = net.layer.weight.grad
--->
class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.norm = nn.LayerNorm(3)

    def forward(self, x):
        h = self.layer(x)
        y = self.norm(h.clone())
        h += y
        return h


torch.manual_seed(0)
net = Block()
out = net(torch.ones(2, 3))
out[:, 0].sum().backward()
grad = net.layer.weight.grad
=== copies of the input are written step by step | raises
class Spring(nn.Module):
    def __init__(self):
        super().__init__()
        self.k = nn.Parameter(torch.tensor(2.0))

    def forward(self, q, p, steps):
        q, p = q.clone(), p.clone()
        for _ in range(steps):
            p -= 0.05 * self.k * q
            q += 0.1 * p
        return q


spring = Spring()
out = spring(torch.ones(2), torch.zeros(2), 3)
out.sum().backward()
grad = spring.k.grad
--->
class Spring(nn.Module):
    def __init__(self):
        super().__init__()
        self.k = nn.Parameter(torch.tensor(2.0))

    def forward(self, q, p, steps):
        q, p = q.clone(), p.clone()
        for _ in range(steps):
            p -= 0.05 * self.k * q.clone()
            q += 0.1 * p
        return q


spring = Spring()
out = spring(torch.ones(2), torch.zeros(2), 3)
out.sum().backward()
grad = spring.k.grad
=== steps of a network that starts with a layer | raises
class Flow(nn.Module):
    def __init__(self):
        super().__init__()
        self.rate = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 2))

    def forward(self, start, steps):
        ys = torch.zeros(steps + 1, 2)
        ys[0] = start
        for k in range(steps):
            ys[k + 1] = ys[k] + 0.1 * self.rate(ys[k])
        return ys


net = Flow()
out = net(torch.ones(2), 3)
out.sum().backward()
grad = net.rate[0].weight.grad
--->
class Flow(nn.Module):
    def __init__(self):
        super().__init__()
        self.rate = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 2))

    def forward(self, start, steps):
        ys = torch.zeros(steps + 1, 2)
        ys[0] = start
        for k in range(steps):
            ys[k + 1] = ys[k] + 0.1 * self.rate(ys[k].clone())
        return ys


net = Flow()
out = net(torch.ones(2), 3)
out.sum().backward()
grad = net.rate[0].weight.grad
=== the state that a cell keeps | raises
class Stack(nn.Module):
    def __init__(self):
        super().__init__()
        self.cells = nn.ModuleList([nn.GRUCell(3, 3) for _ in range(2)])

    def forward(self, xs):
        states = torch.zeros(2, 1, 3)
        for x in xs:
            for k, cell in enumerate(self.cells):
                x = cell(x, states[k])
                states[k] = x
        return x


net = Stack()
out = net(torch.ones(4, 1, 3))
out.sum().backward()
grad = net.cells[0].weight_hh.grad
--->
class Stack(nn.Module):
    def __init__(self):
        super().__init__()
        self.cells = nn.ModuleList([nn.GRUCell(3, 3) for _ in range(2)])

    def forward(self, xs):
        states = torch.zeros(2, 1, 3)
        for x in xs:
            for k, cell in enumerate(self.cells):
                x = cell(x, states[k].clone())
                states[k] = x
        return x


net = Stack()
out = net(torch.ones(4, 1, 3))
out.sum().backward()
grad = net.cells[0].weight_hh.grad
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
=== a vector is divided by its own norm | raises
class Unit(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 2)

    def forward(self, x):
        y = self.head(x)
        length = y.norm(dim=1, keepdim=True)
        y /= length
        return y

unit = Unit()
out = unit(torch.ones(2, 3))
out[:, 0].sum().backward()
grad = unit.head.weight.grad
--->
class Unit(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 2)

    def forward(self, x):
        y = self.head(x)
        length = y.norm(dim=1, keepdim=True)
        y = y / length
        return y

unit = Unit()
out = unit(torch.ones(2, 3))
out[:, 0].sum().backward()
grad = unit.head.weight.grad
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


REPORT = cases("""
=== through the data
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


@table(REPORT)
def test_reported(case: Case) -> None:
    check_reported(case, CODE)


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
