"""A project in a temporary folder, the command line in process, and codemods made for the test."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from gradfix import cli, registry, rules
from gradfix.codemod import Codemod
from gradfix.flow import ModuleFlow
from gradfix.model import Edit, EditKind, Finding, Span

#: Cut off from the graph: one GF301, with a safe fix.
FAULTY = """\
import torch
from torch import nn


class Mixer(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.rand(()))
        self.b = nn.Parameter(torch.rand(()))

    def forward(self, x):
        w = torch.tensor([self.a, self.b])
        return (w * x).sum()
"""
MENDED = FAULTY.replace("torch.tensor([", "torch.stack([")
FAULT_ROW = 12
#: The same where no other file can have anything to do with it.
ALONE = """\
import torch
from torch import nn

a, b = (nn.Parameter(torch.rand(())) for _ in range(2))
w = torch.tensor([a, b])
w.sum().backward()
"""
ALONE_MENDED = ALONE.replace("torch.tensor([", "torch.stack([")


UNFIXABLE = "x = 1  # noqa: GF301\n"  # a finding without a fix
PYTHON_2 = "import torch\nprint 'torch.tensor'\n"


class Result(NamedTuple):
    code: int
    out: str
    err: str


class Renames(Codemod):
    """Finds calls of one name and replaces the name by another."""

    code = "GF991"
    trigger = re.compile("")
    mentions = ""
    old, new = "old", "new"
    doubt = ""

    def find(self, flow: ModuleFlow) -> Iterator[Finding]:
        for node in ast.walk(flow.tree):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            if node.func.id == self.old:
                span = span_of(node.func)
                edit = Edit(EditKind.REPLACE, span, self.new)
                fix = self.fix(f"call {self.new}", edit, doubt=self.doubt)
                yield self.finding(span, f"{self.old} is called", fix=fix)


def span_of(node: ast.expr | ast.stmt) -> Span:
    """The span of a node in ASCII source."""
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    return Span(node.lineno, node.col_offset + 1, node.end_lineno, node.end_col_offset + 1)


def put(project: Path, **texts: str) -> None:
    for name, text in texts.items():
        (project / f"{name}.py").write_bytes(text.encode())


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the working folder."""
    for variable in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def gradfix(project: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Runs the command line in the project."""

    def run(*arguments: str) -> Result:
        capfd.readouterr()
        code = cli.run(arguments)
        return Result(code, *capfd.readouterr())

    return run


@pytest.fixture
def only_codemods(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Makes the given codemods the only ones there are."""

    def use(*kinds: type[Codemod]) -> None:
        monkeypatch.setattr(registry, "codemods", lambda: kinds)
        monkeypatch.setattr(registry, "entries", lambda: registry.entries_of(kinds))
        rules.rules.cache_clear()

    yield use
    monkeypatch.undo()
    rules.rules.cache_clear()
