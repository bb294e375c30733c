"""Arguments that are objects of the project's own classes."""

from __future__ import annotations

from pathlib import Path

import pytest
from verify_helpers import results_of

from gradfix.verify.results import TargetResult

SOURCE = '''
import torch
from torch import nn

class Vocab:
    def __init__(self, words):
        self.words = list(words)
    def size(self):
        return len(self.words) + 2
    def word(self, index):
        return self.words[index]

class Settings:
    """Its text needs what is not there."""
    def __init__(self, width):
        self.inner_width = width
    def __repr__(self):
        return f"Settings of {no_such_version}"

class Set(nn.Module):
    def __init__(self, settings):
        super().__init__()
        self.lin = nn.Linear(settings.inner_width, 2)
    def forward(self, x):
        return self.lin(x)

class ConvMaker:
    """Makes the convolutions of a network, of two dimensions or of three."""
    def __init__(self, dim):
        assert dim in (2, 3)
        self.dim = dim
    def __call__(self, inside, outside):
        return (nn.Conv2d if self.dim == 2 else nn.Conv3d)(inside, outside, 3)

class Encoder(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        assert width % heads == 0
        self.out_width = width
        self.lin = nn.Linear(width, width)
    def forward(self, x):
        return self.lin(x)

class Reading(nn.Module):
    def __init__(self, vocab, width):
        super().__init__()
        self.vocab = vocab
        self.embed = nn.Embedding(vocab.size(), width)
    def forward(self, x):
        return self.embed(x).tanh()

class Convolving(nn.Module):
    def __init__(self, conv):
        super().__init__()
        self.dim = conv.dim
        self.conv = conv(3, 5)
    def forward(self, x):
        return self.conv(x)

class Wrapping(nn.Module):
    def __init__(self, net):
        super().__init__()
        assert isinstance(net, Encoder), "wraps encoders only"
        self.net, self.head = net, nn.Linear(net.out_width, 2)
    def forward(self, x):
        return self.head(self.net(x))

class Teaching(nn.Module):
    """What it is given is a teacher, perhaps; nobody knows."""
    def __init__(self, net):
        super().__init__()
        assert isinstance(net, Encoder)
        self.net, self.head = net, nn.Linear(net.out_width, net.out_width)
    def forward(self, x):
        return self.head(x) - torch.tensor(self.net(x).tolist())

class Losing(nn.Module):
    """The same with a part of its own: that is a fault."""
    def __init__(self, net):
        super().__init__()
        assert isinstance(net, Encoder)
        self.net, self.head = net, nn.Linear(net.out_width, net.out_width)
    def forward(self, x):
        return self.net(x) - torch.tensor(self.head(x).tolist())
'''


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TargetResult]:
    path: Path = tmp_path_factory.mktemp("objects") / "nets.py"
    path.write_text(SOURCE)
    return results_of(path)


@pytest.mark.parametrize("name", ["Reading", "Convolving", "Wrapping", "Set"])
def test_an_object_of_the_project_is_made_where_the_code_asks_for_one(
    found: dict[str, TargetResult], name: str
) -> None:
    assert found[name].status == "passed", found[name].reason


def test_a_cut_gradient_of_an_object_that_was_made_up_is_asked_about(
    found: dict[str, TargetResult],
) -> None:
    result = found["Teaching"]
    assert result.status == "not_verified"
    unclear = {p.name for p in result.parameters if p.verdict == "inconclusive"}
    assert unclear == {"net.lin.weight", "net.lin.bias"}


def test_a_cut_gradient_of_the_class_that_gets_it_is_a_fault(
    found: dict[str, TargetResult],
) -> None:
    result = found["Losing"]
    assert {p.name for p in result.parameters if p.verdict == "escaped"} == {
        "head.weight",
        "head.bias",
    }
