"""GF311: ``requires_grad`` is set on a Module, which has no such flag."""

from __future__ import annotations

import pytest
from harness import VARIANTS, check_noop, check_reported, fixed, found, table
from snippets import Case, cases, run

CODE = "GF311"

#: What shows ``frozen``: whether the Module is frozen at the end; it is not before, and is after.
CHANGE = cases("""
=== the first few parts of a model
net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
for part in list(net.children())[:1]:
    part.requires_grad = False
frozen = not net[0].weight.requires_grad
--->
net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
for part in list(net.children())[:1]:
    part.requires_grad_(False)
frozen = not net[0].weight.requires_grad
=== one layer of a sequence after the other
net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
for part in net:
    part.requires_grad = False
frozen = not net[0].weight.requires_grad
--->
net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
for part in net:
    part.requires_grad_(False)
frozen = not net[0].weight.requires_grad
=== the first parts of a model, counted
net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
for i, part in enumerate(net.children()):
    if i < 1:
        part.requires_grad = False
frozen = not net[0].weight.requires_grad
--->
net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
for i, part in enumerate(net.children()):
    if i < 1:
        part.requires_grad_(False)
frozen = not net[0].weight.requires_grad
=== a layer
layer = nn.Linear(2, 2)
layer.requires_grad = False
frozen = not layer.weight.requires_grad
--->
layer = nn.Linear(2, 2)
layer.requires_grad_(False)
frozen = not layer.weight.requires_grad
=== layers in an attribute
class Loss(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU())
        self.features.requires_grad = False  # not trained

    def forward(self, x, y):
        return (self.features(x) - self.features(y)).abs().mean()


frozen = not any(p.requires_grad for p in Loss().parameters())
--->
class Loss(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU())
        self.features.requires_grad_(False)  # not trained

    def forward(self, x, y):
        return (self.features(x) - self.features(y)).abs().mean()


frozen = not any(p.requires_grad for p in Loss().parameters())
=== a Module of the file
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(2, 2)

    def forward(self, x):
        return self.lin(x)


net = Net()
net.requires_grad = False
frozen = not net.lin.weight.requires_grad
--->
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(2, 2)

    def forward(self, x):
        return self.lin(x)


net = Net()
net.requires_grad_(False)
frozen = not net.lin.weight.requires_grad
=== the parts of something unknown
def freeze(model):
    for part in model.children():
        part.requires_grad = False
    for name, part in model.named_modules():
        if name:
            part.requires_grad = False


net = nn.Sequential(nn.Linear(2, 2))
freeze(net)
frozen = not net[0].weight.requires_grad
--->
def freeze(model):
    for part in model.children():
        part.requires_grad_(False)
    for name, part in model.named_modules():
        if name:
            part.requires_grad_(False)


net = nn.Sequential(nn.Linear(2, 2))
freeze(net)
frozen = not net[0].weight.requires_grad
=== an argument that is called
class Adapter(nn.Module):
    def __init__(self, target):
        super().__init__()
        self.target = target
        self.target.requires_grad = False
        self.down = nn.Linear(2, 2)

    def forward(self, x):
        return self.target(x) + self.down(x)


adapter = Adapter(nn.Linear(2, 2))
frozen = not adapter.target.weight.requires_grad
--->
class Adapter(nn.Module):
    def __init__(self, target):
        super().__init__()
        self.target = target
        self.target.requires_grad_(False)
        self.down = nn.Linear(2, 2)

    def forward(self, x):
        return self.target(x) + self.down(x)


adapter = Adapter(nn.Linear(2, 2))
frozen = not adapter.target.weight.requires_grad
=== an argument that is put to rest
def prepare(model):
    model.eval()
    model.requires_grad = False
    return model


frozen = not prepare(nn.Linear(2, 2)).weight.requires_grad
--->
def prepare(model):
    model.eval()
    model.requires_grad_(False)
    return model


frozen = not prepare(nn.Linear(2, 2)).weight.requires_grad
""")

UNFREEZE = cases("""
=== everything is frozen, and one layer is to be trained
net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
for p in net.parameters():
    p.requires_grad = False
net[1].requires_grad = True
trained = net[1].weight.requires_grad
--->
net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
for p in net.parameters():
    p.requires_grad = False
net[1].requires_grad_(True)
trained = net[1].weight.requires_grad
""")

