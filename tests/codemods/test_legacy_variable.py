"""GF401: code written for PyTorch 0.3."""

from __future__ import annotations

from harness import check_noop, check_reported, check_transformed, table
from snippets import Case, cases

CODE = "GF401"

CHANGE = cases("""
=== a fresh tensor | works
import torch
from torch.autograd import Variable
from torch.nn import Parameter

w = Parameter(torch.ones(3))
x = Variable(torch.ones(3))  # data
out = (w * x).sum()
out.backward()
grad = w.grad
--->
import torch
from torch.nn import Parameter

w = Parameter(torch.ones(3))
x = torch.ones(3)  # data
out = (w * x).sum()
out.backward()
grad = w.grad
=== a leaf | works
import torch
from torch.autograd import Variable

w = Variable(torch.ones(3), requires_grad=True)
out = (w * 2).sum()
out.backward()
grad = w.grad
--->
import torch

w = torch.ones(3, requires_grad=True)
out = (w * 2).sum()
out.backward()
grad = w.grad
=== a leaf of a legacy constructor | works
import torch
from torch import autograd

w = autograd.Variable(torch.FloatTensor([1, 2]), requires_grad=True)
out = (w * 2).sum()
out.backward()
grad = w.grad
--->
import torch
from torch import autograd

w = torch.FloatTensor([1, 2]).requires_grad_()
out = (w * 2).sum()
out.backward()
grad = w.grad
=== a leaf over a tensor that is used elsewhere | works
import torch
from torch.autograd import Variable

x = torch.ones(3)
w = Variable(x, requires_grad=True)
out = (w * x).sum()
out.backward()
grad = w.grad
--->
import torch

x = torch.ones(3)
w = x.detach().requires_grad_()
out = (w * x).sum()
out.backward()
grad = w.grad
=== a scaled leaf | works
import torch
from torch.autograd import Variable

w = Variable(torch.ones(3) * 0.5, requires_grad=True)
out = (w * 2).sum()
out.backward()
grad = w.grad
--->
import torch

w = (torch.ones(3) * 0.5).requires_grad_()
out = (w * 2).sum()
out.backward()
grad = w.grad
=== the same name | works
import torch
from torch.autograd import Variable
from torch.nn import Parameter

w = Parameter(torch.ones(3))
x = torch.ones(3)
x = Variable(x)
out = (w * x).sum()
out.backward()
grad = w.grad
--->
import torch
from torch.nn import Parameter

w = Parameter(torch.ones(3))
x = torch.ones(3)
out = (w * x).sum()
out.backward()
grad = w.grad
=== two of them, among other imports | works
import torch
from torch.autograd import Function, Variable
from torch.nn import Parameter

w = Parameter(torch.ones(3))
x, y = torch.ones(3), torch.zeros(3)
x, y = Variable(x), Variable(y, requires_grad=False)
out = (w * x + y).sum()
out.backward()
grad = w.grad
--->
import torch
from torch.autograd import Function
from torch.nn import Parameter

w = Parameter(torch.ones(3))
x, y = torch.ones(3), torch.zeros(3)
out = (w * x + y).sum()
out.backward()
grad = w.grad
=== under another name | works
import torch
from torch.autograd import Variable as V
from torch.nn import Parameter

w = Parameter(torch.ones(3))
out = (w * V(torch.ones(3))).sum() + (w * V(torch.zeros(3))).sum()
out.backward()
grad = w.grad
--->
import torch
from torch.nn import Parameter

w = Parameter(torch.ones(3))
out = (w * torch.ones(3)).sum() + (w * torch.zeros(3)).sum()
out.backward()
grad = w.grad
=== the import is still needed | works
import torch
from torch.autograd import Variable
from torch.nn import Parameter

w = Parameter(torch.ones(3))
x = Variable(torch.ones(3))
out = (w * x).sum() if isinstance(x, Variable) else None
out.backward()
grad = w.grad
--->
import torch
from torch.autograd import Variable
from torch.nn import Parameter

w = Parameter(torch.ones(3))
x = torch.ones(3)
out = (w * x).sum() if isinstance(x, Variable) else None
out.backward()
grad = w.grad
=== unknown data | unsafe works
import torch
from torch import nn
from torch.autograd import Variable


def step(net, batches):
    for x in batches:
        x = Variable(x)
        net(x).sum().backward()


net = nn.Linear(3, 2)
step(net, [torch.ones(3)])
grad = net.weight.grad
--->
import torch
from torch import nn


def step(net, batches):
    for x in batches:
        net(x).sum().backward()


net = nn.Linear(3, 2)
step(net, [torch.ones(3)])
grad = net.weight.grad
=== volatile | unsafe values
import torch
from torch import nn
from torch.autograd import Variable


def predict(net, batches):
    outs = []
    for x in batches:
        x = Variable(x, volatile=True)
        # one batch
        outs.append(net(x))  # keep
    return torch.cat(outs)


net = nn.Linear(3, 2)
out = predict(net, [torch.ones(1, 3)]).requires_grad
net(torch.ones(3)).sum().backward()
grad = net.weight.grad
--->
import torch
from torch import nn


def predict(net, batches):
    outs = []
    for x in batches:
        with torch.no_grad():
            # one batch
            outs.append(net(x))  # keep
    return torch.cat(outs)


net = nn.Linear(3, 2)
out = predict(net, [torch.ones(1, 3)]).requires_grad
net(torch.ones(3)).sum().backward()
grad = net.weight.grad
=== the first element of a loss | raises
w = Parameter(torch.ones(3))
loss = (w * 2).sum()
loss.backward()
grad = w.grad
out = loss.data[0]
--->
w = Parameter(torch.ones(3))
loss = (w * 2).sum()
loss.backward()
grad = w.grad
out = loss.item()
=== the first element of an unknown loss | unsafe raises
def step(criterion, out, y):
    loss = criterion(out, y)
    loss.backward()
    return loss.data[0]


net = nn.Linear(3, 2)
out = step(nn.MSELoss(), net(torch.ones(3)), torch.zeros(2))
grad = net.weight.grad
--->
def step(criterion, out, y):
    loss = criterion(out, y)
    loss.backward()
    return loss.item()


net = nn.Linear(3, 2)
out = step(nn.MSELoss(), net(torch.ones(3)), torch.zeros(2))
grad = net.weight.grad
""")

