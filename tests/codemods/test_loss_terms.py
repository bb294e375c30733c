"""GF304, GF305, GF306: terms of a loss that train nothing, and the many terms that are right."""

from __future__ import annotations

import pytest
from harness import check_noop, check_reported, check_transformed, table
from snippets import Case, cases

CODES = ("GF304", "GF305", "GF306")

CHANGE = cases("""
=== an auxiliary loss is added as a number | values unsafe
model = nn.Linear(2, 1, bias=False)
nn.init.ones_(model.weight)
x, y = torch.ones(3, 2), torch.zeros(3, 1)
main = nn.functional.mse_loss(model(x), y)
loss = main + 0.5 * (model(x) ** 3).mean().item()
loss.backward()
out = model.weight.grad
grad = model.weight.grad
--->
model = nn.Linear(2, 1, bias=False)
nn.init.ones_(model.weight)
x, y = torch.ones(3, 2), torch.zeros(3, 1)
main = nn.functional.mse_loss(model(x), y)
loss = main + 0.5 * (model(x) ** 3).mean()
loss.backward()
out = model.weight.grad
grad = model.weight.grad
=== weight decay by hand, of numbers | values unsafe
net = nn.Linear(2, 1, bias=False)
nn.init.ones_(net.weight)
decay = 0.0
for p in net.parameters():
    decay += p.norm().item() ** 2
loss = net(torch.zeros(1, 2)).sum() + 0.1 * decay
loss.backward()
grad = net.weight.grad
out = net.weight.grad.clone()
--->
net = nn.Linear(2, 1, bias=False)
nn.init.ones_(net.weight)
decay = 0.0
for p in net.parameters():
    decay += p.norm() ** 2
loss = net(torch.zeros(1, 2)).sum() + 0.1 * decay
loss.backward()
grad = net.weight.grad
out = net.weight.grad.clone()
=== losses are summed up as numbers | raises unsafe
model = nn.Linear(2, 1)
criterion = nn.MSELoss()
x, y = torch.ones(3, 2), torch.ones(3, 1)
total = 0
for i in range(3):
    total += criterion(model(i * x), y).item()
total.backward()
grad = model.weight.grad
--->
model = nn.Linear(2, 1)
criterion = nn.MSELoss()
x, y = torch.ones(3, 2), torch.ones(3, 1)
total = 0
for i in range(3):
    total += criterion(model(i * x), y)
total.backward()
grad = model.weight.grad
=== the model is an argument | raises unsafe
def step(net, criterion, batches):
    total = 0.0
    for x, y in batches:
        total = total + criterion(net(x), y).item()
    total.backward()
    return total


net = nn.Linear(2, 1)
loss = step(net, nn.MSELoss(), [(torch.ones(3, 2), torch.zeros(3, 1))])
grad = net.weight.grad
--->
def step(net, criterion, batches):
    total = 0.0
    for x, y in batches:
        total = total + criterion(net(x), y)
    total.backward()
    return total


net = nn.Linear(2, 1)
loss = step(net, nn.MSELoss(), [(torch.ones(3, 2), torch.zeros(3, 1))])
grad = net.weight.grad
""")

