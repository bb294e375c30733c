"""GF301: a layer makes a new tensor of what other layers computed, and inputs that are right."""

from __future__ import annotations

from harness import check_noop, check_transformed, found, table
from snippets import Case, cases

CODE = "GF301"

CHANGE = cases("""
=== a stack of layers that convert their input | none
class Dense(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.w = nn.Parameter(torch.eye(width))

    def forward(self, x):
        x = torch.tensor(x, dtype=torch.float32)  # may be a list
        return torch.tanh(x @ self.w)


class Net(nn.Module):
    def __init__(self, depth):
        super().__init__()
        self.layers = nn.ModuleList([Dense(3) for _ in range(depth)])

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


net = Net(2)
out = net([[1.0, 2.0, 3.0]])
out.sum().backward()
grads = [p.grad for p in net.parameters()]
--->
class Dense(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.w = nn.Parameter(torch.eye(width))

    def forward(self, x):
        x = torch.as_tensor(x, dtype=torch.float32).clone()  # may be a list
        return torch.tanh(x @ self.w)


class Net(nn.Module):
    def __init__(self, depth):
        super().__init__()
        self.layers = nn.ModuleList([Dense(3) for _ in range(depth)])

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


net = Net(2)
out = net([[1.0, 2.0, 3.0]])
out.sum().backward()
grads = [p.grad for p in net.parameters()]
=== behind another layer | none
class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(4))

    def forward(self, h):
        return (torch.tensor(h) * self.w).sum(dim=-1)


body, head = nn.Linear(3, 4), Head()
out = head(body(torch.ones(2, 3)))
out.sum().backward()
grad = body.weight.grad
--->
class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(4))

    def forward(self, h):
        return (torch.as_tensor(h).clone() * self.w).sum(dim=-1)


body, head = nn.Linear(3, 4), Head()
out = head(body(torch.ones(2, 3)))
out.sum().backward()
grad = body.weight.grad
=== behind another layer, and given another form before | none
class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(4))

    def forward(self, h):
        h = h.contiguous().to("cpu")
        if h.dim() == 1:
            h = h.unsqueeze(0)
        return (torch.tensor(h) * self.w).sum(dim=-1)


body, head = nn.Linear(3, 4), Head()
out = head(body(torch.ones(3)))
out.sum().backward()
grad = body.weight.grad
--->
class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(4))

    def forward(self, h):
        h = h.contiguous().to("cpu")
        if h.dim() == 1:
            h = h.unsqueeze(0)
        return (torch.as_tensor(h).clone() * self.w).sum(dim=-1)


body, head = nn.Linear(3, 4), Head()
out = head(body(torch.ones(3)))
out.sum().backward()
grad = body.weight.grad
=== in a Sequential | raises
class Pass(nn.Module):
    def forward(self, x):
        return torch.tensor(x)


net = nn.Sequential(nn.Linear(3, 4), Pass())
out = net(torch.ones(2, 3))
out.sum().backward()
grad = net[0].weight.grad
--->
class Pass(nn.Module):
    def forward(self, x):
        return torch.as_tensor(x).clone()


net = nn.Sequential(nn.Linear(3, 4), Pass())
out = net(torch.ones(2, 3))
out.sum().backward()
grad = net[0].weight.grad
""")

LEAVE = cases("""
=== the outermost model takes lists
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def forward(self, x):
        x = torch.tensor(x, dtype=torch.float32)
        return self.layer(x)


Net()([[1.0, 2.0, 3.0]]).sum().backward()
=== an ensemble whose members all take the data
class Member(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def forward(self, x):
        return self.layer(torch.tensor(x))


class Ensemble(nn.Module):
    def __init__(self):
        super().__init__()
        self.members = nn.ModuleList([Member() for _ in range(2)])

    def forward(self, x):
        return sum(member(x) for member in self.members)


Ensemble()([[1.0, 2.0, 3.0]]).sum().backward()
=== first in a Sequential
class Convert(nn.Module):
    def forward(self, x):
        return torch.tensor(x)


net = nn.Sequential(Convert(), nn.Linear(3, 1))
net([[1.0, 2.0, 3.0]]).sum().backward()
=== indices
class Table(nn.Module):
    def __init__(self):
        super().__init__()
        self.rows = nn.Embedding(4, 2)

    def forward(self, at):
        return self.rows(torch.LongTensor(at))


Table()([0, 1]).sum().backward()
=== it is given detached features
class Probe(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, h):
        return self.layer(torch.tensor(h))


body, probe = nn.Linear(3, 4), Probe()
probe(body(torch.ones(2, 3)).detach()).sum().backward()
=== it is cast to integers before
class Probe(nn.Module):
    def __init__(self):
        super().__init__()
        self.rows = nn.Embedding(4, 2)

    def forward(self, h):
        h = h.to(torch.long)
        return self.rows(torch.tensor(h))


body, probe = nn.Linear(3, 4), Probe()
probe(body(torch.ones(2, 3)).sigmoid()).sum().backward()
=== one of two things is copied
class Probe(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, h, labels=None):
        h = h.contiguous() if labels is None else labels
        return self.layer(torch.tensor(h))


body, probe = nn.Linear(3, 4), Probe()
probe(body(torch.ones(2, 3)), torch.ones(2, 4)).sum().backward()
=== it is evaluated only
class Score(nn.Module):
    def forward(self, h):
        return torch.tensor(h).mean()


body, score = nn.Linear(3, 4), Score()
with torch.no_grad():
    shown = score(body(torch.ones(2, 3)))
=== the legacy constructor gives a view
class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(4))

    def forward(self, h):
        return (torch.FloatTensor(h) * self.w).sum(dim=-1)


body, head = nn.Linear(3, 4), Head()
head(body(torch.ones(2, 3))).sum().backward()
assert body.weight.grad is not None
=== a view of the whole by the legacy constructor
w = Parameter(torch.ones(4))
torch.FloatTensor(w * 2).sum().backward()
assert w.grad is not None
=== the conversion keeps the history
class Dense(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.eye(3))

    def forward(self, x):
        return torch.as_tensor(x, dtype=torch.float32) @ self.w


net = nn.Sequential(Dense(), Dense())
net(torch.ones(2, 3)).sum().backward()
assert net[0].w.grad is not None
""")


@table(CHANGE)
def test_rewritten(case: Case) -> None:
    check_transformed(case, CODE)


@table(LEAVE)
def test_left_alone(case: Case) -> None:
    check_noop(case, CODE)


def test_the_story_names_the_call() -> None:
    (finding,) = found(CHANGE[1].before, CODE)
    assert finding.because[0].message == "the layer is given a graph tensor here"
