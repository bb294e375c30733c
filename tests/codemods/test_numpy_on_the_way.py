"""GF305: numbers and arrays between a Parameter and the loss, and NumPy functions of losses."""

from __future__ import annotations

from harness import check_noop, check_reported, check_transformed, found, table
from snippets import Case, cases

CODE = "GF305"
PRELUDE = "import numpy as np\nimport torch\nfrom torch import nn\n"


def with_numpy(text: str) -> list[Case]:
    """The cases of a table; those that import nothing get torch and NumPy."""
    parts = []
    for part in text.split("=== ")[1:]:
        head, _, body = part.partition("\n")
        before, arrow, after = body.partition("--->\n")
        bodies = [PRELUDE + "\n" + one for one in ([before, after] if arrow else [before])]
        parts.append(f"=== {head}\n" + "--->\n".join(bodies))
    return cases("".join(parts))


CHANGE = with_numpy("""
=== a sum of losses | raises
net = nn.Linear(2, 1)
x = torch.ones(3, 2)
total = np.sum([net(x).mean(), net(2 * x).mean()])
total.backward()
grad = net.weight.grad
--->
net = nn.Linear(2, 1)
x = torch.ones(3, 2)
total = torch.stack([net(x).mean(), net(2 * x).mean()]).sum()
total.backward()
grad = net.weight.grad
=== a mean of an array | raises
net = nn.Linear(2, 1)
losses = [net(torch.ones(3, 2)).mean() * k for k in range(2)]
total = 0.5 * np.array(losses).mean()
total.backward()
grad = net.weight.grad
--->
net = nn.Linear(2, 1)
losses = [net(torch.ones(3, 2)).mean() * k for k in range(2)]
total = 0.5 * torch.stack(losses).mean()
total.backward()
grad = net.weight.grad
=== nobody knows the criterion | raises unsafe
def total(preds, target, measure):
    parts = [measure(p, target) for p in preds]
    return np.mean(parts)


def step(model, x, target, measure):
    loss = total([model(x), model(x / 2)], target, measure)
    loss.backward()


net = nn.Linear(2, 2)
step(net, torch.ones(3, 2), torch.zeros(3, 2), nn.functional.mse_loss)
grad = net.weight.grad
--->
def total(preds, target, measure):
    parts = [measure(p, target) for p in preds]
    return torch.stack(parts).mean()


def step(model, x, target, measure):
    loss = total([model(x), model(x / 2)], target, measure)
    loss.backward()


net = nn.Linear(2, 2)
step(net, torch.ones(3, 2), torch.zeros(3, 2), nn.functional.mse_loss)
grad = net.weight.grad
""")

REPORT = with_numpy("""
=== rows in an array
class Rows(nn.Module):
    def __init__(self):
        super().__init__()
        self.basis = nn.Parameter(torch.ones(3, 4))

    def forward(self, codes):
        rows = np.zeros((len(codes), 4), dtype=np.float32)
        for at, code in enumerate(codes):
            rows[at] = (code @ self.basis).detach().numpy()
        return torch.from_numpy(rows)
reason: torch operations
=== a list of arrays
class Rows(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 4)

    def forward(self, codes):
        rows = []
        for code in codes:
            rows.append(self.layer(code).detach().cpu().numpy())
        return torch.tensor(np.stack(rows))
reason: torch operations
=== sorted by NumPy on the way
class Sorted(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(2, 3)
        self.head = nn.Linear(3, 1)

    def forward(self, x):
        h = torch.from_numpy(np.sort(self.body(x).data.numpy(), axis=1))
        return self.head(h)
reason: torch operations
=== a number that is computed with
class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.layer = nn.Linear(2, 2)

    def forward(self, x):
        factor = self.scale.item()
        factor = 2 * factor + 1
        return self.layer(x) * factor
reason: torch operations
=== a Parameter through an array
class Weighted(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(3))

    def forward(self, x):
        return x * torch.from_numpy(self.w.detach().numpy())
reason: torch operations
=== an array of tensors that is only kept
net = nn.Linear(2, 1)
kept = np.array([net(torch.ones(2)), net(torch.zeros(2))])
reason: torch operations
""")

LEAVE = with_numpy("""
=== a mean of numbers
net = nn.Linear(2, 1)
history = []
for _ in range(2):
    loss = net(torch.ones(3, 2)).pow(2).mean()
    loss.backward()
    history.append(loss.item())
print(np.mean(history))
=== a metric without grad mode
net = nn.Linear(2, 1)
with torch.no_grad():
    shown = np.mean([net(torch.ones(3, 2)).mean(), net(torch.zeros(3, 2)).mean()])
=== a metric in a function
net = nn.Linear(2, 1)


def score(batches):
    return np.mean([net(x).mean() for x in batches])


with torch.no_grad():
    shown = score([torch.ones(3, 2), torch.zeros(3, 2)])
=== a sum of arrays
data = np.sum([np.ones(3), np.zeros(3)], axis=0)
net = nn.Linear(3, 1)
net(torch.tensor(data, dtype=torch.float32)).sum().backward()
=== detached first
net = nn.Linear(2, 1)
out = net(torch.ones(3, 2))
shown = np.mean([row.detach().numpy() for row in out])
out.mean().backward()
=== an array as the input
class Table(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(3))

    def forward(self, rows):
        data = np.zeros((len(rows), 3), dtype=np.float32)
        for at, row in enumerate(rows):
            data[at] = row
        return torch.from_numpy(data) * self.w


Table()([np.ones(3), np.ones(3)]).sum().backward()
=== an export of the weights
class Table(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(3))

    def forward(self, x):
        return x * self.w

    def rows(self):
        return torch.from_numpy(self.w.detach().numpy() * 2)


table = Table()
table.rows()
table(torch.ones(3)).sum().backward()
=== weights for somebody else to train
class Codes(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(3))

    def export(self):
        return torch.from_numpy(self.w.detach().numpy())


Codes().export()
=== a decision in Python
class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(1))

    def forward(self, x):
        if self.w.item() > 0:
            return x * self.w
        return x * self.w * 2


Gated()(torch.ones(3)).sum().backward()
=== the error is expected
net = nn.Linear(2, 1)
try:
    np.sum([net(torch.ones(2)), net(torch.zeros(2))])
except RuntimeError:
    pass
""")


@table(CHANGE)
def test_rewritten(case: Case) -> None:
    check_transformed(case, CODE)


@table(REPORT)
def test_reported(case: Case) -> None:
    check_reported(case, CODE)


@table(LEAVE)
def test_left_alone(case: Case) -> None:
    check_noop(case, CODE)


def test_one_cut_has_one_code() -> None:
    """What is detached for NumPy is told once, as the way through NumPy."""
    for case in REPORT:
        assert not found(case.before, "GF304"), case.name
        assert not found(case.before, "GF306"), case.name
