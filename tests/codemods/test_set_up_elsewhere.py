"""Modules whose parts are made in one class, or method, and used in another."""

from __future__ import annotations

from harness import check_noop, check_reported, check_transformed, code_of, table
from snippets import Case, cases

FIXED = cases("""
=== GF105 a derived class computes with a plain tensor | unsafe none
class Cell(nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = torch.ones(2, requires_grad=True)


class Gated(Cell):
    def forward(self, x):
        return x * self.gain


net = Gated()
out = net(torch.ones(2)).sum()
out.backward()
grads = [p.grad for p in net.parameters()] or None
--->
class Cell(nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = Parameter(torch.ones(2))


class Gated(Cell):
    def forward(self, x):
        return x * self.gain


net = Gated()
out = net(torch.ones(2)).sum()
out.backward()
grads = [p.grad for p in net.parameters()] or None
""")

REPORTED = cases("""
=== GF105 a derived class uses an object that hides layers
class Head:
    def __init__(self):
        self.proj = nn.Linear(2, 3)

    def __call__(self, h):
        return self.proj(h)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(2, 2)
        self.head = Head()


class Language(Model):
    def forward(self, x):
        return self.head(self.embed(x))
reason: Module
=== GF103 a tied weight that a derived class uses
class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(4, 2, bias=False)
        self.decoder = nn.Linear(2, 4, bias=False)
        self.decoder.weight = Parameter(self.encoder.weight.t())


class Coder(Tied):
    def forward(self, x):
        return self.decoder(self.encoder(x))
reason: tied
=== GF103 a tied weight of a method that the constructor calls
class Coder(nn.Module):
    def __init__(self):
        super().__init__()
        self.build()

    def build(self):
        self.encoder = nn.Linear(4, 2, bias=False)
        self.decoder = nn.Linear(2, 4, bias=False)
        self.decoder.weight = Parameter(self.encoder.weight.t())

    def forward(self, x):
        return self.decoder(self.encoder(x))
reason: tied
=== GF305 layers of a method that the constructor calls
class Trimmed(nn.Module):
    def __init__(self):
        super().__init__()
        self.build()

    def forward(self, x):
        rows = []
        for row in self.score(x):
            rows.append(torch.tensor(sorted(row.tolist())[1:-1]).mean())
        return self.out(torch.stack(rows).unsqueeze(1))

    def build(self):
        self.score = nn.Linear(6, 5)
        self.out = nn.Linear(1, 1)
reason: torch operations
""")

LEFT_ALONE = cases("""
=== GF105 a plain tensor that no derived class computes with
class Cell(nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = torch.ones(2, requires_grad=True)


class Other(nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = Parameter(torch.ones(2))

    def forward(self, x):
        return x * self.gain


out = Other()(torch.ones(2)).sum()
out.backward()
=== GF103 a weight that is tied once and for all by the constructor
class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.build()

    def build(self):
        self.encoder = nn.Linear(4, 4, bias=False)
        self.decoder = nn.Linear(4, 4, bias=False)
        self.decoder.weight = self.encoder.weight

    def forward(self, x):
        return self.decoder(self.encoder(x))


out = Tied()(torch.ones(4)).sum()
out.backward()
=== GF103 a copy to start from, made by a method that the constructor calls
class Start(nn.Module):
    def __init__(self):
        super().__init__()
        self.build()

    def build(self):
        self.first = nn.Linear(4, 4, bias=False)
        self.second = nn.Linear(4, 4, bias=False)
        self.second.weight = Parameter(self.first.weight.clone())

    def forward(self, x):
        return self.second(self.first(x))


out = Start()(torch.ones(4)).sum()
out.backward()
""")


@table(FIXED)
def test_fixed(case: Case) -> None:
    check_transformed(case, code_of(case))


@table(REPORTED)
def test_reported(case: Case) -> None:
    check_reported(case, code_of(case))


@table(LEFT_ALONE)
def test_left_alone(case: Case) -> None:
    check_noop(case, code_of(case))
