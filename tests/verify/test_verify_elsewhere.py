"""Uses of a class in other files: self-contained, or not taken at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from verify_helpers import results_of

from gradfix.verify.elsewhere import sites_elsewhere
from gradfix.verify.options import options_of
from gradfix.verify.sites import CallSite

NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, table, width):
        super().__init__()
        self.lin = nn.Linear(table["in"]["size"], width)
    def forward(self, batch, scale):
        return self.lin(batch.values_of("x")) * scale
"""

TEST = """
import torch
import pytest
from net import Net

SIZES = {"in": {"size": 3}}

class Batch:
    def values_of(self, name):
        return torch.ones(4, 3)

def helper():
    return Batch()

@pytest.mark.parametrize("width, scale", [(2, 0.5), (4, 1.0)])
def test_net(width, scale, device):
    net = Net(SIZES, width).to(device).eval()
    batch = helper()
    out = net(batch, scale)
    assert out.shape == (4, width)
"""


def project(folder: Path, **files: str) -> Path:
    (folder / "pyproject.toml").write_text("")
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def sites(folder: Path) -> list[CallSite]:
    return sites_elsewhere(folder, folder / "net.py", ["Net"])["Net"]


def test_a_parametrised_test_drives_what_nothing_could_guess(tmp_path: Path) -> None:
    folder = project(tmp_path, net=NET, test_net=TEST)
    result = results_of(folder / "net.py")["Net"]
    assert (result.status, result.driven_by) == ("passed", "call-site")
    assert result.call == "Net(SIZES, width)(batch, scale)"


def test_a_site_for_each_parametrisation(tmp_path: Path) -> None:
    found = sites(project(tmp_path, net=NET, test_net=TEST))
    assert [site.inputs for site in found] == [("batch", "scale")] * 2
    assert any("(4, 1.0)" in line for line in found[1].setup)


@pytest.mark.parametrize(
    "text",
    [
        "def f(data):\n    return Net(data, 3)",  # nobody says what data is
        "class Net:\n    pass\nnet = Net(1, 2)",  # a class of its own
        "net = Net(",  # does not parse
        "net = Other(1, 2)",
    ],
)
def test_no_site_where_something_is_unknown(tmp_path: Path, text: str) -> None:
    assert sites(project(tmp_path, net=NET, use=f"from net import Net\n{text}\n")) == []


def test_what_a_test_class_sets_up(tmp_path: Path) -> None:
    text = """
from net import Net
class TestNet:
    def setUp(self):
        super().setUp()
        self.width = 7
    def test(self):
        Net({}, self.width)
"""
    (site,) = sites(project(tmp_path, net=NET, test_net=text))
    assert any("self.width = 7" in line for line in site.setup)


def test_options_of_the_command_line_and_of_configurations(tmp_path: Path) -> None:
    text = """
import argparse
p = argparse.ArgumentParser()
p.add_argument("--hidden-size", "-n", type=int, default=12)
p.add_argument("--kind", choices=["deep", "wide"])
p.add_argument("--fast", action="store_true")
p.add_argument("--steps", type=int, default=100000)
p.add_argument("--rate", default=2 * unknown)
_C = CN()
_C.MODEL.DEPTH = 3
"""
    folder = project(tmp_path, net=NET, train=text)
    expected: dict[str, Any] = {"hidden_size": 12, "kind": "deep", "fast": False, "DEPTH": 3}
    assert options_of(folder, folder / "net.py") == expected
