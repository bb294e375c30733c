"""GF104: updates by hand that are right as they are."""

from __future__ import annotations

from harness import check_noop, table
from snippets import Case, cases

CODE = "GF104"

LEAVE = cases("""
=== several steps that are differentiated themselves, in one statement
w = torch.ones(2, requires_grad=True)
b = torch.zeros(1, requires_grad=True)
gw, gb = torch.autograd.grad((w.sum() + b - 3).pow(2).sum(), [w, b], create_graph=True)
fast, bias = w - 0.1 * gw, b - 0.1 * gb
(fast.sum() + bias).sum().backward()
assert w.grad is not None and b.grad is not None
=== a bounded copy that only this turn uses
delta = torch.zeros(3, requires_grad=True)
opt = torch.optim.SGD([delta], lr=1.0)
for _ in range(2):
    small = torch.clamp(delta, -0.5, 0.5)
    opt.zero_grad()
    (small - 1).pow(2).sum().backward()
    opt.step()
=== a sampler whose step has a name, from a new leaf in every turn
x = torch.zeros(3)
for _ in range(3):
    x = x.detach().clone().requires_grad_()
    ((x - 1) ** 2).sum().backward()
    g = x.grad
    x = x - 0.1 * g
out = x.detach()
w = torch.ones(3, requires_grad=True)
(w * out).sum().backward()
grad = w.grad
=== an attribute that is made a leaf again
class Line:
    def __init__(self):
        self.w = torch.zeros(2, requires_grad=True)

    def step(self, x, y):
        loss = ((x @ self.w - y) ** 2).mean()
        loss.backward()
        self.w = self.w - 0.1 * self.w.grad
        self.w = self.w.detach().requires_grad_()


line = Line()
x, y = torch.ones(3, 2), torch.ones(3)
for _ in range(3):
    line.step(x, y)
(x @ line.w).sum().backward()
grad = line.w.grad
=== an attribute that is updated once, at the end
class Line:
    def __init__(self):
        self.w = torch.zeros(2, requires_grad=True)

    def fit(self, x, y):
        ((x @ self.w - y) ** 2).mean().backward()
        self.w = self.w - 0.1 * self.w.grad


line = Line()
line.fit(torch.ones(3, 2), torch.ones(3))
out = line.w.detach()
other = torch.ones(2, requires_grad=True)
(other * out).sum().backward()
grad = other.grad
=== in place under no_grad
w = torch.ones(2, requires_grad=True)
for _ in range(3):
    (w * w).sum().backward()
    with torch.no_grad():
        w -= 0.1 * w.grad
    w.grad = None
=== through the data
w = torch.ones(2, requires_grad=True)
for _ in range(3):
    (w * w).sum().backward()
    w.data -= 0.1 * w.grad.data
    w.grad.data.zero_()
=== the data is replaced
w = torch.ones(2, requires_grad=True)
for _ in range(3):
    (w * w).sum().backward()
    w.data = w.data - 0.1 * w.grad
    w.grad = None
=== a new leaf under no_grad
w = torch.ones(2, requires_grad=True)
for _ in range(3):
    (w * w).sum().backward()
    with torch.no_grad():
        w = w - 0.1 * w.grad
    w.requires_grad_(True)
=== a new leaf by detach
w = torch.ones(2, requires_grad=True)
for _ in range(3):
    (w * w).sum().backward()
    w = (w - 0.1 * w.grad).detach().requires_grad_()
=== a new leaf in the next statement
w = torch.ones(2, requires_grad=True)
for _ in range(3):
    (w * w).sum().backward()
    w = w - 0.1 * w.grad
    w = w.detach().requires_grad_(True)
=== a new leaf by detach in place
w = torch.ones(2, requires_grad=True)
for _ in range(3):
    (w * w).sum().backward()
    w = w - 0.1 * w.grad
    w.detach_().requires_grad_(True)
=== a new Parameter
w = Parameter(torch.ones(2))
for _ in range(3):
    (w * w).sum().backward()
    w = Parameter(w - 0.1 * w.grad)
=== a new variable from the data
w = torch.ones(2, requires_grad=True)
for _ in range(3):
    (w * w).sum().backward()
    w = torch.tensor(w - 0.1 * w.grad, requires_grad=True)
=== meta-learning
w = torch.ones(2, requires_grad=True)
fast = w
for _ in range(2):
    (g,) = torch.autograd.grad((fast * fast).sum(), fast, create_graph=True)
    fast = fast - 0.1 * g
(fast * fast).sum().backward()
assert w.grad is not None
=== meta-learning with backward
w = torch.ones(2, requires_grad=True)
(w * w).sum().backward(create_graph=True)
fast = w - 0.1 * w.grad
(fast * fast).sum().backward()
assert w.grad is not None
=== unrolled over the same name by retain_grad
w = torch.ones(2, requires_grad=True)
for _ in range(2):
    w.retain_grad()
    (w * w).sum().backward(create_graph=True)
    w = w - 0.1 * w.grad
=== the updated value has a name of its own
w = torch.ones(2, requires_grad=True)
(w * w).sum().backward()
after = w - 0.1 * w.grad
print(after)
=== a last step that is only printed
w = torch.ones(2, requires_grad=True)
(w * w).sum().backward()
w = w - 0.1 * w.grad
print(w)
=== an optimizer
w = Parameter(torch.ones(2))
opt = torch.optim.SGD([w], lr=0.1)
for _ in range(2):
    opt.zero_grad()
    (w * w).sum().backward()
    opt.step()
=== a loop over the parameters of a model
net = nn.Linear(2, 1)
net(torch.ones(1, 2)).sum().backward()
with torch.no_grad():
    for p in net.parameters():
        p -= 0.1 * p.grad
        p.grad = None
=== an attack makes a new leaf
x = torch.rand(3)
adv = x.clone().detach().requires_grad_(True)
for _ in range(3):
    adv.exp().sum().backward()
    adv = (adv + 0.1 * adv.grad.sign()).detach().clamp_(0, 1).requires_grad_()
=== an attack over the same name inside a function
def attack(x, steps):
    for _ in range(steps):
        x = x.detach().requires_grad_()
        x.exp().sum().backward()
        x = x + 0.1 * x.grad.sign()
    return x.detach()


attack(torch.rand(3), 2)
=== Python numbers
import math


class Number:
    def __init__(self, value):
        self.value, self.grad = value, math.pi

    def __sub__(self, other):
        return Number(self.value - other)


w = Number(1.0)
for _ in range(3):
    w = w - 0.1 * w.grad
=== NumPy and a formula
import numpy as np

w = np.ones(2)
for _ in range(3):
    grad = 2 * w
    w = w - 0.1 * grad
=== a gradient computed by hand
import torch

w = torch.ones(2)
for _ in range(3):
    grad = 2 * w
    w = w - 0.1 * grad
=== a decorated step
w = torch.ones(2, requires_grad=True)


@torch.no_grad()
def step(w):
    w = w - 0.1 * w.grad
    return w.grad


(w * w).sum().backward()
step(w)
=== clipped gradients
w = torch.ones(2, requires_grad=True)
(w * w).sum().backward()
w.grad = w.grad - 0.5 * w.grad.mean()
torch.nn.utils.clip_grad_norm_([w], 1.0)
=== a gradient penalty
x = torch.ones(2, requires_grad=True)
(x * x).sum().backward(create_graph=True)
penalty = (x - x.grad).pow(2).sum()
penalty.backward()
=== home-made optimizer over a list
params = [torch.ones(2, requires_grad=True) for _ in range(2)]
for _ in range(2):
    sum((p * p).sum() for p in params).backward()
    params = [(p - 0.1 * p.grad).detach().requires_grad_() for p in params]
=== a generator of steps
def steps(w):
    while True:
        (w * w).sum().backward()
        with torch.no_grad():
            w -= 0.1 * w.grad
            w.grad = None
        yield w


next(steps(torch.ones(2, requires_grad=True)))
=== a closure updates in place
w = torch.ones(2, requires_grad=True)


def step():
    with torch.no_grad():
        w.sub_(0.1 * w.grad)


(w * w).sum().backward()
step()
=== several updates under one no_grad
a, b = torch.ones(1, requires_grad=True), torch.zeros(1, requires_grad=True)
for _ in range(2):
    (a * b + a).sum().backward()
    with torch.no_grad():
        a -= 0.1 * a.grad
        b -= 0.1 * b.grad
        a.grad.zero_()
        b.grad.zero_()
=== a list of leaves that are made leaves again
weights = [torch.ones(2, requires_grad=True)]
for _ in range(3):
    (weights[0] ** 2).sum().backward()
    weights = [w - 0.1 * w.grad for w in weights]
    weights = [w.detach().requires_grad_() for w in weights]
=== a list of new leaves
weights = [torch.ones(2, requires_grad=True)]
for _ in range(3):
    (weights[0] ** 2).sum().backward()
    weights = [(w - 0.1 * w.grad).detach().requires_grad_() for w in weights]
=== a function that returns new leaves
def descend(weights, rate):
    return [(w - rate * w.grad).detach().requires_grad_() for w in weights]


weights = [torch.ones(2, requires_grad=True)]
for _ in range(3):
    (weights[0] ** 2).sum().backward()
    weights = descend(weights, 0.1)
=== an inner loop that is differentiated itself
weights = {"a": torch.ones(2, requires_grad=True)}
meta = torch.ones(1, requires_grad=True)
fast = weights
for _ in range(3):
    inner = (fast["a"] ** 2 * meta).sum()
    grads = torch.autograd.grad(inner, list(fast.values()), create_graph=True)
    fast = {k: w - 0.1 * g for (k, w), g in zip(fast.items(), grads)}
(fast["a"] ** 2).sum().backward()
=== gradients that are kept
weights = [torch.ones(2, requires_grad=True)]
for _ in range(3):
    (weights[0] ** 2).sum().backward()
    weights = [w - 0.1 * w.grad for w in weights]
    for w in weights:
        w.retain_grad()
=== one step only
def adapt(weights, rate):
    (weights[0] ** 2).sum().backward()
    return [w - rate * w.grad for w in weights]


fast = adapt([torch.ones(2, requires_grad=True)], 0.1)
=== fresh weights in every turn
for _ in range(3):
    weights = [torch.ones(2, requires_grad=True)]
    (weights[0] ** 2).sum().backward()
    moved = [w - 0.1 * w.grad for w in weights]
=== under another name
weights = [torch.ones(2, requires_grad=True)]
for _ in range(3):
    (weights[0] ** 2).sum().backward()
    ahead = [w - 0.1 * w.grad for w in weights]
    for w in weights:
        w.grad = None
=== the loop's variable is read after its update
net = nn.Linear(2, 1)
net(torch.ones(2)).sum().backward()
norms, fast = [], {}
for name, p in net.named_parameters():
    p = p - 0.1 * p.grad
    norms.append([part.norm() for part in [p]])
for name, p in net.named_parameters():
    p = p - 0.1 * p.grad
    fast[name] = p
for name, p in net.named_parameters():
    p = p - 0.1 * p.grad
    norms.append((lambda: p)())
=== the last one is read after the loop
weights = [torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)]
sum((w * w).sum() for w in weights).backward()
for w in weights:
    w = w - 0.1 * w.grad
out = w
=== a new leaf in every turn, updated under no_grad
start = torch.ones(2)
for _ in range(3):
    w = Parameter(start)
    (w * w).sum().backward()
    with torch.no_grad():
        w = w - 0.1 * w.grad
        start = w
=== made a leaf again after an update under no_grad
w = torch.ones(2, requires_grad=True)
for _ in range(3):
    (w * w).sum().backward()
    with torch.no_grad():
        w = w - 0.1 * w.grad
    w.requires_grad = True
=== slots that are filled once
weights = {"a": torch.ones(2, requires_grad=True)}
moved = {}
(weights["a"] ** 2).sum().backward()
for key in weights:
    moved[key] = weights[key] - 0.1 * weights[key].grad
=== a list of arrays
weights = [torch.ones(2, requires_grad=True)]
numbers = [1.0]
for _ in range(3):
    (weights[0] ** 2).sum().backward()
    numbers = [n - 0.1 * w.grad.sum().item() for n, w in zip(numbers, weights)]
""")


@table(LEAVE)
def test_left_alone(case: Case) -> None:
    check_noop(case, CODE)
