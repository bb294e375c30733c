"""GF102: transformed leaves that are right as they are."""

from __future__ import annotations

from harness import check_noop, table
from snippets import Case, cases

CODE = "GF102"

LEAVE = cases("""
=== a table computed from a Parameter that is kept, too
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        start = Parameter(torch.ones(3))
        self.first = start.detach() * 2
        self.w = start

    def forward(self, x):
        return x @ (self.w - self.first)


net = Net()
net(torch.ones(3)).backward()
assert net.w.grad is not None
=== a Parameter that is registered by another call
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        start = Parameter(torch.ones(3))
        self.register_parameter("w", start)
        self.doubled = start * 2

    def forward(self, x):
        return x @ self.w


net = Net()
net(torch.ones(3)).backward()
assert net.w.grad is not None
=== a functional view in forward
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = Parameter(torch.ones(12))

    def forward(self, x):
        w = self.w.view(3, 4)
        return x @ w


net = Net()
net(torch.ones(2, 3)).sum().backward()
assert net.w.grad is not None
=== a view of a name that is not used as the leaf
w = Parameter(torch.ones(12))
m = w.view(3, 4)
m.sum().backward()
assert w.grad is not None
=== the transformation comes first
w = Parameter(torch.ones(12).view(3, 4) * 0.1)
w.sum().backward()
assert w.grad is not None
=== retain_grad on the view
w = Parameter(torch.ones(12))
m = w.view(3, 4)
m.retain_grad()
m.sum().backward()
assert m.grad is not None
=== both are used and only the leaf as the leaf
w = torch.ones(4, requires_grad=True)
m = w.view(2, 2)
opt = torch.optim.SGD([w], lr=0.1)
m.sum().backward()
opt.step()
assert w.grad is not None
=== a moved module
net = nn.Linear(2, 2).to("cpu").double()
net(torch.ones(1, 2).double()).sum().backward()
assert net.weight.grad is not None
=== the device of an input
x = torch.ones(3).to("cpu").float()
w = Parameter(torch.zeros(3))
(w * x).sum().backward()
assert w.grad is not None
=== only the data is moved
w = Parameter(torch.ones(3).to("cpu"))
w.data = w.data.double()
assert w.is_leaf
=== a leaf made last
w = (torch.randn(3) * 0.1).requires_grad_()
w.sum().backward()
assert w.grad is not None
=== a Parameter without gradient
mask = Parameter(torch.ones(3), requires_grad=False).view(3, 1)
assert mask.grad is None
=== a Parameter under no_grad
with torch.no_grad():
    total = Parameter(torch.ones(3)).view(3, 1) * 2
    print(total)
=== an activation that is printed
w = Parameter(torch.ones(3))
print((w * 2).view(1, 3))
w.sum().backward()
assert w.grad is not None
=== NumPy under the name of torch
import numpy as torch

w = torch.ones((3, 4)).reshape(12) * 2
v = torch.random.randn(3, 4).T / 2
=== a home-made Parameter
import torch


class Parameter:
    def __init__(self, data):
        self.data = data

    def view(self, *sizes):
        return self.data.view(*sizes)


w = Parameter(torch.ones(4)).view(2, 2)
print(w.grad)
=== a schedule of Python numbers
import torch

rate = float(1) * 0.1
opt = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=rate)
=== the value is needed and differentiated
w = torch.ones(3, requires_grad=True)
scaled = w * 2
(g,) = torch.autograd.grad(scaled.sum(), w)
assert g is not None
=== gradients with respect to the transformed tensor
w = torch.ones(4, requires_grad=True)
m = w.view(2, 2)
(g,) = torch.autograd.grad(m.sum(), m)
assert g is not None
=== detached and made a leaf again
w = torch.ones(4, requires_grad=True)
m = w.view(2, 2).detach().requires_grad_()
m.sum().backward()
assert m.grad is not None
=== wrapped again
w = torch.ones(4, requires_grad=True)
m = Parameter(w.view(2, 2))
m.sum().backward()
assert m.grad is not None
=== a buffer
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(4).view(2, 2).double())

    def forward(self, x):
        return x - self.mean


Net()(torch.ones(2, 2))
=== initialised through the data
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = Parameter(torch.empty(4, 4))
        self.w.data = torch.eye(4) * 0.5
        nn.init.xavier_uniform_(self.w)

    def forward(self, x):
        return x @ self.w


net = Net()
net(torch.ones(1, 4)).sum().backward()
assert net.w.grad is not None
=== a Parameter times an input
x, scale = torch.ones(3), Parameter(torch.ones(3))
y = scale * x
y.sum().backward()
assert scale.grad is not None
=== keywords that are not visible
options = {"requires_grad": False}
w = torch.ones(3, **options) * 2
assert w.grad is None
=== nested parameters of a distribution
scale = Parameter(torch.ones(3))
normal = torch.distributions.Normal(torch.zeros(3), scale.exp())
normal.rsample().sum().backward()
assert scale.grad is not None
=== a weight-normalised layer
v, g = Parameter(torch.ones(3)), Parameter(torch.ones(1))
w = g * v / v.norm()
w.sum().backward()
assert v.grad is not None
assert g.grad is not None
=== the type of a leaf
w = Parameter(torch.ones(3))
kind = w.type()
size = w.view(-1).shape[0]
w.sum().backward()
assert w.grad is not None
""")


@table(LEAVE)
def test_left_alone(case: Case) -> None:
    check_noop(case, CODE)
