"""GF204: weights are kept as a snapshot without a copy, and the update changes the snapshot."""

from __future__ import annotations

from harness import check_noop, check_reported, check_transformed, table
from snippets import Case, cases

CODE = "GF204"

CHANGE = cases("""
=== the best model, whose optimizer is built over a name | values unsafe
import copy

net = nn.Linear(2, 1, bias=False)
nn.init.ones_(net.weight)
net.float()
weights = net.parameters()
opt = torch.optim.SGD(weights, lr=2.0)
best, chosen = 1e9, net
for _ in range(3):
    net.zero_grad()
    loss = net(torch.ones(2)).pow(2).sum()
    loss.backward()
    if loss.item() < best:
        best = loss.item()
        chosen = net
    opt.step()
net = chosen
out = net.weight.detach().clone()
grad = torch.ones(1)
--->
import copy

net = nn.Linear(2, 1, bias=False)
nn.init.ones_(net.weight)
net.float()
weights = net.parameters()
opt = torch.optim.SGD(weights, lr=2.0)
best, chosen = 1e9, net
for _ in range(3):
    net.zero_grad()
    loss = net(torch.ones(2)).pow(2).sum()
    loss.backward()
    if loss.item() < best:
        best = loss.item()
        chosen = copy.deepcopy(net)
    opt.step()
net = chosen
out = net.weight.detach().clone()
grad = torch.ones(1)
=== an object keeps the best state of what it is given | values unsafe
class Stopper:
    def __init__(self):
        self.best, self.state = None, None

    def __call__(self, loss, model):
        if self.best is None or loss < self.best:
            self.best = loss
            self.state = model.state_dict()

    def restore(self, model):
        model.load_state_dict(self.state)


net = nn.Linear(2, 1, bias=False)
nn.init.ones_(net.weight)
stop = Stopper()
stop(1.0, net)
net(torch.ones(2)).sum().backward()
torch.optim.SGD(net.parameters(), lr=0.1).step()
stop(2.0, net)
stop.restore(net)
out = net.weight.detach().clone()
grad = net.weight.grad
--->
class Stopper:
    def __init__(self):
        self.best, self.state = None, None

    def __call__(self, loss, model):
        if self.best is None or loss < self.best:
            self.best = loss
            self.state = {k: v.clone() for k, v in model.state_dict().items()}

    def restore(self, model):
        model.load_state_dict(self.state)


net = nn.Linear(2, 1, bias=False)
nn.init.ones_(net.weight)
stop = Stopper()
stop(1.0, net)
net(torch.ones(2)).sum().backward()
torch.optim.SGD(net.parameters(), lr=0.1).step()
stop(2.0, net)
stop.restore(net)
out = net.weight.detach().clone()
grad = net.weight.grad
=== the best state in an attribute, loaded behind the loop | values unsafe
class Trainer:
    def __init__(self, net):
        self.net, self.kept = net, None
        self.opt = torch.optim.SGD(net.parameters(), lr=2.0)

    def fit(self, x):
        best = float("inf")
        for _ in range(3):
            self.opt.zero_grad()
            loss = self.net(x).pow(2).sum()
            loss.backward()
            if loss.item() < best:
                best = loss.item()
                self.kept = self.net.state_dict()
            self.opt.step()
        self.net.load_state_dict(self.kept)


net = nn.Linear(2, 1, bias=False)
nn.init.ones_(net.weight)
Trainer(net).fit(torch.ones(2))
out = net.weight.detach().clone()
grad = net.weight.grad
--->
class Trainer:
    def __init__(self, net):
        self.net, self.kept = net, None
        self.opt = torch.optim.SGD(net.parameters(), lr=2.0)

    def fit(self, x):
        best = float("inf")
        for _ in range(3):
            self.opt.zero_grad()
            loss = self.net(x).pow(2).sum()
            loss.backward()
            if loss.item() < best:
                best = loss.item()
                self.kept = {k: v.clone() for k, v in self.net.state_dict().items()}
            self.opt.step()
        self.net.load_state_dict(self.kept)


net = nn.Linear(2, 1, bias=False)
nn.init.ones_(net.weight)
Trainer(net).fit(torch.ones(2))
out = net.weight.detach().clone()
grad = net.weight.grad
=== the best model is the one that is trained on | values unsafe
import copy


def fit(net, x):
    opt = torch.optim.SGD(net.parameters(), lr=2.0)
    best, best_net = float("inf"), None
    for _ in range(3):
        opt.zero_grad()
        loss = net(x).pow(2).sum()
        loss.backward()
        if loss.item() < best:
            best = loss.item()
            best_net = net
        opt.step()
    return best_net


net = nn.Linear(2, 1, bias=False)
nn.init.ones_(net.weight)
out = fit(net, torch.ones(2)).weight.detach().clone()
grad = net.weight.grad
--->
import copy


def fit(net, x):
    opt = torch.optim.SGD(net.parameters(), lr=2.0)
    best, best_net = float("inf"), None
    for _ in range(3):
        opt.zero_grad()
        loss = net(x).pow(2).sum()
        loss.backward()
        if loss.item() < best:
            best = loss.item()
            best_net = copy.deepcopy(net)
        opt.step()
    return best_net


net = nn.Linear(2, 1, bias=False)
nn.init.ones_(net.weight)
out = fit(net, torch.ones(2)).weight.detach().clone()
grad = net.weight.grad
=== the best model is the one that is trained on by named Parameters | values unsafe
import copy


def fit(net, x):
    weights = net.parameters()
    opt = torch.optim.SGD(weights, lr=2.0)
    best, best_net = float("inf"), None
    for _ in range(3):
        opt.zero_grad()
        loss = net(x).pow(2).sum()
        loss.backward()
        if loss.item() < best:
            best = loss.item()
            best_net = net
        opt.step()
    return best_net


net = nn.Linear(2, 1, bias=False)
nn.init.ones_(net.weight)
out = fit(net, torch.ones(2)).weight.detach().clone()
grad = net.weight.grad
--->
import copy


def fit(net, x):
    weights = net.parameters()
    opt = torch.optim.SGD(weights, lr=2.0)
    best, best_net = float("inf"), None
    for _ in range(3):
        opt.zero_grad()
        loss = net(x).pow(2).sum()
        loss.backward()
        if loss.item() < best:
            best = loss.item()
            best_net = copy.deepcopy(net)
        opt.step()
    return best_net


net = nn.Linear(2, 1, bias=False)
nn.init.ones_(net.weight)
out = fit(net, torch.ones(2)).weight.detach().clone()
grad = net.weight.grad
=== an array compared with a later one | values unsafe
net = nn.Linear(3, 2)
sgd = torch.optim.SGD(net.parameters(), lr=1.0)
start = net.weight.detach().numpy()
net(torch.ones(1, 3)).sum().backward()
sgd.step()
end = net.weight.detach().numpy()
out_change = float(abs(end - start).max())
grad = net.weight.grad
--->
net = nn.Linear(3, 2)
sgd = torch.optim.SGD(net.parameters(), lr=1.0)
start = net.weight.detach().numpy().copy()
net(torch.ones(1, 3)).sum().backward()
sgd.step()
end = net.weight.detach().numpy()
out_change = float(abs(end - start).max())
grad = net.weight.grad
=== every weight in a list | values unsafe
net = nn.Linear(3, 2)
sgd = torch.optim.SGD(net.parameters(), lr=1.0)
earlier = [p.data for p in net.parameters()]  # where we come from
net(torch.ones(1, 3)).sum().backward()
sgd.step()
moved = 0.0
for a, b in zip(earlier, net.parameters()):
    moved += (b.data - a).abs().sum().item()
out = moved
grad = net.weight.grad
--->
net = nn.Linear(3, 2)
sgd = torch.optim.SGD(net.parameters(), lr=1.0)
earlier = [p.data.clone() for p in net.parameters()]  # where we come from
net(torch.ones(1, 3)).sum().backward()
sgd.step()
moved = 0.0
for a, b in zip(earlier, net.parameters()):
    moved += (b.data - a).abs().sum().item()
out = moved
grad = net.weight.grad
=== the Parameters themselves | values unsafe
net = nn.Linear(3, 2)
sgd = torch.optim.SGD(net.parameters(), lr=1.0)
earlier = list(net.parameters())
named = {n: p for n, p in net.named_parameters()}
both = dict(net.named_parameters())
net(torch.ones(1, 3)).sum().backward()
sgd.step()
out = [torch.equal(a, b) for a, b in zip(earlier, net.parameters())]
out_named = [torch.equal(named[n], p) for n, p in net.named_parameters()]
out_both = [torch.equal(p, both[n]) for n, p in net.named_parameters()]
grad = net.weight.grad
--->
net = nn.Linear(3, 2)
sgd = torch.optim.SGD(net.parameters(), lr=1.0)
earlier = [v.detach().clone() for v in net.parameters()]
named = {n: p.detach().clone() for n, p in net.named_parameters()}
both = {k: v.detach().clone() for k, v in net.named_parameters()}
net(torch.ones(1, 3)).sum().backward()
sgd.step()
out = [torch.equal(a, b) for a, b in zip(earlier, net.parameters())]
out_named = [torch.equal(named[n], p) for n, p in net.named_parameters()]
out_both = [torch.equal(p, both[n]) for n, p in net.named_parameters()]
grad = net.weight.grad
=== the best state is loaded at the end | values unsafe
import copy

import torch
from torch import nn


def fit(net, losses):
    sgd = torch.optim.SGD(net.parameters(), lr=1.0)
    best = float("inf")
    kept = net.state_dict()
    for loss in losses:
        sgd.zero_grad()
        net(torch.ones(1, 3)).sum().backward()
        sgd.step()
        if loss < best:
            best = loss
            kept = net.state_dict()
    net.load_state_dict(kept)


net = nn.Linear(3, 2)
fit(net, [2.0, 1.0, 3.0])
out = net.weight.detach()
grad = net.weight.grad
--->
import copy

import torch
from torch import nn


def fit(net, losses):
    sgd = torch.optim.SGD(net.parameters(), lr=1.0)
    best = float("inf")
    kept = copy.deepcopy(net.state_dict())
    for loss in losses:
        sgd.zero_grad()
        net(torch.ones(1, 3)).sum().backward()
        sgd.step()
        if loss < best:
            best = loss
            kept = copy.deepcopy(net.state_dict())
    net.load_state_dict(kept)


net = nn.Linear(3, 2)
fit(net, [2.0, 1.0, 3.0])
out = net.weight.detach()
grad = net.weight.grad
=== the best state is stored beside others | values unsafe
net = nn.Linear(3, 2)
sgd = torch.optim.SGD(net.parameters(), lr=1.0)
saved = {"loss": 9.0}
lowest = 9.0
for loss in (2.0, 1.0, 3.0):
    net(torch.ones(1, 3)).sum().backward()
    sgd.step()
    if loss < lowest:
        lowest = loss
        saved["net"] = net.state_dict()
out = saved["net"]["weight"]
grad = net.weight.grad
--->
net = nn.Linear(3, 2)
sgd = torch.optim.SGD(net.parameters(), lr=1.0)
saved = {"loss": 9.0}
lowest = 9.0
for loss in (2.0, 1.0, 3.0):
    net(torch.ones(1, 3)).sum().backward()
    sgd.step()
    if loss < lowest:
        lowest = loss
        saved["net"] = {k: v.clone() for k, v in net.state_dict().items()}
out = saved["net"]["weight"]
grad = net.weight.grad
=== a shallow copy of the state | values unsafe
net = nn.Linear(3, 2)
sgd = torch.optim.SGD(net.parameters(), lr=1.0)
kept = net.state_dict().copy()
net(torch.ones(1, 3)).sum().backward()
sgd.step()
net.load_state_dict(kept)
out = net.weight.detach()
grad = net.weight.grad
--->
net = nn.Linear(3, 2)
sgd = torch.optim.SGD(net.parameters(), lr=1.0)
kept = {k: v.clone() for k, v in net.state_dict().items()}
net(torch.ones(1, 3)).sum().backward()
sgd.step()
net.load_state_dict(kept)
out = net.weight.detach()
grad = net.weight.grad
=== a history | values unsafe
net = nn.Linear(3, 2)
sgd = torch.optim.SGD(net.parameters(), lr=1.0)
history = []
for _ in range(3):
    net(torch.ones(1, 3)).sum().backward()
    sgd.step()
    history.append(net.bias.detach())
out = list(history)
grad = net.weight.grad
--->
net = nn.Linear(3, 2)
sgd = torch.optim.SGD(net.parameters(), lr=1.0)
history = []
for _ in range(3):
    net(torch.ones(1, 3)).sum().backward()
    sgd.step()
    history.append(net.bias.detach().clone())
out = list(history)
grad = net.weight.grad
=== descent by hand stops when nothing moves | values unsafe
w = torch.ones(3, requires_grad=True)
steps = 0
for _ in range(5):
    old = w.data
    (w * w).sum().backward()
    grad = w.grad.clone()
    with torch.no_grad():
        w -= 0.1 * w.grad
        w.grad.zero_()
    steps += 1
    if (w.data - old).norm() < 1e-6:
        break
out = steps
--->
w = torch.ones(3, requires_grad=True)
steps = 0
for _ in range(5):
    old = w.data.clone()
    (w * w).sum().backward()
    grad = w.grad.clone()
    with torch.no_grad():
        w -= 0.1 * w.grad
        w.grad.zero_()
    steps += 1
    if (w.data - old).norm() < 1e-6:
        break
out = steps
=== carried from turn to turn | values unsafe
net = nn.Linear(3, 2)
sgd = torch.optim.SGD(net.parameters(), lr=1.0)
last = [p.detach() for p in net.parameters()]
out = []
for _ in range(2):
    net(torch.ones(1, 3)).sum().backward()
    sgd.step()
    out.append(sum((a - b).norm().item() for a, b in zip(net.parameters(), last)))
    last = [p.detach() for p in net.parameters()]
grad = net.weight.grad
--->
net = nn.Linear(3, 2)
sgd = torch.optim.SGD(net.parameters(), lr=1.0)
last = [p.detach().clone() for p in net.parameters()]
out = []
for _ in range(2):
    net(torch.ones(1, 3)).sum().backward()
    sgd.step()
    out.append(sum((a - b).norm().item() for a, b in zip(net.parameters(), last)))
    last = [p.detach().clone() for p in net.parameters()]
grad = net.weight.grad
=== a function that trains | values unsafe
def train(net):
    sgd = torch.optim.SGD(net.parameters(), lr=1.0)
    net(torch.ones(1, 3)).sum().backward()
    sgd.step()


net = nn.Linear(3, 2)
before = net.weight.data
train(net)
out = torch.equal(before, net.weight)
grad = net.weight.grad
--->
def train(net):
    sgd = torch.optim.SGD(net.parameters(), lr=1.0)
    net(torch.ones(1, 3)).sum().backward()
    sgd.step()


net = nn.Linear(3, 2)
before = net.weight.data.clone()
train(net)
out = torch.equal(before, net.weight)
grad = net.weight.grad
=== a penalty for moving away | values unsafe
net = nn.Linear(3, 2)
sgd = torch.optim.SGD(net.parameters(), lr=0.1)
anchor = [p.detach() for p in net.parameters()]
for _ in range(3):
    sgd.zero_grad()
    penalty = sum((p - a).pow(2).sum() for p, a in zip(net.parameters(), anchor))
    (net(torch.ones(1, 3)).sum() + penalty).backward()
    sgd.step()
out = net.bias.detach()
grad = net.bias.grad
--->
net = nn.Linear(3, 2)
sgd = torch.optim.SGD(net.parameters(), lr=0.1)
anchor = [p.detach().clone() for p in net.parameters()]
for _ in range(3):
    sgd.zero_grad()
    penalty = sum((p - a).pow(2).sum() for p, a in zip(net.parameters(), anchor))
    (net(torch.ones(1, 3)).sum() + penalty).backward()
    sgd.step()
out = net.bias.detach()
grad = net.bias.grad
=== every run begins at the same state | values unsafe
net = nn.Linear(3, 2)
start = net.state_dict()
for fold in range(2):
    net.load_state_dict(start)
    sgd = torch.optim.SGD(net.parameters(), lr=1.0)
    net(torch.ones(1, 3)).sum().backward()
    sgd.step()
    sgd.zero_grad(set_to_none=False)
out = net.bias.detach()
grad = net.bias.grad
--->
net = nn.Linear(3, 2)
start = {k: v.clone() for k, v in net.state_dict().items()}
for fold in range(2):
    net.load_state_dict(start)
    sgd = torch.optim.SGD(net.parameters(), lr=1.0)
    net(torch.ones(1, 3)).sum().backward()
    sgd.step()
    sgd.zero_grad(set_to_none=False)
out = net.bias.detach()
grad = net.bias.grad
=== a layer of a sequence | values unsafe
net = nn.Sequential(nn.Linear(3, 2), nn.Tanh())
sgd = torch.optim.SGD(net.parameters(), lr=1.0)
first = net[0].weight.data
net(torch.ones(1, 3)).sum().backward()
sgd.step()
out = (net[0].weight.data - first).abs().max().item()
grad = net[0].weight.grad
--->
net = nn.Sequential(nn.Linear(3, 2), nn.Tanh())
sgd = torch.optim.SGD(net.parameters(), lr=1.0)
first = net[0].weight.data.clone()
net(torch.ones(1, 3)).sum().backward()
sgd.step()
out = (net[0].weight.data - first).abs().max().item()
grad = net[0].weight.grad
=== kept by one method, loaded by another | values unsafe
class Trainer:
    def __init__(self, net):
        self.net = net
        self.best = None
        self.sgd = torch.optim.SGD(net.parameters(), lr=1.0)

    def keep(self):
        self.best = self.net.state_dict()

    def step(self):
        self.net(torch.ones(1, 3)).sum().backward()
        self.sgd.step()

    def restore(self):
        self.net.load_state_dict(self.best)


net = nn.Linear(3, 2)
trainer = Trainer(net)
trainer.keep()
trainer.step()
trainer.restore()
out = net.bias.detach()
grad = net.bias.grad
--->
class Trainer:
    def __init__(self, net):
        self.net = net
        self.best = None
        self.sgd = torch.optim.SGD(net.parameters(), lr=1.0)

    def keep(self):
        self.best = {k: v.clone() for k, v in self.net.state_dict().items()}

    def step(self):
        self.net(torch.ones(1, 3)).sum().backward()
        self.sgd.step()

    def restore(self):
        self.net.load_state_dict(self.best)


net = nn.Linear(3, 2)
trainer = Trainer(net)
trainer.keep()
trainer.step()
trainer.restore()
out = net.bias.detach()
grad = net.bias.grad
=== filled one by one | values unsafe
net = nn.Linear(3, 2)
sgd = torch.optim.SGD(net.parameters(), lr=1.0)
kept = []
for p in net.parameters():
    kept.append(p.data)
net(torch.ones(1, 3)).sum().backward()
sgd.step()
out = [bool((k != p).any()) for k, p in zip(kept, net.parameters())]
grad = net.weight.grad
--->
net = nn.Linear(3, 2)
sgd = torch.optim.SGD(net.parameters(), lr=1.0)
kept = []
for p in net.parameters():
    kept.append(p.data.clone())
net(torch.ones(1, 3)).sum().backward()
sgd.step()
out = [bool((k != p).any()) for k, p in zip(kept, net.parameters())]
grad = net.weight.grad
""")

