"""`verify --facts FILE` records what functions are given, and only what somebody wrote."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

NET = """\
import torch
from torch import nn
from pkg.helper import scaled

class Net(nn.Module):
    def __init__(self, n, *, p=0.5):
        super().__init__()
        self.w = nn.Parameter(torch.rand(n))

    def forward(self, x, hint=None):
        return scaled(self.w, self.w * 2, [v for v in x])

class Guessed(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(3, 2)

    def forward(self, x):
        return self.l(x)
"""
HELPER = "def scaled(leaf, tracked, parts):\n    return leaf * tracked * parts[0]\n"
CASES = """\
import torch
from pkg.net import Net

def case_Net():
    return Net(3), torch.rand(2, 3)

def case_Net__longer():
    return Net(3, p=0.25), torch.rand(4, 3)
"""


def gradfix(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gradfix", *arguments]
    return subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text("")
    (tmp_path / "pkg" / "net.py").write_text(NET)
    (tmp_path / "pkg" / "helper.py").write_text(HELPER)
    (tmp_path / "gradfix_cases.py").write_text(CASES)
    return tmp_path


def test_calls_of_cases_are_recorded(project: Path) -> None:
    done = gradfix(project, "verify", "--facts", "facts.json", "pkg")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "recorded 8 calls in facts.json" in done.stderr
    files: dict[str, Any] = json.loads((project / "facts.json").read_text())["files"]
    assert set(files) == {"pkg/net.py", "pkg/helper.py", "gradfix_cases.py"}
    net = files["pkg/net.py"]["functions"]
    assert set(net) == {"Net.__init__", "Net.forward"}  # what was made up is not recorded
    assert net["Net.__init__"]["calls"] == 2
    assert net["Net.__init__"]["arguments"] == {
        "self": {"kind": "other"},
        "n": {"kind": "int", "value": 3},
        "p": {"kind": "float"},
    }
    x = net["Net.forward"]["arguments"]["x"]
    assert x == {"kind": "tensor", "shape": [None, 3], "dtype": "float32", "roles": ["untracked"]}
    scaled = files["pkg/helper.py"]["functions"]["scaled"]["arguments"]
    assert [scaled[name]["kind"] for name in scaled] == ["tensor", "tensor", "other"]
    assert (scaled["leaf"]["roles"], scaled["tracked"]["roles"]) == (["leaf"], ["tracked"])


def test_made_up_inputs_record_nothing_and_a_broken_file_stops_at_once(project: Path) -> None:
    done = gradfix(project, "verify", "--facts", "facts.json", "pkg/net.py:Guessed")
    assert done.returncode == 0, done.stderr
    assert "recorded 0 calls in facts.json (only cases and call sites" in done.stderr
    assert json.loads((project / "facts.json").read_text())["files"] == {}
    (project / "facts.json").write_text("mine")
    done = gradfix(project, "verify", "--facts", "facts.json", "pkg/net.py:Guessed")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--facts facts.json: not a file of recorded facts" in done.stderr
    assert (project / "facts.json").read_text() == "mine"
