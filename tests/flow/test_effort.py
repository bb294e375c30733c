"""What the analysis leaves undone, and what it lets go: neither changes what it says."""

from __future__ import annotations

import ast
import gc
import weakref
from collections.abc import Iterator

import pytest

from gradfix import engine, flow
from gradfix.config import settings_from
from gradfix.flow import project as project_module
from gradfix.flow.project import Project
from gradfix.model import Source

MODEL = """\
import torch
from torch import nn

OFFSETS = {"a": 1}


class Net(nn.Module):
    def __init__(self, size: int):
        super().__init__()
        self.layer = nn.Linear(size, size)
        self.scale = nn.Parameter(torch.ones(size))

    def forward(self, x, names=("a",)):
        out = {}
        count = 0
        for name in names:
            count += 1
            out[name] = self.layer(x) * self.scale + OFFSETS[name]
        return out

    @torch.no_grad()
    def reset(self):
        nn.init.ones_(self.scale)

    def spoil(self, x):
        y = torch.exp(self.layer(x))
        y += 1
        return y
"""


@pytest.fixture
def uncollected() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_functions_that_only_compute_are_left_out_until_somebody_asks() -> None:
    facts = flow.analyse(MODEL)
    told = [scope.name for scope in facts.scopes if isinstance(scope.node, ast.FunctionDef)]
    # The constructor says what ``self.layer`` is.
    assert sorted(told) == ["__init__", "spoil"]
    facts.complete()
    everything = {scope.name for scope in facts.scopes}
    assert {"forward", "reset"} <= everything


def test_facts_are_taken_apart_without_a_collector(uncollected: None) -> None:
    facts = flow.analyse(MODEL)
    trees = weakref.ref(facts)
    facts.release()
    del facts
    assert trees() is None


# -- a project larger than what may be kept ----------------------------------------------------

BASE = "import torch\nfrom torch import nn\n\nclass Base(nn.Module):\n{pad}    pass\n"
CHILD = """\
from base{number} import Base
from common import squash
import torch


class Net(Base):
    def __init__(self):
        super().__init__()
        self.parts = [torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)]

    def forward(self, x):
        y = squash(self.parts[1](self.parts[0](x)))
        return y
"""
TEXTS = {
    "/p/common.py": "import torch\n\ndef squash(x):\n    return torch.sigmoid(x)\n",
    **{f"/p/base{n}.py": BASE.format(pad=f"    '{n:0200}'\n") for n in range(6)},
    **{f"/p/m{n}.py": CHILD.format(number=n) for n in range(6)},
}


def checked(kept: int, monkeypatch: pytest.MonkeyPatch) -> tuple[list[list[str]], list[str], int]:
    """Codes by file, every file that was parsed for others, and the most text held at once."""
    monkeypatch.setattr(project_module, "_KEPT", kept)
    parsed: list[str] = []
    original = project_module._parsed

    def counted(path: str, text: str) -> object:
        parsed.append(path)
        return original(path, text)

    monkeypatch.setattr(project_module, "_parsed", counted)
    project, held, codes = Project(TEXTS.get, ["/p"]), 0, []
    for number in range(6):
        path = f"/p/m{number}.py"
        outcome = engine.check(Source(path, TEXTS[path]), settings_from(), view=project.at(path))
        assert not outcome.failures
        codes.append([finding.code for finding in outcome.findings])
        held = max(held, project.held)
    monkeypatch.setattr(project_module, "_parsed", original)
    return codes, parsed, held


def test_cold_files_go_and_nothing_else_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    everything, once, most = checked(10**6, monkeypatch)
    assert everything == [["GF105"]] * 6
    assert len(once) == len(set(once))
    few, parsed, held = checked(700, monkeypatch)
    assert few == everything
    assert held < most
    # What all of them use is always in use; a cold file is not asked for again.
    assert sorted(parsed) == sorted(once)
