"""GF204: a loop collects a tensor in a list and writes to it in place."""

from __future__ import annotations

from harness import check_noop, check_transformed, table
from snippets import Case, cases

CODE = "GF204"

CHANGE = cases("""
=== positions of a trajectory | values unsafe
class Drift(nn.Module):
    def __init__(self):
        super().__init__()
        self.v = nn.Parameter(torch.ones(2))

    def forward(self, steps):
        at = torch.zeros(2)
        path = []
        for _ in range(steps):
            at += self.v * 0.5  # one step
            path.append(at)
        return torch.stack(path)


drift = Drift()
out = drift(3)
out.pow(2).sum().backward()
grad = drift.v.grad
--->
class Drift(nn.Module):
    def __init__(self):
        super().__init__()
        self.v = nn.Parameter(torch.ones(2))

    def forward(self, steps):
        at = torch.zeros(2)
        path = []
        for _ in range(steps):
            at += self.v * 0.5  # one step
            path.append(at.clone())
        return torch.stack(path)


drift = Drift()
out = drift(3)
out.pow(2).sum().backward()
grad = drift.v.grad
=== a window that is shifted | values unsafe
w = Parameter(torch.ones(3))
window = torch.zeros(3)
rows, t = [], 0
while t < 3:
    window[t] = t + 1.0
    rows.append(window)
    t += 1
out = torch.stack([w * row for row in rows])
out.sum().backward()
grad = w.grad
--->
w = Parameter(torch.ones(3))
window = torch.zeros(3)
rows, t = [], 0
while t < 3:
    window[t] = t + 1.0
    rows.append(window.clone())
    t += 1
out = torch.stack([w * row for row in rows])
out.sum().backward()
grad = w.grad
""")

LEAVE = cases("""
=== the name is bound to a new tensor in every turn
v = Parameter(torch.ones(2))
at, path = torch.zeros(2), []
for _ in range(3):
    at = at + v
    path.append(at)
torch.stack(path).sum().backward()
=== a new tensor in every turn is written before it is kept
v = Parameter(torch.ones(2))
rows = []
for k in range(3):
    row = torch.zeros(2)
    row += v * k
    rows.append(row)
torch.stack(rows).sum().backward()
=== a copy is kept
v = Parameter(torch.ones(2))
at, path = torch.zeros(2), []
for _ in range(3):
    at += v
    path.append(at.clone())
torch.stack(path).sum().backward()
=== a number
v = Parameter(torch.ones(2))
total, totals = 0.0, []
for one in v.tolist():
    total += one
    totals.append(total)
(v * torch.tensor(totals)).sum().backward()
=== a new list in every turn
v = Parameter(torch.ones(2))
at, out = torch.zeros(2), 0.0
for _ in range(3):
    at += 1
    parts = []
    parts.append(at)
    out = out + (torch.stack(parts) * v).sum().item()
torch.stack(parts).sum()
=== the loop ends with the entry
v = Parameter(torch.ones(2))
at, found = torch.zeros(2), []
for k in range(3):
    at += 1
    if k == 1:
        found.append(at)
        break
(torch.stack(found) * v).sum().backward()
=== only how many there are is asked
v = Parameter(torch.ones(2))
at, path = torch.zeros(2), []
for _ in range(3):
    at += 1
    path.append(at)
print(len(path))
(v * at).sum().backward()
=== written in another loop, before
v = Parameter(torch.ones(2))
at, rows = torch.zeros(2), []
for _ in range(3):
    at += 1
for k in range(3):
    rows.append(at)
(torch.stack(rows) * v).sum().backward()
""")


@table(CHANGE)
def test_rewritten(case: Case) -> None:
    check_transformed(case, CODE)


@table(LEAVE)
def test_left_alone(case: Case) -> None:
    check_noop(case, CODE)
