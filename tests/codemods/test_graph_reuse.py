"""GF309: a graph of an earlier turn is gone through again, and the many loops where none is."""

from __future__ import annotations

import pytest
from harness import check_noop, check_reported, found, table
from snippets import Case, cases, run

CODE = "GF309"

REPORT = cases("""
=== a hidden state
def train(cell, head, batches):
    opt = torch.optim.SGD([*cell.parameters(), *head.parameters()], lr=0.1)
    h = torch.zeros(1, 3)
    for x in batches:
        h = cell(x, h)
        loss = head(h).pow(2).sum()
        opt.zero_grad()
        loss.backward()
        opt.step()

train(nn.GRUCell(2, 3), nn.Linear(3, 1), torch.ones(3, 1, 2))
reason: choice
=== the two states of an LSTM
rnn = nn.LSTM(2, 3)
h, c = torch.zeros(1, 1, 3), torch.zeros(1, 1, 3)
for x in torch.ones(3, 1, 1, 2):
    out, (h, c) = rnn(x, (h, c))
    out.sum().backward()
reason: choice
=== a model that is only given
def train(model, opt, batches, criterion):
    state = model.initial(1)
    for x, y in batches:
        opt.zero_grad()
        out, state = model(x, state)
        loss = criterion(out, y)
        loss.backward()
        opt.step()

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.RNNCell(2, 3)

    def initial(self, n):
        return torch.zeros(n, 3)

    def forward(self, x, state):
        state = self.cell(x, state)
        return state.sum(1), state

net = Net()
pairs = [(torch.ones(1, 2), torch.ones(1))] * 3
train(net, torch.optim.SGD(net.parameters(), lr=0.1), pairs, nn.MSELoss())
reason: choice
=== the steps of one sequence are unrolled, the state is never reset
cell, head = nn.GRUCell(2, 3), nn.Linear(3, 1)
h = torch.zeros(1, 3)
for batch in torch.ones(3, 4, 1, 2):
    for x in batch:
        h = cell(x, h)
    head(h).sum().backward()
reason: choice
=== the state is reset every epoch only
cell, head = nn.GRUCell(2, 3), nn.Linear(3, 1)
for epoch in range(2):
    h = torch.zeros(1, 3)
    for x in torch.ones(3, 1, 2):
        h = cell(x, h)
        head(h).sum().backward()
reason: choice
=== a method keeps its state in a local
class Agent:
    def __init__(self):
        self.cell = nn.RNNCell(2, 3)
        self.opt = torch.optim.SGD(self.cell.parameters(), lr=0.1)

    def learn(self, xs):
        state = torch.zeros(1, 3)
        for x in xs:
            state = self.cell(x, state)
            self.opt.zero_grad()
            state.pow(2).sum().backward()
            self.opt.step()

Agent().learn(torch.ones(3, 1, 2))
reason: choice
=== a method that is called for every batch
class Agent:
    def __init__(self):
        self.cell = nn.RNNCell(2, 3)
        self.opt = torch.optim.SGD(self.cell.parameters(), lr=0.1)
        self.state = torch.zeros(1, 3)

    def learn(self, x):
        self.state = self.cell(x, self.state)
        loss = self.state.pow(2).sum()
        self.opt.zero_grad()
        loss.backward()
        self.opt.step()
        return loss.item()

agent = Agent()
losses = []
for x in torch.ones(3, 1, 2):
    losses.append(agent.learn(x))
reason: choice
=== the model keeps it
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(2, 3)
        self.state = None

    def forward(self, x):
        out, self.state = self.rnn(x, self.state)
        return out

net = Net()
for x in torch.ones(3, 1, 1, 2):
    loss = net(x).sum()
    loss.backward()
reason: choice
=== retained, and the weights have changed
cell, head = nn.GRUCell(2, 3), nn.Linear(3, 1)
opt = torch.optim.SGD([*cell.parameters(), *head.parameters()], lr=0.1)
h = torch.zeros(1, 3)
for x in torch.ones(3, 1, 2):
    h = cell(x, h)
    opt.zero_grad()
    head(h).pow(2).sum().backward(retain_graph=True)
    opt.step()
reason: choice
=== the model keeps it, retained
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(4, 2)
        self.last = torch.zeros(1, 2)

    def forward(self, x):
        self.last = torch.tanh(self.lin(torch.cat([x, self.last], dim=1)))
        return self.last

def fit(batches, *, net):
    opt = torch.optim.SGD(net.parameters(), lr=0.1)
    for x in batches:
        loss = net(x).pow(2).sum()
        opt.zero_grad()
        loss.backward(retain_graph=True)
        opt.step()

fit(torch.ones(3, 1, 2), net=Net())
reason: choice
=== the sum of all losses so far
net = nn.Linear(2, 1)
total = 0
for x in torch.ones(3, 1, 2):
    total = total + nn.functional.mse_loss(net(x).tanh(), torch.ones(1, 1))
    total.backward()
reason: choice
=== computed once, before the loop
def fit(net, x, y):
    opt = torch.optim.SGD(net.parameters(), lr=0.1)
    out = net(x)
    for _ in range(3):
        opt.zero_grad()
        loss = nn.functional.mse_loss(out, y)
        loss.backward()
        opt.step()

fit(nn.Linear(2, 1), torch.ones(1, 2), torch.ones(1, 1))
reason: choice
=== the previous output is compared with
net = nn.Linear(2, 1)
last = torch.zeros(1, 1)
for x in torch.ones(3, 1, 2):
    out = net(x)
    loss = (out - last).pow(2).sum()
    loss.backward()
    last = out
reason: choice
""")