REPORT = cases("""
=== GF306 a metric of labels that were written as numbers
model = nn.Linear(2, 3)
x, y = torch.ones(3, 2), torch.tensor([0, 1, 2])
scores = model(x)
hits = (scores.argmax(1) == y).float().mean()
loss = nn.functional.cross_entropy(scores, y) + (1 - hits)
loss.backward()
=== GF304 a penalty on .data
model = nn.Linear(2, 1)
fit = nn.functional.mse_loss(model(torch.ones(3, 2)), torch.zeros(3, 1))
penalty = model.weight.data.pow(2).sum()
(fit + 0.1 * penalty).backward()
reason: on purpose
=== GF304 weight decay of the data of all weights
net = nn.Linear(2, 1)
decay = sum(p.data.pow(2).sum() for p in net.parameters())
loss = net(torch.ones(1, 2)).sum() + 0.1 * decay
loss.backward()
=== GF304 both sides of a distance are detached
net = nn.Linear(3, 2)
a, b = net(torch.ones(4, 3)), net(torch.zeros(4, 3))
near = nn.functional.mse_loss(a.detach(), b.detach())
loss = near + 1e-3 * net.weight.pow(2).sum()
loss.backward()
reason: on purpose
=== GF304 the networks are arguments
def step(encoder, head, x, y):
    h = encoder(x).detach()
    pull = (h[1:] - h[:-1]).pow(2).mean()
    loss = nn.functional.cross_entropy(head(encoder(x)), y) + 0.1 * pull
    loss.backward()


step(nn.Linear(3, 2), nn.Linear(2, 2), torch.ones(4, 3), torch.zeros(4, dtype=torch.long))
reason: on purpose
=== GF304 a gradient penalty without a graph
critic = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))
x = torch.ones(3, 2, requires_grad=True)
score = critic(x)
(slope,) = torch.autograd.grad(score.sum(), x)
loss = score.mean() + 10 * (slope.norm(dim=1) - 1).pow(2).mean()
loss.backward()
reason: on purpose
=== GF305 mined with NumPy
import numpy as np
import torch
from torch import nn
from torch.autograd import Variable


def select(net, left, right):
    a, b = net(left), net(right)
    far = (a - b).norm(dim=1).detach().numpy()
    keep = np.where(far > 0.1)[0]
    first = Variable(torch.from_numpy(a.detach().numpy()[keep]))
    second = Variable(torch.from_numpy(b.detach().numpy()[keep]))
    return first, second


def step(net, left, right):
    pair = select(net, left, right)
    loss = nn.functional.mse_loss(*pair) + 1e-3 * net.weight.pow(2).sum()
    loss.backward()


step(nn.Linear(3, 2, bias=False), torch.ones(8, 3), torch.zeros(8, 3))
reason: torch operations
=== GF305 a distance of arrays
import numpy as np
import torch
from torch import nn

net = nn.Linear(3, 2)
out = net(torch.ones(4, 3))
spread = np.var(out.detach().numpy())
loss = out.mean() + torch.tensor(spread)
loss.backward()
reason: torch operations
=== GF306 the error rate is added
net = nn.Linear(3, 2)
x, y = torch.ones(4, 3), torch.zeros(4, dtype=torch.long)
scores = net(x)
wrong = (scores.argmax(1) != y).float().mean()
loss = nn.functional.cross_entropy(scores, y) + wrong
loss.backward()
reason: modelling
=== GF306 a count of open gates
gate = nn.Parameter(torch.zeros(5))
x = torch.ones(5)
loss = (torch.sigmoid(gate) * x - 1).pow(2).sum() + 0.01 * (gate > 0).float().sum()
loss.backward()
reason: modelling
=== GF304 the generator's loss judges a detached sample
class Painter(nn.Module):
    def __init__(self):
        super().__init__()
        self.paint = nn.Linear(3, 4)
        self.judge = nn.Linear(4, 1)

    def step(self, z, real, painting):
        image = self.paint(z)
        if painting:
            score = self.judge(image.detach())
            return (score - 1).pow(2).mean() + (image - real).abs().mean()
        return self.judge(image.detach()).pow(2).mean() + (self.judge(real) - 1).pow(2).mean()


Painter().step(torch.ones(2, 3), torch.ones(2, 4), True).backward()
reason: on purpose
=== GF304 the same in a training loop
def train(g, d, batches, opt_g, opt_d):
    for z, real in batches:
        fake = g(z)
        loss_d = nn.functional.softplus(d(fake.detach())).mean()
        loss_d = loss_d + nn.functional.softplus(-d(real)).mean()
        opt_d.zero_grad()
        loss_d.backward()
        opt_d.step()
        judged = d(fake.detach())
        loss_g = nn.functional.softplus(-judged).mean() + 10 * (fake - real).abs().mean()
        opt_g.zero_grad()
        loss_g.backward()
        opt_g.step()
reason: on purpose
""")

