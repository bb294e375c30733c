"""Faults inside statements that do several things, and attributes and methods spelled otherwise."""

from __future__ import annotations

import pytest
from harness import check_noop, check_reported, check_transformed, found, table
from snippets import Case, cases

from gradfix import engine
from gradfix.config import settings_from
from gradfix.model import Safety, Source


def code_of(case: Case) -> str:
    (code,) = (flag for flag in case.flags if flag.startswith("GF"))
    return code


FIXED = cases("""
=== a list beside a number | GF105 none
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.n, self.layers = 2, [nn.Linear(2, 2), nn.Linear(2, 1)]

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x * self.n


net = Net()
out = net(torch.ones(1, 2)).sum()
out.backward()
grads = [p.grad for p in net.parameters()] or None
--->
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.n, self.layers = 2, nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 1)])

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x * self.n


net = Net()
out = net(torch.ones(1, 2)).sum()
out.backward()
grads = [p.grad for p in net.parameters()] or None
=== both of two tensors are registered | GF105 unsafe none
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = torch.ones(2, requires_grad=True), torch.zeros(2, requires_grad=True)

    def forward(self, x):
        return x * self.a + self.b


net = Net()
out = net(torch.ones(2)).sum()
out.backward()
grads = [p.grad for p in net.parameters()] or None
--->
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = Parameter(torch.ones(2)), Parameter(torch.zeros(2))

    def forward(self, x):
        return x * self.a + self.b


net = Net()
out = net(torch.ones(2)).sum()
out.backward()
grads = [p.grad for p in net.parameters()] or None
=== a copy of graph tensors | GF301 none
a, b = Parameter(torch.ones(())), Parameter(torch.ones(()))
pair, n = torch.tensor([a * 2, b]), 2
out = (pair * n).sum()
if out.requires_grad:
    out.backward()
grad_a = a.grad
--->
a, b = Parameter(torch.ones(())), Parameter(torch.ones(()))
pair, n = torch.stack([a * 2, b]), 2
out = (pair * n).sum()
if out.requires_grad:
    out.backward()
grad_a = a.grad
=== a copy of graph tensors that methods of tensors give | GF301 unsafe none
class Loss(nn.Module):
    def forward(self, x):
        losses = []
        for i in range(len(x)):
            losses.append((x - x[i]).sum().sigmoid())
        mean = torch.tensor(losses).mean()
        return mean


w = Parameter(torch.ones(2))
out = Loss()(torch.stack([w, 2 * w, 3 * w]))
if out.requires_grad:
    out.backward()
grad = w.grad
--->
class Loss(nn.Module):
    def forward(self, x):
        losses = []
        for i in range(len(x)):
            losses.append((x - x[i]).sum().sigmoid())
        mean = torch.stack(losses).reshape(-1).mean()
        return mean


w = Parameter(torch.ones(2))
out = Loss()(torch.stack([w, 2 * w, 3 * w]))
if out.requires_grad:
    out.backward()
grad = w.grad
=== the leaf's name, with an annotation | GF101 none
w: torch.Tensor = torch.ones(3, requires_grad=True)
w: torch.Tensor = w * 2
w.sum().backward()
grad = w.grad
--->
w: torch.Tensor = torch.ones(3, requires_grad=True)
w_scaled: torch.Tensor = w * 2
w_scaled.sum().backward()
grad = w.grad
=== the leaf's name in the same statement as its optimizer | GF101 none
w = torch.ones(3, requires_grad=True)
opt, w = torch.optim.SGD([w], lr=0.1), w * 2
w.sum().backward()
grad = w.grad
--->
w = torch.ones(3, requires_grad=True)
opt, w_scaled = torch.optim.SGD([w], lr=0.1), w * 2
w_scaled.sum().backward()
grad = w.grad
=== by way of another name | GF101 none
w = torch.ones(3, requires_grad=True)
shifted = w - 1
w = shifted / 2
w.sum().backward()
grad = w.grad
--->
w = torch.ones(3, requires_grad=True)
shifted = w - 1
w_scaled = shifted / 2
w_scaled.sum().backward()
grad = w.grad
=== a slice beside another | GF201 values
w = Parameter(torch.ones(5))
head, tail = w[:2], w[2:]
head.data.zero_()
out = w.sum() + head.sum() + tail.sum()
out.backward()
grad = w.grad
--->
w = Parameter(torch.ones(5))
head, tail = w[:2].clone(), w[2:]
head.data.zero_()
out = w.sum() + head.sum() + tail.sum()
out.backward()
grad = w.grad
=== a generator beside a number | GF307 none
net = nn.Linear(2, 1)
params, lr = net.parameters(), 0.1
norm = sum(p.detach().norm() for p in params)
opt = torch.optim.SGD([*params, torch.zeros(1, requires_grad=True)], lr=lr)
net(torch.ones(1, 2)).sum().backward()
opt.step()
grads = [g["params"][0].grad for g in opt.param_groups]
--->
net = nn.Linear(2, 1)
params, lr = list(net.parameters()), 0.1
norm = sum(p.detach().norm() for p in params)
opt = torch.optim.SGD([*params, torch.zeros(1, requires_grad=True)], lr=lr)
net(torch.ones(1, 2)).sum().backward()
opt.step()
grads = [g["params"][0].grad for g in opt.param_groups]
=== two elements of a saved result | GF202 raises
w = Parameter(torch.ones(3))
p = torch.exp(w)
p[0], p[1] = 0.0, 1.0
out = p.sum()
out.backward()
grad = w.grad
--->
w = Parameter(torch.ones(3))
p = torch.exp(w).clone()
p[0], p[1] = 0.0, 1.0
out = p.sum()
out.backward()
grad = w.grad
=== an attribute that is set and read by its name | GF105 unsafe none
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        setattr(self, "scale", torch.ones(2, requires_grad=True))

    def forward(self, x):
        return x * getattr(self, "scale")


net = Net()
out = net(torch.ones(2)).sum()
out.backward()
grads = [p.grad for p in net.parameters()] or None
--->
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        setattr(self, "scale", Parameter(torch.ones(2)))

    def forward(self, x):
        return x * getattr(self, "scale")


net = Net()
out = net(torch.ones(2)).sum()
out.backward()
grads = [p.grad for p in net.parameters()] or None
=== two updates at once | GF104 raises
w, b = torch.ones(3, requires_grad=True), torch.ones(1, requires_grad=True)
for x in torch.ones(2, 3):
    loss = ((w * x).sum() + b).square().sum()
    loss.backward()
    grad_w, grad_b = w.grad.clone(), b.grad.clone()
    w, b = w - 0.1 * w.grad, b - 0.1 * b.grad
--->
w, b = torch.ones(3, requires_grad=True), torch.ones(1, requires_grad=True)
for x in torch.ones(2, 3):
    loss = ((w * x).sum() + b).square().sum()
    loss.backward()
    grad_w, grad_b = w.grad.clone(), b.grad.clone()
    with torch.no_grad():
        w -= 0.1 * w.grad
    w.grad = None
    with torch.no_grad():
        b -= 0.1 * b.grad
    b.grad = None
=== rows that are filled at once | GF302 works
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = Parameter(torch.ones(3))

    def forward(self):
        table = torch.zeros(2, 3)
        table[0], table[1] = self.w * 2, self.w.exp()
        return table


net = Net()
out = net()
out.sum().backward()
grad = net.w.grad
--->
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = Parameter(torch.ones(3))

    def forward(self):
        table = torch.stack(
            [
                self.w * 2,
                self.w.exp(),
            ]
        )
        return table


net = Net()
out = net()
out.sum().backward()
grad = net.w.grad
""")

