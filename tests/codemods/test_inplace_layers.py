"""GF202: layers and functions that work in place, and writes that matter only if it trains."""

from __future__ import annotations

from harness import check_noop, check_transformed, table
from snippets import Case, cases

CODE = "GF202"

CHANGE = cases("""
=== a relu in place, then added to | raises
class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 3)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.relu(self.lin(x))
        y += 1
        return y

net = Block()
out = net(torch.ones(2, 3))
out.sum().backward()
grad = net.lin.weight.grad
--->
class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 3)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.relu(self.lin(x))
        y = y + 1
        return y

net = Block()
out = net(torch.ones(2, 3))
out.sum().backward()
grad = net.lin.weight.grad
=== a Sequential that ends with an activation | raises
class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 3), nn.Sigmoid())

    def forward(self, x):
        y = self.body(x)
        y *= x
        return y

net = Block()
out = net(torch.ones(2, 3))
out.sum().backward()
grad = net.body[0].weight.grad
--->
class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 3), nn.Sigmoid())

    def forward(self, x):
        y = self.body(x).clone()
        y *= x
        return y

net = Block()
out = net(torch.ones(2, 3))
out.sum().backward()
grad = net.body[0].weight.grad
=== exp, then relu in place | raises
w = Parameter(torch.ones(3))
h = torch.exp(w)
out = nn.functional.relu(h, inplace=True)
out.sum().backward()
grad = w.grad
--->
w = Parameter(torch.ones(3))
h = torch.exp(w).clone()
out = nn.functional.relu(h, inplace=True)
out.sum().backward()
grad = w.grad
=== a dropout in place behind a relu | raises
class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(3, 4),
            nn.ReLU(),
            nn.Dropout(0.5, inplace=True),
            nn.Linear(4, 2),
        )

    def forward(self, x):
        return self.body(x)

net = Head()
net(torch.ones(2, 3)).sum().backward()
grad = net.body[0].weight.grad
--->
class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(3, 4),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(4, 2),
        )

    def forward(self, x):
        return self.body(x)

net = Head()
net(torch.ones(2, 3)).sum().backward()
grad = net.body[0].weight.grad
=== the flag by place | raises
net = nn.Sequential(nn.Linear(3, 4), nn.LeakyReLU(0.1, True), nn.Dropout(0.5, True))
out = net(torch.ones(2, 3)).shape
net(torch.ones(2, 3)).sum().backward()
grad = net[0].weight.grad
--->
net = nn.Sequential(nn.Linear(3, 4), nn.LeakyReLU(0.1, True), nn.Dropout(0.5))
out = net(torch.ones(2, 3)).shape
net(torch.ones(2, 3)).sum().backward()
grad = net[0].weight.grad
=== attention without weights of its own | raises unsafe
class Attention(nn.Module):
    def forward(self, q, k, mask):
        weights = torch.softmax(q @ k, -1)
        weights *= mask
        return weights

q = Parameter(torch.ones(2, 2))
out = Attention()(q, torch.ones(2, 2), torch.eye(2))
out.sum().backward()
grad = q.grad
--->
class Attention(nn.Module):
    def forward(self, q, k, mask):
        weights = torch.softmax(q @ k, -1).clone()
        weights *= mask
        return weights

q = Parameter(torch.ones(2, 2))
out = Attention()(q, torch.ones(2, 2), torch.eye(2))
out.sum().backward()
grad = q.grad
=== a loss over what was chosen | raises unsafe
def train(values, actions, allowed):
    stacked = torch.stack(values)
    chosen = torch.gather(stacked, 1, actions)
    stacked[allowed == 0] = -1.0
    loss = chosen.mean()
    loss.backward()

w = Parameter(torch.ones(2))
train([w * 2, w * 3], torch.tensor([[0], [1]]), torch.tensor([[1, 0], [1, 1]]))
grad = w.grad
--->
def train(values, actions, allowed):
    stacked = torch.stack(values)
    chosen = torch.gather(stacked.clone(), 1, actions)
    stacked[allowed == 0] = -1.0
    loss = chosen.mean()
    loss.backward()

w = Parameter(torch.ones(2))
train([w * 2, w * 3], torch.tensor([[0], [1]]), torch.tensor([[1, 0], [1, 1]]))
grad = w.grad
""")

LEAVE = cases("""
=== relu in place behind a layer that saves its input
net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(inplace=True), nn.Linear(4, 2))
net(torch.ones(2, 3)).sum().backward()
=== a leaky relu saves its input
net = nn.Sequential(nn.Linear(3, 4), nn.LeakyReLU(0.1), nn.Dropout(0.5, inplace=True))
net(torch.ones(2, 3)).sum().backward()
=== a dropout that drops nothing
net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Dropout(0.0, inplace=True))
net(torch.ones(2, 3)).sum().backward()
=== something lies between
net = nn.Sequential(nn.Linear(3, 4), nn.Sigmoid(), nn.LayerNorm(4), nn.ReLU(inplace=True))
net(torch.ones(2, 3)).sum().backward()
=== frozen layers save nothing
net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Dropout(0.5, inplace=True))
for p in net.parameters():
    p.requires_grad = False
out = net(torch.ones(2, 3))
=== a relu in place, then added to elsewhere
class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 3)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.relu(self.lin(x))
        z = self.lin(y)
        z += x
        return z

Block()(torch.ones(2, 3)).sum().backward()
=== a flag that is not known
class Block(nn.Module):
    def __init__(self, inplace):
        super().__init__()
        self.lin = nn.Linear(3, 3)
        self.relu = nn.ReLU(inplace=inplace)

    def forward(self, x):
        y = torch.exp(self.lin(x))
        return self.relu(y)

Block(False)(torch.ones(2, 3)).sum().backward()
=== targets in the forward of a loss
class Loss(nn.Module):
    def forward(self, scores, boxes):
        sizes = torch.sqrt(boxes[:, 0] * boxes[:, 1])
        sizes[sizes > 1] = -1.0
        return (scores - sizes).sum()

scores = Parameter(torch.ones(2))
Loss()(scores, torch.ones(2, 2)).backward()
=== a factor that is a number
def returns(rewards, discount, values):
    out = torch.zeros(len(rewards) + 1)
    for i in reversed(range(len(rewards))):
        out[i] = rewards[i] + discount * out[i + 1]
    loss = (out[:-1] - values).pow(2).mean()
    loss.backward()

returns([1.0, 2.0], 0.9, Parameter(torch.ones(2)))
=== a helper that may be used for anything
def decode(x):
    y = torch.exp(x)
    y += 1
    return y

decode(torch.ones(2))
""")


@table(CHANGE)
def test_changes(case: Case) -> None:
    check_transformed(case, CODE)


@table(LEAVE)
def test_leaves_alone(case: Case) -> None:
    check_noop(case, CODE)
