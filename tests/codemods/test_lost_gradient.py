"""GF310: gradients read before they exist, zeroed before the step, or never recorded."""

from __future__ import annotations

from harness import check_noop, check_reported, table
from snippets import Case, cases, run

CODE = "GF310"

RAISES = cases("""
=== zeroed at the top of the loop
w = torch.ones(3, requires_grad=True)
for _ in range(3):
    w.grad.zero_()
    (w * w).sum().backward()
reason: depends on
=== through data, after the loss
from torch.autograd import Variable
import torch

def train(x, y):
    w = Variable(torch.ones(3, 1), requires_grad=True)
    losses = []
    for _ in range(3):
        loss = (x.mm(w) - y).pow(2).mean()
        losses.append(loss.item())
        w.grad.data.zero_()
        loss.backward()
        w.data -= 0.1 * w.grad.data
    return losses

train(torch.ones(2, 3), torch.ones(2, 1))
reason: depends on
=== an update before the first backward
w = Parameter(torch.ones(3))
for x in torch.ones(2, 3):
    loss = (w * x).sum()
    with torch.no_grad():
        w -= 0.1 * w.grad
    loss.backward()
reason: depends on
=== the weight of a layer
net = nn.Linear(2, 1)
net.weight.grad.zero_()
net(torch.ones(1, 2)).sum().backward()
reason: depends on
=== all Parameters of a layer
def fit(batches, criterion):
    net = nn.Linear(2, 1)
    for x, y in batches:
        loss = criterion(net(x), y)
        for p in net.parameters():
            p.grad.zero_()
        loss.backward()

fit([(torch.ones(1, 2), torch.ones(1, 1))], nn.MSELoss())
reason: depends on
=== a loss under no_grad
net = nn.Linear(2, 1)
with torch.no_grad():
    loss = net(torch.ones(1, 2)).sum()
loss.backward()
reason: without grad mode
=== a training function under no_grad
@torch.no_grad()
def fit(net, criterion, batches):
    for x, y in batches:
        loss = criterion(net(x), y)
        loss.backward()

fit(nn.Linear(2, 1), nn.MSELoss(), [(torch.ones(1, 2), torch.ones(1, 1))])
reason: without grad mode
""")

NEVER_LEARNS = cases("""
=== zeroed between backward and step
net = nn.Linear(2, 1)
start = net.weight.detach().clone()
opt = torch.optim.SGD(net.parameters(), lr=0.1)
for _ in range(3):
    loss = net(torch.ones(1, 2)).sum()
    loss.backward()
    opt.zero_grad()
    opt.step()
moved = not torch.equal(start, net.weight)
reason: out of place
=== the step right after zero_grad, backward last
def fit(net, opt, batches):
    for x in batches:
        opt.zero_grad()
        opt.step()
        net(x).sum().backward()

net = nn.Linear(2, 1)
start = net.weight.detach().clone()
fit(net, torch.optim.SGD(net.parameters(), lr=0.1), torch.ones(3, 1, 2))
moved = not torch.equal(start, net.weight)
reason: out of place
=== the model's own zero_grad, and something printed
net = nn.Linear(2, 1)
start = net.weight.detach().clone()
opt = torch.optim.Adam(net.parameters(), lr=0.1)
for _ in range(3):
    loss = net(torch.ones(1, 2)).sum()
    loss.backward()
    net.zero_grad()
    total = loss.item()
    opt.step()
moved = not torch.equal(start, net.weight)
reason: out of place
=== the loss is computed in between, and differentiated last
net = nn.Linear(2, 1)
start = net.weight.detach().clone()
opt = torch.optim.SGD(net.parameters(), lr=0.1)
for _ in range(3):
    opt.zero_grad()
    loss = net(torch.ones(1, 2)).pow(2).mean()
    opt.step()
    loss.backward()
moved = not torch.equal(start, net.weight)
reason: out of place
=== the model's own zero_grad in a method
class Trainer:
    def __init__(self):
        self.net = nn.Linear(2, 1)
        self.opt = torch.optim.SGD(self.net.parameters(), lr=0.1)

    def update(self, x):
        self.opt.zero_grad()
        self.net(x).sum().backward()
        self.net.zero_grad()
        self.opt.step()

trainer = Trainer()
start = trainer.net.weight.detach().clone()
trainer.update(torch.ones(1, 2))
moved = not torch.equal(start, trainer.net.weight)
reason: out of place
=== in a method
class Trainer:
    def __init__(self, net):
        self.net = net
        self.opt = torch.optim.SGD(net.parameters(), lr=0.1)

    def update(self, x):
        loss = self.net(x).sum()
        loss.backward()
        self.opt.zero_grad()
        self.opt.step()

net = nn.Linear(2, 1)
start = net.weight.detach().clone()
Trainer(net).update(torch.ones(1, 2))
moved = not torch.equal(start, net.weight)
reason: out of place
""")

