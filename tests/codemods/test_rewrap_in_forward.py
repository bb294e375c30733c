"""GF103: a computed tensor is wrapped in a new Parameter."""

from __future__ import annotations

from harness import check_noop, check_reported, check_transformed, table
from snippets import Case, cases

CODE = "GF103"

CHANGE = cases("""
=== a normalised weight | none
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.v = Parameter(torch.ones(2, 3))

    def forward(self, x):
        weight = Parameter(self.v / self.v.norm())  # unit
        return nn.functional.linear(x, weight)


net = Net()
out = net(torch.ones(4, 3))
out.sum().backward()
grad = net.v.grad
--->
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.v = Parameter(torch.ones(2, 3))

    def forward(self, x):
        weight = self.v / self.v.norm()  # unit
        return nn.functional.linear(x, weight)


net = Net()
out = net(torch.ones(4, 3))
out.sum().backward()
grad = net.v.grad
=== inside an expression | none
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = Parameter(torch.ones(2, 3))
        self.b = Parameter(torch.ones(2, 3))

    def forward(self, x):
        return x @ Parameter(self.a + self.b).t()


net = Net()
out = net(torch.ones(4, 3))
out.sum().backward()
grad = [net.a.grad, net.b.grad]
--->
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = Parameter(torch.ones(2, 3))
        self.b = Parameter(torch.ones(2, 3))

    def forward(self, x):
        return x @ (self.a + self.b).t()


net = Net()
out = net(torch.ones(4, 3))
out.sum().backward()
grad = [net.a.grad, net.b.grad]
=== in a method that forward calls | none
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.raw = Parameter(torch.zeros(3))

    def mixed(self, x):
        gate = Parameter(torch.sigmoid(self.raw), requires_grad=True)
        return x * gate

    def forward(self, x):
        return self.mixed(x) + 1


net = Net()
out = net(torch.ones(3))
out.sum().backward()
grad = net.raw.grad
--->
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.raw = Parameter(torch.zeros(3))

    def mixed(self, x):
        gate = torch.sigmoid(self.raw)
        return x * gate

    def forward(self, x):
        return self.mixed(x) + 1


net = Net()
out = net(torch.ones(3))
out.sum().backward()
grad = net.raw.grad
=== wrapped in a Variable | none
import torch
from torch import nn
from torch.autograd import Variable
from torch.nn import Parameter


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.raw = Parameter(torch.zeros(3))

    def forward(self, x):
        scale = Variable(torch.exp(self.raw), requires_grad=True)
        return scale * x


net = Net()
out = net(torch.ones(3))
out.sum().backward()
grad = net.raw.grad
--->
import torch
from torch import nn
from torch.autograd import Variable
from torch.nn import Parameter


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.raw = Parameter(torch.zeros(3))

    def forward(self, x):
        scale = torch.exp(self.raw)
        return scale * x


net = Net()
out = net(torch.ones(3))
out.sum().backward()
grad = net.raw.grad
=== the features of a layer | none
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 2)
        self.out = nn.Linear(2, 1)

    def forward(self, x):
        h = Parameter(self.lin(x))
        return self.out(h)


net = Net()
out = net(torch.ones(3))
out.sum().backward()
grad = net.lin.weight.grad
--->
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 2)
        self.out = nn.Linear(2, 1)

    def forward(self, x):
        h = self.lin(x)
        return self.out(h)


net = Net()
out = net(torch.ones(3))
out.sum().backward()
grad = net.lin.weight.grad
=== returned from forward | none
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = Parameter(torch.ones(3))

    def forward(self, x):
        return Parameter(self.w * x)


net = Net()
out = net(torch.ones(3)).detach()
net(torch.ones(3)).sum().backward()
grad = net.w.grad
--->
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = Parameter(torch.ones(3))

    def forward(self, x):
        return self.w * x


net = Net()
out = net(torch.ones(3)).detach()
net(torch.ones(3)).sum().backward()
grad = net.w.grad
=== the Parameter itself | none
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = Parameter(torch.ones(2, 3))

    def forward(self, x):
        return x @ Parameter(self.w.t())


net = Net()
out = net(torch.ones(3, 3))
out.sum().backward()
grad = net.w.grad
--->
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = Parameter(torch.ones(2, 3))

    def forward(self, x):
        return x @ self.w.t()


net = Net()
out = net(torch.ones(3, 3))
out.sum().backward()
grad = net.w.grad
=== in a training loop | none
w = Parameter(torch.ones(3))
opt = torch.optim.SGD([w], lr=0.1)
for _ in range(2):
    k = Parameter(w * 2)
    loss = (k - 1).pow(2).sum()
    opt.zero_grad()
    loss.backward()
    grad = w.grad
--->
w = Parameter(torch.ones(3))
opt = torch.optim.SGD([w], lr=0.1)
for _ in range(2):
    k = w * 2
    loss = (k - 1).pow(2).sum()
    opt.zero_grad()
    loss.backward()
    grad = w.grad
""")

