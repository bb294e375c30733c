"""A new Parameter is met by code that unpacks or numbers them, or needs a gradient of each."""

from __future__ import annotations

from harness import code_of, fixed, found, table
from snippets import Case, cases

from gradfix.model import Safety

UNSAFE = cases("""
=== GF102 the Parameters are unpacked
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.scale = nn.Parameter(torch.ones(2)) * 0.5

    def forward(self, x):
        return self.layer(x) * self.scale


net = Net()
net(torch.ones(2)).sum().backward()
weight, bias = net.parameters()
reason: takes or changes all Parameters
=== GF102 a kept list of Parameters is indexed
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.scale = nn.Parameter(torch.ones(2)) * 0.5

    def forward(self, x):
        return self.layer(x) * self.scale


net = Net()
net(torch.ones(2)).sum().backward()
weights = [p for p in net.parameters() if p.requires_grad]
last = weights[-1]
reason: takes or changes all Parameters
=== GF102 the first Parameter is taken
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.scale = nn.Parameter(torch.ones(2)) * 0.5

    def forward(self, x):
        return self.layer(x) * self.scale


net = Net()
net(torch.ones(2)).sum().backward()
weight = next(net.parameters())
reason: takes or changes all Parameters
=== GF102 the Parameters are numbered
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.scale = nn.Parameter(torch.ones(2)) * 0.5

    def forward(self, x):
        return self.layer(x) * self.scale


net = Net()
net(torch.ones(2)).sum().backward()
for place, p in enumerate(net.parameters()):
    p.requires_grad_(place > 0)
reason: takes or changes all Parameters
=== GF102 the Parameters are paired with other things
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.scale = nn.Parameter(torch.ones(2)) * 0.5

    def forward(self, x):
        return self.layer(x) * self.scale


net = Net()
net(torch.ones(2)).sum().backward()
for p, rate in zip(net.parameters(), [0.1, 0.2]):
    p.data -= rate * p.grad
reason: takes or changes all Parameters
=== GF102 the names of the Parameters are compared
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.scale = nn.Parameter(torch.ones(2)) * 0.5

    def forward(self, x):
        return self.layer(x) * self.scale


net = Net()
net(torch.ones(2)).sum().backward()
assert set(dict(net.named_parameters())) == {"layer.weight", "layer.bias"}
reason: takes or changes all Parameters
=== GF102 the optimizer's Parameters are taken by their place
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.scale = nn.Parameter(torch.ones(2)) * 0.5

    def forward(self, x):
        return self.layer(x) * self.scale


net = Net()
net(torch.ones(2)).sum().backward()
opt = torch.optim.SGD(net.parameters(), 0.1)
weight = opt.param_groups[0]["params"][0]
reason: takes or changes all Parameters
=== GF102 the state of an optimizer is loaded
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.scale = nn.Parameter(torch.ones(2)) * 0.5

    def forward(self, x):
        return self.layer(x) * self.scale


net = Net()
net(torch.ones(2)).sum().backward()
opt = torch.optim.SGD(net.parameters(), 0.1)
opt.load_state_dict(torch.load("optimizer.pt"))
reason: may have been saved without it
=== GF102 the number of elements is compared
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.scale = nn.Parameter(torch.ones(2)) * 0.5

    def forward(self, x):
        return self.layer(x) * self.scale


net = Net()
net(torch.ones(2)).sum().backward()
count = sum(p.numel() for p in net.parameters())
if count != 6:
    raise ValueError(count)
reason: takes or changes all Parameters
=== GF102 the function that makes the model fills all Parameters
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.scale = nn.Parameter(torch.ones(2)) * 0.5

    def forward(self, x):
        return self.layer(x) * self.scale


net = Net()
net(torch.ones(2)).sum().backward()
for p in net.parameters():
    if p.dim() > 1:
        nn.init.xavier_uniform_(p)
reason: takes or changes all Parameters
=== GF102 all Parameters are frozen
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.scale = nn.Parameter(torch.ones(2)) * 0.5

    def forward(self, x):
        return self.layer(x) * self.scale


net = Net()
net(torch.ones(2)).sum().backward()
for p in net.parameters():
    p.requires_grad = False
reason: takes or changes all Parameters
=== GF102 names of Parameters are taken apart
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.scale = nn.Parameter(torch.ones(2)) * 0.5

    def forward(self, x):
        return self.layer(x) * self.scale


net = Net()
net(torch.ones(2)).sum().backward()
for name, p in net.named_parameters():
    layer, kind = name.split(".")
    print(layer, kind)
reason: takes or changes all Parameters
=== GF102 the second size of each Parameter
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.scale = nn.Parameter(torch.ones(2)) * 0.5

    def forward(self, x):
        return self.layer(x) * self.scale


net = Net()
net(torch.ones(2)).sum().backward()
for p in net.parameters():
    print(p.shape[1])
reason: takes or changes all Parameters
=== GF102 the Parameters are made one vector, and changed by one
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.scale = nn.Parameter(torch.ones(2)) * 0.5

    def forward(self, x):
        return self.layer(x) * self.scale


net = Net()
net(torch.ones(2)).sum().backward()
torch.nn.utils.vector_to_parameters(torch.ones(6), net.parameters())
reason: takes or changes all Parameters
=== GF105 each Parameter needs a gradient, and one head is used
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(2, 2)
        self.heads = [nn.Linear(2, 1), nn.Linear(2, 1)]

    def forward(self, x, task):
        return self.heads[task](self.body(x))


net = Net()
loss = net(torch.ones(2), 0).sum()
loss.backward()
with torch.no_grad():
    for p in net.parameters():
        p -= 0.1 * p.grad
reason: needs a gradient of each Parameter
=== GF105 norms of all gradients, and one head is used
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(2, 2)
        self.heads = [nn.Linear(2, 1), nn.Linear(2, 1)]

    def forward(self, x, task):
        return self.heads[task](self.body(x))


net = Net()
loss = net(torch.ones(2), 0).sum()
loss.backward()
print([p.grad.norm() for p in net.parameters()])
reason: needs a gradient of each Parameter
=== GF105 the gradient of each Parameter, and one head is used
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(2, 2)
        self.heads = [nn.Linear(2, 1), nn.Linear(2, 1)]

    def forward(self, x, task):
        return self.heads[task](self.body(x))


net = Net()
loss = net(torch.ones(2), 0).sum()
grads = torch.autograd.grad(loss, list(net.parameters()))
reason: needs a gradient of each Parameter
=== GF105 all is computed under no_grad
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.student = nn.Linear(2, 2)
        self.teachers = [nn.Linear(2, 2), nn.Linear(2, 2)]

    def forward(self, x):
        with torch.no_grad():
            t = sum(net(x) for net in self.teachers)
        return self.student(x) - t


Net()(torch.ones(2)).sum().backward()
reason: computes with it without a gradient
=== GF105 all that is computed is detached
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.student = nn.Linear(2, 2)
        self.teachers = [nn.Linear(2, 2), nn.Linear(2, 2)]

    def forward(self, x):
        for net in self.teachers:
            x = torch.tanh(net(x)).detach()
        return self.student(x)


Net()(torch.ones(2)).sum().backward()
reason: computes with it without a gradient
""")

