"""GF104: a hand-written update rebinds the leaf to a non-leaf."""

from __future__ import annotations

from harness import check_reported, check_sound, check_transformed, table
from snippets import Case, cases

CODE = "GF104"

CHANGE = cases("""
=== the gradient has a name of its own | raises
w = torch.ones(2, requires_grad=True)
for _ in range(3):
    cost = (w**2).sum()
    cost.backward()
    g = w.grad
    w = w - 0.1 * g
(w**2).sum().backward()
grad = w.grad
--->
w = torch.ones(2, requires_grad=True)
for _ in range(3):
    cost = (w**2).sum()
    cost.backward()
    g = w.grad
    with torch.no_grad():
        w -= 0.1 * g
    w.grad = None
(w**2).sum().backward()
grad = w.grad
=== a velocity carries the gradient | raises
w = torch.ones(2, requires_grad=True)
v = torch.zeros(2)
for _ in range(3):
    cost = (w**2).sum()
    cost.backward()
    v = 0.9 * v + w.grad
    w = w - 0.1 * v
(w**2).sum().backward()
grad = w.grad
--->
w = torch.ones(2, requires_grad=True)
v = torch.zeros(2)
for _ in range(3):
    cost = (w**2).sum()
    cost.backward()
    v = 0.9 * v + w.grad
    with torch.no_grad():
        w -= 0.1 * v
    w.grad = None
(w**2).sum().backward()
grad = w.grad
=== attributes of an object, one update per call | raises unsafe
class Line:
    def __init__(self):
        self.w = torch.zeros(2, requires_grad=True)

    def step(self, x, y):
        loss = ((x @ self.w - y) ** 2).mean()
        loss.backward()
        self.w = self.w - 0.1 * self.w.grad
        return loss.item()


line = Line()
x, y = torch.ones(3, 2), torch.ones(3)
for _ in range(3):
    line.step(x, y)
(x @ line.w).sum().backward()
grad = line.w.grad
--->
class Line:
    def __init__(self):
        self.w = torch.zeros(2, requires_grad=True)

    def step(self, x, y):
        loss = ((x @ self.w - y) ** 2).mean()
        loss.backward()
        with torch.no_grad():
            self.w -= 0.1 * self.w.grad
        self.w.grad = None
        return loss.item()


line = Line()
x, y = torch.ones(3, 2), torch.ones(3)
for _ in range(3):
    line.step(x, y)
(x @ line.w).sum().backward()
grad = line.w.grad
=== two updates in one turn, each with a gradient of its own | raises
w = torch.ones(2, requires_grad=True)
for _ in range(2):
    (w**2).sum().backward()
    w = w - 0.1 * w.grad
    (w**3).sum().backward()
    w = w - 0.1 * w.grad
(w * w).sum().backward()
grad = w.grad
--->
w = torch.ones(2, requires_grad=True)
for _ in range(2):
    (w**2).sum().backward()
    with torch.no_grad():
        w -= 0.1 * w.grad
    w.grad = None
    (w**3).sum().backward()
    with torch.no_grad():
        w -= 0.1 * w.grad
    w.grad = None
(w * w).sum().backward()
grad = w.grad
=== grad mode is off already | raises
x, y = torch.ones(3, 2), torch.zeros(3)
w = torch.ones(2, requires_grad=True)
b = torch.ones(1, requires_grad=True)
for _ in range(3):
    ((x @ w + b - y) ** 2).sum().backward()
    with torch.no_grad():
        w = w - 0.1 * w.grad
        b = b - 0.1 * b.grad
        b.grad = None
grad = (x @ w + b).sum().backward() or w.grad
--->
x, y = torch.ones(3, 2), torch.zeros(3)
w = torch.ones(2, requires_grad=True)
b = torch.ones(1, requires_grad=True)
for _ in range(3):
    ((x @ w + b - y) ** 2).sum().backward()
    with torch.no_grad():
        w -= 0.1 * w.grad
        w.grad = None
        b -= 0.1 * b.grad
        b.grad = None
grad = (x @ w + b).sum().backward() or w.grad
=== the loop's variable is all that changes | values unsafe
net = nn.Linear(2, 1)
nn.init.ones_(net.weight)
net(torch.ones(2)).sum().backward()
for p in net.parameters():
    p = p - 0.1 * p.grad
    p.grad = None
out = net.weight
net(torch.ones(2)).sum().backward()
grad = net.weight.grad
--->
net = nn.Linear(2, 1)
nn.init.ones_(net.weight)
net(torch.ones(2)).sum().backward()
for p in net.parameters():
    with torch.no_grad():
        p -= 0.1 * p.grad
    p.grad = None
out = net.weight
net(torch.ones(2)).sum().backward()
grad = net.weight.grad
=== the name of a pair is all that changes | values unsafe
net = nn.Linear(2, 1)
nn.init.ones_(net.weight)
net(torch.ones(2)).sum().backward()
with torch.no_grad():
    for name, p in net.named_parameters():
        if name != "bias":
            p = p - 0.1 * p.grad
out = net.weight
grad = net.weight.grad
--->
net = nn.Linear(2, 1)
nn.init.ones_(net.weight)
net(torch.ones(2)).sum().backward()
with torch.no_grad():
    for name, p in net.named_parameters():
        if name != "bias":
            with torch.no_grad():
                p -= 0.1 * p.grad
out = net.weight
grad = net.weight.grad
=== gradient descent | raises
w = torch.ones(2, requires_grad=True)
for _ in range(3):
    error = (w * w).sum()
    error.backward()
    grad = w.grad
    w = w - 0.1 * w.grad
--->
w = torch.ones(2, requires_grad=True)
for _ in range(3):
    error = (w * w).sum()
    error.backward()
    grad = w.grad
    with torch.no_grad():
        w -= 0.1 * w.grad
    w.grad = None
=== the gradients are zeroed already | raises
w = torch.ones(2, requires_grad=True)
for step in range(3):
    (w * w).sum().backward()
    w = w - 0.1 * w.grad  # descend
    # ready for the next step
    w.grad.zero_()
grad = w.grad
--->
w = torch.ones(2, requires_grad=True)
for step in range(3):
    (w * w).sum().backward()
    with torch.no_grad():
        w -= 0.1 * w.grad  # descend
    # ready for the next step
    w.grad.zero_()
grad = w.grad
=== two leaves | raises
lr = 0.1
a = torch.ones(2, requires_grad=True)
b = torch.zeros(1, requires_grad=True)
for _ in range(3):
    error = ((a + b) ** 2).sum()
    error.backward()
    grads = (a.grad, b.grad)
    a = a - lr * a.grad
    b = b - lr * b.grad
--->
lr = 0.1
a = torch.ones(2, requires_grad=True)
b = torch.zeros(1, requires_grad=True)
for _ in range(3):
    error = ((a + b) ** 2).sum()
    error.backward()
    grads = (a.grad, b.grad)
    with torch.no_grad():
        a -= lr * a.grad
    a.grad = None
    with torch.no_grad():
        b -= lr * b.grad
    b.grad = None
=== gradient ascent | raises
w = torch.ones(2, requires_grad=True)
for _ in range(2):
    w.sin().sum().backward()
    grad = w.grad
    w = w + w.grad
--->
w = torch.ones(2, requires_grad=True)
for _ in range(2):
    w.sin().sum().backward()
    grad = w.grad
    with torch.no_grad():
        w += w.grad
    w.grad = None
=== in a function | raises
def fit(x, lr):
    w = Parameter(torch.zeros(1))
    for _ in range(3):
        loss = ((w * x - 1) ** 2).sum()
        loss.backward()
        grad = w.grad
        w = w - lr * w.grad
    return grad


grad = fit(torch.ones(2), 0.1)
--->
def fit(x, lr):
    w = Parameter(torch.zeros(1))
    for _ in range(3):
        loss = ((w * x - 1) ** 2).sum()
        loss.backward()
        grad = w.grad
        with torch.no_grad():
            w -= lr * w.grad
        w.grad = None
    return grad


grad = fit(torch.ones(2), 0.1)
=== the step is a sum in brackets | raises
w = torch.ones(2, requires_grad=True)
for _ in range(3):
    (w * w).sum().backward()
    grad = w.grad
    w = w - (0.1 * w.grad + 0.01)
--->
w = torch.ones(2, requires_grad=True)
for _ in range(3):
    (w * w).sum().backward()
    grad = w.grad
    with torch.no_grad():
        w -= 0.1 * w.grad + 0.01
    w.grad = None
=== a while loop | raises
w = torch.ones(2, requires_grad=True)
steps = 0
while steps < 3:
    (w * w).sum().backward()
    grad = w.grad
    w = w - 0.1 * w.grad
    steps += 1
--->
w = torch.ones(2, requires_grad=True)
steps = 0
while steps < 3:
    (w * w).sum().backward()
    grad = w.grad
    with torch.no_grad():
        w -= 0.1 * w.grad
    w.grad = None
    steps += 1
=== written out twice | raises unsafe
w = torch.ones(2, requires_grad=True)
(w * w).sum().backward()
w = w - 0.1 * w.grad
(w * w).sum().backward()
grad = w.grad.clone()
--->
w = torch.ones(2, requires_grad=True)
(w * w).sum().backward()
with torch.no_grad():
    w -= 0.1 * w.grad
w.grad = None
(w * w).sum().backward()
grad = w.grad.clone()
=== the old tensor is kept | raises unsafe
w = torch.ones(2, requires_grad=True)
history = []
for _ in range(3):
    history.append(w)
    (w * w).sum().backward()
    grad = w.grad
    w = w - 0.1 * w.grad
--->
w = torch.ones(2, requires_grad=True)
history = []
for _ in range(3):
    history.append(w)
    (w * w).sum().backward()
    grad = w.grad
    with torch.no_grad():
        w -= 0.1 * w.grad
    w.grad = None
=== kept within bounds after each step, by a method | raises
delta = torch.zeros(3, requires_grad=True)
opt = torch.optim.SGD([delta], lr=1.0)
for _ in range(3):
    opt.zero_grad()
    (delta - torch.tensor([1.0, 0.2, -1.0])).pow(2).sum().backward()
    opt.step()
    delta = delta.clamp(-0.5, 0.5)
out = opt.param_groups[0]["params"][0].abs().max()
grad = opt.param_groups[0]["params"][0].grad
--->
delta = torch.zeros(3, requires_grad=True)
opt = torch.optim.SGD([delta], lr=1.0)
for _ in range(3):
    opt.zero_grad()
    (delta - torch.tensor([1.0, 0.2, -1.0])).pow(2).sum().backward()
    opt.step()
    with torch.no_grad():
        delta.clamp_(-0.5, 0.5)
out = opt.param_groups[0]["params"][0].abs().max()
grad = opt.param_groups[0]["params"][0].grad
=== kept within bounds after each step, by a function | raises
delta = torch.zeros(3, requires_grad=True)
opt = torch.optim.SGD([delta], lr=1.0)
for _ in range(3):
    opt.zero_grad()
    (delta - torch.tensor([1.0, 0.2, -1.0])).pow(2).sum().backward()
    opt.step()
    delta = torch.clamp(delta, -0.5, 0.5)
out = opt.param_groups[0]["params"][0].abs().max()
grad = opt.param_groups[0]["params"][0].grad
--->
delta = torch.zeros(3, requires_grad=True)
opt = torch.optim.SGD([delta], lr=1.0)
for _ in range(3):
    opt.zero_grad()
    (delta - torch.tensor([1.0, 0.2, -1.0])).pow(2).sum().backward()
    opt.step()
    with torch.no_grad():
        delta.clamp_(-0.5, 0.5)
out = opt.param_groups[0]["params"][0].abs().max()
grad = opt.param_groups[0]["params"][0].grad
""")