LEAVE = cases("""
=== data that needs no gradient
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = Parameter(torch.randn(3) * 0.1)

    def forward(self, x):
        return self.w * x


Net()(torch.ones(3)).sum().backward()
=== a copy of another layer's weight
class Net(nn.Module):
    def __init__(self, old):
        super().__init__()
        self.w = Parameter(old.weight.detach().clone())

    def forward(self, x):
        return x @ self.w.t()


Net(nn.Linear(3, 2))(torch.ones(3)).sum().backward()
=== a copied start in a constructor
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(3, 3)
        self.b = nn.Linear(3, 3)
        self.b.weight = Parameter(self.a.weight.clone())

    def forward(self, x):
        return self.b(self.a(x))


Net()(torch.ones(3)).sum().backward()
=== really tied
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Embedding(3, 2)
        self.b = nn.Linear(2, 3)
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.b(self.a(x))


Net()(torch.tensor([1])).sum().backward()
=== a smaller weight in place of the old one
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(3, 3)
        self.a.weight = Parameter(self.a.weight[:, :2])

    def forward(self, x):
        return self.a(x)


Net()(torch.ones(2)).sum().backward()
=== the old layer was only a source
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.old = nn.Linear(3, 2)
        self.new = nn.Linear(2, 3)
        self.new.weight = Parameter(self.old.weight.t())

    def forward(self, x):
        return self.new(x)


Net()(torch.ones(2)).sum().backward()
=== folding two layers
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 3)
        self.gain = Parameter(torch.ones(3))

    def fold(self):
        self.lin.weight = Parameter(self.lin.weight * self.gain[:, None])

    def forward(self, x):
        return self.lin(x) * self.gain


net = Net()
net.fold()
net(torch.ones(3)).sum().backward()
=== the new leaf's gradient is asked for
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 1)
        self.out = nn.Linear(1, 1)

    def forward(self, x):
        h = Parameter(self.lin(x))
        y = self.out(h)
        (slope,) = torch.autograd.grad(y.sum(), h)
        return slope


Net()(torch.ones(2, 3))
=== its grad is read
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 1)

    def forward(self, x):
        h = Parameter(self.lin(x))
        h.pow(2).sum().backward()
        return h.grad


Net()(torch.ones(2, 3))
=== a gradient penalty
import torch
from torch import nn
from torch.autograd import Variable
from torch.nn import Parameter


class Critic(nn.Module):
    def __init__(self):
        super().__init__()
        self.gen = nn.Linear(2, 3)
        self.critic = nn.Linear(3, 1)

    def forward(self, z):
        x_hat = Variable(self.gen(z), requires_grad=True)
        score = self.critic(x_hat).sum()
        g = torch.autograd.grad(outputs=score, inputs=x_hat, create_graph=True)[0]
        return (g.norm() - 1) ** 2


Critic()(torch.ones(2)).backward()
=== optimised inside forward
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.start = Parameter(torch.ones(3))

    def forward(self, x):
        z = Parameter(self.start * 2)
        opt = torch.optim.SGD([z], lr=0.1)
        (z - x).pow(2).sum().backward()
        opt.step()
        return z.detach()


Net()(torch.ones(3))
=== under no_grad
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = Parameter(torch.ones(3))

    @torch.no_grad()
    def forward(self, x):
        return Parameter(self.w * 2) * x


Net()(torch.ones(3))
=== an input of unknown history
class Net(nn.Module):
    def forward(self, x):
        h = Parameter(x * 2)
        return h.sum()


Net()(torch.ones(3)).backward()
=== a first start on the first call
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 2)
        self.center = None

    def forward(self, x):
        h = self.lin(x)
        if self.center is None:
            self.center = Parameter(h.mean(0))
        return h - self.center


Net()(torch.ones(4, 3)).sum().backward()
=== a new start by hand
w = Parameter(torch.ones(3))
for _ in range(3):
    loss = (w - 2).pow(2).sum()
    loss.backward()
    w = Parameter(w - 0.1 * w.grad)
=== an ordinary layer
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = Parameter(torch.ones(3))

    def forward(self, x):
        w = self.w * 2
        return w * x


Net()(torch.ones(3)).sum().backward()
=== another Parameter class
import torch


class Parameter:
    def __init__(self, data):
        self.data = data


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.ones(3))

    def forward(self, x):
        return Parameter(self.w * x).data


Net()(torch.ones(3)).sum().backward()
=== frozen on purpose
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = Parameter(torch.ones(3))
        self.b = Parameter(torch.ones(3))

    def forward(self, x):
        fixed = Parameter(self.w * 2, requires_grad=False)
        return fixed * x + self.b


Net()(torch.ones(3)).sum().backward()
=== pruning another network
def prune(layer, keep):
    layer.weight = Parameter(layer.weight[keep])
    layer.bias = Parameter(layer.bias[keep])
    return layer


prune(nn.Linear(3, 4), [0, 2])(torch.ones(3)).sum().backward()
=== no module
class Box:
    def __init__(self):
        self.w = Parameter(torch.ones(3))

    def forward(self, x):
        return Parameter(self.w * 2) * x


Box().forward(torch.ones(3)).sum().backward()
=== a second start for fine-tuning
base = Parameter(torch.ones(3))
opt = torch.optim.SGD([base], lr=0.1)
base.pow(2).sum().backward()
opt.step()
tuned = Parameter(base * 1)
opt2 = torch.optim.SGD([tuned], lr=0.01)
(tuned - 3).pow(2).sum().backward()
opt2.step()
""")

