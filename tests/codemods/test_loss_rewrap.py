"""GF303: the loss is made a leaf before backward."""

from __future__ import annotations

from harness import check_noop, check_reported, check_transformed, table
from snippets import Case, cases

CODE = "GF303"

CHANGE = cases("""
=== a new tensor under the same name | none
w = Parameter(torch.ones(3))
loss = (w * 2).sum()
loss = torch.tensor(loss, requires_grad=True)
loss.backward()
grad = w.grad
--->
w = Parameter(torch.ones(3))
loss = (w * 2).sum()
loss.backward()
grad = w.grad
=== a new tensor under another name | none
w = Parameter(torch.ones(3))
raw = (w * 2).sum()
loss = torch.tensor(raw, requires_grad=True)  # make backward work
loss.backward()
grad = w.grad
--->
w = Parameter(torch.ones(3))
raw = (w * 2).sum()
loss = raw  # make backward work
loss.backward()
grad = w.grad
=== a Variable | none
import torch
from torch.autograd import Variable
from torch.nn import Parameter

w = Parameter(torch.ones(3))
loss = (w * 2).mean()
loss = Variable(loss, requires_grad=True)
loss.backward()
grad = w.grad
--->
import torch
from torch.autograd import Variable
from torch.nn import Parameter

w = Parameter(torch.ones(3))
loss = (w * 2).mean()
loss.backward()
grad = w.grad
=== a Parameter | none
w = Parameter(torch.ones(3))
loss = Parameter((w - 1.5).pow(2).sum())
loss.backward()
grad = w.grad
out = loss.detach()
--->
w = Parameter(torch.ones(3))
loss = (w - 1.5).pow(2).sum()
loss.backward()
grad = w.grad
out = loss.detach()
=== of another element type | none
w = Parameter(torch.ones(3))
loss = torch.tensor((w * 2).sum(), dtype=torch.float64, requires_grad=True)
loss.backward()
grad = w.grad
--->
w = Parameter(torch.ones(3))
loss = (w * 2).sum().to(dtype=torch.float64)
loss.backward()
grad = w.grad
=== returned by a criterion | none
class Criterion(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = Parameter(torch.ones(()))

    def forward(self, x):
        loss = nn.functional.mse_loss(self.scale * x, torch.zeros(3))
        return torch.tensor(loss, requires_grad=True)


criterion = Criterion()
loss = criterion(torch.ones(3))
loss.backward()
grad = criterion.scale.grad
--->
class Criterion(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = Parameter(torch.ones(()))

    def forward(self, x):
        loss = nn.functional.mse_loss(self.scale * x, torch.zeros(3))
        return loss


criterion = Criterion()
loss = criterion(torch.ones(3))
loss.backward()
grad = criterion.scale.grad
=== the flag on a loss with a history | raises
w = Parameter(torch.ones(3))
loss = (w * 2).sum()
loss.requires_grad = True
loss.backward()
grad = w.grad
--->
w = Parameter(torch.ones(3))
loss = (w * 2).sum()
loss.backward()
grad = w.grad
=== the flag alone in a branch | raises
w = Parameter(torch.ones(3))
train = True
loss = (w * 2).sum()
if train:
    loss.requires_grad = True
loss.backward()
grad = w.grad
--->
w = Parameter(torch.ones(3))
train = True
loss = (w * 2).sum()
if train:
    pass
loss.backward()
grad = w.grad
=== of the output of an unknown model | unsafe none
def step(model, x, y):
    loss = nn.functional.mse_loss(model(x), y)
    loss = torch.tensor(loss, requires_grad=True)
    loss.backward()


net = nn.Linear(3, 2)
step(net, torch.ones(3), torch.zeros(2))
grad = net.weight.grad
--->
def step(model, x, y):
    loss = nn.functional.mse_loss(model(x), y)
    loss.backward()


net = nn.Linear(3, 2)
step(net, torch.ones(3), torch.zeros(2))
grad = net.weight.grad
=== of an unknown criterion in a Variable | unsafe none
import torch
from torch import nn
from torch.autograd import Variable


def step(criterion, out, y):
    loss = criterion(out, y)
    loss = Variable(loss, requires_grad=True)
    loss.backward()


net = nn.Linear(3, 2)
step(nn.MSELoss(), net(torch.ones(3)), torch.zeros(2))
grad = net.weight.grad
--->
import torch
from torch import nn
from torch.autograd import Variable


def step(criterion, out, y):
    loss = criterion(out, y)
    loss.backward()


net = nn.Linear(3, 2)
step(nn.MSELoss(), net(torch.ones(3)), torch.zeros(2))
grad = net.weight.grad
=== in a training loop | none
net = nn.Linear(3, 1)
opt = torch.optim.SGD(net.parameters(), lr=0.1)
for _ in range(2):
    out = net(torch.ones(3))
    loss = torch.tensor((out - 1).pow(2).mean(), requires_grad=True)
    opt.zero_grad()
    loss.backward()
    opt.step()
    break
grad = net.weight.grad
--->
net = nn.Linear(3, 1)
opt = torch.optim.SGD(net.parameters(), lr=0.1)
for _ in range(2):
    out = net(torch.ones(3))
    loss = (out - 1).pow(2).mean()
    opt.zero_grad()
    loss.backward()
    opt.step()
    break
grad = net.weight.grad
""")

