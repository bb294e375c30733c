"""GF105: Parameters and layers that a Module cannot find."""

from __future__ import annotations

from harness import check_noop, check_reported, check_transformed, table
from snippets import Case, cases
from torch import nn

from gradfix.flow.registered import RESERVED_KEYS

CODE = "GF105"

CHANGE = cases("""
=== named layers, and their number is asked for | values
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        one = nn.Linear(2, 2)
        two = nn.Linear(2, 2)
        self.branches = [one, two]
        self.count = len(self.branches)

    def forward(self, x):
        return sum(branch(x) for branch in self.branches) / self.count


net = Net()
net(torch.ones(2)).sum().backward()
out = sum(p.numel() for p in net.parameters())
grad = net.branches[0].weight.grad
--->
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        one = nn.Linear(2, 2)
        two = nn.Linear(2, 2)
        self.branches = nn.ModuleList([one, two])
        self.count = len(self.branches)

    def forward(self, x):
        return sum(branch(x) for branch in self.branches) / self.count


net = Net()
net(torch.ones(2)).sum().backward()
out = sum(p.numel() for p in net.parameters())
grad = net.branches[0].weight.grad
=== layers in a list | none
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(3, 3), nn.Linear(3, 1)]  # two

    def forward(self, x):
        for layer in self.layers:
            x = torch.tanh(layer(x))
        return x


net = Net()
out = net(torch.ones(3))
out.sum().backward()
grads = [p.grad for p in net.parameters()] or None
--->
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 1)])  # two

    def forward(self, x):
        for layer in self.layers:
            x = torch.tanh(layer(x))
        return x


net = Net()
out = net(torch.ones(3))
out.sum().backward()
grads = [p.grad for p in net.parameters()] or None
=== layers in a tuple | none
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = (nn.Linear(3, 3), nn.Linear(3, 1))

    def forward(self, x):
        return self.layers[1](self.layers[0](x))


net = Net()
out = net(torch.ones(3))
out.sum().backward()
grads = [p.grad for p in net.parameters()] or None
--->
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList((nn.Linear(3, 3), nn.Linear(3, 1)))

    def forward(self, x):
        return self.layers[1](self.layers[0](x))


net = Net()
out = net(torch.ones(3))
out.sum().backward()
grads = [p.grad for p in net.parameters()] or None
=== a comprehension | none
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(3, 3) for _ in range(2)]

    def forward(self, x):
        for i, layer in enumerate(self.layers):
            x = layer(x) * i + x
        return x


net = Net()
out = net(torch.ones(3))
out.sum().backward()
grads = [p.grad for p in net.parameters()] or None
--->
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(3, 3) for _ in range(2)])

    def forward(self, x):
        for i, layer in enumerate(self.layers):
            x = layer(x) * i + x
        return x


net = Net()
out = net(torch.ones(3))
out.sum().backward()
grads = [p.grad for p in net.parameters()] or None
=== appended in a loop | none
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = []
        for i in range(2):
            layer = nn.Linear(3, 3)
            nn.init.zeros_(layer.bias)
            self.layers.append(layer)

    def forward(self, x):
        for i in range(len(self.layers)):
            x = self.layers[i](x)
        return x


net = Net()
out = net(torch.ones(3))
out.sum().backward()
grads = [p.grad for p in net.parameters()] or None
--->
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList()
        for i in range(2):
            layer = nn.Linear(3, 3)
            nn.init.zeros_(layer.bias)
            self.layers.append(layer)

    def forward(self, x):
        for i in range(len(self.layers)):
            x = self.layers[i](x)
        return x


net = Net()
out = net(torch.ones(3))
out.sum().backward()
grads = [p.grad for p in net.parameters()] or None
=== a local list | none
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        layers = []
        for i in range(2):
            layers.append(nn.Linear(3, 3))
            layers += [nn.ReLU()]
        self.layers = layers

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
        layers = []
        for i in range(2):
            layers.append(nn.Linear(3, 3))
            layers += [nn.ReLU()]
        self.layers = nn.ModuleList(layers)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


net = Net()
out = net(torch.ones(3))
out.sum().backward()
grads = [p.grad for p in net.parameters()] or None
=== lists joined | none
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(3, 3)] + [nn.Linear(3, 3)]

    def forward(self, x):
        return nn.Sequential(*self.layers)(x)


net = Net()
out = net(torch.ones(3))
out.sum().backward()
grads = [p.grad for p in net.parameters()] or None
--->
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(3, 3)] + [nn.Linear(3, 3)])

    def forward(self, x):
        return nn.Sequential(*self.layers)(x)


net = Net()
out = net(torch.ones(3))
out.sum().backward()
grads = [p.grad for p in net.parameters()] or None
=== Parameters in a list | none
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.ws = [Parameter(torch.ones(3)) for _ in range(2)]

    def forward(self, x):
        return sum(w * x for w in self.ws)


net = Net()
out = net(torch.ones(3))
out.sum().backward()
grads = [p.grad for p in net.parameters()] or None
--->
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.ws = nn.ParameterList([Parameter(torch.ones(3)) for _ in range(2)])

    def forward(self, x):
        return sum(w * x for w in self.ws)


net = Net()
out = net(torch.ones(3))
out.sum().backward()
grads = [p.grad for p in net.parameters()] or None
=== Parameters joined | none
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        a, b = torch.ones(2, 3)
        self.ws = [Parameter(a), Parameter(b)]

    def forward(self, x):
        return torch.stack(self.ws) @ x


net = Net()
out = net(torch.ones(3))
out.sum().backward()
grads = [p.grad for p in net.parameters()] or None
--->
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        a, b = torch.ones(2, 3)
        self.ws = nn.ParameterList([Parameter(a), Parameter(b)])

    def forward(self, x):
        return torch.stack(list(self.ws)) @ x


net = Net()
out = net(torch.ones(3))
out.sum().backward()
grads = [p.grad for p in net.parameters()] or None
=== a dict of layers | none
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.heads = {"up": nn.Linear(3, 1), "down": nn.Linear(3, 1)}

    def forward(self, x):
        total = 0
        for name, head in self.heads.items():
            total = total + head(x)
        return total


net = Net()
out = net(torch.ones(3))
out.sum().backward()
grads = [p.grad for p in net.parameters()] or None
--->
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.heads = nn.ModuleDict({"up": nn.Linear(3, 1), "down": nn.Linear(3, 1)})

    def forward(self, x):
        total = 0
        for name, head in self.heads.items():
            total = total + head(x)
        return total


net = Net()
out = net(torch.ones(3))
out.sum().backward()
grads = [p.grad for p in net.parameters()] or None
=== a dict filled in a loop | none
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.heads = {}
        for name in ("up", "down"):
            self.heads[name] = nn.Linear(3, 1)

    def forward(self, x):
        return self.heads["up"](x) - self.heads["down"](x)


net = Net()
out = net(torch.ones(3))
out.sum().backward()
grads = [p.grad for p in net.parameters()] or None
--->
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.heads = nn.ModuleDict()
        for name in ("up", "down"):
            self.heads[name] = nn.Linear(3, 1)

    def forward(self, x):
        return self.heads["up"](x) - self.heads["down"](x)


net = Net()
out = net(torch.ones(3))
out.sum().backward()
grads = [p.grad for p in net.parameters()] or None
=== numbered keys | none
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.heads = dict()
        for i in range(2):
            self.heads[f"head{i}"] = nn.Linear(3, 1)

    def forward(self, x):
        return sum(head(x) for head in self.heads.values())


net = Net()
out = net(torch.ones(3))
out.sum().backward()
grads = [p.grad for p in net.parameters()] or None
--->
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.heads = nn.ModuleDict()
        for i in range(2):
            self.heads[f"head{i}"] = nn.Linear(3, 1)

    def forward(self, x):
        return sum(head(x) for head in self.heads.values())


net = Net()
out = net(torch.ones(3))
out.sum().backward()
grads = [p.grad for p in net.parameters()] or None
=== numbers as text | none
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.heads = {str(i): nn.Linear(3, 1) for i in range(2)}

    def forward(self, x):
        return self.heads["0"](x) + self.heads["1"](x)


net = Net()
out = net(torch.ones(3))
out.sum().backward()
grads = [p.grad for p in net.parameters()] or None
--->
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.heads = nn.ModuleDict({str(i): nn.Linear(3, 1) for i in range(2)})

    def forward(self, x):
        return self.heads["0"](x) + self.heads["1"](x)


net = Net()
out = net(torch.ones(3))
out.sum().backward()
grads = [p.grad for p in net.parameters()] or None
=== a dict of Parameters | none
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = {"a": Parameter(torch.ones(3)), "b": Parameter(torch.ones(3))}

    def forward(self, x):
        return self.scale["a"] * x + self.scale["b"]


net = Net()
out = net(torch.ones(3))
out.sum().backward()
grads = [p.grad for p in net.parameters()] or None
--->
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.ParameterDict(
            {"a": Parameter(torch.ones(3)), "b": Parameter(torch.ones(3))}
        )

    def forward(self, x):
        return self.scale["a"] * x + self.scale["b"]


net = Net()
out = net(torch.ones(3))
out.sum().backward()
grads = [p.grad for p in net.parameters()] or None
=== Parameters that a method hands out | none unsafe
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.scales = []
        for _ in range(2):
            self.scales.append(nn.Parameter(torch.ones(3)))

    def choices(self):
        for scale in self.scales:
            yield scale

    def forward(self, x):
        return x * self.scales[0] * self.scales[1]


net = Net()
out = net(torch.ones(3))
out.sum().backward()
grads = [p.grad for p in net.parameters()] or None
--->
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.scales = nn.ParameterList()
        for _ in range(2):
            self.scales.append(nn.Parameter(torch.ones(3)))

    def choices(self):
        for scale in self.scales:
            yield scale

    def forward(self, x):
        return x * self.scales[0] * self.scales[1]


net = Net()
out = net(torch.ones(3))
out.sum().backward()
grads = [p.grad for p in net.parameters()] or None
=== a tensor that requires grad | none unsafe
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.peep = torch.zeros(3, requires_grad=True)

    def forward(self, x):
        return torch.sigmoid(x + self.peep * x)


net = Net()
out = net(torch.ones(3))
out.sum().backward()
grads = [p.grad for p in net.parameters()] or None
--->
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.peep = Parameter(torch.zeros(3))

    def forward(self, x):
        return torch.sigmoid(x + self.peep * x)


net = Net()
out = net(torch.ones(3))
out.sum().backward()
grads = [p.grad for p in net.parameters()] or None
=== a tensor made a leaf by a method | none unsafe
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.peep = torch.ones(3).mul(0.5).requires_grad_()

    def forward(self, x):
        return torch.dot(x, self.peep)


net = Net()
out = net(torch.ones(3))
out.sum().backward()
grads = [p.grad for p in net.parameters()] or None
--->
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.peep = Parameter(torch.ones(3).mul(0.5))

    def forward(self, x):
        return torch.dot(x, self.peep)


net = Net()
out = net(torch.ones(3))
out.sum().backward()
grads = [p.grad for p in net.parameters()] or None
=== built by a method of its own | none
class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = Parameter(torch.ones(3))

    def forward(self, x):
        return x * self.w


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self._build()

    def _build(self):
        self.blocks = [Block() for _ in range(2)]

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x


net = Net()
out = net(torch.ones(3))
out.sum().backward()
grads = [p.grad for p in net.parameters()] or None
--->
class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = Parameter(torch.ones(3))

    def forward(self, x):
        return x * self.w


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self._build()

    def _build(self):
        self.blocks = nn.ModuleList([Block() for _ in range(2)])

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x


net = Net()
out = net(torch.ones(3))
out.sum().backward()
grads = [p.grad for p in net.parameters()] or None
=== what fills all parts of the Module will fill the list's, too | values unsafe
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(2, 2)
        self.rest = [nn.Linear(2, 2), nn.Linear(2, 2)]
        self.apply(self.init)

    def init(self, part):
        if isinstance(part, nn.Linear):
            nn.init.constant_(part.weight, 0.5)

    def forward(self, x):
        x = self.first(x)
        for layer in self.rest:
            x = layer(x)
        return x


net = Net()
out = net(torch.ones(2))
out.sum().backward()
grads = [p.grad for p in net.parameters()]
--->
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(2, 2)
        self.rest = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
        self.apply(self.init)

    def init(self, part):
        if isinstance(part, nn.Linear):
            nn.init.constant_(part.weight, 0.5)

    def forward(self, x):
        x = self.first(x)
        for layer in self.rest:
            x = layer(x)
        return x


net = Net()
out = net(torch.ones(2))
out.sum().backward()
grads = [p.grad for p in net.parameters()]
=== a loop that fills all Parameters | values unsafe
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(2, 2)
        self.rest = [nn.Linear(2, 2), nn.Linear(2, 2)]
        for parameter in self.parameters():
            nn.init.constant_(parameter, 0.5)

    def forward(self, x):
        return self.rest[1](self.rest[0](self.first(x)))


net = Net()
out = net(torch.ones(2))
out.sum().backward()
grads = [p.grad for p in net.parameters()]
--->
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(2, 2)
        self.rest = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
        for parameter in self.parameters():
            nn.init.constant_(parameter, 0.5)

    def forward(self, x):
        return self.rest[1](self.rest[0](self.first(x)))


net = Net()
out = net(torch.ones(2))
out.sum().backward()
grads = [p.grad for p in net.parameters()]
=== names that are only a default | unsafe none
class Net(nn.Module):
    def __init__(self, tasks=("sst", "mnli")):
        super().__init__()
        self.heads = {}
        for task in tasks:
            self.heads[task] = nn.Linear(3, 1)

    def forward(self, x, task):
        return self.heads[task](x)


net = Net(("sst",))
out = net(torch.ones(3), "sst")
out.sum().backward()
grads = [p.grad for p in net.parameters()] or None
--->
class Net(nn.Module):
    def __init__(self, tasks=("sst", "mnli")):
        super().__init__()
        self.heads = nn.ModuleDict()
        for task in tasks:
            self.heads[task] = nn.Linear(3, 1)

    def forward(self, x, task):
        return self.heads[task](x)


net = Net(("sst",))
out = net(torch.ones(3), "sst")
out.sum().backward()
grads = [p.grad for p in net.parameters()] or None
""")