#: The first of two batches counts for nothing: ``lost`` is what the step has seen of it.
COLLECTS = cases("""
=== zeroed in the turn of the step
x = torch.eye(2)
w = torch.zeros(2, requires_grad=True)
opt = torch.optim.SGD([w], lr=1.0)
for i in range(1, 3):
    loss = (w * x[i - 1]).sum()
    if i % 2 == 0:
        opt.zero_grad()
    loss.backward()
    if i % 2 == 0:
        opt.step()
moved = w.detach()[0].item() != 0
reason: left at the end
=== a counter and a clip
x = torch.eye(2)
w = torch.zeros(2, requires_grad=True)
opt = torch.optim.SGD([w], lr=1.0)
count, size = 0, 2
for row in x:
    count += 1
    if (count % size) == 0:
        opt.zero_grad()
    (w * row).sum().backward()
    torch.nn.utils.clip_grad_norm_([w], 5.0)
    if (count % size) == 0:
        opt.step()
        count = 0
moved = w.detach()[0].item() != 0
reason: left at the end
""")

LEAVE = cases("""
=== collected, then zeroed behind the step
w = torch.zeros(2, requires_grad=True)
opt = torch.optim.SGD([w], lr=1.0)
for i in range(4):
    (w * i).sum().backward()
    if i % 2 == 1:
        opt.step()
        opt.zero_grad()
=== zeroed in the turn behind the step
w = torch.zeros(2, requires_grad=True)
opt = torch.optim.SGD([w], lr=1.0)
for i in range(4):
    if i % 2 == 0:
        opt.zero_grad()
    (w * i).sum().backward()
    if (i + 1) % 2 == 0:
        opt.step()
=== a condition that all turns share
w = torch.zeros(2, requires_grad=True)
opt = torch.optim.SGD([w], lr=1.0)
train = 3
for i in range(4):
    if train % 2 == 1:
        opt.zero_grad()
    (w * i).sum().backward()
    if train % 2 == 1:
        opt.step()
=== one of two optimizers is slow on purpose
w = torch.zeros(2, requires_grad=True)
v = torch.zeros(2, requires_grad=True)
fast = torch.optim.SGD([w], lr=1.0)
slow = torch.optim.SGD([v], lr=1.0)
for i in range(4):
    fast.zero_grad()
    if i % 2 == 0:
        slow.zero_grad()
    (w * v + w * i).sum().backward()
    fast.step()
    if i % 2 == 0:
        slow.step()
=== the counter goes on in between
w = torch.zeros(2, requires_grad=True)
opt = torch.optim.SGD([w], lr=1.0)
i = 0
for x in torch.ones(4):
    if i % 2 == 0:
        opt.zero_grad()
    (w * x).sum().backward()
    i += 1
    if i % 2 == 0:
        opt.step()
=== backward under the condition, too
w = torch.zeros(2, requires_grad=True)
opt = torch.optim.SGD([w], lr=1.0)
for i in range(4):
    if i % 2 == 0:
        opt.zero_grad()
    if i % 2 == 0:
        (w * i).sum().backward()
        opt.step()
=== the next loss is computed before the step, and differentiated after it
net = nn.Linear(2, 1)
opt = torch.optim.SGD(net.parameters(), lr=0.1)
net(torch.ones(1, 2)).sum().backward()
for _ in range(3):
    loss = net(torch.ones(1, 2)).pow(2).mean()
    opt.step()
    opt.zero_grad()
    loss = net(torch.ones(1, 2)).pow(2).mean()
    loss.backward()
=== another model's gradients are zeroed in a method
class Trainer:
    def __init__(self):
        self.one, self.two = nn.Linear(2, 2), nn.Linear(2, 1)
        self.opt = torch.optim.SGD(self.one.parameters(), lr=0.1)

    def update(self, x):
        self.opt.zero_grad()
        self.two(self.one(x)).sum().backward()
        self.two.zero_grad()
        self.opt.step()

Trainer().update(torch.ones(1, 2))
=== the model changes before its gradients are zeroed
class Trainer:
    def __init__(self):
        self.net = nn.Linear(2, 1)
        self.opt = torch.optim.SGD(self.net.parameters(), lr=0.1)

    def update(self, x):
        self.net(x).sum().backward()
        self.net = nn.Linear(2, 1)
        self.net.zero_grad()
        self.opt.step()

Trainer().update(torch.ones(1, 2))
=== zeroed after the update
w = torch.ones(3, requires_grad=True)
for _ in range(3):
    (w * w).sum().backward()
    w.data -= 0.1 * w.grad
    w.grad.zero_()
=== where there is one
w = torch.ones(3, requires_grad=True)
for _ in range(3):
    if w.grad is not None:
        w.grad.zero_()
    (w * w).sum().backward()
=== not in the first turn
w = torch.ones(3, requires_grad=True)
for t in range(3):
    if t > 0:
        w.grad.zero_()
    (w * w).sum().backward()
=== a backward before the loop
w = torch.ones(3, requires_grad=True)
(w * w).sum().backward()
for _ in range(3):
    w.grad.zero_()
    (w * w).sum().backward()
=== a function that trains it
def fill(w):
    (w * w).sum().backward()

w = torch.ones(3, requires_grad=True)
fill(w)
w.grad.zero_()
=== a function nobody knows | unrun
from somewhere import fit
import torch

w = torch.ones(3, requires_grad=True)
fit(w)
w.grad.zero_()
=== filled by hand
w = torch.ones(3, requires_grad=True)
w.grad = torch.zeros(3)
w.grad.zero_()
=== printed, to show that it is None
w = torch.ones(3, requires_grad=True)
print(w.grad)
seen = w.grad is None
=== a leaf that was given
def zero(w):
    w.grad.zero_()

w = torch.ones(3, requires_grad=True)
w.sum().backward()
zero(w)
=== an attempt
w = torch.ones(3, requires_grad=True)
for _ in range(2):
    try:
        w.grad.zero_()
    except AttributeError:
        pass
    (w * w).sum().backward()
=== in the right order
net = nn.Linear(2, 1)
opt = torch.optim.SGD(net.parameters(), lr=0.1)
for _ in range(3):
    opt.zero_grad()
    net(torch.ones(1, 2)).sum().backward()
    opt.step()
=== zeroed after the step
net = nn.Linear(2, 1)
opt = torch.optim.SGD(net.parameters(), lr=0.1)
for _ in range(3):
    net(torch.ones(1, 2)).sum().backward()
    opt.step()
    opt.zero_grad()
=== two optimizers
g, d = nn.Linear(2, 2), nn.Linear(2, 1)
g_opt = torch.optim.SGD(g.parameters(), lr=0.1)
d_opt = torch.optim.SGD(d.parameters(), lr=0.1)
for x in torch.ones(2, 1, 2):
    d(g(x)).sum().backward()
    g_opt.zero_grad()
    d_opt.step()
=== a closure fills them
net = nn.Linear(2, 1)
opt = torch.optim.LBFGS(net.parameters())

def closure():
    loss = net(torch.ones(1, 2)).pow(2).sum()
    loss.backward()
    return loss

closure()
opt.zero_grad()
opt.step(closure)
=== a backward between them
net = nn.Linear(2, 1)
opt = torch.optim.SGD(net.parameters(), lr=0.1)
net(torch.ones(1, 2)).sum().backward()
opt.zero_grad()
net(torch.ones(1, 2)).mean().backward()
opt.step()
=== a function of the file between them
net = nn.Linear(2, 1)
opt = torch.optim.SGD(net.parameters(), lr=0.1)

def fill(x):
    net(x).mean().backward()

net(torch.ones(1, 2)).sum().backward()
opt.zero_grad()
fill(torch.ones(1, 2))
opt.step()
=== gradients put back by hand
net = nn.Linear(2, 1)
opt = torch.optim.SGD(net.parameters(), lr=0.1)
net(torch.ones(1, 2)).sum().backward()
kept = net.weight.grad.clone()
opt.zero_grad()
net.weight.grad = kept
opt.step()
=== a first step without gradients, for the scheduler's sake
net = nn.Linear(2, 1)
opt = torch.optim.SGD(net.parameters(), lr=0.1)
opt.zero_grad()
opt.step()
for _ in range(2):
    net(torch.ones(1, 2)).sum().backward()
    opt.step()
    opt.zero_grad()
=== zeros let the momentum go on
net = nn.Linear(2, 1)
opt = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
net(torch.ones(1, 2)).sum().backward()
opt.step()
net(torch.ones(1, 2)).sum().backward()
opt.zero_grad(set_to_none=False)
opt.step()
=== only a part of the loss is without history
net, teacher = nn.Linear(2, 1), nn.Linear(2, 1)
with torch.no_grad():
    target = teacher(torch.ones(1, 2))
loss = (net(torch.ones(1, 2)) - target).pow(2).sum()
loss.backward()
=== grad mode on again inside
@torch.no_grad()
def attack(net, x):
    x = x.clone()
    with torch.enable_grad():
        x.requires_grad_()
        net(x).sum().backward()
    return x.grad

attack(nn.Linear(2, 1), torch.ones(1, 2))
=== a leaf made under no_grad
with torch.no_grad():
    x = torch.ones(3) * 2
    x.requires_grad_()
x.sum().backward()
=== a test that it raises
net = nn.Linear(2, 1)
try:
    with torch.no_grad():
        loss = net(torch.ones(1, 2)).sum()
    loss.backward()
except RuntimeError:
    pass
""")


@table(RAISES)
def test_reported(case: Case) -> None:
    check_reported(case, CODE)
    assert run(case.before).error is not None


@table(NEVER_LEARNS)
def test_a_step_without_gradients(case: Case) -> None:
    check_reported(case, CODE)
    result = run(case.before)
    assert result.error is None
    assert result.names["moved"] is False


@table(COLLECTS)
def test_a_step_with_the_last_gradient_only(case: Case) -> None:
    check_reported(case, CODE)
    result = run(case.before)
    assert result.error is None
    assert result.names["moved"] is False


@table(LEAVE)
def test_left_alone(case: Case) -> None:
    check_noop(case, CODE)
