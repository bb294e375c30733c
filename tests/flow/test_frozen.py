"""What another file freezes is a doubt about the layers that it may mean, and about no others."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from test_strangers import HEAD, safety

from gradfix.flow import doubts
from gradfix.flow.frozen import frozen_by
from gradfix.model import Safety

NET = HEAD + """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(2, 2)
        self.gate = nn.Linear(2, 2)

    def forward(self, x):
        h = torch.sigmoid(self.gate(x))
        h /= h.sum()
        return h
"""
OFF = "    for p in {}.parameters():\n        p.requires_grad = False\n"


def frozen(text: str, **others: str) -> bool:
    """Whether the layers of ``net.py`` may be frozen, as far as its fix says."""
    found = safety(NET, other=f"{HEAD}import net\n{text}", **others)
    assert found is not None
    return found is not Safety.SAFE


@pytest.mark.parametrize(
    "text",
    [
        "def tune(model):\n" + OFF.format("model.body"),
        "def tune(model):\n    model.body.requires_grad_(False)",
        "def tune(model):\n    model.body.weight.requires_grad = False",
        "teacher = nn.Sequential(nn.Linear(2, 2), nn.ReLU())\nteacher.requires_grad_(False)",
        "teacher = nn.Linear(2, 2)\nif True:\n" + OFF.format("teacher"),
        "class Own(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.table = nn.Parameter(torch.zeros(3), requires_grad=False)",
        "class Own(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.lin = nn.Linear(2, 2)\n    " + OFF.format("self.lin").replace("\n", "\n    "),
        "def make(requires_grad=False):\n    return torch.zeros(3, requires_grad=requires_grad)",
        "def start(model):\n    for p in model.parameters():\n        p.requires_grad = True",
    ],
)
def test_what_is_frozen_is_something_else(text: str) -> None:
    assert not frozen(text)


@pytest.mark.parametrize(
    "text",
    [
        "def tune(model):\n" + OFF.format("model"),
        "def tune(model):\n    model.requires_grad_(False)",
        "def tune(model, flag):\n    model.requires_grad_(flag)",
        "def tune(model):\n    model.gate.requires_grad_(False)",
        "def tune(model):\n    model.gate.weight.requires_grad = False",
        "def tune(model):\n    for name, p in model.named_parameters():\n"
        "        p.requires_grad = name in TRAINED",
        "def tune(parts):\n    for part in parts:\n        for p in part.parameters():\n"
        "            p.requires_grad = False",
        "def tune(model):\n    for p in model.parameters():\n"
        "        setattr(p, 'requires_grad', False)",
        "n = net.Net()\n[p.requires_grad_(False) for p in n.parameters()]",
        "both = nn.Sequential(net.Net(), nn.Linear(2, 2))\nboth[0].requires_grad_(False)",
        "class Small(net.Net):\n    def freeze(self):\n    " + OFF.format("self"),
        "class Big(nn.Module):\n    def __init__(self, inner):\n        super().__init__()\n"
        "        self.inner = inner\n        self.requires_grad_(False)",
        "def tune(model):\n    for p in (:\n        p.requires_grad = False",
    ],
)
def test_what_is_frozen_may_be_these_layers(text: str) -> None:
    assert frozen(text)


def test_what_is_frozen_may_hold_these_layers() -> None:
    tune = "def tune(model):\n    model.body.requires_grad_(False)"
    for held in (
        "self.body = net.Net()",
        "self.body = made",
        "self.add_module('body', net.Net())",
        "self.parts = nn.ModuleDict(dict(body=net.Net()))",
        "self.body = nn.Sequential(nn.ReLU(), net.Net())",
    ):
        big = f"import net\nclass Big(nn.Module):\n    def __init__(self, made):\n        {held}\n"
        assert frozen(tune, big=HEAD + big), held
    other = "import net\nclass Big(nn.Module):\n    def __init__(self):\n        self.body = "
    assert not frozen(tune, big=HEAD + other + "nn.Sequential(nn.ReLU(), nn.Linear(2, 2))\n")


def test_a_base_in_another_file_freezes_what_is_derived_from_it() -> None:
    base = HEAD + "class Base(nn.Module):\n    def freeze(self):\n    " + OFF.format("self")
    net = "from base import Base\n" + NET.replace("(nn.Module)", "(Base)")
    assert safety(net, base=base) is Safety.UNSAFE


def test_files_are_read_until_one_may_freeze_any_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def noted(project: object, texts: Mapping[str, str], path: str) -> frozenset[str] | None:
        read.append(path)
        return frozen_by(None, texts, path)

    monkeypatch.setattr(doubts, "frozen_by", noted)
    freezes = "for p in given().parameters():\n    p.requires_grad = False\n"
    texts = {"a.py": "x = 1\n", "b.py": freezes, "c.py": freezes, "d.py": freezes}
    found = doubts.Doubts(None, texts)
    assert found.frozen("a.py") is None and found.frozen("a.py") is None
    assert found.frozen("b.py") is None  # which needs another one that does so
    assert found.frozen("c.py") is None
    assert read == ["a.py", "b.py", "c.py"]
    alone = doubts.Doubts(None, {"a.py": "x = 1\n", "b.py": freezes})
    assert (alone.frozen("a.py"), alone.frozen("b.py")) == (None, frozenset())