LEAVE = cases("""
=== the gradient of an input, through steps that may be none
class Estimator:
    def __init__(self, steps):
        self.steps = steps

    def gradient(self, x, gradients):
        x = torch.tensor(x, requires_grad=True)
        first = x
        for step in self.steps:
            x = step(x)
        x.backward(torch.tensor(gradients))
        return first.grad.detach().numpy()


Estimator([lambda x: x * 2])
Estimator([]).gradient([1.0, 2.0], [1.0, 1.0])
=== the start of a sum
w = Parameter(torch.ones(3))
total = torch.tensor(0.0, requires_grad=True)
for i in range(3):
    total = total + (w * i).sum()
total.backward()
=== a loss of nothing
w = Parameter(torch.ones(3))
found = []
if found:
    loss = (w * 2).sum()
else:
    loss = torch.tensor(0.0, requires_grad=True)
loss.backward()
=== a demonstration
x = torch.tensor(2.0, requires_grad=True)
x.backward()
=== a demonstration with a flag
x = torch.ones(())
x.requires_grad = True
x.backward()
=== a variable to optimise
start = 3.0
x = torch.tensor(start, requires_grad=True)
y = (x - 1) ** 2
y.backward()
=== numbers from NumPy to optimise
import numpy as np
import torch

x = torch.tensor(np.array([1.0, 2.0]), requires_grad=True)
x.pow(2).sum().backward()
=== an adversarial example
def attack(net, x, y):
    for _ in range(2):
        x.requires_grad = True
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        x = (x + 0.1 * x.grad.sign()).detach()
    return x


attack(nn.Linear(3, 2), torch.ones(4, 3), torch.tensor([0, 1, 0, 1]))
=== a gradient penalty
import torch
from torch import nn
from torch.autograd import Variable, grad

critic = nn.Linear(3, 1)
gen = nn.Linear(2, 3)
x_hat = Variable(gen(torch.ones(4, 2)), requires_grad=True)
score = critic(x_hat)
(g,) = grad(score.sum(), x_hat, create_graph=True)
((g.norm(dim=1) - 1) ** 2).mean().backward()
=== a scale taken from the data
net = nn.Linear(3, 3)
h = net(torch.ones(2, 3))
scale = Parameter(h.abs().max())
opt = torch.optim.SGD([scale], lr=0.1)
(scale * 2).backward()
opt.step()
=== the call that does nothing
w = Parameter(torch.ones(3))
loss = (w * 2).sum()
loss.requires_grad_()
loss.backward()
=== an unknown loss and the call that may do nothing
def step(loss):
    loss.requires_grad_(True)
    loss.backward()


step((Parameter(torch.ones(3)) * 2).sum())
=== only where there is no history
def step(criterion, out, y):
    loss = criterion(out, y)
    if not loss.requires_grad:
        loss.requires_grad = True
    loss.backward()


step(nn.MSELoss(), torch.ones(3), torch.zeros(3))
=== only where there is no grad_fn
def step(loss):
    if loss.grad_fn is None:
        loss = loss.detach().requires_grad_()
    loss.backward()


step(torch.ones(()))
=== a number for the log
w = Parameter(torch.ones(3))
loss = (w * 2).sum()
shown = torch.tensor(loss.item())
loss.backward()
print(shown)
=== frozen and thawed
net = nn.Linear(3, 1)
for p in net.parameters():
    p.requires_grad = False
for p in net.parameters():
    p.requires_grad = True
net(torch.ones(3)).backward()
=== the gradient of an intermediate value
net = nn.Linear(3, 2)
h = net(torch.ones(3))
h.retain_grad()
h.sum().backward()
print(h.grad.sum())
=== a leaf between two halves of a network
first, second = nn.Linear(3, 3), nn.Linear(3, 1)
h = first(torch.ones(3))
cut = h.detach().requires_grad_()
second(cut).sum().backward()
h.backward(cut.grad)
=== langevin
x = torch.zeros(3)
for _ in range(3):
    x = x.detach().requires_grad_(True)
    energy = (x - 1).pow(2).sum()
    energy.backward()
    x = x - 0.1 * x.grad
=== another tensor function
import torch


class Box:
    @staticmethod
    def tensor(value, requires_grad):
        return value


w = torch.ones(3, requires_grad=True)
loss = Box.tensor((w * 2).sum(), requires_grad=True)
loss.backward()
=== a home-made Variable
import torch


def Variable(value, requires_grad=False):
    return value


w = torch.ones(3, requires_grad=True)
loss = Variable((w * 2).sum(), requires_grad=True)
loss.backward()
=== a list of losses
w = Parameter(torch.ones(3))
losses = [(w * i).sum() for i in range(3)]
loss = torch.stack(losses).sum()
loss.backward()
=== a scale asked for by its gradient
w = Parameter(torch.ones(3))
scale = torch.tensor((w * 2).sum(), requires_grad=True)
out = scale * 3
out.backward()
print(scale.grad)
""")