LEAVE = cases("""
=== a home-made Variable
import torch


class Variable:
    def __init__(self, value):
        self.value = value


x = Variable(torch.ones(3))
=== a Variable of another library
import types

import torch

tf = types.SimpleNamespace(Variable=list)
x = tf.Variable(torch.ones(3))
=== only an import
import torch
from torch.autograd import Variable

x = torch.ones(3)
=== a type check
import torch
from torch.autograd import Variable

x = torch.ones(3)
print(isinstance(x, Variable))
=== an annotation
import torch
from torch.autograd import Variable


def double(x: Variable) -> Variable:
    return x * 2


double(torch.ones(3))
=== the first element of a vector
x = torch.ones(3)
first = x.data[0]
=== the first row of a weight
net = nn.Linear(3, 2)
row = net.weight.data[0]
net(torch.ones(3)).sum().backward()
=== the first element of something unknown
def first(batch):
    return batch.data[0]


first(torch.ones(3))
=== a record with data
class Record:
    def __init__(self):
        self.data = [1, 2]


print(Record().data[0])
=== a list called data
class Box:
    data = (torch.ones(()), 2)


print(Box.data[0])
=== another element
x = torch.ones(3)
second = x.data[1]
=== a Function of today
class Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, grad_output):
        return -grad_output


x = torch.ones(3, requires_grad=True)
Reverse.apply(x).sum().backward()
=== a Function made static afterwards
def double(ctx, x):
    return x * 2


class Double(torch.autograd.Function):
    forward = staticmethod(double)
    backward = staticmethod(lambda ctx, g: g * 2)


Double.apply(torch.ones(3, requires_grad=True)).sum().backward()
=== a Function that is applied without static methods
class Reverse(torch.autograd.Function):
    def forward(ctx, x):
        return x.view_as(x)

    def backward(ctx, grad_output):
        return -grad_output


x = torch.ones(3, requires_grad=True)
Reverse.apply(x).sum().backward()
=== another class called Function
class Function:
    def forward(self, x):
        return x

    def backward(self, g):
        return g


class Twice(Function):
    def forward(self, x):
        return x * 2


Twice().forward(torch.ones(3))
=== a module with forward
class Net(nn.Module):
    def forward(self, x):
        return x


Net()(torch.ones(3))
=== zeroed after the update
w = torch.ones(3, requires_grad=True)
for _ in range(3):
    loss = (w - 2).pow(2).sum()
    loss.backward()
    with torch.no_grad():
        w -= 0.1 * w.grad
    w.grad.zero_()
=== zeroed before, behind a guard
w = torch.ones(3, requires_grad=True)
for _ in range(3):
    loss = (w - 2).pow(2).sum()
    if w.grad is not None:
        w.grad.zero_()
    loss.backward()
=== zeroed before, but not the first time
w = torch.ones(3, requires_grad=True)
for step in range(3):
    loss = (w - 2).pow(2).sum()
    if step:
        w.grad.data.zero_()
    loss.backward()
=== zeroed before, after a first backward
w = torch.ones(3, requires_grad=True)
w.sum().backward()
for _ in range(3):
    loss = (w - 2).pow(2).sum()
    w.grad.zero_()
    loss.backward()
=== differentiated by a function
def run(w):
    (w - 2).pow(2).sum().backward()


w = torch.ones(3, requires_grad=True)
run(w)
for _ in range(3):
    w.grad.zero_()
    (w - 2).pow(2).sum().backward()
=== differentiated by a closure
w = torch.ones(3, requires_grad=True)


def run():
    (w - 2).pow(2).sum().backward()


run()
w.grad.zero_()
(w - 2).pow(2).sum().backward()
=== a gradient set by hand
w = torch.ones(3, requires_grad=True)
w.grad = torch.zeros(3)
w.grad.zero_()
(w - 2).pow(2).sum().backward()
=== zeroed by an argument's owner
def step(w):
    w.grad.zero_()
    (w - 2).pow(2).sum().backward()


w = torch.ones(3, requires_grad=True)
w.sum().backward()
step(w)
=== set to None
w = torch.ones(3, requires_grad=True)
w.grad = None
(w * 2).sum().backward()
=== a loss that is made a leaf
import torch
from torch.autograd import Variable

w = torch.ones(3, requires_grad=True)
loss = Variable((w * 2).sum(), requires_grad=True)
loss.backward()
""")

