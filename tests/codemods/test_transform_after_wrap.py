"""GF102: a leaf is wrapped first and transformed afterwards."""

from __future__ import annotations

from harness import check_reported, check_sound, check_transformed, found, table
from snippets import Case, cases

from gradfix.model import Safety

CODE = "GF102"

CHANGE = cases("""
=== a view under another name | none
t = Parameter(torch.randn(12, 1))
T = t.view(3, 4)
T.sum().backward()
grad = T.grad
--->
t = torch.randn(12, 1)
T = Parameter(t.view(3, 4))
T.sum().backward()
grad = T.grad
=== a view under the same name | none
t = Parameter(torch.randn(12, 1))
t = t.view(3, 4)
t.sum().backward()
grad = t.grad
out = t.shape
--->
t = torch.randn(12, 1)
t = Parameter(t.view(3, 4))
t.sum().backward()
grad = t.grad
out = t.shape
=== a Parameter with a name of its own that nobody keeps | none
class Net(nn.Module):
    def __init__(self, scale=0.1):
        super().__init__()
        start = Parameter(torch.ones(3))
        self.w = start * scale

    def forward(self, x):
        return x @ self.w


net = Net()
out = net(torch.ones(3))
out.sum().backward()
grads = [p.grad for p in net.parameters()] or None
--->
class Net(nn.Module):
    def __init__(self, scale=0.1):
        super().__init__()
        start = torch.ones(3)
        self.w = Parameter(start * scale)

    def forward(self, x):
        return x @ self.w


net = Net()
out = net(torch.ones(3))
out.sum().backward()
grads = [p.grad for p in net.parameters()] or None
=== the leaf's size is asked for, and whether it is there | none
t = Parameter(torch.randn(12, 1))
assert t is not None and t.shape == (12, 1), len(t)
T = t.view(3, 4)
T.sum().backward()
grad = T.grad
--->
t = torch.randn(12, 1)
assert t is not None and t.shape == (12, 1), len(t)
T = Parameter(t.view(3, 4))
T.sum().backward()
grad = T.grad
=== a view in one expression | none
t = Parameter(torch.ones(12)).view(3, 4)  # a matrix
t.sum().backward()
grad = t.grad
--->
t = Parameter(torch.ones(12).view(3, 4))  # a matrix
t.sum().backward()
grad = t.grad
=== a scaled tensor made a leaf, then cast | none
x = (torch.ones(3) * 0.5).requires_grad_().double()
(x * 2).sum().backward()
grad = x.grad
--->
x = (torch.ones(3) * 0.5).double().requires_grad_()
(x * 2).sum().backward()
grad = x.grad
=== an attribute of a module | none
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = Parameter(torch.ones(4)) * 0.1  # small

    def forward(self, x):
        return x * self.scale


net = Net()
out = net(torch.ones(4))
out.sum().backward()
grad = net.scale.grad
--->
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = Parameter(torch.ones(4) * 0.1)  # small

    def forward(self, x):
        return x * self.scale


net = Net()
out = net(torch.ones(4))
out.sum().backward()
grad = net.scale.grad
=== factors that are sizes, and numbers by default | none
class Scaled(nn.Module):
    def __init__(self, n, rate: float, *, gain=2):
        super().__init__()
        self.w = Parameter(torch.ones(n)) * gain / n**0.5 * rate

    def forward(self, x):
        return x * self.w


net = Scaled(4, 1.0)
out = net(torch.ones(4))
out.sum().backward()
grads = [p.grad for p in net.parameters()] or None
--->
class Scaled(nn.Module):
    def __init__(self, n, rate: float, *, gain=2):
        super().__init__()
        self.w = Parameter(torch.ones(n) * gain / n**0.5 * rate)

    def forward(self, x):
        return x * self.w


net = Scaled(4, 1.0)
out = net(torch.ones(4))
out.sum().backward()
grads = [p.grad for p in net.parameters()] or None
=== a cast | none
w = Parameter(torch.ones(3)).double()
loss = (w * w).sum()
loss.backward()
grad = w.grad
--->
w = Parameter(torch.ones(3).double())
loss = (w * w).sum()
loss.backward()
grad = w.grad
=== divided by a square root | none
import math

import torch

n = 4
w = torch.randn(n, n, requires_grad=True) / math.sqrt(n)
loss = w.sum()
loss.backward()
grad = w.grad
--->
import math

import torch

n = 4
w = (torch.randn(n, n) / math.sqrt(n)).requires_grad_()
loss = w.sum()
loss.backward()
grad = w.grad
=== handed to an optimizer | raises
w = torch.randn(3, requires_grad=True) * 0.01
opt = torch.optim.SGD([w], lr=0.1)
w.sum().backward()
opt.step()
grad = w.grad
--->
w = (torch.randn(3) * 0.01).requires_grad_()
opt = torch.optim.SGD([w], lr=0.1)
w.sum().backward()
opt.step()
grad = w.grad
=== keywords are kept | none
w = nn.Parameter(data=torch.ones(3, 4), requires_grad=True).t()
w.sum().backward()
grad = w.grad
--->
w = nn.Parameter(data=torch.ones(3, 4).t(), requires_grad=True)
w.sum().backward()
grad = w.grad
=== other keywords of a factory are kept | none
w = torch.ones(3, dtype=torch.float64, requires_grad=True) * 2
w.sum().backward()
grad = w.grad
--->
w = (torch.ones(3, dtype=torch.float64) * 2).requires_grad_()
w.sum().backward()
grad = w.grad
=== several steps in one expression | none
w = Parameter(torch.ones(12)).view(3, 4).t() * 2
w.sum().backward()
grad = w.grad
--->
w = Parameter(torch.ones(12).view(3, 4).t() * 2)
w.sum().backward()
grad = w.grad
=== made a leaf by a call | none
w = torch.ones(12)
w.requires_grad_()
m = w.view(3, 4)
m.sum().backward()
grad = m.grad
--->
w = torch.ones(12)
m = w.view(3, 4).requires_grad_()
m.sum().backward()
grad = m.grad
=== the data is an expression of its own | none
w = Parameter(torch.ones(3) + 1).reshape(3, 1)
w.sum().backward()
grad = w.grad
--->
w = Parameter((torch.ones(3) + 1).reshape(3, 1))
w.sum().backward()
grad = w.grad
""")