LEAVE = cases("""
=== what a search over architectures trains beside the weights
class Search(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.alphas = torch.zeros(3, requires_grad=True)
        self.betas = torch.zeros(3, requires_grad=True)
        self._choices = [self.alphas, self.betas]

    def choices(self):
        return self._choices

    def forward(self, x):
        return self.layer(x) * torch.softmax(self.alphas * self.betas, dim=0)


net = Search()
weights = torch.optim.SGD(net.parameters(), lr=0.1)
choices = torch.optim.Adam(net.choices(), lr=0.1)
net(torch.ones(3)).sum().backward()
weights.step()
choices.step()
=== a leaf that a method hands out
class Patch(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch = torch.zeros(3, requires_grad=True)

    def trained(self):
        return self.patch

    def forward(self, x):
        return x + self.patch


net = Patch()
optimizer = torch.optim.SGD([net.trained()], lr=0.1)
net(torch.ones(3)).sum().backward()
optimizer.step()
=== masks that are collected for an optimizer of their own
class Explainer(nn.Module):
    def __init__(self):
        super().__init__()
        self.masks = {}

    def prepare(self, sizes):
        self.masks = {}
        for name, size in sizes.items():
            self.masks[name] = nn.Parameter(torch.zeros(size))

    def train_masks(self, x):
        parameters = []
        for mask in self.masks.values():
            if mask is not None:
                parameters.append(mask)
        optimizer = torch.optim.Adam(parameters, lr=0.1)
        (x * self.masks["x"].sigmoid()).sum().backward()
        optimizer.step()


explainer = Explainer()
explainer.prepare({"x": 3})
explainer.train_masks(torch.ones(3))
=== a ModuleList
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(3, 3)])

    def forward(self, x):
        return self.layers[0](x)


net = Net()
out = net(torch.ones(3))
out.sum().backward()
=== layers without weights
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 3)
        self.acts = [nn.ReLU(), nn.Tanh()]

    def forward(self, x):
        return self.acts[0](self.lin(x))


net = Net()
out = net(torch.ones(3))
out.sum().backward()
=== losses
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 3)
        self.losses = [nn.MSELoss(), nn.L1Loss()]

    def forward(self, x):
        return self.losses[0](self.lin(x), x)


net = Net()
out = net(torch.ones(3))
out.sum().backward()
=== numbers
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 3)
        self.sizes = [3, 3]
        self.names = {'a': 1}

    def forward(self, x):
        return self.lin(x) * self.sizes[0]


net = Net()
out = net(torch.ones(3))
out.sum().backward()
=== layers that are attributes, too
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(3, 3)
        self.b = nn.Linear(3, 3)
        self.layers = [self.a, self.b]

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


net = Net()
out = net(torch.ones(3))
out.sum().backward()
=== layers registered by name
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = []
        for i in range(2):
            layer = nn.Linear(3, 3)
            self.add_module(f'l{i}', layer)
            self.layers.append(layer)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


net = Net()
out = net(torch.ones(3))
out.sum().backward()
=== handed to a function together with the Module
def install(owner, layers):
    for i, layer in enumerate(layers):
        owner.add_module(f"layer{i}", layer)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(2, 2), nn.Linear(2, 2)]
        install(self, layers=self.layers)


net = Net()
=== lists of lists, and of parts of what is registered
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(2, 2), nn.Linear(2, 2)
        self.grid = [[self.a, self.b], [self.b, self.a]]
        self.stages = {"one": [self.a], "two": [self.b]}
        self.layers = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
        self.ends = [self.layers[0], self.layers[1]]
        self.pairs = []
        for layer in self.layers:
            self.pairs.append((layer, nn.ReLU()))

    def forward(self, x):
        for row in self.grid:
            for layer in row:
                x = layer(x)
        return self.ends[0](self.stages["one"][0](x))


net = Net()
out = net(torch.ones(2))
=== pairs whose layers are registered by name
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = []
        for i in range(2):
            line, norm = nn.Linear(2, 2), nn.LayerNorm(2)
            self.add_module(f"line{i}", line)
            self.add_module(f"norm{i}", norm)
            self.blocks.append((line, norm))

    def forward(self, x):
        for line, norm in self.blocks:
            x = norm(line(x))
        return x


net = Net()
out = net(torch.ones(1, 2))
=== named layers that become a Sequential
from collections import OrderedDict
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.plan = [("line", nn.Linear(2, 2)), ("act", nn.ReLU())]
        self.layers = nn.Sequential(OrderedDict(self.plan))

    def forward(self, x):
        return self.layers(x)


net = Net()
out = net(torch.ones(2))
=== layers set as attributes
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = []
        for i in range(2):
            layer = nn.Linear(3, 3)
            setattr(self, f'l{i}', layer)
            self.layers.append(layer)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


net = Net()
out = net(torch.ones(3))
out.sum().backward()
=== registered as a whole afterwards
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = [nn.Linear(3, 3), nn.Linear(3, 3)]
        self.all = nn.ModuleList(self.blocks)

    def forward(self, x):
        for layer in self.blocks:
            x = layer(x)
        return x


net = Net()
out = net(torch.ones(3))
out.sum().backward()
=== put into a Sequential
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = [nn.Linear(3, 3), nn.ReLU()]
        self.body = nn.Sequential(*self.blocks)

    def forward(self, x):
        return self.body(x)


net = Net()
out = net(torch.ones(3))
out.sum().backward()
=== a local list put into a Sequential
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        layers = []
        for i in range(2):
            layers.append(nn.Linear(3, 3))
        self.body = nn.Sequential(*layers)
        self.layers = layers

    def forward(self, x):
        return self.body(x)


net = Net()
out = net(torch.ones(3))
out.sum().backward()
=== each registered under a name as well
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        first = nn.Linear(3, 3)
        self.first = first
        self.order = [first, nn.ReLU()]

    def forward(self, x):
        for layer in self.order:
            x = layer(x)
        return x


net = Net()
out = net(torch.ones(3))
out.sum().backward()
=== a teacher hidden in a list
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 3)
        self.teacher = [nn.Linear(3, 3)]

    def forward(self, x):
        return self.lin(x) - self.teacher[0](x).detach()


net = Net()
out = net(torch.ones(3))
out.sum().backward()
=== a teacher hidden in a tuple
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 3)
        self.teacher = (nn.Linear(3, 3),)

    def forward(self, x):
        return self.lin(x) - self.teacher[0](x).detach()


net = Net()
out = net(torch.ones(3))
out.sum().backward()
=== frozen feature extractors
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 3)
        self.nets = [nn.Linear(3, 3).eval(), nn.Linear(3, 3).eval()]

    def forward(self, x):
        return sum(net(self.lin(x)) for net in self.nets)


net = Net()
out = net(torch.ones(3))
out.sum().backward()
=== frozen in a loop
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 3)
        self.nets = [nn.Linear(3, 3), nn.Linear(3, 3)]
        for net in self.nets:
            net.requires_grad_(False)

    def forward(self, x):
        return sum(net(self.lin(x)) for net in self.nets)


net = Net()
out = net(torch.ones(3))
out.sum().backward()
=== outputs kept
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 3)
        self.outs = []

    def forward(self, x):
        self.outs.append(self.lin(x))
        return self.outs[-1]


net = Net()
out = net(torch.ones(3))
out.sum().backward()
=== functions
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 3)
        self.acts = [torch.relu, torch.tanh]

    def forward(self, x):
        return self.acts[0](self.lin(x))


net = Net()
out = net(torch.ones(3))
out.sum().backward()
=== tensors that need no gradient
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 3)
        self.masks = [torch.ones(3), torch.zeros(3)]

    def forward(self, x):
        return self.lin(x) * self.masks[0]


net = Net()
out = net(torch.ones(3))
out.sum().backward()
=== frozen Parameters
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 3)
        self.ws = [Parameter(torch.ones(3), requires_grad=False) for _ in range(2)]

    def forward(self, x):
        return self.lin(x) * self.ws[0]


net = Net()
out = net(torch.ones(3))
out.sum().backward()
=== a dummy for checkpointing
import torch.utils.checkpoint
from torch import nn
import torch


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 3)
        self.dummy = torch.ones(1, requires_grad=True)

    def forward(self, x):
        run = torch.utils.checkpoint.checkpoint
        return run(lambda a, d: self.lin(a), x, self.dummy, use_reentrant=True)


net = Net()
out = net(torch.ones(3))
out.sum().backward()
=== a tensor that stays as it is
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 3)
        self.scale = torch.ones(3)

    def forward(self, x):
        return self.lin(x) * self.scale


net = Net()
out = net(torch.ones(3))
out.sum().backward()
=== a random mask
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 3)
        self.noise = torch.randn(3)

    def forward(self, x):
        return self.lin(x) + self.noise


net = Net()
out = net(torch.ones(3))
out.sum().backward()
=== a buffer filled with one number
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 3)
        self.gain = torch.empty(3)
        torch.nn.init.constant_(self.gain, 2.0)

    def forward(self, x):
        return self.lin(x) * self.gain


net = Net()
net(torch.ones(3)).sum().backward()
=== a Parameter filled by nn.init
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.empty(3))
        torch.nn.init.uniform_(self.gain)

    def forward(self, x):
        return x * self.gain


net = Net()
net(torch.ones(3)).sum().backward()
=== a random projection of the input
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 3)
        self.proj = torch.randn(3, 3)

    def forward(self, x):
        return self.lin(x @ self.proj)


net = Net()
out = net(torch.ones(3))
out.sum().backward()
=== a buffer
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 3)
        self.register_buffer('keys', torch.randn(3, 3))

    def forward(self, x):
        return self.lin(x) @ self.keys


net = Net()
out = net(torch.ones(3))
out.sum().backward()
=== its own parameters
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(3, 3), nn.Linear(3, 3)]

    def parameters(self, recurse=True):
        for layer in self.layers:
            yield from layer.parameters()

    def forward(self, x):
        return self.layers[0](self.layers[1](x))


net = Net()
torch.optim.SGD(net.parameters(), lr=0.1)
=== handed to the optimizer by hand
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 3)
        self.extra = [nn.Linear(3, 3), nn.Linear(3, 3)]

    def forward(self, x):
        return self.extra[0](self.lin(x))


net = Net()
params = list(net.parameters())
for layer in net.extra:
    params += list(layer.parameters())
torch.optim.SGD(params, lr=0.1)
=== a tensor handed to the optimizer by hand
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 3)
        self.code = torch.zeros(3, requires_grad=True)

    def forward(self, x):
        return self.lin(x) * self.code


net = Net()
torch.optim.SGD([net.code], lr=0.1)
=== a code whose gradient is looked at
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 3)
        self.delta = torch.zeros(3, requires_grad=True)

    def forward(self, x):
        return self.lin(x + self.delta)


net = Net()
net(torch.ones(3)).sum().backward()
print(net.delta.grad)
=== no module
class Trainer:
    def __init__(self):
        self.nets = [nn.Linear(3, 3), nn.Linear(3, 3)]

    def step(self, x):
        return self.nets[0](self.nets[1](x))


Trainer().step(torch.ones(3))
=== a helper that is handed the layer
class Head:
    def __init__(self, layer):
        self.layer = layer

    def __call__(self, x):
        return self.layer(x)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 3)
        self.head = Head(self.lin)

    def forward(self, x):
        return self.head(x)


Net()(torch.ones(3)).sum().backward()
=== a helper whose layer is registered
class Head:
    def __init__(self):
        self.layer = nn.Linear(3, 3)

    def __call__(self, x):
        return self.layer(x)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = Head()
        self.head_layer = self.head.layer

    def forward(self, x):
        return self.head(x)


Net()(torch.ones(3)).sum().backward()
=== unknown elements
def build(net):
    return net


class Net(nn.Module):
    def __init__(self, parts):
        super().__init__()
        self.parts = [part for part in parts]
        self.others = [build(part) for part in parts]

    def forward(self, x):
        return x


Net([nn.Linear(3, 3)])(torch.ones(3))
=== a list of another class
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 3)

    def forward(self, x):
        return self.lin(x)


class Group:
    def __init__(self):
        self.layers = [Net(), Net()]


Group().layers[0](torch.ones(3))
=== classes in a list are only the plan of layers
class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(1, 1)

    def forward(self, x):
        return self.l(x)


class Net(nn.Module):
    def __init__(self, depth):
        super().__init__()
        self.kinds = [[Block] * depth, [Block] * (depth - 1) + [nn.Identity]]
        self.body = nn.Sequential(*[kind() for kinds in self.kinds for kind in kinds])

    def forward(self, x):
        return self.body(x)


Net(2)(torch.ones(1, 1)).sum().backward()
""")