REPORT = cases("""
=== a history that is cut
import torch
from torch.autograd import Variable
from torch.nn import Parameter

w = Parameter(torch.ones(3))
fake = Variable(w * 2)
out = (w * fake).sum()
out.backward()
reason: use .detach()
=== volatile in a function that trains
import torch
from torch import nn
from torch.autograd import Variable


def step(net, x, y):
    y = Variable(y, volatile=True)
    loss = (net(x) - y).pow(2).sum()
    loss.backward()


step(nn.Linear(3, 1), torch.ones(3), torch.ones(1))
reason: computes gradients
=== volatile and kept
import torch
from torch import nn
from torch.autograd import Variable


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.anchors = Variable(torch.ones(3), volatile=True)
        self.lin = nn.Linear(3, 3)

    def forward(self, x):
        return self.lin(x) - self.anchors


Net()(torch.ones(3)).sum().backward()
reason: kept in an attribute
=== volatile by an expression
import torch
from torch.autograd import Variable


def load(x, train):
    return Variable(x, volatile=not train)


load(torch.ones(3), True)
reason: depends on an expression
=== volatile in a return
import torch
from torch.autograd import Variable


def load(x):
    return Variable(x, volatile=True)


load(torch.ones(3))
reason: cannot be told apart
=== an old Function
class Reverse(torch.autograd.Function):
    def forward(self, x):
        return x.view_as(x)

    def backward(self, grad_output):
        return -grad_output


Reverse()(torch.ones(3))
reason: by hand
=== zeroed too early
w = torch.ones(3, requires_grad=True)
for _ in range(3):
    loss = (w - 2).pow(2).sum()
    w.grad.zero_()
    loss.backward()
reason: where the gradient is to be zeroed
=== a Variable zeroed too early
import torch
from torch.autograd import Variable


def train():
    w = Variable(torch.ones(3), requires_grad=True)
    for _ in range(3):
        loss = (w - 2).pow(2).sum()
        w.grad.data.zero_()
        loss.backward()
reason: mended first
=== unknown arguments
import torch
from torch.autograd import Variable

x = Variable(*[torch.ones(3)])
reason: not understood
=== a tensor that was an array in between
from torch.autograd import Variable
import torch
from torch import nn

net = nn.Linear(2, 2)
again = Variable(torch.from_numpy(net(torch.ones(1, 2)).detach().numpy() * 2))
again.sum()
reason: its history is lost
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