REPORTED = cases("""
=== a flag that is set in one statement with another name | GF301
class Loss(nn.Module):
    def forward(self, x):
        losses = []
        for i in range(len(x)):
            losses.append(torch.relu((x - x[i]).pow(2).sum(1).max()))
        mean = torch.tensor(losses).mean()
        flag = mean.requires_grad = True
        return mean


net = nn.Linear(3, 2)
loss = Loss()(net(torch.rand(6, 3)))
loss.backward()
reason: other names
=== a tensor that is filled like a weight, and used by a method of its own | GF105
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 3)
        self.attention = torch.empty(3)
        nn.init.uniform_(self.attention)

    def forward(self, x):
        return self.lin(x) * self.attention.softmax(dim=0)
reason: to be trained
=== a Parameter of the class | GF105
class Net(nn.Module):
    w = Parameter(torch.ones(3))

    def forward(self, x):
        return x * self.w
reason: share
=== two updates, the second of which needs the first | GF104
w, b = torch.zeros(3, requires_grad=True), torch.zeros(1, requires_grad=True)
for x in torch.rand(3, 3):
    ((x @ w + b) ** 2).sum().backward()
    w, b = w - 0.1 * w.grad, b - 0.1 * b.grad - w.detach().sum()
reason: other names
=== an update by a function of operator | GF104
import operator
import torch

w = torch.zeros(3, requires_grad=True)
for x in torch.rand(3, 3):
    ((x @ w) ** 2).sum().backward()
    w = operator.sub(w, 0.1 * w.grad)
reason: no plain
=== the leaf's name inside an expression | GF101
w = torch.ones(3, requires_grad=True)
out = (w := w * 2).sum()
out.backward()
grad = w.grad
reason: other names
=== an item that is set by its method | GF203
w = Parameter(torch.ones(3))
w.__setitem__(0, 2.0)
reason: other names
=== an item that is set by a function | GF203
import operator
import torch

w = torch.ones(3, requires_grad=True)
operator.setitem(w, 0, 2.0)
reason: other names
=== a starred target | GF105
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.size, *self.layers = 2, nn.Linear(2, 2), nn.Linear(2, 1)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x
reason: other names
=== switched off inside try | GF308
def evaluate(net, x):
    try:
        torch.set_grad_enabled(False)
        return net(x).mean().item()
    finally:
        print(end="")


def fit(net, x):
    opt = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(3):
        opt.zero_grad()
        net(x).sum().backward()
        opt.step()
        evaluate(net, x)
reason: not known
""")