REPORT = cases("""
=== several leaves in one statement
w = torch.ones(2, requires_grad=True)
b = torch.zeros(1, requires_grad=True)
for _ in range(2):
    (w.sum() + b - 3).pow(2).sum().backward()
    w, b = w - 0.1 * w.grad, b - 0.1 * b.grad - w.detach().sum()
reason: other names
=== no plain sum or difference
w = torch.ones(2, requires_grad=True)
for _ in range(2):
    (w * w).sum().backward()
    w = w * torch.exp(-w.grad)
reason: plain
=== another function sees it
w = torch.ones(2, requires_grad=True)


def loss():
    return (w * w).sum()


for _ in range(2):
    loss().backward()
    w = w - 0.1 * w.grad
reason: another function
=== a value from before the update is differentiated after it
w = torch.ones(2, requires_grad=True)
v = torch.ones(2, requires_grad=True)
for _ in range(2):
    one, two = (w * v).sum(), (w * v * v).sum()
    one.backward(retain_graph=True)
    w = w - 0.1 * w.grad
    two.backward()
reason: differentiated after it
=== a list of unknown things is run through
def step(parameters, rate):
    for p in parameters:
        p = p - rate * p.grad


step([torch.ones(2, requires_grad=True)], 0.1)
reason: leaves
=== the loop's variable is renewed by a method
net = nn.Linear(2, 1)
net(torch.ones(2)).sum().backward()
for p in net.parameters():
    p = p.sub(0.1 * p.grad)
reason: plain
=== the loop's variable decays as well
net = nn.Linear(2, 1)
net(torch.ones(2)).sum().backward()
for p in net.parameters():
    p = p - 0.1 * p.grad - 0.01 * p
reason: plain
=== the update starts elsewhere
w = torch.ones(2, requires_grad=True)
for _ in range(2):
    (w * w).sum().backward()
    w = 0.9 * w - 0.1 * w.grad
reason: start
=== every element of a dict
weights = {"a": torch.ones(2, requires_grad=True), "b": torch.ones(1, requires_grad=True)}
for _ in range(2):
    (weights["a"] * weights["b"]).sum().backward()
    weights = {key: w - 0.1 * w.grad for key, w in weights.items()}
reason: MAML
=== every element of a list that a function is given
def fit(weights, rate):
    for _ in range(2):
        sum((w * w).sum() for w in weights).backward()
        weights = list(w - rate * w.grad for w in weights)


fit([torch.ones(2, requires_grad=True)], 0.1)
reason: MAML
=== by a function of the file
def descend(weights, rate):
    return [w - rate * w.grad for w in weights]


weights = [torch.ones(2, requires_grad=True)]
for _ in range(2):
    (weights[0] ** 2).sum().backward()
    weights = descend(weights, rate=0.1)
reason: MAML
=== by a function of the file that names its result
def descend(weights, rate):
    new = [w - rate * w.grad for w in weights]
    return new


weights = [torch.ones(2, requires_grad=True)]
for _ in range(2):
    (weights[0] ** 2).sum().backward()
    weights = descend(weights, rate=0.1)
reason: MAML
=== by a function that appends
def descend(rate, weights):
    moved = []
    for w in weights:
        moved.append(w - rate * w.grad)
    return moved


weights = [torch.ones(2, requires_grad=True)]
for _ in range(2):
    (weights[0] ** 2).sum().backward()
    weights = descend(0.1, weights)
reason: MAML
=== by a function for one tensor
def descend(w, rate):
    return w - rate * w.grad


w = torch.ones(2, requires_grad=True)
for _ in range(2):
    (w * w).sum().backward()
    w = descend(w, 0.1)
reason: MAML
=== one slot after the other
weights = {"a": torch.ones(2, requires_grad=True), "b": torch.ones(1, requires_grad=True)}
for _ in range(2):
    (weights["a"] * weights["b"]).sum().backward()
    for key in weights:
        weights[key] = weights[key] - 0.1 * weights[key].grad
reason: MAML
=== one slot after the other by its element
weights = [torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)]
for _ in range(2):
    (weights[0] * weights[1]).sum().backward()
    for i, w in enumerate(weights):
        weights[i] = w - 0.1 * w.grad
reason: MAML
""")

SOUND = cases("""
=== detached copies are kept
w = torch.ones(2, requires_grad=True)
kept = []
for _ in range(2):
    kept.append(w.detach())
    (w * w).sum().backward()
    w = w - 0.1 * w.grad
out = kept[0]
--->
out = torch.ones(2)
=== a view is kept
w = torch.ones(2, requires_grad=True)
first = w[:1]
for _ in range(2):
    (w * w).sum().backward()
    w = w - 0.1 * w.grad
out = first.detach()
--->
out = torch.ones(1)
""")


@table(CHANGE)
def test_rewritten(case: Case) -> None:
    check_transformed(case, CODE)


@table(REPORT)
def test_reported(case: Case) -> None:
    check_reported(case, CODE)


@table(SOUND)
def test_sound(case: Case) -> None:
    check_sound(case, CODE)
