"""GF401 on what a ``DataLoader`` hands out; torchvision itself is not needed for it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from harness import check_transformed, fixed, found, table
from snippets import Case, cases, run

CODE = "GF401"


class Images:
    """Stands for a dataset of torchvision: four images, which the transform makes tensors of."""

    def __init__(self, root: str, train: bool = True, transform: Any = None, **_: Any) -> None:
        self.transform: Callable[[float], torch.Tensor] = transform

    def __len__(self) -> int:
        return 4

    def __getitem__(self, at: int) -> tuple[torch.Tensor, int]:
        if at >= 4:
            raise IndexError(at)
        return self.transform(float(at)), at % 2


def compose(steps: list[Callable[[Any], Any]]) -> Callable[[Any], Any]:
    def done(image: Any) -> Any:
        for step in steps:
            image = step(image)
        return image

    return done


@pytest.fixture(autouse=True)
def torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of that name with the few classes that the cases use."""
    whole, datasets, transforms = map(
        ModuleType, ("torchvision", "torchvision.datasets", "torchvision.transforms")
    )
    made: dict[ModuleType, dict[str, Any]] = {
        datasets: {"MNIST": Images, "ImageFolder": Images, "FakeData": Images},
        transforms: {
            "Compose": compose,
            "ToTensor": lambda: lambda image: torch.full((2,), image),
            "Normalize": lambda mean, std: lambda image: (image - mean[0]) / std[0],
            "Lambda": lambda function: function,
        },
        whole: {"datasets": datasets, "transforms": transforms},
    }
    for module, names in made.items():
        vars(module).update(names)
        monkeypatch.setitem(sys.modules, module.__name__, module)


CHANGE = cases("""
=== the names of a loop | works
import torch
from torch import nn
from torch.autograd import Variable
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))])
train = datasets.MNIST("data", train=True, transform=transform, download=True)
loader = DataLoader(train, batch_size=2, shuffle=False)
net = nn.Linear(2, 2)
out = 0
for at, (images, labels) in enumerate(loader):
    count = images.size(0)
    images, labels = Variable(images.view(count, -1)), Variable(labels)
    out = out + nn.functional.cross_entropy(net(images), labels)
out.backward()
grad = net.weight.grad
--->
import torch
from torch import nn
from torch.autograd import Variable
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))])
train = datasets.MNIST("data", train=True, transform=transform, download=True)
loader = DataLoader(train, batch_size=2, shuffle=False)
net = nn.Linear(2, 2)
out = 0
for at, (images, labels) in enumerate(loader):
    count = images.size(0)
    images = images.view(count, -1)
    out = out + nn.functional.cross_entropy(net(images), labels)
out.backward()
grad = net.weight.grad
=== unpacked in the loop, wrapped in one branch or the other | works
import torch
from torch import nn
from torch.autograd import Variable
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

loader = DataLoader(datasets.MNIST("data", transform=transforms.ToTensor()), batch_size=2)
cuda = torch.cuda.is_available()
net = nn.Linear(2, 2)
out = 0
for data in loader:
    images, labels = data
    if cuda:
        images = Variable(images).cuda()
    else:
        images = Variable(images)
    out = out + net(images).sum()
out.backward()
grad = net.weight.grad
--->
import torch
from torch import nn
from torch.autograd import Variable
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

loader = DataLoader(datasets.MNIST("data", transform=transforms.ToTensor()), batch_size=2)
cuda = torch.cuda.is_available()
net = nn.Linear(2, 2)
out = 0
for data in loader:
    images, labels = data
    if cuda:
        images = images.cuda()
    else:
        pass
    out = out + net(images).sum()
out.backward()
grad = net.weight.grad
=== converted before it is wrapped, from a folder | works
import torch
from torch import nn
from torch.autograd import Variable
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

images = datasets.ImageFolder("data", transform=transforms.ToTensor())
net = nn.Linear(2, 2).double()
out = 0
for image, _ in DataLoader(images, batch_size=2):
    x = Variable(image.type(torch.DoubleTensor))
    out = out + net(x).sum()
out.backward()
grad = net.weight.grad
--->
import torch
from torch import nn
from torch.autograd import Variable
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

images = datasets.ImageFolder("data", transform=transforms.ToTensor())
net = nn.Linear(2, 2).double()
out = 0
for image, _ in DataLoader(images, batch_size=2):
    x = image.type(torch.DoubleTensor)
    out = out + net(x).sum()
out.backward()
grad = net.weight.grad
""")


