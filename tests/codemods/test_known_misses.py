"""Faults that were met in real code and are not found yet; the day one is, its mark has to go."""

from __future__ import annotations

import pytest
from harness import found
from snippets import Case, cases

MISSES = cases("""
=== GF301 copied by way of a lambda in an attribute
class Deviation(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 3)
        self.std = lambda x: (x - x.mean()).pow(2).mean().sqrt()

    def forward(self, x):
        x = self.lin(x)
        return torch.cat([x, torch.FloatTensor([self.std(x)])])
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
""")


@pytest.mark.parametrize("case", MISSES, ids=lambda case: case.name)
def test_missed(case: Case, request: pytest.FixtureRequest) -> None:
    request.applymarker(pytest.mark.xfail(strict=True, reason="not found yet"))
    code = case.name.split()[0]
    assert found(case.before, code)