REPORT = cases("""
=== a head that is no Module, of layers by other names
import torch
import torch.nn as tnn
from torch.nn import Linear


class Head:
    def __init__(self):
        self.inner = Linear(3, 1)

    def __call__(self, x):
        return self.inner(x)


class Other:
    def __init__(self):
        self.inner = tnn.Linear(3, 1)

    def __call__(self, x):
        return self.inner(x)


class Net(tnn.Module):
    def __init__(self):
        super().__init__()
        self.head = Head()
        self.other = Other()

    def forward(self, x):
        return self.head(x) + self.other(x)


net = Net()
out = net(torch.ones(3))
out.sum().backward()
reason: Module
=== numbers as keys
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.heads = {}
        for i in range(2):
            self.heads[i] = nn.Linear(3, 1)

    def forward(self, x):
        return self.heads[0](x)


net = Net()
out = net(torch.ones(3))
out.sum().backward()
reason: no strings
=== a dot in a key
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.heads = {"a.b": nn.Linear(3, 1), "c": nn.Linear(3, 1)}

    def forward(self, x):
        return self.heads["c"](x)


net = Net()
out = net(torch.ones(3))
out.sum().backward()
reason: has a dot
=== a key that ModuleDict has
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.heads = {"train": nn.Linear(3, 1), "c": nn.Linear(3, 1)}

    def forward(self, x):
        return self.heads["c"](x)


net = Net()
out = net(torch.ones(3))
out.sum().backward()
reason: attribute of every ModuleDict
=== read with get
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.heads = {"a": nn.Linear(3, 1), "c": nn.Linear(3, 1)}

    def forward(self, x):
        head = self.heads.get("c")
        return head(x)


net = Net()
out = net(torch.ones(3))
out.sum().backward()
reason: `.get`
=== pairs of layers
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = []
        for _ in range(2):
            self.blocks.append((nn.Linear(2, 2), nn.LayerNorm(2)))

    def forward(self, x):
        for line, norm in self.blocks:
            x = x + norm(line(x))
        return x


net = Net()
out = net(torch.ones(1, 2))
reason: not all elements are layers
=== layers with their names, and dicts of layers
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.named = [("a", nn.Linear(2, 2)), ("b", nn.Linear(2, 2))]
        self.blocks = []
        for _ in range(2):
            self.blocks.append({"line": nn.Linear(2, 2), "act": nn.ReLU()})

    def forward(self, x):
        for name, line in self.named:
            x = line(x)
        for block in self.blocks:
            x = block["act"](block["line"](x))
        return x


net = Net()
out = net(torch.ones(1, 2))
reason: not all elements are layers
=== a slice
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(3, 3) for _ in range(3)]

    def forward(self, x):
        for layer in self.layers[1:]:
            x = layer(x)
        return x


net = Net()
out = net(torch.ones(3))
out.sum().backward()
reason: a slice
=== added to another list
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(3, 3) for _ in range(3)]

    def forward(self, x):
        for layer in self.layers + [torch.relu]:
            x = layer(x)
        return x


net = Net()
out = net(torch.ones(3))
out.sum().backward()
reason: not known whether
=== reversed in place
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(3, 3) for _ in range(3)]
        self.layers.reverse()

    def forward(self, x):
        return self.layers[0](x)


net = Net()
out = net(torch.ones(3))
out.sum().backward()
reason: `.reverse`
=== a function among them
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(3, 3), torch.relu]

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


net = Net()
out = net(torch.ones(3))
out.sum().backward()
reason: not all elements
=== None among them
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(3, 3), None]

    def forward(self, x):
        return self.layers[0](x)


net = Net()
out = net(torch.ones(3))
out.sum().backward()
reason: not all elements
=== the same layer twice
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(3, 3)] * 2

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


net = Net()
out = net(torch.ones(3))
out.sum().backward()
reason: repeated
=== layers and Parameters
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.parts = [nn.Linear(3, 3), Parameter(torch.ones(3))]

    def forward(self, x):
        return self.parts[0](x) * self.parts[1]


net = Net()
out = net(torch.ones(3))
out.sum().backward()
reason: not all elements
=== the local list grows later
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        layers = [nn.Linear(3, 3)]
        self.layers = layers
        layers.append(nn.Linear(3, 3))

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


net = Net()
out = net(torch.ones(3))
out.sum().backward()
reason: after it was stored
=== memory that is never trained
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.query = nn.Linear(3, 3)
        self.keys = torch.randn(5, 3)

    def forward(self, x):
        return torch.softmax(self.query(x) @ self.keys.t(), dim=-1)


net = Net()
out = net(torch.ones(3))
out.sum().backward()
reason: whether it is to be trained
=== before the Module is ready
class Net(nn.Module):
    def __init__(self):
        self.layers = [nn.Linear(3, 3), nn.Linear(3, 3)]
        super().__init__()

    def forward(self, x):
        return self.layers[0](self.layers[1](x))


Net()(torch.ones(3))
reason: comes later
=== a helper that is no Module
class Head:
    def __init__(self):
        self.layer = nn.Linear(3, 3)

    def __call__(self, x):
        return self.layer(x)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = Head()

    def forward(self, x):
        return self.head(x)


Net()(torch.ones(3)).sum().backward()
reason: by hand
=== a tensor that is initialised like a weight
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 3)
        self._build()

    def _build(self):
        self.attention = torch.empty(3)
        torch.nn.init.uniform_(self.attention)

    def forward(self, x):
        return self.lin(x) * torch.softmax(self.attention, dim=0)


net = Net()
net(torch.ones(3)).sum().backward()
reason: whether it is to be trained
=== the class runs one child after the other
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(2, 2)
        self.extra = [nn.Linear(2, 2), nn.Linear(2, 2)]

    def forward(self, x):
        for child in self.children():
            x = child(x)
        return x + self.extra[0](x) + self.extra[1](x)


net = Net()
out = net(torch.ones(2))
reason: goes through its children
=== handed to unknown code
def use(layers, x):
    return layers[0](x)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(3, 3) for _ in range(2)]

    def forward(self, x):
        return use(self.layers, x)


Net()(torch.ones(3)).sum().backward()
reason: not known whether
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


def test_reserved_keys_are_torch_s_own() -> None:
    """No key that gradfix takes for free is an attribute of the containers."""
    for container in (nn.ModuleDict(), nn.ParameterDict()):
        assert {name for name in dir(container) if not name.startswith("_")} <= RESERVED_KEYS