RAISES = cases("""
=== a method without its object | GF203
w = Parameter(torch.ones(3))
torch.Tensor.add_(w, 1)
=== a saved result, written by a method without its object | GF202
w = Parameter(torch.ones(3))
p = torch.exp(w)
torch.Tensor.mul_(p, 2)
p.sum().backward()
=== a saved result, written by a function of operator | GF202
import operator
import torch

w = torch.ones(3, requires_grad=True)
p = torch.sigmoid(w)
p = operator.imul(p, 2)
p.sum().backward()
""")

LEFT_ALONE = cases("""
=== a constant with noise that a function adds | GF102
def noisy(x, scale):
    shifted = x + Parameter(torch.ones(3)) * scale
    return shifted


w = Parameter(torch.ones(3))
out = noisy(w, 2.0).sum()
out.backward()
grad = w.grad
=== a leaf that a method hands out by a name of its own | GF105
class Patch(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch = torch.zeros(3, requires_grad=True)

    def trained(self):
        patch = self.patch
        return patch

    def forward(self, x):
        return x + self.patch


net = Patch()
opt = torch.optim.SGD([net.trained()], lr=0.1)
net(torch.ones(3)).sum().backward()
=== numbers for logging that are named beside the loss | GF301
w = Parameter(torch.ones(2))


def step():
    one, two = (w * w).sum(), w.sum()
    results = one + two, torch.tensor([one, two])
    return results


loss, shown = step()
loss.backward()
=== layers without weights of the class | GF105
class Net(nn.Module):
    act = nn.ReLU()

    def __init__(self):
        super().__init__()
        self.w = Parameter(torch.ones(3))

    def forward(self, x):
        return self.act(x * self.w)


out = Net()(torch.ones(3)).sum()
out.backward()
=== a Parameter of the class that an optimizer is given | GF105
class Net(nn.Module):
    w = Parameter(torch.ones(3))

    def forward(self, x):
        return x * self.w


opt = torch.optim.SGD([Net.w], lr=0.1)
out = Net()(torch.ones(3)).sum()
out.backward()
=== a value and its leaf change names | GF101
w = torch.ones(3, requires_grad=True)
w, leaf = w * 2, w
w.sum().backward()
grad = leaf.grad
=== updates that are differentiated themselves | GF104
w, b = torch.zeros(3, requires_grad=True), torch.zeros(1, requires_grad=True)
for x in torch.rand(3, 3):
    loss = ((x @ w + b) ** 2).sum()
    of_w, of_b = torch.autograd.grad(loss, (w, b), create_graph=True)
    w, b = w - 0.1 * of_w, b - 0.1 * of_b
=== names that are swapped | GF304
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, x):
        fixed, moving = self.layer(x).detach(), self.layer(x)
        fixed, moving = moving, fixed
        return fixed * moving


out = Net()(torch.ones(2)).sum()
out.backward()
=== a list that is registered in the same statement | GF105
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.plain = plain = [nn.Linear(2, 2), nn.Linear(2, 2)]
        self.layers, self.count = nn.ModuleList(plain), 2

    def forward(self, x):
        for layer in self.plain:
            x = layer(x)
        return x


out = Net()(torch.ones(2)).sum()
out.backward()
=== a number that becomes a Parameter | GF301
class Net(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.scale = Parameter(torch.tensor(config["scale"], requires_grad=True))

    def forward(self, x):
        return x * self.scale


out = Net({"scale": 1.0})(torch.ones(2)).sum()
out.backward()
=== two elements of a sum | GF202
w = Parameter(torch.ones(3))
p = w + 1
p[0], p[1] = 0.0, 1.0
p.sum().backward()
=== two elements under no_grad | GF203
w = Parameter(torch.ones(3))
with torch.no_grad():
    w[0], w[1] = 0.0, 1.0
(w * 2).sum().backward()
=== elements that are swapped | GF202
w = Parameter(torch.ones(3))
p = w * 2
p[0], p[1] = p[1].clone(), p[0].clone()
p.sum().backward()
=== data that is written by a method without its object | GF203
w = Parameter(torch.ones(3))
torch.Tensor.zero_(w.data)
(w * 2).sum().backward()
=== a loss that is named where it is tested | GF303
net = nn.Linear(2, 1)
opt = torch.optim.SGD(net.parameters(), lr=0.1)
if (loss := net(torch.ones(1, 2)).square().sum()) > 0:
    loss.backward()
    opt.step()
=== switched on again in finally | GF308
def evaluate(net, x):
    try:
        torch.set_grad_enabled(False)
        return net(x).mean().item()
    finally:
        torch.set_grad_enabled(True)


def fit(net, x):
    opt = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(3):
        opt.zero_grad()
        net(x).sum().backward()
        opt.step()
        evaluate(net, x)


fit(nn.Linear(2, 1), torch.ones(1, 2))
=== a list beside its copies | GF307
net = nn.Linear(2, 1)
params, lr = list(net.parameters()), 0.1
opt = torch.optim.SGD(params, lr=lr)
net(torch.ones(1, 2)).sum().backward()
torch.nn.utils.clip_grad_norm_(params, 1.0)
opt.step()
""")


