"""GF304, GF305, GF306: what cuts a Parameter off for good, and the many cuts that are right."""

from __future__ import annotations

import pytest
from harness import check_noop, check_reported, check_transformed, found, table
from snippets import Case, cases

CODES = ("GF304", "GF305", "GF306")

CHANGE_304 = cases("""
=== a weight used through .data | none unsafe
class Affine(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, 2))
        self.bias = nn.Parameter(torch.zeros(2))

    def forward(self, x):
        return x @ self.weight.data + self.bias

layer = Affine()
out = layer(torch.ones(1, 2))
out.sum().backward()
grad = layer.weight.grad
--->
class Affine(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, 2))
        self.bias = nn.Parameter(torch.zeros(2))

    def forward(self, x):
        return x @ self.weight + self.bias

layer = Affine()
out = layer(torch.ones(1, 2))
out.sum().backward()
grad = layer.weight.grad
""")

REPORT = cases("""
=== GF306 layers that are imported by name
import torch
from torch.nn import Linear, Module


class Net(Module):
    def __init__(self):
        super().__init__()
        self.inner = Linear(3, 2)
        self.outer = Linear(2, 1)

    def code(self, x):
        return torch.round(4 * self.inner(x))

    def forward(self, x):
        return self.outer(self.code(x) / 4)


Net()(torch.ones(3)).sum().backward()
reason: modelling
=== GF305 an input is scaled by what math makes of a Parameter
import math
import torch
from torch import nn

class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(0.0))

    def forward(self, x):
        return x * math.exp(self.log_scale)
reason: torch operations
=== GF306 a threshold that is learned
class Shrink(nn.Module):
    def __init__(self):
        super().__init__()
        self.raw = nn.Parameter(torch.tensor(0.0))

    def forward(self, x):
        keep = (x.abs() > torch.sigmoid(self.raw)).float()
        return x * keep
reason: modelling
=== GF304 an element is detached and written back
raw = Parameter(torch.tensor([0.5, 0.8]))
p = torch.stack([raw[0], raw[1], raw[0]]) * 2
p[2] = (p[0] / p[1]).detach()
p.sum().backward()
reason: on purpose
=== GF304 two layers behind a detach
class Graph(nn.Module):
    def __init__(self):
        super().__init__()
        self.phi = nn.Linear(4, 3)
        self.theta = nn.Linear(4, 3)
        self.out = nn.Linear(4, 2)

    def forward(self, x):
        near = torch.softmax(self.phi(x) @ self.theta(x).t(), dim=-1).detach()
        return self.out(near @ x)
reason: on purpose
=== GF304 an encoder that its optimizer waits for
class Agent:
    def __init__(self):
        self.encoder = nn.Linear(6, 3)
        self.head = nn.Linear(3, 2)
        self.opt = torch.optim.SGD(self.encoder.parameters(), lr=0.1)

    def update(self, x, y):
        with torch.no_grad():
            h = self.encoder(x)
        loss = nn.functional.mse_loss(self.head(h), y)
        loss.backward()
        self.opt.step()
reason: on purpose
=== GF304 a Module that computes with its argument under no_grad
class Clip(nn.Module):
    def forward(self, w):
        with torch.no_grad():
            low = torch.clamp(w[0], 0.0, 1.0)
            return torch.stack([low, torch.clamp(w[1], 0.1, 9.0)])

class Bell(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(2))
        self.clip = Clip()
        self.out = nn.Linear(3, 1)

    def forward(self, x):
        mean, width = self.clip(self.w)
        return self.out(torch.exp(-((x - mean) / width) ** 2))
reason: on purpose
=== GF304 a Module that computes with its argument with grad mode switched off
class Clip(nn.Module):
    def forward(self, w):
        with torch.set_grad_enabled(False):
            low = torch.clamp(w[0], 0.0, 1.0)
            return torch.stack([low, torch.clamp(w[1], 0.1, 9.0)])

class Bell(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(2))
        self.clip = Clip()
        self.out = nn.Linear(3, 1)

    def forward(self, x):
        mean, width = self.clip(self.w)
        return self.out(torch.exp(-((x - mean) / width) ** 2))
reason: on purpose
=== GF304 detached in place
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(3, 3)
        self.head = nn.Linear(3, 1)

    def forward(self, x):
        h = self.encoder(x)
        h.detach_()
        return self.head(h)
reason: on purpose
=== GF304 a function that detaches its argument
def bounded(w):
    return torch.tanh(w.detach()) * 3

class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(3))

    def forward(self, x):
        return x * bounded(self.w)
reason: on purpose
=== GF304 a method under a decorator
class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(3))

    @torch.no_grad()
    def scale(self, w):
        return torch.softmax(w, dim=0)

    def forward(self, x):
        return x * self.scale(self.w)
reason: on purpose
=== GF304 two results of a function that takes the data
def parts(w):
    data = w.data
    return torch.abs(data), torch.sqrt(data)

class Split(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(3))

    def forward(self, x):
        a, b = parts(self.w)
        return x * a + b
reason: on purpose
=== GF305 a function that gives a number
def total(w):
    return float(torch.sum(w))

class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(3))

    def forward(self, x):
        return torch.tanh(x) * total(self.w)
reason: torch operations
=== GF306 a function that rounds
def levels(w):
    return torch.round(w * 8) / 8

class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(3))

    def forward(self, x):
        return x * levels(self.w)
reason: modelling
=== GF305 sorted as Python numbers
class Trimmed(nn.Module):
    def __init__(self):
        super().__init__()
        self.score = nn.Linear(3, 5)
        self.out = nn.Linear(1, 1)

    def forward(self, x):
        rows = []
        for row in self.score(x):
            rows.append(torch.tensor(sorted(row.tolist())[1:-1]).mean())
        return self.out(torch.stack(rows).unsqueeze(1))
reason: torch operations
=== GF305 a scale as a float
import math
import torch
from torch import nn

class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(0.1))
        self.lin = nn.Linear(2, 2)

    def forward(self, x):
        return self.lin(x) * math.exp(self.log_scale)
reason: torch operations
=== GF306 collected in a buffer of integers
class Levels(nn.Module):
    def __init__(self):
        super().__init__()
        self.steps = nn.Parameter(torch.ones(3))

    def forward(self, x):
        levels = torch.full((3,), 0)
        for i in range(3):
            levels[i] = self.steps[i] * 5
        return x * levels

out = Levels()(torch.ones(3))
reason: question of modelling
=== GF306 collected in a buffer of the type of the labels, which are indices
class Weights(nn.Module):
    def __init__(self):
        super().__init__()
        self.prior = nn.Parameter(torch.ones(3))

    def forward(self, labels, x):
        weights = torch.zeros_like(labels)
        for i, label in enumerate(labels):
            weights[i] = self.prior[label] * 2
        return x * weights

out = Weights()(torch.tensor([0, 2, 2]), torch.ones(3))
reason: question of modelling
=== GF306 rounded
class Compressor(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(4, 3)
        self.decoder = nn.Linear(3, 4)

    def forward(self, x):
        return self.decoder(torch.round(4 * self.encoder(x)) / 4)
reason: modelling
=== GF306 looked up by an integer
class Curve(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("table", torch.linspace(0, 1, 9))
        self.gain = nn.Parameter(torch.tensor(1.0))

    def forward(self, x):
        at = (self.gain * x).clamp(0, 0.9) * 8
        return self.table[at.long()] * 2
reason: modelling
""")