@table(CHANGE)
def test_rewritten(case: Case) -> None:
    check_transformed(case, CODE)


HEAD = """
import torch
from torch.autograd import Variable
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

w = torch.ones(2, requires_grad=True)
"""
LEAVE = cases("""
=== a transform of the user's, with a history
train = datasets.MNIST("data", transform=lambda image: w * image)
for images, labels in DataLoader(train, batch_size=2):
    x = Variable(images)
out = x.requires_grad
=== one of the user's among others
steps = transforms.Compose([transforms.ToTensor(), transforms.Lambda(lambda image: w * image)])
for images, labels in DataLoader(datasets.MNIST("data", transform=steps), batch_size=2):
    x = Variable(images)
out = x.requires_grad
=== normalised by what is learnt
steps = transforms.Compose([transforms.ToTensor(), transforms.Normalize(w, w)])
for images, labels in DataLoader(datasets.MNIST("data", transform=steps), batch_size=2):
    x = Variable(images)
out = x.requires_grad
=== collated by the user
def collate(samples):
    return torch.stack([w * image for image, _ in samples]), torch.tensor([0])


train = datasets.MNIST("data", transform=transforms.ToTensor())
for images, labels in DataLoader(train, batch_size=2, collate_fn=collate):
    x = Variable(images)
out = x.requires_grad
=== another dataset
train = datasets.FakeData("data", transform=transforms.ToTensor())
for images, labels in DataLoader(train, batch_size=2):
    x = Variable(images)
    out = x.requires_grad
=== a dataset of the user's
class Learnt(datasets.MNIST):
    def __getitem__(self, at):
        image, label = super().__getitem__(at)
        return w * image, label


for images, labels in DataLoader(Learnt("data", transform=transforms.ToTensor()), batch_size=2):
    x = Variable(images)
out = x.requires_grad
=== the batch is kept before a flag is set
kept = []
train = datasets.MNIST("data", transform=transforms.ToTensor())
for images, labels in DataLoader(train, batch_size=2):
    kept.append(images)
    x = Variable(images)
    x.requires_grad = True
out = kept[0].requires_grad
=== a list that keeps the batches
train = datasets.MNIST("data", transform=transforms.ToTensor())
batches = list(DataLoader(train, batch_size=2))
for images, labels in batches:
    x = Variable(images)
    x.requires_grad = True
out = batches[0][0].requires_grad
=== a dataset that is given another transform later
train = datasets.MNIST("data", transform=transforms.ToTensor())
loader = DataLoader(train, batch_size=2)
train.transform = lambda image: w * image
for images, labels in loader:
    x = Variable(images)
out = x.requires_grad
=== a list of transforms that gets another one later
steps = [transforms.ToTensor()]
train = datasets.MNIST("data", transform=transforms.Compose(steps))
steps.append(lambda image: w * image)
for images, labels in DataLoader(train, batch_size=2):
    x = Variable(images)
out = x.requires_grad
=== what is unpacked is kept, too
kept = []
train = datasets.MNIST("data", transform=transforms.ToTensor())
for batch in DataLoader(train, batch_size=2):
    kept.append(batch)
    images, labels = batch
    x = Variable(images)
    x.requires_grad = True
out = kept[0][0].requires_grad
=== both are wrapped, one after the other
train = datasets.MNIST("data", transform=transforms.ToTensor())
for images, labels in DataLoader(train, batch_size=2):
    x, y = Variable(images), Variable(images)
    x.requires_grad = True
out = y.requires_grad
""")


@table(LEAVE)
def test_left_alone(case: Case) -> None:
    text = HEAD + case.before
    assert found(text, CODE)
    assert fixed(text, CODE).text == text
    assert run(text).error is None
