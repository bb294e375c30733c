"""GF105: lists of layers that a function makes and returns."""

from __future__ import annotations

from harness import check_noop, check_reported, check_transformed, table
from snippets import Case, cases

CODE = "GF105"

CHANGE = cases("""
=== a list among other results of a function | none
def build(sizes):
    layers = []
    for size in sizes:
        part = nn.Sequential()
        part.add_module("lin", nn.Linear(size, size))
        part.add_module("act", nn.Tanh())
        layers.append(part)
    return len(sizes), layers


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.count, self.layers = build([3, 3])

    def forward(self, x):
        for i in range(self.count):
            x = self.layers[i](x)
        return x


net = Net()
out = net(torch.ones(3))
out.sum().backward()
grads = [p.grad for p in net.parameters()] or None
--->
def build(sizes):
    layers = nn.ModuleList()
    for size in sizes:
        part = nn.Sequential()
        part.add_module("lin", nn.Linear(size, size))
        part.add_module("act", nn.Tanh())
        layers.append(part)
    return len(sizes), layers


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.count, self.layers = build([3, 3])

    def forward(self, x):
        for i in range(self.count):
            x = self.layers[i](x)
        return x


net = Net()
out = net(torch.ones(3))
out.sum().backward()
grads = [p.grad for p in net.parameters()] or None
=== what a method returns | none
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = self._layers(2)

    def _layers(self, count):
        layers = [nn.Linear(3, 3) for _ in range(count)]
        return layers

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


net = Net()
out = net(torch.ones(3))
out.sum().backward()
grads = [p.grad for p in net.parameters()] or None
--->
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = self._layers(2)

    def _layers(self, count):
        layers = nn.ModuleList([nn.Linear(3, 3) for _ in range(count)])
        return layers

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


net = Net()
out = net(torch.ones(3))
out.sum().backward()
grads = [p.grad for p in net.parameters()] or None
""")

REPORT = cases("""
=== other calls get such a list
def build(count):
    layers = []
    for _ in range(count):
        layers.append(nn.Linear(3, 3))
    return layers


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = build(2)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


print(len(build(1)))
reason: other calls
""")

LEAVE = cases("""
=== registered where it arrives
def build(count):
    layers = []
    for _ in range(count):
        layers.append(nn.Linear(3, 3))
    return layers


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(build(2))
        self.tail = nn.Sequential(*build(1))

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.tail(x)


Net()(torch.ones(3))
=== registered where it is made
def build(count):
    layers = nn.ModuleList()
    for _ in range(count):
        layers.append(nn.Linear(3, 3))
    return layers


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = build(2)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


Net()(torch.ones(3))
=== registered under another name
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = self._layers(2)
        self.registered = nn.ModuleList(self.layers)

    def _layers(self, count):
        layers = []
        for _ in range(count):
            layers.append(nn.Linear(3, 3))
        return layers

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


Net()(torch.ones(3))
=== numbers, and layers without weights
def build(count):
    sizes, acts = [], []
    for at in range(count):
        sizes.append(at)
        acts.append(nn.Tanh())
    return sizes, acts


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.sizes, self.acts = build(2)
        self.lin = nn.Linear(3, 3)

    def forward(self, x):
        for act in self.acts:
            x = act(self.lin(x))
        return x


Net()(torch.ones(3))
=== the function keeps the list for others, too
KNOWN = []


def build(count):
    layers = []
    for _ in range(count):
        layers.append(nn.Linear(3, 3))
    KNOWN.append(nn.ModuleList(layers))
    return layers


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = build(2)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


Net()(torch.ones(3))
=== an object that is no Module
def build(count):
    layers = []
    for _ in range(count):
        layers.append(nn.Linear(3, 3))
    return layers


class Nets:
    def __init__(self):
        self.layers = build(2)


class Net(nn.Module):
    pass


Nets()
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