REPORT = cases("""
=== the rows of an expanded tensor share memory
class Token(nn.Module):
    def __init__(self):
        super().__init__()
        self.token = Parameter(torch.zeros(1, 3)).expand(4, 3)

    def forward(self, x):
        return x + self.token


out = Token()(torch.ones(4, 3))
reason: no optimizer can write
=== expanded on the way
token = Parameter(torch.zeros(1, 3)).expand(4, -1).unsqueeze(0)
opt = torch.optim.SGD([token], lr=0.1)
reason: no optimizer can write
=== the leaf is used, too
t = Parameter(torch.ones(12))
T = t.view(3, 4)
(T.sum() + t.sum()).backward()
print(T.grad)
reason: also used
=== the leaf is told apart from another
t = Parameter(torch.randn(12, 1))
T = t.view(3, 4)
same = T is t
T.sum().backward()
grad = T.grad
reason: also used on line
=== the factor is trained, too
scale = Parameter(torch.ones(1))
w = Parameter(torch.ones(3)) * scale
opt = torch.optim.SGD([w, scale], lr=0.1)
reason: may need a gradient
=== what may be a tensor with a history
from data import loaded

w = Parameter(torch.ones(3)) + loaded()
total = w.sum()
reason: may need a gradient
=== in another block
t = Parameter(torch.ones(12))
square = True
if square:
    T = t.view(3, 4)
    T.sum().backward()
    print(T.grad)
reason: block
""")

SOUND = cases("""
=== a nested function uses the leaf
t = Parameter(torch.ones(4))
T = t.view(2, 2)


def penalty():
    return t.sum()


loss = penalty()
loss.backward()
print(T.grad)
--->
loss = torch.tensor(4.0)
=== written in place later
w = torch.ones(4, requires_grad=True) * 2
w += 1
loss = w.sum()
loss.backward()
print(w.grad)
--->
loss = torch.tensor(12.0)
=== random factors are drawn in the same order
w = Parameter(torch.rand(4)) * torch.rand(4)
out = w.detach()
w.sum().backward()
print(w.grad)
=== the wrapped data is changed later
raw = torch.ones(4)
w = Parameter(raw).view(2, 2)
raw += 1
out = w.detach()
w.sum().backward()
print(w.grad)
=== the wrapped data is changed after a copy
raw = torch.ones(4)
w = Parameter(raw) * 2
raw += 1
out = w.detach()
w.sum().backward()
print(w.grad)
=== one divided by it
w = 1 / torch.full((3,), 4.0, requires_grad=True)
out = w.detach()
w.sum().backward()
print(w.grad)
""")

DOUBTED = cases("""
=== a weight of what the constructor is given
class Tied(nn.Module):
    def __init__(self, base):
        super().__init__()
        self.w = Parameter(torch.ones(3)) * base.weight

    def forward(self, x):
        return x * self.w
=== a factor of unknown kind
class Scaled(nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.w = Parameter(torch.ones(3)) * scale

    def forward(self, x):
        return x * self.w
""")


@table(DOUBTED)
def test_what_may_be_a_tensor_makes_it_unsafe(case: Case) -> None:
    (finding,) = found(case.before, CODE)
    assert finding.fix is not None and finding.fix.safety is Safety.UNSAFE
    assert "may be a tensor that needs a gradient" in finding.fix.doubt


@table(CHANGE)
def test_rewritten(case: Case) -> None:
    check_transformed(case, CODE)


@table(REPORT)
def test_reported(case: Case) -> None:
    check_reported(case, CODE)


@table(SOUND)
def test_sound(case: Case) -> None:
    check_sound(case, CODE)
