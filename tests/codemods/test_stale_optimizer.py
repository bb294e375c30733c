"""GF307: an optimizer over tensors that are not the leaves being trained."""

from __future__ import annotations

from harness import check_noop, check_reported, check_transformed, table
from snippets import Case, cases

CODE = "GF307"

CHANGE = cases("""
=== the data of what is passed in and made a leaf | values unsafe
def fit(w):
    w.requires_grad_(True)
    opt = torch.optim.SGD([w.data], lr=0.1)
    (w**2).sum().backward()
    opt.step()
    return w


w = fit(torch.ones(3))
out = w.detach().clone()
grad = w.grad
--->
def fit(w):
    w.requires_grad_(True)
    opt = torch.optim.SGD([w], lr=0.1)
    (w**2).sum().backward()
    opt.step()
    return w


w = fit(torch.ones(3))
out = w.detach().clone()
grad = w.grad
=== the data of every Parameter of what is passed in | values unsafe
def fit(net, x):
    opt = torch.optim.SGD([p.data for p in net.parameters()], lr=0.1)
    net(x).sum().backward()
    opt.step()


net = nn.Linear(2, 1)
nn.init.ones_(net.weight)
fit(net, torch.ones(2))
out = net.weight.detach().clone()
grad = net.weight.grad
--->
def fit(net, x):
    opt = torch.optim.SGD([p for p in net.parameters()], lr=0.1)
    net(x).sum().backward()
    opt.step()


net = nn.Linear(2, 1)
nn.init.ones_(net.weight)
fit(net, torch.ones(2))
out = net.weight.detach().clone()
grad = net.weight.grad
=== the rows of every Parameter | raises
import itertools
import torch
from torch import nn

net = nn.Linear(3, 2)
w = torch.ones(3, requires_grad=True)
opt = torch.optim.SGD(itertools.chain(*net.parameters(), w), lr=0.1)  # both
net(w).sum().backward()
opt.step()
grad = [w.grad, net.weight.grad]
--->
import itertools
import torch
from torch import nn

net = nn.Linear(3, 2)
w = torch.ones(3, requires_grad=True)
opt = torch.optim.SGD(itertools.chain(net.parameters(), [w]), lr=0.1)  # both
net(w).sum().backward()
opt.step()
grad = [w.grad, net.weight.grad]
=== the rows of one tensor in a chain | raises
from itertools import chain
import torch
from torch import nn

net = nn.Linear(3, 2)
w = torch.ones(3, requires_grad=True)
params = chain(net.parameters(), w)
opt = torch.optim.SGD(params, lr=0.1)
net(w).sum().backward()
grad = w.grad
--->
from itertools import chain
import torch
from torch import nn

net = nn.Linear(3, 2)
w = torch.ones(3, requires_grad=True)
params = chain(net.parameters(), [w])
opt = torch.optim.SGD(params, lr=0.1)
net(w).sum().backward()
grad = w.grad
=== the rows of one tensor in a list | raises
net = nn.Linear(3, 2)
w = Parameter(torch.ones(3))
opt = torch.optim.Adam(list(net.parameters()) + list(w), lr=0.1)
net(w).sum().backward()
grad = w.grad
--->
net = nn.Linear(3, 2)
w = Parameter(torch.ones(3))
opt = torch.optim.Adam(list(net.parameters()) + [w], lr=0.1)
net(w).sum().backward()
grad = w.grad
=== unpacked rows | raises
net = nn.Linear(3, 2)
w = Parameter(torch.ones(3))
opt = torch.optim.Adam([*net.parameters(), *w], lr=0.1)
net(w).sum().backward()
grad = w.grad
--->
net = nn.Linear(3, 2)
w = Parameter(torch.ones(3))
opt = torch.optim.Adam([*net.parameters(), w], lr=0.1)
net(w).sum().backward()
grad = w.grad
=== one tensor | raises
w = Parameter(torch.ones(3))
opt = torch.optim.SGD(w, lr=0.1)
w.sum().backward()
opt.step()
grad = w.grad
--->
w = Parameter(torch.ones(3))
opt = torch.optim.SGD([w], lr=0.1)
w.sum().backward()
opt.step()
grad = w.grad
=== counted first | raises
def build(model):
    params = model.parameters()
    count = sum(p.numel() for p in params if p.requires_grad)
    return count, torch.optim.SGD(params, lr=0.1)


net = nn.Linear(3, 2)
out, opt = build(net)
net(torch.ones(3)).sum().backward()
grad = net.weight.grad
--->
def build(model):
    params = list(model.parameters())
    count = sum(p.numel() for p in params if p.requires_grad)
    return count, torch.optim.SGD(params, lr=0.1)


net = nn.Linear(3, 2)
out, opt = build(net)
net(torch.ones(3)).sum().backward()
grad = net.weight.grad
=== printed first | raises
net = nn.Linear(3, 2)
trained = filter(lambda p: p.requires_grad, net.parameters())
for p in trained:
    print(p.shape)
opt = torch.optim.SGD(trained, lr=0.1)
net(torch.ones(3)).sum().backward()
grad = net.weight.grad
--->
net = nn.Linear(3, 2)
trained = list(filter(lambda p: p.requires_grad, net.parameters()))
for p in trained:
    print(p.shape)
opt = torch.optim.SGD(trained, lr=0.1)
net(torch.ones(3)).sum().backward()
grad = net.weight.grad
=== two optimizers | raises
net = nn.Linear(3, 2)
params = (p for p in net.parameters() if p.requires_grad)
fast = torch.optim.SGD(params, lr=0.1)
slow = torch.optim.Adam(params, lr=0.001)
net(torch.ones(3)).sum().backward()
grad = net.weight.grad
--->
net = nn.Linear(3, 2)
params = list(p for p in net.parameters() if p.requires_grad)
fast = torch.optim.SGD(params, lr=0.1)
slow = torch.optim.Adam(params, lr=0.001)
net(torch.ones(3)).sum().backward()
grad = net.weight.grad
=== clipped afterwards | unsafe values
net = nn.Linear(3, 2)
params = net.parameters()
opt = torch.optim.SGD(params, lr=0.1)
net(torch.ones(3)).sum().backward()
torch.nn.utils.clip_grad_norm_(params, 0.1)
grad = net.weight.grad
out = grad.norm() < 0.1
--->
net = nn.Linear(3, 2)
params = list(net.parameters())
opt = torch.optim.SGD(params, lr=0.1)
net(torch.ones(3)).sum().backward()
torch.nn.utils.clip_grad_norm_(params, 0.1)
grad = net.weight.grad
out = grad.norm() < 0.1
=== kept in an attribute and clipped | unsafe values
class Trainer:
    def __init__(self, model):
        self.model = model
        self.params = filter(lambda p: p.requires_grad, model.parameters())
        self.opt = torch.optim.SGD(self.params, lr=0.1)

    def step(self, x):
        self.model(x).sum().backward()
        nn.utils.clip_grad_norm_(self.params, 0.1)
        self.opt.step()


net = nn.Linear(3, 2)
Trainer(net).step(torch.ones(3))
grad = net.weight.grad
out = grad.norm() < 0.1
--->
class Trainer:
    def __init__(self, model):
        self.model = model
        self.params = list(filter(lambda p: p.requires_grad, model.parameters()))
        self.opt = torch.optim.SGD(self.params, lr=0.1)

    def step(self, x):
        self.model(x).sum().backward()
        nn.utils.clip_grad_norm_(self.params, 0.1)
        self.opt.step()


net = nn.Linear(3, 2)
Trainer(net).step(torch.ones(3))
grad = net.weight.grad
out = grad.norm() < 0.1
=== the data of a leaf | values
w = Parameter(torch.ones(3))
opt = torch.optim.SGD([w.data], lr=0.1)
w.sum().backward()
opt.step()
grad = w.grad
out = w.detach()
--->
w = Parameter(torch.ones(3))
opt = torch.optim.SGD([w], lr=0.1)
w.sum().backward()
opt.step()
grad = w.grad
out = w.detach()
=== the data of every Parameter | values
net = nn.Linear(3, 2)
opt = torch.optim.SGD([p.data for p in net.parameters()], lr=0.1)
before = net.weight.detach().clone()
net(torch.ones(3)).sum().backward()
opt.step()
grad = net.weight.grad
out = torch.equal(before, net.weight)
--->
net = nn.Linear(3, 2)
opt = torch.optim.SGD([p for p in net.parameters()], lr=0.1)
before = net.weight.detach().clone()
net(torch.ones(3)).sum().backward()
opt.step()
grad = net.weight.grad
out = torch.equal(before, net.weight)
""")

