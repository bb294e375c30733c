"""Faults that were met in real code and are not found yet; the day one is, its mark has to go."""

from __future__ import annotations

import pytest
from harness import found
from snippets import Case, cases

MISSES = cases("""
=== GF301 nested copies of what a given criterion returns
class Assigned(nn.Module):
    def __init__(self, criterion):
        super().__init__()
        self.criterion = criterion

    def forward(self, ref, inf, perm):
        rows = [
            torch.tensor([self.criterion(ref[s], inf[t]) for s, t in enumerate(p)]).mean()
            for p in perm
        ]
        return torch.tensor(rows).mean()
=== GF103 a Parameter of a constant that lives for one call
class Padded(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.n = n
        self.lin = nn.Linear(2 * n, n)

    def forward(self, x):
        return self.lin(torch.cat((x, nn.Parameter(torch.ones(x.size(0), self.n))), 1))
=== GF306 a term of a loss that is made of decisions only
class Consistent:
    def __call__(self, coarse, fine, truth):
        wrong = torch.where(coarse.argmax(1) == truth, torch.zeros(1), torch.ones(1))
        apart = torch.FloatTensor([a != b for a, b in zip(coarse.argmax(1), fine.argmax(1))])
        return nn.CrossEntropyLoss()(fine, truth) + torch.sum(torch.pow(3.0, apart * wrong) - 1)
=== GF105 a random memory that meets the input only
class Memory(nn.Module):
    def __init__(self, n=5, size=3):
        super().__init__()
        self.keys = torch.randn(n, size)
        self.values = torch.randn(n, size)

    def forward(self, x):
        return torch.softmax(x @ self.keys.t(), dim=-1) @ self.values
=== GF305 parts that went through NumPy, beside a gate that did not
class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleList([nn.Linear(3, 2) for _ in range(4)])
        self.gate = nn.Linear(3, 4)

    def forward(self, x):
        rows = [part(x).detach().numpy() for part in self.parts]
        return (self.gate(x).unsqueeze(-1) * torch.tensor(rows).transpose(0, 1)).sum(1)
=== GF202 a default activation keeps what is written behind it
class Film(nn.Module):
    def __init__(self, n, act=nn.ReLU()):
        super().__init__()
        self.act = act
        self.lin = nn.Linear(n, n)

    def forward(self, x):
        out = self.lin(x)
        if self.act is not None:
            out = self.act(out)
        out += x
        return out
=== GF202 a block whose last layer is chosen in its constructor
class Block(nn.Module):
    def __init__(self, n, use_act=True):
        super().__init__()
        self.lin = nn.Linear(n, n)
        self.act = nn.ReLU() if use_act else nn.Identity()

    def forward(self, x):
        return self.act(self.lin(x))


class Net(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.block = Block(n)

    def forward(self, x):
        y = self.block(x)
        y += x
        return y
=== GF202 a list of layers that a condition makes longer
class Block(nn.Module):
    def __init__(self, n, norm=True):
        super().__init__()
        layers = [nn.Conv2d(n, n, 1), nn.ReLU(inplace=True)]
        if norm:
            layers.insert(1, nn.BatchNorm2d(n))
        self.block = nn.Sequential(*layers)

    def forward(self, x):
        y = self.block(x)
        y += x
        return y
=== GF202 pooled in a turn of a loop, and written in the next
class Chain(nn.Module):
    def __init__(self, n):
        super().__init__()
        for i in range(1, 4):
            pool = nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(n, n, 1))
            self.add_module(f"block{i}", pool)

    def forward(self, x):
        path = x
        for i in range(1, 4):
            path = self.__getattr__(f"block{i}")(path)
            x += path
        return x
=== GF202 an argument that an operation keeps, in a function nobody calls here
def combine(log_probs, index, scores):
    for i in range(index.shape[1]):
        at = index[:, i : i + 1]
        joined = torch.logsumexp(torch.cat((log_probs.gather(1, at), scores), 1), 1)
        log_probs.scatter_(1, at, joined.unsqueeze(1))
    return log_probs
=== GF203 a weight of a model that is made elsewhere
from models import Tree
import torch

model = Tree(10, 3)
vectors = torch.zeros(10, 3)
vectors[0] = 1.0
model.emb.weight.copy_(vectors)
optimizer = torch.optim.Adam(model.parameters())
=== GF105 a list of what a given factory makes
class Experts(nn.Module):
    def __init__(self, make, count):
        super().__init__()
        self.gate = nn.Linear(4, count)
        self.experts = [make(4) for _ in range(count)]

    def forward(self, x):
        weights = torch.softmax(self.gate(x), -1)
        return sum(w * e(x) for w, e in zip(weights.unbind(-1), self.experts))
=== GF304 the ratio of a policy loss is detached
def policy_loss(log_probs, old_log_probs, advantages, clip):
    ratios = torch.exp(log_probs - old_log_probs).detach()
    one = ratios * advantages
    two = torch.clamp(ratios, 1.0 - clip, 1.0 + clip) * advantages
    return -torch.min(one, two).mean()
=== GF301 losses that layers elsewhere keep are copied into the balance loss
def balanced(model, loss, weight):
    kept = [layer.gate.get_loss(clear=False) for layer in model.layers]
    extra = torch.tensor(kept, device=kept[0].device).mean() * weight
    loss = loss + extra
    loss.backward()
    return loss
""")


@pytest.mark.parametrize("case", MISSES, ids=lambda case: case.name)
def test_missed(case: Case, request: pytest.FixtureRequest) -> None:
    request.applymarker(pytest.mark.xfail(strict=True, reason="not found yet"))
    code = case.name.split()[0]
    assert found(case.before, code)