REPORT = cases("""
=== tied only at the start
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.enc = nn.Linear(4, 2, bias=False)
        self.dec = nn.Linear(2, 4, bias=False)
        self.dec.weight = Parameter(self.enc.weight.t())

    def forward(self, x):
        return self.dec(self.enc(x))


Net()(torch.ones(4)).sum().backward()
reason: computed in forward
=== tied only at the start, by keyword
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.enc = nn.Linear(4, 2, bias=False)
        self.dec = nn.Linear(2, 4, bias=False)
        self.dec.weight = Parameter(data=self.enc.weight.t())

    def forward(self, x):
        return self.dec(self.enc(x))


Net()(torch.ones(4)).sum().backward()
reason: computed in forward
=== tied the other way round
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(5, 2)
        self.head = nn.Linear(2, 5)
        self.head.weight = Parameter(self.emb.weight)

    def forward(self, x):
        return self.head(self.emb(x))


Net()(torch.tensor([1])).sum().backward()
reason: computed in forward
=== put into a layer on every call
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 2)
        self.raw = Parameter(torch.ones(2, 3))

    def forward(self, x):
        self.lin.weight = Parameter(torch.exp(self.raw))
        return self.lin(x)


Net()(torch.ones(3)).sum().backward()
reason: more than a local name
=== handed to unknown code
def use(w, x):
    return w * x


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.raw = Parameter(torch.ones(3))

    def forward(self, x):
        w = Parameter(torch.exp(self.raw))
        return use(w, x)


Net()(torch.ones(3)).sum().backward()
reason: may have to be a Parameter
""")


@table(CHANGE)
def test_rewritten(case: Case) -> None:
    check_transformed(case, CODE)


@table(LEAVE)
def test_left_alone(case: Case) -> None:
    check_noop(case, CODE)


@table(REPORT)
def test_reported(case: Case) -> None:
    check_reported(case, CODE)
