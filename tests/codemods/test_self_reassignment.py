"""GF101: a leaf's name is rebound to a value computed from it."""

from __future__ import annotations

from harness import check_noop, check_reported, check_transformed, table
from snippets import Case, cases

CODE = "GF101"

CHANGE = cases("""
=== plain | none
etal = Parameter(torch.rand(10))
etal = etal * 2
loss = etal.sum()
loss.backward()
grad = etal.grad
--->
etal = Parameter(torch.rand(10))
etal_scaled = etal * 2
loss = etal_scaled.sum()
loss.backward()
grad = etal.grad
=== comments survive | none
w = Parameter(torch.ones(3))  # the leaf
# now it is positive
w = torch.softmax(w, dim=0)  # probabilities
# the loss
loss = (w * w).sum()  # of w
loss.backward()
grad = w.grad  # None
--->
w = Parameter(torch.ones(3))  # the leaf
# now it is positive
w_probs = torch.softmax(w, dim=0)  # probabilities
# the loss
loss = (w_probs * w_probs).sum()  # of w
loss.backward()
grad = w.grad  # None
=== two steps in a row | none
w = torch.ones(3, requires_grad=True)
w = w * 2
w = w + 1
loss = w.sum()
loss.backward()
grad = w.grad
--->
w = torch.ones(3, requires_grad=True)
w_scaled = w * 2
w_scaled = w_scaled + 1
loss = w_scaled.sum()
loss.backward()
grad = w.grad
=== an optimizer is handed the value | raises
w = torch.ones(3, requires_grad=True)
w = w.exp()
opt = torch.optim.SGD([w], lr=0.1)
loss = w.sum()
loss.backward()
opt.step()
grad = w.grad
--->
w = torch.ones(3, requires_grad=True)
w_exp = w.exp()
opt = torch.optim.SGD([w], lr=0.1)
loss = w_exp.sum()
loss.backward()
opt.step()
grad = w.grad
=== only in a branch | none
positive = True
w = Parameter(torch.ones(3))
if positive:
    w = w.exp()
loss = w.sum()
loss.backward()
grad = w.grad
--->
positive = True
w = Parameter(torch.ones(3))
w_exp = w
if positive:
    w_exp = w.exp()
loss = w_exp.sum()
loss.backward()
grad = w.grad
=== repeated in a loop | none
w = Parameter(torch.ones(3))
for _ in range(3):
    w = w * 2
loss = w.sum()
loss.backward()
grad = w.grad
--->
w = Parameter(torch.ones(3))
w_scaled = w
for _ in range(3):
    w_scaled = w_scaled * 2
loss = w_scaled.sum()
loss.backward()
grad = w.grad
=== the wanted name is taken | none
w_scaled = 4
w = Parameter(torch.ones(3))
w = w * w_scaled
loss = w.sum()
loss.backward()
grad = w.grad
--->
w_scaled = 4
w = Parameter(torch.ones(3))
w_scaled2 = w * w_scaled
loss = w_scaled2.sum()
loss.backward()
grad = w.grad
=== in a function | none
def fit(steps):
    w = torch.zeros(3, requires_grad=True)
    w = w + steps
    loss = (w * w).sum()
    loss.backward()
    return w.grad, w


grad, out = fit(2)
--->
def fit(steps):
    w = torch.zeros(3, requires_grad=True)
    w_shifted = w + steps
    loss = (w_shifted * w_shifted).sum()
    loss.backward()
    return w.grad, w_shifted


grad, out = fit(2)
=== the value inside an f-string and a dictionary | none
w = Parameter(torch.ones(3))
w = w / 3
out = {"mean": f"{w.mean():.2f}"}["mean"]
loss = w.prod()
loss.backward()
grad = w.grad
--->
w = Parameter(torch.ones(3))
w_scaled = w / 3
out = {"mean": f"{w_scaled.mean():.2f}"}["mean"]
loss = w_scaled.prod()
loss.backward()
grad = w.grad
=== on one line | none plain
w = Parameter(torch.ones(3)); w = w * 2; w.sum().backward(); grad = w.grad
--->
w = Parameter(torch.ones(3)); w_scaled = w * 2; w_scaled.sum().backward(); grad = w.grad
=== several lines and a comment inside | none
w = Parameter(torch.ones(3))
w = (
    w  # the leaf
    * 2  # doubled
)
loss = w.sum()
loss.backward()
grad = w.grad
--->
w = Parameter(torch.ones(3))
w_scaled = (
    w  # the leaf
    * 2  # doubled
)
loss = w_scaled.sum()
loss.backward()
grad = w.grad
=== zero_grad keeps the leaf | raises
w = Parameter(torch.ones(2))
w = w * 3
loss = w.sum()
loss.backward()
grad = w.grad.clone()
w.grad.zero_()
--->
w = Parameter(torch.ones(2))
w_scaled = w * 3
loss = w_scaled.sum()
loss.backward()
grad = w.grad.clone()
w.grad.zero_()
=== another leaf of the same name in another function | none
def one():
    w = Parameter(torch.ones(2))
    w = w * 2
    w.sum().backward()
    return w.grad


def two():
    w = torch.ones(2)
    w = w * 2
    return w


grad, out = one(), two()
--->
def one():
    w = Parameter(torch.ones(2))
    w_scaled = w * 2
    w_scaled.sum().backward()
    return w.grad


def two():
    w = torch.ones(2)
    w = w * 2
    return w


grad, out = one(), two()
=== tabs | none plain
def fit():
	w = Parameter(torch.ones(2))
	w = w * 2
	w.sum().backward()
	return w.grad
grad = fit()
--->
def fit():
	w = Parameter(torch.ones(2))
	w_scaled = w * 2
	w_scaled.sum().backward()
	return w.grad
grad = fit()
""")

LEAVE = cases("""
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
""")

REPORT = cases("""
=== a nested function uses the name
w = Parameter(torch.ones(3))
w = w * 2


def total():
    return w.sum()


total().backward()
print(w.grad)
reason: nested
=== looked up by its name
w = Parameter(torch.ones(3))
w = w * 2
names = locals()
w.sum().backward()
print(w.grad)
reason: by its name
=== a global
def scale():
    global w
    w = Parameter(torch.ones(3))
    w = w * 2
    w.sum().backward()
    return w.grad


scale()
reason: global
=== deleted later
w = Parameter(torch.ones(3))
w = w * 2
w.sum().backward()
print(w.grad)
del w
reason: delete
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