LEAVE = cases("""
=== the state at the beginning gives way to a copy of the best one
import copy


def fit(net, opt, x):
    kept = net.state_dict()
    best = float("inf")
    for _ in range(2):
        opt.zero_grad()
        loss = net(x).pow(2).sum()
        loss.backward()
        opt.step()
        if loss.item() < best:
            best = loss.item()
            kept = copy.deepcopy(net.state_dict())
    net.load_state_dict(kept)


net = nn.Linear(2, 1)
fit(net, torch.optim.SGD(net.parameters(), lr=0.1), torch.ones(2))
grad = net.weight.grad
=== the best of several models, each made anew
def choose(x, widths):
    best, chosen = float("inf"), None
    for width in widths:
        net = nn.Sequential(nn.Linear(2, width), nn.Linear(width, 1))
        opt = torch.optim.SGD(net.parameters(), lr=0.1)
        for _ in range(2):
            opt.zero_grad()
            loss = net(x).pow(2).sum()
            loss.backward()
            opt.step()
        if loss.item() < best:
            best = loss.item()
            chosen = net
    return chosen


net = choose(torch.ones(2), [1, 2])
grad = net[0].weight.grad
=== an object hands the state of one model to another
class Sync:
    def __init__(self):
        self.state = None

    def take(self, online):
        self.state = online.state_dict()

    def give(self, target):
        target.load_state_dict(self.state)


one, other = nn.Linear(2, 1), nn.Linear(2, 1)
sync = Sync()
sync.take(one)
sync.give(other)
other(torch.ones(2)).sum().backward()
grad = other.weight.grad
=== the best model is saved at once, and the model goes on under another name
def fit(net, x):
    opt = torch.optim.SGD(net.parameters(), lr=0.1)
    best, last = float("inf"), None
    for _ in range(2):
        opt.zero_grad()
        loss = net(x).pow(2).sum()
        loss.backward()
        opt.step()
        if loss.item() < best:
            best = loss.item()
            last = net
            kept = {k: v.clone() for k, v in last.state_dict().items()}
    return kept


net = nn.Linear(2, 1)
kept = fit(net, torch.ones(2))
grad = net.weight.grad
=== already a copy
net = nn.Linear(3, 2)
sgd = torch.optim.SGD(net.parameters(), lr=1.0)
a = net.weight.detach().clone()
b = net.weight.detach().numpy().copy()
c = [p.clone() for p in net.parameters()]
net(torch.ones(1, 3)).sum().backward()
sgd.step()
out = (net.weight - a).sum(), net.weight.detach().numpy() - b
out_all = [p - q for p, q in zip(net.parameters(), c)]
=== a deep copy of the state
from copy import deepcopy

import torch
from torch import nn

net = nn.Linear(3, 2)
sgd = torch.optim.SGD(net.parameters(), lr=1.0)
kept = deepcopy(net.state_dict())
net(torch.ones(1, 3)).sum().backward()
sgd.step()
net.load_state_dict(kept)
=== read before the update only
net = nn.Linear(3, 2)
sgd = torch.optim.SGD(net.parameters(), lr=1.0)
other = nn.Linear(3, 2)
w = net.weight.data
out = (net.weight - w).sum()
other.load_state_dict(net.state_dict())
net(torch.ones(1, 3)).sum().backward()
sgd.step()
=== loaded into another module
net, target = nn.Linear(3, 2), nn.Linear(3, 2)
sgd = torch.optim.SGD(net.parameters(), lr=1.0)
state = net.state_dict()
for _ in range(3):
    net(torch.ones(1, 3)).sum().backward()
    sgd.step()
    target.load_state_dict(state)
=== compared with another module
net, teacher = nn.Linear(3, 2), nn.Linear(3, 2)
sgd = torch.optim.SGD(net.parameters(), lr=1.0)
wanted = [p.data for p in teacher.parameters()]
for _ in range(3):
    distance = sum((p - q).pow(2).sum() for p, q in zip(net.parameters(), wanted))
    distance.backward()
    sgd.step()
=== saved at once
import io

import torch
from torch import nn

net = nn.Linear(3, 2)
sgd = torch.optim.SGD(net.parameters(), lr=1.0)
for step in range(3):
    net(torch.ones(1, 3)).sum().backward()
    sgd.step()
    checkpoint = {"net": net.state_dict(), "step": step}
    torch.save(checkpoint, io.BytesIO())
    torch.save(net.state_dict(), io.BytesIO())
=== saved at once on a condition
import io

import torch
from torch import nn

net = nn.Linear(3, 2)
sgd = torch.optim.SGD(net.parameters(), lr=1.0)
checkpoint, best = {}, 9.0
for loss in (3.0, 1.0, 2.0):
    net(torch.ones(1, 3)).sum().backward()
    sgd.step()
    if loss < best:
        checkpoint["net"] = net.state_dict()
        torch.save(checkpoint, io.BytesIO())
=== an average of its own
import copy

import torch
from torch import nn

net = nn.Linear(3, 2)
slow = copy.deepcopy(net)
shadow = [p.data for p in slow.parameters()]
sgd = torch.optim.SGD(net.parameters(), lr=1.0)
for _ in range(3):
    net(torch.ones(1, 3)).sum().backward()
    sgd.step()
    for s, p in zip(shadow, net.parameters()):
        s.mul_(0.9).add_(p.data, alpha=0.1)
out = [a - b for a, b in zip(slow.parameters(), shadow)]
=== weights that are exchanged
net = nn.Linear(3, 2)
sgd = torch.optim.SGD(net.parameters(), lr=1.0)
net(torch.ones(1, 3)).sum().backward()
sgd.step()
backup = {}
for name, p in net.named_parameters():
    backup[name] = p.data
    p.data = p.data * 0.5
sgd.step()
out = [(p - backup[name]).sum() for name, p in net.named_parameters()]
for name, p in net.named_parameters():
    p.data = backup[name]
=== a handle that is written through
net = nn.Linear(3, 2)
sgd = torch.optim.SGD(net.parameters(), lr=1.0)
w = net.weight.data
for _ in range(3):
    net(torch.ones(1, 3)).sum().backward()
    sgd.step()
    w.clamp_(-1, 1)
    out = (net.weight - w).abs().sum()
=== a handle compared with an older copy
net = nn.Linear(3, 2)
sgd = torch.optim.SGD(net.parameters(), lr=1.0)
live = net.weight.data
for _ in range(3):
    old = net.weight.data.clone()
    net(torch.ones(1, 3)).sum().backward()
    sgd.step()
    out = (live - old).abs().sum()
=== a list of what is trained
net = nn.Linear(3, 2)
weights = list(net.parameters())
sgd = torch.optim.SGD(weights, lr=1.0)
for _ in range(3):
    net(torch.ones(1, 3)).sum().backward()
    out = sum(p.grad.norm() for p in weights)
    sgd.step()
=== the state is edited and loaded
net = nn.Linear(3, 2)
sgd = torch.optim.SGD(net.parameters(), lr=1.0)
state = net.state_dict()
net(torch.ones(1, 3)).sum().backward()
sgd.step()
state["bias"] = torch.zeros(2)
net.load_state_dict(state)
=== outputs are no weights
import numpy as np
import torch
from torch import nn

net = nn.Linear(3, 2)
sgd = torch.optim.SGD(net.parameters(), lr=1.0)
history = []
for _ in range(3):
    y = net(torch.ones(1, 3))
    first = y.detach().numpy()
    y.sum().backward()
    sgd.step()
    history.append(y.detach())
    out = np.abs(net(torch.ones(1, 3)).detach().numpy() - first)
=== a new module in every turn
history = []
for _ in range(3):
    net = nn.Linear(3, 2)
    sgd = torch.optim.SGD(net.parameters(), lr=1.0)
    net(torch.ones(1, 3)).sum().backward()
    sgd.step()
    history.append(net.state_dict())
out = [state["bias"] for state in history]
=== the last state
net = nn.Linear(3, 2)
sgd = torch.optim.SGD(net.parameters(), lr=1.0)
for _ in range(3):
    net(torch.ones(1, 3)).sum().backward()
    sgd.step()
    final = net.state_dict()
out = final["bias"]
=== moved to other memory in between
net = nn.Linear(3, 2)
sgd = torch.optim.SGD(net.parameters(), lr=1.0)
before = net.weight.data
net.double()
net(torch.ones(1, 3).double()).sum().backward()
sgd.step()
out = (net.weight - before).abs().sum()
=== another optimizer steps
one, two = nn.Linear(3, 2), nn.Linear(3, 2)
sgd = torch.optim.SGD(two.parameters(), lr=1.0)
kept = [p.data for p in one.parameters()]
two(torch.ones(1, 3)).sum().backward()
sgd.step()
out = [(p - q).sum() for p, q in zip(one.parameters(), kept)]
=== kept by one method, loaded into another module
class Trainer:
    def __init__(self, net, target):
        self.net, self.target = net, target
        self.sgd = torch.optim.SGD(net.parameters(), lr=1.0)

    def keep(self):
        self.state = self.net.state_dict()

    def step(self):
        self.net(torch.ones(1, 3)).sum().backward()
        self.sgd.step()

    def follow(self):
        self.target.load_state_dict(self.state)


trainer = Trainer(nn.Linear(3, 2), nn.Linear(3, 2))
trainer.keep()
trainer.step()
trainer.follow()
=== put back by a method that is called at the end
class Explainer:
    def __init__(self, net, change):
        self.net, self.change = net, change

    def explain(self, x):
        self.state = self.net.state_dict()
        try:
            self.change(self.net)  # gives the weights other memory
            return self.net(x)
        finally:
            self.restore()

    def restore(self):
        self.net.load_state_dict(self.state)


def positive(net):
    net.weight.data = net.weight.data.clamp(min=0)


out = Explainer(nn.Linear(3, 2), positive).explain(torch.ones(1, 3))
=== lists of the weights for a foreach operation
import copy

import torch
from torch import nn

net = nn.Linear(3, 2)
slow = copy.deepcopy(net)
kept, given = [], []
for s, p in zip(slow.state_dict().values(), net.state_dict().values()):
    if s.is_floating_point():
        kept.append(s)
        given.append(p)
    else:
        s.copy_(p)
torch._foreach_lerp_(kept, given, weight=0.1)
=== compared in the turn it was taken in
net = nn.Linear(3, 2)
sgd = torch.optim.SGD(net.parameters(), lr=1.0)
for _ in range(3):
    w = net.weight.data
    out = (net.weight - w).sum()
    net(torch.ones(1, 3)).sum().backward()
    sgd.step()
=== a scheduler has a state, too
net = nn.Linear(3, 2)
sgd = torch.optim.SGD(net.parameters(), lr=1.0)
plan = torch.optim.lr_scheduler.StepLR(sgd, 1)
state = plan.state_dict()
net(torch.ones(1, 3)).sum().backward()
sgd.step()
plan.step()
plan.load_state_dict(state)
=== made on first use
net = nn.Linear(3, 2)
sgd = torch.optim.SGD(net.parameters(), lr=1.0)
w = None
for step in range(3):
    net(torch.ones(1, 3)).sum().backward()
    sgd.step()
    if w is None:
        w = net.weight.data
    if step == 0:
        b = net.bias.data
    out = w.sum() + b.sum()
""")

REPORT = cases("""
=== the Parameters are trained by the same name
net = nn.Linear(3, 2)
weights = list(net.parameters())
sgd = torch.optim.SGD(weights, lr=1.0)
net(torch.ones(1, 3)).sum().backward()
sgd.step()
out = [(p - q).sum() for p, q in zip(weights, net.parameters())]
reason: holds the Parameters themselves
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
