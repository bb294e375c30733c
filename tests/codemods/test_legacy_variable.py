"""GF401: code written for PyTorch 0.3."""

from __future__ import annotations

from harness import check_noop, check_reported, check_transformed, fixed, found, table
from snippets import Case, cases, run

CODE = "GF401"

CHANGE = cases("""
=== a stop-gradient that is written out | unsafe works
import torch
from torch import nn
from torch.autograd import Variable


class Pyramid(nn.Module):
    def __init__(self, hold):
        super().__init__()
        self.hold = hold
        self.coarse = nn.Linear(3, 3)
        self.fine = nn.Linear(3, 3)

    def forward(self, x, up):
        u = up(self.coarse(x))
        if self.hold:
            u = Variable(u, requires_grad=False)
        return self.fine(u)


net = Pyramid(True)
out = net(torch.ones(3), torch.sigmoid).sum()
out.backward()
grad = net.fine.weight.grad
--->
import torch
from torch import nn
from torch.autograd import Variable


class Pyramid(nn.Module):
    def __init__(self, hold):
        super().__init__()
        self.hold = hold
        self.coarse = nn.Linear(3, 3)
        self.fine = nn.Linear(3, 3)

    def forward(self, x, up):
        u = up(self.coarse(x))
        if self.hold:
            u = u.detach()
        return self.fine(u)


net = Pyramid(True)
out = net(torch.ones(3), torch.sigmoid).sum()
out.backward()
grad = net.fine.weight.grad
=== new keeps the history of a tensor that it is given | unsafe works
import torch
from torch import nn
from torch.autograd import Variable

lin = nn.Linear(3, 1)
x = torch.ones(3)
held = Variable(x.new(lin(x)), requires_grad=False)
out = (held * lin(x)).sum()
out.backward()
grad = lin.weight.grad
--->
import torch
from torch import nn
from torch.autograd import Variable

lin = nn.Linear(3, 1)
x = torch.ones(3)
held = x.new(lin(x)).detach()
out = (held * lin(x)).sum()
out.backward()
grad = lin.weight.grad
=== a type that may be given a tensor with a history | unsafe works
import torch
from torch import nn
from torch.autograd import Variable

Tensor = torch.cuda.FloatTensor if torch.cuda.is_available() else torch.FloatTensor


def held(x, *more):
    return Variable(Tensor(x, *more), requires_grad=False)


lin = nn.Linear(3, 1)
out = (held(lin(torch.ones(3))) * lin(torch.ones(3))).sum()
out.backward()
grad = lin.weight.grad
--->
import torch
from torch import nn
from torch.autograd import Variable

Tensor = torch.cuda.FloatTensor if torch.cuda.is_available() else torch.FloatTensor


def held(x, *more):
    return Tensor(x, *more).detach()


lin = nn.Linear(3, 1)
out = (held(lin(torch.ones(3))) * lin(torch.ones(3))).sum()
out.backward()
grad = lin.weight.grad
=== the negative of what a loop has left, and a view that is written into | works
import torch
from torch import nn
from torch.autograd import Variable

lin = nn.Linear(3, 3)
target = torch.zeros(3)
for _ in range(2):
    with torch.no_grad():
        target = target + lin(target)
    goal = Variable(-target, requires_grad=False)
    rows = Variable(target.view(3, 1), requires_grad=False)
    rows[0] = 2.0
out = (lin(torch.ones(3)) * goal * target).sum()
out.backward()
grad = lin.weight.grad
--->
import torch
from torch import nn
from torch.autograd import Variable

lin = nn.Linear(3, 3)
target = torch.zeros(3)
for _ in range(2):
    with torch.no_grad():
        target = target + lin(target)
    goal = -target
    rows = target.view(3, 1).detach()
    rows[0] = 2.0
out = (lin(torch.ones(3)) * goal * target).sum()
out.backward()
grad = lin.weight.grad
=== what is computed from something unknown is not None | works
import torch
from torch import nn
from torch.autograd import Variable


def step(net, x, kept):
    goal = Variable(-kept, requires_grad=False)
    more = Variable(x + kept, False)
    return (net(x) - goal).pow(2).sum() + more.sum()


net = nn.Linear(3, 1)
out = step(net, torch.ones(3), net(torch.ones(3)))
out.backward()
grad = net.weight.grad
--->
import torch
from torch import nn
from torch.autograd import Variable


def step(net, x, kept):
    goal = (-kept).detach()
    more = (x + kept).detach()
    return (net(x) - goal).pow(2).sum() + more.sum()


net = nn.Linear(3, 1)
out = step(net, torch.ones(3), net(torch.ones(3)))
out.backward()
grad = net.weight.grad
=== what a function is given, without a history | unsafe works
import torch
from torch import nn
from torch.autograd import Variable


def step(net, x, y):
    y = Variable(y, requires_grad=False)
    return (net(x) - y).pow(2).sum()


net = nn.Linear(3, 1)
out = step(net, torch.ones(3), net(torch.ones(3)))
out.backward()
grad = net.weight.grad
--->
import torch
from torch import nn
from torch.autograd import Variable


def step(net, x, y):
    y = y.detach()
    return (net(x) - y).pow(2).sum()


net = nn.Linear(3, 1)
out = step(net, torch.ones(3), net(torch.ones(3)))
out.backward()
grad = net.weight.grad
=== two losses in one message under a condition | raises
lin = nn.Linear(2, 1)
one, two = lin(torch.ones(2)).sum(), lin(torch.ones(2)).mean()
(one + two).backward()
for i in range(2):
    if i % 2 == 0:
        out = "{} {}".format(one.data[0], two.data[0])
grad = lin.weight.grad
--->
lin = nn.Linear(2, 1)
one, two = lin(torch.ones(2)).sum(), lin(torch.ones(2)).mean()
(one + two).backward()
for i in range(2):
    if i % 2 == 0:
        out = "{} {}".format(one.item(), two.item())
grad = lin.weight.grad
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
from torch.autograd import Variable
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
from torch.autograd import Variable

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
=== what a type of this or that device makes | works
import numpy as np
import torch
from torch import nn
from torch.autograd import Variable

cuda = torch.cuda.is_available()
Tensor = torch.cuda.FloatTensor if cuda else torch.FloatTensor


def step(net, size):
    valid = Variable(Tensor(size, 1).fill_(1.0), requires_grad=False)
    noise = Variable(Tensor(np.ones((size, 3))))
    return (net(noise) - valid).pow(2).sum()


net = nn.Linear(3, 1)
out = step(net, 2)
out.backward()
grad = net.weight.grad
--->
import numpy as np
import torch
from torch import nn
from torch.autograd import Variable

cuda = torch.cuda.is_available()
Tensor = torch.cuda.FloatTensor if cuda else torch.FloatTensor


def step(net, size):
    valid = Tensor(size, 1).fill_(1.0)
    noise = Tensor(np.ones((size, 3)))
    return (net(noise) - valid).pow(2).sum()


net = nn.Linear(3, 1)
out = step(net, 2)
out.backward()
grad = net.weight.grad
=== what a type makes of something unknown | unsafe works
import torch
from torch import nn
from torch.autograd import Variable

cuda = torch.cuda.is_available()
Tensor = torch.cuda.FloatTensor if cuda else torch.FloatTensor


def step(net, numbers):
    return net(Variable(Tensor(numbers))).sum()


net = nn.Linear(3, 1)
out = step(net, [1.0, 2.0, 3.0])
out.backward()
grad = net.weight.grad
--->
import torch
from torch import nn
from torch.autograd import Variable

cuda = torch.cuda.is_available()
Tensor = torch.cuda.FloatTensor if cuda else torch.FloatTensor


def step(net, numbers):
    return net(Tensor(numbers)).sum()


net = nn.Linear(3, 1)
out = step(net, [1.0, 2.0, 3.0])
out.backward()
grad = net.weight.grad
=== a hidden state of the same type as weights that are not known | works
import torch
from torch import nn
from torch.autograd import Variable


def start(parts, size):
    weight = next(parts).data
    return Variable(weight.new(size, 3).zero_(), requires_grad=False)


cell = nn.RNNCell(3, 3)
out = cell(torch.ones(2, 3), start(cell.parameters(), 2)).sum()
out.backward()
grad = cell.weight_ih.grad
--->
import torch
from torch import nn
from torch.autograd import Variable


def start(parts, size):
    weight = next(parts).data
    return weight.new(size, 3).zero_()


cell = nn.RNNCell(3, 3)
out = cell(torch.ones(2, 3), start(cell.parameters(), 2)).sum()
out.backward()
grad = cell.weight_ih.grad
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
from torch.autograd import Variable

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
from torch.autograd import Variable

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
from torch.autograd import Variable
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
from torch.autograd import Function, Variable
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
from torch.autograd import Variable as V
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
from torch.autograd import Variable


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
from torch.autograd import Variable


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
=== volatile where another function is called train | unsafe values
import torch
from torch import nn
from torch.autograd import Variable


def train(net, x):
    net(x).sum().backward()


def test(net, x):
    x = Variable(x, volatile=True)
    net.train(False)
    return net(x)


net = nn.Linear(3, 3)
train(net, torch.ones(3))
out = test(net, torch.ones(3)).requires_grad
grad = net.weight.grad
--->
import torch
from torch import nn
from torch.autograd import Variable


def train(net, x):
    net(x).sum().backward()


def test(net, x):
    with torch.no_grad():
        net.train(False)
        return net(x)


net = nn.Linear(3, 3)
train(net, torch.ones(3))
out = test(net, torch.ones(3)).requires_grad
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
=== a sum in a chain keeps its brackets | works
import torch
from torch.autograd import Variable

w = torch.ones(3, requires_grad=True)
out = (w * Variable(torch.ones(3) + 1).float()).sum()
out.backward()
grad = w.grad
--->
import torch
from torch.autograd import Variable

w = torch.ones(3, requires_grad=True)
out = (w * (torch.ones(3) + 1).float()).sum()
out.backward()
grad = w.grad
=== the flag without its name | works
import torch
from torch.autograd import Variable

w = Variable(torch.ones(3), True)
out = (w * 2).sum()
out.backward()
grad = w.grad
--->
import torch
from torch.autograd import Variable

w = torch.ones(3, requires_grad=True)
out = (w * 2).sum()
out.backward()
grad = w.grad
=== a tensor that is only read | works
import torch
from torch.autograd import Variable

w = torch.ones(3, requires_grad=True)
x = torch.ones(3)
y = Variable(x)
out = (w * y).sum() + (w * x).sum()
out.backward()
grad = w.grad
--->
import torch
from torch.autograd import Variable

w = torch.ones(3, requires_grad=True)
x = torch.ones(3)
y = x
out = (w * y).sum() + (w * x).sum()
out.backward()
grad = w.grad
=== a name for the flag | unsafe works
import torch
from torch.autograd import Variable


def start(size, train):
    return Variable(torch.ones(size), requires_grad=train)


w = start(3, True)
out = (w * 2).sum()
out.backward()
grad = w.grad
--->
import torch
from torch.autograd import Variable


def start(size, train):
    return torch.ones(size).requires_grad_(train)


w = start(3, True)
out = (w * 2).sum()
out.backward()
grad = w.grad
=== another leaf over an argument | unsafe works
import torch
from torch.autograd import Variable


def attack(net, x):
    x = Variable(x, requires_grad=True)
    net(x).sum().backward()
    return x.grad


out = torch.ones(3)
grad = attack(torch.exp, out)
--->
import torch
from torch.autograd import Variable


def attack(net, x):
    x = x.detach().requires_grad_()
    net(x).sum().backward()
    return x.grad


out = torch.ones(3)
grad = attack(torch.exp, out)
=== volatile, among others | unsafe values
import torch
from torch import nn
from torch.autograd import Variable


def test(net, batches):
    outs = []
    for x, y in batches:
        x, y = Variable(x, volatile=True), Variable(y)
        outs.append(net(x) - y)
    return outs[0]


net = nn.Linear(3, 2)
out = test(net, [(torch.ones(1, 3), torch.ones(1, 2))]).requires_grad
net(torch.ones(3)).sum().backward()
grad = net.weight.grad
--->
import torch
from torch import nn
from torch.autograd import Variable


def test(net, batches):
    outs = []
    for x, y in batches:
        with torch.no_grad():
            outs.append(net(x) - y)
    return outs[0]


net = nn.Linear(3, 2)
out = test(net, [(torch.ones(1, 3), torch.ones(1, 2))]).requires_grad
net(torch.ones(3)).sum().backward()
grad = net.weight.grad
=== volatile in the middle of a return | unsafe values
import torch
from torch import nn
from torch.autograd import Variable


def act(net, state):
    return net(Variable(state, volatile=True)).max()


net = nn.Linear(3, 2)
out = act(net, torch.ones(3)).requires_grad
net(torch.ones(3)).sum().backward()
grad = net.weight.grad
--->
import torch
from torch import nn
from torch.autograd import Variable


def act(net, state):
    with torch.no_grad():
        return net(state).max()


net = nn.Linear(3, 2)
out = act(net, torch.ones(3)).requires_grad
net(torch.ones(3)).sum().backward()
grad = net.weight.grad
=== the loss of a layer, by way of NumPy | raises
net = nn.Linear(3, 2)
criterion = nn.MSELoss()
loss = criterion(net(torch.ones(3)), torch.zeros(2))
loss.backward()
grad = net.weight.grad
out = loss.data.cpu().numpy()[0]
--->
net = nn.Linear(3, 2)
criterion = nn.MSELoss()
loss = criterion(net(torch.ones(3)), torch.zeros(2))
loss.backward()
grad = net.weight.grad
out = loss.item()
=== a hidden state that is no Variable any more | unsafe raises
import torch
from torch.autograd import Variable


def repackage(h):
    if type(h) == Variable:
        return h.detach()
    return tuple(repackage(part) for part in h)


w = torch.ones((), requires_grad=True)
out = repackage(w)
w.backward()
grad = w.grad
--->
import torch
from torch.autograd import Variable


def repackage(h):
    if isinstance(h, Variable):
        return h.detach()
    return tuple(repackage(part) for part in h)


w = torch.ones((), requires_grad=True)
out = repackage(w)
w.backward()
grad = w.grad
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
=== a loss that is made a leaf
import torch
from torch.autograd import Variable

w = torch.ones(3, requires_grad=True)
loss = Variable((w * 2).sum(), requires_grad=True)
loss.backward()
=== losses one by one
net = nn.Linear(3, 2)
each = nn.functional.mse_loss(net(torch.ones(3)), torch.zeros(2), reduce=False)
first = each.data[0]
criterion = nn.MSELoss(reduction="none")
other = criterion(net(torch.ones(3)), torch.zeros(2)).data[0]
=== the reduction is switched off later
net = nn.Linear(3, 2)
criterion = nn.MSELoss()
criterion.reduction = "none"
first = criterion(net(torch.ones(3)), torch.zeros(2)).data[0]
=== both versions, by the error
x = torch.ones(3)
try:
    total = x.sum().data[0]
except IndexError:
    total = x.sum().item()
=== both versions, by asking
x = torch.ones(3)
total = x.sum().item() if hasattr(x, "item") else x.sum().data[0]
=== the type of something else
import torch
from torch.autograd import Variable

x = torch.ones(3)
print(type(x) == torch.Tensor, isinstance(x, Variable))
""")