LEAVE = cases("""
=== the norm of all weights for the log, and as a scale
net = nn.Linear(2, 1)
norm = 0.0
for p in net.parameters():
    norm += p.norm().item() ** 2
loss = net(torch.ones(1, 2)).sum() / (1 + norm)
print(loss.item() + norm)
loss.backward()
=== weights that somebody has frozen
net = nn.Linear(2, 1)
for p in net.parameters():
    p.requires_grad = False
x = torch.ones(1, 2, requires_grad=True)
loss = net(x).sum() + sum(p.data.pow(2).sum() for p in net.parameters())
loss.backward()
=== a running sum for the log
model = nn.Linear(2, 1)
total = 0.0
for _ in range(2):
    loss = model(torch.ones(1, 2)).pow(2).mean()
    loss.backward()
    total += loss.item()
print(total / 2)
=== a baseline
actor, critic = nn.Linear(2, 2), nn.Linear(2, 1)
x, reward = torch.ones(3, 2), torch.ones(3)
value = critic(x).squeeze(-1)
log_prob = torch.log_softmax(actor(x), dim=-1)[:, 0]
policy_loss = -(log_prob * (reward - value.detach())).mean()
loss = policy_loss + 0.5 * (value - reward).pow(2).mean()
loss.backward()
=== advantages from NumPy
import numpy as np
import torch
from torch import nn

actor, critic = nn.Linear(2, 2), nn.Linear(2, 1)
x = torch.ones(3, 2)
values = critic(x).detach().numpy().ravel()
weight = torch.from_numpy(np.ones(3, dtype=np.float32) - values)
loss = -(torch.log_softmax(actor(x), dim=-1)[:, 0] * weight).mean()
loss.backward()
=== a target network
online, target = nn.Linear(3, 2), nn.Linear(3, 2)
x = torch.ones(2, 3)
loss = nn.functional.mse_loss(online(x), target(x).detach() * 0.9) + online(x).mean()
loss.backward()
=== a value is shaped, not trained
model = nn.Linear(2, 1)
out = model(torch.ones(3, 2))
surrogate = out.pow(2).mean()
loss = surrogate + (out.abs().mean() - surrogate).detach()
loss.backward()
=== numbers written through .data, and the history stays
pulse = nn.Parameter(torch.ones(8))
start = pulse[:3].clone()
start.data.copy_(torch.full((3,), 0.5))
loss = pulse.sum() + start.sum()
loss.backward()
=== a straight-through loss
model = nn.Linear(2, 1)
soft = torch.sigmoid(model(torch.ones(3, 2))).mean()
hard = (soft > 0.5).float()
loss = hard + (soft - soft.detach())
loss.backward()
=== a detached copy is added as it is
model = nn.Linear(2, 1)
out = model(torch.ones(3, 2))
loss = out.pow(2).mean() + out.abs().mean().detach()
loss.backward()
=== a constant penalty, known without grad mode
model = nn.Linear(2, 1)
loss = model(torch.ones(3, 2)).pow(2).mean()
with torch.no_grad():
    size = model.weight.pow(2).sum()
(loss + size).backward()
=== the largest value is taken out and put back
class Energy(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x):
        z = self.layer(x)
        top = z.max().item()
        return torch.logsumexp(z - top, -1) + top


Energy()(torch.ones(3)).backward()
=== a normaliser
model = nn.Linear(2, 3)
out = model(torch.ones(4, 2))
mask = (out.argmax(1) == 0).float()
loss = (mask * out.pow(2).sum(1)).sum() / mask.sum().clamp(min=1)
loss.backward()
=== a weight that balances two losses
model = nn.Linear(2, 3)
out = model(torch.ones(4, 2))
one, two = out.pow(2).mean(), out.abs().mean()
loss = one + (one.item() / two.item()) * two
loss.backward()
=== pseudo-labels
student, teacher = nn.Linear(3, 2), nn.Linear(3, 2)
x = torch.ones(4, 3)
labels = teacher(x).argmax(1)
loss = nn.functional.cross_entropy(student(x), labels) + student(x).pow(2).mean()
loss.backward()
=== an attack keeps the clean loss for comparison
model = nn.Linear(2, 2)
x = torch.ones(3, 2).requires_grad_(True)
y = torch.zeros(3, dtype=torch.long)
loss = nn.functional.cross_entropy(model(x), y)
loss.backward()
step = x.grad.sign()
=== a commitment loss
encoder, codes = nn.Linear(3, 2), nn.Parameter(torch.ones(4, 2))
z = encoder(torch.ones(5, 3))
q = codes[torch.cdist(z, codes).argmin(1)]
loss = (q.detach() - z).pow(2).mean() + 0.25 * (q - z.detach()).pow(2).mean()
loss.backward()
=== a symmetric distance with stopped targets
encoder, head = nn.Linear(3, 2), nn.Linear(2, 2)
a, b = encoder(torch.ones(4, 3)), encoder(torch.zeros(4, 3))
cosine = nn.functional.cosine_similarity
loss = -cosine(head(a), b.detach()).mean() / 2 - cosine(head(b), a.detach()).mean() / 2
loss.backward()
=== a gradient penalty with a graph
critic = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))
x = torch.ones(3, 2, requires_grad=True)
score = critic(x)
(slope,) = torch.autograd.grad(score.sum(), x, create_graph=True)
loss = score.mean() + 10 * (slope.norm(dim=1) - 1).pow(2).mean()
loss.backward()
=== a probe beside the main loss
body, head, probe = nn.Linear(3, 4), nn.Linear(4, 2), nn.Linear(4, 2)
x, y = torch.ones(5, 3), torch.zeros(5, dtype=torch.long)
h = body(x)
loss = nn.functional.cross_entropy(head(h), y) + nn.functional.cross_entropy(probe(h.detach()), y)
loss.backward()
=== a probe that is trained alone first
def loss_of(body, head, probe, x, y, warm):
    h = body(x)
    read = nn.functional.cross_entropy(probe(h.detach()), y)
    if warm:
        return read
    return nn.functional.cross_entropy(head(h), y) + read


x, y = torch.ones(5, 3), torch.zeros(5, dtype=torch.long)
loss_of(nn.Linear(3, 4), nn.Linear(4, 2), nn.Linear(4, 2), x, y, False).backward()
=== a generator and a discriminator, right
def losses(g, d, z, real):
    fake = g(z)
    loss_d = d(fake.detach()).pow(2).mean() + (d(real) - 1).pow(2).mean()
    loss_g = (d(fake) - 1).pow(2).mean() + (fake - real).abs().mean()
    return loss_d, loss_g


one, two = losses(nn.Linear(2, 2), nn.Linear(2, 1), torch.ones(1, 2), torch.ones(1, 2))
one.backward()
two.backward()
=== a generator with a detached distance to the past
def losses(g, d, z, real):
    fake = g(z)
    loss_d = d(fake.detach()).mean() - d(real).mean()
    loss_d.backward()
    loss_g = -d(fake).mean() + 0.1 * (fake - real).pow(2).mean()
    loss_g.backward()


losses(nn.Linear(2, 2), nn.Linear(2, 1), torch.ones(1, 2), torch.ones(1, 2))
=== features of the detached sample are matched as well
def losses(g, d, z, real):
    fake = g(z)
    loss_d = d(fake.detach()).mean() - d(real).mean()
    loss_d.backward()
    loss_g = -d(fake).mean() + (d(fake) - d(real).detach()).pow(2).mean()
    loss_g.backward()


losses(nn.Linear(2, 2), nn.Linear(2, 1), torch.ones(1, 2), torch.ones(1, 2))
=== an unknown network may have no weights
def step(net, x, w):
    loss = (x * w).sum() + net(x).item()
    loss.backward()


step(lambda x: x.sum(), torch.ones(3), torch.ones(3, requires_grad=True))
=== frozen on purpose
teacher, student = nn.Linear(2, 2), nn.Linear(2, 2)
for p in teacher.parameters():
    p.requires_grad = False
x = torch.ones(3, 2)
loss = student(x).pow(2).mean() + teacher(x).pow(2).mean().item()
loss.backward()
""")


@table(CHANGE)
def test_rewritten(case: Case) -> None:
    check_transformed(case, "GF305")


@table(REPORT)
def test_reported(case: Case) -> None:
    check_reported(case, case.name.split()[0])


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("case", LEAVE, ids=str)
def test_left_alone(case: Case, code: str) -> None:
    check_noop(case, code)
