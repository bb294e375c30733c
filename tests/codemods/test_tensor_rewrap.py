"""GF301: torch.tensor of graph tensors copies their values and cuts the graph."""

from __future__ import annotations

from harness import check_reported, check_transformed, table
from snippets import Case, cases

CODE = "GF301"

CHANGE = cases("""
=== two gates | none
a = Parameter(torch.tensor(0.5))
b = Parameter(torch.tensor(-1.0))
out = torch.tensor([torch.sigmoid(a), b * 2])  # gates
loss = torch.ones(2, requires_grad=True) @ out
loss.backward()
grads = (a.grad, b.grad)
--->
a = Parameter(torch.tensor(0.5))
b = Parameter(torch.tensor(-1.0))
out = torch.stack([torch.sigmoid(a), b * 2])  # gates
loss = torch.ones(2, requires_grad=True) @ out
loss.backward()
grads = (a.grad, b.grad)
=== nothing else requires a gradient | raises
w = Parameter(torch.ones(2))
out = torch.tensor([w[0] * 2, w[1] + 1])
loss = out.sum()
loss.backward()
grad = w.grad
--->
w = Parameter(torch.ones(2))
out = torch.stack([w[0] * 2, w[1] + 1])
loss = out.sum()
loss.backward()
grad = w.grad
=== a Python number among them | raises
w = Parameter(torch.ones(2))
out = torch.tensor([w[0] * 2, 1.5, w.sum()])
loss = out.prod()
loss.backward()
grad = w.grad
--->
w = Parameter(torch.ones(2))
out = torch.stack([w[0] * 2, w.new_tensor(1.5), w.sum()])
loss = out.prod()
loss.backward()
grad = w.grad
=== nested lists | raises
angle = Parameter(torch.tensor(0.3))
c, s = torch.cos(angle), torch.sin(angle)
out = torch.tensor([[c, -s], [s, c]])  # a rotation
loss = (out @ torch.ones(2)).sum()
loss.backward()
grad = angle.grad
--->
angle = Parameter(torch.tensor(0.3))
c, s = torch.cos(angle), torch.sin(angle)
out = torch.stack([torch.stack([c, -s]), torch.stack([s, c])])  # a rotation
loss = (out @ torch.ones(2)).sum()
loss.backward()
grad = angle.grad
=== one-element vectors | raises
layer = nn.Linear(2, 1)
x = torch.ones(2)
out = torch.tensor([layer(x), layer(x * 2)])
loss = out.sum()
loss.backward()
grad = layer.weight.grad
--->
layer = nn.Linear(2, 1)
x = torch.ones(2)
out = torch.cat([layer(x), layer(x * 2)])
loss = out.sum()
loss.backward()
grad = layer.weight.grad
=== a tuple | raises
w = Parameter(torch.ones(2))
out = torch.tensor((w[0].exp(), w[1].exp()))
loss = out.sum()
loss.backward()
grad = w.grad
--->
w = Parameter(torch.ones(2))
out = torch.stack((w[0].exp(), w[1].exp()))
loss = out.sum()
loss.backward()
grad = w.grad
=== the element type is given | raises
w = Parameter(torch.ones(2))
out = torch.tensor([w[0] * 2, w[1]], dtype=torch.float64)
loss = out.sum()
loss.backward()
grad = w.grad
--->
w = Parameter(torch.ones(2))
out = torch.stack([w[0] * 2, w[1]]).to(dtype=torch.float64)
loss = out.sum()
loss.backward()
grad = w.grad
=== requires_grad does not help | none
w = Parameter(torch.ones(2))
out = torch.tensor([w[0] * 2, w[1]], requires_grad=True)
loss = out.sum()
loss.backward()
grad = w.grad
--->
w = Parameter(torch.ones(2))
out = torch.stack([w[0] * 2, w[1]])
loss = out.sum()
loss.backward()
grad = w.grad
=== requires_grad is set later | none
w = Parameter(torch.ones(2))
out = torch.tensor([w[0] * 2, w[1]])
out.requires_grad = True
loss = out.sum()
loss.backward()
grad = w.grad
--->
w = Parameter(torch.ones(2))
out = torch.stack([w[0] * 2, w[1]])
loss = out.sum()
loss.backward()
grad = w.grad
=== FloatTensor | raises
w = Parameter(torch.ones(2))
out = torch.FloatTensor([w[0] * 2, w[1]])
loss = out.sum()
loss.backward()
grad = w.grad
--->
w = Parameter(torch.ones(2))
out = torch.stack([w[0] * 2, w[1]])
loss = out.sum()
loss.backward()
grad = w.grad
=== a comprehension of known length | raises
w = Parameter(torch.ones(3))
out = torch.tensor([w[i] * i for i in range(3)])
loss = out.sum()
loss.backward()
grad = w.grad
--->
w = Parameter(torch.ones(3))
out = torch.stack([w[i] * i for i in range(3)])
loss = out.sum()
loss.backward()
grad = w.grad
=== stored for whoever reads it | none unsafe
class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.tensor(0.5))
        self.layer = nn.Linear(2, 2)

    def forward(self, x):
        self.gates = torch.tensor([self.a, -self.a])
        return self.layer(x)


def penalty(net):
    return net.gates.pow(2).sum()


net = Gated()
out = net(torch.ones(2)).sum() + penalty(net)
out.backward()
grad = net.a.grad
--->
class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.tensor(0.5))
        self.layer = nn.Linear(2, 2)

    def forward(self, x):
        self.gates = torch.stack([self.a, -self.a])
        return self.layer(x)


def penalty(net):
    return net.gates.pow(2).sum()


net = Gated()
out = net(torch.ones(2)).sum() + penalty(net)
out.backward()
grad = net.a.grad
=== appended losses | raises unsafe
w = Parameter(torch.ones(3))
losses = []
for x in torch.ones(2, 3):
    losses.append((w * x).sum())
out = torch.tensor(losses)
loss = out.mean()
loss.backward()
grad = w.grad
--->
w = Parameter(torch.ones(3))
losses = []
for x in torch.ones(2, 3):
    losses.append((w * x).sum())
out = torch.stack(losses)
loss = out.mean()
loss.backward()
grad = w.grad
=== an activation is copied | raises
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(2, 2)

    def forward(self, x):
        h = torch.tensor(self.a(x))  # copied
        return h * 2


net = Net()
out = net(torch.ones(1, 2))
out.sum().backward()
grad = net.a.weight.grad
--->
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(2, 2)

    def forward(self, x):
        h = self.a(x).clone()  # copied
        return h * 2


net = Net()
out = net(torch.ones(1, 2))
out.sum().backward()
grad = net.a.weight.grad
=== imported by name | raises plain
from torch import ones, stack, tensor
from torch.nn import Parameter

w = Parameter(ones(2))
out = tensor([w[0] * 2, w[1]])
loss = out.sum()
loss.backward()
grad = w.grad
--->
from torch import ones, stack, tensor
from torch.nn import Parameter

w = Parameter(ones(2))
out = stack([w[0] * 2, w[1]])
loss = out.sum()
loss.backward()
grad = w.grad
=== one element a line, with comments | raises
w = Parameter(torch.ones(2))
out = torch.tensor(
    [
        w[0] * 2,  # twice
        # and the other
        w[1],
    ]
)
loss = out.sum()
loss.backward()
grad = w.grad
--->
w = Parameter(torch.ones(2))
out = torch.stack(
    [
        w[0] * 2,  # twice
        # and the other
        w[1],
    ]
)
loss = out.sum()
loss.backward()
grad = w.grad
""")

REPORT = cases("""
=== a starred list
w = Parameter(torch.ones(2))
rest = [w[0], w[1]]
out = torch.tensor([*rest, w.sum()])
out.sum().backward()
reason: unpacks
=== an element of an unknown kind
def scale():
    return max(1, 2)


w = Parameter(torch.ones(2))
other = [scale()][0]
out = torch.tensor([w[0], print and other])
loss = out.sum()
loss.backward()
reason: not known
=== no name for stack | plain
from torch import ones, tensor
from torch.nn import Parameter

w = Parameter(ones(2))
out = tensor([w[0] * 2, w[1]])
out.sum().backward()
reason: no name
""")


@table(CHANGE)
def test_rewritten(case: Case) -> None:
    check_transformed(case, CODE)


@table(REPORT)
def test_reported(case: Case) -> None:
    check_reported(case, CODE)