REPORT = cases("""
=== a state that is carried from turn to turn
import torch
from torch import nn
from torch.autograd import Variable

cell = nn.RNNCell(2, 2)
state = torch.zeros(1, 2)
for _ in range(3):
    state = Variable(state)
    state = cell(torch.ones(1, 2), state)
    state.sum().backward()
out = state
reason: .detach()
=== a buffer that is filled through its wrapper
import torch
from torch import nn
from torch.autograd import Variable


class Memory(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("slots", torch.zeros(2, 3))
        self.layer = nn.Linear(3, 3)

    def forward(self, x):
        slots = Variable(self.slots)
        slots[0] = self.layer(x)
        return slots.sum()


Memory()(torch.ones(3)).backward()
reason: would go into `self.slots`, too
=== volatile, and a graph of its own further down
import torch
from torch import nn
from torch.autograd import Variable


def pair(net, ids, volatile):
    ids = Variable(ids, volatile=True)
    emb = net(ids)
    mapped = net(Variable(emb.data, volatile=volatile))
    return mapped


pair(nn.Linear(3, 3), torch.ones(3), False).sum().backward()
reason: further down
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
=== volatile where a helper trains
import torch
from torch import nn
from torch.autograd import Variable


def finish(net, x):
    net(x).sum().backward()


def step(net, x, y):
    y = Variable(y, volatile=True)
    finish(net, x * y)


step(nn.Linear(3, 1), torch.ones(3), torch.ones(1))
reason: computes gradients
=== volatile and yielded
import torch
from torch.autograd import Variable


def batches(data):
    for x in data:
        x = Variable(x, volatile=True)
        yield x


list(batches([torch.ones(3)]))
reason: other code can run
=== volatile for functions further down
import torch
from torch.autograd import Variable

x = Variable(torch.ones(3), volatile=True)


def double():
    return x * 2


double()
reason: defined further down
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


ALIASED = cases("""
=== a flag that is set later
import torch
from torch.autograd import Variable

x = torch.ones(3)
y = Variable(x)
y.requires_grad = True
out = x.requires_grad
=== a history that is written into one of the two
import torch
from torch.autograd import Variable

w = torch.ones((), requires_grad=True)
x = torch.ones(3)
y = Variable(x)
y[0] = w
out = x.requires_grad
=== one of the two gets another shape
import torch
from torch.autograd import Variable

x = torch.ones(3)
y = Variable(x)
y.unsqueeze_(0)
out = x.shape
=== a Parameter that is frozen
import torch
from torch import nn
from torch.autograd import Variable


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.mask = Variable(nn.Parameter(torch.ones(3), requires_grad=False))


out = len(list(Net().parameters()))
=== made once, wrapped in every turn
import torch
from torch.autograd import Variable

x = torch.ones(3)
found = []
for _ in range(2):
    y = Variable(x)
    found.append(y)
found[0].requires_grad = True
out = found[1].requires_grad
=== kept by who made it
import torch
from torch.autograd import Variable

held = []
x = torch.ones(3)
held.append(x)
x = Variable(x)
x.requires_grad_()
out = held[0].requires_grad
=== a view of what somebody holds
import torch
from torch.autograd import Variable

w = torch.ones((), requires_grad=True)
x = torch.ones(3)
y = Variable(x[:2])
y[0] = w
out = x.requires_grad
=== the same tensor from a method in place
import torch
from torch.autograd import Variable

x = torch.ones(3)
y = Variable(x.add_(1))
y.requires_grad_()
out = x.requires_grad
=== the same tensor from a cast
import torch
from torch.autograd import Variable

x = torch.ones(3)
y = Variable(x.cpu().float())
y.requires_grad_()
out = x.requires_grad
""")


@table(ALIASED)
def test_two_objects_stay_two(case: Case) -> None:
    """Where somebody could tell, nothing is done by default."""
    assert found(case.before, CODE)
    assert fixed(case.before, CODE).text == case.before
    assert run(case.before).error is None
