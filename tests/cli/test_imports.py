"""Folders as they lie on disk: what a file imports from its project is known to the commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gradfix import batch, engine, files
from gradfix.config import Settings
from gradfix.flow.project import Project
from gradfix.model import Source

from .conftest import Result

Gradfix = Callable[..., Result]

SIZES = "WIDTH = 3\n"
BASE = """\
import torch
from torch import nn


class Circuit(nn.Module):
    def __init__(self):
        super().__init__()
        self.eta = nn.Parameter(torch.rand(3))


class Cell(nn.Module):
    def __init__(self):
        super().__init__()
        self.line = nn.Linear(3, 3)

    def forward(self, x):
        return self.line(x)
"""
NET = """\
import torch
from torch import nn

from .base import Cell, Circuit
from .sizes import WIDTH


class Net(Circuit):
    def __init__(self):
        super().__init__()
        self.cells = [Cell() for _ in range(2)]

    def forward(self, x):
        for cell in self.cells:
            x = cell(x)
        full = torch.zeros_like(self.eta)
        full[0] = torch.exp(self.eta[0])
        full[1] = torch.exp(self.eta[1])
        full[2] = self.eta[2]
        part = torch.zeros(WIDTH)
        part[0] = self.eta[0] * 2
        part[1] = self.eta[1]
        part[2] = self.eta[2]
        return x * full + part
"""


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def circuits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "src/circuits/__init__.py", "")
    put(tmp_path / "src/circuits/sizes.py", SIZES)
    put(tmp_path / "src/circuits/base.py", BASE)
    put(tmp_path / "src/circuits/net.py", NET)
    return tmp_path


def codes(result: Result) -> list[str]:
    return [line.split()[1] for line in result.out.splitlines() if ".py:" in line]


@pytest.mark.parametrize("paths", [(".",), ("src",), ("src/circuits",), ("src/circuits/net.py",)])
def test_facts_come_from_other_files(
    paths: tuple[str, ...], circuits: Path, gradfix: Gradfix
) -> None:
    result = gradfix("check", "--output-format", "concise", *paths)
    assert codes(result) == ["GF105", "GF302", "GF302"]


def test_only_the_faulty_file_is_rewritten_and_only_once(circuits: Path, gradfix: Gradfix) -> None:
    assert gradfix("apply", ".").code == 0
    text = (circuits / "src/circuits/net.py").read_text()
    assert "nn.ModuleList([Cell() for _ in range(2)])" in text
    assert text.count("torch.stack(") == 2
    assert (circuits / "src/circuits/base.py").read_text() == BASE
    assert (circuits / "src/circuits/sizes.py").read_text() == SIZES
    assert gradfix("apply", ".").code == 0
    assert (circuits / "src/circuits/net.py").read_text() == text


def test_absolute_imports_of_a_src_layout(circuits: Path, gradfix: Gradfix) -> None:
    script = NET.replace("from .", "from circuits.")
    put(circuits / "scripts/net.py", script)
    result = gradfix("check", "--output-format", "concise", "scripts")
    assert codes(result) == ["GF105", "GF302", "GF302"]


def test_what_cannot_be_read_is_unknown(circuits: Path, gradfix: Gradfix) -> None:
    (circuits / "src/circuits/base.py").unlink()
    (circuits / "src/circuits/sizes.py").write_bytes(b"WIDTH = 3\0")
    result = gradfix("check", "--output-format", "concise", "src/circuits/net.py")
    assert (result.code, codes(result)) == (0, [])


def test_standard_input_lies_where_its_name_says(
    circuits: Path, gradfix: Gradfix, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(frozenset({"GF105"}))
    for path, count in (("src/circuits/other.py", 1), ("elsewhere/other.py", 0), (None, 0)):
        done = batch.process_bytes(NET.encode(), "-", settings, rewriting=False, path=path)
        assert len(done.outcome.findings) == count


def test_the_files_that_findings_depend_on_are_known(circuits: Path) -> None:
    settings = Settings(frozenset({"GF105"}))
    view = Project(files.text_of, [str(circuits)]).at(str(circuits / "src/circuits/net.py"))
    assert engine.check(Source("net.py", NET), settings, view=view).findings
    names = [Path(path).name for path in view.consulted()]
    assert names == ["__init__.py", "base.py", "sizes.py"]


def test_a_file_that_was_rewritten_is_read_again(circuits: Path, gradfix: Gradfix) -> None:
    put(circuits / "src/circuits/a.py", NET)
    put(circuits / "src/circuits/z.py", NET.replace(".base", ".a"))
    assert gradfix("apply", "--unsafe-fixes", "src").code == 0
    assert "ModuleList" in (circuits / "src/circuits/z.py").read_text()


def test_the_debugging_view_follows_imports(circuits: Path, gradfix: Gradfix) -> None:
    result = gradfix("check", "--explain-flow", "src/circuits/net.py:16")
    assert "base.py, line 8" in result.out
    assert "(3,)" in result.out
