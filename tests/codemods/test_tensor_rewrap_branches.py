"""GF301: copies of what is a graph tensor on one of several paths."""

from __future__ import annotations

from harness import check_noop, check_reported, table
from snippets import Case, cases, run

CODE = "GF301"

REPORT = cases("""
=== an end time that may be trained
class Flow(nn.Module):
    def __init__(self, end=None):
        super().__init__()
        if end is None:
            self.root = nn.Parameter(torch.tensor(1.0))
            self.end = self.root**2
        else:
            self.end = end
        self.times = torch.tensor([0.0, self.end])

    def forward(self, x):
        return x * self.times[1]


flow = Flow()
flow(torch.ones(3, requires_grad=True)).sum().backward()
lost = flow.root.grad is None
reason: not known
=== a scale in forward
class Scaled(nn.Module):
    def __init__(self, learnt=True):
        super().__init__()
        self.learnt = learnt
        self.log = nn.Parameter(torch.zeros(()))

    def forward(self, x, given=2.0):
        scale = given
        if self.learnt:
            scale = self.log.exp()
        return x * torch.tensor([scale, 1.0])


net = Scaled()
net(torch.ones(2, requires_grad=True)).sum().backward()
lost = net.log.grad is None
reason: not known
""")

LEAVE = cases("""
=== constants on both paths
class Flow(nn.Module):
    def __init__(self, end=None):
        super().__init__()
        self.lin = nn.Linear(3, 3)
        if end is None:
            self.end = torch.ones(())
        else:
            self.end = end
        self.times = torch.tensor([0.0, self.end])

    def forward(self, x):
        return self.lin(x) * self.times[1]


Flow()(torch.ones(3)).sum().backward()
=== let go on the path
class Flow(nn.Module):
    def __init__(self, end=None):
        super().__init__()
        self.root = nn.Parameter(torch.tensor(1.0))
        if end is None:
            end = (self.root**2).detach()
        self.times = torch.tensor([0.0, end])

    def forward(self, x):
        return x * self.times[1] * self.root


Flow()(torch.ones(3)).sum().backward()
=== without grad mode
class Flow(nn.Module):
    def __init__(self):
        super().__init__()
        self.root = nn.Parameter(torch.tensor(1.0))

    @torch.no_grad()
    def times(self, end=None):
        if end is None:
            end = self.root**2
        return torch.tensor([0.0, end])

    def forward(self, x):
        return x * self.root


flow = Flow()
flow(flow.times()).sum().backward()
=== a report
class Flow(nn.Module):
    def __init__(self):
        super().__init__()
        self.root = nn.Parameter(torch.tensor(1.0))

    def forward(self, x, end=None):
        if end is None:
            end = self.root**2
        print(torch.tensor([0.0, end]))
        return x * end


Flow()(torch.ones(3)).sum().backward()
""")


@table(REPORT)
def test_reported(case: Case) -> None:
    check_reported(case, CODE)
    result = run(case.before)
    assert result.error is None
    assert result.names["lost"] is True


@table(LEAVE)
def test_left_alone(case: Case) -> None:
    check_noop(case, CODE)