REPORT = cases("""
=== two at once
one, two = nn.Linear(2, 2), nn.Linear(2, 2)
one.requires_grad = two.requires_grad = False
reason: several
""")

LEAVE = cases("""
=== Parameters
layer = nn.Linear(2, 2)
for p in layer.parameters():
    p.requires_grad = False
layer.weight.requires_grad = False
layer.bias.requires_grad = True
=== a Module is to be trained
layer = nn.Linear(2, 2)
layer.requires_grad = True
=== frozen Parameters of a layer are to be trained
net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
for p in net.parameters():
    p.requires_grad = False
for p in net[1].parameters():
    p.requires_grad = True
net[0].bias.requires_grad = True
=== the method
layer = nn.Linear(2, 2)
layer.requires_grad_(False)
=== a class that has such a flag
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(2, 2)

    @property
    def requires_grad(self):
        return self.lin.weight.requires_grad

    @requires_grad.setter
    def requires_grad(self, on):
        self.lin.requires_grad_(on)


net = Net()
net.requires_grad = False
=== a class that keeps the flag for itself
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.requires_grad = False
        self.lin = nn.Linear(2, 2)

    def forward(self, x):
        with torch.set_grad_enabled(self.requires_grad):
            return self.lin(x)


net = Net()
net.requires_grad = False
=== a flag that is read again
layer = nn.Linear(2, 2)
layer.requires_grad = False
for p in layer.parameters():
    p.requires_grad = layer.requires_grad
=== layers without weights
pool = nn.MaxPool2d(2)
pool.requires_grad = False
=== what is not known
def freeze(thing, parts):
    thing.requires_grad = False
    for part in parts:
        part.requires_grad = False


freeze(torch.ones(2), [torch.ones(2)])
=== Parameters among Modules
def freeze(parts):
    for part in parts:
        if isinstance(part, nn.Parameter):
            part.requires_grad = False
        elif hasattr(part, "weight"):
            for p in part.parameters():
                p.requires_grad = False


freeze([nn.Linear(2, 2), Parameter(torch.ones(2))])
=== the same name elsewhere
def freeze(weight):
    weight.requires_grad = False


def run(weight, x):
    return weight(x)


class Holder:
    def __init__(self, mask):
        self.mask = mask
        self.mask.requires_grad = False

    def __call__(self, x):
        return x * self.mask


class Other:
    def __init__(self, mask):
        self.mask = mask

    def __call__(self, x):
        return self.mask(x)


freeze(torch.ones(2))
run(nn.Linear(2, 2), torch.ones(2))
Holder(torch.ones(2))(torch.ones(2))
Other(nn.Linear(2, 2))(torch.ones(2))
=== an object that is no Module
class Options:
    pass


options = Options()
options.requires_grad = False
=== other things than the parts of a loop
def freeze(model, weights):
    for part in model.children():
        part = next(part.parameters())
        part.requires_grad = False
    for name, weight in weights.items():
        weight.requires_grad = False


freeze(nn.Sequential(nn.Linear(2, 2)), {"a": torch.ones(2)})
""")


@table(CHANGE)
def test_rewritten(case: Case) -> None:
    assert found(case.before, CODE)
    assert fixed(case.before, CODE).text == case.before, "not safe, but applied by default"
    assert fixed(case.before, CODE, unsafe=True).text == case.after
    assert fixed(case.after, CODE, unsafe=True).text == case.after
    assert run(case.before).names["frozen"] is False
    assert run(case.after).names["frozen"] is True


@table(CHANGE)
@pytest.mark.parametrize("variant", VARIANTS)
def test_rewritten_however_it_is_written(case: Case, variant: object) -> None:
    assert callable(variant)
    assert fixed(variant(case.before), CODE, unsafe=True).text == variant(case.after)


@table(UNFREEZE)
def test_what_is_to_be_trained_again(case: Case) -> None:
    (finding,) = found(case.before, CODE)
    assert finding.message.endswith("nothing is trained")
    assert fixed(case.before, CODE).text == case.before, "not safe, but applied by default"
    assert fixed(case.before, CODE, unsafe=True).text == case.after
    assert fixed(case.after, CODE, unsafe=True).text == case.after
    assert run(case.before).names["trained"] is False
    assert run(case.after).names["trained"] is True


@table(REPORT)
def test_reported(case: Case) -> None:
    check_reported(case, CODE)


@table(LEAVE)
def test_left_alone(case: Case) -> None:
    check_noop(case, CODE)