LEAVE = cases("""
=== detached in the loop
cell = nn.GRUCell(2, 3)
h = torch.zeros(1, 3)
for x in torch.ones(3, 1, 2):
    h = cell(x, h)
    h.sum().backward()
    h = h.detach()
=== detached on the way in
cell = nn.GRUCell(2, 3)
h = torch.zeros(1, 3)
for x in torch.ones(3, 1, 2):
    h = cell(x, h.detach())
    h.sum().backward()
=== data
cell = nn.GRUCell(2, 3)
h = torch.zeros(1, 3)
for x in torch.ones(3, 1, 2):
    h = cell(x, h.data)
    h.sum().backward()
=== detached in place
cell = nn.GRUCell(2, 3)
h = torch.zeros(1, 3)
for x in torch.ones(3, 1, 2):
    h = cell(x, h)
    h.sum().backward()
    h.detach_()
=== a tuple that is repackaged
rnn = nn.LSTM(2, 3)
state = (torch.zeros(1, 1, 3), torch.zeros(1, 1, 3))
for x in torch.ones(3, 1, 1, 2):
    state = tuple(part.detach() for part in state)
    out, state = rnn(x, state)
    out.sum().backward()
=== a function of the file repackages it
def repackage(state):
    if isinstance(state, torch.Tensor):
        return state.detach()
    return tuple(repackage(part) for part in state)

def train(rnn, xs):
    rnn.train()
    state = (torch.zeros(1, 1, 3), torch.zeros(1, 1, 3))
    for x in xs:
        state = repackage(state)
        out, state = rnn(x, state)
        out.sum().backward()

train(nn.LSTM(2, 3), torch.ones(3, 1, 1, 2))
=== a function that lists it without history
def cut(states):
    return [state.detach() for state in states]

def train(model, xs):
    model.train()
    states = [torch.zeros(1, 1, 3), torch.zeros(1, 1, 3)]
    for x in xs:
        states = cut(states)
        out, states = model(x, states)
        out.sum().backward()

train(nn.LSTM(2, 3), torch.ones(3, 1, 1, 2))
=== a function nobody knows | unrun
from helpers import repackage_hidden
import torch
from torch import nn

def train(rnn, xs):
    rnn.train()
    h = torch.zeros(1, 1, 3)
    for x in xs:
        h = repackage_hidden(h)
        out, h = rnn(x, h)
        out.sum().backward()
=== a function nobody knows that writes into it | unrun
from helpers import detach_all
import torch
from torch import nn

def train(rnn, xs):
    rnn.train()
    h = torch.zeros(1, 1, 3)
    for x in xs:
        out, h = rnn(x, h)
        out.sum().backward()
        detach_all(h)
=== a method that repackages it | unrun
def train(rnn, xs):
    rnn.train()
    h = rnn.init_hidden()
    for x in xs:
        h = rnn.cut(h)
        out, h = rnn(x, h)
        out.sum().backward()
=== begun anew for every batch
cell, head = nn.GRUCell(2, 3), nn.Linear(3, 1)
for batch in torch.ones(3, 4, 1, 2):
    h = torch.zeros(1, 3)
    for x in batch:
        h = cell(x, h)
    head(h).sum().backward()
=== the loss of all steps, differentiated once
cell = nn.GRUCell(2, 3)
h, loss = torch.zeros(1, 3), 0
for x in torch.ones(3, 1, 2):
    h = cell(x, h)
    loss = loss + h.sum()
loss.backward()
=== several steps at a time
cell = nn.GRUCell(2, 3)
h, loss = torch.zeros(1, 3), 0
for t, x in enumerate(torch.ones(4, 1, 2)):
    h = cell(x, h)
    loss = loss + h.sum()
    if t % 2 == 1:
        loss.backward()
        loss, h = 0, h.detach()
=== cut after some turns | plain
cell = nn.GRUCell(2, 3)
h = torch.zeros(1, 3)
for t, x in enumerate(torch.ones(4, 1, 2)):
    out = cell(x, h)
    out.sum().backward()
    if t >= 0:
        h = out.detach()
=== a sum for the log
net = nn.Linear(2, 1)
total, kept = 0.0, 0.0
for x in torch.ones(3, 1, 2):
    loss = net(x).sum()
    loss.backward()
    total += loss.item()
    kept = kept + float(loss)
=== a sum for the log with its history
net = nn.Linear(2, 1)
total = 0
for x in torch.ones(3, 1, 2):
    loss = net(x).pow(2).sum()
    loss.backward()
    total = total + loss
=== the graph is retained and nobody writes over it
cell = nn.GRUCell(2, 3)
h = torch.zeros(1, 3)
for x in torch.ones(3, 1, 2):
    h = cell(x, h)
    h.sum().backward(retain_graph=True)
=== two losses of one turn
net, a, b = nn.Linear(2, 2), nn.Linear(2, 1), nn.Linear(2, 1)
opt = torch.optim.SGD([*net.parameters(), *a.parameters(), *b.parameters()], lr=0.1)
for x in torch.ones(3, 1, 2):
    h = net(x)
    opt.zero_grad()
    a(h).sum().backward(retain_graph=True)
    b(h).sum().backward()
    opt.step()
=== a generator and its critic
g, d = nn.Linear(2, 2), nn.Linear(2, 1)
g_opt = torch.optim.SGD(g.parameters(), lr=0.1)
d_opt = torch.optim.SGD(d.parameters(), lr=0.1)
for z in torch.ones(3, 1, 2):
    fake = g(z)
    d_opt.zero_grad()
    d(fake.detach()).sum().backward()
    d_opt.step()
    g_opt.zero_grad()
    d(fake).sum().backward()
    g_opt.step()
=== weights of the inner loop
w = torch.ones(2, requires_grad=True)
for x in torch.ones(2, 2):
    fast = w * 1
    for _ in range(2):
        (grad,) = torch.autograd.grad((fast * x).pow(2).sum(), fast, create_graph=True)
        fast = fast - 0.1 * grad
    (fast * x).pow(2).sum().backward()
=== a leaf is made before the loop
w = torch.ones(2, requires_grad=True)
for x in torch.ones(3, 2):
    (w * x).pow(2).sum().backward()
=== computed before the loop and detached
net, head = nn.Linear(2, 2), nn.Linear(2, 1)
features = net(torch.ones(1, 2)).detach()
for _ in range(3):
    head(features).sum().backward()
=== computed before the loop without a graph
net, head = nn.Linear(2, 2), nn.Linear(2, 1)
with torch.no_grad():
    features = net(torch.ones(1, 2))
for _ in range(3):
    head(features).sum().backward()
=== nothing is saved before the loop
w = torch.ones(2, requires_grad=True)
shifted = w + 1
for x in torch.ones(3, 2):
    (shifted * x).sum().backward()
=== a method detaches what it keeps
class Agent:
    def __init__(self):
        self.cell = nn.RNNCell(2, 3)
        self.state = torch.zeros(1, 3)

    def learn(self, x):
        state = self.cell(x, self.state)
        state.pow(2).sum().backward()
        self.state = state.detach()

agent = Agent()
for x in torch.ones(3, 1, 2):
    agent.learn(x)
=== another method begins anew
class Agent:
    def __init__(self):
        self.cell = nn.RNNCell(2, 3)
        self.begin()

    def begin(self):
        self.state = torch.zeros(1, 3)

    def learn(self, x):
        self.state = self.cell(x, self.state)
        self.state.pow(2).sum().backward()

agent = Agent()
for x in torch.ones(3, 1, 2):
    agent.begin()
    agent.learn(x)
=== a method that is called once
class Agent:
    def __init__(self):
        self.cell = nn.RNNCell(2, 3)
        self.state = torch.zeros(1, 3)

    def learn(self, x):
        self.state = self.cell(x, self.state)
        self.state.pow(2).sum().backward()

Agent().learn(torch.ones(1, 2))
=== the model cuts its own state
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(2, 3)
        self.state = None

    def forward(self, x):
        out, state = self.rnn(x, self.state)
        self.state = state.detach()
        return out

net = Net()
for x in torch.ones(3, 1, 1, 2):
    net(x).sum().backward()
=== the state is put back before every batch
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(2, 3)
        self.state = None

    def forward(self, x):
        out, self.state = self.rnn(x, self.state)
        return out

net = Net()
for x in torch.ones(3, 1, 1, 2):
    net.state = None
    net(x).sum().backward()
=== a method puts it back
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(2, 3)
        self.state = None

    def reset(self):
        self.state = None

    def forward(self, x):
        out, self.state = self.rnn(x, self.state)
        return out

net = Net()
for x in torch.ones(3, 1, 1, 2):
    net.reset()
    net(x).sum().backward()
=== one turn only
cell = nn.GRUCell(2, 3)
h = torch.zeros(1, 3)
for x in torch.ones(3, 1, 2):
    h = cell(x, h)
    h.sum().backward()
    break
=== evaluated, not trained
@torch.no_grad()
def walk(cell, xs):
    h = torch.zeros(1, 3)
    for x in xs:
        h = cell(x, h)
    return h

walk(nn.GRUCell(2, 3), torch.ones(3, 1, 2))
=== a target network follows
net, target = nn.Linear(2, 2), nn.Linear(2, 2)
last = torch.zeros(1, 2)
for x in torch.ones(3, 1, 2):
    with torch.no_grad():
        last = target(x + last)
    (net(x) - last).pow(2).sum().backward()
=== a test that it raises
cell = nn.GRUCell(2, 3)
h = torch.zeros(1, 3)
try:
    for x in torch.ones(3, 1, 2):
        h = cell(x, h)
        h.sum().backward()
except RuntimeError:
    pass
""")


@table(REPORT)
def test_reported(case: Case) -> None:
    check_reported(case, CODE)
    with pytest.raises(RuntimeError, match=r"second time|modified by an inplace operation"):
        raise run(case.before).error or AssertionError("it runs")


@table(LEAVE)
def test_left_alone(case: Case) -> None:
    check_noop(case, CODE)


def test_the_story_says_what_is_carried() -> None:
    (finding,) = found(REPORT[0].before, CODE)
    lines = REPORT[0].before.splitlines()
    told = [lines[note.span.row - 1].strip() for note in finding.because]
    assert told == ["h = cell(x, h)", "loss.backward()"]
    assert "`h`" in finding.because[0].message
    assert "detach `h`" in finding.help
