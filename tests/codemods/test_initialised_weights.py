"""GF105: tensors that the functions of nn.init fill and give back, and that are no Parameters."""

from __future__ import annotations

from harness import check_noop, check_reported, table
from snippets import Case, cases, run

CODE = "GF105"

REPORT = cases("""
=== what an initialiser gives back
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.init.xavier_uniform_(torch.empty(3, 3))

    def forward(self, x):
        return torch.matmul(x, self.w)


net = Net()
out = net(torch.ones(1, 3))
reason: trained
=== an initialiser that is looked up
from torch import nn
from torch.nn import init as initialisers
import torch


class Net(nn.Module):
    def __init__(self, name="xavier_uniform_"):
        super().__init__()
        fill = getattr(initialisers, name)
        self.w: torch.Tensor = fill(torch.empty(3, 3))
        self.b = torch.zeros(3)

    def forward(self, x):
        return torch.matmul(x, self.w) + self.b


net = Net()
out = net(torch.ones(1, 3))
reason: trained
=== in a list
class Net(nn.Module):
    def __init__(self, sizes=(3, 3)):
        super().__init__()
        self.weights = []
        for size in sizes:
            self.weights.append(nn.init.kaiming_normal_(torch.empty(3, size)))

    def forward(self, x):
        for w in self.weights:
            x = torch.matmul(x, w)
        return x


net = Net()
out = net(torch.ones(1, 3))
reason: trained
""")

LEAVE = cases("""
=== Parameters around them
class Net(nn.Module):
    def __init__(self, name="xavier_uniform_"):
        super().__init__()
        fill = getattr(nn.init, name)
        self.w = nn.Parameter(fill(torch.empty(3, 3)))
        self.v = nn.init.xavier_uniform_(nn.Parameter(torch.empty(3, 3)))
        self.weights = nn.ParameterList()
        self.weights.append(nn.Parameter(nn.init.xavier_uniform_(torch.empty(3, 3))))

    def forward(self, x):
        for w in self.weights:
            x = torch.matmul(x, w)
        return torch.matmul(torch.matmul(x, self.w), self.v)


Net()(torch.ones(1, 3)).sum().backward()
=== constants
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 3)
        self.mask = nn.init.ones_(torch.empty(3))

    def forward(self, x):
        return self.lin(x) * self.mask


Net()(torch.ones(1, 3)).sum().backward()
=== registered by other means
class Net(nn.Module):
    def __init__(self, count=2):
        super().__init__()
        self.weights = []
        for _ in range(count):
            self.weights.append(nn.init.xavier_uniform_(torch.empty(3, 3)))
        self.kept = nn.ParameterList(self.weights)
        self.register_buffer("basis", nn.init.orthogonal_(torch.empty(3, 3)))

    def forward(self, x):
        for w in self.kept:
            x = torch.matmul(x, w)
        return torch.matmul(x, self.basis)


Net()(torch.ones(1, 3)).sum().backward()
=== only a start for something else
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.start = nn.init.xavier_uniform_(torch.empty(3, 3))
        self.lin = nn.Linear(3, 3)
        self.lin.weight.data.copy_(self.start)

    def forward(self, x):
        return self.lin(x)


Net()(torch.ones(1, 3)).sum().backward()
=== other things that are looked up
class Net(nn.Module):
    def __init__(self, name="ReLU"):
        super().__init__()
        self.lin = nn.Linear(3, 3)
        self.act = getattr(nn, name)()
        self.scale = getattr(torch, "ones")(3)

    def forward(self, x):
        return self.act(self.lin(x)) * self.scale


Net()(torch.ones(1, 3)).sum().backward()
""")


@table(REPORT)
def test_reported(case: Case) -> None:
    check_reported(case, CODE)
    result = run(case.before)
    assert result.error is None
    assert not result.names["out"].requires_grad


@table(LEAVE)
def test_left_alone(case: Case) -> None:
    check_noop(case, CODE)