LEAVE = cases("""
=== a generator used once
net = nn.Linear(3, 2)
params = net.parameters()
opt = torch.optim.SGD(params, lr=0.1)
=== a generator asked for twice
net = nn.Linear(3, 2)
opt = torch.optim.SGD(net.parameters(), lr=0.1)
net(torch.ones(3)).sum().backward()
nn.utils.clip_grad_norm_(net.parameters(), 1.0)
opt.step()
=== a list
net = nn.Linear(3, 2)
params = [p for p in net.parameters() if p.requires_grad]
count = sum(p.numel() for p in params)
opt = torch.optim.SGD(params, lr=0.1)
nn.utils.clip_grad_norm_(params, 1.0)
=== one optimizer or the other
def build(model, kind):
    params = filter(lambda p: p.requires_grad, model.parameters())
    if kind == "sgd":
        return torch.optim.SGD(params, lr=0.1)
    elif kind == "adam":
        return torch.optim.Adam(params, lr=0.1)
    return torch.optim.RMSprop(params, lr=0.1)


build(nn.Linear(3, 2), "adam")
=== one or the other in one expression
adam = True
params = nn.Linear(3, 2).parameters()
opt = torch.optim.Adam(params) if adam else torch.optim.SGD(params, lr=0.1)
=== one or the other in else
def build(model, adam):
    params = model.parameters()
    if adam:
        opt = torch.optim.Adam(params, lr=0.1)
    else:
        opt = torch.optim.SGD(params, lr=0.1)
    return opt


build(nn.Linear(3, 2), True)
=== asked for again under the same name
net = nn.Linear(3, 2)
params = net.parameters()
count = sum(p.numel() for p in params)
params = net.parameters()
opt = torch.optim.SGD(params, lr=0.1)
=== a chain of generators
from itertools import chain
import torch
from torch import nn

a, b = nn.Linear(3, 2), nn.Linear(2, 1)
w = torch.ones(3, requires_grad=True)
opt = torch.optim.SGD(chain(a.parameters(), b.parameters(), [w]), lr=0.1)
=== a chain of a list of generators
import itertools
import torch
from torch import nn

nets = [nn.Linear(3, 2), nn.Linear(2, 1)]
opt = torch.optim.SGD(itertools.chain(*[n.parameters() for n in nets]), lr=0.1)
=== Parameters unpacked into a list
net = nn.Linear(3, 2)
w = Parameter(torch.ones(3))
opt = torch.optim.SGD([*net.parameters(), w], lr=0.1)
=== a list and a list
net = nn.Linear(3, 2)
w = Parameter(torch.ones(3))
opt = torch.optim.SGD(list(net.parameters()) + [w], lr=0.1)
=== groups
net = nn.Linear(3, 2)
w = Parameter(torch.ones(3))
opt = torch.optim.SGD([{"params": net.parameters()}, {"params": w}], lr=0.1)
=== a ParameterList
weights = nn.ParameterList([Parameter(torch.ones(3)), Parameter(torch.ones(2))])
opt = torch.optim.SGD(weights, lr=0.1)
=== the head is replaced first
net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 10))
net[2] = nn.Linear(4, 2)
opt = torch.optim.SGD(net.parameters(), lr=0.1)
net(torch.ones(3)).sum().backward()
opt.step()
=== the optimizer is built again
net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 10))
opt = torch.optim.SGD(net.parameters(), lr=0.1)
net(torch.ones(3)).sum().backward()
opt.step()
net[1] = nn.Linear(4, 2)
opt = torch.optim.SGD(net.parameters(), lr=0.01)
net(torch.ones(3)).sum().backward()
opt.step()
=== clipped in place after every step
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = Parameter(torch.ones(3))

    def clip(self):
        self.w.data = self.w.data.clamp(-1, 1)

    def forward(self, x):
        return (x * self.w).sum()


net = Net()
opt = torch.optim.SGD(net.parameters(), lr=0.1)
for _ in range(3):
    opt.zero_grad()
    net(torch.ones(3)).backward()
    opt.step()
    net.clip()
=== a new optimizer for every new Parameter
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = Parameter(torch.ones(3))

    def grow(self):
        self.w = Parameter(torch.ones(len(self.w) + 1))

    def forward(self):
        return self.w.sum()


net = Net()
opt = torch.optim.SGD(net.parameters(), lr=0.1)
for _ in range(3):
    opt.zero_grad()
    net().backward()
    opt.step()
    net.grow()
    opt = torch.optim.SGD(net.parameters(), lr=0.1)
=== a new Parameter only once training is over
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = Parameter(torch.ones(3))

    def freeze(self):
        self.w = Parameter(self.w.detach(), requires_grad=False)

    def forward(self):
        return self.w.sum()


net = Net()
opt = torch.optim.SGD(net.parameters(), lr=0.1)
for _ in range(3):
    opt.zero_grad()
    net().backward()
    opt.step()
net.freeze()
=== a copy takes the model's name, and the model has another
import copy
net = nn.Linear(3, 1)
student = net
opt = torch.optim.SGD(net.parameters(), lr=0.1)
net = copy.deepcopy(net)
loss = (student(torch.ones(3)) - net(torch.ones(3)).detach()).sum()
opt.zero_grad()
loss.backward()
opt.step()
=== a new model that is given the old weights
net = nn.Linear(3, 1, bias=False)
opt = torch.optim.SGD(net.parameters(), lr=0.1)
old = net
net = nn.Linear(3, 1, bias=False)
net.weight = old.weight
net(torch.ones(3)).sum().backward()
opt.step()
=== the optimizer is handed the new weights
net = nn.Linear(3, 1)
opt = torch.optim.SGD(net.parameters(), lr=0.1)
net = nn.Linear(3, 1)
opt.param_groups[0]["params"] = list(net.parameters())
net(torch.ones(3)).sum().backward()
opt.step()
=== the model is wrapped
net = nn.Linear(3, 1)
opt = torch.optim.SGD(net.parameters(), lr=0.1)
net = nn.Sequential(net, nn.ReLU())
net(torch.ones(3)).sum().backward()
opt.step()
=== a new model in one case only
net = nn.Linear(3, 1)
opt = torch.optim.SGD(net.parameters(), lr=0.1)
if len(net.weight) > 3:
    net = nn.Linear(3, 1)
net(torch.ones(3)).sum().backward()
opt.step()
=== the new layer is added to the optimizer
net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 10))
opt = torch.optim.SGD(net.parameters(), lr=0.1)
net[1] = nn.Linear(4, 2)
opt.add_param_group({"params": net[1].parameters()})
net(torch.ones(3)).sum().backward()
opt.step()
=== a layer without weights
net = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
opt = torch.optim.SGD(net.parameters(), lr=0.1)
net[1] = nn.Tanh()
net(torch.ones(3)).sum().backward()
opt.step()
=== the optimizer has done its work
net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 10))
opt = torch.optim.SGD(net.parameters(), lr=0.1)
net(torch.ones(3)).sum().backward()
opt.step()
net[1] = nn.Linear(4, 2)
print(net(torch.ones(3)))
=== another model
a, b = nn.Sequential(nn.Linear(3, 4)), nn.Sequential(nn.Linear(3, 4))
opt = torch.optim.SGD(a.parameters(), lr=0.1)
b[0] = nn.Linear(3, 2)
a(torch.ones(3)).sum().backward()
opt.step()
=== a reset that writes in place
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = Parameter(torch.ones(2))

    def reset(self):
        with torch.no_grad():
            self.scale.fill_(1.0)

    def forward(self, x):
        return x * self.scale


def fit(net, opt):
    net.reset()
    net(torch.ones(2)).sum().backward()
    opt.step()


net = Net()
fit(net, torch.optim.SGD(net.parameters(), lr=0.1))
=== a reset before the optimizer
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.reset()

    def reset(self):
        self.scale = Parameter(torch.ones(2))

    def forward(self, x):
        return x * self.scale


net = Net()
net.reset()
opt = torch.optim.SGD(net.parameters(), lr=0.1)
net(torch.ones(2)).sum().backward()
opt.step()
=== master copies
net = nn.Linear(3, 2)
master = [p.data for p in net.parameters()]
opt = torch.optim.SGD(master, lr=0.1)
net(torch.ones(3)).sum().backward()
for m, p in zip(master, net.parameters()):
    m.grad = p.grad
opt.step()
=== parameters of another kind
class Agent:
    def __init__(self):
        self.net = nn.Linear(3, 2)

    def parameters(self):
        return list(self.net.parameters())


params = Agent().parameters()
count = sum(p.numel() for p in params)
opt = torch.optim.SGD(params, lr=0.1)
=== a scheduler
net = nn.Linear(3, 2)
opt = torch.optim.SGD(net.parameters(), lr=0.1)
sched = torch.optim.lr_scheduler.StepLR(opt, 1)
=== clipped in a function of its own
def clip(params):
    nn.utils.clip_grad_norm_(params, 1.0)


def build(params):
    return torch.optim.SGD(params, lr=0.1)


net = nn.Linear(3, 2)
opt = build(net.parameters())
net(torch.ones(3)).sum().backward()
clip(net.parameters())
""")