@table(FIXED)
def test_fixed(case: Case) -> None:
    check_transformed(case, code_of(case))


@table(REPORTED)
def test_reported(case: Case) -> None:
    check_reported(case, code_of(case))


@table(RAISES)
def test_found_and_raises(case: Case) -> None:
    from snippets import run

    assert found(case.before, code_of(case))
    assert isinstance(run(case.before).error, RuntimeError)


@table(LEFT_ALONE)
def test_left_alone(case: Case) -> None:
    check_noop(case, code_of(case))


@pytest.mark.parametrize("code", ["GF101", "GF202", "GF203", "GF304", "GF305"])
@table(LEFT_ALONE)
def test_nothing_else_is_found(case: Case, code: str) -> None:
    assert found(case.before, code) == []


LAMBDA = """\
import torch
from torch import nn


class Deviation(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 3)
        self.std = lambda x: (x - x.mean()).pow(2).mean(){}

    def forward(self, x):
        x = self.lin(x)
        return torch.cat([x, torch.FloatTensor([self.std(x)])])
"""


def test_a_copy_by_way_of_a_lambda_in_an_attribute() -> None:
    (finding,) = found(LAMBDA.format(".sqrt()"), "GF301")
    assert finding.span.row == 13
    assert finding.fix is not None and finding.fix.safety is Safety.UNSAFE
    assert not found(LAMBDA.format(".item()"), "GF301")


def test_a_copy_is_reported_once() -> None:
    (case,) = [case for case in FIXED if "methods of tensors" in case.name]
    outcome = engine.check(Source("m.py", case.before), settings_from())
    assert [finding.code for finding in outcome.findings] == ["GF301"]