LEAVE = cases("""
=== a buffer of the type of what is no index
class Weights(nn.Module):
    def __init__(self):
        super().__init__()
        self.prior = nn.Parameter(torch.ones(3))

    def forward(self, x, rows):
        weights = torch.zeros_like(x)
        for i, row in enumerate(rows):
            weights[i] = weights[i] + self.prior[row] * 2
        return x * weights

out = Weights()(torch.ones(3), torch.tensor([0, 2, 2]))
out.sum().backward()
=== indices that are something else by then, or have another type
class Weights(nn.Module):
    def __init__(self):
        super().__init__()
        self.prior = nn.Parameter(torch.ones(3))

    def forward(self, labels, x):
        chosen = self.prior[labels]
        labels = labels.to(x.dtype)
        weights = torch.zeros_like(labels)
        weights[0] = chosen[0] * 2
        return x * weights

out = Weights()(torch.tensor([0, 2, 2]), torch.ones(3))
out.sum().backward()
=== a buffer like the labels with a type of its own
class Weights(nn.Module):
    def __init__(self):
        super().__init__()
        self.prior = nn.Parameter(torch.ones(3))

    def forward(self, labels, x):
        weights = torch.zeros_like(labels, dtype=torch.float32)
        weights[0] = self.prior[labels][0] * 2
        return x * weights

out = Weights()(torch.tensor([0, 2, 2]), torch.ones(3))
out.sum().backward()
=== integers that choose, and the chosen values are trained
class Greedy(nn.Module):
    def __init__(self):
        super().__init__()
        self.score = nn.Linear(3, 4)

    def forward(self, x):
        z = self.score(x)
        best = torch.zeros(2, dtype=torch.long)
        keep = torch.zeros(2, dtype=torch.bool)
        for i in range(2):
            best[i] = z[i].argmax()
            keep[i] = z[i, 0] > 0
        return z.gather(1, best.unsqueeze(1)) * keep

Greedy()(torch.ones(2, 3)).sum().backward()
=== a number for a log beside the input
class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))
        self.seen = 0.0

    def forward(self, x):
        self.seen = self.scale.item()
        return x * self.scale

Scaled()(torch.ones(3)).sum().backward()
=== straight-through
class Quantiser(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, x):
        y = x * self.scale
        return y + (torch.round(y) - y).detach()

Quantiser()(torch.ones(3)).sum().backward()
=== a codebook whose Parameters are made anew
class Quantizer(nn.Module):
    def __init__(self):
        super().__init__()
        self.codes = nn.Embedding(4, 2)
        self.average = Parameter(torch.ones(4, 2))

    def forward(self, z):
        index = torch.cdist(z, self.codes.weight).argmin(1)
        one_hot = nn.functional.one_hot(index, 4).float()
        if self.training:
            self.average = Parameter(0.9 * self.average + 0.1 * one_hot.t() @ z)
            self.codes.weight = Parameter(self.average / one_hot.sum(0).clamp(min=1)[:, None])
        q = one_hot @ self.codes.weight
        return z + (q - z).detach(), ((q.detach() - z) ** 2).mean()


encoder, quantizer = nn.Linear(3, 2), Quantizer()
q, loss = quantizer(encoder(torch.ones(5, 3)))
(q.sum() + loss).backward()
=== a codebook that averages by hand
class Book(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Parameter(torch.ones(3, 2))

    def forward(self, x):
        near = torch.cdist(x, self.embed.data).argmin(dim=1)
        if self.training:
            self.embed.data.mul_(0.9).add_(0.1 * x.detach().mean(0))
        return self.embed.data[near] * 1.0

Book()(torch.ones(2, 2))
=== a target network
class Agent:
    def __init__(self):
        self.online = nn.Linear(3, 2)
        self.target = nn.Linear(3, 2)
        self.opt = torch.optim.SGD(self.online.parameters(), lr=0.1)

    def learn(self, s):
        with torch.no_grad():
            y = self.target(s) * 0.9
        loss = (self.online(s) - y).pow(2).mean()
        loss.backward()
        self.opt.step()

Agent().learn(torch.ones(1, 3))
=== the value is used with its history elsewhere
class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(2, 2)

    def forward(self, x):
        h = self.lin(x)
        return h / h.detach().norm()

Head()(torch.ones(1, 2)).sum().backward()
=== a metric
class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(2, 3)

    def forward(self, x):
        return self.lin(x)

    def accuracy(self, x, y):
        return (self.lin(x).argmax(1) == y).float().mean() * 100

model = Classifier()
model.accuracy(torch.ones(1, 2), torch.zeros(1))
model(torch.ones(1, 2)).sum().backward()
=== numbers for a log
class Fit(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(2))
        self.history = []

    def forward(self, x):
        loss = (x * self.w).sum()
        self.history.append(loss.item() * 2)
        return loss

Fit()(torch.ones(2)).backward()
=== handed out without history
class Store(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(2))

    def forward(self, x):
        return x * self.w

    def weights(self):
        return self.w.detach().numpy()

Store().weights()
=== evaluated after the training loop
def refine(n):
    q = torch.ones(3).requires_grad_(True)
    opt = torch.optim.Adam([q], lr=0.1)
    for _ in range(n):
        opt.zero_grad()
        (q / q.norm()).pow(2)[0].backward()
        opt.step()
    with torch.no_grad():
        final = q / q.norm()
    return final * 1.0

refine(2)
=== frozen on purpose
class Features(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(2, 2)
        self.head = nn.Linear(2, 1)
        for p in self.body.parameters():
            p.requires_grad = False

    def forward(self, x):
        return self.head(self.body(x).detach())

Features()(torch.ones(1, 2)).sum().backward()
=== what an unknown function does is not known
class Mixed(nn.Module):
    def __init__(self, rule):
        super().__init__()
        self.w = nn.Parameter(torch.ones(2))
        self.rule = rule

    def forward(self, x):
        scale = self.rule(self.w)
        return x * self.w.detach() + scale

Mixed(lambda w: w.sum())(torch.ones(2)).sum().backward()
=== a lambda keeps the history
class Late(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(2))

    def forward(self, x):
        w = self.w * 1
        make = lambda y: y * w
        return make(x) + w.detach()

Late()(torch.ones(2)).sum().backward()
=== a baseline
def loss_of(actor, critic, x, reward):
    value = critic(x).squeeze(-1)
    log_prob = torch.log_softmax(actor(x), dim=-1)[:, 0]
    return -(log_prob * (reward - value.detach())).mean() + (value - reward).pow(2).mean()

loss_of(nn.Linear(2, 2), nn.Linear(2, 1), torch.ones(3, 2), torch.ones(3)).backward()
=== the discriminator's step
def steps(g, d, z, real):
    fake = g(z)
    d_loss = d(fake.detach()).mean() - d(real).mean()
    g_loss = -d(fake).mean()
    return d_loss, g_loss

a, b = steps(nn.Linear(2, 2), nn.Linear(2, 1), torch.ones(1, 2), torch.ones(1, 2))
(a + b).backward()
=== sizes are numbers, not values
import math
import torch
from torch import nn

class Padded(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(3))

    def forward(self, x):
        return x * self.w / math.sqrt(self.w.numel()) + float(self.w.shape[0])

Padded()(torch.ones(3)).sum().backward()
=== a function that rounds straight through
def levels(w):
    return w + (torch.round(w) - w).detach()

class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(3))

    def forward(self, x):
        return x * levels(self.w)

Scaled()(torch.ones(3)).sum().backward()
=== a function that may return what it got
def bounded(w, hard):
    if hard:
        with torch.no_grad():
            return w.clamp(0, 1)
    return w.sigmoid()

class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(3))

    def forward(self, x):
        return x * bounded(self.w, False)

Scaled()(torch.ones(3)).sum().backward()
=== the Parameter goes on beside the function, too
def norm(w):
    with torch.no_grad():
        return w.norm()

class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(3))

    def forward(self, x):
        return x * self.w / norm(self.w)

Scaled()(torch.ones(3)).sum().backward()
=== the function keeps a penalty that is differentiated
class Clip(nn.Module):
    def forward(self, w):
        self.penalty = w.pow(2).sum()
        return w.detach().clamp(0, 1)

class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(3))
        self.clip = Clip()

    def forward(self, x):
        return x * self.clip(self.w) + self.clip.penalty

Scaled()(torch.ones(3)).sum().backward()
=== sizes of an argument
def like(w):
    return torch.zeros_like(w) + w.shape[0]

class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(3))

    def forward(self, x):
        return x * like(self.w) + self.w

Scaled()(torch.ones(3)).sum().backward()
=== a teacher of its own
class Distilled(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(2, 2)
        self.student = nn.Linear(2, 1)
        self.teacher = nn.Linear(2, 1)

    @torch.no_grad()
    def target(self, h):
        return torch.sigmoid(h)

    def forward(self, x):
        h = self.embed(x)
        return (self.student(h) - self.target(h)).pow(2).sum()

Distilled()(torch.ones(1, 2)).backward()
=== a mask from a comparison
class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(3))

    def forward(self, x):
        return self.w * x * (self.w > 0.5).float()

Masked()(torch.ones(3)).sum().backward()
""")


@table(CHANGE_304)
def test_rewritten(case: Case) -> None:
    check_transformed(case, "GF304")


@table(REPORT)
def test_reported(case: Case) -> None:
    check_reported(case, case.name.split()[0])


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("case", LEAVE, ids=str)
def test_left_alone(case: Case, code: str) -> None:
    check_noop(case, code)


def test_items_in_a_buffer_become_tensors() -> None:
    text = LEAVE[0].before + (
        "class Ranker(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.head = nn.Linear(3, 1)\n"
        "    def forward(self, docs):\n"
        "        scores = torch.zeros(len(docs))\n"
        "        for i, doc in enumerate(docs):\n"
        "            scores[i] = self.head(doc).item()\n"
        "        return scores\n"
    )
    (finding,) = found(text, "GF305")
    assert finding.fix is not None
    assert finding.fix.safety.value == "unsafe"