REPORT = cases("""
=== the head is replaced too late
net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 10))
opt = torch.optim.SGD(net.parameters(), lr=0.1)
net[1] = nn.Linear(4, 2)
net(torch.ones(3)).sum().backward()
opt.step()
reason: where the optimizer belongs
=== a layer of its own comes too late
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(3, 4)
        self.opt = torch.optim.SGD(self.parameters(), lr=0.1)
        self.b = nn.Linear(4, 2)

    def step(self, x):
        self.b(self.a(x)).sum().backward()
        self.opt.step()


Net().step(torch.ones(3))
reason: where the optimizer belongs
=== a reset between optimizer and step
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = Parameter(torch.ones(2))

    def reset(self):
        self.scale = Parameter(torch.ones(2))

    def forward(self, x):
        return x * self.scale


def fit(net, opt):
    net.reset()
    net(torch.ones(2)).sum().backward()
    opt.step()


net = Net()
opt = torch.optim.SGD(net.parameters(), lr=0.1)
fit(net, opt)
reason: where the optimizer belongs
=== clipped to a new Parameter after every step
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = Parameter(torch.ones(3))

    def clip(self):
        self.w = Parameter(self.w.clamp(-1, 1))

    def forward(self, x):
        return (x * self.w).sum()


net = Net()
opt = torch.optim.SGD(net.parameters(), lr=0.1)
for _ in range(3):
    opt.zero_grad()
    net(torch.ones(3)).backward()
    opt.step()
    net.clip()
reason: where the optimizer belongs
=== a copy takes the model's name
import copy
net = nn.Linear(3, 1)
opt = torch.optim.SGD(net.parameters(), lr=0.1)
net = copy.deepcopy(net)
for _ in range(2):
    opt.zero_grad()
    net(torch.ones(3)).sum().backward()
    opt.step()
reason: where the optimizer belongs
=== a new model for every width
net = nn.Linear(3, 1)
opt = torch.optim.SGD(net.parameters(), lr=0.1)
for width in (2, 4):
    net = nn.Linear(width, 1)
    for _ in range(2):
        opt.zero_grad()
        loss = net(torch.ones(width)).sum()
        loss.backward()
        opt.step()
reason: where the optimizer belongs
=== the first one is asked for its device
net = nn.Linear(3, 2)
params = net.parameters()
device = next(params).device
opt = torch.optim.SGD(params, lr=0.1)
reason: needs the generator
=== handed on as well
def show(params):
    print(params)


net = nn.Linear(3, 2)
params = net.parameters()
show(params)
opt = torch.optim.SGD(params, lr=0.1)
nn.utils.clip_grad_norm_(params, 1.0)
reason: not known what else
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
