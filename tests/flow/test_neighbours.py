"""What other files of a project do with a list of layers decides whether it may be registered."""

from __future__ import annotations

import os

import pytest

from gradfix import engine
from gradfix.config import settings_from
from gradfix.flow import around
from gradfix.flow.project import Project
from gradfix.model import Finding, Safety, Source

NET = """
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(3, 3)
        self.heads = [nn.Linear(3, 1), nn.Linear(3, 1)]

    def forward(self, x):
        return sum(head(self.body(x)) for head in self.heads)
"""
IMPORT = "from torch import nn, optim\nfrom models.net import Net\n"


def found(files: dict[str, str], roots: tuple[str, ...] = ("/p",)) -> list[Finding]:
    """What is said about a class in `/p/models/net.py`, with other files around it."""
    texts = {"/p/models/net.py": NET, **{f"/p/{name}": text for name, text in files.items()}}

    def listing(folder: str) -> frozenset[str]:
        inside = f"{folder.rstrip('/')}/"
        below = [path[len(inside) :] for path in texts if path.startswith(inside)]
        return frozenset(path.partition("/")[0] for path in below)

    view = Project(texts.get, roots, listing).at("/p/models/net.py")
    outcome = engine.check(Source("net.py", NET), settings_from(select=["GF105"]), view=view)
    return list(outcome.findings)


def safety(files: dict[str, str], roots: tuple[str, ...] = ("/p",)) -> Safety:
    (finding,) = found(files, roots)
    assert finding.fix is not None
    return finding.fix.safety


@pytest.mark.parametrize(
    "text",
    [
        "net = Net()\nfor head in net.heads:\n    print(head)\n",
        "net = Net()\nprint(len(net.heads), [head for head in net.heads])\n",
        "net = Net()\nprint(net.heads[0].weight, net.heads[1](x))\n",
        "net = Net()\nopt = optim.SGD(net.parameters(), lr=0.1)\n",
        "class Other:\n    def __init__(self):\n        self.heads = []\n",
        "heads = Net().heads_up\n",
        "",
    ],
)
def test_what_only_looks_at_the_elements(text: str) -> None:
    assert safety({"train.py": IMPORT + text}) is Safety.SAFE


@pytest.mark.parametrize(
    "text",
    [
        "net = Net()\nfor head in net.heads:\n    groups.append({'params': head.parameters()})\n",
        "net = Net()\nopt = optim.Adam([p for head in net.heads for p in head.parameters()])\n",
        "net = Net()\nnet.heads = nn.ModuleList(net.heads)\n",
        "class Trainer:\n    def __init__(self):\n        self.net = Net()\n"
        "        self.opt = optim.SGD(self.net.heads[0].parameters(), lr=0.1)\n",
        "class Deep(Net):\n    def __init__(self):\n        super().__init__()\n"
        "        for i, head in enumerate(self.heads):\n"
        "            self.add_module(str(i), head)\n",
    ],
)
def test_what_others_train_or_register_is_no_fault(text: str) -> None:
    assert found({"scripts/train.py": IMPORT + text}) == []


@pytest.mark.parametrize(
    "text",
    [
        "heads = Net().heads\n",
        "net = Net()\nuse(net.heads)\n",
        "net = Net()\nfirst = net.heads[:1]\n",
        "net = Net()\nnet.heads = []\n",
        "net = Net()\nnet.apply(init)\n",
    ],
)
def test_what_others_may_do_with_it_is_not_decided_for_them(text: str) -> None:
    (finding,) = found({"train.py": IMPORT + text})
    assert finding.fix is not None
    assert finding.fix.safety is Safety.UNSAFE
    assert "train.py uses `.heads`, too" in finding.fix.doubt


def test_a_file_that_does_not_name_the_class_may_still_get_it() -> None:
    text = "def groups(net):\n    return [{'params': h.parameters()} for h in net.heads]\n"
    assert found({"groups.py": text}) == []
    other = "class Other:\n    def __init__(self):\n        self.heads: list = []\n"
    assert safety({"groups.py": text, "other.py": other}) is Safety.UNSAFE
    assert safety({"groups.py": "net.heads\nmodel.apply(init)\n"}) is Safety.UNSAFE
    assert safety({"groups.py": "model.apply(init)\n"}) is Safety.SAFE


def test_a_file_that_does_not_parse_may_do_anything() -> None:
    assert safety({"train.py": IMPORT + "print Net().heads\n"}) is Safety.UNSAFE


def test_notebooks_are_files_as_well() -> None:
    lines = '"from net import Net\\n",\n"net = Net()\\n",\n'
    trained = '"opt = SGD([p for h in net.heads for p in h.parameters()])"\n'
    assert found({"train.ipynb": lines + trained}) == []
    assert safety({"train.ipynb": lines + '"show(net.heads)"\n'}) is Safety.UNSAFE
    assert safety({"train.ipynb": lines + '"net.apply(init)"\n'}) is Safety.UNSAFE
    assert safety({"train.ipynb": lines}) is Safety.SAFE


def test_the_project_ends_at_its_top() -> None:
    """Whatever lies beside the repository is somebody else's."""
    use = "heads = Net().heads\n"
    assert safety({"use.py": use}, ("/", "/p/models")) is Safety.UNSAFE
    assert safety({"models/setup.py": "", "use.py": use}, ("/", "/p/models")) is Safety.SAFE
    assert safety({"pyproject.toml": "", "use.py": use}, ("/", "/p/models")) is Safety.UNSAFE
    assert safety({"build/use.py": use, ".hidden/use.py": use}) is Safety.SAFE
    assert safety({"use.py": use}, ("/elsewhere",)) is Safety.SAFE


def test_a_project_that_is_too_large_may_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {f"m{number}.py": "x = 1\n" for number in range(5)}
    assert safety(files) is Safety.SAFE
    monkeypatch.setattr(around, "_FILES", 3)
    assert safety(files) is Safety.UNSAFE


def test_without_listings_nobody_is_known() -> None:
    view = Project({}.get, ["/p"]).at(os.path.normpath("/p/net.py"))
    outcome = engine.check(Source("net.py", NET), settings_from(select=["GF105"]), view=view)
    (finding,) = outcome.findings
    assert finding.fix is not None
    assert finding.fix.safety is Safety.SAFE
