"""GF202: results of functions and Modules of the file that an operation in them keeps."""

from __future__ import annotations

from harness import check_noop, check_transformed, table
from snippets import Case, cases

CODE = "GF202"

CHANGE = cases("""
=== a block that ends in place | raises
class Block(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.conv = nn.Conv2d(n, n, 1)
        self.norm = nn.BatchNorm2d(n)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.act(self.norm(self.conv(x)))


class Net(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.block = Block(n)

    def forward(self, x):
        skip = x
        x = self.block(x)
        x += skip
        return x


net = Net(2)
net(torch.ones(1, 2, 3, 3)).sum().backward()
grad = net.block.conv.weight.grad
--->
class Block(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.conv = nn.Conv2d(n, n, 1)
        self.norm = nn.BatchNorm2d(n)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.act(self.norm(self.conv(x)))


class Net(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.block = Block(n)

    def forward(self, x):
        skip = x
        x = self.block(x).clone()
        x += skip
        return x


net = Net(2)
net(torch.ones(1, 2, 3, 3)).sum().backward()
grad = net.block.conv.weight.grad
=== blocks in a row | raises
class Block(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.lin = nn.Linear(n, n)

    def forward(self, x):
        return torch.sigmoid(self.lin(x))


class Net(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.blocks = nn.Sequential(Block(n), Block(n))

    def forward(self, x):
        y = self.blocks(x)
        y += 1
        return y


net = Net(2)
net(torch.ones(1, 2)).sum().backward()
grad = net.blocks[0].lin.weight.grad
--->
class Block(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.lin = nn.Linear(n, n)

    def forward(self, x):
        return torch.sigmoid(self.lin(x))


class Net(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.blocks = nn.Sequential(Block(n), Block(n))

    def forward(self, x):
        y = self.blocks(x)
        y = y + 1
        return y


net = Net(2)
net(torch.ones(1, 2)).sum().backward()
grad = net.blocks[0].lin.weight.grad
=== a function | raises plain
w = Parameter(torch.ones(3))


def scaled():
    return torch.exp(w)


y = scaled()
y *= 0.5
y.sum().backward()
grad = w.grad
--->
w = Parameter(torch.ones(3))


def scaled():
    return torch.exp(w)


y = scaled()
y = y * 0.5
y.sum().backward()
grad = w.grad
""")

HEAD = """
class Block(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.lin = nn.Linear(n, n)
        self.scale = nn.Parameter(torch.ones(n))

    def forward(self, x):
        {}


class Net(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.block = Block(n)

    def forward(self, x):
        y = self.block(x)
        {}


net = Net(2)
net(torch.ones(1, 2)).sum().backward()
"""
PAIRS = {
    "nothing is kept": ("return self.lin(x) + 1", "y += 1\n        return y"),
    "something else is kept": ("return self.lin(torch.relu(x))", "y += 1\n        return y"),
    "kept before the last step": ("return torch.relu(self.lin(x)) + x", "y += 1\n        return y"),
    "written out of place": ("return torch.relu(self.lin(x))", "y = y + 1\n        return y"),
    "a copy is written": (
        "return torch.relu(self.lin(x))",
        "y = y.clone()\n        y += 1\n        return y",
    ),
    "a detached value is kept": (
        "return torch.sigmoid(self.lin(x).detach()) * self.scale",
        "y += 1\n        return y",
    ),
    "without a history": ("return torch.relu(x)", "y += 1\n        return y * self.block.scale"),
    "only on one path": (
        "if len(x) > 5:\n            return torch.relu(self.lin(x))\n        return self.lin(x)",
        "y += 1\n        return y",
    ),
    "what is given is given back": (
        "torch.relu(self.lin(x))\n        return x",
        "y = y + 0\n        y += 1\n        return y * self.block.scale",
    ),
}
LEAVE = cases(
    "".join(f"=== {name}\n{HEAD.lstrip().format(*pair)}" for name, pair in PAIRS.items()) + """
=== without grad mode
class Block(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.lin = nn.Linear(n, n)

    def forward(self, x):
        return torch.relu(self.lin(x))


block = Block(2)
with torch.no_grad():
    y = block(torch.ones(1, 2))
    y += 1
block(y).sum().backward()
=== frozen
class Block(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.lin = nn.Linear(n, n).requires_grad_(False)

    def forward(self, x):
        return torch.relu(self.lin(x))


y = Block(2)(torch.ones(1, 2))
y += 1
"""
)


@table(CHANGE)
def test_rewritten(case: Case) -> None:
    check_transformed(case, CODE)


@table(LEAVE)
def test_left_alone(case: Case) -> None:
    check_noop(case, CODE)