REPORT = cases("""
=== from NumPy
import numpy as np
import torch
from torch import nn

net = nn.Linear(3, 1)
losses = []
for x in torch.ones(4, 3):
    losses.append(net(x).pow(2).sum().item())
loss = torch.tensor(np.mean(losses), requires_grad=True)
loss.backward()
reason: only a number is left
=== from an item
w = Parameter(torch.ones(3))
value = (w * 2).sum().item()
loss = torch.tensor(value, requires_grad=True)
loss.backward()
reason: only a number is left
=== from an item, by keyword
w = Parameter(torch.ones(3))
value = (w * 2).sum().item()
loss = torch.tensor(data=value, requires_grad=True)
loss.backward()
reason: only a number is left
=== detached before
w = Parameter(torch.ones(3))
loss = (w * 2).sum().detach()
loss.requires_grad = True
loss.backward()
reason: no history any more
=== detached and made a leaf in one line
w = Parameter(torch.ones(3))
loss = (w * 2).sum().data.requires_grad_()
loss.backward()
reason: no history any more
=== computed under no_grad
w = Parameter(torch.ones(3))
with torch.no_grad():
    loss = (w * 2).sum()
loss.requires_grad_(True)
loss.backward()
reason: no history any more
=== an unknown loss
def step(criterion, out, y):
    loss = criterion(out, y)
    loss.requires_grad = True
    loss.backward()


step(nn.MSELoss(), torch.ones(3), torch.zeros(3))
reason: no history any more
=== what a function returned
def penalty(out):
    return torch.tensor(((out - 1) ** 2).mean(), requires_grad=True)


penalty(nn.Linear(3, 1)(torch.ones(3))).backward()
reason: not known whether
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