SAFE = cases("""
=== GF102 the Parameters are counted, and the number is told
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.scale = nn.Parameter(torch.ones(2)) * 0.5

    def forward(self, x):
        return self.layer(x) * self.scale


net = Net()
net(torch.ones(2)).sum().backward()
print(len(list(net.parameters())))
=== GF102 the Parameters are told, and asked for their device
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.scale = nn.Parameter(torch.ones(2)) * 0.5

    def forward(self, x):
        return self.layer(x) * self.scale


net = Net()
net(torch.ones(2)).sum().backward()
print(sum(p.numel() for p in net.parameters()))
device = next(net.parameters()).device
=== GF102 an average of the same Parameters is kept
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.scale = nn.Parameter(torch.ones(2)) * 0.5

    def forward(self, x):
        return self.layer(x) * self.scale


net = Net()
net(torch.ones(2)).sum().backward()
kept = [p.detach().clone() for p in net.parameters()]
for k, p in zip(kept, net.parameters()):
    k.mul_(0.9).add_(p.detach(), alpha=0.1)
=== GF102 another Module's Parameters are unpacked
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.scale = nn.Parameter(torch.ones(2)) * 0.5

    def forward(self, x):
        return self.layer(x) * self.scale


net = Net()
net(torch.ones(2)).sum().backward()
weight, bias = nn.Linear(2, 2).parameters()
=== GF102 each Parameter gets an update
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.scale = nn.Parameter(torch.ones(2)) * 0.5

    def forward(self, x):
        return self.layer(x) * self.scale


net = Net()
net(torch.ones(2)).sum().backward()
for p in net.parameters():
    p.data -= 0.1 * p.grad
=== GF102 the first Parameter of an unlike class is taken
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.scale = nn.Parameter(torch.ones(2)) * 0.5

    def forward(self, x):
        return self.layer(x) * self.scale


net = Net()
net(torch.ones(2)).sum().backward()
class Other(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)


weight = next(Other().parameters())
=== GF105 who is without a gradient is left out
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(2, 2)
        self.heads = [nn.Linear(2, 1), nn.Linear(2, 1)]

    def forward(self, x, task):
        return self.heads[task](self.body(x))


net = Net()
loss = net(torch.ones(2), 0).sum()
loss.backward()
print([p.grad.norm() for p in net.parameters() if p.grad is not None])
=== GF105 what is detached is only kept
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.student = nn.Linear(2, 2)
        self.teachers = [nn.Linear(2, 2), nn.Linear(2, 2)]

    def forward(self, x):
        kept = []
        for net in self.teachers:
            x = net(x)
            kept.append(x.detach())
        return self.student(x)


Net()(torch.ones(2)).sum().backward()
""")


@table(UNSAFE)
def test_unsafe_with_the_reason(case: Case) -> None:
    (finding,) = found(case.before, code_of(case))
    assert finding.fix is not None and finding.fix.safety is Safety.UNSAFE
    assert case.reason in finding.fix.doubt
    assert fixed(case.before, code_of(case)).text == case.before


@table(SAFE)
def test_safe(case: Case) -> None:
    (finding,) = found(case.before, code_of(case))
    assert finding.fix is not None and finding.fix.safety is Safety.SAFE
