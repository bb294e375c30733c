"""GF202: what is mended computes what was meant."""

from __future__ import annotations

from harness import check_sound, table
from snippets import Case, cases

CODE = "GF202"

SOUND = cases("""
=== a layer that gives back what it gets
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x, first=True):
        h = torch.exp(self.layer(x))
        kept = nn.Identity()(h)
        h -= 1
        return h * 2 + kept


torch.manual_seed(0)
net = Net()
out = net(torch.ones(2, 3))
out.sum().backward()
grad = net.layer.weight.grad
--->
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x, first=True):
        h = torch.exp(self.layer(x))
        h = h.clone()
        kept = nn.Identity()(h)
        h -= 1
        return h * 2 + kept


torch.manual_seed(0)
net = Net()
out = net(torch.ones(2, 3))
out.sum().backward()
grad = net.layer.weight.grad
=== an array in the same memory
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x, first=True):
        h = torch.exp(self.layer(x))
        kept = h.detach().numpy()
        h -= 1
        return h * 2 + float(kept.sum())


torch.manual_seed(0)
net = Net()
out = net(torch.ones(2, 3))
out.sum().backward()
grad = net.layer.weight.grad
--->
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x, first=True):
        h = torch.exp(self.layer(x))
        h = h.clone()
        kept = h.detach().numpy()
        h -= 1
        return h * 2 + float(kept.sum())


torch.manual_seed(0)
net = Net()
out = net(torch.ones(2, 3))
out.sum().backward()
grad = net.layer.weight.grad
=== one of two names for the memory
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x, first=True):
        h = torch.exp(self.layer(x))
        kept = h if first else x
        h -= 1
        return h * 2 + kept


torch.manual_seed(0)
net = Net()
out = net(torch.ones(2, 3))
out.sum().backward()
grad = net.layer.weight.grad
--->
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x, first=True):
        h = torch.exp(self.layer(x))
        h = h.clone()
        kept = h if first else x
        h -= 1
        return h * 2 + kept


torch.manual_seed(0)
net = Net()
out = net(torch.ones(2, 3))
out.sum().backward()
grad = net.layer.weight.grad
=== a method that keeps what it is given
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x, first=True):
        h = torch.exp(self.layer(x))
        self.keep(h)
        h -= 1
        return h * 2 + self.kept

    def keep(self, tensor):
        self.kept = tensor


torch.manual_seed(0)
net = Net()
out = net(torch.ones(2, 3))
out.sum().backward()
grad = net.layer.weight.grad
--->
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x, first=True):
        h = torch.exp(self.layer(x))
        h = h.clone()
        self.keep(h)
        h -= 1
        return h * 2 + self.kept

    def keep(self, tensor):
        self.kept = tensor


torch.manual_seed(0)
net = Net()
out = net(torch.ones(2, 3))
out.sum().backward()
grad = net.layer.weight.grad
=== a method that returns what it is given
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x, first=True):
        h = torch.exp(self.layer(x))
        kept = self.same(h)
        h -= 1
        return h * 2 + kept

    def same(self, tensor):
        return tensor


torch.manual_seed(0)
net = Net()
out = net(torch.ones(2, 3))
out.sum().backward()
grad = net.layer.weight.grad
--->
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x, first=True):
        h = torch.exp(self.layer(x))
        h = h.clone()
        kept = self.same(h)
        h -= 1
        return h * 2 + kept

    def same(self, tensor):
        return tensor


torch.manual_seed(0)
net = Net()
out = net(torch.ones(2, 3))
out.sum().backward()
grad = net.layer.weight.grad
=== under no_grad, and used afterwards
w = Parameter(torch.ones(3))
h = w * 2
loss = h.log().sum()
with torch.no_grad():
    h += 1
(loss + h.sum()).backward()
grad = w.grad
--->
w = Parameter(torch.ones(3))
h = w * 2
loss = h.clone().log().sum()
with torch.no_grad():
    h += 1
(loss + h.sum()).backward()
grad = w.grad
=== a slot under no_grad
w = Parameter(torch.ones(3))
h = w * 2
loss = h.log().sum()
with torch.no_grad():
    h[1] = h[0] + 3
(loss + h.sum()).backward()
grad = w.grad
--->
w = Parameter(torch.ones(3))
h = w * 2
loss = h.clone().log().sum()
with torch.no_grad():
    h[1] = h[0] + 3
(loss + h.sum()).backward()
grad = w.grad
=== a chain of in-place calls
w = Parameter(torch.ones(3))
h = w.exp()
y = h.relu_().mul_(2)
out = h * y
out.sum().backward()
--->
w = Parameter(torch.ones(3))
h = w.exp().relu() * 2
out = h * h
out.sum().backward()
=== the right side has another element type
w = Parameter(torch.ones(3))
h = w.exp()
h += torch.ones(2, 3).double()[0]
out = h
loss = out.sum()
loss.backward()
grad = w.grad
--->
w = Parameter(torch.ones(3))
h = w.exp() + 1
out = h
loss = out.sum()
loss.backward()
grad = w.grad
=== the saved value is multiplied by itself in place
w = Parameter(torch.ones(3))
h = torch.exp(w)
same = h
for _ in range(2):
    h.mul_(h)
out = same
out.sum().backward()
grad = w.grad
--->
w = Parameter(torch.ones(3))
out = torch.exp(w) ** 4
out.sum().backward()
grad = w.grad
=== a view sees the write
w = Parameter(torch.ones(5))
h = w.exp()
v = h[:2]
h += 1
out = (v * 3).sum() + h.sum()
out.backward()
grad = w.grad
--->
w = Parameter(torch.ones(5))
h = w.exp() + 1
out = (h[:2] * 3).sum() + h.sum()
out.backward()
grad = w.grad
=== a closure sees the write
w = Parameter(torch.ones(5))
h = w.exp()


def later():
    return h * 2


h += 1
out = later().sum() + h.sum()
out.backward()
grad = w.grad
--->
w = Parameter(torch.ones(5))
h = w.exp() + 1
out = (h * 2).sum() + h.sum()
out.backward()
grad = w.grad
=== an attribute sees the write
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(5))

    def forward(self):
        self.h = self.w.exp()
        h = self.h
        h += 1
        return self.h * 2


net = Net()
out = net()
out.sum().backward()
grad = net.w.grad
--->
w = Parameter(torch.ones(5))
out = (w.exp() + 1) * 2
out.sum().backward()
grad = w.grad
=== a container sees the write
w = Parameter(torch.ones(5))
kept = []
for k in range(2):
    h = torch.softmax(w * k, dim=0)
    kept.append(h)
    h /= 2
out = torch.stack(kept)
out.pow(2).sum().backward()
grad = w.grad
--->
w = Parameter(torch.ones(5))
out = torch.stack([torch.softmax(w * k, dim=0) / 2 for k in range(2)])
out.pow(2).sum().backward()
grad = w.grad
=== two slots depend on each other
w = Parameter(torch.rand(5) + 0.5)
h = w + 0
h[3] = h[0] / h[1]
h[4] = h[3] * h[2]
out = h
out.sum().backward()
grad = w.grad
--->
w = Parameter(torch.rand(5) + 0.5)
ratio = w[0] / w[1]
out = torch.stack([w[0], w[1], w[2], ratio, ratio * w[2]])
out.sum().backward()
grad = w.grad
=== keyword arguments of the method
w = Parameter(torch.ones(5))
h = w.exp()
h.sub_(1, alpha=2)
out = h
out.sum().backward()
grad = w.grad
--->
w = Parameter(torch.ones(5))
out = w.exp() - 2
out.sum().backward()
grad = w.grad
""")


@table(SOUND)
def test_sound(case: Case) -> None:
    check_sound(case, CODE)
